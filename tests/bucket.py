"""A small Google Cloud Storage in memory, on a port of this machine, for tests.

As much of its JSON interface as gcsfs and TensorStore speak: both are pointed here by
environment variables, so that a gs:// path takes the same way as on the real thing.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: two would wait for each other
    objects: dict[str, tuple[bytes, int]]  # name -> content, generation
    uploads: dict[str, bytearray]  # under way: name -> what has come
    lock: threading.Lock

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        found = re.fullmatch(
            r"(?:/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?", url.path
        )
        if found is None:  # the bucket itself
            return self.answer({"kind": "storage#bucket", "name": url.path[14:]})
        bucket, name = found[1], unquote(found[2] or "")
        if not name:
            return self.answer(self.listing(bucket, query))
        if name not in self.objects:
            return self.answer({"error": {"code": 404, "message": "none"}}, 404)
        content, generation = self.objects[name]
        if query.get("alt") != "media":
            return self.answer(self.facts(bucket, name))
        status, headers = 200, {"x-goog-generation": str(generation)}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, size = int(wanted[1]), len(content)
            last = min(int(wanted[2] or size - 1), size - 1)
            if first >= size:
                return self.answer({}, 416)
            content, status = content[first : last + 1], 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return self.answer(content, status, headers)

    def listing(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        items, prefixes = [], set()
        for name in sorted(self.objects):
            if not name.startswith(prefix) or name < query.get("startOffset", ""):
                continue
            if "endOffset" in query and name >= query["endOffset"]:
                continue
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                prefixes.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                items.append(self.facts(bucket, name))
        return {
            "kind": "storage#objects",
            "items": items,
            "prefixes": sorted(prefixes),
        }

    def facts(self, bucket, name):
        content, generation = self.objects[name]
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(content)),
            "generation": str(generation),
            "metageneration": "1",
            "timeCreated": "2026-01-01T00:00:00.000Z",
            "updated": "2026-01-01T00:00:00.000Z",
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
        }

    def do_POST(self):
        url, body = urlsplit(self.path), self.body()
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.startswith("/upload/"):
            bucket = url.path.split("/b/")[1].split("/")[0]
            kind = query.get("uploadType")
            if "upload_id" in query:
                return self.resume(bucket, query["upload_id"], body)
            name = query.get("name")
            if kind == "resumable":
                name = name or json.loads(body)["name"]
                self.uploads[name] = bytearray()
                place = f"http://{self.headers['Host']}{url.path}"
                place += f"?uploadType=resumable&upload_id={quote(name, safe='')}"
                return self.answer({}, 200, {"Location": place})
            if kind == "multipart":
                name, body = self.parts(body)
            return self.put(bucket, name, body, query)
        moved = re.fullmatch(
            r"/storage/v1/b/([^/]+)/o/(.+)/(?:rewriteTo|copyTo)/b/([^/]+)/o/(.+)",
            url.path,
        )
        if moved:
            source, target = unquote(moved[2]), unquote(moved[4])
            self.put(moved[3], target, self.objects[source][0], {}, silent=True)
            facts = self.facts(moved[3], target)
            return self.answer({"done": True, "resource": facts, **facts})
        if url.path.startswith("/batch"):
            return self.batch(body)
        return self.answer({"error": {"code": 400, "message": self.path}}, 400)

    def do_PUT(self):
        url, body = urlsplit(self.path), self.body()
        bucket = url.path.split("/b/")[1].split("/")[0]
        self.resume(bucket, parse_qs(url.query)["upload_id"][0], body)

    def parts(self, body):
        """Name and content of a request that holds both."""
        mark = self.headers["Content-Type"].split("boundary=")[1].strip("\"'")
        _, about, content, _ = body.split(b"--" + mark.encode())
        end = re.search(rb"(\r?\n)\r?\n", content)
        name = json.loads(re.split(rb"\r?\n\r?\n", about, maxsplit=1)[1])["name"]
        return name, content[end.end() : -len(end[1])]

    def resume(self, bucket, name, body):
        """One more piece of a file; the last one says how large it is."""
        self.uploads[name] += body
        size = self.headers.get("Content-Range", "/").rpartition("/")[2]
        if size == "*":
            last = len(self.uploads[name]) - 1
            return self.answer({}, 308, {"Range": f"bytes=0-{last}"})
        return self.put(bucket, name, bytes(self.uploads.pop(name)), {})

    def do_DELETE(self):
        name = unquote(urlsplit(self.path).path.split("/o/")[1])
        with self.lock:
            gone = self.objects.pop(name, None)
        self.answer(b"", 204 if gone else 404)

    def batch(self, body):
        """Deletions, several in a request."""
        names = re.findall(rb"DELETE (\S+) HTTP", body)
        mark, answers = "answers", []
        for i, path in enumerate(names):
            name = unquote(path.decode().split("/o/")[1].split("?")[0])
            with self.lock:
                self.objects.pop(name, None)
            answers.append(
                f"--{mark}\r\nContent-Type: application/http\r\n"
                f"Content-ID: <response-{i + 1}>\r\n\r\n"
                "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n\r\n"
            )
        text = "".join(answers) + f"--{mark}--\r\n"
        kind = {"Content-Type": f"multipart/mixed; boundary={mark}"}
        self.answer(text.encode(), 200, kind)

    def put(self, bucket, name, content, query, silent=False):
        with self.lock:
            now = self.objects.get(name, (b"", 0))[1]
            wanted = query.get("ifGenerationMatch")
            if wanted is not None and int(wanted) != now:
                return self.answer({"error": {"code": 412, "message": "other"}}, 412)
            Handler.generation += 1
            self.objects[name] = (bytes(content), Handler.generation)
        return None if silent else self.answer(self.facts(bucket, name))

    generation = 0

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, content, status=200, headers=None):
        headers = {"Content-Type": "application/json", **(headers or {})}
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """That doesn't mind clients which leave."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


@contextmanager
def bucket() -> Iterator[tuple[dict[str, str], dict[str, tuple[bytes, int]]]]:
    """(variables that point gs:// to it, its objects by name)."""

    class Mine(Handler):
        objects, uploads, lock = {}, {}, threading.Lock()

    server = Server(("localhost", 0), Mine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://localhost:{server.server_port}"
    try:
        yield (
            {
                "STORAGE_EMULATOR_HOST": url,
                "TENSORSTORE_GCS_HTTP_URL": url,
                "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
                "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            },
            Mine.objects,
        )
    finally:
        server.shutdown()
        server.server_close()

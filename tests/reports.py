"""A report of small inputs, which a test can change, and what its page holds."""

import base64
import io
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from l2d_jax.metrics.catalog import ScoreInfo
from l2d_jax.metrics.floors import summary
from l2d_jax.report import SECTIONS, write_report

VOID = {"meta", "img", "br"}


def judged(best):
    """A score of which nothing else is known."""
    return ScoreInfo("other", "A score", best, "was measured")


def paired(generated, floor, **more):
    """A score of these values at the floor's size and of the floor."""
    sides = {"floor": floor, "at_floor_size": generated}
    sides = {name: summary(values, num_samples=50) for name, values in sides.items()}
    return {**summary(generated, num_samples=100), **sides, **more}


class Page(HTMLParser):
    """What a page holds; fails on tags that aren't closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.words, self.texts = [], [], [], []
        self.source = text
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)
            self.texts.append((self.open[-1], data))

    @property
    def lines(self) -> list[str]:
        """The entries of lists."""
        found = re.findall(r"<li>(.*?)</li>", self.source, re.S)
        return [unescape(re.sub(r"<.*?>", "", one)).strip(" ●▲■") for one in found]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def write(folder, **changes) -> Page:
    """A report of small inputs, each of which a test can change."""
    rng = np.random.default_rng(0)
    inputs = {
        "real": rng.normal(size=(40, 12, 2)).astype(np.float32),
        "generated": rng.normal(size=(30, 12, 2)).astype(np.float32),
        "channels": ("speed", "load"),
        "scores": {"context_fid": score(0.02, 0.01, 0.03, 30)},
        "facts": {"data set": "Toy", "variant": "latent", "command": "run it", "n": 3},
        "losses": {"data": (np.arange(1, 9), np.geomspace(1.0, 0.01, 8))},
    }
    inputs |= changes
    inputs.setdefault("train", inputs["real"])
    inputs.setdefault("train_rows", np.arange(len(inputs["train"])))
    inputs.setdefault("num_train", len(inputs["train"]))
    path = write_report(folder, **inputs)
    assert path == folder / "report" / "index.html"
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    page = Page(path.read_text(encoding="utf-8"))
    check_self_contained(page)
    sections = [attrs["id"] for attrs in page.all("section")]
    absent = set() if "labels" in changes else {"classes"}
    assert sections == [name for name in SECTIONS if name not in absent]
    return page


def score(mean: float, low: float, high: float, count: int, **more):
    return {"mean": mean, "interval": [low, high], "num_samples": count, **more}


def below(captions: list[str], start: str) -> list[str]:
    return [caption for caption in captions if caption.startswith(start)]


def check_self_contained(page: Page) -> None:
    """No script, nothing to fetch, and every picture is a PNG of the size it states."""
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("src", "data:").startswith("data:")
        assert not re.search(r"https?:|url\(", attrs.get("style", ""))
        assert attrs.get("href", "#").startswith("#")
    for attrs in page.all("img"):
        data = attrs["src"].removeprefix("data:image/png;base64,")
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        image.load()
        assert image.size == (int(attrs["width"]), int(attrs["height"]))
        assert attrs["alt"] not in ("", *captions(page))


def captions(page: Page) -> list[str]:
    return [words for tag, words in page.texts if tag == "figcaption"]

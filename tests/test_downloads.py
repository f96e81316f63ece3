"""Files of public sets: found, fetched, checked."""

import gzip
import io
import re
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from l2d_jax.data.public import builders
from l2d_jax.data.public.catalog import SOURCES, bundled_folder, prepared
from l2d_jax.data.public.downloads import RemoteFile, locate
from l2d_jax.types import InputError

# Checked


def repack(archive: Path, target: Path, change=None, **options) -> None:
    """The same members in another zip, or with one of them changed."""
    with (
        zipfile.ZipFile(archive) as old,
        zipfile.ZipFile(target, "w", **options) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(name, content) if change else content)


def test_other_packing_of_the_same_series_passes(data_dir, empty):
    name = "JapaneseVowels.zip"
    repack(data_dir / name, empty / name, compression=zipfile.ZIP_BZIP2)
    made = builders.load(SOURCES["japanese_vowels"])
    assert builders.content_digest(made) == SOURCES["japanese_vowels"].digest


def test_members_may_lie_in_a_folder_of_the_zip(data_dir, empty):
    with zipfile.ZipFile(empty / "saugeenday_dataset.zip", "w") as made:
        made.write(data_dir / "saugeenday_dataset.tsf", "x/saugeenday_dataset.tsf")
    assert len(builders.load(SOURCES["riverflow"]).series[0]) == 23_741


def test_one_changed_number_is_refused(data_dir, empty):
    name = "JapaneseVowels.zip"

    def change(member, content):
        return content.replace(b"0.217443", b"0.217444", 1)

    repack(data_dir / name, empty / name, change)
    with pytest.raises(InputError, match="holds other values than published") as error:
        builders.load(SOURCES["japanese_vowels"])
    message = str(error.value)
    assert str(empty / name) in message
    digest = SOURCES["japanese_vowels"].digest
    assert f"expected {digest}" in message
    assert re.search(r"content [0-9a-f]{64}", message)
    assert "delete it" in message
    assert "\n" not in str(error.value)
    assert not prepared(SOURCES["japanese_vowels"])


@pytest.mark.parametrize(
    ("field", "wrong", "says"),
    [
        ("classes", tuple("012345678"), "1, 2, .*9, and the catalogue 0, 1, .*8: c"),
        ("channels", ("a", "b"), "cepstrum_1, .*cepstrum_12, and the catalogue a, b:"),
    ],
)
def test_a_source_that_names_others_than_its_file_has(empty, field, wrong, says):
    """Of two classes one is not taken for the other."""
    source = SOURCES["japanese_vowels"]._replace(**{field: wrong})
    with pytest.raises(InputError, match=f"has the {field} {says}") as error:
        builders.load(source)
    assert f"correct the {field} of 'japanese_vowels' in" in str(error.value)
    assert "\n" not in str(error.value)


def test_one_missing_series_is_refused(data_dir, empty):
    name = "JapaneseVowels.zip"

    def change(member, content):
        lines = content.splitlines(keepends=True)
        return b"".join(lines[:-1] if "TEST" in member else lines)

    repack(data_dir / name, empty / name, change)
    expected = r"holds 270 \+ 369 series, published are 270 \+ 370: delete it"
    with pytest.raises(InputError, match=expected) as error:
        builders.load(SOURCES["japanese_vowels"])
    assert "\n" not in str(error.value)


def test_changed_plain_file_is_refused(data_dir, empty):
    text = (data_dir / "stock_data.csv").read_text().replace("49.676899", "49.676898")
    (empty / "stock_data.csv").write_text(text)
    with pytest.raises(InputError, match="has 228290 bytes and sha256") as error:
        builders.load(SOURCES["stock"])
    for part in (str(empty / "stock_data.csv"), SOURCES["stock"].file.sha256):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\3\4 and so on"])
def test_file_that_is_no_zip_is_refused(empty, content):
    (empty / "Crop.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"is no whole \.zip archive: delete") as error:
        builders.load(SOURCES["crop"])
    assert str(empty / "Crop.zip") in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_member_is_refused(data_dir, empty):
    content = bytearray((data_dir / "JapaneseVowels.zip").read_bytes())
    content[5_000:5_100] = bytes(100)
    (empty / "JapaneseVowels.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"JapaneseVowels\.zip has .* bytes and"):
        builders.load(SOURCES["japanese_vowels"])


def test_zip_of_another_set_is_refused(data_dir, empty):
    (empty / "Crop.zip").write_bytes((data_dir / "ECG200.zip").read_bytes())
    with pytest.raises(InputError, match="holds no Crop_TRAIN and Crop_TEST") as error:
        builders.load(SOURCES["crop"])
    assert "\n" not in str(error.value)


# Found or fetched


@pytest.mark.parametrize("name", SOURCES)
def test_no_network_and_no_file(name, empty, offline, monkeypatch):
    monkeypatch.setattr(builders, "bundled_folder", lambda source: None)
    with pytest.raises(InputError) as error:
        builders.load(SOURCES[name])
    message, file = str(error.value), SOURCES[name].file
    for part in (file.url, str(empty.parent / "cache" / file.name), "refused"):
        assert part in message
    assert "by other means" in message
    assert "\n" not in str(error.value)
    assert not list((empty.parent / "cache").iterdir())


def test_japanese_vowels_come_with_sktime(empty, offline):
    assert bundled_folder(SOURCES["stock"]) is None
    assert bundled_folder(SOURCES["japanese_vowels"]).name == "JapaneseVowels"
    made = builders.load(SOURCES["japanese_vowels"])
    assert Counter(map(len, made.series))[29] > 0
    assert len(made.series[0]) == 20
    first, last = [1.860936, -0.207383, 0.261557], [1.261441, -0.63835, 0.217443]
    np.testing.assert_array_equal(made.series[0][0, :3], np.float32(first))
    np.testing.assert_array_equal(made.series[0][19, :3], np.float32(last))
    assert made.channels[0] == "cepstrum_1"


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """An empty cache folder that doesn't exist yet, and no data folder."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("L2D_DATA_DIR", raising=False)
    monkeypatch.setenv("L2D_CACHE_DIR", str(folder))
    return folder


TABLE = b"a,b,c,d,e,f\n" + b"1,2,3,4,5,6\n" * 30


@pytest.fixture
def published(tmp_path) -> RemoteFile:
    """A small file behind a file:// address."""
    path = tmp_path / "published.csv"
    path.write_bytes(TABLE)
    return RemoteFile(
        "table.csv",
        url=path.as_uri(),
        size=len(TABLE),
        sha256="9f927554cd898803f76fc7a065894316d04659d3492e2d0d3e7d63e7353149b4",
    )


def test_file_is_downloaded_once(cache, published, tmp_path):
    assert locate(published).read_bytes() == TABLE
    assert [path.name for path in cache.iterdir()] == ["table.csv"]
    (tmp_path / "published.csv").unlink()  # from now on only the cache can answer
    assert locate(published) == cache / "table.csv"


def test_data_folder_comes_before_the_cache(cache, published, monkeypatch, tmp_path):
    monkeypatch.setenv("L2D_DATA_DIR", str(tmp_path))
    locate(published)
    assert (cache / "table.csv").is_file()  # the data folder had none
    (tmp_path / "table.csv").write_bytes(TABLE)
    assert locate(published) == tmp_path / "table.csv"


def test_other_packing_comes_before_a_download(cache, published, monkeypatch, tmp_path):
    monkeypatch.setenv("L2D_DATA_DIR", str(tmp_path))
    packed = RemoteFile("table.csv.gz", "")
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(TABLE))
    assert locate(published, packed) == tmp_path / "table.csv.gz"
    assert not cache.exists()
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(TABLE)[:-9])
    with pytest.raises(InputError, match=r"is no whole \.gz archive: delete it"):
        locate(published, packed)


def test_data_folder_must_exist(cache, published, monkeypatch, tmp_path):
    monkeypatch.setenv("L2D_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"L2D_DATA_DIR=.*nowhere is no folder"):
        locate(published)


def test_time_out_is_named(cache, published, monkeypatch):
    def refuse(url, timeout):
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(InputError, match=r"\(timed out\)") as error:
        locate(published)
    assert published.url in str(error.value)
    assert str(cache / "table.csv") in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("content", [TABLE[:100], b"", b"<html>log in</html>"])
def test_truncated_download_leaves_nothing(cache, published, monkeypatch, content):
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda url, timeout: io.BytesIO(content)
    )
    with pytest.raises(InputError) as error:
        locate(published)
    message = str(error.value)
    assert f"has {len(content)} bytes" in message
    assert f"expected {len(TABLE)} bytes" in message
    assert published.sha256 in message
    assert "try again" in message
    assert "\n" not in str(error.value)
    assert not list(cache.iterdir())


def test_connection_lost_halfway_leaves_nothing(cache, published, monkeypatch):
    class Lost(io.BytesIO):
        def read(self, size=-1):
            if self.tell():
                raise ConnectionResetError(104, "Connection reset by peer")
            return super().read(50)

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Lost(TABLE))
    with pytest.raises(InputError, match="Connection reset by peer"):
        locate(published)
    assert not list(cache.iterdir())


def test_answer_by_way_of_http_is_dropped(cache, published, monkeypatch):
    class Redirected(io.BytesIO):
        url = "http://example.org/table.csv"

    monkeypatch.setattr(
        urllib.request, "urlopen", lambda url, timeout: Redirected(TABLE)
    )
    with pytest.raises(InputError, match="not secure"):
        locate(published)
    assert not list(cache.iterdir())


def test_damaged_file_is_reported_and_kept(cache, published):
    cache.mkdir()
    copy = cache / "table.csv"
    copy.write_bytes(TABLE[:-5])
    with pytest.raises(InputError) as error:
        locate(published)
    message = str(error.value)
    found = "8c67db9d7dbd74b2b973092878951482e3b4bb2be293b19b86796f9f88b4f96e"
    for part in (str(copy), "has 367 bytes", found, published.sha256, "delete it"):
        assert part in message
    assert "\n" not in str(error.value)
    assert copy.exists()


def test_cache_that_can_not_be_made(cache, published):
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"check .* that .*cache is writable"):
        locate(published)

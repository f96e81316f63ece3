"""The public data sets: as published, checked, prepared once, listed, told apart."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from l2d_jax.data import __main__ as program
from l2d_jax.data.public import builders, parsers
from l2d_jax.data.public.archive import archive_names, archive_source
from l2d_jax.data.public.catalog import (
    SOURCES,
    bundled_folder,
    prepared,
    prepared_folder,
)
from l2d_jax.data.public.downloads import RemoteFile, locate
from l2d_jax.types import InputError

RECORDINGS = ("stock", "energy", "etth", "riverflow")
LETTERS = "abcdeghlmnopqrsuvwyz"

# As published: series (or rows), channels, shortest and longest series.
SHAPES = {
    "stock": (3_685, 0, 6, 3_685, 3_685),
    "energy": (19_735, 0, 28, 19_735, 19_735),
    "etth": (17_420, 0, 7, 17_420, 17_420),
    "riverflow": (23_741, 0, 1, 23_741, 23_741),
    "ecg5000": (500, 4_500, 1, 140, 140),
    "spoken_arabic_digits": (6_600, 2_200, 13, 4, 93),
    "character_trajectories": (1_422, 1_436, 3, 60, 182),
    "electric_devices": (8_926, 7_711, 1, 96, 96),
    "crop": (7_200, 16_800, 1, 46, 46),
    "face_all": (560, 1_690, 1, 131, 131),
    "japanese_vowels": (270, 370, 12, 7, 29),
}
# Series of each class, in the training and in the test part.
CLASS_COUNTS = {
    "ecg5000": ([292, 177, 10, 19, 2], [2627, 1590, 86, 175, 22]),
    "spoken_arabic_digits": ([660] * 10, [220] * 10),
    "electric_devices": (
        [727, 2231, 851, 1474, 2406, 509, 728],
        [667, 1956, 755, 1165, 1869, 743, 556],
    ),
    "crop": ([300] * 24, [700] * 24),
    "japanese_vowels": ([30] * 9, [31, 35, 88, 44, 29, 24, 40, 50, 29]),
}


def assert_one_line(error: pytest.ExceptionInfo) -> None:
    assert "\n" not in str(error.value)


@pytest.fixture
def load(data_dir, shelf, monkeypatch):
    """A function: name -> the whole set, from the raw files."""
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    monkeypatch.setenv("TFDS_DATA_DIR", str(shelf))
    return lambda name: builders.load(SOURCES[name])


@pytest.fixture
def empty(monkeypatch, tmp_path) -> Path:
    """Empty folders of raw files (returned), of downloads, and of prepared sets."""
    for variable, name in (
        ("L2D_DATA_DIR", "data"),
        ("L2D_CACHE_DIR", "cache"),
        ("TFDS_DATA_DIR", "tfds"),
    ):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    return tmp_path / "data"


@pytest.fixture
def offline(monkeypatch):
    """No network."""

    def refuse(url, timeout):
        assert url.startswith("https://")
        assert timeout == 30.0
        raise urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


# As published


@pytest.mark.parametrize("name", SHAPES)
def test_counts_and_lengths_are_those_published(name, load):
    made, source = load(name), SOURCES[name]
    num_train, num_test, channels, shortest, longest = SHAPES[name]
    lengths = [len(series) for series in made.series]
    assert (min(lengths), max(lengths)) == source.lengths == (shortest, longest)
    assert {series.shape[1] for series in made.series} == {channels}
    assert {series.dtype for series in made.series} == {np.dtype(np.float32)}
    assert made.channels == source.channels
    assert len(made.channels) == channels
    assert not any(np.isnan(series).any() for series in made.series)
    assert (source.num_train, source.num_test) == (num_train, num_test)
    if name in RECORDINGS:
        assert lengths == [num_train]
        assert made.labels is None
        assert made.num_train is None
        assert made.classes == ()
    else:
        assert len(lengths) == num_train + num_test
        assert made.num_train == num_train
        assert made.classes == source.classes


@pytest.mark.parametrize("name", CLASS_COUNTS)
def test_class_counts_are_those_published(name, load):
    made = load(name)
    parts = made.labels[: made.num_train], made.labels[made.num_train :]
    for part, expected in zip(parts, CLASS_COUNTS[name], strict=True):
        assert np.bincount(part).tolist() == expected


@pytest.mark.parametrize("name", SHAPES)
def test_values_are_those_of_the_raw_file_in_its_order(name, load, data_dir):
    """First and last series of each part, and every label, read by plain Python."""
    made = load(name)
    parts = plain_parts(name, data_dir)
    if name in RECORDINGS:
        np.testing.assert_array_equal(made.series[0], np.float32(parts))
        return
    assert made.num_train == len(parts[0])
    found = made.series[: made.num_train], made.series[made.num_train :]
    for series, part in zip(found, parts, strict=True):
        for index in (0, 1, len(part) // 2, -1):
            np.testing.assert_array_equal(series[index], np.float32(part[index][0]))
    labels = [label for part in parts for _, label in part]
    assert [made.classes[label] for label in made.labels] == labels


def plain_parts(name: str, folder: Path) -> list:
    """Rows of a recording; else, of both parts, the (series, label) of each line."""
    if name in ("stock", "etth"):
        file = {"stock": "stock_data.csv", "etth": "ETTh1.csv"}[name]
        return csv_rows((folder / file).read_text())
    if name == "energy":
        return csv_rows(
            gzip.decompress(
                (folder / "energydata_complete.csv.gz").read_bytes()
            ).decode()
        )
    if name == "riverflow":
        text = (folder / "saugeenday_dataset.tsf").read_text().strip()
        return [[float(one)] for one in text.splitlines()[-1].split(":")[-1].split(",")]
    if name == "spoken_arabic_digits":
        with zipfile.ZipFile(folder / "SpokenArabicDigits_UCI.zip") as opened:
            texts = [
                opened.read(f"{part}_Arabic_Digit.txt").decode()
                for part in ("Train", "Test")
            ]
        parts = [re.split(r"^ +\n", text, flags=re.M)[1:] for text in texts]
        return [
            [
                (PlainBlock(block), str(index * 10 // len(part)))
                for index, block in enumerate(part)
            ]
            for part in parts
        ]
    title = SOURCES[name].title
    with zipfile.ZipFile(folder / f"{title}.zip") as opened:
        if name == "japanese_vowels":
            return [ts_rows(opened.read(f"{title}_{p}.ts").decode()) for p in PARTS]
        if name == "character_trajectories":
            return [
                arff_rows(
                    [
                        opened.read(f"{title}Dimension{i}_{part}.arff").decode()
                        for i in (1, 2, 3)
                    ]
                )
                for part in PARTS
            ]
        return [
            [
                ([[float(one)] for one in line.split("\t")[1:]], line.split("\t")[0])
                for line in opened.read(f"{title}_{part}.tsv").decode().splitlines()
            ]
            for part in PARTS
        ]


PARTS = ("TRAIN", "TEST")


class PlainBlock:
    """A block of frames, read when it is compared."""

    def __init__(self, text: str):
        self.text = text

    def __array__(self, dtype=None, copy=None):
        rows = [[*map(float, line.split())] for line in self.text.splitlines()]
        return np.array(rows, dtype=dtype)


def csv_rows(text: str) -> list[list[float]]:
    header, *rows = csv.reader(io.StringIO(text))
    start = int(header[0] == "date")
    return [[float(one.strip()) for one in row[start:]] for row in rows]


def ts_rows(text: str) -> list:
    rows = []
    for line in text.split("@data\n")[1].splitlines():
        *channels, label = line.split(":")
        columns = [[float(one) for one in channel.split(",")] for channel in channels]
        rows.append((list(zip(*columns, strict=True)), label))
    return rows


def arff_rows(texts: list[str]) -> list:
    rows = []
    bodies = [text.split("@data\n")[1].strip().splitlines() for text in texts]
    for lines in zip(*bodies, strict=True):
        label = int(lines[0].split(",")[-1])
        columns = [
            [float(one) for one in line.split(",")[:-1] if one != "?"] for line in lines
        ]
        longest = max(map(len, columns))
        columns = [column + [0.0] * (longest - len(column)) for column in columns]
        rows.append((list(zip(*columns, strict=True)), LETTERS[label - 1]))
    return rows


def test_shorter_channels_of_the_characters_are_filled(load, data_dir):
    """In 39 series (21 of them for training) a channel is shorter, by up to 27."""
    made = load("character_trajectories")
    ends = [
        max(len(series) - np.flatnonzero(column)[-1] - 1 for column in series.T)
        for series in made.series
    ]
    assert sum(end > 0 for end in ends) == 39
    assert sum(end > 0 for end in ends[:1422]) == 21
    assert max(ends) == 27


def test_digest_of_what_is_prepared_is_that_of_the_catalogue(load, shelf):
    for name in ("stock", "face_all", "japanese_vowels"):
        assert builders.content_digest(load(name)) == SOURCES[name].digest


def test_catalogue_is_complete():
    assert list(SOURCES) == list(SHAPES)
    for source in SOURCES.values():
        files = (source.file, *source.others)
        assert source.file.url.startswith("https://")
        assert source.homepage.startswith("https://")
        assert re.fullmatch("[0-9a-f]{64}", source.digest)
        assert source.title and source.description and source.citation
        assert source.licence
        assert any(file.sha256 for file in files)
        for file in files:  # only an archive may have a sha256 that isn't known
            assert file.sha256 or file.name.endswith(".zip")


# Prepared once


def test_prepared_set_is_loaded_without_its_file(load, tmp_path, monkeypatch):
    made = load("face_all")
    monkeypatch.setenv("L2D_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(builders, "locate", None)
    again = builders.load(SOURCES["face_all"])
    for one, other in zip(made.series, again.series, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(made.labels, again.labels)
    assert again._replace(series=[], labels=None) == made._replace(
        series=[], labels=None
    )


@pytest.mark.parametrize("name", ["japanese_vowels", "stock", "ecg200"])
def test_without_array_record_it_is_read_each_time(name, load, monkeypatch):
    """TFDS brings it on Linux only, and it has no wheels for Windows."""
    source = SOURCES.get(name) or archive_source(name)
    made = builders.load(source)
    monkeypatch.setitem(sys.modules, "array_record", None)
    monkeypatch.setattr(builders, "prepare", None)
    read = builders.load(source)
    for one, other in zip(made.series, read.series, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    if made.labels is not None:
        np.testing.assert_array_equal(made.labels, read.labels)
    bare = dict(series=[], labels=None)
    assert read._replace(**bare) == made._replace(**bare)


def test_tfds_reads_the_prepared_set(load, shelf):
    import tensorflow_datasets as tfds

    made = load("japanese_vowels")
    builder = tfds.builder_from_directory(shelf / "japanese_vowels" / "1.0.0")
    info = builder.info
    assert info.splits["train"].num_examples == 270
    assert info.splits["test"].num_examples == 370
    assert info.features["label"].names == list("123456789")
    assert "Kudo" in info.citation
    assert "nine men" in info.description
    assert info.homepage == SOURCES["japanese_vowels"].homepage
    assert (shelf / "japanese_vowels/1.0.0/LICENSE").read_text() == "CC BY 4.0"
    example = builder.as_data_source(split="test")[3]
    np.testing.assert_array_equal(example["series"], made.series[273])
    assert example["length"] == len(made.series[273])


def test_builder_class_stands_alone(data_dir, empty, monkeypatch):
    """It prepares by itself, with what TFDS calls download_and_prepare."""
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    builder = builders.builder_class(SOURCES["stock"])(
        data_dir=empty, file_format="array_record"
    )
    builder.download_and_prepare()
    assert builder.name == "stock"
    assert type(builder).__name__ == "Stock"
    (example,) = builder.as_data_source(split="train")
    assert example["series"].shape == (3_685, 6)
    assert (empty / "stock" / "1.0.0" / "dataset_info.json").exists()


PREPARE_TOGETHER = """
import pathlib, sys, time
from l2d_jax.data.public import builders
from l2d_jax.data.public.catalog import SOURCES

folder, me, other = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
read = builders.published

def together(source):
    (folder / me).touch()
    while not (folder / other).exists():
        time.sleep(0.01)
    return read(source)

builders.published = together
made = builders.load(SOURCES["japanese_vowels"])
print(len(made.series), made.series[-1].shape, "tensorflow" in sys.modules)
"""


def test_two_processes_prepare_at_the_same_time(data_dir, empty, tmp_path, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    commands = [
        [sys.executable, "-c", PREPARE_TOGETHER, str(tmp_path), *names]
        for names in (("a", "b"), ("b", "a"))
    ]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in commands
    ]
    answers = [process.communicate(timeout=120) for process in running]
    for out, err in answers:
        # Nothing else is printed, TensorFlow isn't imported, and nothing is left.
        assert out.decode().split("\n") == ["640 (11, 12) False", ""], err.decode()
    folder = prepared_folder(SOURCES["japanese_vowels"]).parent
    assert [path.name for path in folder.iterdir()] == ["1.0.0"]


def test_nothing_is_left_when_preparation_fails(data_dir, empty, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    monkeypatch.setattr(
        builders.SeriesBuilder, "_generate_examples", lambda *_: iter([(0, {})])
    )
    with pytest.raises(Exception, match=r"series|length"):
        builders.load(SOURCES["stock"])
    assert not prepared(SOURCES["stock"])
    assert not list(prepared_folder(SOURCES["stock"]).parent.iterdir())


def test_a_full_disk_is_no_traceback(data_dir, empty, monkeypatch):
    """It is an error of array_record, whose errors are none of the system."""
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))

    def full(*_):
        raise RuntimeError("write() failed: No space left on device; at byte 65536")

    monkeypatch.setattr(builders.tfds.core.writer.Writer, "finalize", full)
    says = r"No space left .*: set TFDS_DATA_DIR"
    with pytest.raises(InputError, match=says) as error:
        builders.load(SOURCES["stock"])
    assert_one_line(error)


def test_damaged_prepared_set_is_named(data_dir, empty, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    source = SOURCES["japanese_vowels"]
    builders.prepare(source)
    for name in ("*-train.array_record*", "features.json", "*_info.json", "meta*.json"):
        (file,) = Path(prepared_folder(source)).glob(name)
        content = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(content[:-100])
        with pytest.raises(InputError, match=r"can't be read .*: delete it") as error:
            builders.load(source)
        assert str(prepared_folder(source)) in str(error.value)
        assert_one_line(error)
        file.write_bytes(content)


def test_foreign_prepared_set_is_refused(data_dir, empty, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    source = SOURCES["stock"]
    builders.prepare(source)
    metadata = Path(prepared_folder(source)) / "metadata.json"
    content = json.loads(metadata.read_text())
    assert content["digest"] == source.digest
    for foreign, expected in (
        (content | {"digest": "0"}, "holds another set"),
        ({}, "can't be read .*channels"),
    ):
        metadata.write_text(json.dumps(foreign))
        with pytest.raises(InputError, match=expected) as error:
            builders.load(source)
        assert_one_line(error)


def test_folder_of_prepared_sets_must_be_usable(data_dir, empty, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    (empty / "file").touch()
    monkeypatch.setenv("TFDS_DATA_DIR", str(empty / "file"))
    with pytest.raises(InputError, match="set TFDS_DATA_DIR to a folder") as error:
        builders.load(SOURCES["stock"])
    assert_one_line(error)


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
    assert_one_line(error)
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
    assert_one_line(error)


def test_one_missing_series_is_refused(data_dir, empty):
    name = "JapaneseVowels.zip"

    def change(member, content):
        lines = content.splitlines(keepends=True)
        return b"".join(lines[:-1] if "TEST" in member else lines)

    repack(data_dir / name, empty / name, change)
    expected = r"holds 270 \+ 369 series, published are 270 \+ 370: delete it"
    with pytest.raises(InputError, match=expected) as error:
        builders.load(SOURCES["japanese_vowels"])
    assert_one_line(error)


def test_changed_plain_file_is_refused(data_dir, empty):
    text = (data_dir / "stock_data.csv").read_text().replace("49.676899", "49.676898")
    (empty / "stock_data.csv").write_text(text)
    with pytest.raises(InputError, match="has 228290 bytes and sha256") as error:
        builders.load(SOURCES["stock"])
    for part in (str(empty / "stock_data.csv"), SOURCES["stock"].file.sha256):
        assert part in str(error.value)
    assert_one_line(error)


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\3\4 and so on"])
def test_file_that_is_no_zip_is_refused(empty, content):
    (empty / "Crop.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"is no whole \.zip archive: delete") as error:
        builders.load(SOURCES["crop"])
    assert str(empty / "Crop.zip") in str(error.value)
    assert_one_line(error)


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
    assert_one_line(error)


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
    assert_one_line(error)
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
    assert_one_line(error)
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
    assert_one_line(error)
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
    assert_one_line(error)
    assert copy.exists()


def test_cache_that_can_not_be_made(cache, published):
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"check .* that .*cache is writable"):
        locate(published)


# Any set of the archives


def test_archive_names():
    assert archive_source("no_such_set") is None
    assert archive_source("crop") is SOURCES["crop"]
    assert archive_source("JapaneseVowels") is SOURCES["japanese_vowels"]
    digits = archive_source("SpokenArabicDigits")  # the UEA form, not that of UCI
    assert digits.name == "spokenarabicdigits"
    natops = archive_source("natops")
    assert natops == archive_source("NATOPS")._replace(parse=natops.parse)
    assert natops.title == "NATOPS"
    assert natops.file.name == "NATOPS.zip"
    url = "https://timeseriesclassification.com/aeon-toolkit/NATOPS.zip"
    assert natops.file.url == url
    assert len(archive_names()) > 150
    for name in archive_names().keys() & SOURCES.keys():
        assert archive_source(name) is SOURCES[name], f"two sets are called {name}"


@pytest.mark.parametrize(
    ("name", "counts", "channels", "length", "classes"),
    [
        ("Epilepsy", (137, 138), 3, 206, ("EPILEPSY", "RUNNING", "SAWING", "WALKING")),
        ("NATOPS", (180, 180), 24, 51, tuple("123456")),
        ("ItalyPowerDemand", (67, 1_029), 1, 24, tuple("12")),
        ("ECG200", (100, 100), 1, 96, ("-1", "1")),
    ],
)
def test_archive_set(
    data_dir, shelf, monkeypatch, name, counts, channels, length, classes
):
    if not (data_dir / f"{name}.zip").exists():
        pytest.skip(f"no {name}.zip")
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    monkeypatch.setenv("TFDS_DATA_DIR", str(shelf))
    made = builders.load(archive_source(name))
    assert {series.shape for series in made.series} == {(length, channels)}
    assert (made.num_train, len(made.series) - made.num_train) == counts
    assert made.classes == classes
    assert made.name == name.lower()
    assert len(set(made.channels)) == channels
    monkeypatch.delenv("L2D_DATA_DIR")  # prepared, with all that was found out
    assert builders.load(archive_source(name)).channels == made.channels
    assert Counter(made.labels.tolist()).keys() == set(range(len(classes)))


def pack(path: Path, **members: str) -> None:
    """A zip of the texts; __ in a name stands for a dot."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "."), text)


def test_padding_is_cut_off_and_missing_values_are_nan(empty):
    pack(
        empty / "Ham.zip",
        Ham_TRAIN__tsv="2\t1.5\tNaN\t3.5\n1\t4.5\tNaN\tNaN\n",
        Ham_TEST__tsv="1\t1\t2\t3\n",
    )
    made = builders.load(archive_source("ham"))
    np.testing.assert_array_equal(made.series[0], np.float32([[1.5], [np.nan], [3.5]]))
    np.testing.assert_array_equal(made.series[1], np.float32([[4.5]]))
    assert made.labels.tolist() == [1, 0, 0]
    assert made.classes == ("1", "2")
    assert made.num_train == 2


def test_ts_is_preferred_and_arff_is_understood(empty, tmp_path):
    header = "@problemName Ham\n@timeStamps false\n@univariate true\n"
    header += "@classLabel true One Two\n@data\n"
    flat = "@relation Ham\n@attribute a numeric\n@attribute b numeric\n"
    flat += "@attribute target {1,2}\n@data\n"
    arff = {
        "Ham_TRAIN__arff": flat + "1.5,?,1\n?,2.5,2\n",
        "Ham_TEST__arff": flat + "1,2,1\n",
    }
    pack(empty / "Ham.zip", **arff)
    made = archive_source("Ham").parse(empty / "Ham.zip")
    np.testing.assert_array_equal(made.series[0], [[1.5]])
    np.testing.assert_array_equal(made.series[1], [[np.nan], [2.5]])
    ts = {"Ham_TRAIN__ts": header + "7,?:Two\n", "Ham_TEST__ts": header + "8:One\n"}
    pack(empty / "Ham.zip", **arff, **ts)
    made = archive_source("Ham").parse(empty / "Ham.zip")
    np.testing.assert_array_equal(made.series[0], [[7.0], [np.nan]])
    assert made.classes == ("One", "Two")
    assert made.labels.tolist() == [1, 0]


def test_zip_writes_nowhere_else(empty, tmp_path):
    with zipfile.ZipFile(empty / "Ham.zip", "w") as archive:
        archive.writestr("../../Ham_TRAIN.tsv", "1\t1\t2\n")
        archive.writestr("/Ham_TEST.tsv", "1\t1\t2\n")
    before = sorted(tmp_path.rglob("*"))
    assert len(archive_source("Ham").parse(empty / "Ham.zip").series) == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "Ham_TRAIN.tsv can't be read as .tsv"),
        ("1\t2\tx\n", "Ham_TRAIN.tsv can't be read as .tsv"),
    ],
)
def test_broken_member_is_named(empty, text, expected):
    pack(empty / "Ham.zip", Ham_TRAIN__tsv=text, Ham_TEST__tsv="1\t1\t2\n")
    with pytest.raises(InputError, match=re.escape(expected)) as error:
        builders.load(archive_source("Ham"))
    assert str(error.value).startswith(f"{empty / 'Ham.zip'}, Ham_TRAIN.tsv ")
    assert_one_line(error)


# A .ts file

HEADER = """# a comment

@problemName mine
@timeStamps false
@missing true
@univariate false
@classLabel true Walk run
@data
"""


def write_ts(folder: Path, rows: str, header: str = HEADER) -> Path:
    path = folder / "mine.ts"
    path.write_text(header + rows, encoding="utf-8")
    return path


def test_ts_file(tmp_path):
    rows = "1,2,?:4,?,6:Walk\n\n7.5:8:run\n1,2:3:Walk\n"
    series, labels = parsers.read_ts(write_ts(tmp_path, rows))
    assert labels == ["Walk", "run", "Walk"]  # as written
    np.testing.assert_array_equal(series[0], [[1, 4], [2, np.nan], [np.nan, 6]])
    np.testing.assert_array_equal(series[1], [[7.5, 8]])
    np.testing.assert_array_equal(series[2], [[1, 3], [2, np.nan]])
    assert {one.dtype for one in series} == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    "tag", ["@classLabel false", "@targetLabel true"], ids=["none", "target"]
)
def test_ts_file_without_classes(tmp_path, tag):
    rows = "1,2:3,4:0.5\n" if "target" in tag else "1,2:3,4\n"
    header = HEADER.replace("@classLabel true Walk run", tag)
    series, labels = parsers.read_ts(write_ts(tmp_path, rows, header))
    assert labels is None
    np.testing.assert_array_equal(series[0], [[1, 3], [2, 4]])


def test_ts_file_with_time_stamps(tmp_path):
    rows = "(2020-01-01 00:00:00,1.5),(2020-01-02 00:00:00,2.5):Walk\n"
    header = HEADER.replace("@timeStamps false", "@timeStamps true").lower()
    series, labels = parsers.read_ts(write_ts(tmp_path, rows.lower(), header))
    assert labels == ["walk"]
    np.testing.assert_array_equal(series[0], [[1.5], [2.5]])


@pytest.mark.parametrize(
    ("rows", "header", "expected"),
    [
        ("1,2:3,4:Walk\n1,2:Walk\n", HEADER, "line 10 has 1 channels and the first"),
        ("1,2:3,x:Walk\n", HEADER, "line 9, channel 2: 'x' is no number; correct it"),
        ("1,,2:3,4:Walk\n", HEADER, "line 9, channel 1: '' is no number"),
        ("::Walk\n", HEADER, "line 9 has no value: remove the line"),
        ("", HEADER, "has no line below @data"),
        ("1,2:Walk\n", "", "has no line below @data"),
        ("1:Walk\n", "@data\n", "its header lacks @problemname and @timestamps"),
        (
            "1:2:run\n",
            HEADER.replace("s false", "s maybe"),
            "can't be read as .ts (inv",
        ),
    ],
)
def test_broken_ts_file(tmp_path, rows, header, expected):
    path = write_ts(tmp_path, rows, header)
    with pytest.raises(InputError, match=re.escape(expected)) as error:
        parsers.read_ts(path)
    assert str(path) in str(error.value)
    assert_one_line(error)


def test_ts_file_in_another_encoding(tmp_path):
    path = tmp_path / "mine.ts"
    path.write_bytes((HEADER + "1:2:Walk\n").replace("a comment", "é").encode("latin1"))
    with pytest.raises(InputError, match="is not text in UTF-8: save it as such"):
        parsers.read_ts(path)


# The command


def test_list(capsys, empty, data_dir, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    builders.prepare(SOURCES["stock"])
    assert program.main(["--list"]) == 0
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert max(map(len, [head, *rows, last])) <= 120
    cells = {row.split()[0]: re.split(r"  +", row) for row in rows}
    assert [*cells] == [*SOURCES, "sines", "ar1", "mixture"]
    assert cells["stock"][1:3] == ["3,685 rows", "6"]
    assert cells["stock"][-2:] == ["Apache-2.0", "prepared"]
    assert cells["crop"][1:5] == ["7,200+16,800", "1", "46", "24"]
    assert cells["crop"][-3:] == [
        "timeseriesclassification.com",
        "not stated",
        "raw file",
    ]
    assert cells["mixture"][1:5] == ["4,000", "1", "24", "8"]
    assert cells["mixture"][-1] == "generated"
    assert "NATOPS" in last
    start = head.index("source")
    assert all(row[start] != " " and row[start - 1] == " " for row in rows)


def test_list_without_files(capsys, empty):
    program.main(["--list"])
    rows = capsys.readouterr().out.splitlines()
    present = {row.split()[0]: re.split(r"  +", row)[-1] for row in rows}
    assert present["crop"] == "to fetch"
    assert present["japanese_vowels"] == "bundled"


def test_prepare(capsys, empty, data_dir, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    assert program.main(["--prepare", "stock,japanese_vowels", "ecg200"]) == 0
    out, err = capsys.readouterr()
    first, second, third = out.splitlines()
    assert re.fullmatch(r"stock: 3,685 rows x 6 channels in \d+\.\d s", first)
    expected = "japanese_vowels: 270 + 370 series x 12 channels, 7-29 steps, 9 classes"
    assert second.startswith(expected)
    expected = "ecg200: 100 + 100 series x 1 channel, 96 steps, 2 classes in "
    assert third.startswith(expected)
    assert err == ""
    assert prepared(SOURCES["stock"])


def test_prepare_goes_on_after_a_failure(capsys, empty, data_dir, offline):
    (empty / "stock_data.csv").write_bytes((data_dir / "stock_data.csv").read_bytes())
    assert program.main(["--prepare", "etth", "riverflow", "stock"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:2] == ["etth: failed", "riverflow: failed"]
    assert lines[2].startswith("stock: 3,685 rows")
    etth, riverflow = err.splitlines()
    assert etth.startswith("error: etth: can't download ETTh1.csv")
    assert riverflow.startswith("error: riverflow: can't download")


def test_all_are_the_public_sets():
    assert program.chosen(["all", "stock"]) == list(SOURCES.values())


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "give --list, or --prepare and names"),
        (["--prepare", "stok"], "'stok' is no data set: did you mean 'stock'?"),
        (["--prepare", "sines"], "sines is generated"),
        (["--liste"], "unrecognized arguments: --liste"),
    ],
)
def test_wrong_use(capsys, empty, argv, expected):
    with pytest.raises(SystemExit) as stopped:
        program.main(argv)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert expected in err
    assert err.count("\n") == 1


def test_list_needs_no_library_that_is_slow_to_import(empty):
    """Nor does the whole package, which it imports."""
    slow = {"tensorflow_datasets", "sktime", "pandas", "sklearn", "matplotlib"}
    slow |= {"tensorboardX", "scipy.linalg", "scipy.stats"}
    code = "import sys; from l2d_jax.data.__main__ import main; main(['--list']);"
    code += f"print({slow} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "set()", done.stderr

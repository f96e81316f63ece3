"""The public data sets: as published, and prepared once."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from l2d_jax.data.public import builders
from l2d_jax.data.public.archive import archive_source
from l2d_jax.data.public.catalog import SOURCES, prepared, prepared_folder
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


@pytest.fixture
def load(data_dir, shelf, monkeypatch):
    """A function: name -> the whole set, from the raw files."""
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    monkeypatch.setenv("TFDS_DATA_DIR", str(shelf))
    return lambda name: builders.load(SOURCES[name])


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
    assert "\n" not in str(error.value)


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
        assert "\n" not in str(error.value)
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
        assert "\n" not in str(error.value)


def test_folder_of_prepared_sets_must_be_usable(data_dir, empty, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    (empty / "file").touch()
    monkeypatch.setenv("TFDS_DATA_DIR", str(empty / "file"))
    with pytest.raises(InputError, match="set TFDS_DATA_DIR to a folder") as error:
        builders.load(SOURCES["stock"])
    assert "\n" not in str(error.value)

"""Any set of the archives, and files of theirs: what is in them, or what is wrong."""

import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from l2d_jax.data.public import builders, parsers
from l2d_jax.data.public.archive import archive_names, archive_source
from l2d_jax.data.public.catalog import SOURCES
from l2d_jax.types import InputError

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
    assert "\n" not in str(error.value)


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
    assert "\n" not in str(error.value)


def test_ts_file_in_another_encoding(tmp_path):
    path = tmp_path / "mine.ts"
    path.write_bytes((HEADER + "1:2:Walk\n").replace("a comment", "é").encode("latin1"))
    with pytest.raises(InputError, match="is not text in UTF-8: save it as such"):
        parsers.read_ts(path)

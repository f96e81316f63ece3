"""Files of users, of all kinds: exact values, from where they lie, there and back."""

import gzip
import json
import re

import numpy as np
import pytest
from own_files import assert_it_fails_with_one_line, file_config, lists, put

from l2d_jax.data.own import read_file
from l2d_jax.samples import write_samples
from l2d_jax.types import Examples, Form, InputError

# What works: name, content, series
AB = [[[1, -1], [2, 5], [4, -35]]]
WORKS = {
    "plain": ("x.csv", "a,b\n1,-1\n2,5\n4,-3.5e1\n", AB),
    "no line end": ("x.csv", "a,b\n1,-1\n2,5\n4,-3.5e1", AB),
    "Windows line ends": ("x.csv", "a,b\r\n1,-1\r\n2,5\r\n4,-35\r\n", AB),
    "old Mac line ends": ("x.csv", "a,b\r1,-1\r2,5\r4,-35\r", AB),
    "BOM, spaces, blank lines": ("x.csv", "\ufeffa, b\n 1,-1\n2 ,5\n4,-35\n\n\n", AB),
    "quotes": ("x.csv", '"a","b"\n"1","-1"\n"2","5"\n"4","-35"\n,\n', AB),
    "semicolons": ("x.csv", "a;b\n1;-1\n2;5\n4;-35\n", AB),
    "tabs": ("x.tsv", "a\tb\n1\t-1\n2\t5\n4\t-35\n", AB),
    "bars in txt": ("x.txt", "a|b\n1|-1\n2|5\n4|-35\n", AB),
    "decimal commas": ("x.csv", "a;b\n1,5;-1\n2,25;5\n", [[[1.5, -1], [2.25, 5]]]),
    "decimal commas, spaces": (
        "x.csv",
        "a;b\n1,5 ;-1\n2,25;5\n",
        [[[1.5, -1], [2.25, 5]]],
    ),
    "decimal commas, three digits": (
        "x.csv",
        "a;b\n1,125;-1\n2,375;5\n",
        [[[1.125, -1], [2.375, 5]]],
    ),
    "decimal commas, quotes": (
        "x.csv",
        'a; b\n1; "1,5"\n2; "2,5"\n',
        [[[1, 1.5], [2, 2.5]]],
    ),
    "decimal commas, ids with points": (
        "x.csv",
        "id;a;b\n1.1;2,5;0,5\n1.1;3,5;1,5\n1.2;4,5;2,5\n",
        [[[2.5, 0.5], [3.5, 1.5]], [[4.5, 2.5]]],
    ),
    "a comma in a name": (
        "x.csv",
        "Datum;Temperatur, C\n2020-01-01;1,5\n2020-01-02;2,5\n2020-01-03;3,75\n",
        [[[1.5], [2.5], [3.75]]],
    ),
    "a comma in each name": (
        "x.csv",
        "Temp, C|Druck, hPa\n1,5|2,5\n2,5|3,75\n",
        [[[1.5, 2.5], [2.5, 3.75]]],
    ),
    "a comma in each name, quotes": (
        "x.csv",
        '"Temp, C";"Druck, hPa"\n"1,5";"2,5"\n"2,5";"3,75"\n',
        [[[1.5, 2.5], [2.5, 3.75]]],
    ),
    "commas and text": (
        "x.csv",
        "note, x;b\nhello, world;5\nfoo, bar;6\n",
        [[[5], [6]]],
    ),
    "semicolons in quotes": (
        "x.csv",
        'b,"x;y"\n3,"1;2"\n4,"2;3"\n',
        [[[3], [4]]],
    ),
    "semicolons in quotes first": (
        "x.csv",
        '"x;y",b\n"1;2",3\n"2;3",4\n',
        [[[3], [4]]],
    ),
    "bars in cells": (
        "x.csv",
        "x,a,b|c\n1,2,3|4\n2,3,4|5\n",
        [[[1, 2], [2, 3]]],
    ),
    "tabs at the ends": ("x.csv", "a,b\t\n1,-1\t\n2,5\t\n4,-35\t\n", AB),
    "gzip": ("x.csv.gz", gzip.compress(b"a,b\n1,-1\n2,5\n4,-35\n"), AB),
    "gzip in secret": ("x.csv", gzip.compress(b"a,b\n1,-1\n2,5\n4,-35\n"), AB),
    "UTF-16": ("x.csv", "a,b\n1,-1\n2,5\n4,-35\n".encode("utf-16"), AB),
    "UTF-16, the other order": (
        "x.csv",
        "\ufeffa,b\n1,-1\n2,5\n4,-35\n".encode("utf-16-be"),
        AB,
    ),
    "surplus separators": ("x.csv", "a,b\n1,-1,\n2,5,\n4,-35,\n", AB),
    "Excel's line": ("x.csv", "sep=;\na;b\n1,5;-1\n2;5\n", [[[1.5, -1], [2, 5]]]),
    "Excel's line, one column": ("x.csv", "sep=;\na\n7\n1,5\n", [[[7], [1.5]]]),
    "Excel's line, quotes": (
        "x.csv",
        '\ufeff"sep=|"\r\na|b\r\n1|-1\r\n2|5\r\n4|-35\r\n',
        AB,
    ),
    "names that are a date and numbers": (
        "x.csv",
        "x,2020-01-01,7\n0.5,-1,1\n2,5,2\n1,-35,4\n",
        [[[0.5, -1, 1], [2, 5, 2], [1, -35, 4]]],
    ),
    "a header with a number sign": ("x.csv", "# a,b\n1,-1\n2,5\n4,-35\n", AB),
    "upper case": ("X.CSV", "a,b\n1,-1\n2,5\n4,-35\n", AB),
    "names are counted": ("x.csv", "0,1\n1,-1\n2,5\n4,-35\n", AB),
    "names are counted from 1": ("x.csv", "1,2\n1,-1\n2,5\n4,-35\n", AB),
    "one column": ("x.csv", "a\n3\n5\n", [[[3], [5]]]),
    "one column, a gap": ("x.csv", "a\n3\n\n5\n", [[[3], [None], [5]]]),
    "missing": (
        "x.csv",
        "a,b\n1,\nNaN,2\nnull,3\nN/A,4\n5,NONE\n6, nan \n7,<na>\n",
        [[[1, None], *([None, i] for i in (2, 3, 4)), *([i, None] for i in (5, 6, 7))]],
    ),
    "booleans": ("x.csv", "a,b\nTrue,1\nfalse,2\n", [[[1, 1], [0, 2]]]),
    "names in quotes, of two lines": (
        "x.csv",
        '"a\nb",c\n1,2\n2,3\n',
        [[[1, 2], [2, 3]]],
    ),
    "long cells apart": ("x.csv", "id,a\nu,1\nv,9\nu,2\n", [[[1], [2]], [[9]]]),
    "npy": ("x.npy", lambda p: np.save(p, np.array([[1.0, -1], [2, 5], [4, -35]])), AB),
    "npy of one axis": ("x.npy", lambda p: np.save(p, np.array([3, 5])), [[[3], [5]]]),
    "npz of one array": ("x.npz", lambda p: np.savez(p, np.array(AB)), AB),
    "npz called X": ("x.npz", lambda p: np.savez(p, X=np.array(AB), z=np.ones(3)), AB),
}


@pytest.mark.parametrize(("name", "content", "series"), WORKS.values(), ids=WORKS)
def test_files_that_work(tmp_path, name, content, series):
    put(tmp_path / name, content)
    assert lists(read_file(file_config(tmp_path / name))) == series


FAILS = {
    "no ending": ("x", "a,b\n1,2\n", "has no ending, .* save it as one of .csv"),
    "unknown ending": (
        "x.xlsx",
        "a,b\n1,2\n",
        "ends in '.xlsx', .* save it as one of .csv",
    ),
    "gz of what": ("x.gz", "a,b\n1,2\n", "ends in '.gz', .* save it as one of .csv"),
    "no parquet": (
        "x.parquet",
        "a,b\n1,2\n",
        "can't be read as parquet .*: make it again",
    ),
}


@pytest.mark.parametrize("case", FAILS.values(), ids=FAILS)
def test_files_that_fail_with_one_line(tmp_path, case):
    assert_it_fails_with_one_line(tmp_path, case)


def test_places_without_a_file(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for path, says in [
        ("", "set --config.data.path=FILE"),
        (tmp_path / "none.csv", "none.csv does not exist: correct --config.data.path"),
        ("gs://b/x.npy", "gs://b/x.npy isn't a file on this machine, and your own"),
        (tmp_path / "folder.csv", "is a folder: name one file"),
    ]:
        with pytest.raises(InputError, match=re.escape(says)):
            read_file(file_config(path))


def test_a_name_that_begins_with_a_tilde(tmp_path, monkeypatch):
    """As some editors call their copies: nobody's home folder."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "~x.csv", "a\n" + "".join(f"{i % 7}\n" for i in range(30)))
    assert read_file(file_config("~x.csv")).channels == ("a",)


# There and back: what is written as the user's file is read as it was


FLAT = "x;when;on;n\n"
FLAT += "".join(f"{i},5;{i + 1:02}.03.2020 10:00;{i % 2 == 0};{i}\n" for i in range(5))
LONG_TABLE = "n,ds,sensor_id,x\n"
LONG_TABLE += "".join(
    f"{i},2020-0{i % 3 + 1}-15,{'uvw'[i // 3]},{i}.5\n" for i in range(9)
)


@pytest.mark.parametrize("content", [FLAT, LONG_TABLE], ids=["wide", "long"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_there_and_back(tmp_path, read, content, suffix):
    user = read(content)
    form = Form(**json.loads(json.dumps(user.form._asdict())))
    form = form._replace(dtypes=tuple(form.dtypes), columns=tuple(form.columns))
    length = min(map(len, user.series))
    series = np.stack([one[:length] for one in user.series] * 2)
    lengths = np.full(len(series), length)
    lengths[1] = length - 1
    path = tmp_path / f"samples{suffix}"
    batches = iter(
        [Examples(series[:1], lengths[:1]), Examples(series[1:], lengths[1:])]
    )
    write_samples(
        path,
        batches,
        n=len(series),
        channels=user.channels,
        settings={},
        form=form,
    )
    back = read_file(file_config(path, channels=",".join(user.channels)))
    for one, expected, end in zip(back.series, series, lengths, strict=True):
        np.testing.assert_array_equal(one, expected[:end])
    assert back.channels == user.channels
    assert back.form.dtypes == form.dtypes
    first = () if form.id_column else ("sample_id",)
    assert back.form.columns == first + form.columns
    assert back.form.time_start == form.time_start
    if suffix == ".csv":
        same = ("time_step", "time_format", "time_column", "separator", "decimal")
        for name in same if length > 2 else same[1:]:
            assert getattr(back.form, name) == getattr(form, name), name
        assert path.read_text().splitlines()[0].split(form.separator) == [
            *first,
            *form.columns,
        ]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".ts"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_arrays_there_and_back(tmp_path, suffix, dtype):
    series = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    form = Form(suffix, (dtype, dtype))
    path = tmp_path / f"x{suffix}"
    batches = iter([Examples(series, np.full(3, 2))])
    write_samples(path, batches, n=3, channels=("a", "b"), settings={}, form=form)
    back = read_file(file_config(path))
    assert lists(back) == series.tolist()
    if suffix != ".ts":
        assert back.form == form

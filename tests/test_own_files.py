"""Files of users, well-formed, odd and malformed: exact values, or one line of help."""

import gzip
import json
import re
import zipfile
from datetime import datetime, timedelta, timezone

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from ml_collections import ConfigDict

from l2d_jax.data.own import columns, read_array, read_file
from l2d_jax.data.own.rows import decimals_of
from l2d_jax.samples import write_samples
from l2d_jax.types import ANY_DECIMALS, Collection, Examples, Form, InputError


def file_config(path, **differences) -> ConfigDict:
    """The fields of `config.data` that readers know."""
    roles = ("channels", "id_column", "time_column", "label_column")
    return ConfigDict(dict.fromkeys(roles, "") | {"path": str(path)} | differences)


def put(path, content) -> None:
    """Writes text, bytes, or what else a function writes."""
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def read(tmp_path):
    def read(content, name="mine.csv", **differences) -> Collection:
        put(tmp_path / name, content)
        return read_file(file_config(tmp_path / name, **differences))

    return read


def lists(collection: Collection) -> list:
    """Series as nested lists; NaN as None."""
    return [
        [[None if v != v else v for v in step] for step in one.tolist()]
        for one in collection.series
    ]


# What works: name, content, series, channels

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


def npy_bytes(array) -> bytes:
    """What np.save would write."""
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_header(shape) -> bytes:
    """Of an array that isn't there."""
    import io

    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def zipped(path, method, members) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def damaged(path, method) -> None:
    """An archive whose packed bytes were overwritten."""
    zipped(path, method, {"series.npy": npy_bytes(np.arange(60.0).reshape(3, 5, 4))})
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)


TS = (
    "@problemName p\n@timeStamps false\n@univariate {}\n@classLabel true a B 1.0\n"
    "@data\n"
)
OBJECTS = np.array([[1, 2], [3]], dtype=object)
LONG = "\n".join(["a,b", *(f"{i},{i * i}" for i in range(1, 6)), ""])
FAILS = {
    "empty": ("x.csv", "", "line 1 is empty: write the column names"),
    "blank start": ("x.csv", "\n\na\n1\n", "line 1 is empty: write the column names"),
    "header only": ("x.csv", "a,b\n", "has no rows below .*: add the recording"),
    "header and blanks": ("x.csv", "a,b\n,\n,\n", "has no rows below"),
    "no header": ("x.csv", "1.5,2\n3,4\n", "line 1 holds numbers: put a line with"),
    "no header, dates": (
        "x.csv",
        "2020-01-01,2\n2020-01-02,4\n",
        "line 1 holds numbers",
    ),
    "no header, dates and words": (
        "x.csv",
        "2020-01-01,AAPL,100,1000\n2020-01-02,AAPL,101,1100\n2020-01-03,AAPL,103,900\n",
        "line 1 holds numbers: put .* above them, or rename '100'",
    ),
    "no header, a word": (
        "x.csv",
        "0.1,0.0,ok\n0.4,0.7,ok\n",
        "line 1 holds numbers: put .* above them, or rename '0.1'",
    ),
    "text": (
        "x.csv",
        "a,b\n1,2\n3,x y\n",
        "line 3, column 'b': 'x y' is not a number; c",
    ),
    "the first of two": (
        "x.csv",
        "a,b\n1,x\ny,2\n3,4\n",
        "line 3, column 'a': 'y' is not",
    ),
    "inf": ("x.csv", "a,b\n1,2\n2,inf\n", "line 3, column 'b': 'inf' is not finite"),
    "too large": (
        "x.csv",
        "a,b\n1,2\n2,-1e99\n",
        "line 3, column 'b': '-1e99' is not fi",
    ),
    "thousands": (
        "x.csv",
        'a,b\n1,"1,234"\n2,"2,345"\n',
        "line 2, column 'b': '1,234' .*wi",
    ),
    "thousands, commas": (
        "x.csv",
        "a;b\n1;1.234,5\n2;2.345,5\n",
        "line 2, .*: '1.234,5'",
    ),
    "thousands, points": (
        "x.csv",
        "a;b\n900,5;1,5\n1.007;2,5\n",
        "line 3, column 'a': '1.007' is not .* without thousands .* as 1234,5",
    ),
    "thousands, commas beside decimal points": (
        "x.csv",
        "a;b;c\n1,234;2,345;3.5\n2,234;4,345;4.5\n",
        "line 2, column 'a': '1,234' is not .* without thousands .* as 1234.5$",
    ),
    "thousands, commas with decimal points": (
        "x.csv",
        "a;b\n1;1,234.5\n2;2,345.5\n",
        "line 2, column 'b': '1,234.5' is not .* without thousands .* as 1234.5$",
    ),
    "thousands, commas in large numbers": (
        "x.csv",
        "a;b\n1,234,567;2,345\n2,345,678;4,345\n",
        "line 2, column 'b': '2,345' is not .* without thousands .* as 1234.5$",
        {"channels": "b"},
    ),
    "thousands, or decimal marks": (
        "x.csv",
        "a;b\n1,234;1.234\n2,345;2.345\n",
        "line 2, column 'a': '1,234' is not .* without thousands .* as 1234.5$",
    ),
    "a decimal point among commas": (
        "x.csv",
        "a;b\n1,5;2,5\n2,5;3.5\n",
        "line 3, column 'b': '3.5' is not a number; write it as 3,5, with one decimal "
        "mark throughout, or name the columns to use in --config.data.channels$",
    ),
    "a column of decimal points among commas": (
        "x.csv",
        "a;b;c\n1,5;2,5;0.125\n2,5;3,5;2.5e-3\n",
        "line 2, column 'c': '0.125' is not a number; write it as 0,125, with",
    ),
    "a decimal comma among points": (
        "x.csv",
        "a;b\n1.5;2.5\n-2,5;3.5\n",
        "line 3, column 'a': '-2,5' is not a number; write it as -2.5, with",
    ),
    "decimal commas in quotes": (
        "x.csv",
        'a,b\n"1,5",2\n"2,5",3\n',
        "line 2, column 'a': '1,5' is not a number; write it as 1.5, with",
    ),
    "percents": ("x.csv", "a,b\n1,5%\n2,6%\n", "line 2, column 'b': '5%' is not"),
    "a comment first": (
        "x.csv",
        "# of May\na,b\n1,2\n",
        "x.csv, line 1 is a comment: remove all above the column names$",
    ),
    "a comment with commas first": (
        "x.csv",
        "# of May, June, July\na,b\n1,2\n",
        "x.csv, line 1 is a comment: remove all above the column names$",
    ),
    "below Excel's line": (
        "x.csv",
        "sep=;\na;b\n1;2\n2;x y\n",
        "line 4, column 'b': 'x y' is not a number",
    ),
    "too short below Excel's line": (
        "x.csv",
        "sep=;\na;b\n1;2\n3\n",
        "line 4: 1 of 2 values",
    ),
    "no header below Excel's line": (
        "x.csv",
        "sep=;\n1,5;2\n2,5;3\n",
        "line 2 holds numbers: put a line with the column names above",
    ),
    "one column, decimal commas": (
        "x.csv",
        "a\n7\n1,5\n",
        "line 1 has one name, line 3 has 2 values: .* separate numbers by ',' only, "
        "or, if it is a decimal comma, put a line 'sep=;' above",
    ),
    "too long": (
        "x.csv",
        "a,b\n1,2\n3,4,5\n",
        "line 3: 3 of 2 values; each line needs",
    ),
    "first too long": (
        "x.csv",
        "a,b\n1,2,3,4\n3,4\n",
        "line 2: 4 of 2 values; each line",
    ),
    "much too long": (
        "x.csv",
        "a,b\n1,2\n3,4,5,6\n",
        "line 3: 4 of 2 values; each line",
    ),
    "too short": (
        "x.csv",
        "a,b\n1,2\n3\n4,5\n",
        "line 3: 1 of 2 values; each line needs",
    ),
    "cut short": (
        "x.csv",
        "a,b\n1,2\n3,4\n5",
        "line 4: 1 of 2 values; each line needs",
    ),
    "a blank line": ("x.csv", "a,b\n1,2\n\n3,4\n", "line 3 is blank: remove it"),
    "after quoted lines": (
        "x.csv",
        'a,b\n1,"x\ny"\n2,3\n4,5\ninf,6\n',
        "line 6, column 'a': 'inf' is",
    ),
    "open quote": ("x.csv", 'a,b\n1,2\n"3,4\n', "line 3 opens a quote that is never"),
    "name twice": (
        "x.csv",
        "a,a\n0,5\n1,6\n",
        "line 1: column 'a' appears twice; rename",
    ),
    "no name": (
        "x.csv",
        "a,,b\n0,5,3\n1,6,4\n",
        "line 1, column 2 has no name: name it",
    ),
    "no last name": (
        "x.csv",
        "a,\n0,5\n1,6\n",
        "line 1, column 2 has no name: name it",
    ),
    "no first name": ("x.csv", ",a\n7,5\n3,6\n", "column 1 has no name: name it, or"),
    "constant": (
        "x.csv",
        "a\n3\n3\n",
        "column 'a' is 3 in every row, .*: add a column",
    ),
    "one row": ("x.csv", "a,b\n1,2\n", "x.csv has 1 row: add rows$"),
    "hardly varies": (
        "x.csv",
        "a\n1e9\n1000000001\n",
        "varies by 1 .* subtract a constant",
    ),
    "words": ("x.csv", "a\nx\ny\n", "has no numeric column .*'a'"),
    "UTF-32": (
        "x.csv",
        "a,b\n1,2\n2,5\n".encode("utf-32"),
        "is not text: save it as a csv in UTF-8",
    ),
    "NUL in a cell": (
        "x.csv",
        "a,b\n" + "1,2\n" * 1500 + "12\0\0,3\n4,5\n",
        "line 1502 holds NUL characters, as after a crash: remove them$",
    ),
    "NUL in UTF-16": (
        "x.csv",
        "a,b\n1,2\n\0,3\n4,5\n".encode("utf-16"),
        "line 3 holds NUL characters",
    ),
    "NUL in gzip": (
        "x.csv.gz",
        gzip.compress(b"a,b\n" + b"1,2\n" * 1500 + b"\0,3\n4,5\n"),
        "line 1502 holds NUL characters",
    ),
    "a mark for what is missing": (
        "x.csv",
        "a,b\n1,2\n-,3\n4,5\n",
        "line 3, column 'a': '-' .* correct it, leave it empty if it is missing, or",
    ),
    "latin-1": (
        "x.csv",
        "a,b\n1,2\n2,é\n".encode("latin-1"),
        "line 3 is not text in UTF-8",
    ),
    "junk": ("x.csv", bytes(range(256)) * 9, "is not text: save it as a csv in UTF-8"),
    "more junk": (
        "x.csv",
        bytes(range(128, 256)) * 9,
        "line 1 is not text in UTF-8: save",
    ),
    "an Excel file": (
        "x.csv",
        b"PK\x03\x04....",
        "is a zip or Excel file: save it as csv",
    ),
    "gzip cut short": (
        "x.csv.gz",
        gzip.compress(LONG.encode())[:-9],
        "damaged gzip file",
    ),
    "gzip in pieces": (
        "x.csv.gz",
        gzip.compress(LONG.encode())[:20] + b"\0" * 30,
        "damaged gzip file",
    ),
    "times unsorted": (
        "x.csv",
        "date,b\n2020-01-01,2\n2020-01-03,3\n2020-01-02,4\n",
        "line 4, column 'date': earlier than the row above; name the column that .* if "
        "there are several; if it is one recording, sort the rows by time",
    ),
    "clocks of two halves unsorted": (
        "x.csv",
        "date,b\n2020-01-01 01:30 PM,2\n2020-01-01 11:30 AM,3\n",
        "line 3, column 'date': earlier than the row above",
    ),
    "date and clock apart": (
        "x.csv",
        "date,time,b\n2020-01-01,1:00,2\n2020-01-01,2:00,3\n",
        "line 3, .*: the same time as in line 2; join 'date' and 'time' into one",
    ),
    "times twice": (
        "x.csv",
        "date,b\n2020-01-01,2\n2020-01-03,3\n2020-01-03,4\n",
        "line 4, column 'date': the same time as in line 3; remove .*id_column",
    ),
    "ticks of nanoseconds": (
        "x.csv",
        "tick,b\n2020-01-01 00:00:00.000000001,2\n2020-01-01 00:00:00.000000002,3\n",
        "line 3, column 'tick': the same microsecond as in line 2; .* set "
        "--config.data.time_column=none if the column isn't the time$",
    ),
    "clocks set back": (
        "x.csv",
        "when,b\n2021-10-31 01:00,2\n2021-10-31 02:00,3\n2021-10-31 02:00,4\n",
        "line 4, column 'when': the same time as in line 3; .* or write them in UTC if "
        "the clocks were set back then, or set --config.data.time_column=none",
    ),
    "clocks set back between": (
        "x.csv",
        "when,b\n2021-10-31 02:30,2\n2021-10-31 02:45,3\n2021-10-31 02:00,4\n",
        "line 4, column 'when': earlier than .* in UTC if the clocks were set back",
    ),
    "newest first": (
        "x.csv",
        "day,b\n2021-10-28,2\n2021-10-27,3\n2021-10-26,4\n",
        "line 3, column 'day': earlier than the row above; sort the rows by time, or "
        "set --config.data.time_column=none if the column isn't the time$",
    ),
    "time missing": (
        "x.csv",
        "date,b\n2020-01-01,2\n,3\n2020-01-03,4\n",
        "line 3, column 'date': the value is missing; fill it in",
    ),
    "no time": (
        "x.csv",
        "date,b\n2020-01-01,2\n2020-01-33,3\n2020-01-04,4\n",
        "line 3, column 'date': '2020-01-33' is no time like .*: correct it",
    ),
    "half of the cells are no times": (
        "x.csv",
        "when,b\n2020-01-01,2\nx,3\n2020-01-03,4\ny,5\n",
        "line 3, column 'when': 'x' is no time like",
    ),
    "a time with a fault": (
        "x.csv",
        "traded,b\n" + "".join(f"2020-01-0{d},{d}\n" for d in (1, 2, 4, 3, 5, 6)),
        "line 5, column 'traded': earlier than the row above",
    ),
    "labels differ": (
        "x.csv",
        "id,b,c\nu,2,x\nu,3,y\nv,4,x\n",
        "line 3, column 'c': 'y', but series 'u' began with 'x': give one label",
        {"label_column": "c"},
    ),
    "labels differ, of ids apart": (
        "x.csv",
        "id,b,c\nu,2,x\nv,4,z\nu,3,y\n",
        "line 4, column 'c': 'y', but series 'u' began with 'x': give one label",
        {"label_column": "c"},
    ),
    "times twice, of ids apart": (
        "x.csv",
        "id,date,b\nu,2020-01-01,2\nv,2020-01-01,3\nv,2020-01-02,4\nu,2020-01-01,5\n",
        "line 5, column 'date': the same time as in line 2; remove",
    ),
    "id missing": (
        "x.csv",
        "id,b\nu,2\n,3\nu,4\n",
        "line 3, column 'id': the value is missing; fill it in",
    ),
    "id and time alone": (
        "x.csv",
        "time,sample\n1,5\n2,5\n3,6\n",
        "no column left .*'sample' as the id of a series, 'time' as time.: name the ch",
    ),
    "unknown channel": (
        "x.csv",
        "price,b\n1,2\n2,3\n",
        "has no column 'prise', --config.data.channels: did you mean 'price'",
        {"channels": "b,prise"},
    ),
    "many columns without numbers": (
        "x.csv",
        "a,b,c,d,e,f,g,h,i,j\n" + "x,x,x,x,x,x,x,x,x,x\n" * 2,
        "no numeric column .*'g', 'h' and 2 more",
    ),
    "no value at all": (
        "x.csv",
        "a,b\n3,\n3,\n",
        "column 'a' is 3 in every row, and a constant can't .*: add a column that",
    ),
    "no value asked for": (
        "x.csv",
        "a,b\n1,\n2,\n",
        "column 'b' has no value in any row: leave the column out",
        {"channels": "a,b"},
    ),
    "constant asked for": (
        "x.csv",
        "a,b\n1,2\n1,3\n",
        "column 'a' is 1 in every row, .*: leave the column out",
        {"channels": "a,b"},
    ),
    "text asked for": (
        "x.csv",
        "a,b\nx,2\ny,3\n",
        "line 2, column 'a': 'x' is not a number",
        {"channels": "a,b"},
    ),
    "asked for twice": (
        "x.csv",
        "a,b\n1,2\n2,3\n",
        "column 'a' is asked for twice: name it once",
        {"channels": "a,b", "time_column": "a"},
    ),
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
    "no ts": ("x.ts", "a,b\n1,2\n", "x.ts has no line below @data"),
    "a comment in ts": (
        "x.ts",
        "@problemName p\n@timeStamps false\n@univariate true\n@classLabel false\n"
        "@data\n1,2\n# of May\n2,3\n",
        "line 7 is a comment below @data: remove it, or move it above @data$",
    ),
    "ts, lines without their class": (
        "x.ts",
        TS.format("true") + "1,2,3\n2,3,5\n",
        "line 6: '1,2,3' behind the last colon is no class of @classLabel; end each",
    ),
    "ts, channels without their class": (
        "x.ts",
        TS.format("false") + "1,2:3,4\n2,3:5,7\n",
        "line 6: '3,4' behind the last colon is no class of @classLabel; .* or write",
    ),
    "no npy": ("x.npy", "a,b\n1,2\n", "x.npy .*save"),
    "no npz": ("x.npz", "a,b\n1,2\n", "x.npz .*save"),
    "npy called npz": ("x.npz", npy_bytes(np.ones((3, 2))), "end in .npy$"),
    "npy cut short": (
        "x.npy",
        npy_bytes(np.ones((9, 9)))[:-8],
        "can't be read .*again",
    ),
    "npy, damaged": (
        "x.npy",
        npy_bytes(np.ones((3, 2))).replace(b")", b" "),
        "can't be read .*: save it again",
    ),
    "npz cut short": (
        "x.npz",
        b"PK\x03\x04" + b"\0" * 40,
        "can't be read .*: save it again",
    ),
    "npz of something else": (
        "x.npz",
        lambda p: zipped(p, zipfile.ZIP_STORED, {"series.npy": b"1 2 3"}),
        "can't be read \\('series' is no array\\): save it again",
    ),
    "npz, damaged": (
        "x.npz",
        lambda p: damaged(p, zipfile.ZIP_DEFLATED),
        "can't be read .*: save it again",
    ),
    "npz, damaged, of another packer": (
        "x.npz",
        lambda p: damaged(p, zipfile.ZIP_LZMA),
        "can't be read .*: save it again",
    ),
    "npz, too large": (
        "x.npz",
        lambda p: zipped(p, zipfile.ZIP_STORED, {"x.npy": npy_header((10**9, 10**6))}),
        "takes more memory than there is: save the series as .npy, which stays on disk",
    ),
    "npz, a label missing": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3, 1)), y=[1, np.nan]),
        "the label of series 1 \\(the first is 0\\) is missing; fill it in$",
    ),
    "npy of objects": (
        "x.npy",
        lambda p: np.save(p, OBJECTS, allow_pickle=True),
        "holds Python objects, .*: save numbers of one shape",
    ),
    "npz of objects": (
        "x.npz",
        lambda p: np.savez(p, series=OBJECTS),
        "holds Python objects, .*: save numbers of one shape",
    ),
    "npy of four axes": (
        "x.npy",
        lambda p: np.save(p, np.ones((2, 3, 4, 5))),
        r"has shape \[2, 3, 4, 5\]: give \[T, C\]",
    ),
    "npy of text": (
        "x.npy",
        lambda p: np.save(p, ["a"]),
        "holds <U1: give real numbers",
    ),
    "npy of nothing": (
        "x.npy",
        lambda p: np.save(p, np.ones((0, 2))),
        r"shape \[0, 2\]",
    ),
    "npy of inf": (
        "x.npy",
        lambda p: np.save(p, np.array([[1, 2], [3, np.inf]])),
        "step 1, channel 'channel_1' .*: inf is not finite in float32; correct it",
    ),
    "npz of two": (
        "x.npz",
        lambda p: np.savez(p, np.ones(3), np.ones(3)),
        "holds 'arr_0', 'arr_1': call the array of the series 'series'",
    ),
    "npz, wrong lengths": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3, 1)), lengths=[1, 4]),
        "'lengths' must be 2 whole numbers from 1 to 3",
    ),
    "npz, a length of 0": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3, 1)), lengths=[0, 2]),
        "'lengths' must be 2 whole numbers from 1 to 3",
    ),
    "npz, lengths that are not whole": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3, 1)), lengths=[1.5, 2]),
        "'lengths' must be 2 whole numbers from 1 to 3",
    ),
    "npz, a name twice": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3, 2)), channels=["u", "u"]),
        "names 1 channels in 'channels', and has 2",
    ),
    "npz, too many names": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3, 2)), channels=["u", "v", "v"]),
        "channels in 'channels', and has 2: name each once",
    ),
    "npz, wrong labels": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3, 1)), y=[1, 4, 5]),
        r"labels of shape \[3\] for 2 series: give one label a series",
    ),
    "npz, labels in Latin-1": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3, 1)), y=[b"a", b"\xe9"]),
        "has labels in bytes that are not UTF-8: save them as text",
    ),
    "npz, a recording of many lengths": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3)), lengths=[1, 3]),
        r"shape \[2, 3\], one .* 'lengths', .*: give \[N, L, C\], here series\[..., N",
    ),
    "npz, a recording of one length": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3)), lengths=3),
        "leave out 'lengths'",
    ),
    "npz, a recording of many labels": (
        "x.npz",
        lambda p: np.savez(p, x=np.ones((2, 3)), y=[1, 4]),
        "leave out 'labels'",
    ),
    "units below the names": (
        "x.csv",
        "a,b\nkW,degrees\n" + "".join(f"{i},{i % 3}\n" for i in range(9)),
        "line 2, column 'a': 'kW' is not a number; .* or remove the line if it holds",
    ),
    "a series in each line": (
        "x.csv",
        "\n".join(",".join(f"{i + c / 7:.3f}" for c in range(24)) for i in range(9)),
        r"line 1 holds numbers: .*; if each line is a series, save them as .npz",
    ),
    "comments of one cell": (
        "x.csv",
        "# station 5\n# kW\na\n1\n2\n",
        "line 1 is a comment: remove all above the column names",
    ),
    "npy with a time": (
        "x.npy",
        lambda p: np.save(p, np.ones(3)),
        "has no columns: leave --config.data.time_column empty",
        {"time_column": "a"},
    ),
}


@pytest.mark.parametrize("case", FAILS.values(), ids=FAILS)
def test_files_that_fail_with_one_line(tmp_path, case):
    name, content, says, *differences = case
    put(tmp_path / name, content)
    with pytest.raises(InputError) as error:
        read_file(file_config(tmp_path / name, **(differences or [{}])[0]))
    message = str(error.value)
    assert message.startswith(str(tmp_path / name))
    assert re.search(says, message), message
    assert "\n" not in message


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


# Columns


def test_a_table_of_many_series(read):
    """Ids not adjacent, times not in order, labels: as recognised."""
    content = "ds,unique_id,load,y,city\n"
    content += "2020-01-02,b,1.5,2,x\n2020-01-01,a,3,1,z\n2020-01-01,b,2.5,2,x\n"
    found = read(content + "2020-01-02,a,4,1,z\n")
    assert lists(found) == [[[2.5], [1.5]], [[3], [4]]]
    assert found.channels == ("load",)
    assert found.labels.tolist() == [1, 0]
    assert found.classes == ("1", "2")
    assert found.notes == (
        "read column 'unique_id' as the id of a series: --config.data.id_column",
        "read column 'ds' as time: --config.data.time_column",
        "read column 'y' as labels: --config.data.label_column",
        "left out 'city': not numbers",
    )
    assert found.form == Form(
        ".csv",
        ("float64",),
        ("ds", "unique_id", "load"),
        id_column="unique_id",
        time_column="ds",
        time_start="2020-01-01T00:00:00.000000",
        time_step="P1DT0H0M0S",
        time_format="%Y-%m-%d",
        decimals=(1,),
    )


def test_what_is_asked_for_is_not_guessed(read):
    content = "time,id,a,b\n5,u,1,2\n6,u,3,5\n5,v,4,9\n"
    found = read(content, channels="b,time", id_column="id")
    assert found.channels == ("b", "time")
    assert lists(found) == [[[2, 5], [5, 6]], [[9, 5]]]
    assert found.form.columns == ("time", "id", "b")
    assert not found.notes


EXPIRY = "expiry,price\n2020-06-19,1.5\n2020-03-20,2.5\n2020-06-19,4.5\n"


def test_dates_that_are_not_the_time(read):
    for channels in ("", "price"):
        found = read(EXPIRY, channels=channels)
        assert lists(found) == [[[1.5], [2.5], [4.5]]]
        assert found.form.time_column == ""
        assert found.notes[0].startswith(
            "left out 'expiry': dates that are not in order; if they are the time"
        )
        assert len(found.notes) == 1
    dated = EXPIRY.replace("expiry", "date")
    for content in (dated, EXPIRY):
        with pytest.raises(InputError, match=r"line 3, .*: earlier than the row above"):
            read(content, time_column=content[: content.index(",")])
    found = read(dated, time_column="none")
    assert lists(found) == [[[1.5], [2.5], [4.5]]]
    assert found.notes == ("left out 'date': not numbers",)


def test_the_time_among_other_dates(read):
    rows = [
        "2020-06-19,2020-01-02,1",
        "2020-03-20,2020-01-03,2",
        "2020-06-19,2020-01-04,4",
    ]
    found = read("\n".join(["expiry,traded,price", *rows]))
    assert found.form.time_column == "traded"
    assert found.form.time_start == "2020-01-02T00:00:00.000000"


def test_no_time_in_an_array(read):
    content = npy_bytes(np.array([3.0, 5.0]))
    assert lists(read(content, "x.npy", time_column="none")) == [[[3], [5]]]


def test_a_label_of_a_recording_is_left_out(read):
    found = read("a,y\n1,0\n2,0\n3,1\n", label_column="y")
    assert found.channels == ("a",) and found.labels is None
    assert "left out column 'y': labels belong to whole series" in found.notes[0]
    assert read("a,y\n1,0\n2,0\n3,1\n").channels == ("a", "y")


@pytest.mark.parametrize(
    "name", ["Unnamed: 0", "index", "No", "step", "row", "#", "row_no", "frame"]
)
def test_columns_that_count_the_rows_are_left_out(read, name):
    found = read(f"{name},a\n" + "".join(f"{i},{i % 3}\n" for i in range(20)))
    assert found.channels == ("a",)
    assert found.notes == (f"left out column {name!r}: it counts the rows",)
    varying = read(f"{name},a\n" + "".join(f"{i % 7},{i % 3}\n" for i in range(20)))
    assert varying.channels == (name, "a")


def test_rows_that_are_counted_within_each_series(read):
    """As the columns of frames are that were joined with their numbers and ids."""
    frames = [pd.DataFrame({"a": [1.0, 2, 4]}), pd.DataFrame({"a": [3.0, 5]})]
    joined = pd.concat(frames, keys=range(2), names=["id", "row"])
    table = "id,step,a\nu,1,1\nu,2,2\nu,3,4\nv,1,3\nv,2,5\n"
    for found, name in ((read_array(joined), "row"), (read(table), "step")):
        assert lists(found) == [[[1], [2], [4]], [[3], [5]]]
        assert found.notes[-1] == f"left out column {name!r}: it counts the rows"
    table = "row,id,a\n0,u,1\n1,u,2\n2,v,3\n"  # all of them
    assert lists(read(table)) == [[[1], [2]], [[3]]]


def test_numbers_that_count_time_within_each_series(read):
    """From its own start; a gap among many equal steps is none of a value."""
    for name, times in (("t", range(20)), ("elapsed", (*range(0, 38, 2), 44))):
        rows = [f"{one},{time},{time % 3}\n" for one in "uv" for time in times]
        found = read(f"id,{name},a\n" + "".join(rows))
        assert (found.form.time_column, found.channels) == (name, ("a",))
        assert len(found.series) == 2


@pytest.mark.parametrize(
    ("name", "step", "is_time"),
    [
        ("Time (s)", 0.25, True),
        ("unix", 60, True),
        ("year", 1, True),
        ("elapsed", 2, True),
        ("uptime", 0, False),  # stays
        ("pressure", 1, False),
    ],
)
def test_numbers_that_rise_evenly_are_time_by_name(read, name, step, is_time):
    rows = [f"{1900 + step * i},{i % 3}\n" for i in range(20)]
    if not step:
        rows[3] = "1800,1\n"
    found = read(f"{name},a\n" + "".join(rows))
    assert found.channels == (("a",) if is_time else (name, "a"))
    if is_time:
        assert (found.form.time_column, float(found.form.time_step)) == (name, step)


@pytest.mark.parametrize(
    ("texts", "time_format", "step", "column"),
    [
        (
            [f"2024-01-01 {i:02d}:00:00 UTC" for i in range(4)],
            "%Y-%m-%d %H:%M:%S UTC",
            "P0DT1H0M0S",
            "when",
        ),
        (["20240101 0000", "20240101 0030"], "%Y%m%d %H%M", "P0DT0H30M0S", "when"),
        (["Jan-90", "Feb-90", "Mar-90"], "%b-%y", "P1M", "when"),
        (["2024010100", "2024010101", "2024010102"], "%Y%m%d%H", "P0DT1H0M0S", "when"),
        (["202401010000", "202401010010"], "%Y%m%d%H%M", "P0DT0H10M0S", "time"),
        (["20240101235959", "20240102000000"], "%Y%m%d%H%M%S", "P0DT0H0M1S", "stamp"),
    ],
)
def test_ways_to_write_a_time(read, tmp_path, texts, time_format, step, column):
    """And the same in samples."""
    rows = "".join(f"{text},{i}\n" for i, text in enumerate(texts))
    found = read(f"{column},a\n{rows}")
    assert found.channels == ("a",)
    assert (found.form.time_format, found.form.time_step) == (time_format, step)
    series = found.series[0][None]
    path = tmp_path / "samples.csv"
    lengths = np.array([len(texts)])
    write_samples(
        path,
        iter([Examples(series, lengths)]),
        n=1,
        channels=("a",),
        settings={},
        form=found.form,
    )
    lines = path.read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in lines] == texts


def test_every_way_to_write_a_time_is_found():
    zone = timezone(timedelta(hours=5, minutes=30))
    time = datetime(2021, 3, 14, 15, 9, 26, 535897, zone)
    known = [date + rest for date in columns.DATES for rest in columns.BEHIND_DATE]
    assert len(known) == 22 * (1 + 3 * 6 * 5)  # dates, joins, clocks, zones
    for one in known:
        assert one in columns.formats(time.strftime(one)), one


def test_texts_of_another_shape_are_not_tried(monkeypatch):
    """A header of 140 numbers was tried in 1,820 formats each, which took a minute."""
    tried = []

    class Counted(datetime):
        @classmethod
        def strptime(cls, text, time_format):
            tried.append(time_format)
            return datetime.strptime(text, time_format)

    monkeypatch.setattr(columns, "datetime", Counted)
    assert columns.formats("0.1257") == columns.formats("1-2a") == tried == []
    assert columns.formats("2020-01-31 15:00") == ["%Y-%m-%d %H:%M"] == tried


def test_text_without_a_time_is_said_by_name(read):
    rows = "".join(f"day {i},x,{i % 3}\n" for i in range(5))
    found = read(f"obs_time,holiday,a\n{rows}")
    assert found.notes == (
        "left out 'obs_time': its times can't be read; rows are taken in the order of "
        "the file",
        "left out 'holiday': not numbers",
    )


def test_a_code_along_one_time_is_no_id(read):
    """Weather 1, 2, 1, ... of one recording; of a panel the same is an id."""

    def rows(time):
        return "".join(f"2020-01-{time(i):02d},{i},{1 + i % 2}\n" for i in range(20))

    found = read("time,load,weather_id\n" + rows(lambda i: i + 1))
    assert (len(found.series), found.channels) == (1, ("load", "weather_id"))
    found = read("time,load,weather_id\n" + rows(lambda i: i // 2 + 1))
    assert (len(found.series), found.channels) == (2, ("load",))


def test_ids_and_labels_of_a_csv_are_text(read, monkeypatch):
    """0399 isn't 399, nor 1.1 1.10, though a chunk has nothing but numbers."""
    monkeypatch.setattr("l2d_jax.data.own.csv_files.CHUNK", 3)
    ids = ["0399"] * 4 + ["399"] * 2 + ["NA", "1.1", "1.10", "A"]
    labels = ["none"] * 4 + ["2.50"] * 2 + ["2.5"] * 4
    rows = zip(ids, labels, map(str, range(10)), strict=True)
    content = "\n".join(["id,kind,a", *map(",".join, rows)])
    found = read(content, id_column="id", label_column="kind")
    assert [len(one) for one in found.series] == [4, 2, 1, 1, 1, 1]
    assert found.classes == ("2.5", "2.50", "none")
    assert found.labels.tolist() == [2, 1, 0, 0, 0, 0]


def test_a_cell_that_is_no_date_in_a_later_chunk(read, monkeypatch):
    monkeypatch.setattr("l2d_jax.data.own.csv_files.CHUNK", 4)
    days = [f"2020010{i}" for i in range(1, 8)] + ["20200108.5"]
    content = "date,a\n" + "".join(f"{day},{i % 3}\n" for i, day in enumerate(days))
    with pytest.raises(InputError, match=r"line 9, column 'date'.*20200108.5"):
        read(content)


def test_what_varies_within_an_id_is_no_label(read):
    assert read("id,y\n1,5\n1,6\n2,5\n").channels == ("y",)


def test_fractions_are_no_ids_and_no_labels(read):
    found = read("sample,a\n0.5,1\n0.5,2\n1.5,3\n")
    assert found.channels == ("sample", "a")
    found = read("id,y,a\nu,0.5,1\nu,0.5,2\nv,1.5,3\n")
    assert found.channels == ("y", "a") and found.labels is None


@pytest.mark.parametrize("most", [100, 101])
def test_a_column_of_very_many_values_is_no_label(read, most):
    rows = "".join(f"u{i},{i},{step}\n" for i in range(most) for step in (3, 7))
    assert read(f"id,y,a\n{rows}").channels == (("a",) if most == 100 else ("y", "a"))


def test_ids_and_labels_that_are_whole_numbers_in_floats():
    frame = pd.DataFrame({"id": [3.0, 3, 4], "y": [10.0, 10, 9], "a": [1, 2, 5]})
    found = read_array(frame)
    assert lists(found) == [[[1], [2]], [[5]]]
    assert (found.classes, found.labels.tolist()) == (("9", "10"), [1, 0])


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (",a\n0,5\n1,6\n", "left out a column without a name: it counts the rows"),
        ("id,a\n1,5\n2,6\n", "left out column 'id': it counts the rows"),
        ("c,a\n1,5\n1,6\n", "left out 'c': the same value in every row"),
        ("c,a\nx,5\ny,6\n", "left out 'c': not numbers"),
        ("t,a\n0,5\n1,6\n", "read column 't' as time"),
        ("date,a\nx,5\ny,6\n", "left out 'date': its times can't be read; rows"),
        ("date,time,a\n2020,x,5\n2021,y,6\n", "left out 'time': not numbers"),
        (",a\n2020-01-01,5\n2020-01-02,6\n", "read column 'time' as time"),
    ],
)
def test_columns_that_are_left_out_are_named(read, content, note):
    found = read(content)
    assert found.channels == ("a",)
    assert lists(found) == [[[5], [6]]]
    assert found.notes[-1].startswith(note)


@pytest.mark.parametrize(("channel", "time"), [("a", "time"), ("time", "time_1")])
def test_a_time_without_a_name_gets_one(read, channel, time):
    found = read(f",{channel}\n2020-01-01,5\n2020-01-02,6\n")
    assert (found.form.time_column, found.channels) == (time, (channel,))


def test_a_header_that_counts_is_said(read):
    assert read("0\n5\n6\n").notes == ("read line 1, '0', as column names",)


def test_columns_without_a_value_are_left_out_as_constants_are(read):
    found = read("b,c,a,d\n,4.5,1,\n,4.5,2,\n")
    assert lists(found) == [[[1], [2]]]
    assert (found.form.dtypes, found.form.decimals) == (("int64",), (0,))
    assert found.notes == (
        "left out 'c': the same value in every row",
        "left out 'b', 'd': no value in any row",
    )


def test_a_temperature_called_t_is_a_channel(read):
    assert read("t,a\n20,5\n21,6\n20,7\n").channels == ("t", "a")


@pytest.mark.parametrize(
    ("first", "second", "time_format", "step"),
    [
        ("2020-01-01", "2020-01-02", "%Y-%m-%d", "P1DT0H0M0S"),
        (
            "2020-01-01T10:00:00Z",
            "2020-01-01T11:00:00Z",
            "%Y-%m-%dT%H:%M:%SZ",
            "P0DT1H0M0S",
        ),
        ("2020-01-01 10:00", "2020-01-01 10:15", "%Y-%m-%d %H:%M", "P0DT0H15M0S"),
        (
            "2020-01-31 00:00:00",
            "2020-01-31 00:00:00.25",
            "%Y-%m-%d %H:%M:%S.%f",
            "P0DT0H0M0.25S",
        ),
        ("31.12.2019", "01.01.2020", "%d.%m.%Y", "P1DT0H0M0S"),
        ("12/31/2019", "01/01/2020", "%m/%d/%Y", "P1DT0H0M0S"),
        ("31/12/2019", "01/01/2020", "%d/%m/%Y", "P1DT0H0M0S"),
        ("31-Dec-2019", "01-Jan-2020", "%d-%b-%Y", "P1DT0H0M0S"),
        ("1/2/2020 1:30 PM", "1/2/2020 2:30 PM", "%m/%d/%Y %I:%M %p", "P0DT1H0M0S"),
        ("20191231", "20200101", "%Y%m%d", "P1DT0H0M0S"),
        ("2020-01", "2020-02", "%Y-%m", "P31DT0H0M0S"),
        ("9-Jan-20", "10-Jan-20", "%d-%b-%y", "P1DT0H0M0S"),
        ('"2020-01-05, 01:30"', '"2020-01-06, 01:30"', "%Y-%m-%d, %H:%M", "P1DT0H0M0S"),
        (
            "2020-01-05 11:30 AM",
            "2020-01-05 01:30 PM",
            "%Y-%m-%d %I:%M %p",
            "P0DT2H0M0S",
        ),
        (
            "2020-01-05 01:30:00+00",
            "2020-01-05 02:30:00-01",
            "%Y-%m-%d %H:%M:%S%z",
            "P0DT2H0M0S",
        ),
    ],
)
def test_times(read, first, second, time_format, step):
    found = read(f"date,a\n{first},1\n{second},2\n")
    assert (found.form.time_format, found.form.time_step) == (time_format, step)
    assert found.channels == ("a",)


def written(found: Collection, path, length: int, column: str = "") -> list:
    """The time column of a sample of so many steps, as text or as parquet has it."""
    series = np.zeros((1, length, len(found.channels)), np.float32)
    write_samples(
        path,
        iter([Examples(series, np.array([length]))]),
        n=1,
        channels=found.channels,
        settings={},
        form=found.form,
    )
    column = column or found.form.time_column
    if path.suffix == ".parquet":
        return pd.read_parquet(path)[column].tolist()
    frame = pd.read_csv(path, sep=found.form.separator, dtype=str)
    return frame[column].tolist()


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-01", "2020-01-01 01:00:00", "2020-01-01 02:00:00"],
        ["2020-01-01 00:00", "2020-01-01 00:00:30", "2020-01-01 00:01:00"],
        ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5Z", "2020-01-01T00:00:01Z"],
        [
            "2020-01-01 00:00:00+0000",
            "2020-01-01 00:00:00.500000+0000",
            "2020-01-01 00:00:01+0000",
        ],
    ],
)
def test_times_that_leave_out_zeros(read, tmp_path, times):
    """The first cell has less than the others: what is written has it all."""
    rows = [f"{time},{x}" for x, time in enumerate(times)]
    found = read("\n".join(["when,a", *rows]))
    again = written(found, tmp_path / "out.csv", 3)
    stamps = [pd.Timestamp(time) for time in again]
    assert stamps == [pd.Timestamp(time) for time in times]
    assert len({*map(len, again)}) == 1


@pytest.mark.parametrize(
    "times",
    [
        [f"2020-{month}-01 00:00:00+05:30" for month in ("01", "02", "03")],
        ["2020-01-01 00:00:00+00:00", "2020-01-02 00:00:00+00:00"],
        ["2020-01-01T00:00:00.500000-0330", "2020-01-01T00:00:01.000000-0330"],
        ["01.01.2020 05:00 -01:00", "01.01.2020 06:00 -01:00"],
        ["2020-01-01 05:00+02", "2020-01-01 06:00+02"],
        ["2020-01-01 05:00:00Z", "2020-01-01 06:00:00Z"],
    ],
)
def test_zones_are_kept(read, tmp_path, times):
    content = "\n".join(["when,a", *(f"{t},{x}" for x, t in enumerate(times))])
    found, count = read(content), len(times)
    again = written(found, tmp_path / "y.csv", count)
    assert again == times
    assert "UTC" not in "".join(found.notes)
    instants = [pd.Timestamp(t.replace("01.01.2020", "2020-01-01")) for t in times]
    assert written(found, tmp_path / "y.parquet", count) == instants


def test_a_zone_that_changes(read, tmp_path):
    times = ["2020-03-29 00:00:00+01:00", "2020-03-29 01:00:00+01:00"]
    times.append("2020-03-29 03:00:00+02:00")
    found = read("\n".join(["when,a", *(f"{t},{x}" for x, t in enumerate(times))]))
    times[2] = "2020-03-29 02:00:00+01:00"
    assert written(found, tmp_path / "y.csv", 3) == times
    assert found.notes[1:] == (
        "column 'when' has times in +02:00: samples get theirs in +01:00",
    )


@pytest.mark.parametrize(
    ("zone", "kept"),
    [
        ("UTC", "+0000"),
        ("+05:30", "+0530"),
        ("-03:30", "-0330"),
        ("Europe/Berlin", "+0000"),
    ],
)
def test_zones_of_parquet(tmp_path, zone, kept):
    times = pd.date_range("2020-07-01 10:00", periods=3, freq="h", tz=zone)
    frame = pd.DataFrame({"when": times, "a": [1.0, 2.0, 4.0]})
    frame.to_parquet(tmp_path / "x.parquet")
    found = read_file(file_config(tmp_path / "x.parquet"))
    again = written(found, tmp_path / "y.parquet", 3)
    assert again == times.tolist()
    assert {time.strftime("%z") for time in again} == {kept}
    note = "column 'when' has times in Europe/Berlin: samples get theirs in UTC"
    assert (found.notes[-1] == note) == (zone == "Europe/Berlin")


@pytest.mark.parametrize("dtype", ["int64", "Int64", "object"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_series_recorded_one_after_another(tmp_path, suffix, dtype):
    """Times rise through all of them; an id is no state that comes and goes."""
    ids = pd.Series([3] * 6 + [4] * 6, dtype=dtype)
    times = pd.date_range("2020-01-01", periods=12, freq="h")
    frame = pd.DataFrame({"id": ids, "time": times, "a": np.arange(12.0) ** 2})
    path = tmp_path / f"x{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    for found in (read_file(file_config(path)), read_array(frame)):
        assert found.channels == ("a",) and found.form.id_column == "id"
        assert [len(one) for one in found.series] == [6, 6]


@pytest.mark.parametrize(
    ("months_days", "time_format", "step"),
    [
        ([(1, d) for d in range(1, 14)], "%m/%d/%Y", "P1DT0H0M0S"),
        ([(m, 1) for m in range(1, 13)], "%m/%d/%Y", "P1M"),
        # As the other isn't rising:
        ([(2, 11), (2, 12), (3, 1)], "%m/%d/%Y", "P9DT12H0M0S"),
    ],
)
@pytest.mark.parametrize("day_first", [False, True])
def test_days_and_months(read, months_days, time_format, step, day_first):
    pairs = [(d, m) if day_first else (m, d) for m, d in months_days]
    years = [2020, 2021] if len(pairs) == 12 else [2020]
    rows = [f"{a:02}/{b:02}/{y},{y + a * b}" for y in years for a, b in pairs]
    found = read("\n".join(["when,a", *rows]))
    expected = "%d/%m/%Y" if day_first else time_format
    assert (found.form.time_format, found.form.time_step) == (expected, step)
    assert f"read the times of column 'when' as {expected}" in found.notes


@pytest.mark.parametrize(
    "dates",
    [
        ("05 01", "03 02", "04 03"),  # day and month: only so they rise
        ("01 01", "01 02", "03 03"),  # rise both ways, by 31 days each only so
    ],
)
@pytest.mark.parametrize("day_first", [False, True])
@pytest.mark.parametrize("adjacent", ["ids", "times"])
def test_days_and_months_within_ids(read, dates, day_first, adjacent):
    """As without ids: the way back from one id's end to the next's start is no step."""
    rows = []
    for one in "uv":
        for x, date in enumerate(dates):
            first, second = date.split() if day_first else date.split()[::-1]
            rows.append((one, f"{first}/{second}/2020", x))
    if adjacent == "times":
        rows.sort(key=lambda row: row[2])
    lines = [f"{one},{date},{x}" for one, date, x in rows]
    found = read("\n".join(["id,date,x", *lines]))
    assert lists(found) == [[[0], [1], [2]]] * 2
    assert found.form.time_format == ("%d/%m/%Y" if day_first else "%m/%d/%Y")


def test_decimal_points_of_columns_that_are_not_read(read):
    found = read("version;a;b\n1.5;2,5;0,5\n1.5;3,5;4\n", channels="a,b")
    assert lists(found) == [[[2.5, 0.5], [3.5, 4]]]


@pytest.mark.parametrize(
    ("dates", "step", "note"),
    [
        ("2020-01-31 2020-02-29 2020-03-31", "P1M-1D", ""),
        ("2019-11-30 2020-02-29 2020-05-31", "P3M-1D", ""),
        ("2020-01-30 2020-02-29 2020-03-31", "P30DT12H0M0S", "30 days 12:00:00"),
        ("2020-01-02 2020-01-03 2020-01-06 2020-01-07", "B", ""),
        ("2020-01-02 2020-01-03 2020-01-06 2020-01-08", "B", "one business day"),
        ("2020-01-02 2020-01-03 2020-01-04 2020-01-06", "P1DT0H0M0S", "1 days"),
    ],
)
@pytest.mark.parametrize("num_ids", [1, 2])
def test_dates_of_calendars(read, dates, step, note, num_ids):
    """Ends of months and business days; a holiday is a gap, a Saturday isn't one."""
    rows = [
        f"{i},{date},{x}"
        for i in range(num_ids)
        for x, date in enumerate(dates.split())
    ]
    found = read("\n".join(["id,date,x", *rows]))
    assert found.form.time_step == step
    uneven = [line for line in found.notes if "unevenly spaced" in line]
    assert len(uneven) == bool(note)
    assert not note or f"its median step, {note}" in uneven[0]


def test_uneven_times_are_noted(read):
    found = read("date,a\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n2020-01-05,4\n")
    assert found.notes[-1].startswith("column 'date' is unevenly spaced")
    assert found.notes[-1].endswith("its median step, 1 days 00:00:00")
    found = read(
        "date,a\n" + "".join(f"2020-01-01 0{h}:00,{h}\n" for h in (0, 1, 2, 5))
    )
    assert found.notes[-1].endswith(
        "after a gap too; samples get its median step, 01:00:00"
    )
    assert read("time,a\n0.5,1\n0.75,2\n1.0,3\n").form.time_step == "0.25"


@pytest.mark.parametrize("unit", ["", "e-9"])
def test_numbers_that_are_unevenly_spaced_at_any_scale(read, unit):
    content = "time,a\n" + "".join(f"{t}{unit},{t % 3}\n" for t in (0, 1, 5, 6))
    found = read(content)
    assert float(found.form.time_step) == float(f"1{unit}")
    assert found.notes[-1].startswith("column 'time' is unevenly spaced")
    rows = "".join(f"{t * t}{unit},{t % 3}\n" for t in range(20))
    assert read(f"elapsed,a\n{rows}").channels == ("elapsed", "a")


@pytest.mark.parametrize(
    "times",
    [
        [1_600_000_000_123_456_789 + 1_000_000_001 * i for i in range(5)],
        [i / 10 for i in range(10)],
        [0.3 + i / 4 for i in range(5)],
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_times_that_are_numbers_are_exact(tmp_path, times, suffix):
    frame = pd.DataFrame({"time": times, "a": np.arange(len(times)) ** 2})
    path = tmp_path / f"x{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    found = read_file(file_config(path))
    again = written(found, tmp_path / f"y{suffix}", len(times))
    kind = type(times[0])
    assert [kind(time) for time in again] == times


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (("1", "2", "3"), "int64"),
        (("1", "2.5", "3"), "float64"),
        (("1", "", "3"), "int64"),
        (("1.0", "2.0", "3.0"), "float64"),
        (("True", "False", "True"), "bool"),
        (("true", "", "false"), "bool"),
    ],
)
def test_types_are_kept(read, cells, dtype):
    found = read("b,a\n" + "".join(f"{i}.5,{cell}\n" for i, cell in enumerate(cells)))
    assert found.form.dtypes == ("float64", dtype)


@pytest.mark.parametrize(
    "cells, decimals",
    [
        (["1.25", "-3.5", ""], 2),
        (["1.0", "2.00", "3"], 0),
        (["100.001", "7", "1e2"], 3),
        (["0.1", "0.3000", "123456.7"], 1),
        (["3e-10", "1", "2"], ANY_DECIMALS),
        (["0.123456", "1", "2"], 6),
        (["0.1234567", "1", "2"], ANY_DECIMALS),
    ],
)
def test_decimals_are_kept(read, monkeypatch, cells, decimals):
    """Whatever the chunk and the row that has most of them."""
    for chunk in (200_000, 2):
        for module in ("rows", "csv_files"):
            monkeypatch.setattr(f"l2d_jax.data.own.{module}.CHUNK", chunk)
        for order in (cells, cells[::-1]):
            rows = "".join(f"{i},{cell}\n" for i, cell in enumerate(order))
            form = read("b,a\n" + rows).form
            assert form.decimals == (0, decimals) and form.places == (0, decimals)
            assert form.dtypes == ("int64", "float64")


def test_decimals_of_single_precision():
    """0.1 is no decimal number in either precision."""
    for dtype in ("float32", "float64"):
        column = np.array([0.1, 16.7, -2.35], dtype)
        assert decimals_of(column.astype(np.float64), dtype, least=0) == 2
        assert decimals_of(column.astype(np.float64), dtype, least=3) == 3
    third = np.array([1 / 3], np.float32).astype(np.float64)
    assert decimals_of(third, "float32", least=0) == ANY_DECIMALS
    assert decimals_of(np.array([np.nan]), "float64", least=0) == 0


def test_chunks_change_nothing(read, monkeypatch):
    """Each boundary of a chunk is crossed by something; one has no y."""
    rows = [
        f"2020-01-{d:02},{'ab'[d % 2]},{d}.5,{d if d % 5 and (d - 1) // 3 != 4 else ''}"
        for d in range(1, 29)
    ]
    content = "\n".join(["date,id,x,y", *rows, "", ""])
    whole = read(content)
    monkeypatch.setattr("l2d_jax.data.own.rows.CHUNK", 3)
    monkeypatch.setattr("l2d_jax.data.own.csv_files.CHUNK", 3)
    parts = read(content)
    assert lists(whole) == lists(parts)
    assert whole.form == parts.form and whole.notes == parts.notes
    assert whole.form.dtypes == ("float64", "int64")
    for line, bad in [(5, "2020-01-04,a,1,2,3"), (6, "2020-01-05,a,z,2"), (9, "2020")]:
        lines = content.split("\n")
        lines[line - 1] = bad
        with pytest.raises(InputError, match=f"line {line}[ ,:]"):
            read("\n".join(lines))


def test_faults_before_the_last_chunk(read, monkeypatch):
    """Near 1e9, float32 has every 64th whole number; and a row that is short."""
    monkeypatch.setattr("l2d_jax.data.own.csv_files.CHUNK", 2)
    with pytest.raises(InputError, match="varies by 64 around"):
        read("a\n1000000000\n1000000001\n1000000000\n1000000064\n")
    with pytest.raises(InputError, match="line 3: 1 of 2 values"):
        read("a,b\n1,2\n3\n4,5\n6,7\n")


# Parquet and DataFrames


@pytest.fixture
def frame() -> pd.DataFrame:
    times = pd.date_range("2020-01-01", periods=4, freq="h").astype("datetime64[us]")
    values = {
        "when": times,
        "count": np.array([3, 1, 2, 2], np.int32),
        "on": [True, False, True, True],
        "level": np.array([0.5, np.nan, 1.5, 2.5], np.float32),
        "where": ["a", "b", "c", "d"],
    }
    return pd.DataFrame(values)


def check_frame(found: Collection, suffix: str) -> None:
    assert lists(found) == [[[3, 1, 0.5], [1, 0, None], [2, 1, 1.5], [2, 1, 2.5]]]
    assert found.channels == ("count", "on", "level")
    assert found.form.dtypes == ("int32", "bool", "float32")
    assert found.form.columns == ("when", "count", "on", "level")
    assert found.form.time_step == "P0DT1H0M0S"
    assert found.form.suffix == suffix


@pytest.mark.parametrize("chunk", [200_000, 3])
def test_parquet_and_data_frame(frame, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("l2d_jax.data.own.frames.CHUNK", chunk)
    frame.to_parquet(tmp_path / "x.parquet")
    check_frame(read_file(file_config(tmp_path / "x.parquet")), ".parquet")
    check_frame(read_array(frame), ".parquet")
    check_frame(read_array(frame.convert_dtypes(convert_floating=False)), ".parquet")


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_dates_that_are_whole_numbers_stay_so(tmp_path, dtype):
    dates = np.array([20200131, 20200201, 20200202], dtype)
    pd.DataFrame({"date": dates, "a": [1.0, 2.0, 4.0]}).to_parquet(
        tmp_path / "x.parquet"
    )
    found = read_file(file_config(tmp_path / "x.parquet"))
    again = written(found, tmp_path / "out.parquet", 3)
    assert again == dates.tolist()
    assert pd.read_parquet(tmp_path / "out.parquet")["date"].dtype == dtype


def test_whole_numbers_with_gaps_stay_whole(tmp_path):
    counts = pd.array([0, 1, None, 7], "Int16")
    frame = pd.DataFrame({"id": counts, "a": pd.array([1, 2, 3, None], "UInt8")})
    frame.to_parquet(tmp_path / "x.parquet")
    for found in (read_array(frame), read_file(file_config(tmp_path / "x.parquet"))):
        assert lists(found) == [[[0, 1], [1, 2], [None, 3], [7, None]]]
        assert found.form.dtypes == ("int16", "uint8")
    frame["time"] = pd.array([None] * 4, "Int64")
    with pytest.raises(InputError, match="column 'time': the value is missing"):
        read_array(frame)


def test_a_column_alone_keeps_its_name():
    assert read_array(pd.Series([1.0, 2.0], name="load")).channels == ("load",)
    assert read_array(pd.Series([1.0, 2.0])).channels == ("value",)


def test_sparse_columns():
    found = read_array(pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 2])}))
    assert lists(found) == [[[0], [0], [2]]]
    assert found.form.dtypes == ("int64",)


def test_a_table_of_another_library_is_read_as_one():
    table = pa.table({"id": [1, 1, 2, 2], "load": [0.5, 1.5, 2.5, 3.5]})
    found = read_array(table)
    assert lists(found) == [[[0.5], [1.5]], [[2.5], [3.5]]]
    assert found.channels == ("load",)


@pytest.mark.parametrize("cell", [[1.0, 2.0], {"a": 1.0}, np.ones(2)])
def test_columns_of_lists_are_left_out(read, tmp_path, cell):
    frame = pd.DataFrame(
        {"a_id": [cell] * 3, "label": [cell] * 3, "v": [1.0, 2.0, 4.0]}
    )
    frame.to_parquet(tmp_path / "x.parquet")
    for found in (read_array(frame), read_file(file_config(tmp_path / "x.parquet"))):
        assert found.channels == ("v",)
        assert any(
            note.startswith("left out 'a_id', 'label': lists; give each step a row")
            for note in found.notes
        )
    with pytest.raises(InputError, match="no column of numbers: 'a_id' holds lists"):
        read_array(frame[["a_id"]])
    config = file_config(tmp_path / "x.parquet", id_column="a_id")
    with pytest.raises(InputError, match="id_column, holds lists; give"):
        read_file(config)


def test_an_index_of_times_is_the_time(frame, tmp_path):
    frame = frame.set_index("when")
    check_frame(read_array(frame), ".parquet")
    frame.index.name = None
    frame.to_parquet(tmp_path / "x.parquet")
    for found in (read_array(frame), read_file(file_config(tmp_path / "x.parquet"))):
        assert found.form.time_column == "time"
        assert found.channels == ("count", "on", "level")


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_of_arrow(tmp_path, zone):
    """They are read as those of pandas: zone and all."""
    times = pd.date_range("2020-07-01 10:00", periods=3, freq="h", tz=zone)
    frame = pd.DataFrame({"when": times, "a": [1.0, 2.0, 4.0]})
    found = read_array(frame.convert_dtypes(dtype_backend="pyarrow"))
    assert found.form.time_format == read_array(frame).form.time_format
    assert written(found, tmp_path / "y.parquet", 3) == times.tolist()


def test_an_index_whose_levels_have_no_names(frame):
    together = pd.concat([frame, frame], keys=["u", "v"])
    with pytest.raises(
        InputError, match=r"level 0 of its index .*: name all, as frame"
    ):
        read_array(together)
    assert len(read_array(together.rename_axis(["id", "row"])).series) == 2


def test_an_index_with_gaps_is_left_out(frame):
    found = read_array(frame.drop(index=2))
    assert found.channels == ("count", "on", "level")
    left_out = "left out the index, which has no name: name it to use it"
    assert left_out in found.notes
    found = read_array(frame.set_axis([0, 1, 2, 3]))
    assert found.channels == ("count", "on", "level")
    assert "left out a column without a name: it counts the rows" in found.notes


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ts_with_labels_that_are_numbers(read, mark):
    lines = [f"{mark}@problemName p", "@timeStamps false", "@univariate false"]
    lines += ["@classLabel true 10 9", "@data", "1,2:3,4:10", "5,?,6:7,8,9:9"]
    found = read("\n".join(lines) + "\n", "x.ts")
    assert lists(found) == [[[1, 3], [2, 4]], [[5, 7], [None, 8], [6, 9]]]
    assert (found.classes, found.labels.tolist()) == (("9", "10"), [1, 0])


def test_ts_with_some_classes_that_the_header_writes_in_another_way(read):
    found = read(TS.format("true") + "1,2:b\n2,3:1\n3,5:c\n", "x.ts")
    assert found.classes == ("1", "b", "c")


def test_what_a_ts_file_leaves_out_is_named(read):
    head = "@problemName p\n@timeStamps {}\n@univariate true\n@{}\n@data\n"
    found = read(
        head.format("true", "classLabel false")
        + "(2020-01-01 00:00:00,1),(2020-01-01 01:00:00,3)\n",
        "x.ts",
    )
    assert lists(found) == [[[1], [3]]]
    assert found.notes == (
        "left out the time stamps: steps count in the order of the file",
    )
    found = read(head.format("false", "targetLabel true") + "1,3:0.5\n", "x.ts")
    assert lists(found) == [[[1], [3]]] and found.labels is None
    assert found.form == Form(".ts", ("float64",))
    assert found.notes == (
        "left out the targets (@targetLabel): only classes are read",
    )


def test_a_fault_in_a_data_frame_names_its_row(frame):
    frame.loc[2, "level"] = np.inf
    says = (
        r"the DataFrame, row 2 \(the first is 0\), column 'level': 'inf' is not finite"
    )
    with pytest.raises(InputError, match=says):
        read_array(frame)


def test_a_fault_behind_the_first_row_group(tmp_path):
    texts = [str(i % 7) for i in range(300)]
    texts[250] = "BAD"
    frame = pd.DataFrame({"x": pd.Categorical(texts), "y": np.arange(300.0)})
    frame.to_parquet(tmp_path / "x.parquet", row_group_size=100)
    says = r"row 250 \(the first is 0\), column 'x': 'BAD' is not a number; correct it"
    with pytest.raises(InputError, match=says):
        read_file(file_config(tmp_path / "x.parquet"))


# Arrays


def test_a_recording_stays_on_disk(tmp_path):
    for shape in ((50, 3), (4, 50, 3)):
        np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=shape))
        found = read_file(file_config(tmp_path / "x.npy"))
        base = found.series[0]
        while not isinstance(base, np.memmap):
            base = base.base
        assert len(found.series) == (1 if len(shape) == 2 else 4)
        assert found.channels == ("channel_0", "channel_1", "channel_2")


@pytest.mark.parametrize("piece", [1 << 22, 4])
def test_nan_at_the_end_of_a_series_is_its_end(monkeypatch, piece):
    monkeypatch.setattr("l2d_jax.data.own.arrays.PIECE", piece)
    array = np.arange(12.0).reshape(3, 2, 2)
    array[0, 1] = np.nan
    array[1, 0, 0] = np.nan
    array[2] = np.nan
    found = read_array(array)
    expected = [[[0, 1]], [[None, 5], [6, 7]], [[None, None], [None, None]]]
    assert lists(found) == expected


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.array([[1, 2], [3, 5]], np.int8), "int8"),
        (np.array([[True, False], [False, True]]), "bool"),
        (np.array([[1, 2], [3, 5]], ">f8"), "float64"),
        (np.array([[1, 2], [3, 5]], np.float16), "float16"),
        (np.array([[1, 2], [3, 5]], np.longdouble), "float64"),
        (jnp.array([[1, 2], [3, 5]], jnp.bfloat16), "float32"),
        (jnp.array([[1, 2], [3, 5]]), "int32"),
        ([[1, 2], [3, 5]], "int64"),
    ],
)
def test_arrays_of_all_types(given, dtype):
    found = read_array(given)
    if isinstance(given, list):  # two series of one channel
        assert lists(found) == [[[1], [2]], [[3], [5]]]
    else:
        np.testing.assert_array_equal(found.series[0], np.asarray(given, np.float32))
    assert set(found.form.dtypes) == {dtype}
    assert all(one.dtype.kind == "f" and one.dtype.isnative for one in found.series)


def test_what_is_masked_is_missing():
    masked = np.ma.masked_equal([[1, -9], [-9, 4]], -9)
    for given in (masked, [masked]):
        found = read_array(given)
        assert lists(found) == [[[1, None], [None, 4]]]
        assert found.form.dtypes == ("float64", "float64")


def test_lists_of_different_lengths():
    found = read_array([np.ones((2, 3)), np.zeros((1, 3), int)])
    assert [one.shape for one in found.series] == [(2, 3), (1, 3)]


def test_lists_of_different_types():
    found = read_array([np.ones((2, 2), np.int8), np.ones((3, 2), np.int16)])
    assert found.form.dtypes == ("float64", "float64")


def test_a_recording_has_no_labels(tmp_path):
    assert read_array(np.array([3.0, 5.0])).notes == ()
    np.savez(tmp_path / "x.npz", x=np.array([3.0, 5.0]), label="a")
    found = read_file(file_config(tmp_path / "x.npz"))
    assert found.labels is None
    assert found.notes == ("left out the labels: one recording has none",)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "no series: give one or more"),
        (
            [np.ones((2, 3)), np.ones((2, 2))],
            r"series 1 .* shape \[2, 2\]: give \[L_i, 3\]",
        ),
        ([np.ones((2, 3)), np.ones((0, 3))], r"series 1 .* shape \[0, 3\]"),
        ([np.ones(2), 3.0], "series 1"),
        (np.ones((2, 3)) * 1j, "the array holds complex128: give real numbers"),
        (np.array([{}]), "the array holds Python objects"),
        ([[1.0, 2.0], [3.0, "x"]], "series 1 .*: give real numbers"),
        (
            [np.ones(3), np.array([1, 2, np.inf])],
            "series 1, step 2, channel 'channel_0'",
        ),
        (np.array([1e9, 1e9 + 1]), "'channel_0' varies by 1 .* subtract a constant"),
        (
            np.array([2**40, 2**40 + 1]),
            "'channel_0' varies by 1 .* subtract a constant",
        ),
        (
            np.array([2**30, 2**30 + 1], np.int32),
            "'channel_0' varies by 1 .* subtract a constant",
        ),
        (
            np.array([1e9, 1e9 + 1], ">f8"),
            "'channel_0' varies by 1 .* subtract a constant",
        ),
        (
            [np.array([1e9, 1e9 + 1], np.longdouble)],
            "'channel_0' varies by 1 .* subtract a constant",
        ),
        (np.array([1e99, 1.0], ">f8"), "1e[+]99 is not finite in float32"),
        (3.0, r"the array has shape \[\]"),
        (np.array([1e99, 1.0]), "1e[+]99 is not finite in float32"),
    ],
)
def test_arrays_that_fail(given, says):
    with pytest.raises(InputError, match=says) as error:
        read_array(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("span", "fits"), [(1000, True), (998, False)])
def test_float32_must_tell_a_thousand_levels_apart(span, fits):
    """It has every other whole number from 2^24 on, so that an odd one is 1 off."""
    series = 2.0**24 + np.array([0.0, 1.0, span])
    if fits:
        read_array(series)
    else:
        with pytest.raises(InputError, match="varies by 998 "):
            read_array(series)


def test_a_fault_behind_the_first_piece(monkeypatch):
    monkeypatch.setattr("l2d_jax.data.own.arrays.PIECE", 4)
    array = np.ones((10, 2))
    array[7, 1] = np.inf
    with pytest.raises(InputError, match="array, step 7, channel 'channel_1'"):
        read_array(array)


def test_npz_with_all_that_it_may_hold(tmp_path):
    np.savez(
        tmp_path / "x.npz",
        series=np.arange(12).reshape(3, 2, 2),
        lengths=[2, 1, 2],
        labels=["b", "a", "b"],
        channels=["u", "v"],
    )
    found = read_file(file_config(tmp_path / "x.npz"))
    assert lists(found) == [[[0, 1], [2, 3]], [[4, 5]], [[8, 9], [10, 11]]]
    assert (found.channels, found.classes) == (("u", "v"), ("a", "b"))
    assert found.labels.tolist() == [1, 0, 1]
    assert found.form == Form(".npz", ("int64", "int64"))


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32", "float64"])
def test_lengths_of_all_types(tmp_path, dtype):
    lengths = np.array([2, 1], dtype)
    np.savez(tmp_path / "x.npz", series=np.ones((2, 3, 1)), lengths=lengths)
    found = read_file(file_config(tmp_path / "x.npz"))
    assert [len(one) for one in found.series] == [2, 1]


def test_npz_with_more_than_is_read(tmp_path):
    np.savez(
        tmp_path / "x.npz",
        x=np.arange(4).reshape(2, 2, 1),
        data=np.zeros((2, 2, 1)),
        mask=[1, 0],
        label=[7, 5],
        settings="{}",
    )
    found = read_file(file_config(tmp_path / "x.npz"))
    assert lists(found) == [[[0], [1]], [[2], [3]]]
    assert (found.classes, found.labels.tolist()) == (("5", "7"), [1, 0])
    assert found.notes == ("left out 'data', 'mask': the series are read from 'x'",)


def test_npz_with_labels_that_are_numbers(tmp_path):
    """10.0 is class 10, as in a table; and classes are in the order of their size."""
    for labels in ([10.0, 9.0, 10.0], [10, 9, 10], ["10", "9", "10"]):
        np.savez(tmp_path / "x.npz", x=np.ones((3, 2, 1)), y=labels)
        found = read_file(file_config(tmp_path / "x.npz"))
        assert (found.classes, found.labels.tolist()) == (("9", "10"), [1, 0, 1])


def test_npz_with_text_in_bytes(tmp_path):
    names = np.array([one.encode() for one in ("cat", "ärger", "cat")])
    series = np.arange(12).reshape(3, 2, 2)
    np.savez(tmp_path / "x.npz", series=series, y=names, channels=[b"u", b"v"])
    found = read_file(file_config(tmp_path / "x.npz"))
    assert (found.channels, found.classes) == (("u", "v"), ("cat", "ärger"))
    assert found.labels.tolist() == [0, 1, 0]


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

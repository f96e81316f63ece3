"""A user's table as text: each fault is one line of help, and chunks change nothing."""

import gzip

import pytest
from own_files import assert_it_fails_with_one_line, lists

from l2d_jax.types import InputError

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
    "one row": ("x.csv", "a,b\n1,2\n", "x.csv has 1 row: add rows$"),
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
}


@pytest.mark.parametrize("case", FAILS.values(), ids=FAILS)
def test_files_that_fail_with_one_line(tmp_path, case):
    assert_it_fails_with_one_line(tmp_path, case)


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


def test_decimal_points_of_columns_that_are_not_read(read):
    found = read("version;a;b\n1.5;2,5;0,5\n1.5;3,5;4\n", channels="a,b")
    assert lists(found) == [[[2.5, 0.5], [3.5, 4]]]


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

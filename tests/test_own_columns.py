"""Columns of a user's table: what each is taken for, and in which type."""

import numpy as np
import pandas as pd
import pytest
from own_files import assert_it_fails_with_one_line, file_config, lists

from l2d_jax.data.own import read_array, read_file
from l2d_jax.data.own.rows import decimals_of
from l2d_jax.types import ANY_DECIMALS, Form


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


def test_a_code_along_one_time_is_no_id(read):
    """Weather 1, 2, 1, ... of one recording; of a panel the same is an id."""

    def rows(time):
        return "".join(f"2020-01-{time(i):02d},{i},{1 + i % 2}\n" for i in range(20))

    found = read("time,load,weather_id\n" + rows(lambda i: i + 1))
    assert (len(found.series), found.channels) == (1, ("load", "weather_id"))
    found = read("time,load,weather_id\n" + rows(lambda i: i // 2 + 1))
    assert (len(found.series), found.channels) == (2, ("load",))


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


FAILS = {
    "constant": (
        "x.csv",
        "a\n3\n3\n",
        "column 'a' is 3 in every row, .*: add a column",
    ),
    "hardly varies": (
        "x.csv",
        "a\n1e9\n1000000001\n",
        "varies by 1 .* subtract a constant",
    ),
    "words": ("x.csv", "a\nx\ny\n", "has no numeric column .*'a'"),
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
}


@pytest.mark.parametrize("case", FAILS.values(), ids=FAILS)
def test_files_that_fail_with_one_line(tmp_path, case):
    assert_it_fails_with_one_line(tmp_path, case)

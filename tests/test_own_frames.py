"""A user's DataFrame, in memory and as parquet."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from own_files import file_config, lists, written

from l2d_jax.data.own import read_array, read_file
from l2d_jax.types import Collection, InputError


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

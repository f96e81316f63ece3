import csv
import gc
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from l2d_jax.samples import read_npz, write_samples
from l2d_jax.types import ANY_DECIMALS, Examples, Form, InputError

SERIES = np.arange(5 * 3 * 2, dtype=np.float32).reshape(5, 3, 2)
LENGTHS = np.array([3, 2, 3, 1, 3])
CHANNELS = ("price", "volume, shares")


def batches():
    ragged = np.where(
        np.arange(3)[None, :, None] < LENGTHS[:, None, None], SERIES, np.nan
    )
    yield Examples(ragged[:2], LENGTHS[:2])
    yield Examples(ragged[2:], LENGTHS[2:])


def write(path, parts=None, n=5):
    settings = {"seed": 3, "solver": "ddim"}
    parts = batches() if parts is None else parts
    write_samples(path, parts, n=n, channels=CHANNELS, settings=settings)
    return path


def peak(path, count, shape):
    """Bytes held at most while so many batches of a shape are written."""

    def many():
        for _ in range(count):
            yield Examples(np.zeros(shape, np.float32), np.full(shape[0], shape[1]))

    tracemalloc.start()
    write(path, many(), n=count * shape[0])
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size


def test_npz_reads_back(tmp_path):
    examples, settings = read_npz(write(tmp_path / "x.npz"))
    assert settings == {"seed": 3, "solver": "ddim"}
    assert examples.lengths.tolist() == LENGTHS.tolist()
    for one, expected, length in zip(examples.series, SERIES, LENGTHS, strict=True):
        np.testing.assert_array_equal(one[:length], expected[:length])
        assert np.isnan(one[length:]).all()
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert tuple(file["channels"]) == CHANNELS
        assert json.loads(str(file["settings"]))["seed"] == 3


def test_npy_is_plain_numpy(tmp_path):
    series = np.load(write(tmp_path / "x.npy"), allow_pickle=False)
    np.testing.assert_array_equal(series[0], SERIES[0])
    assert series.shape == (5, 3, 2)


def test_csv_has_a_row_per_step_inside_a_series(tmp_path):
    path = write(tmp_path / "x.csv")
    assert b"\r" not in path.read_bytes()  # `cut` and `awk` would take it for a value
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["sample_id", "t", *CHANNELS]
    assert len(rows) == LENGTHS.sum()
    ids = [(int(row[0]), int(row[1])) for row in rows]
    assert ids == [(i, t) for i in range(5) for t in range(LENGTHS[i])]
    assert [float(v) for v in rows[3][2:]] == SERIES[1, 0].tolist()


@pytest.mark.parametrize("ending", [".npz", ".npy", ".csv", ".parquet", ".ts"])
def test_an_interrupted_write_leaves_nothing_and_keeps_the_old_file(tmp_path, ending):
    path = write(tmp_path / f"x{ending}")
    before = path.read_bytes()

    def failing():
        yield from list(batches())[:1]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write(path, failing())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".npz", ".npy"])
def test_memory_does_not_depend_on_n(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    few, lots = (peak(path, count, (256, 24, 6)) for count in (4, 64))
    assert lots < few + 60 * 256 * 24 * 6 * 4 / 10  # a tenth of what was added


@pytest.mark.parametrize(
    "name, says",
    [
        ("x.txt", r"--out=.*x\.txt: use a name that ends in \.npz, \.npy, \.csv"),
        ("missing/x.npz", "the folder .*missing is missing: make it"),
        ("folder.npz", "is a folder: name a file in it"),
    ],
)
def test_places_that_can_not_be_written_are_refused(tmp_path, name, says):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match=says):
        write(tmp_path / name)


def test_a_file_too_large_for_memory_is_not_damaged(tmp_path, monkeypatch):
    def load(file, allow_pickle):
        raise MemoryError

    path = write(tmp_path / "x.npz")
    monkeypatch.setattr(np, "load", load)
    with pytest.raises(MemoryError):
        read_npz(path)


def test_files_that_are_not_ours_are_refused(tmp_path):
    with pytest.raises(InputError, match="missing: --mode=evaluate makes it"):
        read_npz(tmp_path / "none.npz")
    path = write(tmp_path / "x.npz")
    whole = path.read_bytes()
    method = whole.rindex(b"PK\1\2") + 10  # of the last entry, that of the settings
    odd = whole[:method] + b"\x63" + whole[method + 1 :]
    for damaged in (whole[:-200], b"", odd):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"x\.npz can't be read"):
            read_npz(path)
    with path.open("wb") as file:  # a single array
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"x\.npz can't be read"):
        read_npz(path)


# In the form of the user's file


def write_form(path, form, series=None, lengths=None):
    series = SERIES if series is None else np.asarray(series, np.float32)
    lengths = np.full(len(series), series.shape[1]) if lengths is None else lengths
    parts = iter([Examples(series[:1], lengths[:1]), Examples(series[1:], lengths[1:])])
    names = ("a", "b")[: series.shape[2]]
    before = series.copy()
    write_samples(path, parts, n=len(series), channels=names, settings={}, form=form)
    np.testing.assert_array_equal(series, before)
    return path


WHOLE = [[[0.4, 300], [1.6, -300]], [[2.5, 7], [-1, 1e20]]]


def test_a_table_has_the_columns_of_the_users(tmp_path):
    form = Form(
        ".csv",
        ("int8", "bool"),
        ("b", "when", "who", "a"),
        id_column="who",
        time_column="when",
        time_start="2020-01-31T23:30:00.000000",
        time_step="P0DT0H30M0S",
        time_format="%d.%m.%Y %H:%M",
        separator=";",
        decimal=",",
    )
    path = write_form(tmp_path / "x.csv", form, WHOLE)
    assert path.read_text().splitlines() == [
        "b;when;who;a",
        "True;31.01.2020 23:30;0;0",
        "False;01.02.2020 00:00;0;2",
        "True;31.01.2020 23:30;1;2",
        "True;01.02.2020 00:00;1;-1",
    ]


def test_samples_of_a_recording_are_told_apart(tmp_path):
    form = Form(".csv", ("float64", "int8"), ("b", "a"), separator=";", decimal=",")
    path = write_form(tmp_path / "x.csv", form, WHOLE)
    assert path.read_text().splitlines() == [
        "sample_id;b;a",
        "0;127;0,4",
        "0;-128;1,6",
        "1;7;2,5",
        "1;127;-1",
    ]


@pytest.mark.parametrize(
    ("start", "step", "time_format", "expected"),
    [
        ("3", "2", "", ["3", "5", "7"]),
        (
            "1700000000000",
            "1000",
            "",
            ["1700000000000", "1700000001000", "1700000002000"],
        ),
        ("0", "0.1", "", ["0", "0.1", "0.2"]),
        ("2020-11-30", "P1M", "%Y-%m-%d", ["2020-11-30", "2020-12-30", "2021-01-30"]),
        ("2020-12-30", "P1M", "%Y-%m-%d", ["2020-12-30", "2021-01-30", "2021-02-28"]),
        ("2020-01-31", "P1M-1D", "%m/%d", ["01/31", "02/29", "03/31"]),
        ("2020-02-29", "P3M-1D", "%m/%d", ["02/29", "05/31", "08/31"]),
        ("2020-11-30", "P1M-1D", "%m/%d", ["11/30", "12/31", "01/31"]),
        ("2020-01-02 17:30", "B", "%d %H:%M", ["02 17:30", "03 17:30", "06 17:30"]),
        ("2020-01-01", "P1DT0H0M0.5S", "%d %H:%M:%S.%f", None),
        ("2020-01-01", "P7DT0H0M0S", "%Y-%m-%dT%H%z", None),
    ],
)
def test_the_clock_goes_on_as_in_the_users_file(
    tmp_path, start, step, time_format, expected
):
    form = Form(
        ".csv",
        ("float32",),
        ("time", "a"),
        time_column="time",
        time_start=start,
        time_step=step,
        time_format=time_format,
    )
    path = write_form(tmp_path / "x.csv", form, np.zeros((1, 3, 1)))
    times = [line.split(",")[1] for line in path.read_text().splitlines()[1:]]
    if expected is None and "%z" in time_format:
        expected = [f"2020-01-{day}T00+0000" for day in ("01", "08", "15")]
    elif expected is None:
        expected = ["01 00:00:00.000000", "02 00:00:00.500000", "03 00:00:01.000000"]
    assert times == expected


def test_a_clock_of_numbers_from_below_0(tmp_path):
    """Fractions have the decimal mark of the file; whole numbers stay whole."""
    form = Form(
        ".csv",
        ("float32",),
        ("time", "a"),
        time_column="time",
        time_start="-1",
        time_step="0.5",
        separator=";",
        decimal=",",
    )
    path = write_form(tmp_path / "x.csv", form, np.zeros((1, 3, 1)))
    times = [line.split(";")[1] for line in path.read_text().splitlines()[1:]]
    assert times == ["-1", "-0,5", "0"]
    form = form._replace(suffix=".parquet", time_step="1")
    path = write_form(tmp_path / "x.parquet", form, np.zeros((1, 3, 1)))
    times = pd.read_parquet(path)["time"]
    assert times.tolist() == [-1, 0, 1] and times.dtype == np.int64


def test_columns_of_ones_own_get_names_that_are_free(tmp_path):
    path = tmp_path / "x.csv"
    batch = Examples(np.array([[[7.0, np.nan]]], np.float32), np.array([1]))
    for channels, own in (
        (("t", "sample_id"), "_sample_id,_t"),
        (("t", "_t"), "sample_id,__t"),
    ):
        write_samples(path, iter([batch]), n=1, channels=channels, settings={})
        lines = [f"{own},{','.join(channels)}", "0,0,7,"]
        assert path.read_text().splitlines() == lines
    form = Form(
        ".csv",
        ("float32",) * 2,
        ("sample_id", "a", "b"),
        time_column="sample_id",
        time_start="3",
        time_step="1",
    )
    write_form(path, form, batch.series)
    assert path.read_text().splitlines() == ["_sample_id,sample_id,a,b", "0,3,7,"]


def test_large_numbers_have_all_digits_before_the_point(tmp_path):
    form = Form(".csv", ("float64",) * 2)
    values = np.array([[[109506240.0, 0.1234567], [-12345678.0, 1e-9]]])
    path = write_form(tmp_path / "x.csv", form, values)
    cells = [line.split(",")[2:] for line in path.read_text().splitlines()[1:]]
    assert cells == [["109506240", "0.1234567"], ["-12345678", "1e-09"]]


def test_decimals_in_double_precision(tmp_path):
    """0.1 of float32 is 0.10000000149 in float64, where the file has 0.1."""
    form = Form(".parquet", ("float64",) * 2, decimals=(1, ANY_DECIMALS))
    path = write_form(tmp_path / "x.parquet", form, np.full((2, 2, 2), 0.1))
    written = pd.read_parquet(path)[["a", "b"]].to_numpy()
    np.testing.assert_array_equal(written, [[0.1, np.float32(0.1)]] * 4)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("int64", "int64"), "int64"),
        (("int8", "int16"), "int16"),
        (("bool", "bool"), "bool"),
        (("uint64", "int8"), "int64"),
        (("int64", "float64"), "float32"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_whole_numbers_stay_whole(tmp_path, suffix, dtypes, expected):
    path = write_form(tmp_path / f"x{suffix}", Form(suffix, dtypes), WHOLE)
    found = np.load(path, allow_pickle=False)
    series = found if suffix == ".npy" else found["series"]
    assert series.dtype == expected
    low = 0 if dtypes[0] in ("bool", "uint64") else -1
    high = 1 if dtypes[0] == "bool" else 2
    assert np.rint(series[:, :, 0]).tolist() == [[0, high], [high, low]]
    if suffix == ".npz":
        examples, _ = read_npz(path)
        assert examples.series.dtype == np.float32
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_whole_numbers_that_the_common_type_lacks(tmp_path):
    form = Form(".npy", ("uint64", "int8"))
    path = write_form(tmp_path / "x.npy", form, np.full((1, 2, 2), 1.5e19))
    largest = np.iinfo(np.int64).max
    np.testing.assert_allclose(np.load(path), [[[largest, 127]] * 2], rtol=1e-6)


def test_whole_numbers_piece_by_piece(tmp_path):
    series = np.broadcast_to(np.arange(5)[:, None, None], (5, 2**19, 1))
    path = write_form(tmp_path / "x.npy", Form(".npy", ("int8",)), series)
    np.testing.assert_array_equal(np.load(path), series)
    assert path.stat().st_size < series.size + 1000  # a byte each


def test_no_file_is_deleted_while_it_is_mapped(tmp_path, monkeypatch):
    """Windows refuses to."""
    unlink, deleted = Path.unlink, []

    def delete(path, **options):
        # By `type`: `isinstance` would ask weak references, also to what is gone.
        maps = [one for one in gc.get_objects() if type(one) is np.memmap]
        assert path.name not in [Path(one.filename).name for one in maps]
        deleted.append(path.name)
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", delete)
    write_form(tmp_path / "x.npy", Form(".npy", ("int8", "int8")), WHOLE)
    assert any(name.endswith(".part") for name in deleted)


def test_whole_numbers_of_shorter_series_need_nan(tmp_path):
    form = Form(".npz", ("int64", "int64"))
    for lengths in ([2, 1], [1, 2]):
        path = write_form(tmp_path / "x.npz", form, WHOLE, np.array(lengths))
        examples, _ = read_npz(path)
        assert examples.series[0].tolist() == [[0, 300], [2, -300]]
        assert examples.lengths.tolist() == lengths
        with np.load(path) as file:
            assert file["series"].dtype == np.float32


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_the_range_of_a_type_is_kept(tmp_path, dtype):
    series = np.full((1, 1, 1), 1e30)
    path = write_form(tmp_path / "x.npy", Form(".npy", (dtype,)), series)
    limit = np.iinfo(dtype).max
    assert limit * (1 - 1e-6) < np.load(path)[0, 0, 0] <= limit


def test_parquet_is_typed(tmp_path):
    import pyarrow.parquet as pq

    form = Form(
        ".parquet",
        ("int8", "float64"),
        ("ds", "a", "b"),
        time_column="ds",
        time_start="2020-01-01",
        time_step="P1DT0H0M0S",
        time_format="%Y-%m-%dT%H:%M:%S.%f",
    )
    path = write_form(tmp_path / "x.parquet", form, WHOLE, np.array([2, 1]))
    table = pq.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    assert list(types.items()) == [
        ("sample_id", "int64"),
        ("ds", "timestamp[us]"),
        ("a", "int8"),
        ("b", "double"),
    ]
    assert table["sample_id"].to_pylist() == [0, 0, 1]
    assert table["a"].to_pylist() == [0, 2, 2]
    assert [time.day for time in table["ds"].to_pylist()] == [1, 2, 1]
    assert pq.ParquetFile(path).num_row_groups == 2
    text = form._replace(time_format="%Y-%m-%d")  # the user's file held text
    table = pq.read_table(write_form(tmp_path / "y.parquet", text, WHOLE))
    assert table["ds"].to_pylist()[:2] == ["2020-01-01", "2020-01-02"]


def test_ts_has_a_line_per_series(tmp_path):
    path = write_form(tmp_path / "x.ts", None, lengths=np.array([3, 2, 3, 1, 3]))
    lines = path.read_text().splitlines()
    assert lines[lines.index("@data") + 1 :][:2] == ["0,2,4:1,3,5", "6,8:7,9"]
    assert {"@univariate false", "@dimensions 2"} <= {*lines}
    path = write_form(tmp_path / "y.ts", None, SERIES[..., :1])
    assert {"@univariate true", "@dimensions 1"} <= {*path.read_text().splitlines()}
    form = Form(".csv", ("bool", "int8"))  # the format knows numbers alone
    path = write_form(tmp_path / "z.ts", form, np.array([[[0.2, 3], [0.9, 4]]]))
    assert path.read_text().splitlines()[-1] == "0,1:3,4"


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".ts"])
def test_memory_of_text_does_not_depend_on_n(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    peak(path, 1, (64, 24, 2))  # imports
    few, lots = (peak(path, count, (64, 24, 2)) for count in (2, 10))
    assert lots < 1.5 * few

"""A user's arrays, in memory and in .npy and .npz files."""

import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from own_files import assert_it_fails_with_one_line, file_config, lists, npy_bytes

from l2d_jax.data.own import read_array, read_file
from l2d_jax.types import Form, InputError


def test_no_time_in_an_array(read):
    content = npy_bytes(np.array([3.0, 5.0]))
    assert lists(read(content, "x.npy", time_column="none")) == [[[3], [5]]]


def test_a_recording_stays_on_disk(tmp_path):
    for shape in ((50, 3), (4, 50, 3)):
        np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=shape))
        found = read_file(file_config(tmp_path / "x.npy"))
        base = found.series[0]
        while not isinstance(base, np.memmap):
            base = base.base
        assert len(found.series) == (1 if len(shape) == 2 else 4)
        assert found.channels == ("channel_0", "channel_1", "channel_2")


@pytest.mark.parametrize("piece", [1 << 21, 4])
def test_nan_at_the_end_of_a_series_is_its_end(monkeypatch, piece):
    monkeypatch.setattr("l2d_jax.chunks.VALUES", piece)
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
    monkeypatch.setattr("l2d_jax.chunks.VALUES", 4)
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


OBJECTS = np.array([[1, 2], [3]], dtype=object)


FAILS = {
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
    "npy with a time": (
        "x.npy",
        lambda p: np.save(p, np.ones(3)),
        "has no columns: leave --config.data.time_column empty",
        {"time_column": "a"},
    ),
}


@pytest.mark.parametrize("case", FAILS.values(), ids=FAILS)
def test_files_that_fail_with_one_line(tmp_path, case):
    assert_it_fails_with_one_line(tmp_path, case)

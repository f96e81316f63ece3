import csv
import json
import tracemalloc

import numpy as np
import pytest

from l2d_jax.samples import read_npz, write_samples
from l2d_jax.types import Examples, InputError

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
    with open(write(tmp_path / "x.csv"), newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["sample_id", "t", *CHANNELS]
    assert len(rows) == LENGTHS.sum()
    ids = [(int(row[0]), int(row[1])) for row in rows]
    assert ids == [(i, t) for i in range(5) for t in range(LENGTHS[i])]
    assert [float(v) for v in rows[3][2:]] == SERIES[1, 0].tolist()


@pytest.mark.parametrize("ending", [".npz", ".npy", ".csv"])
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
    def many(count):
        for _ in range(count):
            series = np.zeros((256, 24, 6), np.float32)
            yield Examples(series, np.full(256, 24))

    def peak(count):
        tracemalloc.start()
        write(tmp_path / f"x{ending}", many(count), n=256 * count)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    few, lots = peak(4), peak(64)
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


def test_files_that_are_not_ours_are_refused(tmp_path):
    with pytest.raises(InputError, match="missing: run --mode=sample first"):
        read_npz(tmp_path / "none.npz")
    path = write(tmp_path / "x.npz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"x\.npz can't be read"):
        read_npz(path)

"""Data sets, windows, scaling, ragged lengths, batches: with answers known before."""

import io
import re
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from l2d_jax.data import (
    Normalizer,
    batch_indices,
    chunk_indices,
    from_list,
    from_model_space,
    load_splits,
    sources,
    to_list,
    to_model_space,
    windows,
)
from l2d_jax.types import Examples, InputError, is_ragged


def data_config(**differences) -> ConfigDict:
    """The fields of `config.data`, for short recordings."""
    fields = {
        "name": "csv",
        "path": "",
        "window": 2,
        "stride": 1,
        "scaler": "min_max",
        "length": 0,
    }
    return ConfigDict(fields | differences)


def equal_length(series) -> Examples:
    """Examples that all fill their array."""
    series = np.asarray(series, dtype=np.float32)
    return Examples(series, np.full(len(series), series.shape[1]))


def assert_one_line(error: pytest.ExceptionInfo) -> None:
    assert "\n" not in str(error.value)


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stok", "did you mean 'stock'"),
        ("japanese_vowel", "did you mean 'japanese_vowels'"),
        ("qqq", "no data set: The names are stock, japanese_vowels, csv"),
    ],
)
def test_unknown_data_set_is_named_with_the_nearest(name, expected):
    with pytest.raises(InputError, match=re.escape(expected)) as error:
        load_splits(data_config(name=name))
    assert "--config.data.name" in str(error.value)
    assert_one_line(error)


# Stock


def test_stock(data_dir, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    splits = load_splits(data_config(name="stock", window=24))
    series, lengths, labels = splits.train
    assert series.shape == (3_662, 24, 6)
    assert series.dtype == np.float32
    assert splits.channels == ("Open", "High", "Low", "Close", "Adj_Close", "Volume")
    assert splits.test is None
    assert labels is None
    assert (lengths == 24).all()
    first = [49.676899, 51.693783, 47.669952, 49.845802, 49.845802, 44_994_500]
    last = [1196, 1202.290039, 1193.079956, 1197.25, 1197.25, 865_500]
    np.testing.assert_array_equal(series[0, 0], np.float32(first))
    np.testing.assert_array_equal(series[-1, -1], np.float32(last))
    np.testing.assert_array_equal(series[1, :-1], series[0, 1:])


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """An empty cache folder that doesn't exist yet, and no data folder."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("L2D_DATA_DIR", raising=False)
    monkeypatch.setenv("L2D_CACHE_DIR", str(folder))
    return folder


STOCK_CONFIG = data_config(name="stock", window=24)
SHORT_STOCK = b"a,b,c,d,e,f\n" + b"1,2,3,4,5,6\n" * 30


@pytest.fixture
def published(monkeypatch, tmp_path) -> Path:
    """A small file in the place of the published one, behind a file:// address."""
    path = tmp_path / "published.csv"
    path.write_bytes(SHORT_STOCK)
    small = sources.STOCK._replace(
        url=path.as_uri(),
        size=len(SHORT_STOCK),
        sha256="9f927554cd898803f76fc7a065894316d04659d3492e2d0d3e7d63e7353149b4",
    )
    monkeypatch.setattr(sources, "STOCK", small)
    return path


def test_stock_is_downloaded_once(cache, published):
    first = load_splits(STOCK_CONFIG)
    assert first.train.series.shape == (7, 24, 6)
    assert [path.name for path in cache.iterdir()] == ["stock_data.csv"]
    published.unlink()  # from now on only the cache can answer
    second = load_splits(STOCK_CONFIG)
    np.testing.assert_array_equal(first.train.series, second.train.series)


def test_file_in_the_data_folder_comes_before_the_cache(
    cache, published, monkeypatch, tmp_path
):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "stock_data.csv").write_bytes(SHORT_STOCK)
    monkeypatch.setenv("L2D_DATA_DIR", str(tmp_path / "data"))
    load_splits(STOCK_CONFIG)
    assert not cache.exists()


def test_data_folder_without_the_file_falls_back_on_the_cache(
    cache, published, monkeypatch, tmp_path
):
    monkeypatch.setenv("L2D_DATA_DIR", str(tmp_path))
    load_splits(STOCK_CONFIG)
    assert (cache / "stock_data.csv").is_file()


def test_data_folder_must_exist(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("L2D_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"L2D_DATA_DIR=.*nowhere is no folder"):
        load_splits(STOCK_CONFIG)


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")),
        TimeoutError("timed out"),
    ],
)
def test_no_network_and_no_file(cache, monkeypatch, failure):
    def refuse(url, timeout):
        assert url.startswith("https://")
        assert timeout == 30.0
        raise failure

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(InputError) as error:
        load_splits(STOCK_CONFIG)
    message = str(error.value)
    assert sources.STOCK.url in message
    assert str(cache / "stock_data.csv") in message
    assert str(failure) in message
    assert_one_line(error)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("content", [SHORT_STOCK[:100], b"", b"<html>log in</html>"])
def test_truncated_download_leaves_nothing(cache, published, monkeypatch, content):
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda url, timeout: io.BytesIO(content)
    )
    with pytest.raises(InputError) as error:
        load_splits(STOCK_CONFIG)
    message = str(error.value)
    assert f"has {len(content)} bytes" in message
    assert f"expected {len(SHORT_STOCK)} bytes" in message
    assert sources.STOCK.sha256 in message
    assert "try again" in message
    assert_one_line(error)
    assert not list(cache.iterdir())


def test_connection_lost_halfway_leaves_nothing(cache, published, monkeypatch):
    class Lost(io.BytesIO):
        def read(self, size=-1):
            if self.tell():
                raise ConnectionResetError(104, "Connection reset by peer")
            return super().read(50)

    monkeypatch.setattr(
        urllib.request, "urlopen", lambda url, timeout: Lost(SHORT_STOCK)
    )
    with pytest.raises(InputError, match="Connection reset by peer"):
        load_splits(STOCK_CONFIG)
    assert not list(cache.iterdir())


def test_damaged_file_is_reported_and_kept(cache, published):
    cache.mkdir()
    copy = cache / "stock_data.csv"
    copy.write_bytes(SHORT_STOCK[:-5])
    with pytest.raises(InputError) as error:
        load_splits(STOCK_CONFIG)
    message = str(error.value)
    found = "8c67db9d7dbd74b2b973092878951482e3b4bb2be293b19b86796f9f88b4f96e"
    for part in (str(copy), "has 367 bytes", found, sources.STOCK.sha256, "delete it"):
        assert part in message
    assert_one_line(error)
    assert copy.exists()


def test_cache_that_can_not_be_made(cache, published):
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"check .* that .*cache is writable"):
        load_splits(STOCK_CONFIG)


# Japanese vowels


def test_japanese_vowels_equals_what_is_published():
    splits = load_splits(data_config(name="japanese_vowels"))
    series, lengths, labels = splits.train
    assert series.shape == (640, 29, 12)
    assert series.dtype == np.float32
    assert splits.test is None
    assert len(splits.channels) == 12
    assert splits.classes == tuple("123456789")
    assert (lengths.min(), lengths.max()) == (7, 29)
    assert Counter(labels[:270].tolist()) == dict.fromkeys(range(9), 30)
    test_counts = [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert Counter(labels[270:].tolist()) == dict(enumerate(test_counts))
    assert lengths[0] == 20
    first, last = [1.860936, -0.207383, 0.261557], [1.261441, -0.63835, 0.217443]
    np.testing.assert_array_equal(series[0, 0, :3], np.float32(first))
    np.testing.assert_array_equal(series[0, 19, :3], np.float32(last))
    after_end = np.arange(29)[None, :] >= lengths[:, None]
    np.testing.assert_array_equal(np.isnan(series).all(axis=2), after_end)
    np.testing.assert_array_equal(np.isnan(series).any(axis=2), after_end)


@pytest.mark.parametrize(("length", "longest"), [(10, 10), (40, 29)])
def test_japanese_vowels_cut_or_padded(length, longest):
    examples = load_splits(data_config(name="japanese_vowels", length=length)).train
    assert examples.series.shape == (640, length, 12)
    assert (examples.lengths.min(), examples.lengths.max()) == (7, longest)


# A csv of one's own


@pytest.fixture
def write_csv(tmp_path):
    def write(content: str | bytes) -> ConfigDict:
        path = tmp_path / "mine.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return data_config(path=str(path))

    return write


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,-1\n2,5\n4,-3.5e1\n",
        "a,b\n1,-1\n2,5\n4,-3.5e1",  # no line end
        "a,b\r\n1,-1\r\n2,5\r\n4,-3.5e1\r\n",
        "\ufeffa, b\n 1,-1\n2 ,5\n4,-35.0\n\n\n",  # Excel's mark, spaces, blank lines
        '"a","b"\n"1","-1"\n"2","5"\n"4","-35"\n,\n',
    ],
)
def test_csv(write_csv, content):
    splits = load_splits(write_csv(content))
    expected = [[[1, -1], [2, 5]], [[2, 5], [4, -35]]]
    np.testing.assert_array_equal(splits.train.series, np.float32(expected))
    assert splits.train.series.dtype == np.float32
    assert splits.train.lengths.tolist() == [2, 2]
    assert splits.channels == ("a", "b")
    assert splits.test is None


@pytest.mark.parametrize("names", ["0,1", "1,2", "2020,b"])
def test_csv_whose_columns_are_counted(write_csv, names):
    assert load_splits(write_csv(f"{names}\n5,6\n7,8\n")).channels == tuple(
        names.split(",")
    )


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ("line 1 is empty", "write the column names")),
        ("\n\na\n1\n", ("line 1 is empty", "write the column names")),
        (",\n,\n", ("no rows", "add the recording")),
        ("a,b\n", ("no rows", "add the recording")),
        ("a,b\n1,2\n3,x y\n", ("line 3, column 'b': 'x y' is not", "remove the col")),
        ("date,b\n2020-01-01,2\n", ("line 2, column 'date': '2020-01-01' is not",)),
        ('a,b\n1,"2,5"\n', ("line 2, column 'b': '2,5' is not a number",)),
        ("a,b\n1,True\n", ("line 2, column 'b': 'True' is not a number",)),
        ("a,b\n1,2\n3,\n5,6\n", ("line 3, column 'b'", "missing ('')", "fill it in")),
        ("a,b\n1,2\n3\n5,6\n", ("line 3, column 'b'", "missing ('')", "fill it in")),
        ("a,b\n1,2\nNaN,4\n", ("line 3, column 'a'", "missing ('NaN')", "fill it in")),
        ("a,b\n1,2\n\n3,4\n", ("line 3, column 'a'", "missing ('')", "fill it in")),
        ("a\n1\n\n3\n", ("line 3, column 'a'", "missing ('')", "fill it in")),
        ("a,b\n1,inf\n", ("line 2, column 'b': 'inf' is not finite", "correct it")),
        ("a,b\n1,-1e99\n", ("line 2, column 'b': '-1e99' is not finite", "correct")),
        ("a,b\n1,x\ny,2\n", ("line 2, column 'b': 'x'",)),  # the first of two
        ("a,b\n3,1\n3,2\n3,4\n", ("column 'a' is 3 in every row", "remove the col")),
        ("a\n1e9\n1000000001\n", ("column 'a' varies by 1", "subtract a constant")),
        ("a,b\n1,2\n3,4,5\n", ("Expected 2 fields in line 3, saw 3", "one value a")),
        ("a,b\n\n1,2\n3,4,5\n", ("Expected 2 fields in line 4, saw 3", "one value a")),
        ("a,b\n1,2,3\n3,4,5\n", ("Expected 2 fields in line 2, saw 3", "one value a")),
        ('a,b\n1,2\n"3,4\n', ("line 3 opens a quote that is never closed",)),
        ("a;b\n1;2\n3;4\n", ("line 1: separate the columns by commas, not 'a;b'",)),
        ("1.5,2\n3,4\n", ("line 1 holds numbers", "put a line with the column names")),
        (",a\n0,5\n1,6\n", ("line 1, column 1 has no name", "name it, or remove it")),
        ("a,a\n0,5\n1,6\n", ("line 1: column 'a' appears twice; rename one",)),
        (b"a,b\n\xff\xfe,2\n", ("is not text in UTF-8", "save it as such")),
        ("a,b\n1,2\n", ("has 1 of the 2 rows", "lower --config.data.window")),
    ],
)
def test_malformed_csv(write_csv, content, parts):
    config = write_csv(content)
    with pytest.raises(InputError) as error:
        load_splits(config)
    for part in (config.path, *parts):
        assert part in str(error.value)
    assert_one_line(error)


def test_csv_that_is_not_there(tmp_path):
    for path, mend in [
        ("", "set --config.data.path=FILE.csv"),
        (tmp_path / "none.csv", "none.csv does not exist: correct --config.data.path"),
        (tmp_path, "is a folder: name one csv"),
    ]:
        with pytest.raises(InputError, match=re.escape(mend)) as error:
            load_splits(data_config(path=str(path)))
        assert str(path) in str(error.value)
        assert_one_line(error)


@pytest.mark.parametrize(
    ("differences", "mend"),
    [
        ({"window": 4}, r"mine.csv has 3 of the 4 rows .* lower --config.data.window"),
        ({"window": 1}, r"window of 1 .* set --config.data.window to 2 or more"),
        ({"stride": 0}, r"stride of 0 .* set --config.data.stride to 1 or more"),
        ({"stride": -2}, r"stride of -2 .* set --config.data.stride to 1 or more"),
    ],
)
def test_window_that_does_not_fit(write_csv, differences, mend):
    config = write_csv("a\n1\n2\n3\n")
    config.update(differences)
    with pytest.raises(InputError, match=mend):
        load_splits(config)


# Windows


def test_windows_by_hand():
    recording = np.array([[0, 10], [1, 11], [2, 12], [3, 13], [4, 14]], np.float32)
    cut = windows(recording, length=2, stride=2)
    np.testing.assert_array_equal(cut, [[[0, 10], [1, 11]], [[2, 12], [3, 13]]])
    np.testing.assert_array_equal(windows(recording, length=5)[0], recording)


@pytest.mark.parametrize(("length", "stride"), [(2, 1), (3, 2), (7, 3), (20, 5)])
def test_windows_formula(length, stride):
    recording = np.random.default_rng(0).normal(size=(20, 3))
    cut = windows(recording, length=length, stride=stride)
    assert cut.shape == ((20 - length) // stride + 1, length, 3)
    for n, window in enumerate(cut):
        start = n * stride
        np.testing.assert_array_equal(window, recording[start : start + length])


# Normalizer


def test_min_max_by_hand():
    examples = equal_length([[[0, 10], [4, 20]], [[2, 30], [1, 10]]])
    normalizer = Normalizer.fit(examples, "min_max", ("a", "b"))
    np.testing.assert_array_equal(normalizer.shift, [2, 20])
    np.testing.assert_array_equal(normalizer.scale, [2, 10])
    z = normalizer.normalize(examples.series)
    np.testing.assert_array_equal(z, [[[-1, -1], [1, 0]], [[0, 1], [-0.5, -1]]])
    np.testing.assert_array_equal(normalizer.denormalize(z), examples.series)


def test_standard_by_hand():
    examples = equal_length([[[0, 1], [4, 5]], [[0, 1], [4, 1]]])
    normalizer = Normalizer.fit(examples, "standard")
    np.testing.assert_array_equal(normalizer.shift, [2, 2])
    np.testing.assert_allclose(normalizer.scale, [2, np.sqrt(3)], rtol=1e-7)
    z = normalizer.normalize(examples.series)
    np.testing.assert_allclose(z.mean(axis=(0, 1)), 0, atol=1e-7)
    np.testing.assert_allclose(z.var(axis=(0, 1)), 1, rtol=1e-6)


@pytest.mark.parametrize("kind", ["min_max", "standard"])
def test_padding_does_not_count(kind):
    short = [np.array([[0.0], [8.0]]), np.array([[2.0], [4.0], [6.0]])]
    ragged = Normalizer.fit(from_list(short), kind)
    flat = Normalizer.fit(equal_length([np.concatenate(short)]), kind)
    np.testing.assert_array_equal(ragged.shift, flat.shift)
    np.testing.assert_array_equal(ragged.scale, flat.scale)


@pytest.mark.parametrize("kind", ["min_max", "standard"])
def test_round_trip_of_large_offsets(kind):
    rng = np.random.default_rng(1)
    low, high = np.array([1e7, 1e3, -1e-6]), np.array([9e7, 2e3, 1e-6])
    examples = equal_length(rng.uniform(low, high, size=(50, 24, 3)))
    normalizer = Normalizer.fit(examples, kind)
    assert normalizer.shift.dtype == normalizer.scale.dtype == np.float32
    for x in (examples.series, jnp.asarray(examples.series)):
        back = normalizer.denormalize(normalizer.normalize(x))
        assert isinstance(back, type(x))
        assert (abs(np.asarray(back) - examples.series) < 1e-5 * (high - low)).all()


def test_round_trip_of_stock(data_dir, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    examples = load_splits(data_config(name="stock", window=24)).train
    for kind in ("min_max", "standard"):
        normalizer = Normalizer.fit(examples, kind)
        z = to_model_space(examples, normalizer, ragged=False)
        back, _ = from_model_space(z, normalizer, ragged=False)
        width = np.ptp(examples.series, axis=(0, 1))
        assert (np.abs(back - examples.series) < 1e-5 * width).all()
        if kind == "min_max":
            np.testing.assert_allclose(z.min(axis=(0, 1)), -1, atol=1e-6)
            np.testing.assert_allclose(z.max(axis=(0, 1)), 1, atol=1e-6)


@pytest.mark.parametrize("kind", ["min_max", "standard"])
def test_constant_channel_is_named(kind):
    series = np.random.default_rng(0).normal(size=(5, 4, 2))
    series[:, :, 1] = 0.1
    with pytest.raises(InputError, match=r"channel 'dull' is 0.1 at every step"):
        Normalizer.fit(equal_length(series), kind, ("lively", "dull"))
    with pytest.raises(InputError, match=r"channel '1' is 0.1"):
        Normalizer.fit(equal_length(series), kind)


def test_nan_inside_a_series_is_named():
    series = np.arange(8.0).reshape(2, 2, 2)
    series[1, 0, 1] = np.nan
    with pytest.raises(InputError, match="channel 'b' has NaN"):
        Normalizer.fit(equal_length(series), "min_max", ("a", "b"))


def test_unknown_scaler():
    with pytest.raises(InputError, match=r"'minmax' .* one of min_max, standard"):
        Normalizer.fit(equal_length([[[0], [1]]]), "minmax")


def test_normalizer_is_a_pytree():
    normalizer = Normalizer.fit(equal_length([[[0, 1], [4, 2]]]))
    assert jax.tree.map(np.shape, normalizer).shift == (2,)
    x = jnp.ones((3, 5, 2))
    compiled = jax.jit(lambda n, x: n.denormalize(n.normalize(x)))
    np.testing.assert_allclose(compiled(normalizer, x), x, rtol=1e-6)
    over_steps = jax.vmap(normalizer.normalize)(x[0])
    np.testing.assert_allclose(over_steps, normalizer.normalize(x[0]), rtol=1e-6)
    abstract = jax.eval_shape(lambda n: n, normalizer)
    assert abstract.scale.shape == (2,)


# Ragged lengths


def ramps(lengths: list[int]) -> list[np.ndarray]:
    """Series 0, 1, 2, ... with a second channel ten times the first."""
    return [np.arange(n)[:, None] * np.array([1.0, 10.0]) for n in lengths]


def test_list_there_and_back():
    examples = from_list(ramps([3, 1, 2]), labels=np.array([2, 0, 1]))
    assert examples.series.shape == (3, 3, 2)
    assert examples.series.dtype == np.float32
    assert examples.lengths.tolist() == [3, 1, 2]
    assert examples.labels.tolist() == [2, 0, 1]
    assert np.isnan(examples.series).sum() == 6
    for one, original in zip(to_list(*examples[:2]), ramps([3, 1, 2]), strict=True):
        np.testing.assert_array_equal(one, original)


@pytest.mark.parametrize(("length", "expected"), [(2, [2, 1, 2]), (5, [3, 1, 2])])
def test_list_brought_to_a_length(length, expected):
    examples = from_list(ramps([3, 1, 2]), length=length)
    assert examples.series.shape == (3, length, 2)
    assert examples.lengths.tolist() == expected


@pytest.mark.parametrize("length", [1, -3])
def test_length_that_is_too_short(length):
    with pytest.raises(InputError, match=r"--config.data.length to 2 or more, or to 0"):
        from_list(ramps([3]), length=length)


def test_model_space_by_hand():
    examples = from_list(ramps([3, 2]))
    normalizer = Normalizer.fit(examples)
    z = to_model_space(examples, normalizer, ragged=True)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z[0], [[-1, -1, 1], [0, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(z[1], [[-1, -1, 1], [0, 0, 1], [0, 0, -1]])


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_model_space_there_and_back(array):
    lengths = list(range(7, 30))
    examples = from_list(ramps(lengths))
    normalizer = jax.tree.map(array, Normalizer.fit(examples))
    z = to_model_space(examples, normalizer, ragged=True)
    assert isinstance(z, np.ndarray)
    series, found = from_model_space(array(z), normalizer, ragged=True, min_length=7)
    assert found.tolist() == lengths
    assert series.dtype == np.float32
    np.testing.assert_allclose(series, examples.series, rtol=1e-5, atol=1e-5)


def test_fixed_length_there_and_back():
    examples = equal_length(ramps([4, 4]))
    assert not is_ragged(examples)
    normalizer = Normalizer.fit(examples)
    z = to_model_space(examples, normalizer, ragged=False)
    assert z.shape == (2, 4, 2)
    series, lengths = from_model_space(z, normalizer, ragged=False, min_length=2)
    assert lengths.tolist() == [4, 4]
    np.testing.assert_allclose(series, examples.series, atol=1e-5)


def test_model_of_fixed_length_refuses_ragged_series():
    examples = from_list(ramps([3, 2]))
    with pytest.raises(InputError, match="series of 2 to 3 steps"):
        to_model_space(examples, Normalizer.fit(examples), ragged=False)


def lengths_from_validity(validity, min_length: int) -> np.ndarray:
    """As `from_model_space` finds them, for series of one channel of zeros."""
    validity = np.asarray(validity, dtype=np.float32)
    z = np.stack([np.zeros_like(validity), validity], axis=-1)
    normalizer = Normalizer(np.zeros(1, np.float32), np.ones(1, np.float32))
    return from_model_space(z, normalizer, ragged=True, min_length=min_length)[1]


@pytest.mark.parametrize(
    ("validity", "min_length", "expected"),
    [
        ([1, 1, 1, 1], 1, 4),
        ([1, 1, -1, -1], 1, 2),
        ([1, -0.1, 1, -1], 1, 3),  # one doubtful step isn't the end
        ([1, 1, -1, 0.1], 1, 2),  # nor does one after the end go on
        ([-1, -1, -1, -1], 1, 1),
        ([-1, -1, -1, -1], 3, 3),
        ([1, -1, -1, -1], 2, 2),
        ([-1, -1, -1, -1], 4, 4),
    ],
)
def test_likeliest_length_by_hand(validity, min_length, expected):
    assert lengths_from_validity([validity], min_length).tolist() == [expected]


def test_likeliest_length_is_the_least_squares_step():
    rng = np.random.default_rng(0)
    validity = rng.normal(size=(200, 9)).astype(np.float32)
    steps = np.where(np.arange(9) < np.arange(3, 10)[:, None], 1.0, -1.0)  # l = 3..9
    errors = ((validity[:, None, :] - steps[None]) ** 2).sum(axis=2)
    expected = 3 + errors.argmin(axis=1)
    np.testing.assert_array_equal(lengths_from_validity(validity, 3), expected)


def test_lengths_survive_noise():
    """Of std .3: an error needs 3.3 standard deviations, next to the end."""
    rng = np.random.default_rng(0)
    lengths = np.tile(np.arange(7, 30), 9)
    validity = np.where(np.arange(29) < lengths[:, None], 1.0, -1.0)
    noise = rng.normal(scale=0.3, size=validity.shape)
    np.testing.assert_array_equal(lengths_from_validity(validity + noise, 7), lengths)
    # Many more: Phi(-1 / .3) = .0004 on either side of the end.
    validity, lengths = np.tile(validity, (50, 1)), np.tile(lengths, 50)
    noise = rng.normal(scale=0.3, size=validity.shape)
    error = np.abs(lengths_from_validity(validity + noise, 7) - lengths)
    assert (error > 0).mean() < 0.002
    assert error.max() == 1


# Batches


@pytest.mark.parametrize(
    ("num_examples", "batch_size"), [(10, 10), (10, 4), (7, 3), (5, 12), (1, 3), (3, 1)]
)
def test_each_epoch_has_each_example_once(num_examples, batch_size):
    sizes = {"num_examples": num_examples, "batch_size": batch_size}
    batches = [batch_indices(3, step, **sizes) for step in range(4 * num_examples)]
    assert all(batch.shape == (batch_size,) for batch in batches)
    epochs = np.concatenate(batches).reshape(-1, num_examples)
    assert len(epochs) == 4 * batch_size
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(num_examples))


def test_batches_depend_on_the_step_alone():
    sizes = {"num_examples": 23, "batch_size": 9}
    forwards = [batch_indices(0, step, **sizes).tolist() for step in range(40)]
    backwards = [batch_indices(0, step, **sizes).tolist() for step in range(39, -1, -1)]
    assert forwards == backwards[::-1]
    for first, number in [(0, 40), (7, 5), (39, 1), (12, 28)]:
        chunk = chunk_indices(0, first, number, **sizes)
        assert chunk.tolist() == forwards[first : first + number]


def test_epochs_and_seeds_differ():
    def order(seed: int, epoch: int) -> list[int]:
        return batch_indices(seed, epoch, num_examples=50, batch_size=50).tolist()

    orders = [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({tuple(one) for one in orders}) == 9
    assert list(range(50)) not in orders


def test_orders_are_uniform():
    """Each of the 6 orders of 3 examples: 1,000 times in 6,000, give or take 29."""
    epochs = chunk_indices(0, 0, 6_000, num_examples=3, batch_size=3)
    counts = Counter(map(tuple, epochs.tolist()))
    assert len(counts) == 6
    assert max(abs(count - 1_000) for count in counts.values()) < 150


def test_order_is_the_same_for_ever():
    batch = batch_indices(42, 0, num_examples=8, batch_size=8)
    assert batch.tolist() == [4, 1, 3, 6, 0, 7, 2, 5]


def test_the_caller_may_write_into_a_batch():
    sizes = {"num_examples": 6, "batch_size": 6}
    batch = batch_indices(0, 0, **sizes)
    before = batch.tolist()
    batch[:] = 0
    assert batch_indices(0, 0, **sizes).tolist() == before

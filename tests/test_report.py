"""The report: numbers behind its pictures in closed form, and what the page holds."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from l2d_jax import plots
from l2d_jax.report import SECTIONS, reading, write_report
from l2d_jax.types import InputError

pytestmark = pytest.mark.filterwarnings("error")

VOID = {"meta", "img", "br"}
NAN = np.nan


# Autocorrelation


def test_autocorrelation_of_fixed_numbers():
    # Mean 1, so y = [1, -2, -1, 2, 0]: products 10, -2, -5, 2, 0.
    series = np.array([[2.0, -1.0, 0.0, 3.0, 1.0]])
    found = plots.autocorrelation(series, num_lags=5)
    np.testing.assert_allclose(found, [[1.0, -0.2, -0.5, 0.2, 0.0]], atol=1e-12)


def test_autocorrelation_of_an_alternating_series():
    length, lags = 30, np.arange(16)
    series = (-1.0) ** np.arange(length)[None]
    expected = (-1.0) ** lags * (length - lags) / length
    found = plots.autocorrelation(series, num_lags=16)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("periods", [1, 3, 7])
def test_autocorrelation_of_a_sine(periods):
    # Over whole periods: ((L - k) cos(wk) + sin(wk) cot(w)) / L, w = 2 pi periods / L.
    length, lags = 48, np.arange(25)
    w = 2 * np.pi * periods / length
    series = 5.0 + 3.0 * np.sin(w * np.arange(length))[None]
    turning = np.sin(w * lags) / np.tan(w)
    expected = ((length - lags) * np.cos(w * lags) + turning) / length
    found = plots.autocorrelation(series, num_lags=25)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_autocorrelation_of_an_autoregression_is_a_power_of_its_factor():
    rng, steps = np.random.default_rng(0), 50_000
    x = np.zeros(steps)
    noise = rng.normal(size=steps)
    for t in range(1, steps):
        x[t] = 0.8 * x[t - 1] + noise[t]
    found = plots.autocorrelation(x[None], num_lags=8)[0]
    np.testing.assert_allclose(found, 0.8 ** np.arange(8), atol=0.03)


def test_autocorrelation_of_white_noise_is_within_its_standard_error():
    noise = np.random.default_rng(1).normal(size=(1, 40_000))
    found = plots.autocorrelation(noise, num_lags=50)[0]
    assert found[0] == 1.0
    assert np.abs(found[1:]).max() < 4 / np.sqrt(noise.size)


def test_autocorrelation_ignores_padding_units_and_precision():
    rng = np.random.default_rng(2)
    short = rng.normal(size=(4, 9))
    padded = np.full((4, 20), NAN)
    padded[:, :9] = short
    expected = plots.autocorrelation(short, num_lags=9)
    found = plots.autocorrelation(padded, num_lags=11)
    np.testing.assert_allclose(found[:, :9], expected, atol=1e-12)
    assert np.isnan(found[:, 9:]).all()
    scaled = plots.autocorrelation((1e-30 * padded).astype(np.float32), num_lags=9)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    moved = plots.autocorrelation(1e3 + 1e6 * padded, num_lags=9)
    np.testing.assert_allclose(moved, expected, atol=1e-8)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-30, 123456.789])
def test_autocorrelation_of_a_constant_is_not_defined(value):
    series = np.full((1, 7), value)
    series[0, 6:] = NAN
    assert np.isnan(plots.autocorrelation(series, num_lags=4)).all()
    assert np.isnan(plots.autocorrelation(series[:, :1], num_lags=1)).all()


def test_correlogram_uses_what_is_defined():
    rows = np.stack([[1.0, k / 10, NAN, NAN] for k in range(11)])
    rows[0, 2] = 0.3
    found = plots.correlogram(rows)
    np.testing.assert_allclose(found.mean, [1.0, 0.5, 0.3, NAN])
    np.testing.assert_allclose(found.low, [1.0, 0.1, 0.3, NAN])
    np.testing.assert_allclose(found.high, [1.0, 0.9, 0.3, NAN])


# Features and maps


def test_lengths_and_whole_series():
    series = np.zeros((6, 4, 2))
    series[1, 2:] = NAN
    series[2] = NAN
    series[3, 1] = NAN  # a gap
    series[4, 0, 1] = NAN  # half a step is missing
    series[5, 3, 0] = np.inf
    assert plots.lengths(series).tolist() == [4, 2, 0, 4, 4, 4]
    assert plots.whole(series).tolist() == [True, True, False, False, False, False]


def test_features_of_ragged_series():
    # Channels span 0..10 and 5..5 in the real ones; the second is left unscaled.
    real = np.array(
        [[[0.0, 5.0], [10.0, 5.0], [5.0, 5.0]], [[2.0, 5.0], [NAN, NAN], [NAN, NAN]]]
    )
    generated = np.array([[[20.0, 6.0], [1e9, 5.0], [NAN, NAN]]], dtype=np.float32)
    a, b = plots.features(real, generated)
    np.testing.assert_allclose(a[0], [0.0, 0.0, 1.0, 0.0, 0.5, 0.0, 1.0])
    np.testing.assert_allclose(a[1], [0.2, 0.0, 0.2, 0.0, 0.2, 0.0, 1 / 3])
    # Ends at its second value, which is cut off at 10, and repeats it.
    np.testing.assert_allclose(b[0], [2.0, 1.0, 10.0, 0.0, 10.0, 0.0, 2 / 3])


def test_features_of_equal_lengths_have_no_length():
    real = np.arange(12.0).reshape(2, 3, 2)
    a, b = plots.features(real, real[:1] + 10.0)
    assert a.shape == (2, 6)
    np.testing.assert_allclose(a.reshape(2, 3, 2)[..., 0].ravel(), np.arange(6) / 5)
    np.testing.assert_allclose(b, a[:1] + 1.0)


def test_pca_is_fitted_on_the_real_series_only():
    rng = np.random.default_rng(3)
    along = np.array([3.0, 0.0, 4.0]) / 5
    position = rng.normal(size=20)
    real = 7.0 + position[:, None] * along
    far = np.array([[7.0, 1e3, 7.0], [10.0, 7.0, 11.0]])
    found = plots.pca(real, far)
    sign = np.sign(found.real[0, 0] * (position[0] - position.mean()))
    np.testing.assert_allclose(sign * found.real[:, 0], position - position.mean())
    np.testing.assert_allclose(found.real[:, 1], 0.0, atol=1e-12)
    np.testing.assert_allclose(sign * found.generated[1, 0], 5.0 - position.mean())
    assert "100 %" in found.axes[0]


def test_pca_of_one_series_and_of_one_feature():
    one = plots.pca(np.ones((1, 4)), np.zeros((2, 4)))
    assert (one.real == 0).all() and one.generated.shape == (2, 2)
    narrow = plots.pca(np.array([[0.0], [2.0]]), np.array([[3.0]]))
    np.testing.assert_allclose(np.abs(narrow.real), [[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(np.abs(narrow.generated), [[2.0, 0.0]])


def test_tsne_keeps_groups_together_and_can_be_repeated():
    rng = np.random.default_rng(4)
    group = np.arange(60) % 2
    rows = 10.0 * group[:, None] + rng.normal(size=(60, 5))
    real, generated = rows[:30], rows[30:]
    start = plots.pca(real, generated)
    found = plots.tsne(real, generated, start=start, seed=0)
    nearest = plots.nearest(found.generated, found.real)
    assert (group[:30][nearest] == group[30:]).all()
    again = plots.tsne(real, generated, start=start, seed=0)
    np.testing.assert_allclose(again.real, found.real)


def test_nearest_real_series():
    real = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    found = plots.nearest(np.array([[3.0, 0.5], [0.1, -9.0], [1.0, 5.0]]), real)
    assert found.tolist() == [1, 0, 2]


def test_pick_draws_distinct_indices():
    found = plots.pick(100, 10, seed=0)
    assert len(set(found.tolist())) == 10 and (np.diff(found) > 0).all()
    assert found.tolist() == plots.pick(100, 10, seed=0).tolist()
    assert found.tolist() != plots.pick(100, 10, seed=1).tolist()
    assert plots.pick(3, 10, seed=0).tolist() == [0, 1, 2]


# Densities, losses, colours


def test_stray_values_count_in_the_outermost_bins():
    real = np.linspace(0.0, 1.0, 101)
    generated = np.array([0.5, 0.5, 1e6, -3.0])
    edges = plots.shared_edges(real, generated)
    np.testing.assert_allclose(edges[[0, -1]], [-1.0, 2.0])
    found = plots.density(generated, edges) * np.diff(edges)
    np.testing.assert_allclose([found[0], found[-1], found.max()], [0.25, 0.25, 0.5])
    np.testing.assert_allclose(found.sum(), 1.0)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e25])
def test_edges_of_a_constant(value):
    same = np.full(3, value)
    edges = plots.shared_edges(same, same)
    assert (np.diff(edges) > 0).all() and edges[0] < value < edges[-1]
    found = plots.density(same, edges) * np.diff(edges)
    np.testing.assert_allclose(found.sum(), 1.0)


def test_edges_reach_all_generated_values_where_real_ones_are_constant():
    edges = plots.shared_edges(np.full(3, 1.0), np.array([-2.0, 8.0]))
    np.testing.assert_allclose(edges[[0, -1]], [-2.0, 8.0])


def test_blocks_of_a_loss():
    steps = np.array([40, 10, 20, 30, 50])
    losses = np.array([1.0, 4.0, 2.0, NAN, 3.0])
    found = plots.blocks(steps, losses, most=2)
    expected = [[20, 50], [3.0, 2.0], [2.0, 1.0], [4.0, 3.0]]
    np.testing.assert_allclose(found, expected)
    assert plots.blocks(np.zeros(0), np.zeros(0)).shape == (4, 0)


def test_every_class_has_its_own_mark():
    styles = [plots.class_style(index) for index in range(plots.MAX_CLASSES)]
    assert len(set(styles)) == plots.MAX_CLASSES
    rest = {plots.class_style(index) for index in range(26, 40)}
    assert len(rest) == 1 and not rest & set(styles)


def test_real_is_blue_on_the_left_and_generated_orange_on_the_right():
    wave = np.sin(np.arange(60.0))[None]
    picture = plots.series_picture(wave, -wave)
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")).astype(int)
    assert pixels.shape == (picture.height, picture.width, 3)
    warm = pixels[:, :, 0] - pixels[:, :, 2]
    blue, orange = ((side > 60).any(axis=0).nonzero()[0] for side in (-warm, warm))
    assert len(blue) > 100 and len(orange) > 100 and blue.max() < orange.min()


# Scores in words


def score(mean: float, low: float, high: float, count: int, **more):
    return {"mean": mean, "interval": [low, high], "num_samples": count, **more}


def test_reading_compares_with_the_floor_at_its_size():
    floor, small = score(0.006, 0.005, 0.007, 50), score(0.0186, 0.017, 0.02, 50)
    whole = score(0.018, 0.017, 0.019, 99, floor=floor, at_floor_size=small)
    assert reading("context_fid", whole) == (
        "Context-FID 0.018 (95\u00a0% interval 0.017 to 0.019), 3.1 times the floor of "
        "real against real at the same number of series."
    )


def test_reading_says_where_the_numbers_of_series_differ():
    floor = score(0.5, 0.4, 0.6, 50)
    other = reading("x_y", score(1.0, 0.9, 1.1, 99, floor=floor))
    assert other.startswith("X y 1 (95") and "2.0 times the floor" in other
    assert other.endswith("at another number of series.")
    same = reading("x_y", score(1.0, 0.9, 1.1, 50, floor=floor))
    assert same.endswith("at the same number of series.")


def test_reading_without_floor_interval_or_ratio():
    assert reading("mmd", {"mean": 1234.5}) == "Mmd 1,234."
    assert reading("mmd", {"mean": 0.25, "floor": None}) == "Mmd 0.25."
    none = reading("mmd", {"mean": 0.25, "floor": {"mean": 0.0}})
    assert none == "Mmd 0.25; the floor of real against real is 0."


# The page


class Page(HTMLParser):
    """What a page holds; fails on tags that aren't closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def write(folder, **changes) -> Page:
    """A report of small inputs, each of which a test can change."""
    rng = np.random.default_rng(0)
    inputs = {
        "real": rng.normal(size=(40, 12, 2)).astype(np.float32),
        "generated": rng.normal(size=(30, 12, 2)).astype(np.float32),
        "channels": ("speed", "load"),
        "scores": {"context_fid": score(0.02, 0.01, 0.03, 30)},
        "facts": {"data set": "Toy", "variant": "latent", "command": "run it", "n": 3},
        "losses": {"data": (np.arange(1, 9), np.geomspace(1.0, 0.01, 8))},
    }
    path = write_report(folder, **(inputs | changes))
    assert path == folder / "report" / "index.html"
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    page = Page(path.read_text(encoding="utf-8"))
    check_self_contained(page)
    assert [attrs["id"] for attrs in page.all("section")] == list(SECTIONS)
    return page


def check_self_contained(page: Page) -> None:
    """No script, nothing to fetch, and every picture is a PNG of the size it states."""
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("src", "data:").startswith("data:")
        assert not re.search(r"https?:|url\(", attrs.get("style", ""))
        assert attrs.get("href", "#").startswith("#")
    for attrs in page.all("img"):
        data = attrs["src"].removeprefix("data:image/png;base64,")
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        image.load()
        assert image.size == (int(attrs["width"]), int(attrs["height"]))


def captions(page: Page) -> list[str]:
    return [attrs["alt"] for attrs in page.all("img")]


def test_report_of_equal_lengths(tmp_path):
    page = write(tmp_path)
    maps = ["PCA, fitted on the real series", "t-SNE, fitted on both"]
    names = ["speed", "load"]
    assert captions(page) == [*names, *maps, *names, *names, "data"]
    assert "Toy: real and generated" in page.text
    assert "L2D-Diff, variant latent" in page.text
    assert "Context-FID 0.02 (95" in page.text
    assert "40 of 40 real and 30 of 30 generated" in page.text
    assert "By class" not in page.text and "left out" not in page.text
    cells = [attrs.get("data-of") for attrs in page.all("td")]
    assert cells == ["Generated", "At floor's size", "Floor"]
    assert page.text.count("–") == 2  # no floor was given
    for name in ("command", "run it", "n", "3"):
        assert (name in page.words) == (name != "command")


def test_report_of_ragged_series_with_labels(tmp_path):
    rng = np.random.default_rng(1)
    series = rng.normal(size=(50, 10, 1))
    for x, length in zip(series, rng.integers(1, 11, size=50), strict=True):
        x[length:] = NAN
    labels = np.arange(30) % 3
    page = write(
        tmp_path,
        real=series[:30],
        generated=series[30:],
        labels=labels,
        classes=("walk & run", "sit", "lie"),
        channels=("hip",),
    )
    assert captions(page).count("Length of the series") == 1
    assert captions(page).count("t-SNE, fitted on both") == 2
    entries = [w.strip() for w in page.words]
    assert {"walk & run", "sit", "lie"} <= set(entries)
    colors = [attrs["style"] for attrs in page.all("span")]
    assert colors == [f"color:{c}" for c in plots.PALETTE[:3]]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 1), (3, 5, 2)])
def test_report_of_tiny_inputs(tmp_path, shape):
    rng = np.random.default_rng(2)
    page = write(
        tmp_path,
        real=rng.normal(size=shape),
        generated=np.full((1, *shape[1:]), 0.5),
        labels=np.zeros(shape[0], int),
        channels=("a", "b")[: shape[2]],
        scores={},
        losses={"data": (np.array([1]), np.array([-2.0])), "none": (np.zeros(0),) * 2},
        facts={},
    )
    assert "No score was measured" in page.text
    assert captions(page)[-1] == "data"


def test_identical_series_and_no_losses(tmp_path):
    same = np.full((5, 6, 2), 3.25)
    page = write(tmp_path, real=same, generated=same[:4], losses={})
    assert len(captions(page)) == 8
    assert "No loss was recorded" in page.text


def test_names_and_facts_are_escaped(tmp_path):
    bad = "<script>alert('\"&')</script>$\\frac{"
    page = write(
        tmp_path,
        labels=np.arange(40) % 2,
        classes=(bad, "語"),
        channels=(bad, "温度"),
        facts={"data set": bad, "variant": bad, "command": bad, bad: bad},
        scores={bad: score(1.0, 0.5, 2.0, 3)},
        losses={bad: (np.arange(3), np.ones(3))},
    )
    assert captions(page).count(bad) == 4  # three pictures of the channel, one loss
    spelt = [word.strip() for word in page.words]
    assert spelt.count(bad) >= 8
    assert any(word.startswith(f"{bad}: real") for word in page.words)


def test_channels_beyond_six_are_named_as_left_out(tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(8, 4, 8))
    page = write(tmp_path, real=x, generated=x, channels=tuple("abcdefgh"))
    assert "Beyond 6 channels, left out: g, h." in page.text
    assert captions(page).count("f") == 3 and captions(page).count("g") == 2


def test_more_classes_than_colours_share_a_grey(tmp_path):
    page = write(tmp_path, labels=np.arange(40), generated=np.zeros((2, 12, 2)))
    assert "all other classes" in page.text
    assert len(page.all("li")) == plots.MAX_CLASSES + 1
    assert page.all("span")[-1]["style"] == f"color:{plots.GREY}"


def test_series_that_are_not_finite_are_counted_and_left_out(tmp_path):
    rng = np.random.default_rng(4)
    generated = rng.normal(size=(6, 12, 2))
    generated[2, 5, 0], generated[4, 0, 1] = np.inf, NAN
    page = write(tmp_path, generated=generated)
    assert "2 of 6 generated series hold values that aren't finite" in page.text
    assert "4 of 4 generated" in page.text
    before = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="no generated series is finite"):
        write(tmp_path, generated=np.full((2, 12, 2), np.inf))
    after = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert after == before


def test_unknown_entries_of_scores_are_ignored(tmp_path):
    floor = {"mean": NAN, "interval": [None, None]}
    scores = {"seed": 0, "mmd": {"mean": 0.5, "seconds": 3, "floor": floor}, "x": None}
    page = write(tmp_path, scores=scores)
    assert "Mmd 0.5." in page.text and len(page.all("td")) == 3

"""The numbers behind pictures in closed form, and what the pictures show."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from l2d_jax.metrics.distances import log_spectra, mean_log_spectrum
from l2d_jax.metrics.neighbours import nearest
from l2d_jax.plots import drawing, numbers

NAN = np.nan


# Autocorrelation


def test_autocorrelation_of_fixed_numbers():
    # Mean 1, so y = [1, -2, -1, 2, 0]: products 10, -2, -5, 2, 0.
    series = np.array([[2.0, -1.0, 0.0, 3.0, 1.0]])
    found = numbers.autocorrelation(series, num_lags=5)
    np.testing.assert_allclose(found, [[1.0, -0.2, -0.5, 0.2, 0.0]], atol=1e-12)


def test_autocorrelation_of_an_alternating_series():
    length, lags = 30, np.arange(16)
    series = (-1.0) ** np.arange(length)[None]
    expected = (-1.0) ** lags * (length - lags) / length
    found = numbers.autocorrelation(series, num_lags=16)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("periods", [1, 3, 7])
def test_autocorrelation_of_a_sine(periods):
    # Over whole periods: ((L - k) cos(wk) + sin(wk) cot(w)) / L, w = 2 pi periods / L.
    length, lags = 48, np.arange(25)
    w = 2 * np.pi * periods / length
    series = 5.0 + 3.0 * np.sin(w * np.arange(length))[None]
    turning = np.sin(w * lags) / np.tan(w)
    expected = ((length - lags) * np.cos(w * lags) + turning) / length
    found = numbers.autocorrelation(series, num_lags=25)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_autocorrelation_of_an_autoregression_is_a_power_of_its_factor():
    rng, steps = np.random.default_rng(0), 50_000
    x = np.zeros(steps)
    noise = rng.normal(size=steps)
    for t in range(1, steps):
        x[t] = 0.8 * x[t - 1] + noise[t]
    found = numbers.autocorrelation(x[None], num_lags=8)[0]
    np.testing.assert_allclose(found, 0.8 ** np.arange(8), atol=0.03)


def test_autocorrelation_of_white_noise_is_within_its_standard_error():
    noise = np.random.default_rng(1).normal(size=(1, 40_000))
    found = numbers.autocorrelation(noise, num_lags=50)[0]
    assert found[0] == 1.0
    assert np.abs(found[1:]).max() < 4 / np.sqrt(noise.size)


def test_autocorrelation_ignores_padding_units_and_precision():
    rng = np.random.default_rng(2)
    short = rng.normal(size=(4, 9))
    padded = np.full((4, 20), NAN)
    padded[:, :9] = short
    expected = numbers.autocorrelation(short, num_lags=9)
    found = numbers.autocorrelation(padded, num_lags=11)
    np.testing.assert_allclose(found[:, :9], expected, atol=1e-12)
    assert np.isnan(found[:, 9:]).all()
    scaled = numbers.autocorrelation((1e-30 * padded).astype(np.float32), num_lags=9)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    moved = numbers.autocorrelation(1e3 + 1e6 * padded, num_lags=9)
    np.testing.assert_allclose(moved, expected, atol=1e-8)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-30, 123456.789])
def test_autocorrelation_of_a_constant_is_not_defined(value):
    series = np.full((1, 7), value)
    series[0, 6:] = NAN
    assert np.isnan(numbers.autocorrelation(series, num_lags=4)).all()
    assert np.isnan(numbers.autocorrelation(series[:, :1], num_lags=1)).all()


def test_band_uses_what_is_defined():
    rows = np.stack([[1.0, k / 10, NAN, NAN] for k in range(11)])
    rows[0, 2] = 0.3
    found = numbers.band(rows)
    np.testing.assert_allclose(found.mean, [1.0, 0.5, 0.3, NAN])
    np.testing.assert_allclose(found.low, [1.0, 0.1, 0.3, NAN])
    np.testing.assert_allclose(found.high, [1.0, 0.9, 0.3, NAN])


# Spectra


def test_spectrum_of_a_sine_peaks_at_its_frequency():
    # A sine of amplitude a over whole periods has |DFT| a L / 2 there, 0 elsewhere.
    length, a, periods = 48, 3.0, 7
    series = 5.0 + a * np.sin(2 * np.pi * periods * np.arange(length) / length)
    found = log_spectra(series[None, :, None])[0, :, 0]
    assert found.shape == (24,) and found.argmax() == periods - 1
    np.testing.assert_allclose(found[periods - 1], np.log(a**2 * length / 4))
    np.testing.assert_allclose(np.delete(found, periods - 1), np.log(1e-12))


def test_spectra_are_those_of_the_spectral_distance():
    rng = np.random.default_rng(0)
    series = rng.normal(size=(6, 15)).astype(np.float32)
    series[1, 9:], series[2, 1:], series[3] = NAN, NAN, 0.25
    series = series[:, :, None]
    found = log_spectra(series.astype(np.float64))
    expected = mean_log_spectrum(series)
    np.testing.assert_allclose(found.mean(axis=0), expected, rtol=1e-5)
    alone = mean_log_spectrum(series[1:2])
    np.testing.assert_allclose(found[1], alone, rtol=1e-4)
    assert log_spectra(series[:, :1]).shape == (6, 0, 1)


# Features and maps


def test_lengths_and_whole_series():
    series = np.zeros((6, 4, 2))
    series[1, 2:] = NAN
    series[2] = NAN
    series[3, 1] = NAN  # a gap
    series[4, 0, 1] = NAN  # half a step is missing
    series[5, 3, 0] = np.inf
    assert numbers.lengths(series).tolist() == [4, 2, 0, 4, 4, 4]
    assert numbers.whole(series).tolist() == [True, True, False, False, False, False]


def test_features_of_ragged_series():
    # Channels span 0..10 and 5..5 in the real ones; the second is left unscaled.
    real = np.array(
        [[[0.0, 5.0], [10.0, 5.0], [5.0, 5.0]], [[2.0, 5.0], [NAN, NAN], [NAN, NAN]]]
    )
    generated = np.array([[[20.0, 6.0], [1e9, 5.0], [NAN, NAN]]], dtype=np.float32)
    a, b = numbers.features(real, generated)
    np.testing.assert_allclose(a[0], [0.0, 0.0, 1.0, 0.0, 0.5, 0.0, 1.0])
    np.testing.assert_allclose(a[1], [0.2, 0.0, 0.2, 0.0, 0.2, 0.0, 1 / 3])
    # Ends at its second value, which is cut off at 10, and repeats it.
    np.testing.assert_allclose(b[0], [2.0, 1.0, 10.0, 0.0, 10.0, 0.0, 2 / 3])


def test_features_of_equal_lengths_have_no_length():
    real = np.arange(12.0).reshape(2, 3, 2)
    a, b = numbers.features(real, real[:1] + 10.0)
    assert a.shape == (2, 6)
    np.testing.assert_allclose(a.reshape(2, 3, 2)[..., 0].ravel(), np.arange(6) / 5)
    np.testing.assert_allclose(b, a[:1] + 1.0)


def test_pca_is_fitted_on_the_real_series_only():
    rng = np.random.default_rng(3)
    along = np.array([3.0, 0.0, 4.0]) / 5
    position = rng.normal(size=20)
    real = 7.0 + position[:, None] * along
    far = np.array([[7.0, 1e3, 7.0], [10.0, 7.0, 11.0]])
    found = numbers.pca(real, far)
    sign = np.sign(found.real[0, 0] * (position[0] - position.mean()))
    np.testing.assert_allclose(sign * found.real[:, 0], position - position.mean())
    np.testing.assert_allclose(found.real[:, 1], 0.0, atol=1e-12)
    np.testing.assert_allclose(sign * found.generated[1, 0], 5.0 - position.mean())
    assert "100 %" in found.axes[0]


def test_pca_of_one_series_and_of_one_feature():
    one = numbers.pca(np.ones((1, 4)), np.zeros((2, 4)))
    assert (one.real == 0).all() and one.generated.shape == (2, 2)
    narrow = numbers.pca(np.array([[0.0], [2.0]]), np.array([[3.0]]))
    np.testing.assert_allclose(np.abs(narrow.real), [[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(np.abs(narrow.generated), [[2.0, 0.0]])


def test_tsne_keeps_groups_together_and_can_be_repeated():
    rng = np.random.default_rng(4)
    group = np.arange(60) % 2
    rows = 10.0 * group[:, None] + rng.normal(size=(60, 5))
    real, generated = rows[:30], rows[30:]
    start = numbers.pca(real, generated)
    found = numbers.tsne(real, generated, start=start, seed=0)
    near = nearest(found.generated, found.real).indices[:, 0]
    assert (group[:30][near] == group[30:]).all()
    again = numbers.tsne(real, generated, start=start, seed=0)
    np.testing.assert_allclose(again.real, found.real)


def test_pick_draws_distinct_indices():
    found = numbers.pick(100, 10, seed=0)
    assert len(set(found.tolist())) == 10 and (np.diff(found) > 0).all()
    assert found.tolist() == numbers.pick(100, 10, seed=0).tolist()
    assert found.tolist() != numbers.pick(100, 10, seed=1).tolist()
    assert numbers.pick(3, 10, seed=0).tolist() == [0, 1, 2]


# Densities, losses, colours


def test_stray_values_count_in_the_outermost_bins():
    real = np.linspace(0.0, 1.0, 101)
    generated = np.array([0.5, 0.5, 1e6, -3.0])
    edges = numbers.shared_edges(real, generated)
    np.testing.assert_allclose(edges[[0, -1]], [-1.0, 2.0])
    found = numbers.density(generated, edges) * np.diff(edges)
    np.testing.assert_allclose([found[0], found[-1], found.max()], [0.25, 0.25, 0.5])
    np.testing.assert_allclose(found.sum(), 1.0)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e25])
def test_edges_of_a_constant(value):
    same = np.full(3, value)
    edges = numbers.shared_edges(same, same)
    assert (np.diff(edges) > 0).all() and edges[0] < value < edges[-1]
    found = numbers.density(same, edges) * np.diff(edges)
    np.testing.assert_allclose(found.sum(), 1.0)


def test_edges_reach_all_generated_values_where_real_ones_are_constant():
    edges = numbers.shared_edges(np.full(3, 1.0), np.array([-2.0, 8.0]))
    np.testing.assert_allclose(edges[[0, -1]], [-2.0, 8.0])


@pytest.mark.parametrize("most", [2, 60, 61, 93, 182, 1001])
def test_lengths_that_are_equally_frequent_look_so(most):
    """Bins of a width that isn't whole would hold now one length more, now one less."""
    edges = numbers.length_edges(most)
    found = numbers.density(np.arange(1, most + 1), edges)
    np.testing.assert_allclose(found[1:], 1 / most, rtol=0.02)
    assert 0 < found[0] <= found[1:].max() and len(found) <= numbers.BINS
    assert edges[-1] == most + 0.5


def test_blocks_of_a_loss():
    steps = np.array([40, 10, 20, 30, 50])
    losses = np.array([1.0, 4.0, 2.0, NAN, 3.0])
    found = numbers.loss_blocks(steps, losses, most=2)
    expected = [[20, 50], [3.0, 2.0], [2.0, 1.0], [4.0, 3.0]]
    np.testing.assert_allclose(found, expected)
    assert numbers.loss_blocks(np.zeros(0), np.zeros(0)).shape == (4, 0)


def test_every_class_has_its_own_mark():
    styles = [drawing.class_style(index) for index in range(drawing.MAX_CLASSES)]
    assert len(set(styles)) == drawing.MAX_CLASSES
    rest = {drawing.class_style(index) for index in range(26, 40)}
    assert len(rest) == 1 and not rest & set(styles)


BLINDNESS = {  # Machado, Oliveira, Fernandes (2009), severity 1, of linear RGB
    "protan": "0.152286 1.052583 -0.204868 0.114503 0.786281 0.099216 "
    "-0.003882 -0.048116 1.051998",
    "deutan": "0.367322 0.860646 -0.227968 0.280085 0.672501 0.047413 "
    "-0.011820 0.042940 0.968881",
    "tritan": "1.255528 -0.076749 -0.178779 -0.078411 0.930809 0.147602 "
    "0.004733 0.691367 0.303900",
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_classes_of_one_mark_look_different_to_the_colour_blind(kind):
    """By the distance in CIELAB, in which 2 is just noticeable."""
    colors = drawing.PALETTE
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colors]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(BLINDNESS[kind].split(), float).reshape(3, 3)
    seen = np.clip(linear @ matrix.T, 0.0, 1.0)
    xyz = seen @ (
        [0.4124, 0.2126, 0.0193],
        [0.3576, 0.7152, 0.1192],
        [0.1805, 0.0722, 0.9505],
    )
    xyz /= [0.9505, 1.0, 1.089]  # white
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    lab = np.stack([116 * y, 500 * (x - y), 200 * (y - z)], axis=1)
    marks = [drawing.class_style(index)[1] for index in range(len(colors))]
    for i, j in itertools.combinations(range(len(colors)), 2):
        if marks[i] == marks[j]:
            assert np.linalg.norm(lab[i] - lab[j]) > 20


# Pictures


def pixels_of(picture: drawing.Picture) -> np.ndarray:
    image = Image.open(io.BytesIO(picture.png)).convert("RGB")
    assert image.size == (picture.width, picture.height)
    return np.asarray(image).astype(int)


def has(picture: drawing.Picture, color: str) -> np.ndarray:
    """Where a colour occurs, [height, width]."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(pixels_of(picture) - rgb).max(axis=2) <= 8


def test_real_is_blue_on_the_left_and_generated_orange_on_the_right():
    wave = np.sin(np.arange(60.0))[None]
    picture = drawing.series_picture(wave, -wave)
    pixels = pixels_of(picture)
    warm = pixels[:, :, 0] - pixels[:, :, 2]
    blue, orange = ((side > 60).any(axis=0).nonzero()[0] for side in (-warm, warm))
    assert len(blue) > 100 and len(orange) > 100 and blue.max() < orange.min()


def years_as_classes():
    shares = np.full(40, 1 / 40)
    return drawing.share_picture(shares, shares, range(1981, 2021))


def values_about(place, width):
    values = place + width * np.linspace(-1.0, 1.0, 50)[None]
    return drawing.value_picture(values, values)


@pytest.mark.parametrize(
    "draw",
    [
        years_as_classes,
        lambda: values_about(101_325, 1500),
        lambda: values_about(-100_000, 150_000),
        lambda: values_about(0, 3e-4),
    ],
)
def test_the_labels_of_an_axis_do_not_touch(draw, monkeypatch):
    figures, render = [], drawing._render
    monkeypatch.setattr(
        drawing, "_render", lambda *given: figures.append(given[0]) or render(*given)
    )
    draw()
    (axis,) = (ax.xaxis for ax in figures[0].axes)
    low, high = axis.get_view_interval()
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    ends = [tick.label1.get_window_extent() for tick in ticks]
    assert len(ends) > 2
    assert all(left.x1 + 4 < right.x0 for left, right in itertools.pairwise(ends))


@pytest.mark.parametrize("color", [drawing.REAL, drawing.GENERATED])
def test_bars_of_shares_grow_with_their_square_root(color):
    shares, others = np.array([0.64, 0.32, 0.04]), np.array([0.04, 0.32, 0.64])
    drawn = has(drawing.share_picture(shares, others, range(3)), color).sum(axis=0)
    columns = np.flatnonzero(drawn)
    bars = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    heights = [np.median(drawn[bar]) for bar in bars if len(bar) > 60]  # no legend
    expected = np.sqrt(shares if color == drawing.REAL else others) / 0.8
    np.testing.assert_allclose(np.array(heights) / max(heights), expected, atol=0.04)


def test_a_class_without_generated_series_has_a_cross():
    even, one = np.array([0.5, 0.5]), np.array([1.0, 0.0])

    def orange_below_the_right_bar(real):
        found = has(drawing.share_picture(real, one, range(2)), drawing.GENERATED)
        return found[found.shape[0] // 2 :, 5 * found.shape[1] // 8 :].sum()

    assert orange_below_the_right_bar(even) > 20
    assert orange_below_the_right_bar(one) == 0  # no such class among the real ones


def test_of_many_classes_the_rarest_are_drawn():
    shares = np.array([0.3, 0.0, 0.2, 0.4, 0.1])
    assert numbers.rarest(shares, 3).tolist() == [1, 2, 4]
    assert numbers.rarest(shares, 9).tolist() == [0, 1, 2, 3, 4]


def test_a_copy_hides_the_middle_of_its_neighbour():
    wave = np.sin(np.arange(60.0) / 9)[:, None]
    copy = has(drawing.neighbour_picture(wave, wave), drawing.GENERATED)
    other = has(drawing.neighbour_picture(0 * wave, wave), drawing.GENERATED)
    # The first runs up and down as the neighbour does, the second is level.
    assert np.ptp(copy.any(axis=1)[100:].nonzero()[0]) > 100
    assert np.ptp(other.any(axis=1)[100:].nonzero()[0]) < 20


def test_the_spectrum_of_one_step_is_not_defined():
    one = drawing.spectrum_picture(np.ones((3, 1)), np.ones((2, 1)))
    lines = has(one, drawing.GENERATED)[one.height // 4 :]
    assert not lines.any()

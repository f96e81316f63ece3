"""Pictures of a report: first the numbers that are drawn, then the drawing.

Series are in data units, NaN after the end of a shorter one. Pictures hold no text
that comes from the user (names go to the caption, which HTML escapes), so no font, no
math markup and no name can break them. matplotlib and scikit-learn load on first use.
"""

import io
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num

REAL, GENERATED, GREY = "#2f6db3", "#e0701a", "#9aa0a6"
PALETTE = (
    *("#2f6db3", "#e0701a", "#2e8b3d", "#d6303c", "#8648ad"),
    *("#8a5a2b", "#e25fae", "#12a5ab", "#a89a00"),
)
MARKERS = {"o": "●", "^": "▲", "s": "■"}  # matplotlib's name: the same mark as text
MAX_CLASSES = 26  # beyond, classes share one grey: colours could not be told apart


class Picture(NamedTuple):
    """A PNG file and its size in pixels."""

    png: bytes
    width: int
    height: int


class Map2D(NamedTuple):
    """Where a projection puts real and generated series, in arbitrary units."""

    real: Float[np.ndarray, "N 2"]
    generated: Float[np.ndarray, "n 2"]
    axes: tuple[str, str]


class Correlogram(NamedTuple):
    """Autocorrelation by lag: the mean, and what 80 % of single series lie between."""

    mean: Float[np.ndarray, " lags"]
    low: Float[np.ndarray, " lags"]
    high: Float[np.ndarray, " lags"]


# The numbers


def lengths(series: Float[np.ndarray, "n L C"]) -> Int[np.ndarray, " n"]:
    """Steps up to the last one that isn't NaN, 0..L."""
    seen = ~np.isnan(series).all(axis=2)
    last = seen.shape[1] - np.argmax(np.flip(seen, axis=1), axis=1)
    return np.where(np.any(seen, axis=1), last, 0)


def whole(series: Float[np.ndarray, "n L C"]) -> Bool[np.ndarray, " n"]:
    """True for series that have values, all of them finite up to their end."""
    end = lengths(series)
    inside = np.arange(series.shape[1]) < end[:, None]
    return (np.isfinite(series).all(axis=2) | ~inside).all(axis=1) & (end > 0)


def pick(count: int, most: int, *, seed: int) -> Int[np.ndarray, " picked"]:
    """At most `most` of the indices 0..count-1, drawn without replacement, sorted."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.permutation(count)[:most])


def features(
    real: Float[np.ndarray, "N L C"], generated: Float[np.ndarray, "n L C"]
) -> tuple[Float[np.ndarray, "N F"], Float[np.ndarray, "n F"]]:
    """One row per series: F = L * C, and one more where any series is shorter than L.

    Channels are scaled so that real values fill [0, 1]; padding repeats the last value;
    the extra feature is length / L. What lies 9 real ranges outside is cut off there.
    """
    low, high = np.nanmin(real, axis=(0, 1)), np.nanmax(real, axis=(0, 1))
    low, high = low.astype(np.float64), high.astype(np.float64)
    span = np.where(high > low, high - low, 1.0)
    ragged = any((lengths(x) < x.shape[1]).any() for x in (real, generated))

    def rows(series):
        end = lengths(series)
        last = np.minimum(np.arange(series.shape[1]), end[:, None] - 1)
        filled = np.take_along_axis(series, last[:, :, None], axis=1)
        scaled = np.clip((filled.astype(np.float64) - low) / span, -9.0, 10.0)
        flat = scaled.reshape(len(series), -1)
        share = end[:, None] / series.shape[1]
        return np.hstack([flat, share]) if ragged else flat

    return rows(real), rows(generated)


def pca(real: Float[np.ndarray, "N F"], generated: Float[np.ndarray, "n F"]) -> Map2D:
    """Projection on the two directions in which the real series vary most."""
    centre = real.mean(axis=0)
    _, sizes, directions = np.linalg.svd(real - centre, full_matrices=False)
    sizes, directions = np.append(sizes, [0.0, 0.0]), directions[:2].T
    directions = np.pad(directions, ((0, 0), (0, 2 - directions.shape[1])))
    total = (sizes**2).sum()
    first, second = 100 * sizes[:2] ** 2 / total if total > 0 else (0.0, 0.0)
    axes = (
        f"first direction ({first:.0f} % of real variance)",
        f"second ({second:.0f} %)",
    )
    return Map2D((real - centre) @ directions, (generated - centre) @ directions, axes)


def tsne(
    real: Float[np.ndarray, "N F"],
    generated: Float[np.ndarray, "n F"],
    *,
    start: Map2D,
    seed: int,
) -> Map2D:
    """t-SNE of the union, begun from `start` so that its layout is reproducible."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    points = np.concatenate([real, generated]).astype(np.float32)
    layout = np.concatenate([start.real, start.generated])
    layout = layout / max(layout[:, 0].std(), 1e-9)
    layout = layout + 0.01 * np.random.default_rng(seed).normal(size=layout.shape)
    method = TSNE(
        perplexity=max(1.0, min(30.0, (len(points) - 1) / 3)),
        init=(1e-4 * layout).astype(np.float32),
        max_iter=500,
        random_state=seed,
    )
    with threadpool_limits(1):  # 4 times as fast as two threads on cores that are busy
        placed = method.fit_transform(points).astype(np.float64)
    return Map2D(placed[: len(real)], placed[len(real) :], ("", ""))


def nearest(
    generated: Float[np.ndarray, "n F"], real: Float[np.ndarray, "N F"]
) -> Int[np.ndarray, " n"]:
    """Index of the real row closest to each generated one."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1).fit(real)
    return search.kneighbors(generated, return_distance=False)[:, 0]


def shared_edges(
    real: Float[np.ndarray, " N"], generated: Float[np.ndarray, " n"], *, bins: int = 60
) -> Float[np.ndarray, " bins_plus_1"]:
    """Bin edges over both, at most one real range beyond what is real on either side.

    Without the bound, one stray generated value would squeeze all others into one bin.
    """
    reach = max(real.max() - real.min(), 0.0) or np.inf
    low = max(min(real.min(), generated.min()), real.min() - reach)
    high = min(max(real.max(), generated.max()), real.max() + reach)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = max(0.5, 1e-3 * abs(low))
        low, high = low - margin, high + margin
    return np.linspace(low, high, bins + 1)


def density(
    values: Num[np.ndarray, " n"], edges: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, " bins"]:
    """Histogram of area 1; what lies beyond the edges counts in the outermost bins."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / (counts.sum() * np.diff(edges))


def autocorrelation(
    series: Float[np.ndarray, "n L"], *, num_lags: int
) -> Float[np.ndarray, "n lags"]:
    """Of every series alone: sum_t y[t] y[t + k] / sum_t y[t]^2, y = x - mean(x).

    NaN where it isn't defined: lags from the length of the series on, constant series.
    """
    inside = ~np.isnan(series)
    steps = inside.sum(axis=1, keepdims=True)
    x = np.where(inside, series, 0.0).astype(np.float64)
    y = np.where(inside, x - x.sum(axis=1, keepdims=True) / np.maximum(steps, 1), 0.0)
    peak = np.abs(y).max(axis=1, keepdims=True)
    level = np.abs(x).max(axis=1, keepdims=True)
    varies = peak > 1e-12 * level  # below it, differences are rounding
    y = y / np.where(varies, peak, 1.0)
    power = np.abs(np.fft.rfft(y, n=2 * y.shape[1], axis=1)) ** 2
    products = np.fft.irfft(power, n=2 * y.shape[1], axis=1)[:, :num_lags]
    defined = varies & (np.arange(products.shape[1]) < steps)
    return np.where(defined, products / np.where(varies, products[:, :1], 1.0), np.nan)


def correlogram(correlations: Float[np.ndarray, "n lags"]) -> Correlogram:
    """Over the series of each lag where it is defined; NaN where it is for none."""
    lines = np.full((3, correlations.shape[1]), np.nan)
    some = np.isfinite(correlations).any(axis=0)
    if some.any():
        known = correlations[:, some]
        lines[0, some] = np.nanmean(known, axis=0)
        lines[1:, some] = np.nanquantile(known, [0.1, 0.9], axis=0)
    return Correlogram(*lines)


def blocks(
    steps: Num[np.ndarray, " n"], losses: Num[np.ndarray, " n"], *, most: int = 300
) -> Float[np.ndarray, "4 blocks"]:
    """Rows: last step, mean, smallest and largest loss of at most `most` equal runs.

    By step, whatever the order they come in; losses that aren't finite are left out.
    """
    order = np.argsort(steps, kind="stable")
    order = order[np.isfinite(losses[order])]
    steps, losses = steps[order], losses[order]
    runs = np.array_split(np.arange(len(steps)), max(1, min(most, len(steps))))
    rows = [
        (steps[i[-1]], losses[i].mean(), losses[i].min(), losses[i].max())
        for i in runs
        if len(i)
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 4).T


# The drawing


def series_picture(
    real: Float[np.ndarray, "N L"], generated: Float[np.ndarray, "n L"]
) -> Picture:
    """Every series of one channel as a line, real left, generated right, same axes."""
    figure, (left, right) = _figure(columns=2, height=2.1, sharex=True, sharey=True)
    _lines(left, real, color=REAL)
    _lines(right, generated, color=GENERATED)
    left.set_title("real", fontsize=9, color=REAL)
    right.set_title("generated", fontsize=9, color=GENERATED)
    figure.supxlabel("time step", fontsize=9)
    return _render(figure)


def map_picture(where: Map2D) -> Picture:
    """Real and generated as points of two colours, neither always on top."""
    figure, (ax,) = _figure(height=3.0)
    points = np.concatenate([where.real, where.generated])
    colors = np.repeat([REAL, GENERATED], [len(where.real), len(where.generated)])
    order = np.random.default_rng(0).permutation(len(points))
    ax.scatter(*points[order].T, s=_area(len(points)), c=colors[order], alpha=0.6, lw=0)
    for name, color in (("real", REAL), ("generated", GENERATED)):
        ax.scatter([], [], s=24, color=color, label=name)
    _legend_above(ax)
    _without_ticks(ax, where.axes)
    return _render(figure)


def class_picture(
    where: Map2D,
    real_classes: Int[np.ndarray, " N"],
    generated_classes: Int[np.ndarray, " n"],
) -> Picture:
    """The same points, coloured by class index: real left, generated right."""
    figure, axes = _figure(columns=2, height=2.4, sharex=True, sharey=True)
    sides = (
        ("real", where.real, real_classes),
        ("generated", where.generated, generated_classes),
    )
    for ax, (title, points, classes) in zip(axes, sides, strict=True):
        for index in np.unique(classes):
            color, marker = class_style(int(index))
            ax.scatter(
                *points[classes == index].T,
                s=_area(2 * len(points)),
                color=color,
                marker=marker,
                alpha=0.75,
                lw=0,
            )
        ax.set_title(title, fontsize=9)
        _without_ticks(ax, ("", ""))
    return _render(figure)


def class_style(index: int) -> tuple[str, str]:
    """Colour and marker of a class; one grey for all beyond MAX_CLASSES."""
    if index >= MAX_CLASSES:
        return GREY, "o"
    return PALETTE[index % len(PALETTE)], tuple(MARKERS)[index // len(PALETTE)]


def value_picture(
    real: Float[np.ndarray, "N L"], generated: Float[np.ndarray, "n L"]
) -> Picture:
    """Densities of the values of one channel, over all series and time steps."""
    values, others = real[~np.isnan(real)], generated[~np.isnan(generated)]
    return _densities(values, others, shared_edges(values, others), "value")


def length_picture(
    real: Float[np.ndarray, "N L C"], generated: Float[np.ndarray, "n L C"]
) -> Picture:
    """Densities of the lengths of series, in time steps."""
    most = real.shape[1]
    edges = np.linspace(0.5, most + 0.5, 1 + min(60, most))
    return _densities(lengths(real), lengths(generated), edges, "length, time steps")


def correlogram_picture(
    real: Float[np.ndarray, "N L"], generated: Float[np.ndarray, "n L"]
) -> Picture:
    """Mean autocorrelation of one channel by lag up to L / 2, and the band of real."""
    lags = np.arange(real.shape[1] // 2 + 1)
    band, line = (
        correlogram(autocorrelation(series, num_lags=len(lags)))
        for series in (real, generated)
    )
    figure, (ax,) = _figure(height=2.1)
    style = {"lw": 1.5, "marker": "." if len(lags) <= 40 else None}
    ax.axhline(0.0, color=GREY, lw=0.8)
    area = {"color": REAL, "alpha": 0.18, "lw": 0, "label": "80 % of real"}
    ax.fill_between(lags, band.low, band.high, **area)
    ax.plot(lags, band.mean, color=REAL, label="real", **style)
    ax.plot(lags, line.mean, color=GENERATED, label="generated", **style)
    ax.set_ylim(-1.05, 1.05)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("lag, time steps", fontsize=9)
    ax.set_ylabel("autocorrelation", fontsize=9)
    sides = {"real": band, "generated": line}
    flat = [name for name, side in sides.items() if np.isnan(side.mean).all()]
    if flat:
        note = f"not defined: {' and '.join(flat)} constant"
        ax.text(0.5, 0.1, note, fontsize=9, ha="center", transform=ax.transAxes)
    _legend_above(ax)
    return _render(figure)


def loss_picture(curve: Float[np.ndarray, "4 blocks"]) -> Picture:
    """`blocks` of one stage: mean as a line over the band from smallest to largest."""
    figure, (ax,) = _figure(height=2.1)
    steps, mean, low, high = curve
    ax.fill_between(steps, low, high, color=REAL, alpha=0.2, lw=0)
    ax.plot(steps, mean, color=REAL, lw=1.4, marker="." if len(steps) < 3 else None)
    if (low > 0).all():
        _log_scale(ax)
    ax.xaxis.get_major_locator().set_params(nbins=6)
    ax.set_xlabel("training step", fontsize=9)
    ax.set_ylabel("loss", fontsize=9)
    return _render(figure)


def _figure(*, height: float, columns: int = 1, **sharing):
    """A figure of fixed width, so that text is as large in every picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0, height), dpi=200, layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **sharing)[0]
    for ax in axes:
        ax.tick_params(labelsize=8.5, length=3, color=GREY)
        ax.yaxis.get_offset_text().set_fontsize(8.5)
        ax.xaxis.get_offset_text().set_fontsize(8.5)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(GREY)
        ax.grid(color="#e3e5e8", lw=0.6)
        ax.set_axisbelow(True)
    return figure, axes


def _lines(ax, series: Float[np.ndarray, "n L"], *, color: str) -> None:
    marker = "." if series.shape[1] <= 40 else None
    for line in series:
        ax.plot(line, color=color, lw=1.1, alpha=0.75, marker=marker, ms=3.5, mew=0)
    ax.xaxis.get_major_locator().set_params(integer=True)


def _area(count: int) -> float:
    """Size of a point in a cloud of `count`, in square points."""
    return float(np.clip(12_000 / max(count, 1), 6.0, 40.0))


def _densities(
    real: Num[np.ndarray, " N"],
    generated: Num[np.ndarray, " n"],
    edges: Float[np.ndarray, " edges"],
    label: str,
) -> Picture:
    figure, (ax,) = _figure(height=2.1)
    sides = ("real", real, REAL), ("generated", generated, GENERATED)
    for name, values, color in sides:
        bars = density(values, edges)
        ax.stairs(bars, edges, fill=True, color=color, alpha=0.25, lw=0)
        ax.stairs(bars, edges, color=color, lw=1.4, label=name)
    ax.set_xlabel(label, fontsize=9)
    ax.set_ylabel("density", fontsize=9)
    _legend_above(ax)
    return _render(figure)


def _log_scale(ax) -> None:
    """Plain numbers at powers of ten, and between them where they are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_yscale("log")
    low, high = ax.get_ylim()
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_major_formatter(plain)
    ax.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    ax.yaxis.set_minor_formatter(plain if high < 30 * low else NullFormatter())
    ax.tick_params(axis="y", which="both", labelsize=8.5, color=GREY)


def _legend_above(ax) -> None:
    ax.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=3,
        frameon=False,
        fontsize=9,
        borderaxespad=0.1,
        handlelength=1.4,
        columnspacing=1.2,
    )


def _without_ticks(ax, labels: tuple[str, str]) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(labels[0], fontsize=9)
    ax.set_ylabel(labels[1], fontsize=9)


def _render(figure) -> Picture:
    """Draw on the Agg canvas; 256 colours make a file less than half as large."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    file = io.BytesIO()
    few = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, "PNG", optimize=True)
    return Picture(file.getvalue(), *image.size)

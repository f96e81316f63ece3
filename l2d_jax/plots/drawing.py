"""Pictures of a report, as PNG files.

They hold no text that comes from the user (names go to the caption, which HTML
escapes), so no font, no math markup and no name can break them. matplotlib loads on
first use.
"""

import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

from l2d_jax.metrics.distances import log_spectra
from l2d_jax.plots.numbers import (
    Band,
    Map2D,
    autocorrelation,
    band,
    density,
    length_edges,
    lengths,
    rarest,
    shared_edges,
)

REAL, GENERATED, GREY = "#2f6db3", "#e0701a", "#9aa0a6"
PALETTE = (  # every third has the same mark: these differ to colour-blind eyes, too
    *("#2f6db3", "#e0701a", "#2e8b3d", "#d6303c", "#12a5ab"),
    *("#8648ad", "#a89a00", "#8a5a2b", "#e25fae"),
)
MARKERS = {"o": "●", "^": "▲", "s": "■"}  # matplotlib's name: the same mark as text
MAX_CLASSES = 26  # beyond, classes share one grey: colours could not be told apart
MAX_BARS = 60  # classes whose shares are drawn
SHARES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)  # marked on the axis
MAX_STACKED = 3  # channels of a series above one another


class Picture(NamedTuple):
    """A PNG file, its size in pixels, and what it shows for who can't see it."""

    png: bytes
    width: int
    height: int
    alt: str


def series_picture(
    real: Float[np.ndarray, "N L"], generated: Float[np.ndarray, "n L"]
) -> Picture:
    """Every series of one channel as a line, real left, generated right, same axes."""
    figure, (left, right) = _figure(columns=2, height=2.1, sharex=True, sharey=True)
    _lines(left, real, color=REAL)
    _lines(right, generated, color=GENERATED)
    left.set_title("real", fontsize=9)
    right.set_title("generated", fontsize=9)
    figure.supxlabel("time step", fontsize=9)
    return _render(figure, "Series as lines, real on the left, generated on the right")


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
    return _render(figure, "Real and generated series as points")


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
    alt = "Series as points coloured by class: real on the left, generated on the right"
    return _render(figure, alt)


def class_style(index: int) -> tuple[str, str]:
    """Colour and marker of a class; one grey for all beyond MAX_CLASSES."""
    if index >= MAX_CLASSES:
        return GREY, "o"
    turn = index // len(PALETTE)
    return PALETTE[index % len(PALETTE)], tuple(MARKERS)[(index + turn) % len(MARKERS)]


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
    edges = length_edges(real.shape[1])
    return _densities(lengths(real), lengths(generated), edges, "length, time steps")


def correlogram_picture(
    real: Float[np.ndarray, "N L"], generated: Float[np.ndarray, "n L"]
) -> Picture:
    """Mean autocorrelation of one channel by lag up to L / 2, and the band of real."""
    lags = np.arange(real.shape[1] // 2 + 1)
    sides = [
        band(autocorrelation(series, num_lags=len(lags)))
        for series in (real, generated)
    ]
    figure, (ax,) = _figure(height=2.1)
    ax.axhline(0.0, color=GREY, lw=0.8)
    ax.set_ylim(-1.05, 1.05)
    ax.xaxis.get_major_locator().set_params(integer=True)
    _curves(ax, lags, *sides)
    ax.set_xlabel("lag, time steps", fontsize=9)
    ax.set_ylabel("autocorrelation", fontsize=9)
    return _render(figure, "Autocorrelation by lag of real and generated series")


def spectrum_picture(
    real: Float[np.ndarray, "N L"], generated: Float[np.ndarray, "n L"]
) -> Picture:
    """Mean log power of one channel by frequency, in decibels, and the band of real.

    Values are scaled so that the real ones span 1.
    """
    span = float(np.nanmax(real) - np.nanmin(real)) or 1.0
    decibels = 10.0 / np.log(10.0)
    sides = [
        band(decibels * log_spectra(series[:, :, None].astype(float) / span)[:, :, 0])
        for series in (real, generated)
    ]
    figure, (ax,) = _figure(height=2.1)
    frequencies = np.arange(1, real.shape[1] // 2 + 1) / real.shape[1]
    _curves(ax, frequencies, *sides)
    ax.set_xlim(0.0, 0.51)
    ax.set_xlabel("frequency, cycles per time step", fontsize=9)
    ax.set_ylabel("power, dB", fontsize=9)
    return _render(figure, "Power by frequency of real and generated series")


def share_picture(
    real: Num[np.ndarray, " classes"],
    generated: Num[np.ndarray, " classes"],
    numbers: Sequence[int],
) -> Picture:
    """Shares of classes as pairs of bars; a cross where nothing was generated.

    Of more than MAX_BARS classes, those that are rarest among the real series. Heights
    go with the square root of shares, which lets rare classes be seen. `numbers`: what
    each class is called on the axis.
    """
    shown = rarest(real, MAX_BARS)
    real, generated = real[shown], generated[shown]
    figure, (ax,) = _figure(height=2.4)
    place, wide = np.arange(len(shown)), 0.4
    ax.bar(place - wide / 2, np.sqrt(real), wide, color=REAL, label="real")
    ax.bar(
        place + wide / 2, np.sqrt(generated), wide, color=GENERATED, label="generated"
    )
    none = place[(generated == 0) & (real > 0)]
    if len(none):
        ax.scatter(
            none + wide / 2,
            0 * none,
            s=22,
            marker="x",
            color=GENERATED,
            clip_on=False,
            zorder=3,
            label="none generated",
        )
    top = max(float(real.max()), float(generated.max()))
    ticks = [0.0]
    for share in SHARES:
        if share <= 1.05 * top and share**0.5 - ticks[-1] ** 0.5 > 0.08 * top**0.5:
            ticks.append(share)
    ax.set_yticks(np.sqrt(ticks), [f"{100 * share:g} %" for share in ticks])
    names = [str(numbers[i]) for i in shown]
    room = 44 // (max(map(len, names)) + 1)  # the axis is 44 digits wide
    every = math.ceil(len(shown) / room)
    ax.set_xticks(place[::every], names[::every])
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("class", fontsize=9)
    ax.set_ylabel("share, square-root scale", fontsize=9)
    _legend_above(ax)
    return _render(figure, "Shares of the classes as bars, real beside generated")


def neighbour_picture(
    generated: Float[np.ndarray, "L C"], neighbour: Float[np.ndarray, "L C"]
) -> Picture:
    """A generated series over its nearest one; the first MAX_STACKED channels."""
    count = min(generated.shape[1], MAX_STACKED)
    figure, axes = _figure(rows=count, height=0.95 + 0.85 * count, sharex=True)
    for ax, above, below in zip(axes, generated.T, neighbour.T, strict=False):
        style = {"marker": "." if len(above) <= 40 else None, "mew": 0}
        ax.plot(below, color=REAL, lw=2.6, alpha=0.65, ms=7, label="nearest", **style)
        ax.plot(above, color=GENERATED, lw=1.1, ms=3.5, label="generated", **style)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.yaxis.get_major_locator().set_params(nbins=4)
    _legend_above(axes[0])
    axes[-1].set_xlabel("time step", fontsize=9)
    return _render(figure, "A generated series over the nearest training series")


def loss_picture(curve: Float[np.ndarray, "4 blocks"]) -> Picture:
    """`loss_blocks` of a stage: mean as a line, a band from smallest to largest."""
    figure, (ax,) = _figure(height=2.1)
    steps, mean, low, high = curve
    ax.fill_between(steps, low, high, color=REAL, alpha=0.2, lw=0)
    ax.plot(steps, mean, color=REAL, lw=1.4, marker="." if len(steps) < 3 else None)
    if (low > 0).all():
        _log_scale(ax)
    ax.set_xlabel("training step", fontsize=9)
    ax.set_ylabel("loss", fontsize=9)
    return _render(figure, "Loss by training step")


def _figure(*, height: float, rows: int = 1, columns: int = 1, **sharing):
    """A figure of fixed width, so that text is as large in every picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0, height), dpi=200, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **sharing).ravel()
    for ax in axes:
        ax.tick_params(labelsize=8.5, length=3, color=GREY)
        if columns == 1:  # labels may have eight characters
            ax.xaxis.get_major_locator().set_params(nbins=5)
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


def _curves(
    ax, points: Num[np.ndarray, " points"], real: Band, generated: Band
) -> None:
    """Both means, and the band of real; a note instead of what isn't defined."""
    style = {"lw": 1.5, "marker": "." if len(points) <= 40 else None}
    area = {"color": REAL, "alpha": 0.18, "lw": 0, "label": "80 % of real"}
    ax.fill_between(points, real.low, real.high, **area)
    ax.plot(points, real.mean, color=REAL, label="real", **style)
    ax.plot(points, generated.mean, color=GENERATED, label="generated", **style)
    sides = {"real": real, "generated": generated}
    flat = [name for name, side in sides.items() if np.isnan(side.mean).all()]
    if flat:
        why = f"{' and '.join(flat)} constant" if len(points) else "one step only"
        note = f"not defined: {why}"
        ax.text(0.5, 0.1, note, fontsize=9, ha="center", transform=ax.transAxes)
    _legend_above(ax)


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
    return _render(figure, f"Histograms of real and generated series: {label}")


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


def _render(figure, alt: str) -> Picture:
    """Draw on the Agg canvas; 256 colours make a smaller file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    file = io.BytesIO()
    few = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, "PNG", compress_level=8)  # 9 takes thrice as long
    return Picture(file.getvalue(), *image.size, alt)

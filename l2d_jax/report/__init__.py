"""The report of a run: one HTML file that needs nothing else to be read.

Pictures lie inside as data URIs; there is no script and no address to fetch. All that
comes from the user (names, facts, warnings) is escaped.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Num

from l2d_jax.files import FilePath, to_path, write_text
from l2d_jax.metrics.neighbours import nearest
from l2d_jax.plots import drawing, numbers
from l2d_jax.report.page import figure, grid, note, number, page, shown
from l2d_jax.report.scores import scores_body, warnings_box
from l2d_jax.types import InputError

Real: TypeAlias = Float[np.ndarray, "N L C"]
Generated: TypeAlias = Float[np.ndarray, "n L C"]
Others: TypeAlias = Float[np.ndarray, "_ L C"]

MAX_SERIES_CHANNELS = 6  # shown series by series
MAX_CURVE_CHANNELS = 32  # shown as densities, autocorrelations and spectra
MAX_DRAWN = 5  # series side by side
MAX_POINTS = 1000  # real, and as many generated, in the maps
MAX_SUMMARISED = 2000  # real, and as many generated, behind curves and classes
MAX_SEARCHED = 20_000  # series among which the nearest is looked for
MAX_COMPARED = 500  # generated, and as many others, whose nearest is looked for
NUM_NEIGHBOURS = 6  # generated series drawn beside their nearest training series
NUM_CLOSEST = 3  # of them, that lie nearest to one
SEED = 0  # of which series are drawn

SECTIONS = {  # id: the heading, and how to read what is below it
    "scores": (
        "Scores",
        "Each compares with its floor, the score of real series against other real "
        "series: what a perfect generator would get.",
    ),
    "series": (
        "Real and generated side by side",
        "Generated series (right) should look as if they came from the same source as "
        "the real ones (left): as rough, as varied, in the same range. They are drawn "
        "at random and don't belong to each other in pairs.",
    ),
    "maps": (
        "Where real and generated series lie",
        "Each map squeezes a whole series into one point, so that similar series lie "
        "close: orange should cover the blue cloud, leave no part of it bare and have "
        "none of its own. In t-SNE only neighbourhoods mean something, not distances. "
        "PCA shows real series in the directions in which they vary most: if these are "
        "few and have many values, new ones of the same kind spread less there.",
    ),
    "classes": (
        "Classes",
        "Each class should be as frequent among generated series as among real ones, "
        "the rarest too, and lie at the same place of the maps.",
    ),
    "densities": (
        "Densities",
        "How often each value occurs, over all series and time steps: the two outlines "
        "should coincide. Values further from the real ones than the width of their "
        "range are counted in the outermost bins.",
    ),
    "autocorrelation": (
        "Autocorrelation",
        "How far a value tells the one some steps later (1: fully, 0: not at all, "
        "below 0: it lies on the other side of the mean), averaged over series: orange "
        "should follow blue. The band holds the middle 80\u00a0% of real series.",
    ),
    "spectrum": (
        "Power spectral density",
        "How strongly series swing at each frequency, from slow (left) to fast "
        "(right): orange should follow blue. Above it, generated series are too rough "
        "or noisy there, below it too smooth. In decibels (10 more: ten times the "
        "power) of channels whose real values span 1, the logarithm averaged over "
        "series; the band holds the middle 80\u00a0% of real series.",
    ),
    "neighbours": (
        "Nearest training series",
        "Six generated series (orange) over the training series most like each (blue): "
        "the three that are nearest to one, then three drawn at random. A copy would "
        "coincide with its neighbour: orange would hide the middle of the blue line "
        "everywhere. New series follow none all the way.",
    ),
    "losses": (
        "Training losses",
        "A loss that still falls at the right edge says that longer training may help, "
        "one that jumps or rises that training is unstable. The line is the mean over "
        "neighbouring steps, the band spans their smallest and largest loss.",
    ),
    "run": ("What was run", "What is needed to judge this result, and to repeat it."),
}


class Searched(NamedTuple):
    """Training series, their numbers in the training set, and how many that has."""

    series: Others
    rows: Int[np.ndarray, " _"]
    total: int


def write_report(
    workdir: FilePath | str,
    *,
    real: Real,
    generated: Generated,
    train: Others,
    train_rows: Int[np.ndarray, " _"],
    num_train: int,
    test: Others | None = None,
    labels: Int[np.ndarray, " N"] | None = None,
    classes: Sequence[str] = (),
    channels: Sequence[str],
    scores: Mapping[str, Any],
    facts: Mapping[str, Any],
    losses: Mapping[str, tuple[Num[np.ndarray, " _"], Num[np.ndarray, " _"]]],
) -> FilePath:
    """Write `workdir`/report/index.html and return its path.

    real, generated: in data units, NaN after the end of series shorter than L. Series
        with other values that aren't finite are left out, and the report counts them.
    train: of what the generator was trained on, `num_train` series, those of the
        indices `train_rows`. test: real series that it wasn't trained on. In the units
        and form of `real`.
    labels: class index of each real series. classes: the names of the classes.
    scores: by name, as `l2d_jax.metrics.catalog` says. What has no "mean" is ignored.
    facts: what was run, in this order. "data set" and "variant" also make the title,
        "command" is shown above the others.
    losses: by stage, (training step [n], loss [n]).

    Raises:
      InputError: no real, or no generated, series is finite.
    """
    dropped = _count_dropped(real, "real") + _count_dropped(generated, "generated")
    searched = Searched(train, train_rows, num_train)
    nearest_body = _nearest(searched, generated, test, channels)
    kept, own = numbers.whole(real), numbers.whole(generated)
    real, generated = real[kept], generated[own]
    maps = _projections(real, generated)
    bodies = {
        "scores": scores_body(scores) + dropped,
        "series": _side_by_side(real, generated, channels),
        "maps": _maps(maps, real, generated),
        "classes": "",
        "densities": _densities(real, generated, channels),
        "autocorrelation": _curves(
            drawing.correlogram_picture, real, generated, channels
        ),
        "spectrum": _curves(drawing.spectrum_picture, real, generated, channels),
        "neighbours": nearest_body,
        "losses": _losses(losses),
        "run": _what_was_run(facts),
    }
    if labels is not None:
        judged = scores.get("class_histogram_distance") or {}
        bodies["classes"] = _classes(
            maps, real, generated, labels[kept], classes, judged.get("shares")
        )
    text = page(facts, SECTIONS, bodies, alert=warnings_box(scores))
    path = to_path(workdir) / "report" / "index.html"
    write_text(path, text)
    return path


# --- the sections ---------------------------------------------------------------------


def _side_by_side(real: Real, generated: Generated, channels: Sequence[str]) -> str:
    left, right = _sample(real, generated, MAX_DRAWN)
    most = MAX_SERIES_CHANNELS
    return _by_channel(drawing.series_picture, left, right, channels, most=most)


def _projections(real: Real, generated: Generated) -> dict[str, numbers.Map2D]:
    """By caption, of at most MAX_POINTS real and generated series."""
    points = numbers.features(*_sample(real, generated, MAX_POINTS))
    flat = numbers.pca(*points)
    near = numbers.tsne(*points, start=flat, seed=SEED)
    return {"PCA, fitted on the real series": flat, "t-SNE, fitted on both": near}


def _maps(maps: Mapping[str, numbers.Map2D], real: Real, generated: Generated) -> str:
    some = next(iter(maps.values()))
    counts = (
        f"One point each: {len(some.real):,} of {len(real):,} real and "
        f"{len(some.generated):,} of {len(generated):,} generated series."
    )
    return note(counts) + grid(
        figure(drawing.map_picture(where), name) for name, where in maps.items()
    )


def _classes(
    maps: Mapping[str, numbers.Map2D],
    real: Real,
    generated: Generated,
    labels: Int[np.ndarray, " N"],
    classes: Sequence[str],
    counted: Mapping[str, Sequence[float]] | None,
) -> str:
    some = numbers.pick(len(generated), MAX_SUMMARISED, seed=SEED + 1)
    generated_labels = np.full(len(generated), -1)
    generated_labels[some] = _nearest_labels(real, generated[some], labels)
    most = max(len(classes), labels.max() + 1)
    text = f"Shares are of {len(real):,} real and {len(some):,} generated"
    shares, others = (
        np.bincount(found, minlength=most) / len(found)
        for found in (labels, generated_labels[some])
    )
    if counted:
        shares, others = (np.array(counted[side]) for side in ("real", "generated"))
        most = len(shares)
        text = "Shares are those of the class scores: by a classifier, not a neighbour"
    names = [*classes, *map(str, range(len(classes), most))]
    own = class_numbers(names)
    bars = "Shares of the classes, by number"
    if most > drawing.MAX_BARS:
        bars = f"Shares of the {drawing.MAX_BARS} rarest classes, by number"
    placed = labels[numbers.pick(len(real), MAX_POINTS, seed=SEED)]
    found = generated_labels[numbers.pick(len(generated), MAX_POINTS, seed=SEED + 1)]
    pictures = [
        figure(drawing.share_picture(shares, others, own), bars),
        *(
            figure(drawing.class_picture(where, placed, found), f"{name}, by class")
            for name, where in maps.items()
        ),
    ]
    how = (
        "Generated series carry no label here: each has the class of the real series "
        f"nearest to it. {text}."
    )
    return note(how) + _legend(names, own, shares, others) + grid(pictures)


def _nearest_labels(
    real: Real, generated: Generated, labels: Int[np.ndarray, " N"]
) -> Int[np.ndarray, " n"]:
    some = numbers.pick(len(real), MAX_SEARCHED, seed=SEED)
    rows, others = numbers.features(real[some], generated)
    return labels[some][nearest(others, rows).indices[:, 0]]


def class_numbers(names: Sequence[str]) -> Sequence[int]:
    """What pictures call the classes: by their names if these are numbers."""
    if all(re.fullmatch(r"-?[0-9]{1,4}", name) for name in names):
        found = [int(name) for name in names]
        if len({*found}) == len(names):
            return found
    return range(len(names))


def _legend(
    names: Sequence[str],
    own: Sequence[int],
    shares: Float[np.ndarray, " classes"],
    others: Float[np.ndarray, " classes"],
) -> str:
    entries = ""
    for index, name in enumerate(names):
        color, marker = drawing.class_style(index)
        mark = f'<span style="color:{color}">{drawing.MARKERS[marker]}</span>'
        known = str(own[index])
        title = f"class {known}" if name == known else f"{known}: {name}"
        real, generated = (number(100 * side[index]) for side in (shares, others))
        text = f"{real}\u00a0% real, {generated}\u00a0% generated"
        if shares[index] > 0 and others[index] == 0:
            text = f"{real}\u00a0% real, <b>none generated</b>"
        text = f'<small dir="ltr">{text}</small>'  # whatever way the name is read
        entries += f"<li>{mark} {escape(title)} {text}</li>"
    return f'<ul class="legend">{entries}</ul>'


def _densities(real: Real, generated: Generated, channels: Sequence[str]) -> str:
    ends = np.concatenate([numbers.lengths(real), numbers.lengths(generated)])
    extra = []
    if (ends < real.shape[1]).any():
        picture = drawing.length_picture(real, generated)
        extra = [figure(picture, "Length of the series")]
    most = MAX_CURVE_CHANNELS
    return _by_channel(
        drawing.value_picture, real, generated, channels, most=most, extra=extra
    )


def _curves(
    draw: Callable[[np.ndarray, np.ndarray], drawing.Picture],
    real: Real,
    generated: Generated,
    channels: Sequence[str],
) -> str:
    some, others = _sample(real, generated, MAX_SUMMARISED)
    return _by_channel(draw, some, others, channels, most=MAX_CURVE_CHANNELS)


def _nearest(
    searched: Searched,
    generated: Generated,
    test: Others | None,
    channels: Sequence[str],
) -> str:
    train = searched.series
    held_out = train[:0] if test is None else test
    known = _whole_ones(train, MAX_SEARCHED)
    own = _whole_ones(generated, MAX_COMPARED, SEED + 2)
    unseen = _whole_ones(held_out, MAX_COMPARED)
    if not len(known):
        return note("No training series is without missing values.")
    rows, others = numbers.features(
        train[known], np.concatenate([generated[own], held_out[unseen]])
    )
    found = nearest(others, rows)
    indices, distances = found.indices[:, 0], found.distances[:, 0]
    how = (
        "Distances are Euclidean, over all steps and channels, the training values of "
        "each channel spanning 1. "
    )
    if len(known) < searched.total:
        how += f"Searched are {len(known):,} of {searched.total:,} training series. "
    if len(channels) > 1:
        stacked = ", ".join(channels[: drawing.MAX_STACKED])
        how += f"Channels from top to bottom: {stacked}. "
    closest = np.argsort(distances[: len(own)], kind="stable")[:NUM_CLOSEST]
    some = _whole_ones(generated, NUM_NEIGHBOURS, SEED + 2)  # of `own`
    places = dict.fromkeys([*closest, *np.searchsorted(own, some)])
    figures = []
    for place in [*places][:NUM_NEIGHBOURS]:
        index, other = own[place], known[indices[place]]
        distance, row = _shortened(distances[place]), searched.rows[other]
        caption = f"Generated {index}: distance {distance} to training series {row}"
        picture = drawing.neighbour_picture(generated[index], train[other])
        figures.append(figure(picture, caption))
    text = _typical(distances[: len(own)], distances[len(own) :], rows)
    return note(text) + note(how) + grid(figures)


def _typical(
    generated: Float[np.ndarray, " n"],
    held_out: Float[np.ndarray, " m"],
    train: Float[np.ndarray, "N F"],
) -> str:
    """Median distances to a training series; without held-out ones, among those."""
    text = (
        f"Half of {len(generated):,} generated series lie within "
        f"{_shortened(np.median(generated))} of a training series"
    )
    if len(held_out):
        median = _shortened(np.median(held_out))
        text += f", half of {len(held_out):,} held-out real ones within {median}"
    elif len(train) > 1:
        some = numbers.pick(len(train), MAX_COMPARED, seed=SEED)
        median = _shortened(np.median(nearest(train[some], train, 2).distances[:, 1]))
        text += f", half of {len(some):,} training series within {median} of another"
    return f"{text}. Copies lie much nearer than real series do."


def _whole_ones(series: Others, most: int, seed: int = SEED) -> Int[np.ndarray, " _"]:
    """At most `most` indices of series without missing values, sorted."""
    whole = np.flatnonzero(numbers.whole(series))
    return whole[numbers.pick(len(whole), most, seed=seed)]


def _shortened(distance: float) -> str:
    """What is left of a copy by rounding counts as 0."""
    return number(float(distance)) if distance >= 1e-6 else "0"


def _losses(losses: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    curves = {name: numbers.loss_blocks(*curve) for name, curve in losses.items()}
    drawn = {name: curve for name, curve in curves.items() if curve.size}
    if not drawn:
        return "<p>No loss was recorded.</p>"
    return grid(figure(drawing.loss_picture(c), name) for name, c in drawn.items())


def _what_was_run(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(shown(value))}</dd>"
        for name, value in facts.items()
        if name != "command"
    )
    command = escape(shown(facts.get("command", "")))
    code = f"<pre><code>{command}</code></pre>" if command else ""
    return f"{code}<dl>{rows}</dl>"


# --- what they share ------------------------------------------------------------------


def _by_channel(
    draw: Callable[[np.ndarray, np.ndarray], drawing.Picture],
    real: Real,
    generated: Generated,
    channels: Sequence[str],
    *,
    most: int,
    extra: Sequence[str] = (),
) -> str:
    figures = [
        figure(draw(real[:, :, c], generated[:, :, c]), name)
        for c, name in enumerate(channels[:most])
    ]
    beyond = ", ".join(channels[most:])
    left_out = note(f"Beyond {most} channels, left out: {beyond}.") if beyond else ""
    return grid([*figures, *extra]) + left_out


def _sample(real: Real, generated: Generated, most: int) -> tuple[Others, Others]:
    """At most `most` of each, drawn apart so that pairs don't show up as pairs."""
    picked = numbers.pick(len(real), most, seed=SEED)
    return real[picked], generated[numbers.pick(len(generated), most, seed=SEED + 1)]


def _count_dropped(series: Others, name: str) -> str:
    count = int((~numbers.whole(series)).sum())
    if count == len(series):
        raise InputError(f"no {name} series is finite: a report needs at least one")
    what = f"{count:,} of {len(series):,} {name} series hold values that aren't finite"
    return f"<p>{what}; the pictures leave them out.</p>" if count else ""

"""The report of a run: one HTML file that needs nothing else to be read.

Pictures lie inside as data URIs; there is no script and no address to fetch. All that
comes from the user (names, facts) is escaped.
"""

import base64
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Num

from l2d_jax import plots
from l2d_jax.types import InputError

Real: TypeAlias = Float[np.ndarray, "N L C"]
Generated: TypeAlias = Float[np.ndarray, "n L C"]

MAX_SERIES_CHANNELS = 6  # shown series by series
MAX_CURVE_CHANNELS = 32  # shown as densities and autocorrelations
MAX_DRAWN = 5  # series side by side
MAX_POINTS = 1000  # real, and as many generated, in the maps
MAX_SUMMARISED = 2000  # real, and as many generated, behind autocorrelations
COLUMNS = ("Generated", "At floor's size", "Floor")
INTERVAL = "95\u00a0% interval"

SECTIONS = {  # id: the heading, and how to read what is below it
    "scores": (
        "Scores",
        "The floor is the score of real series against other real series: the nearer "
        "a score is to its floor, the harder it is to tell generated from real ones. "
        f"Under each value stand its {INTERVAL} and the number of series; as scores "
        "depend on that number, the floor compares with the value at the floor's size.",
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
        "none of its own. In t-SNE only neighbourhoods mean something, not distances.",
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
    "losses": (
        "Training losses",
        "A loss that still falls at the right edge says that longer training may help, "
        "one that jumps or rises that training is unstable. The line is the mean over "
        "neighbouring steps, the band spans their smallest and largest loss.",
    ),
    "run": ("What was run", "What is needed to judge this result, and to repeat it."),
}

STYLE = """
:root{color-scheme:light dark;--text:#1c2126;--soft:#5b6570;--line:#dde1e6;
--page:#fff;--card:#f5f6f8}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ec;--soft:#a3adb8;--line:#343b43;
--page:#14181c;--card:#1d2329}img{filter:brightness(.9)}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);overflow-wrap:anywhere;
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.25rem clamp(.9rem,3vw,2rem) 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.4rem 0}
h2{font-size:1.25rem;margin:2.6rem 0 .3rem}h3{font-size:1rem;margin:1.4rem 0 .3rem}
p{max-width:46rem;margin:.4rem 0}.soft,small,figcaption,dt{color:var(--soft)}
.reading{font-size:1.1rem}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.45rem .9rem .45rem 0;
border-bottom:1px solid var(--line)}td small{display:block}
@media(max-width:40rem){thead{display:none}table{width:100%}th{grid-column:1/-1}
tr{display:grid;grid-template-columns:repeat(3,1fr);border-bottom:1px solid var(--line)}
th,td{border:0;padding:.25rem .5rem .25rem 0}
td::before{content:attr(data-of);display:block;font-size:.8rem;color:var(--soft)}}
.grid{display:grid;gap:1rem;margin:1rem 0;
grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr))}
figure{margin:0;padding:.6rem;background:var(--card);border-radius:.6rem}
img{display:block;width:100%;height:auto;background:#fff;border-radius:.35rem}
figcaption{margin:0 .1rem .4rem;font-size:.92rem}
.legend{display:flex;flex-wrap:wrap;gap:.1rem .9rem;list-style:none;margin:.5rem 0;
padding:0;font-size:.92rem}
dl{display:grid;gap:.25rem 1.2rem;grid-template-columns:fit-content(38%) 1fr}
dd{margin:0}pre{background:var(--card);padding:.8rem;border-radius:.6rem;
white-space:pre-wrap}
"""


def write_report(
    workdir: Path | str,
    *,
    real: Real,
    generated: Generated,
    labels: Int[np.ndarray, " N"] | None = None,
    classes: Sequence[str] = (),
    channels: Sequence[str],
    scores: Mapping[str, Any],
    facts: Mapping[str, Any],
    losses: Mapping[str, tuple[Num[np.ndarray, " _"], Num[np.ndarray, " _"]]],
    seed: int = 0,
) -> Path:
    """Write `workdir`/report/index.html and return its path.

    real, generated: in data units, NaN after the end of series shorter than L. Series
        with other values that aren't finite are left out, and the report counts them.
    labels: class index of each real series. classes: the names of the classes.
    scores: by metric, mappings with "mean" and, where known, "interval" [low, high],
        "num_samples", and "floor" and "at_floor_size" with the same three entries.
    facts: what was run, in this order. "data set" and "variant" also make the title,
        "command" is shown above the others.
    losses: by stage, (training step [n], loss [n]). seed: of which series are drawn.
    """
    dropped = _count_dropped(real, "real") + _count_dropped(generated, "generated")
    kept = plots.whole(real)
    real, generated = real[kept], generated[plots.whole(generated)]
    labels = None if labels is None else labels[kept]
    bodies = {
        "scores": _scores(scores) + dropped,
        "series": _side_by_side(real, generated, channels, seed),
        "maps": _maps(real, generated, labels, classes, seed),
        "densities": _densities(real, generated, channels),
        "autocorrelation": _autocorrelations(real, generated, channels, seed),
        "losses": _losses(losses),
        "run": _what_was_run(facts),
    }
    return _replace(Path(workdir) / "report" / "index.html", _page(facts, bodies))


# The sections


def _scores(scores: Mapping[str, Any]) -> str:
    known = {name: score for name, score in scores.items() if _is_score(score)}
    if not known:
        return "<p>No score was measured.</p>"
    readings, rows = "", ""
    for name, score in known.items():
        sizes = (score, score.get("at_floor_size"), score.get("floor"))
        cells = "".join(map(_cell, COLUMNS, sizes))
        rows += f"<tr><th>{escape(_title(name))}</th>{cells}</tr>"
        readings += f'<p class="reading">{escape(reading(name, score))}</p>'
    head = "".join(f"<th>{name}</th>" for name in ("Score", *COLUMNS))
    return (
        f"{readings}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _side_by_side(
    real: Real, generated: Generated, channels: Sequence[str], seed: int
) -> str:
    left, right = _sample(real, generated, MAX_DRAWN, seed)
    most = MAX_SERIES_CHANNELS
    return _by_channel(plots.series_picture, left, right, channels, most=most)


def _maps(
    real: Real,
    generated: Generated,
    labels: Int[np.ndarray, " N"] | None,
    classes: Sequence[str],
    seed: int,
) -> str:
    shown, others = _sample(real, generated, MAX_POINTS, seed)
    points = plots.features(shown, others)
    flat = plots.pca(*points)
    near = plots.tsne(*points, start=flat, seed=seed)
    maps = {"PCA, fitted on the real series": flat, "t-SNE, fitted on both": near}
    body = (
        f'<p class="soft">One point each: {len(shown):,} of {len(real):,} real and '
        f"{len(others):,} of {len(generated):,} generated series.</p>"
    )
    body += _grid(_figure(plots.map_picture(m), name) for name, m in maps.items())
    if labels is None:
        return body
    labels = labels[plots.pick(len(real), MAX_POINTS, seed=seed)]
    found = labels[plots.nearest(points[1], points[0])]
    names = classes or [str(index) for index in range(int(labels.max()) + 1)]
    return (
        f'{body}<h3>By class</h3><p class="soft">Generated series carry no label here: '
        f"each has the colour of the real series nearest to it.</p>{_legend(names)}"
    ) + _grid(
        _figure(plots.class_picture(m, labels, found), name) for name, m in maps.items()
    )


def _densities(real: Real, generated: Generated, channels: Sequence[str]) -> str:
    ends = np.concatenate([plots.lengths(real), plots.lengths(generated)])
    extra = []
    if (ends < real.shape[1]).any():
        extra = [_figure(plots.length_picture(real, generated), "Length of the series")]
    most = MAX_CURVE_CHANNELS
    return _by_channel(
        plots.value_picture, real, generated, channels, most=most, extra=extra
    )


def _autocorrelations(
    real: Real, generated: Generated, channels: Sequence[str], seed: int
) -> str:
    some, others = _sample(real, generated, MAX_SUMMARISED, seed)
    most = MAX_CURVE_CHANNELS
    return _by_channel(plots.correlogram_picture, some, others, channels, most=most)


def _losses(losses: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    curves = {name: plots.blocks(*curve) for name, curve in losses.items()}
    drawn = {name: curve for name, curve in curves.items() if curve.size}
    if not drawn:
        return "<p>No loss was recorded.</p>"
    return _grid(_figure(plots.loss_picture(c), name) for name, c in drawn.items())


def _what_was_run(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_shown(value))}</dd>"
        for name, value in facts.items()
        if name != "command"
    )
    command = escape(_shown(facts.get("command", "")))
    code = f"<pre><code>{command}</code></pre>" if command else ""
    return f"{code}<dl>{rows}</dl>"


# Scores in words


def reading(name: str, score: Mapping[str, Any]) -> str:
    """One sentence: the value, its interval, and how many times its floor it is."""
    interval = _interval(score)
    words = f"{_title(name)} {_number(score['mean'])}"
    words += f" ({INTERVAL} {interval})" if interval else ""
    floor, at_floor_size = score.get("floor"), score.get("at_floor_size")
    if floor is None or not _is_score(floor):
        return f"{words}."
    if floor["mean"] <= 0:
        return f"{words}; the floor of real against real is {_number(floor['mean'])}."
    fair = score
    if at_floor_size is not None and _is_score(at_floor_size):
        fair = at_floor_size
    same = fair is not score or score.get("num_samples") == floor.get("num_samples")
    at = "at the same number of series" if same else "at another number of series"
    ratio = fair["mean"] / floor["mean"]
    times = f"{ratio:.1f}" if 0.1 <= ratio < 100 else _number(ratio)
    return f"{words}, {times} times the floor of real against real {at}."


def _is_score(score: Any) -> bool:
    return isinstance(score, Mapping) and _is_finite(score.get("mean"))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _cell(column: str, score: Any) -> str:
    if not _is_score(score):
        return f'<td data-of="{column}">–</td>'
    interval, count = _interval(score), score.get("num_samples")
    small = f"<small>{interval}</small>" if interval else ""
    small += f"<small>{count:,} series</small>" if _is_finite(count) else ""
    return f'<td data-of="{column}">{_number(score["mean"])}{small}</td>'


def _interval(score: Mapping[str, Any]) -> str:
    bounds = score.get("interval") or ()
    return " to ".join(map(_number, bounds)) if all(map(_is_finite, bounds)) else ""


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _title(name: str) -> str:
    special = {"context_fid": "Context-FID"}
    return special.get(name, name.replace("_", " ").capitalize())


# Pieces of HTML


def _page(facts: Mapping[str, Any], bodies: Mapping[str, str]) -> str:
    title = escape(f"{_shown(facts.get('data set', 'Series'))}: real and generated")
    variant = facts.get("variant")
    model = f"L2D-Diff, variant {_shown(variant)}" if variant else "L2D-Diff"
    sections = "\n".join(
        f'<section id="{name}"><h2>{SECTIONS[name][0]}</h2>'
        f'<p class="soft">{SECTIONS[name][1]}</p>{body}</section>'
        for name, body in bodies.items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none';img-src data:;style-src 'unsafe-inline'">
<title>{title}</title><style>{STYLE}</style></head>
<body><main><h1>{title}</h1><p class="soft">{escape(model)}</p>
{sections}
</main></body></html>
"""


def _figure(picture: plots.Picture, caption: str) -> str:
    caption, data = escape(caption), base64.b64encode(picture.png).decode("ascii")
    return (
        f"<figure><figcaption>{caption}</figcaption>"
        f'<img alt="{caption}" width="{picture.width}" height="{picture.height}"'
        f' src="data:image/png;base64,{data}"></figure>'
    )


def _grid(figures: Iterable[str]) -> str:
    return f'<div class="grid">{"".join(figures)}</div>'


def _by_channel(
    draw: Callable[[np.ndarray, np.ndarray], plots.Picture],
    real: Real,
    generated: Generated,
    channels: Sequence[str],
    *,
    most: int,
    extra: Sequence[str] = (),
) -> str:
    figures = [
        _figure(draw(real[:, :, c], generated[:, :, c]), name)
        for c, name in enumerate(channels[:most])
    ]
    beyond = escape(", ".join(channels[most:]))
    note = f'<p class="soft">Beyond {most} channels, left out: {beyond}.</p>'
    return _grid([*figures, *extra]) + (note if beyond else "")


def _legend(classes: Sequence[str]) -> str:
    most = plots.MAX_CLASSES
    names = [*classes[:most], *["all other classes"] * (len(classes) > most)]
    entries = ""
    for index, name in enumerate(names):
        color, marker = plots.class_style(index)
        mark = f'<span style="color:{color}">{plots.MARKERS[marker]}</span>'
        entries += f"<li>{mark} {escape(name)}</li>"
    return f'<ul class="legend">{entries}</ul>'


# Inputs and output


def _sample(
    real: Real, generated: Generated, most: int, seed: int
) -> tuple[Float[np.ndarray, "_ L C"], Float[np.ndarray, "_ L C"]]:
    """At most `most` of each, drawn apart so that pairs don't show up as pairs."""
    picked = plots.pick(len(real), most, seed=seed)
    return real[picked], generated[plots.pick(len(generated), most, seed=seed + 1)]


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _count_dropped(series: Float[np.ndarray, "_ L C"], name: str) -> str:
    count = int((~plots.whole(series)).sum())
    if count == len(series):
        raise InputError(f"no {name} series is finite: a report needs at least one")
    what = f"{count:,} of {len(series):,} {name} series hold values that aren't finite"
    return f"<p>{what}; the pictures leave them out.</p>" if count else ""


def _replace(path: Path, text: str) -> Path:
    """Whole or not at all: nobody reads half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
    return path

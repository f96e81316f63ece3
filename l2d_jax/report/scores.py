"""Scores as HTML: warnings, an overview, and a row with plain sentences for each."""

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from l2d_jax.metrics.catalog import (
    HEADINGS,
    SCORES,
    ScoreInfo,
    interval_of,
    score_info,
    verdict,
    why_undefined,
)
from l2d_jax.metrics.privacy import COPIES
from l2d_jax.report.page import note, number

COLUMNS = ("Generated", "At floor's size", "Floor")
OPEN_FAMILIES = 2  # shown at once; the others at a click
HOW_TO_READ = (
    "Under each value stand its 95\u00a0% interval and the number of series. Scores "
    "depend on that number, so the floor compares with the value at the floor's size.",
    "“As real” means that the two can't be told apart at 99\u00a0%: of a hundred "
    "scores of a perfect generator, one or two would still seem to differ. Repeats "
    "share series, which the intervals don't allow for: that they don't overlap is not "
    "enough. Nor does “as real” prove that they are equal: the fewer the series and "
    "repeats, the larger a difference may be and go unseen. “Different” are those that "
    "differ without being worse.",
    "Where series are overlapping windows of one recording, the halves of the floor "
    "are neighbours in time, nearer to each other than new series can be: then even a "
    "perfect generator scores as different, by precision, coverage, authenticity and "
    "Context-FID first of all.",
)
NO_COPIES = "No copies of training series were found."
NEARER = (
    "But more samples than chance explains lie nearer to a training series than any "
    "other training series does: see Authenticity."
)
REPEATS = (
    "Some generated series are training series, but no more of them than chance "
    "explains: real series repeat, too."
)
WHAT_TO_CHANGE = (
    "What to change where scores are worse, or series copied or too near: "
    "docs/own_data.md of l2d_jax."
)


class Finding(NamedTuple):
    """What a verdict is called, where it counts, and what it says."""

    chip: str
    column: str  # of the overview
    style: str
    says: str


FINDINGS = {
    "as real": Finding(
        "as real",
        "As real",
        "good",
        "The difference is no larger than chance explains.",
    ),
    "worse": Finding(
        "worse", "Worse", "bad", "That is worse than real series score, beyond chance."
    ),
    "better than real": Finding(
        "better than real",
        "Different",
        "odd",
        "That is better than real series score, beyond chance: look for copies, or for "
        "too little variety.",
    ),
    "higher": Finding(
        "higher than real",
        "Different",
        "odd",
        "That is higher than what real series score, beyond chance.",
    ),
    "lower": Finding(
        "lower than real",
        "Different",
        "odd",
        "That is lower than what real series score, beyond chance.",
    ),
    "unknown": Finding(
        "not tested",
        "No verdict",
        "none",
        "There are too few repeats to say whether chance alone explains a difference.",
    ),
    "no halves": Finding(
        "not tested",
        "No verdict",
        "none",
        "It has no value for as few generated series as the floor compares, as where a "
        "channel is constant in them.",
    ),
    "together": Finding(
        "judged together",
        "No verdict",
        "none",
        "It has no repeats: copying is judged by all privacy scores together, and what "
        "is found is said above.",
    ),
    "no floor": Finding(
        "no floor",
        "No verdict",
        "none",
        "There is no score of real series to compare it with.",
    ),
    "undefined": Finding("undefined", "No verdict", "none", ""),
}
OVERVIEW = tuple(dict.fromkeys(finding.column for finding in FINDINGS.values()))


# --- the sections ---------------------------------------------------------------------


def warnings_box(scores: Mapping[str, Any]) -> str:
    """A box with the warning of each score that has one; nothing if none has."""
    found = filter(None, map(_warning, _ordered(scores).values()))
    lines = "".join(f"<li>{escape(text[0].upper() + text[1:])}</li>" for text in found)
    if not lines:
        return ""
    title = "⚠ Warning" if lines.count("<li>") == 1 else "⚠ Warnings"
    return f'<div role="alert" class="alert"><h2>{title}</h2><ul>{lines}</ul></div>'


def scores_body(scores: Mapping[str, Any]) -> str:
    """In short, then by family, the most important first."""
    ordered = _ordered(scores)
    if not ordered:
        return "<p>No score was measured.</p>"
    families = {
        family: {n: s for n, s in ordered.items() if score_info(n).family == family}
        for family in HEADINGS
    }
    families = {family: rows for family, rows in families.items() if rows}
    defined = [name for name, score in ordered.items() if _is_defined(score)]
    first = next(iter([*defined, *ordered]))
    headline = f"{score_info(first).title}: {reading(first, ordered[first])}"
    body = f'<p class="reading">{escape(headline)}</p>'
    if len(ordered) > 1:
        body += _overview(families)
    body += _what_follows(ordered) + _how_to_read()
    for place, (family, rows) in enumerate(families.items()):
        body += _family(family, rows, is_open=place < OPEN_FAMILIES)
    return body


def _overview(families: Mapping[str, Mapping[str, Any]]) -> str:
    """How many scores of each family say what."""
    rows, total = "", Counter()
    for family, scores in families.items():
        counts = _counts(scores)
        total += counts
        cells = "".join(
            f'<td data-of="{column}">{counts[column] or "–"}</td>'
            for column in OVERVIEW
        )
        link = f'<a href="#scores-{family}">{HEADINGS[family]}</a>'
        alarms = _alarms(scores)
        rows += f'<tr><th scope="row">{link}{alarms}</th>{cells}</tr>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Scores", *OVERVIEW))
    parts = [
        f"{total[column]} {column.lower()}" for column in OVERVIEW if total[column]
    ]
    plural = f"Of {sum(total.values())} scores" if len(families) > 1 else "Of these"
    return (
        f'<p class="reading">{plural}: {", ".join(parts)}.</p><table class="overview">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _what_follows(scores: Mapping[str, Any]) -> str:
    """What is worse, whether series were copied if that was judged, and what to do."""
    copies = scores.get("exact_copies")
    searched = _is_defined(copies)
    copied = searched and COPIES in _warning(copies)
    worse = [
        score_info(name).title
        for name, score in scores.items()
        if _finding(name, score) == FINDINGS["worse"]
    ]
    body = f'<p class="reading">Worse: {escape("; ".join(worse))}.</p>' if worse else ""
    authenticity = scores.get("authenticity", {})
    nearer = _finding("authenticity", authenticity) == FINDINGS["lower"]
    if searched and not copied:
        found = REPEATS if copies["mean"] > 0 else NO_COPIES
        found = f"{found} {NEARER}" if nearer else found
        body += f'<p class="reading">{found}</p>'
    mend = worse or copied or (searched and nearer)
    return body + (note(WHAT_TO_CHANGE) if mend else "")


def _how_to_read() -> str:
    text = "".join(map(note, HOW_TO_READ))
    return f"<details><summary>How to read the scores</summary>{text}</details>"


def _family(family: str, scores: Mapping[str, Any], *, is_open: bool) -> str:
    counts = _counts(scores)
    parts = [f"{counts[c]} {c.lower()}" for c in OVERVIEW if counts[c]]
    rows = "".join(_row(name, score) for name, score in scores.items())
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Score", *COLUMNS))
    opened = " open" if is_open or _alarms(scores) else ""
    return (
        f"<details{opened}><summary><h3>{HEADINGS[family]}</h3>"
        f"<small>{', '.join(parts)}</small>{_alarms(scores)}</summary>"
        f'<table class="scores" id="scores-{family}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></details>"
    )


def _row(name: str, score: Mapping[str, Any]) -> str:
    finding, words = _finding(name, score), score_info(name)
    chip = f'<b class="chip {finding.style}">{finding.chip}</b>'
    text = f"<p>{escape(reading(name, score))}</p>"
    if warning := _warning(score):
        text += f'<p class="alarm">⚠ {escape(warning)}</p>'
    sizes = (score, score.get("at_floor_size"), score.get("floor"))
    cells = "".join(
        f'<td data-of="{column}">{_cell(side, words)}</td>'
        for column, side in zip(COLUMNS, sizes, strict=True)
    )
    title = escape(words.title)
    return f'<tr><th scope="row">{title} {chip}{text}</th>{cells}</tr>'


def _cell(score: Any, words: ScoreInfo) -> str:
    if not _is_defined(score):
        return "–"
    text = value(score["mean"], is_share=words.is_share)
    bounds = interval_of(score, words) or ()
    if bounds and all(map(_is_finite, bounds)):
        low, high = bounds
        ends = f"{number(low)} to {number(high)}"
        if words.is_share:
            ends = f"{number(100 * low)} to {value(high, is_share=True)}"
        text += f"<small>{ends}</small>"
    count = score.get("num_samples")
    return text + (f"<small>{count:,} series</small>" if _is_finite(count) else "")


def _counts(scores: Mapping[str, Any]) -> Counter:
    return Counter(_finding(name, score).column for name, score in scores.items())


def _alarms(scores: Mapping[str, Any]) -> str:
    count = sum(bool(_warning(score)) for score in scores.values())
    words = f"⚠ {count} warning{'s' if count > 1 else ''}"
    return f' <b class="chip bad">{words}</b>' if count else ""


# --- a score in words -----------------------------------------------------------------


def reading(name: str, score: Mapping[str, Any]) -> str:
    """What a score is, how it compares with real series, and whether that is chance."""
    if not _is_defined(score):
        return f"Undefined, because {why_undefined(score)}."
    words = score_info(name)
    is_share = words.is_share
    text = f"{value(score['mean'], is_share=is_share)} {words.says}"
    floor, at_floor_size = score.get("floor"), score.get("at_floor_size")
    if _is_defined(floor):
        fair = at_floor_size if _is_defined(at_floor_size) else score
        real, size = value(floor["mean"], is_share=is_share), "at equal size"
        if fair is score and score.get("num_samples") != floor.get("num_samples"):
            size = "at another number of series"
        is_ratio = words.best == "low" and words.ideal is None and fair["mean"] > 0
        if is_ratio and _is_above_zero(floor):
            times = _times(fair["mean"] / floor["mean"])
            text += f"; {size} it is {times} what real series score against real ones"
        elif fair is score:  # its value is said already
            text += f"; {size}, real ones have {real}"
        else:
            own = value(fair["mean"], is_share=is_share)
            text += f"; {size} it is {own}, and {real} for real series"
    note = f" {score['note']}." if score.get("note") else ""
    return f"{text}. {_finding(name, score).says}{note}"


def value(x: float, *, is_share: bool) -> str:
    """A number, in per cent for a share."""
    return f"{number(100 * x)}\u00a0%" if is_share else number(x)


def _finding(name: str, score: Mapping[str, Any]) -> Finding:
    if not _is_defined(score):
        return FINDINGS["undefined"]
    if not _is_defined(score.get("floor")):
        return FINDINGS["no floor"]
    found = verdict(score, score_info(name))
    if found == "unknown" and score_info(name).family == "privacy":
        return FINDINGS["together"]
    halves = score.get("at_floor_size")
    if found == "unknown" and halves and not _is_defined(halves):
        return FINDINGS["no halves"]
    return FINDINGS[found]


def _times(ratio: float) -> str:
    if 0.95 <= ratio < 1.05:
        return f"{ratio:.2f} times"
    return f"{ratio:.1f} times" if 0.1 <= ratio < 100 else f"{number(ratio)} times"


def _is_above_zero(floor: Mapping[str, Any]) -> bool:
    """Only of such a floor something can be a multiple."""
    low = (floor.get("interval") or [floor["mean"]])[0]
    return floor["mean"] > 0 and _is_finite(low) and low > 0


def _warning(score: Mapping[str, Any]) -> str:
    return str(score.get("warning") or "")


def _ordered(scores: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is a score, in the order of `SCORES`, unknown ones last."""
    known = [name for name in SCORES if name in scores]
    names = [*known, *(name for name in scores if name not in SCORES)]
    return {
        name: scores[name]
        for name in names
        if isinstance(scores[name], Mapping) and "mean" in scores[name]
    }


def _is_defined(score: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(score, Mapping) and _is_finite(score.get("mean"))


def _is_finite(x: Any) -> bool:
    return isinstance(x, int | float) and bool(np.isfinite(x))

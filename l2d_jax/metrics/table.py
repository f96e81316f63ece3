"""Scores as a table of text."""

from collections.abc import Mapping
from typing import Any

from l2d_jax.metrics.catalog import (
    HEADINGS,
    interval_of,
    score_info,
    verdict,
    why_undefined,
)

HEADER = ("", "value", "95 % interval", "at floor's size", "floor", "")


def table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """A line a score, by family, with its verdict; then notes and warnings."""
    rows: list[tuple[str, ...]] = [HEADER]
    for family, heading in HEADINGS.items():
        names = [name for name in scores if score_info(name).family == family]
        rows += [(heading, *[""] * 5)] if names else []
        rows += [row(name, scores[name]) for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    lines = [
        "  ".join(
            cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
        ).rstrip()
        for cells in rows
    ]
    for kind in ("note", "warning"):
        said = dict.fromkeys(score[kind] for score in scores.values() if kind in score)
        lines += [f"{kind.upper()}: {text}" for text in said]
    return "\n".join(lines)


def row(name: str, score: Mapping[str, Any]) -> tuple[str, ...]:
    """One score."""
    words = score_info(name)
    title = f"  {words.title}"
    if score["mean"] is None:
        return (title, "-", "", "", "", f"undefined: {why_undefined(score)}")
    cells = [number(score), interval(interval_of(score, words))]
    cells += [number(score.get(part)) for part in ("at_floor_size", "floor")]
    return (title, *cells, verdict(score, words).replace("unknown", ""))


def number(score: Mapping[str, Any] | None) -> str:
    """The mean, to four digits."""
    if not score or score.get("mean") is None:
        return ""
    return f"{score['mean']:.4g}"


def interval(ends: tuple[float, float] | None) -> str:
    """Both ends of the interval."""
    return f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else ""

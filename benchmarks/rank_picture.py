"""Average ranks of methods as a critical-difference diagram (Demsar 2006)."""

import numpy as np
from matplotlib.figure import Figure

LONGEST_NAME = 24  # characters, in the picture
WIDTH, DPI, ROW = 10.0, 150, 0.3  # of the picture: inches, and inches from name to name


def draw(names: list[str], ranks: np.ndarray, bars: list[tuple[int, ...]]) -> Figure:
    """Critical-difference diagram (Demsar 2006); a bar joins positions in `names`."""
    k, num_left = len(names), (len(names) + 1) // 2
    spans = [(ranks[list(bar)].min(), ranks[list(bar)].max()) for bar in bars]
    levels = levels_of(spans, gap=0.04 * k)
    line, first_bar = 0.75, 1.0  # inches from the top
    first_name = first_bar + 0.17 * max(levels, default=0) + 0.3
    height = first_name + ROW * num_left
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    labels = []
    for i, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        label = f"{short}  {rank:.2f}" if i < num_left else f"{rank:.2f}  {short}"
        style = dict(fontsize=12, va="center", parse_math=False)
        labels.append(axes.text(0, 0, label, **style))
    margin = 0.45 + max(label.get_window_extent().width for label in labels) / DPI

    def at(rank: float) -> float:
        return margin + (WIDTH - 2 * margin) * (rank - 1) / (k - 1)

    axes.plot([at(1), at(k)], [line, line], "k", lw=1.4, solid_capstyle="projecting")
    for rank in range(1, k + 1, 1 + k // 16):
        axes.plot([at(rank), at(rank)], [line - 0.08, line], "k", lw=1.4)
        axes.text(at(rank), line - 0.13, str(rank), ha="center", fontsize=12)
    axes.text(WIDTH / 2, line - 0.45, "average rank", ha="center", fontsize=12)
    for i, (label, rank) in enumerate(zip(labels, ranks, strict=True)):
        left = i < num_left
        y = first_name + ROW * (i if left else k - 1 - i)
        end, text = (margin - 0.2, -0.08) if left else (WIDTH - margin + 0.2, 0.08)
        axes.plot([at(rank), at(rank), end], [line, y, y], "k", lw=1.1)
        label.set(x=end + text, y=y, ha="right" if left else "left")
    for (low, high), level in zip(spans, levels, strict=True):
        y = first_bar + 0.17 * level
        ends = [at(low) - 0.04, at(high) + 0.04]
        axes.plot(ends, [y, y], "k", lw=5, solid_capstyle="butt")
    return figure


def levels_of(spans: list[tuple[float, float]], *, gap: float) -> list[int]:
    """0, 1, ..: of each span, from left to right, so that none touch on a level."""
    levels, ends = [], []
    for low, high in spans:
        free = (i for i, end in enumerate(ends) if end + gap < low)
        level = next(free, len(ends))
        ends[level : level + 1] = [high]
        levels.append(level)
    return levels

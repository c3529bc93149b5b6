"""Scatter plots side by side: one point per window, one colour per genre."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.files import write_bytes
from figures.style import GENRE_COLORS, png, style_axis

_PANEL_INCHES, _LINE_INCHES, _MARGIN_INCHES = 5.0, 0.17, 0.8
# Share of outliers at each end of an axis that the frame may leave out.
_OUTER_SHARE = 0.005


class Scatter(NamedTuple):
    """Points, (n, 2), of n windows, and a title of one or more lines."""

    title: str
    points: np.ndarray


def save_scatter_sheet(
    path: Path, panels: Sequence[Scatter], genre: np.ndarray, names: Sequence[str], *, title: str
) -> None:
    """Write a PNG with the panels in a row and one legend. `genre`, int64 (n,), holds for all panels.

    Points are drawn in the given order; with a random order no genre hides the others. Axes have no numbers. The
    title of a panel gives the number of points outside its frame.
    """
    n_lines = title.count("\n") + max(panel.title.count("\n") for panel in panels) + 2  # and that of outside points
    size = len(panels) * _PANEL_INCHES, _PANEL_INCHES + n_lines * _LINE_INCHES + _MARGIN_INCHES
    figure = Figure(figsize=size, dpi=150, layout="constrained")  # without pyplot, which needs a display
    colors = np.array(GENRE_COLORS)[genre % len(GENRE_COLORS)]
    area = float(np.clip(30_000 / len(genre), 3, 40))
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        ordered, n_outer = np.sort(panel.points, axis=0), int(_OUTER_SHARE * len(genre))
        low, high = ordered[n_outer], ordered[-1 - n_outer]
        margin = 0.1 * (high - low) + 1e-9
        low, high = low - margin, high + margin
        outside = int(((panel.points < low) | (panel.points > high)).any(axis=1).sum())
        axis.scatter(*panel.points.T, s=area, c=colors, alpha=0.55, linewidths=0)
        axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        title_of_panel = f"{panel.title}\noutside the frame: {outside} of {len(genre):,}" if outside else panel.title
        axis.set_title(title_of_panel, fontsize=9, parse_math=False)
        style_axis(axis)
    entries = [
        Line2D([], [], linestyle="", marker="o", color=GENRE_COLORS[genre_id % len(GENRE_COLORS)],
               label=f"{names[genre_id]} ({count:,})")
        for genre_id, count in zip(*np.unique(genre, return_counts=True), strict=True)
    ]  # fmt: skip
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=10)
    figure.suptitle(title, fontsize=10, parse_math=False)
    write_bytes(path, png(figure))

"""The loss curves of a training run: one panel per loss, training and validation by epoch."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from figures.style import GENRE_COLORS, GREY, LINES, style_axis

_COLUMNS, _PANEL_INCHES = 4, (3.0, 1.9)
_COLORS = {"train": GREY, "val": GENRE_COLORS[0]}


def draw_losses(epochs: Sequence[dict[str, Any]]) -> Figure:
    """Draw the losses of `epochs`, which have a `phase`, and losses by name in `train` and `val`.

    Each phase has a line of its own, because losses of different phases do not compare. Titles give the last values.
    """
    names = list(dict.fromkeys(name for group in _COLORS for epoch in epochs for name in epoch[group]))
    phases = [(name, len(list(members))) for name, members in groupby(epochs, lambda epoch: str(epoch["phase"]))]
    starts = np.cumsum([0, *(n_epochs for _, n_epochs in phases)])
    n_rows, (width, height) = -(-len(names) // _COLUMNS), _PANEL_INCHES
    figure = Figure(figsize=(_COLUMNS * width, n_rows * height), dpi=120, layout="constrained")
    axes = figure.subplots(n_rows, _COLUMNS, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        last = []
        for group, color in _COLORS.items():
            values = np.array([epoch[group].get(name, np.nan) for epoch in epochs], float)
            for first, end in pairwise(starts):
                measured = first + np.flatnonzero(~np.isnan(values[first:end]))
                axis.plot(measured + 1, values[measured], color=color, marker="." if len(measured) == 1 else "")
            last += [] if np.isnan(values[-1]) else [f"{group} {values[-1]:.3g}"]
        axis.set_title(f"{name.replace('_', ' ')}\n{', '.join(last)}", fontsize=8, parse_math=False)
        axis.set_xticks((starts[:-1] + starts[1:] + 1) / 2, [name for name, _ in phases])
        axis.tick_params(labelsize=7, length=0)
        for start in starts[1:-1]:
            axis.axvline(start + 0.5, color=LINES, linewidth=0.8)
        style_axis(axis)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return figure

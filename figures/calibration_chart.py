"""Reliability diagrams: how often predictions of a confidence are right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from common.files import write_bytes
from figures.style import GENRE_COLORS, GREY, png, style_axis

_INCHES = 3.6
_MOST_AREA = 160.0  # of a marker, in square points


class Curve(Protocol):
    """Mean confidence, accuracy and number of predictions of each bin, (bins,) each; `error`: their difference."""

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    error: float


def save_calibration_chart(path: Path, rows: Mapping[str, Mapping[tuple[str, str], Curve]], *, title: str) -> None:
    """Write a PNG with a row for each of `rows`, by name, a panel for each unit and a line for each method.

    `rows` maps (method, unit) to a curve. The area of a marker is its share of the predictions. The legend has the
    expected calibration error.
    """
    units = list(dict.fromkeys(unit for curves in rows.values() for _, unit in curves))
    size = len(units) * _INCHES, len(rows) * _INCHES + 0.6
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.subplots(len(rows), len(units), squeeze=False, sharex=True, sharey=True)
    for line, (name, curves) in zip(axes, rows.items(), strict=True):
        for axis, unit in zip(line, units, strict=True):
            axis.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
            chosen = {method: curve for (method, of), curve in curves.items() if of == unit}
            for color, (method, curve) in zip(GENRE_COLORS, chosen.items(), strict=False):
                share, label = np.asarray(curve.count) / np.sum(np.asarray(curve.count)), f"{method}: {curve.error:.3f}"
                axis.plot(curve.confidence, curve.accuracy, color=color, label=label, linewidth=1)
                axis.scatter(curve.confidence, curve.accuracy, s=_MOST_AREA * share, color=color)
            axis.set(title=f"{name}\n{unit}s", xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share right")
            axis.title.set_fontsize(8)
            axis.legend(fontsize=8, frameon=False, loc="lower right", title="calibration error", title_fontsize=8)
            style_axis(axis)
    figure.suptitle(title, fontsize=10, parse_math=False)
    write_bytes(path, png(figure))

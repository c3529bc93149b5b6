"""A picture of many piano rolls: one row per genre, time in seconds to the right, pitch upwards."""

from collections.abc import Sequence
from itertools import cycle, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.files import write_bytes
from data.pianoroll import roll_notes
from data.song import OCTAVE
from figures.pitch_range import note_name, pitch_range
from figures.style import GENRE_COLORS, GREY, INK, LINES, png, style_axis

MAX_COLUMNS, MAX_SECONDS = 8, 60.0
_JOINTS = "#b9b5a8"
_INCHES_PER_SECOND, _MINIMUM_WIDTH, _LINE_HEIGHT, _MARGIN = 0.25, 1.9, 1.7, 0.7


class RollPanel(NamedTuple):
    """A roll, bool (128, T), and its title."""

    title: str
    roll: np.ndarray


SheetRows = Sequence[Sequence[RollPanel | None]]


def save_roll_sheet(
    path: Path, rows: SheetRows, *, title: str, frames_per_second: int, window_frames: int | None = None
) -> None:
    """Write a PNG with one row of panels for each of `rows`; None is an empty place.

    A row wraps after eight panels, or fewer if they are long. All panels share their axes: the octaves in use, and the
    duration of the longest roll, up to 60 s. The title of an empty roll says "empty". Every `window_frames` frames a
    line marks the border of two windows.
    """
    panels = [panel for row in rows for panel in row if panel is not None]
    longest = max(panel.roll.shape[1] for panel in panels) / frames_per_second
    seconds = min(longest, MAX_SECONDS)
    n_columns = max(1, min(MAX_COLUMNS, max(map(len, rows)), int(MAX_COLUMNS * 8 / seconds)))
    lines = [
        (color, row[first : first + n_columns])
        for color, row in zip(cycle(GENRE_COLORS), rows)
        for first in range(0, len(row), n_columns)
        if any(row[first : first + n_columns])
    ]
    panel_width = max(_INCHES_PER_SECOND * seconds, _MINIMUM_WIDTH)
    line_height = _LINE_HEIGHT if len(lines) > 2 else 1.5 * _LINE_HEIGHT
    size = max(_MARGIN + n_columns * panel_width, 7.0), _MARGIN + len(lines) * line_height
    figure = Figure(figsize=size, dpi=150, layout="constrained")  # without pyplot, which needs a display
    axes = figure.subplots(len(lines), n_columns, sharex=True, sharey=True, squeeze=False)
    for axes_of_line, (color, line) in zip(axes, lines, strict=True):
        for axis, panel in zip_longest(axes_of_line, line):
            if panel is None:
                axis.set_visible(False)
            else:
                _draw(axis, panel, color, frames_per_second, window_frames)
    for column in axes.T:  # labels at the lowest panel of a column, also if the last line is not full
        for axis in [axis for axis in column if axis.get_visible()][-1:]:
            axis.tick_params(labelbottom=True)
    low, high = pitch_range([panel.roll for panel in panels])
    octaves = np.arange(low, high + 1, OCTAVE * (1 if high - low <= 6 * OCTAVE else 2))
    shared = axes[0, 0]
    shared.set(xlim=(0, seconds), ylim=(low - 0.5, high + 0.5))
    shared.set_yticks(octaves, [note_name(pitch) for pitch in octaves])
    shared.xaxis.set_major_locator(MaxNLocator(nbins=max(4, int(1.2 * panel_width)), steps=[1, 2, 5, 10]))
    cut = f" (first {seconds:g} of {longest:.0f} s)" if longest > seconds else ""
    figure.suptitle(title + cut, fontsize=10, parse_math=False)
    figure.supxlabel("time (s)", fontsize=8)
    figure.supylabel("pitch", fontsize=8)
    write_bytes(path, png(figure))


def _draw(axis: Axes, panel: RollPanel, color: str, frames_per_second: int, window_frames: int | None) -> None:
    """Draw each note as a bar of pitch +- 0.5, from the start of its first frame to the end of its last."""
    pitch, start, end = roll_notes(panel.roll)
    left, right, low, high = start / frames_per_second, end / frames_per_second, pitch - 0.5, pitch + 0.5
    corners = np.stack([left, low, left, high, right, high, right, low], axis=1).reshape(-1, 4, 2)
    axis.add_collection(PolyCollection(corners, facecolors=color, zorder=3), autolim=False)
    n_frames = panel.roll.shape[1]
    for joint in range(window_frames or n_frames, n_frames, window_frames or n_frames):
        axis.axvline(joint / frames_per_second, color=_JOINTS, linewidth=0.8, zorder=2)
    title, color = (panel.title, INK) if panel.roll.any() else (f"{panel.title}: empty", GREY)
    axis.set_title(title, fontsize=8, color=color, pad=3, parse_math=False)
    axis.grid(axis="y", color=LINES, linewidth=0.6)
    axis.tick_params(labelsize=7, length=2, color=GREY)
    style_axis(axis)

"""Colours, axis style and file format of all figures."""

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# By genre id, repeated if there are more genres. The first four are distinguishable (at least 27 apart in CIELAB) with
# each of the three kinds of dichromacy, as simulated by Machado, Oliveira and Fernandes (2009).
GENRE_COLORS = ("#1f5f99", "#c87800", "#17a882", "#7a1248", "#5a5a5a", "#d6453d", "#3fa7d6", "#8a6a14")
ALL_COLOR = "#444444"  # all genres together
PAPER, LINES, INK, GREY = "#fbfaf7", "#dcd9d0", "#222222", "#8c8c8c"


def style_axis(axis: Axes) -> None:
    """Set the background and the frame of an axis."""
    axis.set_facecolor(PAPER)
    for spine in axis.spines.values():
        spine.set_color(LINES)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file in memory, to be written atomically."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()

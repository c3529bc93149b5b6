"""Figures as PNG."""

from io import BytesIO

from matplotlib.figure import Figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file in memory, to be written atomically."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()

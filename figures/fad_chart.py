"""Figure 1 of the report: Fréchet audio distance by genre and T, with its floor and the published values."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.files import write_bytes
from figures.style import ALL_COLOR, GENRE_COLORS, INK, LINES, png, style_axis

_REPORTED, _BAR_WIDTH, _PANEL_INCHES = "#9a958a", 0.27, (4.6, 3.6)


def save_fad_chart(path: Path, frame: pd.DataFrame) -> None:
    """Write a PNG of the rows of `evaluation.metrics.fad`: a panel for each embedder and maker (rows) and T (columns).

    A bar for each genre with its standard deviation over seeds, a black line at its floor, grey bars for published
    values. Panels do not share an axis: distances of different T or embedders do not compare.
    """
    rows, seq_lens = frame[["embedder", "origin"]].drop_duplicates(), frame["T"].unique()
    width, height = _PANEL_INCHES
    size = max(1.6, len(seq_lens)) * width, len(rows) * height + 0.8
    figure = Figure(figsize=size, dpi=150, layout="constrained")  # without pyplot, which needs a display
    axes = figure.subplots(len(rows), len(seq_lens), squeeze=False)
    for line, (embedder, origin) in zip(axes, rows.itertuples(index=False), strict=True):
        for axis, seq_len in zip(line, seq_lens, strict=True):
            chosen = (frame["embedder"] == embedder) & (frame["origin"] == origin) & (frame["T"] == seq_len)
            _draw(axis, frame[chosen])
            axis.set_title(f"{embedder.split()[0]}, T = {seq_len}\n{origin}", fontsize=9, parse_math=False)
    entries = [Patch(color=GENRE_COLORS[0], label="ours"), Line2D([], [], color=INK, label="floor: real against real")]
    if frame["reported"].notna().any():
        entries.append(Patch(color=_REPORTED, label="reported (AST, other music)"))
        entries.append(Patch(facecolor="white", edgecolor=_REPORTED, hatch="///", label="reported by [1]"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=9)
    figure.suptitle("Fréchet audio distance of generated to real clips; lower is better", fontsize=11)
    write_bytes(path, png(figure))


def _draw(axis: Axes, frame: pd.DataFrame) -> None:
    rows = frame.to_dict("records")
    for place, row in enumerate(rows):
        color = ALL_COLOR if row["genre_id"] < 0 else GENRE_COLORS[row["genre_id"] % len(GENRE_COLORS)]
        if pd.isna(row["FAD"]):
            axis.annotate("none", (place, 0), ha="center", va="bottom", fontsize=7)
        else:
            spread = 0 if pd.isna(row["FAD_seeds_std"]) else row["FAD_seeds_std"]
            axis.bar(place, row["FAD"], _BAR_WIDTH, color=color, yerr=spread or None, ecolor=INK, capsize=2)
            axis.annotate(f"{row['FAD']:.3g}", (place, row["FAD"] + spread), ha="center", va="bottom", fontsize=7)
        left, right = place - _BAR_WIDTH / 2, place + _BAR_WIDTH / 2
        axis.hlines(row["FAD_floor"], left, right, color=INK, linewidth=1.5, zorder=3)
        axis.bar(place + _BAR_WIDTH, row["reported"], _BAR_WIDTH, color=_REPORTED)
        hatched = {"facecolor": "white", "edgecolor": _REPORTED, "hatch": "///"}
        axis.bar(place + 2 * _BAR_WIDTH, row["reported_paper"], _BAR_WIDTH, **hatched)
    axis.set_xticks(range(len(rows)), [row["genre_name"] for row in rows], fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.grid(axis="y", color=LINES, linewidth=0.6)
    axis.set_axisbelow(True)
    style_axis(axis)

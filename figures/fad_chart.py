"""The report's figure 1: Fréchet audio distance by genre and T, with its floor and the published values."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.files import write_bytes
from figures.colors import ALL_COLOR, GENRE_COLORS
from figures.png import png

_PAPER, _LINES, _INK, _REPORTED = "#fbfaf7", "#dcd9d0", "#222222", "#9a958a"
_WIDTH, _PANEL_INCHES = 0.27, (4.6, 3.6)


def save_fad_chart(path: Path, frame: pd.DataFrame) -> None:
    """Write a PNG from the rows of `evaluation.metrics.fad`: a line of panels an embedder and maker, a panel a T.

    A bar a genre with its spread over seeds, a black line at the floor, grey bars for what was published. Every panel
    has an axis of its own: clips of different lengths, or embedders, do not compare.
    """
    rows, seq_lens = frame[["embedder", "origin"]].drop_duplicates(), frame["T"].unique()
    width, height = _PANEL_INCHES
    size = max(1.6, len(seq_lens)) * width, len(rows) * height + 0.8
    figure = Figure(figsize=size, dpi=150, layout="constrained")  # no pyplot: a file needs no display
    axes = figure.subplots(len(rows), len(seq_lens), squeeze=False)
    for line, (embedder, origin) in zip(axes, rows.itertuples(index=False), strict=True):
        for axis, seq_len in zip(line, seq_lens, strict=True):
            chosen = (frame["embedder"] == embedder) & (frame["origin"] == origin) & (frame["T"] == seq_len)
            _draw(axis, frame[chosen])
            axis.set_title(f"{embedder.split()[0]}, T = {seq_len}\n{origin}", fontsize=9, parse_math=False)
    entries = [Patch(color=GENRE_COLORS[0], label="ours"), Line2D([], [], color=_INK, label="floor: real against real")]
    if frame["reported"].notna().any():
        entries.append(Patch(color=_REPORTED, label="reported (AST, other music)"))
        entries.append(Patch(facecolor="white", edgecolor=_REPORTED, hatch="///", label="reported by [1]"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=9)
    figure.suptitle("Fréchet audio distance of generated to real clips; less is better", fontsize=11)
    write_bytes(path, png(figure))


def _draw(axis: Axes, frame: pd.DataFrame) -> None:
    rows = frame.to_dict("records")
    for place, row in enumerate(rows):
        color = ALL_COLOR if row["genre_id"] < 0 else GENRE_COLORS[row["genre_id"] % len(GENRE_COLORS)]
        if pd.isna(row["FAD"]):
            axis.annotate("none", (place, 0), ha="center", va="bottom", fontsize=7)
        else:
            spread = 0 if pd.isna(row["FAD_seeds_std"]) else row["FAD_seeds_std"]
            axis.bar(place, row["FAD"], _WIDTH, color=color, yerr=spread or None, ecolor=_INK, capsize=2)
            axis.annotate(f"{row['FAD']:.3g}", (place, row["FAD"] + spread), ha="center", va="bottom", fontsize=7)
        if pd.notna(row["FAD_floor"]):
            axis.hlines(row["FAD_floor"], place - _WIDTH / 2, place + _WIDTH / 2, color=_INK, linewidth=1.5, zorder=3)
        for offset, column, style in (
            (1, "reported", {"color": _REPORTED}),
            (2, "reported_paper", {"facecolor": "white", "edgecolor": _REPORTED, "hatch": "///"}),
        ):
            if pd.notna(row[column]):
                axis.bar(place + offset * _WIDTH, row[column], _WIDTH, **style)
    axis.set_xticks(range(len(rows)), [row["genre_name"] for row in rows], fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.set_facecolor(_PAPER)
    axis.grid(axis="y", color=_LINES, linewidth=0.6)
    axis.set_axisbelow(True)
    for spine in axis.spines.values():
        spine.set_color(_LINES)

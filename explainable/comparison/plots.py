"""Plots of the study's runs against the size of z."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.files import written_atomically
from explainable.result_tables import BY_ATTRIBUTE_TABLE

ACCURACY = "accuracy"
LABELS = {column.key: column.heading for column in BY_ATTRIBUTE_TABLE.columns} | {ACCURACY: "accuracy of test tokens"}
# Line and marker. A setting with a single size of z shows as a marker only.
LOOKS = (("-", "o"), ("--", "^"), (":", "s"), ("-.", "D"))
PANEL_INCHES, LEGEND_INCHES, PANELS_A_LINE = (3.4, 2.7), 0.8, 4


def plot(path: Path, table: pd.DataFrame, values: list[str], apart: list[str], color_by: str, dash_by: str) -> None:
    """Plot each of `values` against the size of z: a panel for each group of the columns `apart`.

    Lines are means over seeds, bands their ranges. The file is removed if there is nothing to plot.
    """
    table = table.assign(controls=table["controls"] + " controls")
    groups = [[(value, *group) for group in table.dropna(subset=[value]).groupby(apart)] for value in values]
    lines = [group[first : first + PANELS_A_LINE] for group in groups for first in range(0, len(group), PANELS_A_LINE)]
    if not lines:
        return path.unlink(missing_ok=True)
    colors = {name: f"C{number}" for number, name in enumerate(sorted(table[color_by].unique()))}
    looks = dict(zip(sorted(table[dash_by].unique()), LOOKS, strict=False))
    n_columns = max(map(len, lines))
    size = n_columns * PANEL_INCHES[0], len(lines) * PANEL_INCHES[1] + LEGEND_INCHES
    # Distinguishable with any kind of dichromacy. Without pyplot, so that no display is needed.
    with style.context("tableau-colorblind10"), written_atomically(path) as file:
        figure = Figure(size, dpi=150, layout="constrained")
        for axes, line in zip(figure.subplots(len(lines), n_columns, squeeze=False), lines, strict=True):
            for axis, (value, key, rows) in zip(axes, line, strict=False):
                _draw(axis, value, rows, {color_by: colors, dash_by: looks})
                axis.set_title(", ".join(map(str, key)), fontsize=9, parse_math=False)
            for axis in axes[len(line) :]:
                axis.set_visible(False)
        entries = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
        entries += [
            Line2D([], [], color="black", linestyle=dash, marker=marker, markersize=4, label=name)
            for name, (dash, marker) in looks.items()
        ]
        if ACCURACY in values:
            entries.append(Line2D([], [], color="grey", linewidth=0.8, label="always hold"))
        n_legend = min(len(entries), 2 * n_columns)
        figure.legend(handles=entries, loc="outside lower center", ncols=n_legend, frameon=False, fontsize=8)
        figure.savefig(file, format="png")
    print(path)


def _draw(axis: Axes, value: str, rows: pd.DataFrame, styles: dict[str, dict[Any, Any]]) -> None:
    (color_by, colors), (dash_by, looks) = styles.items()
    for (color, dash), line in rows.sort_values("latent").groupby([color_by, dash_by]):
        shade, (kind, marker) = colors[color], looks[dash]
        axis.plot(line["latent"], line[value], color=shade, linestyle=kind, marker=marker, markersize=4, linewidth=1.3)
        axis.fill_between(line["latent"], line[f"{value}_lowest"], line[f"{value}_highest"], color=shade, alpha=0.18)
    if value == ACCURACY:
        for floor in rows["floor"].unique():
            axis.axhline(floor, color="grey", linewidth=0.8)
    else:  # shares, on one scale so that panels compare
        axis.set_ylim(min(-0.03, rows[f"{value}_lowest"].min() - 0.03), 1.03)
    sizes = sorted(rows["latent"].unique())
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, sizes)
    axis.tick_params(axis="x", which="minor", length=0, labelbottom=False)
    axis.tick_params(labelsize=7)
    axis.set_xlabel("dimensions of z", fontsize=8)
    axis.set_ylabel(LABELS[value], fontsize=8)
    axis.grid(axis="y", linewidth=0.4)

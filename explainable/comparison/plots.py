"""Pictures of the comparison: means over seeds as lines, the range over seeds as a band."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.files import written_atomically
from explainable.comparison.tables import CROSS_TALK, INTERPRETABILITY, LEAKAGE, LEAKAGE_BESIDE_CONTROLS

ACCURACY, MEAN_INTERPRETABILITY = "accuracy", "control_interpretability"
_LABELS_APART = 1.15  # on a logarithmic scale
_PANEL_INCHES, _LEGEND_INCHES, _COLUMNS = (3.4, 2.7), 0.8, 4
_STYLE = "tableau-colorblind10"  # apart for readers with any kind of dichromacy
# Line and marker: where there is one size of z, the marker alone tells.
_LOOKS = (("-", "o"), ("--", "^"), (":", "s"), ("-.", "D"))
_NAMES = {
    ACCURACY: "accuracy of test tokens",
    MEAN_INTERPRETABILITY: "mean interpretability of the controls",
    INTERPRETABILITY: "interpretability",
    LEAKAGE: "not elsewhere in z",
    LEAKAGE_BESIDE_CONTROLS: "not in what is no control",
    CROSS_TALK: "independence of the control",
    "latent": "dimensions of z",
    "training_rows_untransposed": "training rows without transpositions",
}


@dataclass(frozen=True)
class Panel:
    """`value` of the rows against `x`: a line for each pair of what the columns `color_by` and `dash_by` hold."""

    title: str
    rows: pd.DataFrame
    value: str
    color_by: str
    dash_by: str
    x: str = "latent"


def comparison_panels(
    by_size: pd.DataFrame, by_attribute: pd.DataFrame, by_training_set: pd.DataFrame
) -> dict[str, list[list[Panel]]]:
    """The rows of panels of each picture, by its file; empty where there is nothing to show."""
    numbers = by_size.groupby(["data", "model", "latent"])["controls"].transform("nunique")
    several = by_size[numbers > 1]
    transposed = by_training_set["transposed"].map({True: "with transpositions", False: "without"})
    sets = by_training_set.assign(transposed=transposed)
    overall = (ACCURACY, MEAN_INTERPRETABILITY)
    return {
        "explainable_accuracy.png": [_panels(by_size, ACCURACY, ["data"], "model", "controls")],
        "explainable_interpretability.png": [
            _panels(by_attribute, INTERPRETABILITY, ["data", "controls"], "attribute", "model")
        ],
        "explainable_independence.png": [
            _panels(by_attribute, metric, ["data", "controls"], "attribute", "model")
            for metric in (LEAKAGE, LEAKAGE_BESIDE_CONTROLS, CROSS_TALK)
        ],
        "explainable_2_against_4.png": [_panels(several, value, ["data"], "controls", "model") for value in overall],
        "explainable_training_set.png": [
            _panels(sets, value, ["model", "controls", "latent"], "data", "transposed", "training_rows_untransposed")
            for value in overall
        ],
    }


def save_comparison_plots(metrics: Path, pictures: dict[str, list[list[Panel]]]) -> list[Path]:
    """Write the pictures of `comparison_panels` as PNG files; returns their paths.

    A picture of an earlier table, of which there is nothing to show now, is removed.
    """
    written = []
    for name, rows in pictures.items():
        path = metrics / name
        if any(rows):
            _save(path, rows)
            written.append(path)
        else:
            path.unlink(missing_ok=True)
    return written


def _panels(
    frame: pd.DataFrame, value: str, apart: list[str], color_by: str, dash_by: str, x: str = "latent"
) -> list[Panel]:
    """A panel for each that the columns `apart` hold together, where there are values."""
    return [
        Panel(", ".join(map(_label, apart, key)), rows, value, color_by, dash_by, x)
        for key, rows in frame.dropna(subset=[value]).groupby(apart)
    ]


def _label(column: str, value: object) -> str:
    return {"controls": f"{value} controls", "latent": f"z {value}"}.get(column, str(value))


def _save(path: Path, rows: Sequence[Sequence[Panel]]) -> None:
    lines = [row[first : first + _COLUMNS] for row in rows for first in range(0, len(row), _COLUMNS)]
    panels = [panel for line in lines for panel in line]
    n_columns, n_lines = max(map(len, lines)), len(lines)
    width, height = _PANEL_INCHES
    with style.context(_STYLE), written_atomically(path) as file:
        # No pyplot: a file needs no display.
        figure = Figure((n_columns * width, n_lines * height + _LEGEND_INCHES), dpi=150, layout="constrained")
        axes = figure.subplots(n_lines, n_columns, squeeze=False)
        colors = {name: f"C{place}" for place, name in enumerate(_values(panels, "color_by"))}
        looks = {name: _LOOKS[place % len(_LOOKS)] for place, name in enumerate(_values(panels, "dash_by"))}
        for axes_of_line, line in zip(axes, lines, strict=True):
            for axis, panel in zip_longest(axes_of_line, line):
                if panel is None:
                    axis.set_visible(False)
                else:
                    _draw(axis, panel, colors, looks)
        entries = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
        entries += [
            Line2D([], [], color="black", linestyle=dash, marker=marker, markersize=4, label=name)
            for name, (dash, marker) in looks.items()
        ]
        if any("floor" in panel.rows and panel.value == ACCURACY for panel in panels):
            entries.append(Line2D([], [], color="grey", linewidth=0.8, label="always hold"))
        columns = min(len(entries), 2 * n_columns)
        figure.legend(handles=entries, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
        figure.savefig(file, format="png")


def _values(panels: Sequence[Panel], which: str) -> list[str]:
    columns = ((panel.rows, getattr(panel, which)) for panel in panels)
    return sorted({_label(column, value) for rows, column in columns for value in rows[column]})


def _apart(values: pd.Series) -> list[float]:
    """The values in order, less those whose labels would lie on that of one before."""
    kept: list[float] = []
    for value in sorted(values.unique()):
        if not kept or value > _LABELS_APART * kept[-1]:
            kept.append(value)
    return kept


def _draw(axis: Axes, panel: Panel, colors: dict[str, str], looks: dict[str, tuple[str, str]]) -> None:
    x, value = panel.x, panel.value
    for (color, dash), rows in panel.rows.sort_values(x).groupby([panel.color_by, panel.dash_by]):
        shade, (line, marker) = colors[_label(panel.color_by, color)], looks[_label(panel.dash_by, dash)]
        axis.plot(rows[x], rows[value], color=shade, linestyle=line, marker=marker, markersize=4, linewidth=1.3)
        axis.fill_between(rows[x], rows[f"{value}_lowest"], rows[f"{value}_highest"], color=shade, alpha=0.18)
    if value == ACCURACY:
        for floor in panel.rows["floor"].unique():
            axis.axhline(floor, color="grey", linewidth=0.8)
    else:
        # All others are shares: panels compare at a glance, and little looks little.
        axis.set_ylim(min(-0.03, panel.rows[f"{value}_lowest"].min() - 0.03), 1.03)
    axis.set_xscale("log", base=2)
    ticks = _apart(panel.rows[x])
    axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], fontsize=7, rotation=0 if x == "latent" else 45)
    axis.tick_params(axis="x", which="minor", length=0, labelbottom=False)
    axis.tick_params(axis="y", labelsize=7)
    axis.set_title(panel.title, fontsize=9, parse_math=False)
    axis.set_xlabel(_NAMES[x], fontsize=8)
    axis.set_ylabel(_NAMES[value], fontsize=8)
    axis.grid(axis="y", linewidth=0.4)

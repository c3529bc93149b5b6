"""Means over seeds of the study's runs, as tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from evaluation.tables import read_csv
from explainable.attributes import ATTRIBUTES
from explainable.comparison.plots import ACCURACY, plot
from explainable.options import NAMED_ATTRIBUTES
from explainable.result_tables import (
    ACCURACY_PLOT,
    BY_ATTRIBUTE_TABLE,
    BY_SIZE_TABLE,
    BY_TRAINING_SET_TABLE,
    INDEPENDENCE_PLOT,
    INTERPRETABILITY_PLOT,
    RUNS_TABLE,
)

PROGRAM = "python -m programs.study_compare"
SETTING = ["data", "model", "controls", "latent"]
INTERPRETABILITY, CROSS_TALK = "interpretability", "output_independence"
# Leakage into z without an attribute's own control, and into z without any control; the same in the data alone.
LEAKAGE, LEAKAGE_BESIDE_CONTROLS = "latent_independence_nonlinear", "free_independence_nonlinear"
OF_CONTROLS = [INTERPRETABILITY, "r_squared_designated", LEAKAGE, LEAKAGE_BESIDE_CONTROLS, CROSS_TALK]
OF_DATA = ["data_independence_nonlinear", "data_mean", "data_variance"]
CONTROL_MEANS = {
    "control_interpretability": INTERPRETABILITY,
    "control_leakage": LEAKAGE,
    "control_leakage_beside_controls": LEAKAGE_BESIDE_CONTROLS,
    "data_leakage": OF_DATA[0],
}


def make_tables(metrics: Path) -> None:
    """Write the means over seeds of metrics/explainable.csv and their plots; prints their paths.

    A table or plot without rows is removed. Raises `UserError` if explainable.csv is missing or of an older version.
    """
    path = RUNS_TABLE.path(metrics)
    if not path.exists():
        raise UserError(f"{path}: no such table; make it with {PROGRAM}, without --only-tables")
    runs = with_controls(read_csv(path))
    whole = runs[runs["training_measures"].isna() & runs["transposed"]]  # trained on all tunes and transpositions
    *means, of_data = CONTROL_MEANS
    others = ["accuracy_onsets", "accuracy_measures", "floor", "val_accuracy", "val_loss", f"data_{CROSS_TALK}"]
    by_size = over_seeds(whole, SETTING, [ACCURACY, *means, CROSS_TALK], [*others, of_data])

    parts = []  # for each controlled attribute the columns METRIC_ATTRIBUTE as METRIC
    for name in ATTRIBUTES:
        part = whole[whole["attributes"].str.split(",").map(lambda names, name=name: name in names)]
        values = {metric: part.get(f"{metric}_{name}", np.nan) for metric in (*OF_CONTROLS, *OF_DATA)}
        parts.append(part.assign(attribute=name, **values))
    by_attribute = over_seeds(pd.concat(parts, ignore_index=True), [*SETTING, "attribute"], OF_CONTROLS, OF_DATA)

    keys, others = [*SETTING, "training_measures", "transposed"], ["training_rows_untransposed", "training_rows"]
    by_set = over_seeds(runs, keys, [ACCURACY, "control_interpretability"], [*others, "floor"])
    by_set = by_set[by_set.groupby(SETTING)["latent"].transform("size") > 1]  # settings trained on several sets

    for table, frame in ((BY_SIZE_TABLE, by_size), (BY_ATTRIBUTE_TABLE, by_attribute), (BY_TRAINING_SET_TABLE, by_set)):
        if frame.empty:
            table.path(metrics).unlink(missing_ok=True)
        else:
            print(*table.write(frame, metrics), sep="\n")
    panels = ["data", "controls"], "attribute", "model"
    plot(metrics / ACCURACY_PLOT, by_size, [ACCURACY], ["data"], "model", "controls")
    plot(metrics / INTERPRETABILITY_PLOT, by_attribute, [INTERPRETABILITY], *panels)
    plot(metrics / INDEPENDENCE_PLOT, by_attribute, [LEAKAGE, LEAKAGE_BESIDE_CONTROLS, CROSS_TALK], *panels)


def with_controls(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of programs.study_evaluate with more columns.

    controls: "2" or "4", or the names of other attributes. `CONTROL_MEANS`: means over the controlled attributes.
    Interpretability becomes NaN where controls lie outside z, because it is defined for dimensions of z.
    """
    if missing := {"controls_in_z", "training_measures", "transposed", "trained_with"} - {*frame}:
        raise UserError(f"explainable.csv has no column {min(missing)}; make it again with {PROGRAM}")
    outside = frame["controls_in_z"].eq(False)
    frame.loc[outside, [INTERPRETABILITY, *(f"{INTERPRETABILITY}_{name}" for name in ATTRIBUTES)]] = np.nan
    rows = frame.to_dict("records")
    means = {
        mean: [np.mean([row.get(f"{metric}_{name}", np.nan) for name in row["attributes"].split(",")]) for row in rows]
        for mean, metric in CONTROL_MEANS.items()
    }
    numbers = {",".join(names): number for number, names in NAMED_ATTRIBUTES.items()}
    controls = [numbers.get(names, names) for names in frame["attributes"]]
    return frame.join(pd.DataFrame({"controls": controls, **means})).copy()  # one block of memory


def over_seeds(runs: pd.DataFrame, by: list[str], values: list[str], others: list[str]) -> pd.DataFrame:
    """Means of runs that agree in `by`; of `values` also the lowest and highest. Number and options of the runs."""
    ends = (("", "mean"), ("_lowest", "min"), ("_highest", "max"))
    columns = {f"{value}{end}": (value, how) for value in values for end, how in ends}
    columns |= {name: (name, "mean") for name in others} | {"trainings": ("trained_with", "size")}
    columns["trained_with"] = "trained_with", lambda each: "; ".join(sorted(each.unique()))
    return runs.groupby(by, dropna=False).agg(**columns).reset_index()

"""The table of trained runs, summed up over seeds: by size of z, by attribute, by size of the training set."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.errors import UserError
from evaluation.tables import ResultTable
from explainable.attributes import ATTRIBUTES
from explainable.stages.stage import NAMED_ATTRIBUTES

_PROGRAM = "-m programs.study_compare"
SETTING = ("data", "model", "controls", "latent")
INTERPRETABILITY, CROSS_TALK = "interpretability", "output_independence"
# Leakage: from all dimensions but an attribute's own, and from those that control nothing.
LEAKAGE, LEAKAGE_BESIDE_CONTROLS = "latent_independence_nonlinear", "free_independence_nonlinear"
_DATA_LEAKAGE = "data_independence_nonlinear"
# What a control is judged by, each for its attribute; all but the last are nothing that the control changes.
OF_CONTROLS = (INTERPRETABILITY, "r_squared_designated", LEAKAGE, LEAKAGE_BESIDE_CONTROLS, CROSS_TALK)
_OF_DATA = (_DATA_LEAKAGE, "data_mean", "data_variance")
# Means over the controlled attributes, of what controls are judged by and of what to hold it against.
MEANS = {
    "control_interpretability": INTERPRETABILITY,
    "control_leakage": LEAKAGE,
    "control_leakage_beside_controls": LEAKAGE_BESIDE_CONTROLS,
}
BASELINE_MEANS = {"data_leakage": _DATA_LEAKAGE}
# What is shown of these, `page.explainable_results` says.
BY_SIZE_TABLE = ResultTable("explainable_by_size.csv", _PROGRAM, ())
BY_ATTRIBUTE_TABLE = ResultTable("explainable_by_attribute.csv", _PROGRAM, ())
BY_TRAINING_SET_TABLE = ResultTable("explainable_by_training_set.csv", _PROGRAM, ())
_RANGE = (("", "mean"), ("_lowest", "min"), ("_highest", "max"))


def runs_with_controls(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `programs.study_evaluate`, with what the comparison needs beside.

    controls: "2" or "4", or the names where they are others. whole: trained on all tunes and transpositions of the
    set. `MEANS`, `BASELINE_MEANS`: means over the controlled attributes. Interpretability is NaN where controls lie
    outside z: it asks for dimensions of z. Raises `UserError` for a table of an earlier version.
    """
    needed = "controls_in_z", "training_measures", "transposed", "training_rows_untransposed", "trained_with"
    missing = [name for name in needed if name not in frame]
    if missing:
        raise UserError(f"explainable.csv has no column {missing[0]}; make it again with python {_PROGRAM}")
    frame = frame.copy()
    names = {",".join(names): number for number, names in NAMED_ATTRIBUTES.items()}
    frame["controls"] = [names.get(own, own) for own in frame["attributes"]]
    frame["transposed"] = frame["transposed"].ne(False)
    frame["whole"] = frame["training_measures"].isna() & frame["transposed"]
    outside = frame["controls_in_z"].eq(False)
    frame.loc[outside, [INTERPRETABILITY, *(f"{INTERPRETABILITY}_{name}" for name in ATTRIBUTES)]] = np.nan
    means = {**MEANS, **BASELINE_MEANS}
    return frame.assign(**{name: _of_controls(frame, metric) for name, metric in means.items()})


def by_size(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a data set, model, number of controls and size of z, of runs on all training tunes."""
    others = ("accuracy_onsets", "accuracy_measures", "floor", "val_accuracy", "val_loss", f"data_{CROSS_TALK}")
    return over_seeds(runs[runs["whole"]], SETTING, ("accuracy", *MEANS, CROSS_TALK), (*others, *BASELINE_MEANS))


def by_attribute(runs: pd.DataFrame) -> pd.DataFrame:
    """The same for each attribute that is controlled."""
    return over_seeds(of_attributes(runs[runs["whole"]]), (*SETTING, "attribute"), OF_CONTROLS, _OF_DATA)


def by_training_set(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each setting and training set, where a setting was trained on several."""
    keys = (*SETTING, "training_measures", "transposed")
    values, others = ("accuracy", "control_interpretability"), ("training_rows_untransposed", "training_rows", "floor")
    table = over_seeds(runs, keys, values, others)
    return table[table.groupby(list(SETTING))["latent"].transform("size") > 1].reset_index(drop=True)


def of_attributes(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a run and attribute that it controls: the columns METRIC_NAME as METRIC, the name as `attribute`."""
    parts = []
    for name in ATTRIBUTES:
        part = runs[np.array([name in own.split(",") for own in runs["attributes"]], bool)]
        figures = {metric: part.get(f"{metric}_{name}", np.nan) for metric in (*OF_CONTROLS, *_OF_DATA)}
        parts.append(part.assign(attribute=name, **figures))
    return pd.concat(parts, ignore_index=True)


def over_seeds(
    runs: pd.DataFrame, by: Sequence[str], values: Sequence[str], others: Sequence[str] = ()
) -> pd.DataFrame:
    """Means of runs that agree in `by`; of `values` the lowest and highest as well. With their number and options."""
    groups = runs.groupby(list(by), dropna=False, sort=True)
    columns = {f"{value}{end}": (value, how) for value in values for end, how in _RANGE}
    columns |= {name: (name, "mean") for name in others}
    columns |= {"trainings": ("trained_with", "size"), "trained_with": ("trained_with", told_schedules)}
    return groups.agg(**columns).reset_index()


def told_schedules(schedules: pd.Series) -> str:
    """Each way of training once."""
    return "; ".join(sorted(schedules.unique()))


def _of_controls(runs: pd.DataFrame, metric: str) -> list[float]:
    return [
        float(np.mean([row.get(f"{metric}_{name}", np.nan) for name in row["attributes"].split(",")]))
        for row in runs.to_dict("records")
    ]

"""The study of explainable latent spaces on the page: verdicts on its claims, tables and pictures of the comparison."""

from pathlib import Path

import pandas as pd

from common.errors import UserError
from evaluation.tables import BASELINE, LABEL, Column, read_csv
from explainable.comparison.verdicts import NOT_TESTED
from page.result_folder import AbsentFile, Part, ResultFolder
from page.tables import ShownTable, show_table

PROGRAM = "-m programs.study_compare"
_SETTING = (
    Column("data", "data", LABEL),
    Column("model", "model", LABEL),
    Column("controls", "controls", LABEL),
    Column("latent", "z", alone=True),
)
_SEEDS = (Column("trainings", "trainings"), Column("trained_with", "trained with", LABEL))


def _with_range(name: str, heading: str) -> tuple[Column, ...]:
    return Column(name, heading), Column(f"{name}_lowest", "lowest"), Column(f"{name}_highest", "highest")


_ACCURACY = (*_with_range("accuracy", "accuracy"), Column("floor", "always hold", BASELINE))
# File, caption, columns.
TABLES = (
    (
        "explainable_verdicts.csv",
        "The study's claims, and what our runs say to them",
        (
            Column("claim", "claim", LABEL),
            Column("verdict", "verdict", LABEL),
            Column("figures", "ours", LABEL),
            Column("rule", "rule", LABEL),
            Column("seeds", "seeds", LABEL),
            Column("source", "source", LABEL),
        ),
    ),
    (
        "explainable_by_size.csv",
        "By size of z",
        (
            *_SETTING,
            *_ACCURACY,
            *_with_range("control_interpretability", "interpretability"),
            Column("control_leakage", "not elsewhere in z"),
            Column("data_leakage", "in the data", BASELINE),
            Column("control_leakage_beside_controls", "nor in what is no control"),
            Column("output_independence", "independence of controls"),
            Column("data_output_independence", "in the data", BASELINE),
            *_SEEDS,
        ),
    ),
    (
        "explainable_by_attribute.csv",
        "By attribute; attribute_vae's dimensions are given, so that its interpretability tells how straight they are",
        (
            *_SETTING,
            Column("attribute", "attribute", LABEL),
            *_with_range("interpretability", "interpretability"),
            *_with_range("latent_independence_nonlinear", "not elsewhere in z"),
            Column("data_independence_nonlinear", "in the data", BASELINE),
            *_with_range("free_independence_nonlinear", "nor in what is no control"),
            *_with_range("output_independence", "independence of the control"),
        ),
    ),
    (
        "explainable_by_training_set.csv",
        "By training set",
        (
            *_SETTING,
            Column("training_rows_untransposed", "training rows"),
            Column("training_rows", "with transpositions"),
            Column("transposed", "transposed", LABEL),
            *_ACCURACY,
            *_with_range("control_interpretability", "interpretability"),
            *_SEEDS,
        ),
    ),
)
PICTURES = {
    "explainable_accuracy.png": "Accuracy against the size of z, by data set, for each model and number of controls",
    "explainable_interpretability.png": "Interpretability of each attribute against the size of z, by data set",
    "explainable_independence.png": "Three measures of independence of each attribute against the size of z",
    "explainable_2_against_4.png": "Accuracy and interpretability with 2 and with 4 controls against the size of z",
    "explainable_training_set.png": "Accuracy and interpretability against the number of training rows",
}


def explainable_parts(folder: ResultFolder) -> list[Part]:
    """The verdicts, the pictures, the tables behind them; or what is absent.

    A comparison leaves out tables and pictures that it has no runs for. Raises `UserError` where a table is of another
    version.
    """
    command = folder.command(PROGRAM, "metrics", "runs")
    (verdicts, *tables), metrics = TABLES, folder.options.metrics
    if not (metrics / verdicts[0]).exists():
        return [AbsentFile(verdicts[0], command)]
    pictures = [
        folder.picture(name, f"Line plots. {about}. The tables below hold the numbers.", command)
        for name, about in PICTURES.items()
        if (metrics / name).exists()
    ]
    return [
        _verdicts(metrics, *verdicts),
        *pictures,
        *(_table(metrics, *own) for own in tables if (metrics / own[0]).exists()),
    ]


def _verdicts(metrics: Path, name: str, caption: str, columns: tuple[Column, ...]) -> ShownTable:
    """The claims that were tested, and how many were not."""
    frame = _read(metrics, name, columns)
    tested = frame[frame["verdict"] != NOT_TESTED]
    n_others = len(frame) - len(tested)
    note = f"{n_others} of {len(frame)} claims are not tested; {name} tells the runs that each needs."
    return show_table(caption, name, tested, columns, [note] if n_others else [])


def _table(metrics: Path, name: str, caption: str, columns: tuple[Column, ...]) -> ShownTable:
    return show_table(caption, name, _read(metrics, name, columns), columns)


def _read(metrics: Path, name: str, columns: tuple[Column, ...]) -> pd.DataFrame:
    frame = read_csv(metrics / name)
    missing = [column.key for column in columns if column.key not in frame]
    if missing:
        raise UserError(f"{metrics / name}: has no column {missing[0]}; it is of another version: make it again")
    return frame

"""The study of explainable latent spaces on the page: plots, tables, and the data of the control panel."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from data.song import PITCHES
from explainable import result_tables as study
from figures.pitch_range import pitch_range
from page.result_folder import AbsentFile, Part, ResultFolder
from page.tables import show_table

PICTURES = {
    study.ACCURACY_PLOT: "Accuracy against the size of z, by data set, for each model and number of controls",
    study.INTERPRETABILITY_PLOT: "Interpretability of each attribute against the size of z, by data set",
    study.INDEPENDENCE_PLOT: "Three kinds of independence of each attribute against the size of z, by data set",
}
CAPTIONS = {
    "By size of z": study.BY_SIZE_TABLE,
    "By attribute. AttributeVAE's controls are given, so its interpretability only shows how linear they are":
        study.BY_ATTRIBUTE_TABLE,
    "By training set": study.BY_TRAINING_SET_TABLE,
    "Runs": study.RUNS_TABLE,
}  # fmt: skip


def explainable_parts(folder: ResultFolder) -> list[Part]:
    """Return the plots and tables of the comparison that exist, or the missing table of runs.

    Raises `UserError` if a table lacks a column.
    """
    metrics, command = folder.options.metrics, folder.command(study.BY_SIZE_TABLE.program, "metrics", "runs")
    if not study.RUNS_TABLE.path(metrics).exists():
        return [AbsentFile(study.RUNS_TABLE.file, command)]
    pictures = [
        folder.picture(name, f"Line plots. {about}. The tables below hold the numbers.", command)
        for name, about in PICTURES.items()
        if (metrics / name).exists()
    ]
    tables = [
        show_table(caption, table.file, frame, table.columns)
        for caption, table in CAPTIONS.items()
        if (frame := table.read(metrics)) is not None
    ]
    return [*pictures, *tables]


def read_panel(metrics: Path) -> dict[str, Any] | None:
    """The sweeps of a result folder, with `pitches` and `largest`: the bounds of all pictures and attributes.

    None if there is no file of sweeps. Raises `UserError` if it is something else.
    """
    path = metrics / study.SWEEPS_FILE
    if not path.exists():
        return None
    try:
        sweeps = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for model in sweeps["models"] for row in model["originals"]]
        controls = [control for model in sweeps["models"] for control in model["controls"]]
        rows += [row for control in controls for steps in control["measures"] for row in steps]
        sounding = np.zeros((PITCHES, 1), bool)
        sounding[[pitch for row in rows for _, _, pitch in row["notes"]]] = True
        largest = np.array([row["attributes"] for row in rows], float).max(axis=0).tolist()
        known = {key: sweeps[key] for key in ("attributes", "frames_per_second", "models")}
        return {**known, "pitches": pitch_range([sounding])._asdict(), "largest": largest}
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: not what programs.study_sweeps writes; make it again, or delete it") from error

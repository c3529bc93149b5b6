"""The control panel of the explainable models: its data for the page's script."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from data.song import PITCHES
from explainable.sweeps import SWEEPS_FILE
from figures.pitch_range import pitch_range


def read_panel(metrics: Path) -> dict[str, Any] | None:
    """The sweeps of a result folder, with `pitches` and `largest`: the bounds of all pictures and attributes.

    None if there is no file of sweeps. Raises `UserError` if it is something else.
    """
    path = metrics / SWEEPS_FILE
    if not path.exists():
        return None
    try:
        sweeps = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for model in sweeps["models"] for row in _rows(model)]
        sounding = np.zeros((PITCHES, 1), bool)
        sounding[[pitch for row in rows for _, _, pitch in row["notes"]]] = True
        largest = np.array([row["attributes"] for row in rows], float).max(axis=0).tolist()
        known = {key: sweeps[key] for key in ("attributes", "frames_per_second", "models")}
        return {**known, "pitches": pitch_range([sounding])._asdict(), "largest": largest}
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: not what programs.study_sweeps writes; make it again, or delete it") from error


def _rows(model: dict[str, Any]) -> list[dict[str, Any]]:
    """All measures of a model: the originals, and those decoded for each value of each control."""
    decoded = [row for control in model["controls"] for steps in control["measures"] for row in steps]
    return [*model["originals"], *decoded]

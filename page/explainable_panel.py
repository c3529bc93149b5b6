"""The controls of the explainable models on the page: what to choose, to move, to see and to hear."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from data.song import PITCHES
from explainable.sweeps import SWEEPS_FILE
from figures.pitch_range import pitch_range

_OF_MODEL = ("run", "network", "data", "is_told", "frames", "originals", "controls")


def read_panel(metrics: Path) -> dict[str, Any] | None:
    """What the panel's script reads: the sweeps in a folder of results, and the bounds of all its pictures.

    None where there are no sweeps. Raises `UserError` where the file holds something else.
    """
    path = metrics / SWEEPS_FILE
    if not path.exists():
        return None
    try:
        sweeps = json.loads(path.read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
        models = [{key: model[key] for key in _OF_MODEL} for model in sweeps["models"]]
        rows = [row for model in models for row in _rows(model)]
        sounding = np.zeros((PITCHES, 1), bool)
        sounding[[pitch for row in rows for _, _, pitch in row["notes"]]] = True
        return {
            "attributes": list(sweeps["attributes"]),
            "frames_per_second": float(sweeps["frames_per_second"]),
            "models": models,
            "pitches": pitch_range([sounding])._asdict(),
            "largest": np.array([row["attributes"] for row in rows], float).max(axis=0).tolist(),
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not what programs.study_sweeps writes; make it again, or delete it") from error


def _finite(text: str) -> float:
    """A number of the file; raises `ValueError` for one that is not finite, which the page's script cannot read."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def _rows(model: dict[str, Any]) -> list[dict[str, Any]]:
    """All measures of a model: the originals, and those decoded, one for each value of each control."""
    rows = list(model["originals"])
    for control in model["controls"]:
        for steps in control["measures"]:
            if len(steps) != len(control["values"]):
                raise ValueError(f"{len(steps)} measures for {len(control['values'])} values")
            rows += steps
    return rows

"""What each control of a model does to a few measures, from low to high, as plain data for the page."""

from typing import Any

import numpy as np

from common.errors import UserError
from explainable.attributes import attributes
from explainable.measures import MeasureSet, SplitRows
from explainable.melody_files import MEASURE_FRAMES, note_frames
from explainable.tokens import decode
from explainable.trained import TrainedVAE

SWEEPS_FILE = "explainable_sweeps.json"
POSITIONS = 9
_DIGITS = 4


def sweep_model(trained: TrainedVAE, measures: MeasureSet, n: int, seed: int) -> dict[str, Any]:
    """Name, originals and sweeps of a model, as plain data, for `n` test rows; `UserError` where too few are there."""
    test, training = read_test_rows(measures), measures.split("train", transposed=False)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(test))[:n])
    z, own = trained.encode(test.tokens).mean, test.attributes[chosen][:, trained.columns]
    controls = []
    for k, name in enumerate(trained.attributes):
        values = np.linspace(*trained.control_range(k, z, training.attributes[:, trained.columns]), POSITIONS)
        rows = [trained.decode(*trained.set_control(z[chosen], own, k, value)) for value in values]
        steps = [[_plain(row, trained) for row in of_measure] for of_measure in np.stack(rows, axis=1)]
        controls.append({"attribute": name, "values": _rounded(values), "measures": steps})
    return {
        "run": trained.run,
        "network": trained.model.network,
        "data": measures.name,
        "is_decoder_input": not trained.in_latent,
        "frames": trained.form.measures * MEASURE_FRAMES,
        "originals": [_plain(row, trained) for row in test.tokens[chosen]],
        "controls": controls,
    }


def read_test_rows(measures: MeasureSet) -> SplitRows:
    """The rows of the test tunes. Raises `UserError` where there are fewer than two, which have no deviation."""
    test = measures.split("test")
    if len(test) < 2:
        raise UserError(
            f"{measures.folder}: has {len(test)} rows of test tunes, and how far a control goes takes 2; "
            "prepare more tunes with python -m programs.study_prepare"
        )
    return test


def _plain(row: np.ndarray, trained: TrainedVAE) -> dict[str, Any]:
    """A row as notes, first frame, frames and pitch of each, and its attributes."""
    values = attributes(row[None], trained.form)[0]
    return {"notes": note_frames(decode(row, trained.form)), "attributes": _rounded(values)}


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values.astype(float), _DIGITS).tolist()

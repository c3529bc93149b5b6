"""Sweeps: a few measures, decoded with several values of each control, as plain data for the page."""

from typing import Any

import numpy as np

from common.errors import UserError
from explainable.attributes import attributes
from explainable.measures import MeasureSet, SplitRows
from explainable.melody_files import MEASURE_FRAMES, note_frames
from explainable.tokens import TokenForm, decode
from explainable.trained import TrainedVAE

SWEEPS_FILE = "explainable_sweeps.json"
POSITIONS = 9


def sweep_model(trained: TrainedVAE, measures: MeasureSet, n: int, seed: int) -> dict[str, Any]:
    """Sweep all controls of a model for `n` random test rows.

    `originals` has an entry for each row; `measures` of a control has, for each row, an entry for each of its `values`.
    Raises `UserError` if the data set has fewer than two test rows.
    """
    test, training = read_test_rows(measures), measures.split("train", transposed=False)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(test))[:n])
    z, own = trained.encode(test.tokens).mean, test.attributes[chosen][:, trained.columns]
    controls = []
    for k, name in enumerate(trained.attributes):
        values = np.linspace(*trained.control_range(k, z, training.attributes[:, trained.columns]), POSITIONS)
        decoded = [trained.decode(*trained.set_control(z[chosen], own, k, value)) for value in values]
        rows = [[_plain(row, trained.form) for row in of_measure] for of_measure in np.stack(decoded, axis=1)]
        controls.append({"attribute": name, "values": _rounded(values), "measures": rows})
    return {
        "run": trained.run,
        "network": trained.model.network,
        "data": measures.name,
        "is_decoder_input": not trained.in_latent,
        "frames": trained.form.measures * MEASURE_FRAMES,
        "originals": [_plain(row, trained.form) for row in test.tokens[chosen]],
        "controls": controls,
    }


def read_test_rows(measures: MeasureSet) -> SplitRows:
    """The test rows. Raises `UserError` for fewer than two, which have no standard deviation."""
    test = measures.split("test")
    if len(test) < 2:
        raise UserError(
            f"{measures.folder}: has {len(test)} test rows, but the range of a control needs 2; prepare more tunes "
            "with python -m programs.study_prepare"
        )
    return test


def _plain(row: np.ndarray, form: TokenForm) -> dict[str, Any]:
    """The notes of a row, [first frame, frames, pitch], and its attributes."""
    return {"notes": note_frames(decode(row, form)), "attributes": _rounded(attributes(row[None], form)[0])}


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values.astype(float), 4).tolist()

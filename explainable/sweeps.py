"""Test measures of a model, decoded with several values of each control."""

from typing import Any

import numpy as np

from explainable.attributes import attributes
from explainable.measures import MeasureSet
from explainable.melody_files import MEASURE_FRAMES, note_frames
from explainable.tokens import TokenForm, decode
from explainable.trained import TrainedVAE

POSITIONS = 9  # values of a control


def sweep_model(trained: TrainedVAE, measures: MeasureSet, n: int, seed: int) -> dict[str, Any]:
    """Sweep all controls of a model for `n` random test rows, `originals`.

    `measures` of a control has, for each row, an entry for each of its `values`. Raises `UserError` for too few rows.
    """
    test, training = measures.test_rows(), measures.split("train", transposed=False)
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


def _plain(row: np.ndarray, form: TokenForm) -> dict[str, Any]:
    """The notes of a row, [first frame, frames, pitch], and its attributes."""
    return {"notes": note_frames(decode(row, form)), "attributes": _rounded(attributes(row[None], form)[0])}


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values.astype(float), 4).tolist()

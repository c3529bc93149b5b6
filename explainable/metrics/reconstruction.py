"""Accuracy of reconstructed measures, and how fast it is reached in training."""

import numpy as np
import pandas as pd

MILESTONES = (0.90, 0.95)


def reconstruction_scores(
    predicted: np.ndarray, target: np.ndarray, *, hold: int, rest: int, pad: int | None
) -> dict[str, float]:
    """Accuracy of predicted tokens (N, T) against target (N, T), integers, one measure a row, with floors.

    accuracy: of all tokens, padding included.
    accuracy_unpadded: of tokens whose target is not `pad`.
    accuracy_onsets: of tokens whose target is a note. A false note counts only in the two above.
    accuracy_measures: share of rows in which every token except padding is right; rows of only padding are left out.
    floor, floor_unpadded, floor_onsets, floor_measures: the same for the best constant prediction, the share of the
    most frequent token, or row, among the targets counted. Shares in [0, 1]; NaN where nothing is counted.
    """
    right = predicted == target
    sounding = np.ones_like(right) if pad is None else target != pad
    onset = sounding & (target != hold) & (target != rest)
    with_content = sounding.any(1)
    counted = {"": np.ones_like(right), "_unpadded": sounding, "_onsets": onset}
    scores = {f"accuracy{name}": _mean(right[chosen]) for name, chosen in counted.items()}
    scores["accuracy_measures"] = _mean((right | ~sounding).all(1)[with_content])
    floors = {f"floor{name}": _most_frequent(target[chosen]) for name, chosen in counted.items()}
    return scores | floors | {"floor_measures": _most_frequent(target[with_content])}


def reconstruction_efficiency(log: pd.DataFrame, latent_size: int, floor: float) -> dict[str, float]:
    """How fast training reaches an accuracy, and accuracy per dimension. The study names but does not define this.

    `log` has a row per validation: `step`, `seconds` of training so far, and the free-running validation `accuracy`;
    rows without accuracy are skipped. `floor` is the accuracy of a constant prediction.
    steps_to_90, seconds_to_90, steps_to_95, seconds_to_95: at the first validation with that accuracy, NaN if none.
    accuracy_per_dimension: last accuracy / latent size. gain_per_dimension: (last accuracy - floor) / latent size.
    """
    log = log.dropna(subset=["accuracy"]).sort_values("step", kind="stable")
    accuracy = log["accuracy"].to_numpy(np.float64)
    efficiency = {}
    for milestone in MILESTONES:
        reached = np.flatnonzero(accuracy >= milestone)
        for quantity, column in (("steps", "step"), ("seconds", "seconds")):
            value = float(log[column].iloc[reached[0]]) if len(reached) else float("nan")
            efficiency[f"{quantity}_to_{milestone * 100:.0f}"] = value
    last = float(accuracy[-1]) if len(accuracy) else float("nan")
    efficiency["accuracy_per_dimension"] = last / latent_size
    return efficiency | {"gain_per_dimension": (last - floor) / latent_size}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _most_frequent(values: np.ndarray) -> float:
    """Share of the most frequent of values (n,), or rows (n, T)."""
    if not values.size:
        return float("nan")
    return float(np.unique(values, axis=0, return_counts=True)[1].max() / len(values))

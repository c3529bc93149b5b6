"""How well measures are reconstructed, and how soon in training."""

import numpy as np
import pandas as pd

MILESTONES = (0.90, 0.95)


def reconstruction_scores(
    predicted: np.ndarray, target: np.ndarray, *, hold: int, rest: int, pad: int | None
) -> dict[str, float]:
    """Accuracy of predicted tokens (N, T) by target (N, T), integers, a measure a row; each beside its floor.

    accuracy: of all tokens, padding included.
    accuracy_unpadded: of those whose target is not `pad`.
    accuracy_onsets: of those whose target is a note, so neither `hold` nor `rest` nor `pad`. A note predicted where
    there is none does not count here, only in the two above.
    accuracy_measures: share of rows whose every token but padding is right; rows of nothing but padding are left out.
    floor, floor_unpadded, floor_onsets, floor_measures: what the best constant answer scores, that is the share of the
    most frequent token, or row, among the targets counted. Nearly two thirds of the tokens of folk tunes are `hold`.
    Shares in [0, 1]; NaN where nothing is counted. Raises ValueError for unequal shapes.
    """
    predicted, target = np.asarray(predicted), np.asarray(target)
    if predicted.shape != target.shape or target.ndim != 2:
        raise ValueError(f"predicted {predicted.shape} and target {target.shape} are not both (N, T)")
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
    """How soon a training reconstructs well, and how much a dimension carries. Our definition of a term left open.

    `log` has a row for each validation: `step`, `seconds` of training until then, and `accuracy`, free-running, of the
    validation tokens; rows without accuracy are passed over. `floor` is the accuracy of a constant answer.
    steps_to_90, seconds_to_90, steps_to_95, seconds_to_95: of the first row that reaches that accuracy, NaN if none
    does. They are as fine as the intervals between validations, and seconds compare on equal hardware only.
    accuracy_per_dimension: last accuracy / latent size. gain_per_dimension: the same of what exceeds the floor, without
    which a model that has learnt nothing would look efficient at a small size.
    """
    log = log.dropna(subset=["accuracy"]).sort_values("step", kind="stable")
    accuracy = log["accuracy"].to_numpy(np.float64)
    found = {}
    for milestone in MILESTONES:
        reached = np.flatnonzero(accuracy >= milestone)
        for quantity, column in (("steps", "step"), ("seconds", "seconds")):
            value = float(log[column].iloc[reached[0]]) if len(reached) else float("nan")
            found[f"{quantity}_to_{milestone:.0%}".rstrip("%")] = value
    last = float(accuracy[-1]) if len(accuracy) else float("nan")
    return found | {
        "accuracy_per_dimension": last / latent_size,
        "gain_per_dimension": (last - floor) / latent_size,
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _most_frequent(values: np.ndarray) -> float:
    """Share of the most frequent of values (n,), or rows (n, T)."""
    if not values.size:
        return float("nan")
    return float(np.unique(values, axis=0, return_counts=True)[1].max() / len(values))

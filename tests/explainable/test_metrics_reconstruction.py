"""Metrics of hand-made tokens and training logs."""

import numpy as np
import pandas as pd
import pytest

from explainable.metrics.reconstruction import reconstruction_efficiency, reconstruction_scores

HOLD, REST, PAD = 31, 30, 32
TARGET = np.array([[5, HOLD, 7, HOLD], [REST, HOLD, HOLD, 7], [PAD, PAD, 7, HOLD], [PAD, PAD, PAD, PAD]])

pytestmark = pytest.mark.usefixtures("no_warnings")


def scores_of(changes: dict[tuple[int, int], int]) -> dict[str, float]:
    """Scores of TARGET with other tokens at some places."""
    predicted = TARGET.copy()
    for place, token in changes.items():
        predicted[place] = token
    return reconstruction_scores(predicted, TARGET, hold=HOLD, rest=REST, pad=PAD)


@pytest.mark.parametrize(
    ("changes", "accuracy", "unpadded", "onsets", "measures"),
    [
        ({}, 1, 1, 1, 1),
        ({(0, 2): 8}, 15 / 16, 9 / 10, 3 / 4, 2 / 3),  # a wrong note
        ({(1, 0): 3}, 15 / 16, 9 / 10, 1, 2 / 3),  # a note for a rest
        ({(1, 1): 3}, 15 / 16, 9 / 10, 1, 2 / 3),  # a note for a hold
        ({(2, 0): 3, (3, 3): HOLD}, 14 / 16, 1, 1, 1),  # padding
    ],
)
def test_each_accuracy_counts_its_tokens(
    changes: dict[tuple[int, int], int], accuracy: float, unpadded: float, onsets: float, measures: float
) -> None:
    # 16 tokens: 6 are padding; of the other 10 five are hold; of 4 onsets three are a 7; all 3 measures differ.
    assert scores_of(changes) == {
        "accuracy": accuracy, "accuracy_unpadded": unpadded, "accuracy_onsets": onsets, "accuracy_measures": measures,
        "floor": 6 / 16, "floor_unpadded": 5 / 10, "floor_onsets": 3 / 4, "floor_measures": 1 / 3,
    }  # fmt: skip


def test_predicting_hold_scores_the_floor() -> None:
    target = np.where(TARGET == PAD, HOLD, TARGET)
    row = reconstruction_scores(np.full_like(target, HOLD), target, hold=HOLD, rest=REST, pad=None)
    assert row["accuracy"] == row["floor"] == row["accuracy_unpadded"] == row["floor_unpadded"] == 11 / 16
    assert row["accuracy_onsets"] == 0 and row["accuracy_measures"] == row["floor_measures"] == 1 / 4


def test_metrics_without_tokens_to_count_are_nan() -> None:
    silent = np.full((3, 4), REST)
    row = reconstruction_scores(silent, silent, hold=HOLD, rest=REST, pad=PAD)
    assert {name for name, value in row.items() if np.isnan(value)} == {"accuracy_onsets", "floor_onsets"}
    empty = reconstruction_scores(silent[:0], silent[:0], hold=HOLD, rest=REST, pad=PAD)
    assert np.isnan(list(empty.values())).all()


def test_efficiency_is_of_the_first_validation_that_reaches_a_milestone() -> None:
    rows = [(400, 41.0, 0.94), (100, 10.0, 0.70), (500, 52.0, np.nan), (200, 20.5, 0.90), (300, 30.0, 0.89)]
    log = pd.DataFrame(rows, columns=["step", "seconds", "accuracy"])
    expected = {
        "steps_to_90": 200, "seconds_to_90": 20.5, "steps_to_95": np.nan, "seconds_to_95": np.nan,
        "accuracy_per_dimension": 0.94 / 8, "gain_per_dimension": 0.28 / 8,
    }  # fmt: skip
    assert reconstruction_efficiency(log, latent_size=8, floor=0.66) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(list(reconstruction_efficiency(log[:0], latent_size=8, floor=0.66).values())).all()

"""Scores of tokens made by hand, and of training logs."""

import numpy as np
import pandas as pd
import pytest

from explainable.metrics.reconstruction import reconstruction_efficiency, reconstruction_scores

HOLD, REST, PAD = 31, 30, 32


pytestmark = pytest.mark.usefixtures("no_warnings")


TARGET = np.array(
    [
        [5, HOLD, 7, HOLD],
        [REST, HOLD, HOLD, 7],
        [PAD, PAD, 7, HOLD],
        [PAD, PAD, PAD, PAD],
    ]
)


def scores_of(changes: dict[tuple[int, int], int]) -> dict[str, float]:
    predicted = TARGET.copy()
    for place, token in changes.items():
        predicted[place] = token
    return reconstruction_scores(predicted, TARGET, hold=HOLD, rest=REST, pad=PAD)


def test_floors_are_those_of_the_best_constant_answer() -> None:
    row = scores_of({})
    assert {name: value for name, value in row.items() if name.startswith("accuracy")} == {
        "accuracy": 1,
        "accuracy_unpadded": 1,
        "accuracy_onsets": 1,
        "accuracy_measures": 1,
    }
    # Of 16 tokens 6 are padding, of the other 10 five are held; of 4 onsets three are a 7; all measures differ.
    assert row["floor"] == 6 / 16
    assert row["floor_unpadded"] == 5 / 10
    assert row["floor_onsets"] == 3 / 4
    assert row["floor_measures"] == 1 / 3


def test_each_accuracy_counts_its_own_tokens() -> None:
    onset = scores_of({(0, 2): 8})
    assert (onset["accuracy"], onset["accuracy_unpadded"]) == (15 / 16, 9 / 10)
    assert (onset["accuracy_onsets"], onset["accuracy_measures"]) == (3 / 4, 2 / 3)
    # A rest and a hold are no onsets, and a note in place of one is a false onset.
    for place in ((1, 0), (1, 1)):
        held = scores_of({place: 3})
        assert (held["accuracy_unpadded"], held["accuracy_onsets"], held["accuracy_measures"]) == (9 / 10, 1, 2 / 3)
    # Padding counts in the first alone.
    padding = scores_of({(2, 0): 3, (3, 3): HOLD})
    assert padding["accuracy"] == 14 / 16
    assert padding["accuracy_unpadded"] == padding["accuracy_onsets"] == padding["accuracy_measures"] == 1


def test_always_held_scores_its_floor() -> None:
    target = np.where(TARGET == PAD, HOLD, TARGET)
    row = reconstruction_scores(np.full_like(target, HOLD), target, hold=HOLD, rest=REST, pad=None)
    assert row["accuracy"] == row["floor"] == row["accuracy_unpadded"] == row["floor_unpadded"] == 11 / 16
    assert row["accuracy_onsets"] == 0
    assert row["accuracy_measures"] == row["floor_measures"] == 1 / 4


def test_tokens_without_notes_or_rows_have_no_figure() -> None:
    silent = np.full((3, 4), REST)
    row = reconstruction_scores(silent, silent, hold=HOLD, rest=REST, pad=PAD)
    assert row["accuracy"] == row["floor_measures"] == 1
    assert np.isnan(row["accuracy_onsets"]) and np.isnan(row["floor_onsets"])
    empty = reconstruction_scores(silent[:0], silent[:0], hold=HOLD, rest=REST, pad=PAD)
    assert all(np.isnan(value) for value in empty.values())


def test_tokens_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        reconstruction_scores(TARGET[:2], TARGET, hold=HOLD, rest=REST, pad=PAD)


def test_efficiency_is_of_the_first_validation_that_reaches_a_milestone() -> None:
    log = pd.DataFrame(
        {
            "step": [400, 100, 500, 200, 300],
            "seconds": [41.0, 10.0, 52.0, 20.5, 30.0],
            "accuracy": [0.94, 0.70, np.nan, 0.90, 0.89],
        }
    )
    row = reconstruction_efficiency(log, latent_size=8, floor=0.66)
    assert row["steps_to_90"] == 200 and row["seconds_to_90"] == 20.5
    assert np.isnan(row["steps_to_95"]) and np.isnan(row["seconds_to_95"])
    assert row["accuracy_per_dimension"] == pytest.approx(0.94 / 8)
    assert row["gain_per_dimension"] == pytest.approx(0.28 / 8)


def test_efficiency_of_an_empty_log_is_unknown() -> None:
    log = pd.DataFrame({"step": [1], "seconds": [0.1], "accuracy": [np.nan]})
    for part in (log, log[:0]):
        assert all(np.isnan(value) for value in reconstruction_efficiency(part, latent_size=8, floor=0.66).values())

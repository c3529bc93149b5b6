"""Agreement of sources against values that can be worked out by hand."""

import math

import pandas as pd
import pytest

from labelling.agreement import agreement, agreement_of_pairs

CLASSES = ["pop", "rock"]


def test_share_and_kappa_of_a_known_table() -> None:
    """35 of 50 agree, 25 would by chance: kappa is (.7 - .5) / (1 - .5) = .4 (Cohen 1960)."""
    one = pd.Series(["pop"] * 25 + ["rock"] * 25)
    other = pd.Series(["pop"] * 20 + ["rock"] * 5 + ["pop"] * 10 + ["rock"] * 15)
    expected = {"files": 50, "agreement": 0.7, "kappa": 0.4, "pop": 20 / 35, "rock": 15 / 30}
    assert agreement(one, other, CLASSES) == pytest.approx(expected)


def test_a_single_genre_has_no_kappa() -> None:
    row = agreement(pd.Series(["pop"] * 3), pd.Series(["pop"] * 3), CLASSES)
    assert row["agreement"] == 1 and math.isnan(row["kappa"]) and math.isnan(row["rock"])


def test_only_pairs_with_common_files_are_compared() -> None:
    genres = pd.DataFrame({"a": ["pop", "rock", ""], "b": ["pop", "", "pop"], "c": ["", "rock", ""]})
    rows = agreement_of_pairs(genres, CLASSES)
    assert rows[["one", "other", "files", "agreement"]].to_numpy().tolist() == [["a", "b", 1, 1.0], ["a", "c", 1, 1.0]]

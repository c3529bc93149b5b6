"""Agreement of sources, against figures that can be worked out by hand."""

import math

import pandas as pd
import pytest

from labelling.agreement import agreement, agreement_of_pairs

CLASSES = ["pop", "rock"]


def test_share_and_kappa_of_a_known_table() -> None:
    """20 and 15 alike, 5 and 10 not: .7 agree, .5 would by chance, so kappa is .4 (Cohen 1960's formula)."""
    one = pd.Series(["pop"] * 25 + ["rock"] * 25)
    other = pd.Series(["pop"] * 20 + ["rock"] * 5 + ["pop"] * 10 + ["rock"] * 15)
    told = agreement(one, other, CLASSES)
    assert told["files"] == 50 and told["agreement"] == 0.7 and told["kappa"] == pytest.approx(0.4)
    assert told["pop"] == pytest.approx(20 / 35) and told["rock"] == pytest.approx(15 / 30)


def test_one_genre_alone_has_no_kappa() -> None:
    told = agreement(pd.Series(["pop"] * 3), pd.Series(["pop"] * 3), CLASSES)
    assert told["agreement"] == 1 and math.isnan(told["kappa"]) and math.isnan(told["rock"])


def test_pairs_share_files() -> None:
    genres = pd.DataFrame({"a": ["pop", "rock", ""], "b": ["pop", "", "pop"], "c": ["", "rock", ""]})
    told = agreement_of_pairs(genres, CLASSES)
    assert told[["one", "other", "files", "agreement"]].to_numpy().tolist() == [["a", "b", 1, 1.0], ["a", "c", 1, 1.0]]

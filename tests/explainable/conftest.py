"""What the tests of the study share."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from explainable.measures import MeasureSet
from explainable.options import MeasureSettings
from explainable.prepare import prepare_measures
from explainable.tokens import MEASURE


@pytest.fixture
def no_warnings() -> Iterator[None]:
    """Any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="session")
def transposed(tunes: Path) -> MeasureSet:
    """The tunes, with their transpositions for training."""
    return prepare_measures([tunes], tunes.parent / "transposed", MEASURE, MeasureSettings())

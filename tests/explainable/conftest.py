"""What the tests of the study share."""

import random
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
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of thirty tunes of four measures of eighths, quarters and halves, and a jig."""
    path, generator, tunes = tmp_path_factory.mktemp("tunes") / "tunes.abc", random.Random(0), []
    for number in range(30):
        bars = ["".join(generator.choice(["C2", "DE", "G2", "Bc", "A2"]) for _ in range(3)) + "F2" for _ in range(4)]
        tunes.append(f"X:{number}\nT:Tune {number}\nM:4/4\nL:1/8\nK:C\n{'|'.join(bars)}|]\n")
    path.write_text("\n".join([*tunes, "X:99\nM:6/8\nK:C\nA3B3|\n"]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def measures(tunes: Path) -> MeasureSet:
    """The tunes as they stand."""
    return prepare_measures([tunes], tunes.parent / "measures", MEASURE, MeasureSettings(transpose=False))


@pytest.fixture(scope="session")
def transposed(tunes: Path) -> MeasureSet:
    """The tunes, with their transpositions for training."""
    return prepare_measures([tunes], tunes.parent / "transposed", MEASURE, MeasureSettings())

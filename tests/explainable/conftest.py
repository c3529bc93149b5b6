"""What the tests of the study share."""

import random
import warnings
from collections.abc import Iterator

import pytest

from explainable.measures import MeasureSet
from explainable.tokens import MEASURE
from programs.study_prepare import MeasureSettings, prepare_measures


@pytest.fixture
def no_warnings() -> Iterator[None]:
    """Any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="session")
def measures(tmp_path_factory: pytest.TempPathFactory) -> MeasureSet:
    """Thirty tunes of four measures of four quarters and halves, as they stand."""
    folder, generator = tmp_path_factory.mktemp("tunes"), random.Random(0)
    tunes = []
    for number in range(30):
        bars = ["".join(generator.choice(["C2", "DE", "G2", "Bc", "A2"]) for _ in range(3)) + "F2" for _ in range(4)]
        tunes.append(f"X:{number}\nT:Tune {number}\nM:4/4\nL:1/8\nK:C\n{'|'.join(bars)}|]\n")
    (folder / "tunes.abc").write_text("\n".join(tunes), encoding="utf-8")
    return prepare_measures([folder / "tunes.abc"], folder / "measures", MEASURE, MeasureSettings(transpose=False))

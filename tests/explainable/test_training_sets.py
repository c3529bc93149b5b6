"""Trainings on part of a data set, and without its transpositions."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from explainable.measures import MeasureSet
from explainable.stages.measure_stage import MeasureOptions, MeasureStage
from explainable.stages.stage import drawn_tunes, run_place
from explainable.tokens import MEASURE
from programs.study_prepare import MeasureSettings, prepare_measures


@pytest.fixture(scope="module")
def transposed(measures: MeasureSet, tmp_path_factory: pytest.TempPathFactory) -> MeasureSet:
    tunes = measures.folder.parent / "tunes.abc"
    return prepare_measures([tunes], tmp_path_factory.mktemp("set") / "tunes", MEASURE, MeasureSettings())


def opened(measures: MeasureSet, **changes: object) -> MeasureStage:
    stage = MeasureStage(MeasureOptions(**{"data": measures.folder, "latent": 4, "hidden": 8, **changes}))
    stage.open()
    stage.open_phase(stage.phases[0])
    return stage


def rows_of(stage: MeasureStage) -> set[bytes]:
    return {row.tobytes() for row in stage.train_rows.tokens.numpy()}


def test_a_smaller_set_of_tunes_is_part_of_a_larger() -> None:
    tune = np.repeat(np.arange(40), np.random.default_rng(0).integers(1, 20, 40))
    sets = [set(drawn_tunes(tune, most, 0)) for most in (20, 100, 200, len(tune))]
    assert all(small < large for small, large in pairwise(sets)) and len(sets[-1]) == 40
    assert sum((tune == own).sum() for own in sets[1]) <= 100
    assert set(drawn_tunes(tune, 100, 1)) != sets[1], "the seed decides"


def test_part_of_the_tunes_with_all_their_transpositions(transposed: MeasureSet) -> None:
    whole, half = opened(transposed), opened(transposed, training_measures=40)
    part = transposed.split("train")
    tunes = drawn_tunes(transposed.tune[transposed.rows("train")], 40, 0)
    assert len(tunes) == 10, "tunes of four measures"
    assert len(half.train_rows.tokens) == np.isin(part.tune, tunes).sum() > 40
    assert rows_of(opened(transposed, training_measures=20)) < rows_of(half) < rows_of(whole)
    facts = half.facts(half.phases[0])
    assert facts["training_rows_untransposed"] == 40 and facts["training_rows"] == half.n_examples
    assert rows_of(opened(transposed, training_measures=10_000)) == rows_of(whole)


def test_without_transpositions(transposed: MeasureSet) -> None:
    stage = opened(transposed, transposed=False)
    assert np.array_equal(stage.train_rows.tokens.numpy(), transposed.split("train", transposed=False).tokens)
    facts = stage.facts(stage.phases[0])
    assert facts["training_rows"] == facts["training_rows_untransposed"] == len(transposed.rows("train"))


def test_too_few_measures_are_refused(transposed: MeasureSet) -> None:
    with pytest.raises(UserError, match="0 rows of train in 3 measures of whole tunes; give it more"):
        opened(transposed, training_measures=3)


def test_each_training_set_has_a_folder() -> None:
    chosen = {"data": Path("measures/tunes"), "latent": 8, "training_measures": 40, "transposed": False}
    place = run_place("measure_vae", MeasureOptions(**chosen))
    assert place == Path("explainable/tunes/measure_vae_z8_4_seed0_measures40_untransposed")

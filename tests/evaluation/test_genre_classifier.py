"""The genre classifier: accuracy, calibration, cache, errors."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.errors import UserError
from data.windows import WindowSource
from evaluation.metrics import genre_classifier
from evaluation.metrics.genre_accuracy import classify
from evaluation.metrics.genre_classifier import (
    TrainedClassifier,
    calibrated_temperature,
    open_classifier,
    train_classifier,
)
from evaluation.options import ClassifierOptions
from evaluation.samples.clips import RealClips
from models.checkpoint import CheckpointError

CPU = torch.device("cpu")


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_undoes_wrong_confidence(factor: float) -> None:
    """Predictions that are right in 4 of 5 clips have probability 4 / 5 after calibration."""
    n = 300
    predicted = torch.arange(2 * n) % 2
    genre = torch.where(torch.arange(2 * n) % 10 < 2, 1 - predicted, predicted)
    logits = torch.nn.functional.one_hot(predicted, 2) * math.log(4) * factor
    assert calibrated_temperature(logits, genre) == pytest.approx(factor, rel=0.03)


def test_it_classifies_songs_outside_its_training_set(real: RealClips, classifier: TrainedClassifier) -> None:
    for genre_id in range(3):
        answers = classify(classifier.model, [real.clips(genre_id, 0, 10**6)])
        assert (answers.predicted == genre_id).double().mean() > 0.9
    assert classifier.facts["classifier_accuracy_val"] > 0.9


def test_training_is_repeatable_and_leaves_randomness_alone(real: RealClips) -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        return train_classifier(real.of_split("train"), real.of_split("val"), 4, seed, CPU)[0].state_dict()

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = trained(0)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], tensor) for name, tensor in trained(0).items())
    assert not torch.equal(first["genre.weight"], trained(1)["genre.weight"])


def test_the_best_validated_weights_are_kept(real: RealClips, monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.2, 0.9, 0.9, 0.5, 0.6, 0.1])
    monkeypatch.setattr(genre_classifier, "balanced_accuracy_score", lambda *_: next(accuracies))
    _, facts = train_classifier(real.of_split("train"), real.of_split("val"), 12, 0, CPU)
    assert (facts["classifier_step"], facts["classifier_accuracy_val"]) == (4, 0.9)


def test_a_cached_classifier_is_used_for_its_own_recipe_only(
    real: RealClips, recipe: ClassifierOptions, classifier: TrainedClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("trained anew")

    monkeypatch.setattr(genre_classifier, "train_classifier", refuse)
    again = open_classifier(real, recipe)
    assert again.facts == classifier.facts
    weights = classifier.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in again.model.state_dict().items())
    store = real.windows.store
    other_store = replace(store, info={**store.info, "content_hash": "another"})
    for clips, changed in (
        (replace(real, min_note_frames=1), recipe),
        (replace(real, windows=WindowSource(other_store, "test", 32)), recipe),
        (real, replace(recipe, classifier_steps=recipe.classifier_steps + 1)),
        (real, replace(recipe, classifier_seed=1)),
    ):
        with pytest.raises(AssertionError, match="trained anew"):
            open_classifier(clips, changed)


@pytest.mark.usefixtures("classifier")
def test_errors_name_the_remedy(real: RealClips, recipe: ClassifierOptions, tmp_path: Path) -> None:
    (kept,) = recipe.cache.iterdir()
    (tmp_path / kept.name).write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"genre_classifier_T32-.*: not a readable checkpoint.*; delete it"):
        open_classifier(real, replace(recipe, cache=tmp_path))
    store = real.windows.store
    alone = replace(store, songs=[song for song in store.songs if song.genre_id == 1])
    with pytest.raises(UserError, match="needs training songs of at least two genres"):
        open_classifier(replace(real, windows=WindowSource(alone, "test", 32)), recipe)
    with pytest.raises(UserError, match=r"--split val: the classifier was trained on these songs"):
        open_classifier(real.of_split("val"), recipe)

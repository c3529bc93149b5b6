"""Accuracy of the genre classifier on real and generated clips."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from frames import records
from tiny_stores import make_store

import eval_genre
from evaluation.metrics.genre_accuracy import SILENT, classify, inception_score, measure_genre_accuracy
from evaluation.metrics.genre_classifier import TrainedClassifier
from evaluation.options import ClassifierOptions
from evaluation.samples.clips import ClipSource, open_clip_sources
from evaluation.samples.sampling import Performance


def test_inception_score_of_known_predictions() -> None:
    sure = torch.eye(4, dtype=torch.float64)
    assert inception_score(sure.repeat(5, 1)) == pytest.approx(4)
    assert inception_score(torch.tensor([[0.7, 0.2, 0.1]]).double().repeat(3, 1)) == pytest.approx(1)
    # Certain predictions: the exponential of the entropy of their frequencies.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert inception_score(sure[[0, 0, 0, 1]]) == pytest.approx(math.exp(entropy))
    # Two predictions, equally frequent: ln 2 minus the entropy of one of them.
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    unsure = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).double()
    assert inception_score(unsure) == pytest.approx(math.exp(math.log(2) - entropy))


class Fixed(torch.nn.Module):
    """Predicts the lowest pitch of a clip as its genre id, with probability 0.8 of 3 genres."""

    temperature = torch.ones(())

    def forward(self, roll: torch.Tensor) -> torch.Tensor:
        lowest = roll.amax(2).argmax(1)
        return torch.nn.functional.one_hot(lowest, 3).float() * math.log(8)


def test_silence_is_a_class_of_its_own_with_uniform_probabilities() -> None:
    rolls = np.zeros((4, 128, 8), bool)
    rolls[0, 0, 2:5] = rolls[2, 2, 2:5] = rolls[3, 2, 2:5] = True
    answers = classify(Fixed(), [rolls[:2], rolls[2:]])
    assert answers.predicted.tolist() == [0, 3, 2, 2]
    assert answers.probability[0].tolist() == pytest.approx([0.8, 0.1, 0.1])
    assert answers.probability[1].tolist() == pytest.approx([1 / 3] * 3)


@pytest.fixture
def options(places: dict[str, object], recipe: ClassifierOptions) -> eval_genre.Options:
    """Options with random weights of a generator, which is independent of genres."""
    return eval_genre.Options(**places, **vars(recipe), clips=20)


@dataclass(frozen=True)
class Replayed(ClipSource):
    """Plays back real clips: those of the genre `plays[genre]`, silence if that is None."""

    plays: tuple[int | None, ...] = ()

    def clips(self, genre_id: int, first: int, count: int) -> np.ndarray:
        if self.plays[genre_id] is None:
            return np.zeros((count, 128, self.seq_len), bool)
        order = self.real.order(self.plays[genre_id])
        return self.real.rolls(order[torch.arange(first, first + count) % len(order)])


@pytest.mark.parametrize(
    ("plays", "accuracies", "sounding"),
    [
        ((0, 1, 2), (1, 1, 1, 1), 1),
        ((0, 0, 0), (1, 0, 0, 1 / 3), 1 / 3),
        ((0, 1, None), (1, 1, 0, 2 / 3), None),
        ((None, None, None), (0, 0, 0, 0), None),
    ],
)
def test_accuracy_of_replayed_genres(
    plays: tuple[int | None, ...], accuracies: tuple[float, ...], sounding: float | None,
    options: eval_genre.Options, classifier: TrainedClassifier,
) -> None:  # fmt: skip
    (source,) = open_clip_sources(options)
    replayed = Replayed(source.trained, source.facts, "normal", Performance(), 0, 2, source.real, plays=plays)
    rows = records(measure_genre_accuracy(replayed, classifier, 13))
    assert [row["accuracy_generated"] for row in rows] == pytest.approx(list(accuracies), abs=0.06)
    assert rows[-1]["accuracy_sounding"] == (None if sounding is None else pytest.approx(sounding, abs=0.06))
    assert [row["n_empty"] for row in rows[:-1]] == [13 if genre is None else 0 for genre in plays]
    assert rows[-1]["n_generated"] == 39 and rows[-1]["n_inception"] == 13
    if None not in plays or len(set(plays)) == 1:
        assert rows[-1]["inception_generated"] == pytest.approx(len(set(plays)), rel=0.25)


@pytest.mark.usefixtures("classifier")
def test_the_table(options: eval_genre.Options) -> None:
    *rows, every = records(eval_genre.eval_genre(options))
    genres = [row["genre_name"] for row in rows]
    for row in (*rows, every):
        for clips in ("real", "generated"):
            assert sum(row[f"{clips}_as_{name}"] for name in (*genres, SILENT)) == pytest.approx(1)
        assert row["chance"] == pytest.approx(1 / 3)
        assert row["accuracy_generated"] == row.get(f"generated_as_{row['genre_name']}", row["accuracy_generated"])
    assert [row["n_generated"] for row in (*rows, every)] == [20, 20, 20, 60]
    assert every["accuracy_real"] == pytest.approx(sum(row["accuracy_real"] for row in rows) / 3)
    assert every["n_real"] == sum(row["n_real"] for row in rows)
    assert every["n_inception"] == min(20, *(row["n_real"] for row in rows))
    assert 1 <= every["inception_generated"] <= 3 and 2 < every["inception_real"] <= 3
    assert len(pd.read_csv(options.metrics / "genre-T32.csv")) == 4


def test_the_classifier_runs_on_the_chosen_device(options: eval_genre.Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device, where nothing can be computed."""
    monkeypatch.setattr("common.device.select_device", lambda name: torch.device("meta"))
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        eval_genre.eval_genre(replace(options, cache=options.metrics))


def test_a_genre_without_clips_has_a_note(
    options: eval_genre.Options, classifier: TrainedClassifier, tmp_path: Path
) -> None:
    store = make_store(tmp_path, splits=[("train", "val", "test"), ("train", "val", "test"), ("train", "val")])
    (source,) = open_clip_sources(replace(options, store=store))
    rows = records(measure_genre_accuracy(source, classifier, 4))
    assert [row["note"] for row in rows] == ["", "", "no real clips", ""]
    assert rows[2]["accuracy_real"] is None and rows[2]["n_real"] == 0
    assert rows[-1]["accuracy_real"] == pytest.approx((rows[0]["accuracy_real"] + rows[1]["accuracy_real"]) / 2)
    assert {row["chance"] for row in rows} == {0.5} and rows[-1]["n_generated"] == 8

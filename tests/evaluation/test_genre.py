"""The genre classifier, what it says of real and generated clips, and the comparison of given and shuffled labels."""

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from weights import save_weights

import eval_genre
from common.errors import UserError
from data.store import RollStore
from data.windows import WindowSource
from evaluation import compare_labels
from evaluation.measures import genre_classifier
from evaluation.measures.genre_accuracy import classify, inception_score
from evaluation.measures.genre_classifier import (
    ClassifierOptions,
    TrainedClassifier,
    balanced_accuracy,
    calibrated_temperature,
    open_classifier,
    train_classifier,
)
from evaluation.samples.clips import (
    ClipOptions,
    ClipSource,
    RealClipOptions,
    RealClips,
    open_clip_sources,
    open_real_clips,
)
from models import Generator
from models.checkpoint import CheckpointError

STEPS = 60


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Closed forms


def test_inception_score_of_known_answers() -> None:
    sure = torch.eye(4, dtype=torch.float64)
    assert inception_score(sure.repeat(5, 1)) == pytest.approx(4)
    assert inception_score(sure[:1].repeat(7, 1)) == pytest.approx(1)
    assert inception_score(torch.tensor([[0.7, 0.2, 0.1]]).double().repeat(3, 1)) == pytest.approx(1)
    # Sure answers: the exponential of the entropy of how often each is given.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert inception_score(sure[[0, 0, 0, 1]]) == pytest.approx(math.exp(entropy))
    # Two answers, as frequent: ln 2 less the entropy of one of them.
    unsure = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).double()
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert inception_score(unsure) == pytest.approx(math.exp(math.log(2) - entropy))


def test_genres_count_alike_in_the_balanced_accuracy() -> None:
    genre, predicted = torch.tensor([0, 0, 0, 0, 2]), torch.tensor([0, 0, 0, 2, 1])
    assert balanced_accuracy(predicted, genre) == pytest.approx((3 / 4 + 0) / 2)


@pytest.mark.parametrize("too_sure", [0.5, 1.0, 3.0])
def test_temperature_undoes_wrong_confidence(too_sure: float) -> None:
    """Answers that are right in 4 of 5 clips say so with probability 4 / 5 once they are calibrated."""
    n = 300
    predicted = torch.arange(2 * n) % 2
    genre = torch.where(torch.arange(2 * n) % 10 < 2, 1 - predicted, predicted)
    logits = torch.nn.functional.one_hot(predicted, 2) * math.log(4) * too_sure
    assert calibrated_temperature(logits, genre) == pytest.approx(too_sure, rel=0.03)


class Fixed(torch.nn.Module):
    """Takes a clip for the genre of its lowest pitch, with probability 0.8 of 3 genres; pitches are the genre ids."""

    def forward(self, roll: torch.Tensor) -> torch.Tensor:
        lowest = roll.amax(2).argmax(1)
        return torch.nn.functional.one_hot(lowest, 3).float() * math.log(8)


def clips_at(*pitches: int | None) -> np.ndarray:
    """A clip of one note for each pitch, silent where that is None."""
    rolls = np.zeros((len(pitches), 128, 8), bool)
    for roll, pitch in zip(rolls, pitches, strict=True):
        if pitch is not None:
            roll[pitch, 2:5] = True
    return rolls


def test_silence_is_an_answer_of_its_own_and_knows_nothing() -> None:
    answers = classify(Fixed(), [clips_at(0, None), clips_at(2, 2)])
    assert answers.predicted.tolist() == [0, 3, 2, 2]
    assert answers.shares().tolist() == [0.25, 0, 0.5, 0.25]
    assert answers.probability[0].tolist() == pytest.approx([0.8, 0.1, 0.1])
    assert answers.probability[1].tolist() == pytest.approx([1 / 3] * 3)


# The classifier on real windows


@pytest.fixture(scope="module")
def splits(tiny_store: Path) -> dict[str, RealClips]:
    options = RealClipOptions(store=tiny_store)
    return {split: open_real_clips(options, 32, split) for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def cache(splits: dict[str, RealClips], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one classifier of the tiny store. Tests must not write into it."""
    folder = tmp_path_factory.mktemp("cache")
    open_classifier(splits["train"], splits["val"], ClassifierOptions(STEPS, cache=folder), progress=False)
    return folder


@pytest.fixture(scope="module")
def classifier(splits: dict[str, RealClips], cache: Path) -> TrainedClassifier:
    return open_classifier(splits["train"], splits["val"], ClassifierOptions(STEPS, cache=cache), progress=False)


def test_it_tells_styles_of_songs_it_has_not_heard_apart(
    splits: dict[str, RealClips], classifier: TrainedClassifier
) -> None:
    test = splits["test"]
    for genre_id in range(3):
        answers = classify(classifier.model, [test.real(test.real_order(genre_id))])
        assert answers.shares()[genre_id] > 0.9
    assert classifier.facts["classifier_accuracy_val"] > 0.9


def test_training_is_repeatable_and_leaves_randomness_alone(splits: dict[str, RealClips]) -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        return train_classifier(splits["train"], splits["val"], steps=4, seed=seed, progress=False)[0].state_dict()

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = trained(0)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], tensor) for name, tensor in trained(0).items())
    assert not torch.equal(first["genre.weight"], trained(1)["genre.weight"])


def test_the_weights_that_validate_best_stay(splits: dict[str, RealClips], monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter([0.2, 0.9, 0.9, 0.5, 0.6, 0.1])
    monkeypatch.setattr(genre_classifier, "balanced_accuracy", lambda *_: next(verdicts))
    _, facts = train_classifier(splits["train"], splits["val"], steps=12, seed=0, progress=False)
    assert (facts["classifier_step"], facts["classifier_accuracy_val"]) == (4, 0.9)


def test_a_cached_classifier_is_used_again_and_never_for_another_recipe(
    splits: dict[str, RealClips], cache: Path, classifier: TrainedClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained anew")

    monkeypatch.setattr(genre_classifier, "train_classifier", refuse)
    options = ClassifierOptions(STEPS, cache=cache)
    again = open_classifier(splits["train"], splits["val"], options)
    assert again.facts == classifier.facts
    weights = classifier.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in again.model.state_dict().items())
    store = splits["train"].windows.store
    other_store = replace(store, info={**store.info, "content_hash": "another"})
    for train, changed in {
        replace(splits["train"], min_note_frames=1): options,
        replace(splits["train"], windows=WindowSource(other_store, "train", 32)): options,
        splits["train"]: replace(options, classifier_steps=STEPS + 1),
        replace(splits["train"], seed=1): replace(options, classifier_seed=1),
    }.items():
        with pytest.raises(AssertionError, match="trained anew"):
            open_classifier(train, splits["val"], changed)


def test_a_damaged_cached_classifier_names_the_remedy(
    splits: dict[str, RealClips], cache: Path, tmp_path: Path
) -> None:
    (kept,) = cache.iterdir()
    (tmp_path / kept.name).write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"genre_classifier_T32-.*: not a readable checkpoint.*; delete it"):
        open_classifier(splits["train"], splits["val"], ClassifierOptions(STEPS, cache=tmp_path))


def test_one_genre_cannot_be_told_apart(splits: dict[str, RealClips], tmp_path: Path) -> None:
    store = splits["train"].windows.store
    alone = replace(store, songs=[song for song in store.songs if song.genre_id == 1])
    train = replace(splits["train"], windows=WindowSource(alone, "train", 32))
    with pytest.raises(UserError, match="needs training songs of at least two genres"):
        open_classifier(train, splits["val"], ClassifierOptions(cache=tmp_path))


# Generated clips


@pytest.fixture(scope="module")
def options(tiny_store: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> eval_genre.Options:
    """Options with random weights of a generator for T = 32, which knows nothing of genres."""
    folder = tmp_path_factory.mktemp("generator")
    store = RollStore.open(tiny_store)
    torch.manual_seed(0)
    generator = Generator(len(store.genres), 32)
    generator.start_at(WindowSource(store, "train", 32).pitch_rate())
    facts = {"genres": store.genres, "frames_per_second": 16, "seq_len": 32}
    save_weights(generator, folder / "hybrid_G_best_T32.pth", **facts)
    return eval_genre.Options(
        store=tiny_store, checkpoints=folder, metrics=folder / "metrics", cache=cache, classifier_steps=STEPS, clips=20
    )


@dataclass(frozen=True)
class Replayed(ClipSource):
    """Plays back real clips: those of the genre of `plays[genre]`, silence where that is None."""

    plays: tuple[int | None, ...] = ()

    def generated(self, genre_id: int, first: int, count: int, *, seed: int | None = None) -> np.ndarray:
        if self.plays[genre_id] is None:
            return np.zeros((count, 128, self.seq_len), bool)
        order = self.real_order(self.plays[genre_id])
        return self.real(order[torch.arange(first, first + count) % len(order)])


@pytest.mark.parametrize(
    ("plays", "accuracies", "sounding"),
    [
        ((0, 1, 2), (1, 1, 1, 1), 1),
        ((1, 2, 0), (0, 0, 0, 0), 0),
        ((0, 0, 0), (1, 0, 0, 1 / 3), 1 / 3),
        ((0, 1, None), (1, 1, 0, 2 / 3), None),
        ((None, None, None), (0, 0, 0, 0), None),
    ],
)
def test_obedience_is_seen(
    plays: tuple[int | None, ...],
    accuracies: tuple[float, ...],
    sounding: float | None,
    options: eval_genre.Options,
    classifier: TrainedClassifier,
) -> None:
    (source,) = open_clip_sources(options)
    replayed = Replayed(source.windows, source.seed, source.min_note_frames, source.trained, 0.5, source.facts, plays)
    rows = measure_genres(replayed, classifier, 13, progress=False)
    assert [row["accuracy_generated"] for row in rows] == pytest.approx(list(accuracies), abs=0.06)
    assert rows[-1]["accuracy_sounding"] == (None if sounding is None else pytest.approx(sounding, abs=0.06))
    assert [row["n_empty"] for row in rows[:-1]] == [13 if genre is None else 0 for genre in plays]
    every = rows[-1]
    assert every["n_generated"] == 39 and every["n_inception"] == 13
    n_heard = len(set(plays))
    if None not in plays:
        assert every["inception_generated"] == pytest.approx(n_heard, rel=0.25)
    elif n_heard == 1:
        assert every["inception_generated"] == pytest.approx(1)


def test_the_table(options: eval_genre.Options, capsys: pytest.CaptureFixture[str]) -> None:
    rows = eval_genre.eval_genre(options)
    told = capsys.readouterr().out
    assert "94.5%" in told and "4.75" in told and "IS is impossible" in told
    written = read(options.metrics / "genre-T32.csv")
    genres = ["chords", "melody", "bass"]
    assert [row["genre_name"] for row in written] == [*genres, "all"] and written[-1]["genre_id"] == "-1"
    for row in rows:
        for clips in ("real", "generated"):
            assert sum(row[f"{clips}_as_{name}"] for name in (*genres, "silence")) == pytest.approx(1)
        assert row["chance"] == pytest.approx(1 / 3)
        assert row["n_generated"] == (60 if row["genre_id"] == -1 else 20)
    for genre_id, name in enumerate(genres):
        assert rows[genre_id]["accuracy_generated"] == rows[genre_id][f"generated_as_{name}"]
    every = rows[-1]
    assert every["accuracy_real"] == pytest.approx(sum(row["accuracy_real"] for row in rows[:-1]) / 3)
    assert every["n_real"] == sum(row["n_real"] for row in rows[:-1])
    assert every["n_inception"] == min(20, *(row["n_real"] for row in rows[:-1]))
    assert 1 <= every["inception_generated"] <= 3 and 2 < every["inception_real"] <= 3
    assert all(written[0][fact] for fact in ("T", "seed", "checkpoint_sha256", "store_content", "classifier"))


def test_refusals(options: eval_genre.Options, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--split val: the classifier has seen these songs"):
        eval_genre.eval_genre(replace(options, split="val"))
    with pytest.raises(UserError, match=r"no generator there"):
        eval_genre.eval_genre(replace(options, checkpoints=tmp_path))


def test_clips_are_judged_as_their_options_say(options: eval_genre.Options, classifier: TrainedClassifier) -> None:
    (loud,) = open_clip_sources(replace(options, threshold=0.0))
    (silent,) = open_clip_sources(ClipOptions(options.store, checkpoints=options.checkpoints, threshold=1.0))
    assert measure_genres(loud, classifier, 5, progress=False)[-1]["n_empty"] == 0
    assert measure_genres(silent, classifier, 5, progress=False)[-1]["n_empty"] == 15


# Given against shuffled labels

FACTS = {
    **{name: "same" for table in TABLES for name in table.protocol},
    "checkpoint": "hybrid_G_best_T32.pth",
    "T": "32",
}
FIGURES = {
    "fad_results.csv": {"FAD": "4", "FAD_floor": "0.5", "KAD": "", "KAD_floor": "", "embedder": "ears"},
    "eval_elbo-T32.csv": {
        "ELBO_mean": "-200",
        "KL_Div_mean": "30",
        "bits_per_cell": "0.1",
        "bits_per_cell_pitch_mean": "0.2",
        "checkpoint": "hybrid_cvae_best_T32.pth",
    },
    "genre-T32.csv": {
        "accuracy_generated": "0.6",
        "accuracy_sounding": "0.7",
        "accuracy_real": "0.9",
        "chance": "0.5",
        "inception_generated": "1.5",
        "inception_real": "1.8",
    },
}


def write_results(metrics: Path, file: str, side: str, **changed: str) -> None:
    """A table of one row as an evaluation leaves it."""
    folder = metrics if side == "given" else metrics / side
    folder.mkdir(parents=True, exist_ok=True)
    name = {"genre": "all"} if "elbo" in file else {"genre_name": "all", "labels": side}
    row = {**FACTS, "genre_id": "-1", "checkpoint_sha256": side, **name, **FIGURES[file], **changed}
    with (folder / file).open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, list(row))
        writer.writeheader()
        writer.writerow(row)


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """A folder with the tables of both sides at T = 32."""
    for file in FIGURES:
        write_results(tmp_path / "metrics", file, "given")
    write_results(tmp_path / "metrics", "fad_results.csv", "shuffled", FAD="5.5")
    write_results(tmp_path / "metrics", "eval_elbo-T32.csv", "shuffled", ELBO_mean="-201")
    write_results(tmp_path / "metrics", "genre-T32.csv", "shuffled", accuracy_generated="0.5", accuracy_sounding="")
    return tmp_path / "metrics"


def test_both_sides_and_their_difference(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = compare_labels.compare_labels(compare_labels.Options(metrics, (32,)))
    figures = {row["measure"]: [row[name] for name in ("given", "shuffled", "difference", "limit")] for row in rows}
    assert figures["FAD (ears)"] == [4, 5.5, 1.5, 0.5]
    assert figures["ELBO (report)"] == [-200, -201, -1, None]
    assert figures["genre accuracy"] == pytest.approx([0.6, 0.5, -0.1, 0.9])
    assert figures["of sounding clips"] == [0.7, None, None, 0.9]
    assert "KAD (ears)" not in figures, "neither side has it"
    assert {row["measure"]: row["trivial"] for row in rows}["bits per cell"] == 0.2
    assert "Not compared" not in capsys.readouterr().out
    written = read(metrics / "labels.csv")
    assert len(written) == len(rows) == 7
    assert (written[0]["given_sha256"], written[0]["shuffled_sha256"]) == ("given", "shuffled")


def test_missing_tables_are_named_with_their_commands(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (metrics / "shuffled" / "genre-T32.csv").unlink()
    (metrics / "eval_elbo-T32.csv").unlink()
    (metrics / "shuffled" / "fad_results.csv").unlink()
    write_results(metrics, "fad_results.csv", "shuffled", T="64")
    write_results(metrics, "genre-T32.csv", "shuffled")
    options = compare_labels.Options(metrics, (32, 64), Path("my store"), Path("weights"))
    rows = compare_labels.compare_labels(options)
    assert {row["measure"] for row in rows} == {"genre accuracy", "of sounding clips", "inception score"}
    commands = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("    python")]
    given = f"--store 'my store' --checkpoints weights --metrics {metrics}"
    shuffled = f"--store 'my store' --checkpoints weights/shuffled --metrics {metrics}/shuffled"
    assert commands == [
        f"python eval_fad_samples.py {shuffled} --seq-lens 32,64",
        f"python eval_elbo.py {given} --seq-len 32",
        f"python eval_fad_samples.py {given} --seq-lens 32,64",
        f"python eval_elbo.py {given} --seq-len 64",
        f"python eval_elbo.py {shuffled} --seq-len 64",
        f"python eval_genre.py {given} --seq-lens 64",
        f"python eval_genre.py {shuffled} --seq-lens 64",
    ]


def test_nothing_to_compare_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no table is there for both labels; run .* --checkpoints checkpoints/shuffled$"
    ):
        compare_labels.compare_labels(compare_labels.Options(tmp_path))


@pytest.mark.parametrize(
    ("file", "changed", "message"),
    [
        ("fad_results.csv", {"soundfont_sha256": "b"}, "soundfont_sha256 is b, but same in"),
        ("fad_results.csv", {"embedder": "others"}, "only one has the row ears -1; make both alike"),
        ("eval_elbo-T32.csv", {"store_content": "b"}, "store_content is b, but same in"),
        ("genre-T32.csv", {"classifier": "b"}, "classifier is b, but same in"),
        ("genre-T32.csv", {"labels": "given"}, "its weights were trained with given labels, not shuffled"),
        ("genre-T32.csv", {"checkpoint_sha256": "b"}, "hybrid_G_best_T32.pth is another than in the tables beside it"),
    ],
)
def test_what_does_not_compare_is_refused(file: str, changed: dict[str, str], message: str, metrics: Path) -> None:
    write_results(metrics, file, "shuffled", **changed)
    with pytest.raises(UserError, match=message):
        compare_labels.compare_labels(compare_labels.Options(metrics, (32,)))

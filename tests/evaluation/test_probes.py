"""Linear probes of vectors of songs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import r2_score
from tiny_stores import make_store
from weights import save_rolls, save_weights

from common.errors import UserError
from data.store import RollStore
from evaluation.metrics import probes
from evaluation.metrics.probes import window_vectors
from evaluation.samples.evaluated import Subject, open_subjects
from models import LARGE, NoteCVAE
from models.scoring import RollEmbedder
from models.weight_files import hybrid_file
from programs.probes import Options, probe_vectors


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("probes")
    splits = ("train",) * 4 + ("val",) * 2 + ("test",) * 2
    store = make_store(folder / "store", splits=[splits] * 3, artists=("A", "B"))
    save_rolls(folder / "large", LARGE, seq_lens=(64,))
    return {"store": store, "checkpoints": (folder / "large",), "device": "cpu", "seq_lens": (64,)}


@pytest.fixture(scope="module")
def subject(given: dict[str, object]) -> Subject:
    (subject,) = open_subjects(Options(**given))
    return subject


def test_vectors_of_windows(subject: Subject) -> None:
    batch = subject.windows.batch(torch.arange(3))
    with torch.no_grad():
        found = window_vectors(subject, batch)
        embedder = RollEmbedder(subject.cvae)
        embedding = embedder(batch.roll).mean(1)
    torch.testing.assert_close(found["embedding"], embedding)
    torch.testing.assert_close(torch.cat([found["encoder states"], found["note states"]], dim=1), embedding)
    roll = batch.roll.numpy() > 0
    begins = roll & ~np.pad(roll, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]
    pitches = np.concatenate([roll.mean(2), begins.mean(2)], axis=1)
    np.testing.assert_allclose(found["pitches and onsets"], pitches, rtol=1e-5)
    chroma = [[roll[row, k::12].sum() / 64 for k in range(12)] for row in range(3)]
    np.testing.assert_allclose(found["chroma"], chroma, rtol=1e-5)
    density = np.stack([begins.sum((1, 2)) / 64, roll.sum((1, 2)) / 64], axis=1)
    np.testing.assert_allclose(found["density"], density, rtol=1e-5)
    assert found["posterior mean"].shape == (3, 2)


def test_a_table_of_probes(given: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "SHUFFLES", 1)
    monkeypatch.setattr(probes, "RESAMPLES", 9)
    frame = probe_vectors(Options(**given, metrics=tmp_path, song_windows=3, artist_songs=6))
    assert list(frame["probe"].unique()) == ["genre", "artist", "notes a second"] and len(frame) == 3 * 7
    assert (frame["n"] == 6).all() and frame["score"].between(-9, 1).all()
    of = frame.set_index(["probe", "vectors"])
    assert of.loc[("genre", "chroma"), "majority"] == pytest.approx(1 / 3)
    assert of.loc[("notes a second", "density"), "score"] > 0.99 > 0.5 > of.loc[("notes a second", "density"), "floor"]
    assert pd.isna(of.loc[("notes a second", "chroma"), "majority"])
    store = RollStore.open(given["store"])
    classical = probe_vectors(Options(**given, metrics=tmp_path / "of", artists_of="chords", artist_songs=2))
    assert (classical.loc[classical["probe"] == "artist", "n"] == 2).all() and "chords" in store.genres
    few = probe_vectors(Options(**given, metrics=tmp_path / "few", artist_songs=7))
    assert "artist" not in set(few["probe"]), "no artist has seven training songs"
    with pytest.raises(UserError, match="no genre 'polka'; there are chords, melody, bass"):
        probe_vectors(Options(**given, metrics=tmp_path / "none", artists_of="polka"))


def test_stores_without_labels_to_predict_are_refused(given: dict[str, object], tmp_path: Path) -> None:
    unsplit = make_store(tmp_path / "unsplit", splits=[("train", "test")] * 3)
    with pytest.raises(UserError, match="no val window of 64 frames"):
        probe_vectors(Options(**given | {"store": unsplit}, metrics=tmp_path))
    one = make_store(tmp_path / "one", genres=("chords",), splits=[("train", "val", "test")])
    cvae = NoteCVAE(1, latent=2, hidden=16, depth=1, genre_size=2)
    save_weights(cvae, tmp_path / "large" / hybrid_file("cvae", 64), genres=["chords"], seq_len=64)
    with pytest.raises(UserError, match="its training songs have equal labels, nothing to predict"):
        probe_vectors(Options(**given | {"store": one, "checkpoints": (tmp_path / "large",)}, metrics=tmp_path))


def test_scores_of_a_probe_are_those_of_known_predictions() -> None:
    """The class is the sign of the first of two numbers, but one of the evaluated songs has the other's label."""
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(n, 2)) for n in (200, 50, 10)]
    y = [np.where(each[:, 0] > 0, "up", "down") for each in x]
    x[2][:, 0] = np.where(np.arange(10) < 7, 2.0, -2.0)
    y[2] = np.array(["up"] * 6 + ["down"] * 4)
    found = probes._probe(*x, *y, seed=0)
    assert found["measure"] == "accuracy" and found["n"] == 10 and found["dimensions"] == 2
    assert found["score"] == pytest.approx(0.9) and found["validation"] > 0.9
    commonest = max(("down", "up"), key=lambda name: (y[0] == name).sum())
    assert found["majority"] == pytest.approx((y[2] == commonest).mean())
    assert found["deviation"] == pytest.approx((0.9 * 0.1 / 10) ** 0.5, rel=0.15)
    numbers = [3 * each[:, 0] + 1 for each in x]
    assert probes._probe(*x, *numbers, seed=0)["score"] == pytest.approx(1, abs=1e-3)
    true, close = rng.normal(size=(2, 3, 20))
    np.testing.assert_allclose(probes._scores(true, close), [r2_score(*each) for each in zip(true, close, strict=True)])

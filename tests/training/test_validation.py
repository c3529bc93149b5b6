"""What decides the best checkpoint."""

import math
from pathlib import Path

import pytest
import torch
from stages import cvae_options, epochs_logged
from tiny_stores import make_store

import train_cvae
from data.store import RollStore
from data.windows import WindowSource
from evaluation.statistics.distances import frechet_distance, roll_distance, roll_statistics
from models import CVAE, rebuild
from models.checkpoint import read_checkpoint
from models.losses import NLL, elbo_terms
from training.validation import validate_cvae, validate_generator

PINNED = {"reconstruction": 170.9, "kl": 0.9, "negative_elbo": 170.9}


def test_validation_is_the_same_at_every_call(pipeline: Path, tiny_store: Path) -> None:
    windows = WindowSource(RollStore.open(tiny_store), "val", 32)
    cvae = rebuild(read_checkpoint(pipeline / "checkpoints" / "cvae_pretrained_last.pth"))
    generator = rebuild(read_checkpoint(pipeline / "checkpoints" / "generator_pretrained_last.pth"))
    for run in (
        lambda: validate_cvae(cvae, windows, NLL, beta=0.05),
        lambda: validate_generator(generator, windows),
    ):
        metrics = run()
        torch.rand(1)
        assert run() == metrics
    metrics = validate_cvae(cvae, windows, NLL, beta=0.5)
    assert metrics["negative_elbo"] == pytest.approx(metrics["reconstruction"] + 0.5 * metrics["kl"])
    logged = epochs_logged(pipeline / "runs" / "cvae")[-1]["val"]
    assert metrics["reconstruction"] == pytest.approx(logged["reconstruction"], rel=1e-5)


def test_statistics_of_a_hand_made_roll() -> None:
    roll = torch.zeros(2, 128, 8)
    roll[0, 60, 0:4] = 1  # C of octave 5, four frames
    roll[0, 61, 2] = 1  # C sharp of octave 5
    roll[0, 127, 7] = 1  # G of octave 10
    expected = torch.zeros(2, 27)
    expected[0, [0, 1, 7]] = torch.tensor([4, 1, 1]) / 8
    expected[0, [12 + 5, 12 + 10]] = torch.tensor([5, 1]) / 8
    expected[0, 23:] = torch.tensor([6 / 8, 3 / 8, 3 / 8, math.log1p(6 / 3)])
    expected[1, 24] = 1  # silence
    torch.testing.assert_close(roll_statistics(roll), expected)


def test_roll_distance_compares_genre_by_genre() -> None:
    generator = torch.Generator().manual_seed(0)
    real, genre = torch.randn(60, 27, generator=generator), torch.arange(60) % 2
    real[genre == 1] += 3
    assert roll_distance(real, real, genre, genre) == pytest.approx(0, abs=1e-6)
    # The same windows under the other genre's name are far away.
    assert roll_distance(real, real, 1 - genre, genre) > 10
    scale = real.std(0)
    pairs = [(real[genre == value] + 1, real[genre == value]) for value in (0, 1)]
    expected = sum(frechet_distance(first / scale, second / scale) for first, second in pairs) / 2
    assert roll_distance(real + 1, real, genre, genre) == pytest.approx(expected)


def test_roll_distance_compares_all_windows_where_no_genre_has_two() -> None:
    real, genre = torch.randn(6, 27, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 0, 0, 1])
    assert roll_distance(real, real, genre, genre) == pytest.approx(0, abs=1e-6)
    alone = real[:2], real[:2], torch.tensor([0, 1]), torch.tensor([0, 1])
    assert roll_distance(*alone) == pytest.approx(0, abs=1e-6)


def test_genres_count_alike_however_many_windows_they_have(tmp_path: Path) -> None:
    store = make_store(tmp_path, splits=[("train", "val", "val", "val"), ("train", "val"), ("train", "val")])
    windows = WindowSource(RollStore.open(store), "val", 32)
    torch.manual_seed(0)
    cvae = CVAE(3, latent=2)
    with torch.no_grad():  # no noise to speak of
        cvae.log_variance.weight.zero_()
        cvae.log_variance.bias.fill_(-10)
    found = validate_cvae(cvae, windows, NLL, beta=0.5)
    terms = elbo_terms(cvae, windows.batch(torch.arange(len(windows))), torch.zeros(len(windows), 2), NLL)
    of_window = terms.reconstruction + 0.5 * terms.kl.sum(1)
    means = [of_window[windows.genre == genre_id].mean().item() for genre_id in range(3)]
    assert found["negative_elbo"] == pytest.approx(sum(means) / 3, rel=1e-3)
    assert of_window.mean().item() != pytest.approx(sum(means) / 3, rel=1e-3)


def test_validation_loss_after_fifty_steps(tiny_store: Path, tmp_path: Path) -> None:
    """What a change of the objective, the order or the initial weights would move."""
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path, epochs=5, learning_rate=1e-3))
    val = epochs_logged(tmp_path / "runs" / "cvae")[-1]["val"]
    assert {name: round(value, 1) for name, value in val.items()} == PINNED

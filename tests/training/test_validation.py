"""Validation metrics, which select the best checkpoint."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stages import epochs_logged

import train_cvae
from evaluation.statistics.distances import frechet_distance, roll_distance, roll_statistics

PINNED = {
    "paper": {"reconstruction": 173.831, "kl": 0.78687, "negative_elbo": 173.870},
    "large": {"reconstruction": 55.5642, "kl": 0.77323, "negative_elbo": 56.3374},
}


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


def test_roll_distance_is_a_mean_over_genres() -> None:
    generator = torch.Generator().manual_seed(0)
    real, genre = torch.randn(60, 27, generator=generator), torch.arange(60) % 2
    real[genre == 1] += 3
    assert roll_distance(real, real, genre, genre) == pytest.approx(0, abs=1e-6)
    # The same windows with exchanged genres are far away.
    assert roll_distance(real, real, 1 - genre, genre) > 10
    scale = real.std(0)
    pairs = [(real[genre == value] + 1, real[genre == value]) for value in (0, 1)]
    expected = sum(frechet_distance(first / scale, second / scale) for first, second in pairs) / 2
    assert roll_distance(real + 1, real, genre, genre) == pytest.approx(expected)


def test_roll_distance_ignores_genres_if_one_has_a_single_window() -> None:
    real, genre = torch.randn(6, 27, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 0, 0, 1])
    assert roll_distance(real, real, genre, genre) == pytest.approx(0, abs=1e-6)
    alone = real[:2], real[:2], torch.tensor([0, 1]), torch.tensor([0, 1])
    assert roll_distance(*alone) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("preset", "expected"), PINNED.items())
def test_validation_after_fifty_steps(
    preset: str, expected: dict[str, float], tiny_store: Path, tmp_path: Path
) -> None:
    """A change of the objective, the order of windows, the noise or the initial weights moves these numbers."""
    size = {"hidden": 16, "depth": 1, "latent": 2} if preset == "large" else {}
    options = train_cvae.Options(**train_cvae.PRESETS[preset])
    options = replace(
        options, store=tiny_store, checkpoints=tmp_path, runs=tmp_path, seq_len=32, epochs=5, learning_rate=1e-3,
        batch_size=16, warm_up=5, ema=0.9, device="cpu", threads=1, **size,
    )  # fmt: skip
    train_cvae.train_cvae(options)
    assert epochs_logged(tmp_path / "cvae")[-1]["val"] == pytest.approx(expected, rel=1e-3)

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
    expected = torch.zeros(2, 64)
    expected[0, [0, 1, 7]] = torch.tensor([4, 1, 1]) / 8
    expected[0, [12 + 5, 12 + 10]] = torch.tensor([5, 1]) / 8
    expected[0, 23:27] = torch.tensor([6 / 8, 3 / 8, 3 / 8, math.log1p(6 / 3)])
    expected[0, 27] = 1 / 8  # a semitone
    expected[0, [39 + lag - 1 for lag in (2, 5, 7)]] = 1 / 8  # onsets in frames 0, 2 and 7
    expected[0, [55, 58]] = torch.tensor([2, 1]) / 8  # two notes of one frame, one of four
    expected[1, 24] = 1  # silence
    torch.testing.assert_close(roll_statistics(roll), expected)


@pytest.mark.parametrize("most", [2, 5], ids=["chords spread by a frame", "rhythm blurred"])
def test_the_distance_sees_what_begins_together(most: int) -> None:
    """Each key moves by its own number of frames: pitches, density and note lengths stay as they were."""
    roll, rng = torch.zeros(60, 128, 64), torch.Generator().manual_seed(0)
    for window in roll:
        for start in range(0, 64, 8):
            root = int(torch.randint(48, 72, (1,), generator=rng))
            window[[root, root + 4, root + 7], start : start + 6] = 1
    moved = torch.stack([roll[:, key].roll(key % most, 1) for key in range(128)], dim=1)
    genre, pair = torch.zeros(60, dtype=torch.int64), (roll_statistics(moved), roll_statistics(roll))
    assert (
        roll_distance(*(each[:, :23] for each in pair), genre, genre) < 1e-6 < 100 < roll_distance(*pair, genre, genre)
    )


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

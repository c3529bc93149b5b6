"""Latents and rolls depend on (seed, sample) alone, and interpolations keep to the sphere."""

import copy
import math

import pytest
import torch

from evaluation.samples.sampling import (
    Performance,
    interpolate,
    most_typical,
    play_latents,
    sample_noise,
    sample_prior,
    walk_noise,
)
from models import LARGE, Generator, build
from models.playing import Playing


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    model = Generator(3, 32, latent=8, hidden=16)
    with torch.no_grad():
        model.roll.weight.mul_(4)
    return model


def test_a_roll_is_the_same_in_any_batch(generator: Generator) -> None:
    genre = torch.arange(20) % 3
    z = sample_noise(0, 20, 8, seed=1)
    generator.train()
    rolls = play_latents(generator, z, genre, 32)
    assert generator.training and next(generator.parameters()).dtype == torch.float32, "the model itself is left alone"
    assert rolls.shape == (20, 128, 32) and rolls.dtype == torch.bool and 0.1 < rolls.float().mean() < 0.9
    for batch_size in (1, 2, 7):
        assert torch.equal(play_latents(generator, z, genre, 32, Performance(batch_size=batch_size)), rolls)
    later = sample_noise(5, 4, 8, seed=1)
    assert torch.equal(play_latents(generator, later, genre[5:9].tolist(), 32), rolls[5:9])
    assert play_latents(generator, z[:0], [], 32).shape == (0, 128, 32)


def test_the_z_most_typical_of_a_genre_is_chosen_of_several_draws(generator: Generator) -> None:
    torch.manual_seed(0)
    model = build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, latent=2)
    torch.nn.init.normal_(model.prior.moments.weight, std=0.1)
    draws = [sample_prior(model, sample_noise(0, 40, 4, seed), [1] * 40) for seed in range(3)]
    chosen = most_typical(model, torch.stack(draws), 1)
    prior = copy.deepcopy(model.prior).double()
    of_genre = [[prior.log_density(z, torch.full((40,), genre)).exp() for genre in range(3)] for z in draws]
    share = torch.stack([of_genres[1] / sum(of_genres) for of_genres in of_genre])
    assert {0, 1, 2} == set(share.argmax(0).tolist()), "each draw is chosen at times"
    for row, draw in enumerate(share.argmax(0)):
        assert torch.equal(chosen[row], draws[draw][row])
    assert most_typical(model, torch.stack(draws)[:, :0], 1).shape == (0, 4)
    same_for_all_genres = [sample_noise(0, 20, 8, seed) for seed in range(3)]
    assert torch.equal(most_typical(generator, torch.stack(same_for_all_genres), 1), same_for_all_genres[0])


def test_threshold_is_on_the_probability(generator: Generator) -> None:
    z = sample_noise(0, 4, 8, seed=0)
    probability = copy.deepcopy(generator).double()(z, torch.zeros(4, dtype=torch.int64))
    for threshold in (0.3, 0.5, 0.8):
        rolls = play_latents(generator, z, [0] * 4, 32, Performance(Playing(threshold)))
        assert torch.equal(rolls, probability > threshold)


def test_every_step_of_a_walk_is_standard_normal_and_like_its_neighbour() -> None:
    walk = walk_noise(0, 1500, 6, 8, seed=0, correlation=0.8)
    assert torch.equal(walk[:, 0], sample_noise(0, 1500, 8, seed=0))
    for window in range(5):
        here, following = walk[:, window].flatten(), walk[:, window + 1].flatten()
        assert abs(float(following.std()) - 1) < 0.03
        assert abs(float((here * following).mean()) - 0.8) < 0.05
    assert torch.equal(walk_noise(3, 2, 4, 8, seed=0, correlation=0.8), walk[3:5, :4])
    assert torch.equal(walk_noise(0, 2, 3, 8, seed=0, correlation=1.0)[:, 2], walk[:2, 0])


def test_interpolation_follows_an_arc_at_equal_angles_or_a_line_between_collinear_ends() -> None:
    start, end = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    angles = torch.linspace(0, math.pi / 2, 4, dtype=torch.float64)
    expected = 2 * torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=1)
    torch.testing.assert_close(interpolate(start, end, 4), expected)
    for factor in (1.0, 3.0, -1.0):
        line = torch.stack([start, (1 + factor) / 2 * start, factor * start]).double()
        torch.testing.assert_close(interpolate(start, factor * start, 3), line)
    path = interpolate(torch.zeros(3), end, 5)
    assert path.isfinite().all() and torch.equal(path[-1], end.double())

"""Order of training windows and weights of genres."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.randomness import rng_at
from data.order import WindowOrder, inverse_frequency_weights


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.integers(0, 3), epoch=st.integers(0, 3),
    epoch_windows=st.none() | st.integers(1, 70), balanced=st.booleans(),
)  # fmt: skip
def test_an_epoch_is_a_permutation_or_as_much_of_it_as_it_shall_have(
    n: int, batch_size: int, seed: int, epoch: int, epoch_windows: int | None, balanced: bool
) -> None:
    genre = torch.zeros(n, dtype=torch.long)
    order = WindowOrder(genre, batch_size, seed, balanced=balanced, epoch_windows=epoch_windows)
    length = min(n, epoch_windows or n)
    for stream in (0, 2):
        steps = [order.examples(epoch, first, stream) for first in range(0, length, batch_size)]
        assert sum(map(len, steps)) == length and all(len(step) == batch_size for step in steps[:-1])
        assert balanced or len(torch.cat(steps).unique()) == length


@pytest.mark.parametrize("balanced", [False, True])
def test_order_is_a_function_of_seed_and_epoch(balanced: bool) -> None:
    genre = torch.arange(200) % 3
    order = WindowOrder(genre, 16, seed=1, balanced=balanced)
    places = [(epoch, first, stream) for epoch in (0, 1) for first in (0, 80, 192) for stream in (0, 1)]
    forwards = [order.examples(*place) for place in places]
    fresh = WindowOrder(genre, 16, seed=1, balanced=balanced)
    backwards = [fresh.examples(*place) for place in reversed(places)][::-1]
    assert all(map(torch.equal, forwards, backwards))
    other_seed = WindowOrder(genre, 16, seed=2, balanced=balanced)
    for other in (order.examples(1, 0), order.examples(0, 16), order.examples(0, 0, 1), other_seed.examples(0, 0)):
        assert not torch.equal(other, order.examples(0, 0))


def test_balanced_order_draws_genres_equally() -> None:
    genre = torch.cat([torch.full((n,), value) for value, n in enumerate((5000, 900, 0, 100))])
    genre = genre[torch.randperm(len(genre), generator=torch.Generator().manual_seed(0))]
    order = WindowOrder(genre, len(genre), seed=0, balanced=True).examples(0, 0)
    share = torch.bincount(genre[order], minlength=4) / len(genre)
    torch.testing.assert_close(share, torch.tensor([1, 1, 0, 1]) / 3, atol=0.03, rtol=0)
    # Uniform within a genre: 2000 draws of n windows see n (1 - exp(-2000 / n)) different ones.
    for value, n in ((0, 5000), (1, 900), (3, 100)):
        seen = len(order[genre[order] == value].unique())
        assert seen == pytest.approx(n * (1 - math.exp(-2000 / n)), rel=0.05)


def test_genre_weights_are_inverse_to_frequency_with_mean_1() -> None:
    genre = torch.tensor([0] * 60 + [1] * 30 + [3] * 10)
    weights = inverse_frequency_weights(genre, n_genres=4)
    assert weights[genre].mean().item() == pytest.approx(1.0)
    torch.testing.assert_close(weights, torch.tensor([100 / 180, 100 / 90, 0, 100 / 30]))


def test_generators_at_different_positions_differ() -> None:
    seeds = {rng_at(*at).initial_seed() for at in (("a", 1, 2), ("a", 12), ("a", 2, 1), ("a1", 2), ("a", "1", 2))}
    assert len(seeds) == 5

"""The noise of preset large's generator, beside z; its outline has tests of its own."""

import pytest
import torch
from networks import of_frames_at_one_level

from evaluation.samples.sampling import Performance, play_latents, play_through
from models import LARGE, ConvGenerator, build

GENRE = torch.tensor([0, 2, 1])


def generator(outline: int = 0, **sizes: int) -> ConvGenerator:
    torch.manual_seed(0)
    return build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, latent=2, outline=outline, **sizes).eval()


def test_noise_decides_what_z_leaves_open() -> None:
    model = generator()
    assert model.noise == 4 and model.chance_shape(32) == (32, 4)
    z, uniform = torch.randn(3, 4), torch.rand(3, 32, 4)
    first, other = model(z, GENRE, uniform), model(z, GENRE, uniform.roll(1, 0))
    assert torch.equal(first, model(z, GENRE, uniform)) and (first != other).any((1, 2)).all()
    torch.manual_seed(1)
    drawn = model(z, GENRE)
    assert not torch.equal(drawn, model(z, GENRE)), "drawn anew"
    assert torch.equal(model.decode_free(z, GENRE, 32, uniform).probability, first)


@pytest.mark.parametrize("level", range(5))
def test_each_level_receives_the_noise(level: int) -> None:
    model, z, uniform = generator(), torch.randn(3, 4), torch.rand(3, 32, 4)
    of_frames_at_one_level(model, level)
    assert (model(z, GENRE, uniform) != model(z, GENRE, uniform.roll(1, 0))).any((1, 2)).all()


def test_without_noise_z_decides() -> None:
    model, z = generator(noise=0), torch.randn(3, 4)
    assert model.chance_shape(32) is None and torch.equal(model(z, GENRE), model(z, GENRE))
    assert generator().levels[0].mix.in_channels == model.levels[0].mix.in_channels + 64


@pytest.mark.parametrize("outline", [0, 16])
def test_a_clip_is_the_same_in_any_batch_and_differs_with_its_position(outline: int) -> None:
    model, z = generator(outline), torch.randn(1, 4).expand(3, -1)
    places = [("notes", 0, row) for row in range(3)]
    together = play_latents(model, z, [0] * 3, 32, chances=places)
    alone = [play_latents(model, z[:1], [0], 32, chances=[place]) for place in places]
    assert torch.equal(together, torch.cat(alone)) and not torch.equal(together[0], together[1])
    assert torch.equal(play_through(model, z, [0] * 3, 32, Performance(), places), together)

"""The rhythm of preset large's generator: where notes begin, and the network that draws it."""

import pytest
import torch
from torch.nn import functional as F

import models.notes.rhythm
from models import LARGE, ConvGenerator, ProjectionCritic, build
from models.base import RollCritic
from models.notes.rhythm import Rhythm, counts_of, follow_rhythm, onset_levels
from models.playing import Playing

GENRE = torch.tensor([0, 2, 1])


def generator() -> ConvGenerator:
    torch.manual_seed(0)
    model = build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, latent=2).eval()
    torch.nn.init.normal_(model.roll.bias)
    return model


def test_levels_count_the_notes_that_begin() -> None:
    roll = torch.zeros(1, 128, 6)
    roll[0, 60:63, 0:2] = 1  # three notes that sound from the first frame on
    roll[0, 70, 1:4] = 1
    roll[0, 60, 3] = 1
    roll[0, :20, 5] = 1  # more than are counted
    levels = onset_levels(roll)
    assert torch.allclose(levels, torch.tensor([[3, 1, 0, 1, 0, 8]]).add(1).float().log2())
    assert torch.equal(onset_levels(roll.bool()), levels), "of rolls as they are played, too"


def test_as_many_notes_begin_as_the_rhythm_says() -> None:
    torch.manual_seed(0)
    logits, counts = torch.randn(4, 40, 30), torch.randint(9, (4, 40)) * (torch.rand(4, 40) < 0.4)
    held = follow_rhythm(logits, torch.log2(1 + counts.float()))
    assert torch.equal(onset_levels((held > 0).float().transpose(1, 2)), torch.log2(1 + counts.float()))


def test_the_largest_logits_of_silent_keys_begin_and_keep_their_threshold() -> None:
    logits = torch.tensor([[5.0, 4, 3, -9], [1, 9, 1, -9], [-1, -1, -2, -4], [9, 9, -3.1, -9], [9, 9, -2.6, -5]])[None]
    logits = F.pad(logits, (0, 8), value=-9)
    levels = torch.log2(1 + torch.tensor([[1.0, 0, 2, 0, 0]]))
    played = follow_rhythm(logits, levels)[0, :, :4] > 0
    expected = [
        [True, False, False, False],  # one begins, of three with positive logits
        [True, False, False, False],  # none begins
        [False, True, True, False],  # two begin below 0, beside the one that ends
        [False, True, False, False],  # the threshold of both is halfway between -2 and -4
        [False, True, False, False],  # what has ended does not begin again
    ]
    assert played.tolist() == expected


def test_notes_begin_where_the_rhythm_says() -> None:
    model, z, uniform = generator(), torch.randn(3, 4), torch.rand(3, 32, 5)
    roll = (torch.rand(3, 128, 32, generator=torch.Generator().manual_seed(1)) < 0.004).float()
    inputs = model.with_rhythm(z, roll)
    played = model.render(inputs, GENRE, uniform) > 0.5
    assert 10 < (onset_levels(roll) == 0).sum() < 90 and torch.equal(onset_levels(played), onset_levels(roll))
    other = model.render(model.with_rhythm(z, roll.roll(3, 2)), GENRE, uniform) > 0.5
    assert not torch.equal(other, played), "another rhythm, other notes"


@pytest.mark.parametrize("level", range(5))
def test_each_level_receives_the_rhythm(level: int) -> None:
    model, z, uniform = generator(), torch.randn(3, 4), torch.rand(3, 32, 5)
    with torch.no_grad():
        for other, layer in enumerate(model.levels):
            if other != level:
                for convolution in (layer.mix, layer.skip):
                    convolution.weight[:, -(80 >> other) :] = 0
    few = torch.ones(3, 32)
    many = few + (torch.arange(32) % 16 == 0)  # two notes more in the first frame of each second
    free = [model._free_logits(z, levels, GENRE, uniform) for levels in (few, many)]
    assert (free[0] != free[1]).any((1, 2)).all()


def test_a_forward_pass_draws_the_rhythm_by_the_last_of_the_random_numbers() -> None:
    model, z, uniform = generator(), torch.randn(3, 4), torch.rand(3, 32, 5)
    inputs = model.with_drawn_rhythm(z, GENRE, uniform).view(3, 2, 18)
    assert torch.equal(inputs[:, :, :2].flatten(1), z)
    levels = inputs[:, :, 2:].flatten(1)
    assert torch.equal(levels, model.rhythm.sample(z, GENRE, uniform[:, :, 4]))
    assert torch.equal(model(z, GENRE, uniform), model.render(inputs.flatten(1), GENRE, uniform))
    assert not torch.equal(levels, model.rhythm.sample(z, GENRE, uniform[:, :, 3]))


@pytest.mark.parametrize("memory", [128, 20])
def test_the_likelihood_is_of_the_distribution_that_is_drawn_from(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of 32 frames, drawn by evenly spaced numbers, given the same frames before it."""
    monkeypatch.setattr(models.notes.rhythm, "_MEMORY", memory)
    torch.manual_seed(0)
    rhythm, n = Rhythm(2, 3, 4, 16).double(), 2000
    for parameter in rhythm.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    z, genre = torch.randn(1, 4).double().expand(n, -1), torch.ones(n, dtype=torch.int64)
    uniform = torch.rand(1, 32, dtype=torch.float64).repeat(n, 1)
    uniform[:, -1] = (torch.arange(n) + 0.5) / n
    drawn = rhythm.sample(z, genre, uniform)
    assert len(drawn[:, :-1].unique(dim=0)) == 1
    each = torch.cat([drawn[:9, :-1], torch.log2(1 + torch.arange(9.0))[:, None].double()], 1)
    probability = torch.softmax(-rhythm.nll(z[:9], genre[:9], each), 0)
    shares = torch.bincount(counts_of(drawn[:, -1]), minlength=9) / n
    assert (shares > 0).sum() > 3
    torch.testing.assert_close(probability.detach(), shares, atol=1e-3, rtol=0)
    assert not torch.allclose(rhythm.nll(z[:9], genre[:9] - 1, each), rhythm.nll(z[:9], genre[:9], each))


def test_without_a_rhythm_z_is_the_only_input() -> None:
    torch.manual_seed(0)
    model, z = build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, latent=2, rhythm=0), torch.randn(3, 4)
    roll = torch.rand(3, 128, 32).round()
    assert model.chance_shape(32) == (32, 4) and model.rhythm_nll(z, GENRE) is None
    assert model.with_rhythm(z, roll) is z and model.with_drawn_rhythm(z, GENRE) is z


def test_the_critic_sees_the_rhythm_and_its_closed_form_does() -> None:
    torch.manual_seed(0)
    critic = ProjectionCritic(3, 32, hidden=8, latent=2, rhythm=True)
    for parameter in critic.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    real, fake, mix = torch.rand(3, 128, 32), torch.rand(3, 128, 32), torch.rand(3)
    latents = torch.randn(3, 36), torch.randn(3, 36)
    assert (critic(real, GENRE, latents[0]) != critic(real, GENRE, latents[0].roll(1, 0))).all()
    of_rhythm = latents[0].view(3, 2, 18).clone()
    of_rhythm[:, 1, 17] += 1
    assert (critic(real, GENRE, latents[0]) != critic(real, GENRE, of_rhythm.flatten(1))).all()
    found = critic.scores_and_gradient_norm(real, fake, GENRE, mix, latents)
    expected = RollCritic.scores_and_gradient_norm(critic, real, fake, GENRE, mix, latents)
    for each, other in zip(found, expected, strict=True):
        torch.testing.assert_close(each, other)


def test_notes_that_begin_one_frame_apart_stay_where_the_rhythm_puts_them() -> None:
    probability = torch.zeros(1, 128, 32)
    probability[0, 60, 4:8] = probability[0, 64, 4:8] = probability[0, 67, 5:8] = 1
    assert torch.equal(generator().play(probability), probability > 0.5) and not generator().plays_by


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="rhythm must be a multiple of 16, but is 24"):
        build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, rhythm=24)


def test_equal_logits_and_few_silent_keys() -> None:
    logits, counts = torch.randn(2, 20, 12).mul(2).round(), torch.randint(9, (2, 20))
    played = follow_rhythm(logits, torch.log2(1 + counts)) > 0
    before = torch.cat([torch.zeros(2, 1, 12, dtype=torch.bool), played[:, :-1]], 1)
    assert torch.equal((played & ~before).sum(2), torch.minimum(counts, (~before).sum(2)))
    assert (counts > (~before).sum(2)).any(), "some frames have fewer silent keys"


def test_keys_that_training_music_lacks_never_begin() -> None:
    rate = torch.full((128,), 0.02)
    rate[:21], rate[100:] = 0, 5e-5
    roll = torch.zeros(3, 128, 32)
    roll[:, 60:68, ::4] = 1
    for start, played_outside in ((lambda model: None, True), (lambda model: model.start_at(rate), False)):
        model = generator()
        start(model)
        played = model.render(model.with_rhythm(torch.randn(3, 4), roll), GENRE, torch.rand(3, 32, 5)) > 0.5
        assert played[:, 21:100].any() and torch.cat([played[:, :21], played[:, 100:]], 1).any() == played_outside


def test_no_other_threshold_changes_how_many_notes_begin() -> None:
    probability = torch.rand(2, 128, 32)
    assert torch.equal(generator().play(probability, Playing(threshold=0.7)), probability > 0.5)

"""The rhythm of preset large's generator: when notes begin and end, and the network that draws it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import models.notes.rhythm
from models import LARGE, ConvGenerator, ProjectionCritic, build
from models.base import RollCritic
from models.notes.rhythm import MOST, Rhythm, counts_of, follow_rhythm, rhythm_of
from models.playing import Playing

GENRE = torch.tensor([0, 2, 1])


def generator() -> ConvGenerator:
    torch.manual_seed(0)
    model = build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, latent=2).eval()
    torch.nn.init.normal_(model.roll.bias)
    return model


def levels_of(counts: Tensor) -> Tensor:
    return torch.log2(1 + counts.float())


def some_rolls() -> Tensor:
    """Notes of several lengths, some of which end together: (3, 128, 32)."""
    torch.manual_seed(1)
    cells = torch.rand(3, 128, 8) < 0.03
    return (cells.repeat_interleave(4, 2) & (torch.rand(3, 128, 32) < 0.9)).float()


def test_levels_count_the_notes_that_begin_and_end() -> None:
    roll = torch.zeros(1, 128, 7)
    roll[0, 60:63, 0:2] = 1  # three notes that sound from the first frame on
    roll[0, 70, 1:4] = 1
    roll[0, 60, 3] = 1
    roll[0, :20, 5] = 1  # more than are counted
    levels = rhythm_of(roll)
    assert torch.allclose(levels, levels_of(torch.tensor([[[3, 0], [1, 0], [0, 3], [1, 0], [0, 2], [16, 0], [0, 16]]])))
    assert torch.equal(rhythm_of(roll.bool()), levels), "of rolls as they are played, too"


def test_as_many_notes_begin_and_end_as_the_rhythm_says() -> None:
    levels = rhythm_of(some_rolls())
    played = follow_rhythm(torch.randn(3, 32, 128), levels) > 0
    assert torch.equal(rhythm_of(played.transpose(1, 2)), levels) and (levels[:, :, 1] > 1).any()


def test_the_largest_logits_of_silent_keys_begin_and_the_smallest_of_sounding_ones_end() -> None:
    logits = torch.tensor([[5.0, 4, 3, -9], [-1, 9, 1, 0], [8, -3, -4, -2], [-5, 7, 7, -4], [1, 1, 1, 1]])[None]
    logits = F.pad(logits, (0, 20), value=-99)
    levels = levels_of(torch.tensor([[[2, 0], [0, 0], [1, 1], [0, 1], [0, 9]]]))
    played = follow_rhythm(logits, levels)[0, :, :4] > 0
    expected = [
        [True, True, False, False],  # two begin, of three with positive logits
        [True, True, False, False],  # none begins, none ends, whatever the logits are
        [True, False, False, True],  # one ends, and another begins below 0
        [False, False, False, True],  # one ends; what has ended does not begin again
        [False, False, False, False],  # all end
    ]
    assert played.tolist() == expected


def test_a_logit_is_kept_until_the_next_choice() -> None:
    """So that the gradient of each cell of a note reaches the frame that chose it."""
    logits = torch.randn(1, 6, 20, dtype=torch.float64, requires_grad=True)
    levels = levels_of(torch.tensor([[[2, 0], [0, 0], [0, 0], [1, 1], [0, 0], [0, 0]]]))
    held = follow_rhythm(logits, levels)
    assert torch.equal(held[:, 0], held[:, 2]) and torch.equal(held[:, 3], held[:, 5])
    held[:, 5].square().sum().backward()
    assert logits.grad.any(2).tolist() == [[False, False, False, True, False, False]]


def test_notes_begin_and_end_where_the_rhythm_says() -> None:
    model, z, uniform, roll = generator(), torch.randn(3, 4), torch.rand(3, 32, 6), some_rolls()
    played = model.render(model.with_rhythm(z, roll), GENRE, uniform) > 0.5
    assert torch.equal(rhythm_of(played), rhythm_of(roll)) and not torch.equal(played, roll.bool())
    other = model.render(model.with_rhythm(z, roll.roll(3, 2)), GENRE, uniform) > 0.5
    assert not torch.equal(other, played), "another rhythm, other notes"


@pytest.mark.parametrize("event", range(2), ids=["begins", "ends"])
@pytest.mark.parametrize("level", range(5))
def test_each_level_receives_the_rhythm(level: int, event: int) -> None:
    model, z, uniform = generator(), torch.randn(3, 4), torch.rand(3, 32, 6)
    with torch.no_grad():
        for other, layer in enumerate(model.levels):
            if other != level:
                for convolution in (layer.mix, layer.skip):
                    convolution.weight[:, -(96 >> other) :] = 0
    few = torch.ones(3, 32, 2)
    many = few.clone()
    many[:, ::16, event] += 1  # more notes in the first frame of each second
    free = [model._free_logits(z, levels, GENRE, uniform) for levels in (few, many)]
    assert (free[0] != free[1]).any((1, 2)).all()


def test_a_forward_pass_draws_the_rhythm_by_the_last_two_random_numbers() -> None:
    model, z, uniform = generator(), torch.randn(3, 4), torch.rand(3, 32, 6)
    inputs = model.with_drawn_rhythm(z, GENRE, uniform).view(3, 2, 34)
    assert torch.equal(inputs[:, :, :2].flatten(1), z)
    levels = inputs[:, :, 2:].reshape(3, 32, 2)
    assert torch.equal(levels, model.rhythm.sample(z, GENRE, uniform[:, :, 4:]))
    assert torch.equal(model(z, GENRE, uniform), model.render(inputs.flatten(1), GENRE, uniform))
    assert not torch.equal(levels, model.rhythm.sample(z, GENRE, uniform[:, :, 3:5]))


@pytest.mark.parametrize("memory", [128, 20])
def test_the_likelihood_is_of_the_distribution_that_is_drawn_from(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of 32 frames, drawn by evenly spaced numbers, given the same frames before it."""
    monkeypatch.setattr(models.notes.rhythm, "_MEMORY", memory)
    torch.manual_seed(0)
    rhythm, n = Rhythm(2, 3, 4, 16).double(), 5000
    for parameter in rhythm.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        rhythm.ends[-1].bias[0] += 1
    z, genre = torch.randn(1, 4).double().expand(n, -1), torch.ones(n, dtype=torch.int64)
    uniform = torch.rand(1, 32, 2, dtype=torch.float64).repeat(n, 1, 1)
    uniform[:, -1, 0] = (torch.arange(n) + 0.5) / n
    uniform[:, -1, 1] = torch.arange(n) * 0.6180339887 % 1  # evenly spread in both at once
    drawn = rhythm.sample(z, genre, uniform)
    assert len(drawn[:, :-1].unique(dim=0)) == 1
    counts = counts_of(drawn)
    assert (counts[0, :-1, 0] - counts[0, :-1, 1]).sum() > MOST, "as many notes may end as the likelihood knows"
    each = drawn[:1].repeat((MOST + 1) ** 2, 1, 1)
    each[:, -1] = torch.log2(1 + torch.cartesian_prod(*2 * [torch.arange(MOST + 1.0).double()]))
    many = z[:1].expand(len(each), -1), torch.ones(len(each), dtype=torch.int64)
    probability = torch.softmax(-rhythm.nll(*many, each), 0)
    shares = torch.bincount(counts[:, -1] @ torch.tensor([MOST + 1, 1]), minlength=len(each)) / n
    assert (shares > 0.005).sum() > 5
    torch.testing.assert_close(probability.detach(), shares, atol=2e-3, rtol=0)
    assert not torch.allclose(rhythm.nll(many[0], many[1] - 1, each), rhythm.nll(*many, each))


def test_never_more_notes_end_than_sound() -> None:
    torch.manual_seed(0)
    rhythm = Rhythm(2, 3, 4, 16)
    with torch.no_grad():
        rhythm.ends[-1].bias[-1] += 1
    counts = counts_of(rhythm.sample(torch.randn(50, 4), torch.zeros(50, dtype=torch.int64), torch.rand(50, 32, 2)))
    sounding = (counts[:, :, 0] - counts[:, :, 1]).cumsum(1)
    assert (sounding >= 0).all() and (sounding == 0).any()


def test_a_rhythm_knows_how_many_notes_sound() -> None:
    """Also of notes that began more frames ago than it compares."""
    torch.manual_seed(0)
    rhythm, levels, genre = Rhythm(2, 3, 4, 16), torch.zeros(2, 64, 2), torch.zeros(2, dtype=torch.int64)
    levels[0, 0, 0] = 3
    other = levels.clone()
    other[:, -1, 1] = 1  # a note ends in the last frame
    with torch.no_grad():
        rhythm.next.weight.zero_()  # nothing else remembers the first frame
        of_end = rhythm.nll(torch.zeros(2, 8), genre, other) - rhythm.nll(torch.zeros(2, 8), genre, levels)
    assert (of_end[0] - of_end[1]).abs() > 1e-3


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
    latents = torch.randn(3, 68), torch.randn(3, 68)
    assert (critic(real, GENRE, latents[0]) != critic(real, GENRE, latents[0].roll(1, 0))).all()
    for event in range(2):
        of_rhythm = latents[0].view(3, 2, 34).clone()
        of_rhythm[:, 1, 32 + event] += 1
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
    logits, counts = torch.randn(2, 20, 18).mul(2).round(), torch.randint(9, (2, 20, 2))
    played = follow_rhythm(logits, levels_of(counts)) > 0
    before = torch.cat([torch.zeros(2, 1, 18, dtype=torch.bool), played[:, :-1]], 1)
    for event, changed, could in ((0, played & ~before, ~before), (1, before & ~played, before)):
        assert torch.equal(changed.sum(2), torch.minimum(counts[:, :, event], could.sum(2)))
        assert (counts[:, :, event] > could.sum(2)).any(), "some frames have fewer keys to choose from"


def test_keys_that_training_music_lacks_never_begin() -> None:
    rate = torch.full((128,), 0.02)
    rate[:21], rate[100:] = 0, 5e-5
    roll = torch.zeros(3, 128, 32)
    roll[:, 60:68, ::4] = 1
    for start, played_outside in ((lambda model: None, True), (lambda model: model.start_at(rate), False)):
        model = generator()
        start(model)
        played = model.render(model.with_rhythm(torch.randn(3, 4), roll), GENRE, torch.rand(3, 32, 6)) > 0.5
        assert played[:, 21:100].any() and torch.cat([played[:, :21], played[:, 100:]], 1).any() == played_outside


def test_no_other_threshold_changes_how_many_notes_begin() -> None:
    probability = torch.rand(2, 128, 32)
    assert torch.equal(generator().play(probability, Playing(threshold=0.7)), probability > 0.5)

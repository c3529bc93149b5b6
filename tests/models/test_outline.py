"""The outline of preset large's generator: when notes begin and end, the highest, and the network that draws it."""

import pytest
import torch
from networks import of_frames_at_one_level
from torch import Tensor
from torch.nn import functional as F

import models.notes.outline
from models import LARGE, ConvGenerator, ProjectionCritic, build
from models.base import RollCritic
from models.notes.outline import Outline, follow_outline, joined, outline_from, outline_of, parted
from models.playing import Playing

GENRE = torch.tensor([0, 2, 1])


def generator() -> ConvGenerator:
    torch.manual_seed(0)
    model = build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, latent=2).eval()
    torch.nn.init.normal_(model.roll.bias)
    return model


def some_rolls() -> Tensor:
    """Notes of several lengths, some of which end together: (3, 128, 32)."""
    torch.manual_seed(1)
    cells = torch.rand(3, 128, 8) < 0.03
    return (cells.repeat_interleave(4, 2) & (torch.rand(3, 128, 32) < 0.9)).float()


def check_follows(played: Tensor, outline: Tensor) -> None:
    """Rolls bool (B, 128, T) have the outline. A highest key that sounds already cannot begin."""
    found = outline_of(played)
    assert torch.equal(found[:, :, :2], outline[:, :, :2])
    sounded = F.pad(played[:, :, :-1], (1, 0)).transpose(1, 2).gather(2, outline[:, :, 2:])[:, :, 0]
    assert torch.equal(found[:, :, 2][~sounded], outline[:, :, 2][~sounded])
    assert (found[:, :, 2] <= outline[:, :, 2]).all()


def test_an_outline_is_what_begins_and_ends_and_the_highest_that_begins() -> None:
    roll = torch.zeros(1, 128, 7)
    roll[0, 60:63, 0:2] = 1  # three notes that sound from the first frame on
    roll[0, 70, 1:4] = 1
    roll[0, 60, 3] = 1
    roll[0, :20, 5] = 1  # more than are counted
    outline = outline_of(roll)
    expected = [[3, 0, 62], [1, 0, 70], [0, 3, 0], [1, 0, 60], [0, 2, 0], [16, 0, 19], [0, 16, 0]]
    assert outline.tolist() == [expected]
    assert torch.equal(outline_of(roll.bool()), outline), "of rolls as they are played, too"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_z_and_its_outline_are_joined_and_parted_without_loss(dtype: torch.dtype) -> None:
    z, outline = torch.randn(2, 6, dtype=dtype), torch.randint(17, (2, 32, 3))
    outline[0, :, 2], outline[1, :, 2] = torch.arange(32), torch.arange(96, 128)
    seconds, numbers = parted(joined(z, outline, 3), 3)
    assert torch.equal(seconds.flatten(1), z) and torch.equal(outline_from(numbers), outline)


def test_notes_begin_and_end_as_the_outline_says() -> None:
    outline = outline_of(some_rolls())
    check_follows((follow_outline(torch.randn(3, 32, 128), outline) > 0).transpose(1, 2), outline)
    assert (outline[:, :, 1] > 1).any()


def test_the_largest_logits_of_silent_keys_begin_and_the_smallest_of_sounding_ones_end() -> None:
    logits = torch.tensor([[5.0, 4, 3, -9], [-1, 9, 1, 0], [8, -3, -4, -2], [-5, 7, 7, -4], [1, 1, 1, 1]])[None]
    logits = F.pad(logits, (0, 20), value=99)  # above the highest
    outline = torch.tensor([[[2, 0, 2], [0, 0, 0], [1, 1, 3], [0, 1, 0], [0, 9, 0]]])
    played = follow_outline(logits, outline)[0] > 0
    expected = [
        [True, False, True, False],  # two begin: the highest, and the best of those below
        [True, False, True, False],  # none begins, none ends, whatever the logits are
        [True, False, False, True],  # one ends, and the highest begins
        [False, False, False, True],  # one ends; what has ended does not begin again
        [False, False, False, False],  # all end
    ]
    assert played[:, :4].tolist() == expected and not played[:, 4:].any()


def test_a_logit_is_kept_until_the_next_choice() -> None:
    """So that the gradient of each cell of a note reaches the frame that chose it."""
    logits = torch.randn(1, 6, 20, dtype=torch.float64, requires_grad=True)
    outline = torch.tensor([[[3, 0, 19], [0, 0, 0], [0, 0, 0], [2, 1, 19], [0, 0, 0], [0, 0, 0]]])
    held = follow_outline(logits, outline)
    assert torch.equal(held[:, 0], held[:, 2]) and torch.equal(held[:, 3], held[:, 5])
    held[:, 5].square().sum().backward()
    assert logits.grad.any(2).tolist() == [[False, False, False, True, False, False]]


def test_a_generator_plays_a_given_outline() -> None:
    model, z, uniform, roll = generator(), torch.randn(3, 4), torch.rand(3, 32, 7), some_rolls()
    played = model.render(model.with_outline(z, roll), GENRE, uniform) > 0.5
    check_follows(played, outline_of(roll))
    assert not torch.equal(played, roll.bool())
    other = model.render(model.with_outline(z, roll.roll(3, 2)), GENRE, uniform) > 0.5
    assert not torch.equal(other, played), "another outline, other notes"


@pytest.mark.parametrize("event", range(3), ids=["begins", "ends", "highest"])
@pytest.mark.parametrize("level", range(5))
def test_each_level_receives_the_outline(level: int, event: int) -> None:
    model, z, uniform = generator(), torch.randn(3, 4), torch.rand(3, 32, 7)
    of_frames_at_one_level(model, level)
    few = torch.ones(3, 32, 3)
    many = few.clone()
    many[:, ::16, event] += 1  # more in the first frame of each second
    free = [model._free_logits(z, numbers, GENRE, uniform) for numbers in (few, many)]
    assert (free[0] != free[1]).any((1, 2)).all()


def test_a_forward_pass_draws_the_outline_by_the_last_three_random_numbers() -> None:
    model, z, uniform = generator(), torch.randn(3, 4), torch.rand(3, 32, 7)
    inputs = model.with_drawn_outline(z, GENRE, uniform)
    seconds, numbers = parted(inputs, 2)
    assert torch.equal(seconds.flatten(1), z)
    assert torch.equal(outline_from(numbers), model.outline.sample(z, GENRE, uniform[:, :, 4:]))
    assert torch.equal(model(z, GENRE, uniform), model.render(inputs, GENRE, uniform))
    assert not torch.equal(outline_from(numbers), model.outline.sample(z, GENRE, uniform[:, :, 3:6]))


@pytest.mark.parametrize("memory", [128, 20])
def test_the_likelihood_is_of_the_distribution_that_is_drawn_from(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of 32 frames, drawn by evenly spread numbers, given the same frames before it."""
    for name, value in (("_MEMORY", memory), ("_MOST", 3), ("PITCHES", 12)):
        monkeypatch.setattr(models.notes.outline, name, value)
    torch.manual_seed(0)
    outline, n = Outline(2, 3, 4, 16).double(), 2**15
    for parameter in outline.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    with torch.no_grad():
        outline.ends[-1].bias[0] += 1
    z, genre = torch.randn(1, 4).double().expand(n, -1), torch.ones(n, dtype=torch.int64)
    uniform = torch.rand(1, 32, 3, dtype=torch.float64).repeat(n, 1, 1)
    uniform[:, -1] = torch.quasirandom.SobolEngine(3).draw(n, dtype=torch.float64)
    drawn = outline.sample(z, genre, uniform)
    assert len(drawn[:, :-1].unique(dim=0)) == 1
    before = drawn[0, :-1]
    assert (before[:, 0] - before[:, 1]).sum() >= 3, "as many notes may end as the likelihood knows"
    begin, end, highest = torch.meshgrid(torch.arange(4), torch.arange(4), torch.arange(12), indexing="ij")
    possible = torch.stack([begin, end, highest], 3)[(begin > 0) | (highest == 0)]
    each = torch.cat([before.expand(len(possible), -1, -1), possible[:, None]], 1)
    probability = torch.softmax(-outline.nll(z[: len(each)], genre[: len(each)], each), 0)
    shares = (drawn[:, -1, None] == possible).all(2).double().mean(0)
    assert shares.sum().isclose(torch.ones(()).double()) and (shares > 0.01).sum() > 10
    torch.testing.assert_close(probability.detach().double(), shares, atol=1e-3, rtol=0)
    assert not torch.allclose(outline.nll(z[:1], genre[:1] - 1, each[:1]), outline.nll(z[:1], genre[:1], each[:1]))


def test_the_melody_before_a_frame() -> None:
    begin = torch.tensor([[0, 2, 0, 1, 1, 3, 0, 1]])
    highest = torch.tensor([[0, 60, 0, 62, 0, 64, 0, 65]])
    expected = 2 * [[0, 0, 0, 0]] + 2 * [[0, 0, 0, 61]] + [[0, 0, 61, 63], [0, 61, 63, 1]] + 2 * [[61, 63, 1, 65]]
    assert models.notes.outline._melodies(begin, highest).tolist() == [expected]


def test_never_more_notes_end_than_sound() -> None:
    torch.manual_seed(0)
    outline = Outline(2, 3, 4, 16)
    with torch.no_grad():
        outline.ends[-1].bias[-1] += 1
    drawn = outline.sample(torch.randn(50, 4), torch.zeros(50, dtype=torch.int64), torch.rand(50, 32, 3))
    sounding = (drawn[:, :, 0] - drawn[:, :, 1]).cumsum(1)
    assert (sounding >= 0).all() and (sounding == 0).any()


def last_frame_nll(outline: Outline, before: list[list[int]], last: list[int]) -> Tensor:
    """-log p of frames of which only the first of 64, `before`, and the last have notes."""
    frames = torch.zeros(1, 64, 3, dtype=torch.int64)
    frames[0, : len(before)], frames[0, -1] = torch.tensor(before), torch.tensor(last)
    with torch.no_grad():
        return outline.nll(torch.zeros(1, 8), torch.zeros(1, dtype=torch.int64), frames)


@pytest.mark.parametrize(
    ("before", "last", "other", "without"),
    [
        # Notes that began more frames ago than are compared: how many sound, and the melody.
        (([7, 0, 60], [1, 0, 60]), ([0, 0, 0], [0, 0, 0]), ([0, 1, 0], [0, 1, 0]), ("next", "melody")),
        (([1, 0, 60], [1, 0, 64]), ([0, 0, 0], [0, 0, 0]), ([0, 1, 0], [0, 1, 0]), ("next",)),
        # The interval from the last note, also a large one.
        (([1, 0, 60], [1, 0, 62]), ([1, 0, 60], [1, 0, 60]), ([1, 0, 64], [1, 0, 64]), ("next", "melody")),
        (([1, 0, 60], [1, 0, 62]), ([1, 0, 50], [1, 0, 50]), ([1, 0, 78], [1, 0, 78]), ("next", "melody")),
        # What else there is in the frame.
        (([1, 0, 60], [1, 0, 60]), ([0, 0, 0], [2, 0, 60]), ([0, 1, 0], [2, 1, 60]), ()),
        (([1, 0, 60], [1, 0, 60]), ([1, 0, 60], [3, 0, 60]), ([1, 0, 70], [3, 0, 70]), ()),
        (([1, 0, 60], [1, 0, 60]), ([1, 0, 60], [1, 1, 60]), ([1, 0, 70], [1, 1, 70]), ()),
    ],
    ids=["sounding", "melody", "interval", "large", "ends of begins", "highest of begins", "highest of ends"],
)
def test_what_the_likelihood_of_a_frame_depends_on(
    before: tuple[list[int], list[int]], last: tuple[list[int], list[int]], other: tuple[list[int], list[int]],
    without: tuple[str, ...],
) -> None:  # fmt: skip
    """The ratio of `last` to `other` in the last frame differs between two cases."""
    torch.manual_seed(0)
    outline = Outline(2, 3, 4, 16)
    with torch.no_grad():
        for name in without:
            getattr(outline, name).weight.zero_()
    ratios = [
        last_frame_nll(outline, [first], one) - last_frame_nll(outline, [first], two)
        for first, one, two in zip(before, last, other, strict=True)
    ]
    assert (ratios[0] - ratios[1]).abs() > 1e-3


def test_attention_tells_beginnings_ends_and_keys_apart() -> None:
    torch.manual_seed(0)
    values = Outline(2, 3, 4, 16)._values(torch.eye(3, dtype=torch.int64)[None])[0]
    assert torch.cdist(values, values).add(torch.eye(3)).min() > 0.1


def test_without_an_outline_z_is_the_only_input() -> None:
    torch.manual_seed(0)
    model, z = build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, latent=2, outline=0), torch.randn(3, 4)
    roll = torch.rand(3, 128, 32).round()
    assert model.chance_shape(32) == (32, 4) and model.outline_nll(z, GENRE) is None
    assert model.with_outline(z, roll) is z and model.with_drawn_outline(z, GENRE) is z


def test_the_critic_sees_the_outline_and_its_closed_form_does() -> None:
    torch.manual_seed(0)
    critic = ProjectionCritic(3, 32, hidden=8, latent=2, outline=True)
    for parameter in critic.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    real, fake, mix = torch.rand(3, 128, 32), torch.rand(3, 128, 32), torch.rand(3)
    latents = torch.randn(3, 100), torch.randn(3, 100)
    assert (critic(real, GENRE, latents[0]) != critic(real, GENRE, latents[0].roll(1, 0))).all()
    for event in range(3):
        of_outline = latents[0].view(3, 2, 50).clone()
        of_outline[:, 1, 47 + event] += 1
        assert (critic(real, GENRE, latents[0]) != critic(real, GENRE, of_outline.flatten(1))).all()
    found = critic.scores_and_gradient_norm(real, fake, GENRE, mix, latents)
    expected = RollCritic.scores_and_gradient_norm(critic, real, fake, GENRE, mix, latents)
    for each, other in zip(found, expected, strict=True):
        torch.testing.assert_close(each, other)


def test_notes_that_begin_one_frame_apart_stay_where_the_outline_puts_them() -> None:
    probability = torch.zeros(1, 128, 32)
    probability[0, 60, 4:8] = probability[0, 64, 4:8] = probability[0, 67, 5:8] = 1
    assert torch.equal(generator().play(probability), probability > 0.5) and not generator().plays_by


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="outline must be a multiple of 16, but is 24"):
        build("generator", LARGE, n_genres=3, seq_len=32, hidden=16, outline=24)


def test_equal_logits_and_few_silent_keys() -> None:
    logits, outline = torch.randn(2, 20, 18).mul(2).round(), torch.randint(9, (2, 20, 3))
    played = follow_outline(logits, outline) > 0
    before = torch.cat([torch.zeros(2, 1, 18, dtype=torch.bool), played[:, :-1]], 1)
    for event, changed, could in ((0, played & ~before, ~before), (1, before & ~played, before)):
        assert torch.equal(changed.sum(2), torch.minimum(outline[:, :, event], could.sum(2)))
        assert (outline[:, :, event] > could.sum(2)).any(), "some frames have fewer keys to choose from"


def test_keys_that_training_music_lacks_never_begin() -> None:
    rate = torch.full((128,), 0.02)
    rate[:21], rate[100:] = 0, 5e-5
    roll = torch.zeros(3, 128, 32)
    roll[:, 60:68, ::4] = 1
    for start, played_outside in ((lambda model: None, True), (lambda model: model.start_at(rate), False)):
        model = generator()
        start(model)
        played = model.render(model.with_outline(torch.randn(3, 4), roll), GENRE, torch.rand(3, 32, 7)) > 0.5
        assert played[:, 21:100].any() and torch.cat([played[:, :21], played[:, 100:]], 1).any() == played_outside


def test_a_new_outline_seldom_has_keys_that_training_music_lacks() -> None:
    rate = torch.full((128,), 0.02)
    rate[:21], rate[100:] = 0, 5e-5
    shares = []
    for start in (lambda model: None, lambda model: model.start_at(rate)):
        model = generator()
        start(model)
        drawn = model.outline.sample(torch.randn(3, 16), GENRE, torch.rand(3, 128, 3))
        highest = drawn[:, :, 2][drawn[:, :, 0] > 0]
        shares.append(((highest < 21) | (highest >= 100)).double().mean())
    assert shares[0] > 0.2 and shares[1] < 0.01


def test_no_other_threshold_changes_how_many_notes_begin_and_end() -> None:
    probability = torch.rand(2, 128, 32)
    assert torch.equal(generator().play(probability, Playing(threshold=0.7)), probability > 0.5)

"""Onsets that are one frame apart begin together, by a rule that moves notes and loses none."""

import pytest
import torch
from torch import Tensor

from evaluation.statistics.features import onsets
from models import LARGE, PAPER, build
from models.losses import straight_through
from models.onset_groups import group_onsets
from models.playing import Playing


def roll_of(*notes: tuple[int, int, int], n_frames: int = 12) -> Tensor:
    """A roll, bool (1, 128, n_frames), of notes: pitch, first frame, number of frames."""
    roll = torch.zeros(1, 128, n_frames, dtype=torch.bool)
    for pitch, start, length in notes:
        roll[0, pitch, start : start + length] = True
    return roll


def random_rolls(share: float) -> Tensor:
    cells = torch.rand(24, 128, 40, generator=torch.Generator().manual_seed(0)) < share
    return cells | (cells.roll(1, 2) & (torch.rand_like(cells.float()) < 0.7))


@pytest.mark.parametrize(
    ("notes", "grouped"),
    [
        ([(60, 4, 3), (64, 4, 3), (67, 5, 3)], [(60, 4, 3), (64, 4, 3), (67, 4, 4)]),  # earlier, the end stays
        ([(60, 4, 3), (64, 5, 3), (67, 5, 3)], [(60, 5, 2), (64, 5, 3), (67, 5, 3)]),  # later
        ([(60, 4, 3), (64, 5, 3)], [(60, 4, 3), (64, 4, 4)]),  # a tie: the earlier frame is kept
        ([(60, 4, 1), (64, 5, 3), (67, 5, 3)], [(60, 5, 1), (64, 5, 3), (67, 5, 3)]),  # a single frame moves as a whole
        ([(60, 4, 3), (64, 6, 3), (67, 6, 3)], [(60, 4, 3), (64, 6, 3), (67, 6, 3)]),  # two frames apart
        # it would join the note that ended in frame 2, and the one that begins in frame 6
        ([(60, 4, 3), (64, 3, 3), (67, 3, 3), (60, 0, 3)], [(60, 4, 3), (64, 3, 3), (67, 3, 3), (60, 0, 3)]),
        ([(60, 4, 1), (64, 5, 3), (67, 5, 3), (60, 6, 2)], [(60, 4, 1), (64, 5, 3), (67, 5, 3), (60, 6, 2)]),
        # between two chords: to the larger one
        ([(60, 3, 3), (64, 3, 3), (50, 4, 4), (67, 5, 3), (71, 5, 3), (74, 5, 3)],
         [(60, 3, 3), (64, 3, 3), (50, 5, 3), (67, 5, 3), (71, 5, 3), (74, 5, 3)]),
        # ever more notes: 3 joins 2, and what began before these stays
        ([(60, 4, 3), (61, 5, 3), (62, 5, 3), (63, 6, 3), (64, 6, 3), (65, 6, 3)],
         [(60, 4, 3), (61, 6, 2), (62, 6, 2), (63, 6, 3), (64, 6, 3), (65, 6, 3)]),
        ([(60, 0, 3), (64, 1, 3)], [(60, 0, 3), (64, 0, 4)]),
        ([(60, 10, 2), (64, 11, 1), (67, 11, 1)], [(60, 11, 1), (64, 11, 1), (67, 11, 1)]),
    ],
)  # fmt: skip
def test_notes_move_to_the_larger_group(notes: list[tuple[int, int, int]], grouped: list[tuple[int, int, int]]) -> None:
    assert torch.equal(group_onsets(roll_of(*notes)), roll_of(*grouped))


@pytest.mark.parametrize("share", [0.003, 0.02, 0.1])
def test_every_note_stays(share: float) -> None:
    rolls = random_rolls(share)
    before, after = onsets(rolls), onsets(group_onsets(rolls))
    assert torch.equal(before.sum(2), after.sum(2)) and not torch.equal(before, after)
    assert (before.float().cumsum(2) - after.float().cumsum(2)).abs().max() == 1  # by one frame


def grouped_slowly(roll: Tensor) -> Tensor:
    """The rule note after note, for a roll (128, T): the frame with the most onsets is kept, again and again."""
    starts, (_, n_frames) = onsets(roll[None])[0], roll.shape
    size, kept, result = starts.sum(0).tolist(), [], roll.clone()
    for frame in sorted(range(n_frames), key=lambda frame: (-size[frame], frame)):
        if size[frame] and not {frame - 1, frame + 1} & {*kept}:
            kept.append(frame)
    for pitch, frame in starts.nonzero().tolist():
        beside = [each for each in kept if abs(each - frame) == 1]
        if frame in kept or not beside:
            continue
        target = max(beside, key=lambda each: (size[each], -each))
        sounds = {each for each in range(n_frames) if roll[pitch, each]}
        if target < frame and frame - 2 not in sounds:
            result[pitch, target] = True
        elif target > frame and (target in sounds or frame + 2 not in sounds):
            result[pitch, frame], result[pitch, target] = False, True
    return result


@pytest.mark.parametrize("share", [0.003, 0.02, 0.1])
def test_the_rule_is_greedy(share: float) -> None:
    rolls = random_rolls(share)
    assert torch.equal(group_onsets(rolls), torch.stack([grouped_slowly(roll) for roll in rolls]))


def test_preset_large_plays_by_the_rule_unless_asked_not_to() -> None:
    probability = roll_of((60, 4, 3), (64, 4, 3), (67, 5, 3), n_frames=32).float()
    as_predicted, grouped = probability > 0.5, group_onsets(probability > 0.5)
    large, paper = (
        build("generator", name, n_genres=2, seq_len=32, hidden=16, **more)
        for name, more in ((LARGE, {"outline": 0}), (PAPER, {}))
    )
    assert torch.equal(large.play(probability), grouped) and not torch.equal(grouped, as_predicted)
    assert torch.equal(large.play(probability, Playing(group_onsets=False)), as_predicted)
    assert torch.equal(paper.play(probability), as_predicted)
    large.logits = lambda z, genre, uniform: torch.logit(probability, eps=1e-3)
    z, genre = torch.zeros(1, large.noise_size(32)), torch.zeros(1, dtype=torch.int64)
    assert torch.equal(large.decode_free(z, genre, 32).roll, grouped)


def test_straight_through_has_the_gradient_of_the_probabilities_at_the_cells_that_are_played() -> None:
    probability = (roll_of((60, 4, 3), (64, 4, 3), (67, 5, 3)) * 0.4 + 0.3).requires_grad_()
    played = straight_through(probability, group_onsets(probability > 0.5))
    weights = torch.rand_like(played)
    assert played[0, 67, 4].item() == 1
    assert torch.equal(torch.autograd.grad((weights * played).sum(), probability)[0], weights)

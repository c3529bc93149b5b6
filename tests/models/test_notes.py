"""Rolls as lists of notes, their probabilities and samples, exact on rolls so small that all can be listed."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from benchmarks.density.frame_model import FrameModel
from benchmarks.density.note_model import NoteModel
from models.notes.note_decoder import NoteDecoder, Past
from models.notes.note_sampling import choose, draw_notes
from models.notes.notes import Notes, notes_to_roll, roll_to_notes
from models.notes.step_decoder import StepDecoder
from models.playing import Playing


def every_roll(pitches: int, n_frames: int) -> Tensor:
    """All binary rolls of a size, float64 (n, pitches, n_frames)."""
    codes = torch.arange(2 ** (pitches * n_frames))[:, None]
    return ((codes >> torch.arange(pitches * n_frames)) & 1).view(-1, pitches, n_frames).double()


def decoder_of(pitches: int, horizon: int) -> NoteDecoder:
    torch.manual_seed(0)
    decoder = NoteDecoder(pitches, horizon, stretch=2, condition_size=8, width=16, depth=2, heads=2).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(std=0.15)
    return decoder


@torch.no_grad()
def probabilities(decoder: NoteDecoder, condition: Tensor, rolls: Tensor) -> Tensor:
    parts = rolls.split(8192)
    each = [decoder.log_likelihood(condition.expand(len(part), -1, -1), roll_to_notes(part), part) for part in parts]
    return torch.cat(each).exp()


def condition_for(n_frames: int) -> Tensor:
    return torch.randn(1, -(-n_frames // 2), 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def listed(notes: Notes, row: int) -> list[tuple[int, int, int]]:
    fields = (field[row, : int(notes.count[row])].tolist() for field in notes[:3])
    return list(zip(*fields, strict=True))


def test_the_notes_of_a_roll_and_back() -> None:
    roll = torch.zeros(2, 128, 8)
    roll[0, 60, 0:3] = roll[0, 64, 0:8] = roll[0, 60, 4:5] = roll[0, 0, 7] = 1
    notes = roll_to_notes(roll)
    assert listed(notes, 0) == [(0, 60, 3), (0, 64, 8), (4, 60, 1), (7, 0, 1)]
    assert listed(notes, 1) == [] and notes.count.tolist() == [4, 0]
    assert torch.equal(notes_to_roll(notes, 128, 8), roll > 0)
    assert torch.equal(notes_to_roll(notes, 128, 6), roll[:, :, :6] > 0), "notes are cut at the end"


def test_lists_and_rolls_correspond_one_to_one() -> None:
    rolls = every_roll(3, 4)
    notes = roll_to_notes(rolls)
    assert torch.equal(notes_to_roll(notes, 3, 4), rolls > 0)
    assert len({tuple(listed(notes, row)) for row in range(len(rolls))}) == len(rolls)
    assert notes_to_roll(roll_to_notes(torch.zeros(0, 128, 32)), 128, 32).shape == (0, 128, 32)
    assert not notes_to_roll(roll_to_notes(torch.zeros(3, 128, 32)), 128, 32).any()


@pytest.mark.parametrize(("pitches", "n_frames", "horizon"), [(4, 4, 4), (3, 5, 5), (2, 7, 9), (1, 9, 16)])
def test_the_probabilities_of_all_rolls_sum_to_one(pitches: int, n_frames: int, horizon: int) -> None:
    decoder, rolls = decoder_of(pitches, horizon), every_roll(pitches, n_frames)
    each = probabilities(decoder, condition_for(n_frames), rolls)
    assert each.sum().item() == pytest.approx(1, abs=1e-12)
    assert (each > 0).all()


def test_a_windows_probability_is_the_sum_over_its_continuations() -> None:
    decoder = decoder_of(3, 8)
    # A note's embedding contains its duration, and so reveals frames after the cut.
    torch.nn.init.zeros_(decoder.duration.weight)
    condition = condition_for(4)
    longer = probabilities(decoder, condition, every_roll(3, 4)).view(4, 4, 4, 4, 4, 4)
    # Cells of a roll are ordered by pitch, then frame; the first is the lowest bit of the roll's number.
    cut = longer.view(2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2).sum((0, 1, 4, 5, 8, 9)).flatten()
    assert torch.allclose(cut, probabilities(decoder, condition[:, :1], every_roll(3, 2)), atol=1e-12)


def test_samples_have_the_decoders_probabilities() -> None:
    decoder, rolls, condition = decoder_of(3, 3), every_roll(3, 3), condition_for(3)
    expected, n = probabilities(decoder, condition, rolls), 100_000
    uniform = torch.rand(n, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    drawn = notes_to_roll(draw_notes(decoder, condition.expand(n, -1, -1), 3, uniform), 3, 3)
    codes = (drawn.flatten(1).long() * 2 ** torch.arange(9)).sum(1)
    found = torch.bincount(codes, minlength=len(rolls))
    often = expected * n > 5
    chi_squared = ((found - expected * n) ** 2 / (expected * n))[often].sum().item()
    degrees = int(often.sum())
    assert degrees > 200
    assert abs(chi_squared - degrees) < 5 * (2 * degrees) ** 0.5


def test_continuations_have_the_conditional_probabilities() -> None:
    decoder, rolls, condition = decoder_of(2, 4), every_roll(2, 4), condition_for(4)
    begun = torch.tensor([[[1, 1, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [1, 0, 0, 0]]]).double()
    notes, n, first_frame = roll_to_notes(begun), 20_000, 2
    uniform = torch.rand(2 * n, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    rows = torch.arange(2).repeat_interleave(n)
    condition_of_all = condition.expand(2 * n, -1, -1)
    drawn = draw_notes(decoder, condition_of_all, 4, uniform, beginning=notes.of(rows), first_frame=first_frame)
    drawn = notes_to_roll(drawn, 2, 4)
    all_notes, each = roll_to_notes(rolls), probabilities(decoder, condition, rolls)
    for row in range(2):
        fits = torch.tensor(
            [
                [note for note in listed(all_notes, roll) if note[0] < first_frame] == listed(notes, row)
                for roll in range(len(rolls))
            ]
        )
        given = torch.where(fits, each, 0.0)
        given /= given.sum()
        codes = (drawn[rows == row].flatten(1).long() * 2 ** torch.arange(8)).sum(1)
        found = torch.bincount(codes, minlength=len(rolls)) / n
        assert torch.allclose(found.double(), given, atol=0.015)


def test_a_sample_depends_on_its_own_numbers_only() -> None:
    decoder, condition = decoder_of(8, 16), torch.randn(6, 8, 8, dtype=torch.float64)
    uniform = torch.rand(6, 40, 3, dtype=torch.float64)
    together = notes_to_roll(draw_notes(decoder, condition, 16, uniform), 8, 16)
    for row in range(6):
        alone = draw_notes(decoder, condition[row : row + 1], 16, uniform[row : row + 1])
        assert torch.equal(notes_to_roll(alone, 8, 16)[0], together[row])


def test_without_windows_there_are_no_notes() -> None:
    drawn = draw_notes(decoder_of(8, 16), torch.zeros(0, 8, 8).double(), 16, torch.zeros(0, 40, 3).double())
    assert drawn.onset.shape == (0, 0) and drawn.count.shape == (0,)


def test_choices_from_an_end_on_are_one() -> None:
    logits, uniform = torch.tensor([0.3, 0.4, 0.2, 0.1]).log().repeat(4, 1), torch.tensor([0.1, 0.5, 0.75, 0.95])
    end = torch.tensor([1, 2, 2, 9])
    assert choose(logits, uniform, Playing(), end).tolist() == [0, 1, 2, 3]
    assert choose(logits, uniform, Playing(temperature=0), end).tolist() == [1, 1, 1, 1]
    assert choose(logits, uniform, Playing(temperature=0), end - 1).tolist() == [0, 1, 1, 1]
    # With a total probability of .5 the largest choice alone is kept, and it is the end.
    assert choose(logits, uniform, Playing(nucleus=0.5), torch.ones(4, dtype=torch.int64)).tolist() == [1, 1, 1, 1]


@torch.inference_mode()
@pytest.mark.parametrize("beginning", [False, True])
def test_steps_have_the_states_of_whole_windows(beginning: bool) -> None:
    """Logits of every choice, note after note, against one pass over all notes; one window ends first."""
    decoder, condition = decoder_of(8, 16), torch.randn(2, 8, 8, dtype=torch.float64)
    roll = (torch.rand(2, 8, 16, generator=torch.Generator().manual_seed(1)) < 0.3).double()
    notes = roll_to_notes(roll)
    n_begun, n = (torch.tensor([2, 1]) if beginning else torch.zeros(2, dtype=torch.int64)), int(notes.count.max())
    steps, past = StepDecoder(decoder, condition, 16, temperature=0.5), Past.of(notes)
    state = decoder.states(past, condition)
    begun = Notes.of_rows(*_first(notes, n_begun))
    steps.begin(Past.of(begun), n_begun, n)
    row, column = torch.arange(2), n_begun
    stretch = decoder.stretch_of(past.onset, 8)
    for step in range(int((notes.count - n_begun).min())):
        if step == 2:
            steps.keep(torch.tensor([1]))
            row, column = row[1:], column[1:]
        onset, pitch, duration = (field[row, column] for field in notes[:3])
        wait, here = onset - past.onset[row, column], stretch[row, column]
        there, last = decoder.stretch_of(onset, 8), state[row, column][:, None]
        for_pitch, for_duration = decoder.onset_features(wait[:, None], onset[:, None])
        for_duration = for_duration + decoder.next_pitch(pitch[:, None])

        waits = decoder.wait_head(last, decoder.wait_head.condition(condition[row, here])[:, None])
        pitches = decoder.pitch_head(last, decoder.pitch_head.condition(condition[row, there])[:, None], for_pitch)
        of_duration = decoder.duration_head.condition(condition[row, there])[:, None]
        durations = decoder.duration_head(last, of_duration, for_duration)
        close = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)
        close(steps.wait_logits(), waits[:, 0] / 0.5)
        steps.choose_onset(wait, onset)
        close(steps.pitch_logits(), pitches[:, 0] / 0.5)
        close(steps.duration_logits(pitch), durations[:, 0] / 0.5)
        steps.add(onset, pitch, duration, wait)
        column = column + 1


def _first(notes: Notes, count: Tensor) -> tuple[Tensor, list[Tensor], int]:
    """The first notes of each window, as `Notes.of_rows` takes them."""
    row, *fields = notes._replace(count=count).flat()
    return row, fields, len(count)


def test_temperature_and_nucleus() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0]]).repeat(1000, 1)
    uniform = torch.rand(1000)
    assert (choose(logits, uniform, Playing(temperature=0)) == 1).all()
    assert set(choose(logits, uniform, Playing(nucleus=0.7)).tolist()) == {1, 2}
    assert set(choose(logits, uniform, Playing(nucleus=0.1)).tolist()) == {1}
    assert set(choose(logits, uniform, Playing()).tolist()) == {0, 1, 2}
    never = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    assert choose(never, torch.zeros(1), Playing()).item() == choose(never, torch.tensor([1 - 1e-7]), Playing()).item()


@pytest.mark.parametrize("notes", [True, False], ids=["notes", "frames"])
def test_probabilities_of_blocks_sum_to_one_given_any_context(notes: bool) -> None:
    """Also of blocks that are shorter than others in the batch."""
    model = (NoteModel(3, 4, hidden=16, depth=2) if notes else FrameModel(3, hidden=8)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.15)
    blocks, befores = every_roll(3, 4), every_roll(3, 3)[[0, 77, 300, 511]]
    for before in befores:
        for length in (4, 2):
            # A block is silent after its length.
            fitting = blocks[~blocks[:, :, length:].any(2).any(1)]
            with torch.no_grad():
                n = len(fitting)
                nll = model.nats(fitting, torch.full((n,), length), before.expand(n, -1, -1), torch.empty(n, 0))
            assert (-nll.double()).exp().sum().item() == pytest.approx(1, abs=1e-9 if notes else 1e-6)


@pytest.mark.parametrize(
    "model",
    [
        NoteModel(pitches=8, horizon=16, hidden=32, depth=1),
        NoteModel(pitches=8, horizon=16, hidden=32, depth=1, latent=2),
        FrameModel(pitches=8, hidden=8),
        FrameModel(pitches=8, hidden=8, latent=2),
    ],
    ids=["notes", "notes bound", "frames", "frames bound"],
)
def test_a_block_depends_on_its_context_and_not_on_the_batch(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    rolls = (torch.rand(5, 8, 16) < 0.2).float()
    befores = (torch.rand(5, 8, 12) < 0.3).float()
    befores[2] = 0
    lengths = torch.tensor([16, 16, 9, 16, 1])
    for row, length in enumerate(lengths.tolist()):
        rolls[row, :, length:] = 0
    noise = torch.randn(5, model.noise_size(16))
    together = model.nats(rolls, lengths, befores, noise)
    alone = [model.nats(rolls[[row]], lengths[[row]], befores[[row]], noise[[row]]) for row in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert not torch.allclose(together[:2], model.nats(rolls, lengths, torch.zeros_like(befores), noise)[:2])


def test_a_choice_has_the_probability_of_all_rolls_that_begin_with_it() -> None:
    """Wait and pitch of the first note, then with its duration; `end`: that there is no note."""
    rolls, condition = every_roll(3, 4), condition_for(4)
    decoder, notes = decoder_of(3, 4), roll_to_notes(rolls)
    with torch.no_grad():
        choices = decoder.choices(condition.expand(len(rolls), -1, -1), notes, rolls)
    probability = probabilities(decoder, condition, rolls)
    first = torch.stack([field[:, 0] for field in notes[:3]], dim=1)[1:]  # all but the empty roll
    for fields, log_probability in ((2, choices.wait + choices.pitch), (3, sum(choices[:3]))):
        same = (first[:, None, :fields] == first[None, :, :fields]).all(2).double()
        torch.testing.assert_close(log_probability[1:, 0].exp(), same @ probability[1:])
    assert float(choices.end[0]) == pytest.approx(float(probability[0].log()))

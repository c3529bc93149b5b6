"""Notes drawn from a note decoder, one after another for many rolls at once."""

import torch
from torch import Tensor

from ..playing import Playing
from .note_attention import Memory
from .note_decoder import NoteDecoder, Past, allowed_pitches, allowed_waits, at
from .notes import Notes

NUMBERS_A_NOTE = 3  # that decide its wait, its pitch and its duration
MOST_NOTES = 512  # in a window


@torch.no_grad()
def draw_notes(
    decoder: NoteDecoder,
    condition: Tensor,
    n_frames: int,
    uniform: Tensor,
    playing: Playing = Playing(),
    beginning: Notes | None = None,
    first_frame: int = 0,
) -> Notes:
    """Notes of B windows of `n_frames` frames under `condition` (B, stretches, condition size).

    `uniform` (B, most notes, 3), numbers in [0, 1): each window follows from its own alone. A window that has as many
    notes as there are numbers stays silent from there. `beginning`: notes that each begins with, their onsets before
    `first_frame`, the first frame that new notes may begin in. Durations are what was drawn: they may lead beyond
    the end of the window.
    """
    return _Player(decoder, condition, n_frames, playing, first_frame).play(uniform, beginning)


def choose(logits: Tensor, uniform: Tensor, playing: Playing) -> Tensor:
    """An index of each row of logits (B, n), already divided by the temperature, by numbers (B,) in [0, 1)."""
    if not playing.temperature:
        return logits.argmax(1)
    probability = logits.softmax(1)
    if playing.nucleus < 1:
        likeliest, order = probability.sort(1, descending=True)
        likeliest[likeliest.cumsum(1) - likeliest >= playing.nucleus] = 0
        probability = torch.zeros_like(probability).scatter(1, order, likeliest)
    reached = probability.cumsum(1)
    return (reached <= uniform[:, None].to(reached.dtype) * reached[:, -1:]).sum(1).clamp_max(logits.shape[1] - 1)


class _Player:
    """The windows that are still played, `row` being the places of their numbers, and their last notes."""

    def __init__(
        self, decoder: NoteDecoder, condition: Tensor, n_frames: int, playing: Playing, first_frame: int
    ) -> None:
        self.decoder, self.n_frames, self.playing, self.first_frame = decoder, n_frames, playing, first_frame
        self.n_stretches = condition.shape[1]
        heads = (decoder.wait_head, decoder.pitch_head, decoder.duration_head)
        self.conditions = [layer.condition(condition) for layer in (*decoder.blocks, *heads)]
        self.row = torch.arange(len(condition), device=condition.device)

    def play(self, uniform: Tensor, beginning: Notes | None) -> Notes:
        self._begin(beginning, uniform.shape[1])
        drawn: list[tuple[Tensor, ...]] = []
        for numbers in uniform.unbind(1):
            wait, onset = self._draw_onset(numbers[self.row, 0])
            goes_on = onset < self.n_frames
            if not goes_on.any():
                break
            if goes_on.sum() <= len(goes_on) // 2:
                self._keep(goes_on.nonzero()[:, 0])
                wait, onset, goes_on = wait[goes_on], onset[goes_on], goes_on[goes_on]
            numbers = numbers[self.row]
            pitch, duration = self._draw_note(wait, onset, numbers)
            # A window that has come to its end stays there until the next ones are left out.
            onset = torch.where(goes_on, onset, self.n_frames)
            drawn.append(tuple(field[goes_on] for field in (self.row, onset, pitch, duration)))
            self._hear(wait, onset, pitch, duration)
        return _together(drawn, beginning, len(uniform), uniform.device)

    def _begin(self, beginning: Notes | None, most: int) -> None:
        batch, device = len(self.row), self.row.device
        nothing = torch.zeros(batch, 0, dtype=torch.int64, device=device)
        notes = beginning or Notes(nothing, nothing, nothing, torch.zeros_like(self.row))
        past = Past.of(notes)
        places = torch.arange(past.onset.shape[1] + most, device=device)
        is_note = (places <= notes.count[:, None]) | (places >= past.onset.shape[1])
        width = self.decoder.width
        self.memories = [
            Memory(self.conditions[0], is_note, block.heads, width // block.heads) for block in self.decoder.blocks
        ]
        self.free_from = torch.zeros(batch, self.decoder.pitches, dtype=torch.int64, device=device)
        ends = notes.onset + notes.duration + 1
        present = torch.arange(notes.onset.shape[1], device=device) < notes.count[:, None]
        self.free_from.scatter_reduce_(1, notes.pitch, torch.where(present, ends, 0), "amax")
        state = self._states(past)
        last = notes.count[:, None]
        self.state = state.gather(1, last[..., None].expand(-1, -1, state.shape[2]))
        self.onset, self.pitch = past.onset.gather(1, last)[:, 0], past.pitch.gather(1, last)[:, 0]

    def _states(self, past: Past) -> Tensor:
        """What the blocks make of the notes of `past` (B, N), which the memory keeps."""
        decoder = self.decoder
        # Training shows no note beyond the end of a window.
        past = past._replace(duration=torch.minimum(past.duration, self.n_frames - past.onset))
        state, rotation = decoder.embed(past), decoder.rotate(past)
        here = decoder.stretch_of(past.onset, self.n_stretches)
        for block, condition, memory in zip(decoder.blocks, self.conditions, self.memories, strict=False):
            state = block(state, at(condition, here), rotation, memory)
        return state

    def _draw_onset(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Wait and onset of the next note, (b,); an onset beyond the end where there is none."""
        decoder, onset = self.decoder, self.onset
        here = decoder.stretch_of(onset, self.n_stretches)[:, None]
        logits = decoder.wait_head(self.state, at(self.conditions[-3], here))[:, 0]
        keys = torch.arange(1, decoder.pitches + 1, device=onset.device)
        highest_free = ((self.free_from <= onset[:, None]) * keys).amax(1) - 1
        first_free = torch.maximum(self.free_from.amin(1), onset + 1)
        allowed = allowed_waits(onset, self.pitch, highest_free, first_free, self.n_frames, decoder.horizon)
        waits = torch.arange(decoder.horizon + 1, device=onset.device)
        to_end, to_first = self.n_frames - onset[:, None], self.first_frame - onset[:, None]
        logits = self._tempered(logits).masked_fill(~allowed | (waits < to_first), -torch.inf)
        # All waits beyond the end are one answer.
        beyond = logits.masked_fill(waits < to_end, -torch.inf).logsumexp(1, keepdim=True)
        closing = torch.where(waits == to_end.clamp(0, decoder.horizon), beyond, -torch.inf)
        wait = choose(torch.where(waits < to_end, logits, closing), numbers, self.playing)
        return wait, onset + wait

    def _draw_note(self, wait: Tensor, onset: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Pitch and duration of notes at `onset`, (b,) each."""
        decoder = self.decoder
        there = decoder.stretch_of(onset, self.n_stretches)[:, None]
        told_pitch, told_duration = decoder.told(wait[:, None], onset[:, None])
        logits = decoder.pitch_head(self.state, at(self.conditions[-2], there), told_pitch)[:, 0]
        allowed = allowed_pitches(self.free_from <= onset[:, None], wait, self.pitch)
        logits = self._tempered(logits).masked_fill(~allowed, -torch.inf)
        pitch = choose(logits, numbers[:, 1], self.playing)
        told_duration = told_duration + decoder.next_pitch(pitch[:, None])
        logits = decoder.duration_head(self.state, at(self.conditions[-1], there), told_duration)[:, 0]
        return pitch, choose(self._tempered(logits), numbers[:, 2], self.playing) + 1

    def _tempered(self, logits: Tensor) -> Tensor:
        return logits / (self.playing.temperature or 1.0)

    def _hear(self, wait: Tensor, onset: Tensor, pitch: Tensor, duration: Tensor) -> None:
        """Go on from the notes just drawn."""
        self.free_from.scatter_(1, pitch[:, None], (onset + duration + 1)[:, None])
        self.onset, self.pitch = onset, pitch
        self.state = self._states(Past(*(field[:, None] for field in (onset, pitch, duration, wait))))

    def _keep(self, rows: Tensor) -> None:
        """Go on with some of the windows alone, int64 (b,)."""
        self.row, self.free_from, self.state = self.row[rows], self.free_from[rows], self.state[rows]
        self.onset, self.pitch = self.onset[rows], self.pitch[rows]
        self.conditions = [condition[rows] for condition in self.conditions]
        for memory in self.memories:
            memory.keep(rows)


def _together(drawn: list[tuple[Tensor, ...]], beginning: Notes | None, batch: int, device: torch.device) -> Notes:
    """The notes of each roll, those it began with and those drawn in their order, (row, onset, pitch, duration)."""
    parts = list(drawn)
    if beginning is not None:
        present = torch.arange(beginning.onset.shape[1], device=device) < beginning.count[:, None]
        row, note = present.nonzero().unbind(1)
        parts.insert(0, (row, *(field[row, note] for field in beginning[:3])))
    if not parts:
        nothing = torch.zeros(batch, 0, dtype=torch.int64, device=device)
        return Notes(nothing, nothing, nothing, torch.zeros(batch, dtype=torch.int64, device=device))
    row, *fields = (torch.cat(column) for column in zip(*parts, strict=True))
    order = row.argsort(stable=True)
    return Notes.of_rows(row[order], [field[order] for field in fields], batch)

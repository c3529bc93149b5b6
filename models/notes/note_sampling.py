"""Sampling from a note decoder: one note after another, for many windows at once."""

import torch
from torch import Tensor

from ..playing import Playing
from .note_attention import Memory
from .note_decoder import NoteDecoder, Past, allowed_pitches, allowed_waits, gather_rows
from .notes import Notes

NUMBERS_A_NOTE = 3  # uniform numbers for its wait, its pitch and its duration
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

    `uniform` (B, most notes, 3) in [0, 1): a window depends on its own numbers only, and is silent after its last ones.
    `beginning`: notes that the windows start with, with onsets before `first_frame`, the first frame for new notes.
    Durations may reach beyond the end of the window.
    """
    beginning = beginning or Notes.empty(len(condition), condition.device)
    return _Sampler(decoder, condition, n_frames, playing, beginning, first_frame, uniform.shape[1]).sample(uniform)


def choose(logits: Tensor, uniform: Tensor, playing: Playing) -> Tensor:
    """An index for each row of logits (B, n), divided by the temperature already, by `uniform` (B,) in [0, 1)."""
    if not playing.temperature:
        return logits.argmax(1)
    probability = logits.softmax(1)
    if playing.nucleus < 1:
        likeliest, order = probability.sort(1, descending=True)
        likeliest[likeliest.cumsum(1) - likeliest >= playing.nucleus] = 0
        probability = torch.zeros_like(probability).scatter(1, order, likeliest)
    reached = probability.cumsum(1)
    return (reached <= uniform[:, None].to(reached.dtype) * reached[:, -1:]).sum(1).clamp_max(logits.shape[1] - 1)


class _Sampler:
    """State of the windows that are not finished; `row` holds their numbers in the batch."""

    def __init__(
        self, decoder: NoteDecoder, condition: Tensor, n_frames: int, playing: Playing, beginning: Notes,
        first_frame: int, most: int,
    ) -> None:  # fmt: skip
        self.decoder, self.n_frames, self.playing, self.first_frame = decoder, n_frames, playing, first_frame
        self.beginning, self.n_stretches = beginning, condition.shape[1]
        heads = (decoder.wait_head, decoder.pitch_head, decoder.duration_head)
        self.conditions = [layer.condition(condition) for layer in (*decoder.blocks, *heads)]
        device, past = condition.device, Past.of(beginning)
        self.row = torch.arange(len(condition), device=device)
        places = torch.arange(past.onset.shape[1] + most, device=device)
        is_note = (places <= beginning.count[:, None]) | (places >= past.onset.shape[1])
        self.memories = [
            Memory(self.conditions[0], is_note, block.heads, decoder.width // block.heads) for block in decoder.blocks
        ]
        self.free_from = torch.zeros(len(condition), decoder.pitches, dtype=torch.int64, device=device)
        ends = beginning.onset + beginning.duration + 1
        self.free_from.scatter_reduce_(1, beginning.pitch, torch.where(beginning.present(), ends, 0), "amax")
        state = self._states(past)
        last = beginning.count[:, None]
        self.state = state.gather(1, last[..., None].expand(-1, -1, state.shape[2]))
        self.onset, self.pitch = past.onset.gather(1, last)[:, 0], past.pitch.gather(1, last)[:, 0]

    def sample(self, uniform: Tensor) -> Notes:
        notes = [self.beginning.flat()]
        for numbers in uniform.unbind(1):
            wait, onset = self._draw_onset(numbers[self.row, 0])
            continues = onset < self.n_frames
            if not continues.any():
                break
            if continues.sum() <= len(continues) // 2:
                self._keep(continues.nonzero()[:, 0])
                wait, onset, continues = wait[continues], onset[continues], continues[continues]
            numbers = numbers[self.row]
            pitch, duration = self._draw_note(wait, onset, numbers)
            # A finished window stays at its end until `_keep` removes it.
            onset = torch.where(continues, onset, self.n_frames)
            notes.append(tuple(field[continues] for field in (self.row, onset, pitch, duration)))
            self.free_from.scatter_(1, pitch[:, None], (onset + duration + 1)[:, None])
            self.onset, self.pitch = onset, pitch
            self.state = self._states(Past(*(field[:, None] for field in (onset, pitch, duration, wait))))
        row, *fields = (torch.cat(column) for column in zip(*notes, strict=True))
        order = row.argsort(stable=True)
        return Notes.of_rows(row[order], [field[order] for field in fields], len(uniform))

    def _states(self, past: Past) -> Tensor:
        """States after the notes of `past` (B, N), which are added to the memory."""
        decoder = self.decoder
        # In training no note extends beyond the end of a window.
        past = past._replace(duration=torch.minimum(past.duration, self.n_frames - past.onset))
        state, rotation = decoder.embed(past), decoder.rotate(past)
        here = decoder.stretch_of(past.onset, self.n_stretches)
        for block, condition, memory in zip(decoder.blocks, self.conditions, self.memories, strict=False):
            state = block(state, gather_rows(condition, here), rotation, memory)
        return state

    def _draw_onset(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Wait and onset of the next note, (b,); the onset is beyond the end if there is no note."""
        decoder, onset = self.decoder, self.onset
        here = decoder.stretch_of(onset, self.n_stretches)[:, None]
        logits = decoder.wait_head(self.state, gather_rows(self.conditions[-3], here))[:, 0]
        keys = torch.arange(1, decoder.pitches + 1, device=onset.device)
        highest_free = ((self.free_from <= onset[:, None]) * keys).amax(1) - 1
        first_free = torch.maximum(self.free_from.amin(1), onset + 1)
        allowed = allowed_waits(onset, self.pitch, highest_free, first_free, self.n_frames, decoder.horizon)
        waits = torch.arange(decoder.horizon + 1, device=onset.device)
        to_end, to_first = self.n_frames - onset[:, None], self.first_frame - onset[:, None]
        logits = self._tempered(logits).masked_fill(~allowed | (waits < to_first), -torch.inf)
        # All waits beyond the end are one choice.
        beyond = logits.masked_fill(waits < to_end, -torch.inf).logsumexp(1, keepdim=True)
        closing = torch.where(waits == to_end.clamp(0, decoder.horizon), beyond, -torch.inf)
        wait = choose(torch.where(waits < to_end, logits, closing), numbers, self.playing)
        return wait, onset + wait

    def _draw_note(self, wait: Tensor, onset: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Pitch and duration of notes at `onset`, (b,) each."""
        decoder = self.decoder
        there = decoder.stretch_of(onset, self.n_stretches)[:, None]
        for_pitch, for_duration = decoder.onset_features(wait[:, None], onset[:, None])
        logits = decoder.pitch_head(self.state, gather_rows(self.conditions[-2], there), for_pitch)[:, 0]
        allowed = allowed_pitches(self.free_from <= onset[:, None], wait, self.pitch)
        logits = self._tempered(logits).masked_fill(~allowed, -torch.inf)
        pitch = choose(logits, numbers[:, 1], self.playing)
        for_duration = for_duration + decoder.next_pitch(pitch[:, None])
        logits = decoder.duration_head(self.state, gather_rows(self.conditions[-1], there), for_duration)[:, 0]
        return pitch, choose(self._tempered(logits), numbers[:, 2], self.playing) + 1

    def _tempered(self, logits: Tensor) -> Tensor:
        return logits / (self.playing.temperature or 1.0)

    def _keep(self, rows: Tensor) -> None:
        """Drop all windows but `rows`, int64 (b,)."""
        self.row, self.free_from, self.state = self.row[rows], self.free_from[rows], self.state[rows]
        self.onset, self.pitch = self.onset[rows], self.pitch[rows]
        self.conditions = [condition[rows] for condition in self.conditions]
        for memory in self.memories:
            memory.keep(rows)

"""Sampling from a note decoder: one note after another, for many windows at once."""

import torch
from torch import Tensor

from ..playing import Playing
from .note_decoder import NoteDecoder, Past, allowed_pitches, allowed_waits
from .notes import Notes
from .step_decoder import StepDecoder

NUMBERS_A_NOTE = 3  # uniform numbers for its wait, its pitch and its duration
MOST_NOTES = 512  # in a window


@torch.inference_mode()
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


def choose(logits: Tensor, uniform: Tensor, playing: Playing, end: Tensor | None = None) -> Tensor:
    """An index for each row of logits (B, n), divided by the temperature already, by `uniform` (B,) in [0, 1).

    `end` int64 (B,): all choices from there on are one, with index `end`; beyond the last, there are none.
    """
    probability = logits.softmax(1)
    if not playing.temperature or playing.nucleus < 1:
        if end is not None:
            later = torch.arange(logits.shape[1], device=end.device) >= end[:, None]
            together = (probability * later).sum(1, keepdim=True)
            last = end[:, None].clamp_max(logits.shape[1] - 1)
            probability = probability.masked_fill(later, 0).scatter_add(1, last, together)
        if not playing.temperature:
            return probability.argmax(1)
        likeliest, order = probability.sort(1, descending=True)
        likeliest[likeliest.cumsum(1) - likeliest >= playing.nucleus] = 0
        probability = torch.zeros_like(probability).scatter(1, order, likeliest)
    reached = probability.cumsum(1)
    chosen = (reached <= uniform[:, None] * reached[:, -1:]).sum(1).clamp_max_(logits.shape[1] - 1)
    return chosen if end is None else torch.minimum(chosen, end)


class _Sampler:
    """State of the windows that are not finished; `row` holds their numbers in the batch."""

    def __init__(
        self, decoder: NoteDecoder, condition: Tensor, n_frames: int, playing: Playing, beginning: Notes,
        first_frame: int, most: int,
    ) -> None:  # fmt: skip
        self.n_frames, self.playing, self.first_frame, self.beginning = n_frames, playing, first_frame, beginning
        device, past = condition.device, Past.of(beginning)
        self.keys = torch.arange(decoder.pitches, device=device)
        self.row = torch.arange(len(condition), device=device)
        self.free_from = torch.zeros(len(condition), decoder.pitches, dtype=torch.int64, device=device)
        ends = beginning.onset + beginning.duration + 1
        self.free_from.scatter_reduce_(1, beginning.pitch, torch.where(beginning.present(), ends, 0), "amax")
        last = beginning.count[:, None]
        self.onset, self.pitch = past.onset.gather(1, last)[:, 0], past.pitch.gather(1, last)[:, 0]
        self.decoder = StepDecoder(decoder, condition, n_frames, playing.temperature or 1.0)
        self.decoder.begin(past, beginning.count, most)

    def sample(self, uniform: Tensor) -> Notes:
        notes = [self.beginning.flat()]
        for numbers in uniform.to(self.decoder.dtype).unbind(1):
            numbers = numbers[self.row]
            wait = self._draw_wait(numbers[:, 0])
            onset = self.onset + wait
            continues = onset < self.n_frames
            n_left = int(continues.sum())
            if not n_left:
                break
            if n_left < len(onset):
                kept = _first_places(continues, n_left)
                self._keep(kept)
                wait, onset, numbers = wait[kept], onset[kept], numbers[kept]
            pitch, duration = self._draw_note(wait, onset, numbers)
            notes.append((self.row, onset, pitch, duration))
            self.free_from.scatter_(1, pitch[:, None], (onset + duration + 1)[:, None])
            self.onset, self.pitch = onset, pitch
            self.decoder.add(onset, pitch, duration, wait)
        row, *fields = (torch.cat(column) for column in zip(*notes, strict=True))
        order = row.argsort(stable=True)
        return Notes.of_rows(row[order], [field[order] for field in fields], len(uniform))

    def _draw_wait(self, numbers: Tensor) -> Tensor:
        """Wait for the next note, (b,), or until the end of the window if there is no note."""
        onset = self.onset
        free = self.free_from <= onset[:, None]
        can_follow = (free & (self.keys > self.pitch[:, None])).any(1) & (onset >= self.first_frame)
        first_free = torch.maximum(self.free_from.amin(1), onset + 1).clamp_min_(self.first_frame)
        allowed = allowed_waits(onset, can_follow, first_free, self.n_frames, self.decoder.horizon)
        logits = self.decoder.wait_logits().masked_fill_(~allowed, -torch.inf)
        return choose(logits, numbers, self.playing, self.n_frames - onset)

    def _draw_note(self, wait: Tensor, onset: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Pitch and duration of notes at `onset`, (b,) each."""
        self.decoder.choose_onset(wait, onset)
        allowed = allowed_pitches(self.free_from <= onset[:, None], wait, self.pitch)
        logits = self.decoder.pitch_logits().masked_fill_(~allowed, -torch.inf)
        pitch = choose(logits, numbers[:, 1], self.playing)
        return pitch, choose(self.decoder.duration_logits(pitch), numbers[:, 2], self.playing) + 1

    def _keep(self, rows: Tensor) -> None:
        """Drop all windows but `rows`, int64 (b,)."""
        self.row, self.free_from = self.row[rows], self.free_from[rows]
        self.onset, self.pitch = self.onset[rows], self.pitch[rows]
        self.decoder.keep(rows)


def _first_places(continues: Tensor, n: int) -> Tensor:
    """The `n` rows that continue, int64 (n,): those of the first n places keep theirs, the others fill the gaps."""
    rows = torch.arange(n, device=continues.device)
    rows[~continues[:n]] = continues[n:].nonzero()[:, 0] + n
    return rows

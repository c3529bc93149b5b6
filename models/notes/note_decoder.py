"""p(X | z, y) over the notes of a roll: the wait for the next note, its pitch, its duration, each given all before.

What the rules of `models.notes.notes` forbid has no probability, so the probabilities of all rolls of a size sum to
one, and the log-likelihood is of the same event as that of a decoder over cells: nats and bits compare.

A window is a cut out of music that goes on. A wait that leads beyond its end, or a duration, is only known to be at
least so long, and its probability is the sum of all that are (right-censoring, as in the statistics of life spans).
No token stands for the end of a window: what the network knows of music holds for windows of any length, and music can
be continued beyond the end of one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..gru import product_type
from .note_attention import Block, RelativeTimeAndPitch, Rotation
from .notes import Notes

_MIDDLE = 60  # the pitch from which the beginning of a window looks at its notes
_PITCH_CLASSES = 12


class Past(NamedTuple):
    """What stands before each choice, (B, N + 1) each: the last note (at 0 the beginning), in frames and semitones."""

    onset: Tensor
    pitch: Tensor  # -1 at the beginning
    duration: Tensor  # 0 at the beginning
    wait: Tensor  # frames from the note before

    @classmethod
    def of(cls, notes: Notes) -> "Past":
        onset, duration = (F.pad(field, (1, 0)) for field in (notes.onset, notes.duration))
        wait = F.pad(onset.diff(dim=1), (1, 0)).clamp_min(0)
        return cls(onset, F.pad(notes.pitch, (1, 0), value=-1), duration, wait)


class NoteDecoder(nn.Module):
    """Attention over the notes, with three heads. Waits and durations reach up to `horizon` frames, then are "more".

    The condition of a note is that of the stretch of `stretch` frames in which it begins.
    """

    def __init__(
        self,
        pitches: int,
        horizon: int,
        stretch: int,
        condition_size: int,
        width: int,
        depth: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.pitches, self.horizon, self.stretch, self.width = pitches, horizon, stretch, width
        self.wait = nn.Embedding(horizon + 1, width)
        self.pitch = nn.Embedding(pitches, width)
        self.pitch_class = nn.Embedding(_PITCH_CLASSES, width)
        self.duration = nn.Embedding(horizon + 1, width)
        self.place = nn.Embedding(stretch + 1, width)  # within the stretch; the last is the window's first frame
        self.beginning = nn.Parameter(torch.zeros(width))
        self.rotation = RelativeTimeAndPitch(width // heads)
        self.blocks = nn.ModuleList(Block(width, heads, condition_size) for _ in range(depth))
        self.wait_head = Head(width, condition_size, horizon + 1)
        self.pitch_head = Head(width, condition_size, pitches)
        self.duration_head = Head(width, condition_size, horizon + 1)
        self.next_wait = nn.Embedding(horizon + 1, 2 * width)  # for the heads of pitch and duration
        self.next_place = nn.Embedding(stretch + 1, 2 * width)
        self.next_pitch = nn.Embedding(pitches, width)
        for table in (self.wait, self.pitch, self.pitch_class, self.duration, self.place):
            nn.init.normal_(table.weight, std=0.4)
        for table in (self.next_wait, self.next_place, self.next_pitch):
            nn.init.normal_(table.weight, std=0.4)

    def attention_matrices(self) -> list[Tensor]:
        """The weights of the attention and feed-forward layers."""
        return [layer.weight for b in self.blocks for layer in (b.attend, b.attended, b.widen, b.narrow)]

    def embed(self, past: Past) -> Tensor:
        """(B, N, width), of the last note before each choice."""
        first = past.pitch < 0
        pitch = past.pitch.clamp_min(0)
        note = self.pitch(pitch) + self.pitch_class(pitch % _PITCH_CLASSES)
        note = note + self.duration(self._limited(past.duration))
        before = torch.where(first[..., None], self.beginning.to(note.dtype), note)
        state = before + self.wait(self._limited(past.wait)) + self.place(self._place(past.onset))
        return state.to(product_type(state))

    def rotate(self, past: Past) -> Rotation:
        """The angles by which the notes' places turn queries and keys."""
        return self.rotation(past.onset, past.pitch.where(past.pitch >= 0, _MIDDLE))

    def _limited(self, frames: Tensor) -> Tensor:
        return frames.clamp_max(self.horizon)

    def _place(self, onset: Tensor) -> Tensor:
        return torch.where(onset == 0, self.stretch, onset % self.stretch)

    def states(self, past: Past, condition: Tensor, before: Notes | None = None) -> Tensor:
        """What stands before each choice, (B, N, width), of the notes of `past`, and those of the time `before`."""
        if before is None:
            return self._attend(past, condition)
        # Each row: its notes before, then its own beginning and notes; padding last.
        own = torch.arange(past.onset.shape[1], device=past.onset.device) + before.count[:, None]
        earlier = torch.arange(before.onset.shape[1], device=own.device).expand(len(own), -1)
        fields = []
        for field, field_before in zip(past, Past.of(before), strict=True):
            together = field.new_zeros(len(field), earlier.shape[1] + own.shape[1])
            together.scatter_(1, earlier, field_before[:, 1:])
            fields.append(together.scatter_(1, own, field))
        state = self._attend(Past(*fields), condition)
        return state.gather(1, own[..., None].expand(-1, -1, state.shape[2]))

    def _attend(self, past: Past, condition: Tensor) -> Tensor:
        state, rotation = self.embed(past), self.rotate(past)
        here = self.stretch_of(past.onset, condition.shape[1])
        for block in self.blocks:
            state = block(state, at(block.condition(condition), here), rotation)
        return state

    def log_likelihood(
        self,
        condition: Tensor,
        notes: Notes,
        roll: Tensor,
        lengths: Tensor | None = None,
        before: Notes | None = None,
    ) -> Tensor:
        """log p(X | condition) in nats, float32 (B,), of rolls (B, P, T), whose notes are given.

        `condition` (B, stretches, condition size). `lengths` (B,): frames of each roll, where some are shorter than T.
        `before`: notes of the time before, their onsets negative, given which X has that probability; they are cut
        where the roll begins, so that nothing is told of it.
        """
        past = Past.of(notes)
        n_stretches = condition.shape[1]
        n_frames = roll.new_full((len(roll),), roll.shape[2], dtype=torch.int64) if lengths is None else lengths
        n_frames = n_frames[:, None]
        here, state = self.stretch_of(past.onset, n_stretches), self.states(past, condition, before)
        rules = Rules.of(roll, notes, past, n_frames, self.horizon)
        waits = self.wait_head(state, at(self.wait_head.condition(condition), here))
        waits = _precise(waits).masked_fill(~rules.wait, -torch.inf).log_softmax(-1)
        # A wait beyond the end of the window closes it: one for each roll, after its last note.
        last, column = notes.count[:, None, None], torch.arange(self.horizon + 1, device=roll.device)
        to_end = (n_frames - past.onset).gather(1, notes.count[:, None])
        closing = waits.gather(1, last.expand(-1, -1, self.horizon + 1))[:, 0]
        total = closing.masked_fill(column < to_end, -torch.inf).logsumexp(1)
        if notes.onset.shape[1] == 0:
            return total
        wait = (notes.onset - past.onset[:, :-1]).clamp_min(0)
        there = self.stretch_of(notes.onset, n_stretches)
        told_pitch, told_duration = self.told(wait, notes.onset)
        state = state[:, :-1]
        pitches = self.pitch_head(state, at(self.pitch_head.condition(condition), there), told_pitch)
        pitches = _precise(pitches).masked_fill(~rules.pitch, -torch.inf).log_softmax(-1)
        told_duration = told_duration + self.next_pitch(notes.pitch)
        durations = self.duration_head(state, at(self.duration_head.condition(condition), there), told_duration)
        durations = _precise(durations).log_softmax(-1)
        each = (
            _chosen(waits[:, :-1], wait) + _chosen(pitches, notes.pitch)
            + self._duration(durations, notes, n_frames)
        )  # fmt: skip
        place = torch.arange(each.shape[1], device=roll.device)
        return total + each.masked_fill(place >= notes.count[:, None], 0.0).sum(1)

    def told(self, wait: Tensor, onset: Tensor) -> list[Tensor]:
        """What the heads of pitch and of duration are told of the next note's onset, (B, N, width) each."""
        return list((self.next_wait(self._limited(wait)) + self.next_place(self._place(onset))).chunk(2, dim=-1))

    def _duration(self, durations: Tensor, notes: Notes, n_frames: Tensor) -> Tensor:
        """log p of each note's duration, (B, N), from log-probabilities (B, N, horizon + 1) of 1, 2, ..., more."""
        each = _chosen(durations, (notes.duration - 1).clamp(0, self.horizon))
        row, note = ((notes.onset + notes.duration == n_frames) & (notes.duration > 0)).nonzero().unbind(1)
        shorter = torch.arange(self.horizon + 1, device=each.device) < notes.duration[row, note, None] - 1
        at_least = durations[row, note].masked_fill(shorter, -torch.inf).logsumexp(-1)
        return each.index_put((row, note), at_least)

    def stretch_of(self, onset: Tensor, n_stretches: int) -> Tensor:
        """The stretch in which a frame lies."""
        return (onset // self.stretch).clamp(0, n_stretches - 1)


class Head(nn.Module):
    """A small network from the state, its condition and what has been chosen already to logits."""

    def __init__(self, width: int, condition_size: int, n_choices: int) -> None:
        super().__init__()
        self.condition = nn.Linear(condition_size, width)
        self.hidden = nn.Linear(width, width)
        self.choices = nn.Linear(width, n_choices)
        nn.init.zeros_(self.choices.weight)

    def forward(self, state: Tensor, condition: Tensor, told: Tensor | None = None) -> Tensor:
        """Logits (B, N, n_choices). `state`, what `condition` makes of the condition, `told`: (B, N, width) each."""
        hidden = self.hidden(F.rms_norm(state, state.shape[-1:])) + condition
        return self.choices(F.relu(hidden if told is None else hidden + told).square())


class Rules(NamedTuple):
    """What the notes so far leave open for the next, as masks over choices."""

    wait: Tensor
    pitch: Tensor

    @classmethod
    def of(cls, roll: Tensor, notes: Notes, past: Past, n_frames: Tensor, horizon: int) -> "Rules":
        """For every note of rolls (B, P, T), and for their ends: bool (B, N + 1, horizon + 1) and (B, N, P).

        `n_frames` (B, 1): how long each roll is.
        """
        longest, rows = roll.shape[2], torch.arange(len(roll), device=roll.device)[:, None]
        sounding = (roll != 0).transpose(1, 2)  # (B, T, P)
        silent_before = ~F.pad(sounding[:, :-1], (0, 0, 1, 0))
        keys = torch.arange(1, roll.shape[1] + 1, dtype=torch.int16, device=roll.device)
        highest_free = (silent_before * keys).amax(2).long() - 1  # (B, T)
        # Only after all keys have begun to sound is there a frame, or more, in which none can begin.
        full = sounding.all(2)
        after = torch.arange(1, longest + 1, device=roll.device)
        first_not_full = torch.where(full, longest, after - 1).flip(1).cummin(1).values.flip(1)
        first_free = torch.where(full, F.pad(first_not_full[:, 1:], (0, 1), value=longest) + 1, after)
        following = F.pad(notes.onset, (0, 1)).scatter(1, notes.count[:, None], longest)
        last_of_frame = (following != past.onset) & (past.pitch >= 0)
        first_free = torch.where(last_of_frame, first_free[rows, past.onset], past.onset + 1)
        waits = allowed_waits(past.onset, past.pitch, highest_free[rows, past.onset], first_free, n_frames, horizon)
        wait = notes.onset - past.onset[:, :-1]
        pitches = allowed_pitches(silent_before[rows, notes.onset], wait, past.pitch[:, :-1])
        padding = torch.arange(pitches.shape[1], device=roll.device) >= notes.count[:, None]
        return cls(waits, pitches | padding[..., None])


def allowed_waits(
    onset: Tensor, pitch: Tensor, highest_free: Tensor, first_free: Tensor, n_frames: Tensor | int, horizon: int
) -> Tensor:
    """Waits after a note at `onset` and `pitch`, bool (..., horizon + 1), that lead to a frame with a key to begin in.

    `highest_free`: the highest key that can begin in the same frame; `first_free`: the first frame after it in which
    any key can. Whatever leads beyond the end, `n_frames`, is allowed.
    """
    wait = torch.arange(horizon + 1, device=onset.device)
    to_end = (n_frames - onset)[..., None]
    allowed = (onset[..., None] + wait >= first_free[..., None]) | (wait >= to_end)
    allowed[..., 0] = highest_free > pitch
    return allowed


def allowed_pitches(free: Tensor, wait: Tensor, pitch: Tensor) -> Tensor:
    """Keys that may begin `wait` frames after one at `pitch`: `free` ones (..., P), and if at once those above it."""
    keys = torch.arange(free.shape[-1], device=free.device)
    return free & ((wait[..., None] != 0) | (keys > pitch[..., None]))


def _precise(logits: Tensor) -> Tensor:
    """At least in float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _chosen(log_probabilities: Tensor, index: Tensor) -> Tensor:
    return log_probabilities.gather(-1, index[..., None])[..., 0]


def at(values: Tensor, place: Tensor) -> Tensor:
    """The values (B, n, size) at a place of each row, int64 (B, N), as (B, N, size)."""
    rows = torch.arange(len(values), device=values.device)[:, None] * values.shape[1]
    # As a table look-up, whose derivative is faster than an index's.
    return F.embedding(rows + place, values.flatten(0, 1))

"""p(X | z, y) over the notes of a roll: the wait for the next note, its pitch, its duration, each given all before.

Choices that the rules of `models.notes.notes` forbid have probability 0. So the probabilities of all rolls of a size
sum to one, and the log-likelihood is comparable with that of a decoder over cells.

A window is an excerpt of longer music. A wait or a duration that reaches beyond its end is right-censored: it is known
to be at least so long, and its probability is the sum over all longer values. No token marks the end of a window, so
the network works for windows of any length, and music can be continued beyond the end.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..compiling import compilable
from ..dropout import Masks, RowDropout
from ..gru import product_type
from .note_attention import Block, RelativeTimeAndPitch, Rotation
from .notes import Notes

_MIDDLE = 60  # pitch of the window's beginning, for the rotary angles
_PITCH_CLASSES = 12


class Past(NamedTuple):
    """The last note before each choice, (B, N + 1) each, in frames and semitones; index 0 is the beginning."""

    onset: Tensor
    pitch: Tensor  # -1 at the beginning
    duration: Tensor  # 0 at the beginning
    wait: Tensor  # frames since the note before

    @classmethod
    def of(cls, notes: Notes) -> "Past":
        onset, duration = (F.pad(field, (1, 0)) for field in (notes.onset, notes.duration))
        wait = F.pad(onset.diff(dim=1), (1, 0)).clamp_min(0)
        return cls(onset, F.pad(notes.pitch, (1, 0), value=-1), duration, wait)


class Choices(NamedTuple):
    """Log-probabilities in nats, float32: of each note's choices (B, N), which mean nothing in the padding.

    `end` (B,): that no further note begins in the roll.
    """

    wait: Tensor
    pitch: Tensor
    duration: Tensor
    end: Tensor


class NoteDecoder(nn.Module):
    """Attention over the notes, with heads for wait, pitch and duration.

    The largest class of waits and durations means more than `horizon` frames. There is one condition for each `stretch`
    of frames; a note has that of the stretch in which it begins.
    """

    def __init__(
        self, pitches: int, horizon: int, stretch: int, condition_size: int, width: int, depth: int, heads: int
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
        self.dropout = RowDropout()  # of what each part of a block adds; training sets the share
        self.blocks = nn.ModuleList(Block(width, heads, condition_size) for _ in range(depth))
        self.wait_head = Head(width, condition_size, horizon + 1)
        self.pitch_head = Head(width, condition_size, pitches)
        self.duration_head = Head(width, condition_size, horizon + 1)
        self.next_wait = nn.Embedding(horizon + 1, 2 * width)  # for the heads of pitch and of duration
        self.next_place = nn.Embedding(stretch + 1, 2 * width)
        self.next_pitch = nn.Embedding(pitches, width)
        for table in (self.wait, self.pitch, self.pitch_class, self.duration, self.place):
            nn.init.normal_(table.weight, std=0.4)
        for table in (self.next_wait, self.next_place, self.next_pitch):
            nn.init.normal_(table.weight, std=0.4)

    def embed(self, past: Past) -> Tensor:
        """Embeddings (B, N, width) of the last note before each choice."""
        first = past.pitch < 0
        note = self.embed_pitch(past.pitch.clamp_min(0)) + self.duration(self._limited(past.duration))
        before = torch.where(first[..., None], self.beginning.to(note.dtype), note)
        state = before + self.wait(self._limited(past.wait)) + self.place(self.place_of(past.onset))
        return state.to(product_type(state))

    def embed_pitch(self, pitch: Tensor) -> Tensor:
        """The part of the embeddings that depends on pitches, of any shape."""
        return self.pitch(pitch) + self.pitch_class(pitch % _PITCH_CLASSES)

    def rotate(self, past: Past) -> Rotation:
        """Rotary angles of the notes, by onset and pitch."""
        return self.rotation(past.onset, past.pitch.where(past.pitch >= 0, _MIDDLE))

    def _limited(self, frames: Tensor) -> Tensor:
        return frames.clamp_max(self.horizon)

    def place_of(self, onset: Tensor) -> Tensor:
        """Index of each onset in the tables of places."""
        return torch.where(onset == 0, self.stretch, onset % self.stretch)

    def states(self, past: Past, condition: Tensor, before: Notes | None = None, masks: Masks | None = None) -> Tensor:
        """States (B, N, width) before each choice, with `before` as earlier notes."""
        if before is None:
            return self._attend(past, condition, masks)
        # Each row: the earlier notes, then its own beginning and notes, then padding.
        own = torch.arange(past.onset.shape[1], device=past.onset.device) + before.count[:, None]
        earlier = torch.arange(before.onset.shape[1], device=own.device).expand(len(own), -1)
        fields = []
        for field, field_before in zip(past, Past.of(before), strict=True):
            together = field.new_zeros(len(field), earlier.shape[1] + own.shape[1])
            together.scatter_(1, earlier, field_before[:, 1:])
            fields.append(together.scatter_(1, own, field))
        state = self._attend(Past(*fields), condition, masks)
        return state.gather(1, own[..., None].expand(-1, -1, state.shape[2]))

    def _attend(self, past: Past, condition: Tensor, masks: Masks | None) -> Tensor:
        state, rotation = self.embed(past), self.rotate(past)
        here = self.stretch_of(past.onset, condition.shape[1])
        for number, block in enumerate(self.blocks):
            scales = gather_rows(block.condition(condition), here)
            state = block(state, scales, rotation, masks=masks, layer=2 * number)
        return state

    @compilable
    def log_likelihood(
        self, condition: Tensor, notes: Notes, roll: Tensor, lengths: Tensor | None = None,
        before: Notes | None = None, masks: Masks | None = None,
    ) -> Tensor:  # fmt: skip
        """log p(X | condition) in nats, float32 (B,), of rolls (B, P, T) with their `notes`.

        `condition` (B, stretches, condition size). `lengths` (B,): frames of each roll, if some are shorter than T.
        `before`: context, i.e. preceding notes with negative onsets, truncated at frame 0 so that they do not reveal
        the roll.
        """
        choices = self.choices(condition, notes, roll, lengths, before, masks)
        each = choices.wait + choices.pitch + choices.duration
        return choices.end + each.masked_fill(~notes.present(), 0.0).sum(1)

    def choices(
        self, condition: Tensor, notes: Notes, roll: Tensor, lengths: Tensor | None = None,
        before: Notes | None = None, masks: Masks | None = None,
    ) -> "Choices":  # fmt: skip
        """Log-probability of every choice that makes the rolls; the arguments are those of `log_likelihood`."""
        past = Past.of(notes)
        n_stretches = condition.shape[1]
        n_frames = roll.new_full((len(roll),), roll.shape[2], dtype=torch.int64) if lengths is None else lengths
        n_frames = n_frames[:, None]
        here, state = self.stretch_of(past.onset, n_stretches), self.states(past, condition, before, masks)
        rules = Rules.of(roll, notes, past, n_frames, self.horizon)
        waits = self.wait_head(state, gather_rows(self.wait_head.condition(condition), here))
        waits = _precise(waits).masked_fill(~rules.wait, -torch.inf).log_softmax(-1)
        # After its last note each roll has one wait beyond the end of the window.
        last, column = notes.count[:, None, None], torch.arange(self.horizon + 1, device=roll.device)
        to_end = (n_frames - past.onset).gather(1, notes.count[:, None])
        closing = waits.gather(1, last.expand(-1, -1, self.horizon + 1))[:, 0]
        end = closing.masked_fill(column < to_end, -torch.inf).logsumexp(1)
        wait = (notes.onset - past.onset[:, :-1]).clamp_min(0)
        there = self.stretch_of(notes.onset, n_stretches)
        for_pitch, for_duration = self.onset_features(wait, notes.onset)
        state = state[:, :-1]
        pitches = self.pitch_head(state, gather_rows(self.pitch_head.condition(condition), there), for_pitch)
        pitches = _precise(pitches).masked_fill(~rules.pitch, -torch.inf).log_softmax(-1)
        for_duration = for_duration + self.next_pitch(notes.pitch)
        of_duration = gather_rows(self.duration_head.condition(condition), there)
        durations = self.duration_head(state, of_duration, for_duration)
        durations = _precise(durations).log_softmax(-1)
        duration = self._duration(durations, notes, n_frames)
        return Choices(_chosen(waits[:, :-1], wait), _chosen(pitches, notes.pitch), duration, end)

    def onset_features(self, wait: Tensor, onset: Tensor) -> list[Tensor]:
        """Features of the next note's onset for the heads of pitch and of duration, (B, N, width) each."""
        return list((self.next_wait(self._limited(wait)) + self.next_place(self.place_of(onset))).chunk(2, dim=-1))

    def _duration(self, durations: Tensor, notes: Notes, n_frames: Tensor) -> Tensor:
        """log p (B, N) of each note's duration, from log-probabilities (B, N, horizon + 1) of 1, 2, ..., more."""
        to_end = (notes.onset + notes.duration == n_frames)[..., None]
        column, duration = torch.arange(self.horizon + 1, device=durations.device), notes.duration[..., None] - 1
        possible = (column == duration.clamp(0, self.horizon)) | (to_end & (column >= duration))
        return durations.masked_fill(~possible, -torch.inf).logsumexp(-1)

    def stretch_of(self, onset: Tensor, n_stretches: int) -> Tensor:
        """The number of the stretch that contains each onset."""
        return (onset // self.stretch).clamp(0, n_stretches - 1)


class Head(nn.Module):
    """A small network from the state, its condition and features of earlier choices to logits."""

    def __init__(self, width: int, condition_size: int, n_choices: int) -> None:
        super().__init__()
        self.condition = nn.Linear(condition_size, width)
        self.hidden = nn.Linear(width, width)
        self.choices = nn.Linear(width, n_choices)
        nn.init.zeros_(self.choices.weight)

    def forward(self, state: Tensor, condition: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Logits (B, N, n_choices). `state`, `condition` after its layer, `chosen`: (B, N, width) each."""
        hidden = self.hidden(F.rms_norm(state, state.shape[-1:])) + condition
        return self.choices(F.relu(hidden if chosen is None else hidden + chosen).square())


class Rules(NamedTuple):
    """Masks of the allowed choices, given the notes so far."""

    wait: Tensor
    pitch: Tensor

    @classmethod
    def of(cls, roll: Tensor, notes: Notes, past: Past, n_frames: Tensor, horizon: int) -> "Rules":
        """Waits bool (B, N + 1, horizon + 1), the last for the end of the roll, and pitches (B, N, P).

        Of rolls (B, P, T) with lengths `n_frames` (B, 1).
        """
        longest, rows = roll.shape[2], torch.arange(len(roll), device=roll.device)[:, None]
        sounding = (roll != 0).transpose(1, 2)  # (B, T, P)
        silent_before = ~F.pad(sounding[:, :-1], (0, 0, 1, 0))
        keys = torch.arange(1, roll.shape[1] + 1, dtype=torch.int16, device=roll.device)
        highest_free = (silent_before * keys).amax(2).long() - 1  # (B, T)
        # Frames in which no key can begin occur only after all keys sound.
        full = sounding.all(2)
        after = torch.arange(1, longest + 1, device=roll.device)
        first_not_full = torch.where(full, longest, after - 1).flip(1).cummin(1).values.flip(1)
        first_free = torch.where(full, F.pad(first_not_full[:, 1:], (0, 1), value=longest) + 1, after)
        following = F.pad(notes.onset, (0, 1)).scatter(1, notes.count[:, None], longest)
        last_of_frame = (following != past.onset) & (past.pitch >= 0)
        first_free = torch.where(last_of_frame, first_free[rows, past.onset], past.onset + 1)
        can_follow = highest_free[rows, past.onset] > past.pitch
        waits = allowed_waits(past.onset, can_follow, first_free, n_frames, horizon)
        wait = notes.onset - past.onset[:, :-1]
        pitches = allowed_pitches(silent_before[rows, notes.onset], wait, past.pitch[:, :-1])
        return cls(waits, pitches | ~notes.present()[..., None])


def allowed_waits(
    onset: Tensor, can_follow: Tensor, first_free: Tensor, n_frames: Tensor | int, horizon: int
) -> Tensor:
    """Mask (..., horizon + 1) of waits after a note at `onset` to a frame in which some key can begin.

    `can_follow`: whether a higher key can begin in the same frame. `first_free`: the first later frame in which any key
    can begin. Waits beyond the end, `n_frames`, are allowed.
    """
    wait = torch.arange(horizon + 1, device=onset.device)
    allowed = wait >= (first_free.clamp_max(n_frames) - onset)[..., None]
    allowed[..., 0] = can_follow
    return allowed


def allowed_pitches(free: Tensor, wait: Tensor, pitch: Tensor) -> Tensor:
    """Mask (..., P) of keys that may begin `wait` frames after `pitch`: `free`, and above `pitch` if `wait` is 0."""
    keys = torch.arange(free.shape[-1], device=free.device)
    return free & ((wait[..., None] != 0) | (keys > pitch[..., None]))


def _precise(logits: Tensor) -> Tensor:
    """Logits in float32 or higher precision."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _chosen(log_probabilities: Tensor, index: Tensor) -> Tensor:
    return log_probabilities.gather(-1, index[..., None])[..., 0]


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """For each b and i, values[b, index[b, i]], (B, N, size), of values (B, n, size) and index int64 (B, N)."""
    first = torch.arange(len(values), device=values.device)[:, None] * values.shape[1]
    # The gradient of an embedding look-up is faster than that of an index.
    return F.embedding(first + index, values.flatten(0, 1))

"""A note decoder that takes one note of each window at a time, for sampling.

It computes what `NoteDecoder` computes for whole windows, with far fewer operations: the time of a step is theirs and
that of reading the weights, not that of the arithmetic. What depends on conditions, onsets and pitches only is computed
once and looked up; the hidden layers of the three heads are one product.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .note_attention import Block, Rotation, attend_to_past
from .note_decoder import Head, NoteDecoder, Past

_FIRST_PLACES = 64  # initial capacity of the memory, in notes


class _Layer(NamedTuple):
    """Weights of a block, (inputs, outputs) each.

    The two numbers that a rotation mixes are neighbours in queries and keys, so that it is a complex product.
    """

    attend: Tensor
    attended: Tensor
    widen: Tensor
    narrow: Tensor

    @classmethod
    def of(cls, block: Block) -> "_Layer":
        width = block.attended.in_features
        rotated, values = block.attend.weight.split((2 * width, width))
        rotated = rotated.view(2 * block.heads, 2, -1, width).transpose(1, 2).reshape(2 * width, width)
        others = (layer.weight.T for layer in (block.attended, block.widen, block.narrow))
        return cls(torch.cat([rotated, values]).T, *others)


class StepDecoder:
    """A `NoteDecoder` under conditions (B, stretches, condition size), for windows of `n_frames` frames.

    It has no gradients. `begin` comes first, then for each note `wait_logits`, `choose_onset`, `pitch_logits`,
    `duration_logits` and `add`. `keep` removes windows. Logits are divided by `temperature`.
    """

    def __init__(self, decoder: NoteDecoder, condition: Tensor, n_frames: int, temperature: float = 1.0) -> None:
        self.decoder, self.n_frames = decoder, n_frames
        self.horizon, self.dtype = decoder.horizon, condition.dtype
        self.heads, self.n_stretches = decoder.blocks[0].heads, condition.shape[1]
        self.layers = [_Layer.of(block) for block in decoder.blocks]
        heads = decoder.wait_head, decoder.pitch_head, decoder.duration_head
        self._prepare_conditions(condition, heads)
        self._prepare_tables(condition.device)
        self.hidden_weight = torch.cat([head.hidden.weight for head in heads]).T * decoder.width**0.5
        self.hidden_bias = torch.cat([head.hidden.bias for head in heads])
        self.choices = [(head.choices.bias / temperature, head.choices.weight.T / temperature) for head in heads]

    def _prepare_conditions(self, condition: Tensor, heads: tuple[Head, Head, Head]) -> None:
        """Outputs of the condition layers, one row for each stretch of each window."""
        scales = torch.stack([block.condition(condition) for block in self.decoder.blocks], dim=2)
        # RMS normalisation is division by the length, times the root of the width.
        scales.unflatten(3, (4, -1))[:, :, :, ::2].add_(1).mul_(self.decoder.width**0.5)
        for_wait, *for_note = (head.condition(condition) for head in heads)
        self.at_state = torch.cat([scales.flatten(2), for_wait], dim=2).flatten(0, 1)
        self.at_note = torch.cat(for_note, dim=2).flatten(0, 1)
        self.first_stretch = torch.arange(len(condition), device=condition.device) * self.n_stretches

    def _prepare_tables(self, device: torch.device) -> None:
        """Embeddings and rotations by onset, pitch, duration and wait."""
        decoder, frames = self.decoder, torch.arange(self.n_frames, device=device)
        place, pitches = decoder.place_of(frames), torch.arange(decoder.pitches, device=device)
        self.of_wait, self.of_duration = decoder.wait.weight, decoder.duration.weight
        self.of_onset, self.of_pitch = decoder.place(place), decoder.embed_pitch(pitches)
        self.next_wait, self.next_pitch = decoder.next_wait.weight, decoder.next_pitch.weight
        self.next_onset = decoder.next_place(place)
        self.stretch_of_onset = decoder.stretch_of(frames, self.n_stretches)
        # Angles of frame 0 and pitch 0 are 0: the product of both rotations is that of onset and pitch.
        self.turn_of_onset = _turns(decoder.rotation(frames[None], torch.zeros_like(frames)[None]))[0]
        self.turn_of_pitch = _turns(decoder.rotation(torch.zeros_like(pitches)[None], pitches[None]))[0]

    def begin(self, past: Past, count: Tensor, most: int) -> None:
        """Take the beginnings of windows: `count` int64 (B,) notes of each. At most `most` notes follow."""
        batch, n = past.onset.shape
        places = torch.arange(n + most, device=count.device)
        is_note = (places <= count[:, None]) | (places >= n)
        self.visible = None if n == 1 else is_note[:, None, None]
        size = len(self.layers), 2, batch, self.heads, min(n + most, _FIRST_PLACES), self.turn_of_onset.shape[1] * 2
        self.memory, self.length = self.of_onset.new_empty(size), 0
        past = past._replace(duration=self._within(past.onset, past.duration))
        at = self.first_stretch[:, None] + self.decoder.stretch_of(past.onset, self.n_stretches)
        turns = _turns(self.decoder.rotate(past))
        conditions = self.at_state[at.flatten()]
        states = self._states(self.decoder.embed(past).flatten(0, 1), conditions, turns.flatten(0, 1), n)
        last = torch.arange(batch, device=count.device) * n + count
        self._set_hidden(states[last], conditions[last])

    def wait_logits(self) -> Tensor:
        """Logits (b, horizon + 1) of the wait for the next note."""
        return self._logits(0, self.hidden[0])

    def choose_onset(self, wait: Tensor, onset: Tensor) -> None:
        """Set the next note's onset, int64 (b,) each."""
        self.stretch = self.first_stretch + self.stretch_of_onset.index_select(0, onset)
        features = self.next_wait.index_select(0, wait) + self.next_onset.index_select(0, onset)
        features += self.at_note.index_select(0, self.stretch)
        self.for_note = features.add_(self.hidden[1]).chunk(2, dim=1)

    def pitch_logits(self) -> Tensor:
        """Logits (b, pitches) of its pitch."""
        return self._logits(1, self.for_note[0])

    def duration_logits(self, pitch: Tensor) -> Tensor:
        """Logits (b, horizon + 1) of its duration less 1, given its pitch, int64 (b,)."""
        return self._logits(2, self.for_note[1] + self.next_pitch.index_select(0, pitch))

    def add(self, onset: Tensor, pitch: Tensor, duration: Tensor, wait: Tensor) -> None:
        """Add the note with the chosen onset to each window, int64 (b,) each."""
        within = self._within(onset, duration).clamp_max_(self.horizon)
        state = self.of_pitch.index_select(0, pitch) + self.of_duration.index_select(0, within)
        state += self.of_wait.index_select(0, wait)
        state += self.of_onset.index_select(0, onset)
        turns = self.turn_of_onset.index_select(0, onset) * self.turn_of_pitch.index_select(0, pitch)
        conditions = self.at_state.index_select(0, self.stretch)
        self._set_hidden(self._states(state, conditions, turns, n=1), conditions)

    def keep(self, rows: Tensor) -> None:
        """Keep n windows `rows`, int64 (n,): each in its own place, or from a place after the first n."""
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        self.memory[:, :, moved, :, : self.length] = self.memory[:, :, rows[moved], :, : self.length]
        self.memory = self.memory[:, :, : len(rows)]
        self.visible = None if self.visible is None else self.visible[rows]
        self.first_stretch, self.hidden = self.first_stretch[rows], [part[rows] for part in self.hidden]

    def _within(self, onset: Tensor, duration: Tensor) -> Tensor:
        """In training no note extends beyond the end of a window."""
        return torch.minimum(duration, self.n_frames - onset)

    def _states(self, states: Tensor, conditions: Tensor, turns: Tensor, n: int) -> Tensor:
        """States (b * n, width) after `n` notes of each window, from embeddings, rows of `at_state` and rotations.

        The notes' keys and values are added to the memory.
        """
        batch, width = len(self.first_stretch), self.decoder.width
        size, end = width // self.heads, self.length + n
        while end > self.memory.shape[4]:
            self.memory = torch.cat([self.memory, torch.empty_like(self.memory)], dim=4)
        turns, visible = turns[:, None, None], None if self.visible is None else self.visible[..., :end]
        of_layers = conditions.split(4 * width, dim=1)
        for layer, scales, memory in zip(self.layers, of_layers, self.memory.unbind(), strict=False):
            scale_attention, shift_attention, scale_feed, shift_feed = scales.chunk(4, dim=1)
            projected = torch.mm(_modulated(states, scale_attention, shift_attention), layer.attend)
            rotated = projected.narrow(1, 0, 2 * width).view(-1, 2, self.heads, size // 2, 2)
            torch.view_as_complex(rotated).mul_(turns)
            of_heads = projected.view(batch, n, 3, self.heads, size).permute(2, 0, 3, 1, 4)
            memory.narrow(3, self.length, n).copy_(of_heads.narrow(0, 1, 2))
            # A single note attends to the whole memory. Several notes come at the beginning, with causal attention.
            if n == 1:
                keys, values = memory.narrow(3, 0, end).unbind()
                mixed = F.scaled_dot_product_attention(of_heads[0], keys, values, visible)
            else:
                mixed = attend_to_past(*of_heads)
            states = torch.addmm(states, mixed.transpose(1, 2).reshape(len(states), width), layer.attended)
            fed = torch.mm(_modulated(states, scale_feed, shift_feed), layer.widen)
            states = torch.addmm(states, fed.relu_().square_(), layer.narrow)
        self.length = end
        return states

    def _set_hidden(self, states: Tensor, conditions: Tensor) -> None:
        """Set the hidden layers of the heads, for the wait with its condition, from states after the last note."""
        width = self.decoder.width
        hidden = torch.addmm(self.hidden_bias, _unit(states), self.hidden_weight)
        self.hidden = [hidden[:, :width] + conditions[:, -width:], hidden[:, width:]]

    def _logits(self, head: int, hidden: Tensor) -> Tensor:
        bias, weight = self.choices[head]
        return torch.addmm(bias, hidden.relu().square_(), weight)


def _modulated(vectors: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Vectors of length 1, scaled and shifted; all of one shape (n, width)."""
    return torch.addcmul(shift, _unit(vectors), scale)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (n, width) of length 1."""
    return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)


def _turns(rotation: Rotation) -> Tensor:
    """Rotations as complex numbers, (B, N, head size / 2)."""
    return torch.complex(*rotation)[:, 0]

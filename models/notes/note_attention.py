"""Causal attention over notes with relative time and pitch, conditioned in every layer."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..dropout import Masks, dropped

# Wavelengths of the slowest and the fastest rotation, in frames or semitones, divided by 2 pi.
_SLOWEST, _FASTEST = 200.0, 1.0
_FEED_FORWARD = 3  # width of the feed-forward layer, in widths


class Rotation(NamedTuple):
    """Cosine and sine, (B, 1, N, head size / 2) each, of the rotary angles of queries and keys."""

    cosine: Tensor
    sine: Tensor


class RelativeTimeAndPitch(nn.Module):
    """Rotary angles (Su et al. 2021) of two positions: half of each head rotates with the onset, half with the pitch.

    The product of a query and a key then depends on the distance of two notes in frames and semitones only: a phrase
    has the same products at another time and in another key.
    """

    def __init__(self, head_size: int) -> None:
        super().__init__()
        if head_size % 4:
            raise ValueError(f"the width of an attention head must be a multiple of 4, but is {head_size}")
        ratio = _SLOWEST / _FASTEST
        speed = ratio ** -torch.linspace(0, 1, head_size // 4, dtype=torch.float64) / _FASTEST
        self.register_buffer("speed", speed.float(), persistent=False)

    def forward(self, onset: Tensor, pitch: Tensor) -> Rotation:
        """Angles for onsets in frames and pitches in semitones, (B, N) each."""
        places = torch.stack([onset, pitch], dim=-1).to(self.speed.dtype)
        angle = (places[..., None] * self.speed).flatten(2)[:, None]
        return Rotation(angle.cos(), angle.sin())


def rotate(vectors: Tensor, rotation: Rotation) -> Tensor:
    """Queries or keys (B, heads, N, head size), rotated by the angles of their notes."""
    first, second = vectors.chunk(2, dim=-1)
    cosine, sine = (part.to(vectors.dtype) for part in rotation)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class Block(nn.Module):
    """Attention to the notes so far, then a feed-forward layer; the condition scales and shifts the input of both."""

    def __init__(self, width: int, heads: int, condition_size: int) -> None:
        super().__init__()
        self.heads = heads
        self.condition = nn.Linear(condition_size, 4 * width)
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.attended = nn.Linear(width, width, bias=False)
        self.widen = nn.Linear(width, _FEED_FORWARD * width, bias=False)
        self.narrow = nn.Linear(_FEED_FORWARD * width, width, bias=False)
        # Initially the block is the identity and the condition has no effect.
        for layer in (self.condition, self.attended, self.narrow):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(
        self, notes: Tensor, scales: Tensor, rotation: Rotation, masks: Masks | None = None, layer: int = 0
    ) -> Tensor:
        """(B, N, width) from `notes` (B, N, width) and `scales` (B, N, 4 * width), outputs of the layer `condition`.

        `masks`: dropout of what each part adds; the parts are the layers `layer` and `layer` + 1 of these masks.
        """
        scale_attention, shift_attention, scale_feed, shift_feed = scales.chunk(4, dim=-1)
        attended = self._attention(modulate(notes, scale_attention, shift_attention), rotation)
        notes = notes + dropped(attended, masks, layer)
        fed = modulate(notes, scale_feed, shift_feed)
        return notes + dropped(self.narrow(F.relu(self.widen(fed)).square()), masks, layer + 1)

    def _attention(self, notes: Tensor, rotation: Rotation) -> Tensor:
        batch, n_notes, width = notes.shape
        heads = self.attend(notes).view(batch, n_notes, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        mixed = attend_to_past(rotate(query, rotation), rotate(key, rotation), value)
        return self.attended(mixed.transpose(1, 2).reshape(batch, n_notes, width))


def attention_matrices(model: nn.Module) -> list[Tensor]:
    """The weights of the attention and feed-forward layers, for an optimiser of matrices."""
    blocks = (module for module in model.modules() if isinstance(module, Block))
    return [layer.weight for b in blocks for layer in (b.attend, b.attended, b.widen, b.narrow)]


def attend_to_past(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention; all tensors (B, heads, N, head size).

    Written out for half precision on a CPU: the backward pass of the library's fused form takes up to seven times
    longer there.
    """
    if query.device.type != "cpu" or query.dtype == torch.float32:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    n = query.shape[2]
    future = torch.full((n, n), -torch.inf, dtype=query.dtype, device=query.device).triu(1)
    products = torch.baddbmm(
        future.expand(query.shape[0] * query.shape[1], n, n), query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2),
        alpha=query.shape[3] ** -0.5,
    )  # fmt: skip
    return torch.bmm(products.softmax(-1), value.flatten(0, 1)).view_as(query)


def modulate(vectors: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """RMS-normalised vectors, scaled by 1 + `scale` and shifted; all of one shape."""
    return torch.addcmul(shift, F.rms_norm(vectors, vectors.shape[-1:]), 1 + scale)

"""GRUs that hear tokens: a token's share of the gates is a row of a table, not a product with a vector of 0 and 1."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .gru import FrameGRU


class GRUStep(NamedTuple):
    """One step of a `FrameGRU` of one direction, for loops in which each input depends on the output before.

    `inputs` (3 * hidden, frame size), `constant` (3 * hidden, constant size), `bias` (3 * hidden,): what reaches the
    gates beside the state; `recurrent` (3 * hidden, hidden) and `recurrent_bias` (hidden,), of the new gate.
    """

    inputs: Tensor
    constant: Tensor
    bias: Tensor
    recurrent: Tensor
    recurrent_bias: Tensor

    @classmethod
    def of(cls, gru: FrameGRU) -> "GRUStep":
        recurrent, recurrent_bias = gru.recurrent_weights()
        return cls(*gru.input_weights(), recurrent[0], recurrent_bias[0, :, 0])

    def of_inputs(self, frames: Tensor) -> Tensor:
        """What inputs (n, frame size) add to the gates, (n, 3 * hidden); of all tokens' vectors once: a table."""
        return F.linear(frames, self.inputs)

    def of_constant(self, constant: Tensor) -> Tensor:
        """What constant inputs (n, constant size) and the bias add, (n, 3 * hidden)."""
        return F.linear(constant, self.constant, self.bias)

    def __call__(self, gates: Tensor, state: Tensor) -> Tensor:
        """The next state (B, hidden) from `gates` (B, 3 * hidden), all but the state's share of it, and the state."""
        size = state.shape[1]
        recalled = F.linear(state, self.recurrent)
        reset_update = torch.sigmoid(gates[:, : 2 * size] + recalled[:, : 2 * size])
        reset, update = reset_update.chunk(2, dim=1)
        new = torch.tanh(torch.addcmul(gates[:, 2 * size :], reset, recalled[:, 2 * size :] + self.recurrent_bias))
        return torch.lerp(new, state, update)


class TokenGRU(FrameGRU):
    """A `FrameGRU` whose frames are tokens, int64 (B, T), each as good as a vector of 0 and 1."""

    def forward(self, frames: Tensor, constant: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """As `FrameGRU`, of tokens int64 (B, T)."""
        if frames.device.type != "cpu":
            frames = F.one_hot(frames, self.frame_size).to(self.gru.weight_ih_l0.dtype)
        return super().forward(frames, constant, hidden)

    def _from_frames(self, frames: Tensor, weight: Tensor) -> Tensor:
        return F.embedding(frames, weight.t())

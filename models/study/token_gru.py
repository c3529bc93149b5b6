"""GRUs that hear tokens: a token's share of the gates is a column of a table, no product with a vector of 0 and 1."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..gru import FrameGRU, Steps


class StepWeights(NamedTuple):
    """Weights of a `FrameGRU` of one direction, for loops in which each input depends on the output before.

    `inputs` (3 * hidden, frame size), `constant` (3 * hidden, constant size), `bias` (3 * hidden, 1): what reaches the
    gates beside the state; `recurrent` (1, 3 * hidden, hidden) and `recurrent_bias` (1, hidden, 1), of the new gate.
    """

    inputs: Tensor
    constant: Tensor
    bias: Tensor
    recurrent: Tensor
    recurrent_bias: Tensor

    @classmethod
    def of(cls, gru: FrameGRU) -> "StepWeights":
        inputs, constant, bias = gru.input_weights()
        recurrent, recurrent_bias = gru.recurrent_weights()
        products = gru.product_type(recurrent)
        return cls(inputs.to(products), constant, bias[:, None], recurrent.to(products), recurrent_bias)

    def of_inputs(self, frames: Tensor) -> Tensor:
        """What inputs (frame size, n) add to the gates, (3 * hidden, n); of all tokens' vectors once: a table."""
        return (self.inputs @ frames.to(self.inputs.dtype)).to(frames.dtype)

    def of_constant(self, constant: Tensor) -> Tensor:
        """What constant inputs (n, constant size) and the bias add, (3 * hidden, n)."""
        return torch.addmm(self.bias, self.constant, constant.t())

    def advance(self, steps: Steps, t: int, gates: Tensor) -> Tensor:
        """Step t of `steps` from `gates` (3 * hidden, B), all but the state's share; returns its state (hidden, B)."""
        return steps.advance(t, gates[None], self.recurrent, self.recurrent_bias)[0]


class TokenGRU(FrameGRU):
    """A `FrameGRU` whose frames are tokens, int64 (B, T), each as good as a vector of 0 and 1."""

    def _vectors(self, frames: Tensor) -> Tensor:
        return F.one_hot(frames, self.frame_size).to(self.gru.weight_ih_l0.dtype)

    def _with_frames(self, fixed: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        return F.embedding(frames.t(), weight.t()).transpose(1, 2) + fixed

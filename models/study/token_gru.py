"""GRUs over tokens: the contribution of a token to the gates is a table look-up, no product with a one-hot vector."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..gru import FrameGRU, Steps


class StepWeights(NamedTuple):
    """Weights of a unidirectional `FrameGRU`, for loops in which each input depends on the previous output.

    `inputs` (3 * hidden, frame size), `constant` (3 * hidden, constant size), `bias` (3 * hidden, 1) without b_hn;
    `recurrent`, W_h (1, 3 * hidden, hidden); `recurrent_bias`, b_hn (1, hidden, 1).
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
        """Contributions (3 * hidden, n) of inputs (frame size, n) to the gates."""
        return (self.inputs @ frames.to(self.inputs.dtype)).to(frames.dtype)

    def of_constant(self, constant: Tensor) -> Tensor:
        """Contributions (3 * hidden, n) of constant inputs (n, constant size), with the bias."""
        return torch.addmm(self.bias, self.constant, constant.t())

    def advance(self, steps: Steps, t: int, gates: Tensor) -> Tensor:
        """Step t of `steps` from the inputs' contributions `gates` (3 * hidden, B); returns its state (hidden, B)."""
        return steps.advance(t, gates[None], self.recurrent, self.recurrent_bias)[0]


class TokenGRU(FrameGRU):
    """A `FrameGRU` over tokens, int64 (B, T), equivalent to one-hot vectors."""

    def _vectors(self, frames: Tensor) -> Tensor:
        return F.one_hot(frames, self.frame_size).to(self.gru.weight_ih_l0.dtype)

    def _with_frames(self, fixed: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        return F.embedding(frames.t(), weight.t()).transpose(1, 2) + fixed

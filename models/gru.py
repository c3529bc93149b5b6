"""A GRU over frames, with further inputs that are constant in time.

On the CPU torch.nn.GRU spends most of its time on many tiny operations. Here a step is a few operations over all
directions at once, gate by gate with the batch innermost (`Steps`), and its derivative is written out (`_Recurrence`).
Other devices run the library's fused kernels. The parameters are those of `torch.nn.GRU`.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Steps(NamedTuple):
    """Steps of the recurrence h_t = (1 - z) n + z h_{t-1}, float32, with the intermediate values for its derivative.

    `states` (T + 1, D, H, B): the initial state and one for each step, in D directions. `reset_update` (T, D, 2H, B):
    the gates r and z. `candidate` (T, D, H, B): n. `recurrent` (T, D, H, B): W_hn h + b_hn, before the reset gate.
    """

    states: Tensor
    reset_update: Tensor
    candidate: Tensor
    recurrent: Tensor

    @classmethod
    def from_start(cls, n_steps: int, start: Tensor) -> "Steps":
        """Uninitialised buffers for `n_steps` after the state `start` (D, H, B)."""
        n_directions, size, batch = start.shape
        states, candidate, recurrent = (start.new_empty(n, *start.shape) for n in (n_steps + 1, n_steps, n_steps))
        states[0] = start
        return cls(states, start.new_empty(n_steps, n_directions, 2 * size, batch), candidate, recurrent)

    @classmethod
    def side_by_side(cls, several: Sequence["Steps"]) -> "Steps":
        """Several batches with the same number of steps, concatenated along the batch."""
        return cls(*(torch.cat(field, dim=3) for field in zip(*several, strict=True)))

    def advance(self, t: int, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute step t from `gates` (D, 3H, B), the contributions of the inputs; returns its state (D, H, B).

        `weight` (D, 3H, H): W_h in the dtype of the products. `bias` (D, H, 1): b_hn.
        """
        before, size = self.states[t], weight.shape[2]
        shares = torch.bmm(weight, before.to(weight.dtype)).to(before.dtype)
        torch.add(gates[:, : 2 * size], shares[:, : 2 * size], out=self.reset_update[t]).sigmoid_()
        torch.add(shares[:, 2 * size :], bias, out=self.recurrent[t])
        reset, update = self.reset_update[t, :, :size], self.reset_update[t, :, size:]
        tanh_(torch.addcmul(gates[:, 2 * size :], reset, self.recurrent[t], out=self.candidate[t]))
        return torch.lerp(self.candidate[t], before, update, out=self.states[t + 1])


def tanh_(x: Tensor) -> Tensor:
    """tanh in place, by the sigmoid: a sixth of the time of the library's tanh on the CPU."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def product_type(x: Tensor) -> torch.dtype:
    """The dtype for products with x: autocast's where it is on, otherwise that of x."""
    kind = x.device.type
    is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if is_on else x.dtype


def sounding(frames: Tensor) -> slice:
    """The columns of frames (B, T, C) from the first to the last that is not 0 in all of them.

    Products with rolls need no others: music leaves a third to a half of the keys silent in whole batches. On other
    devices than CPUs these are all columns: the host would have to wait.
    """
    if frames.device.type != "cpu" or torch.compiler.is_compiling():
        return slice(0, frames.shape[2])
    used = frames.abs().amax((0, 1)).nonzero()[:, 0].tolist()
    return slice(used[0], used[-1] + 1) if used else slice(0, 1)


def in_full_precision(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method without autocast on the device of its first argument, a tensor."""

    @wraps(method)
    def run(self: nn.Module, tensor: Tensor, *others: Any, **named: Any) -> Any:
        kind = tensor.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            return method(self, tensor, *others, **named)

    return run


class FrameGRU(nn.Module):
    """GRU as `torch.nn.GRU`, over `frame_size` values in each frame and `constant_size` constant values.

    Products with the state are in float32 even under autocast, unless `half_products`, on the CPU. States are float32.
    """

    def __init__(
        self, frame_size: int, constant_size: int, hidden: int, *, bidirectional: bool = False,
        half_products: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.frame_size, self.half_products = frame_size, half_products
        self.gru = nn.GRU(frame_size + constant_size, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """The hidden states of `run`."""
        return self.run(*inputs, **named)[0]

    def run(
        self, frames: Tensor, constant: Tensor | None = None, hidden: Tensor | None = None, played: Steps | None = None
    ) -> tuple[Tensor, Tensor]:
        """Hidden states, (B, T, directions * hidden), in the order of frames for both directions.

        Also the last one of each direction, (directions, B, hidden).
        `frames` (B, T, frame_size); `constant` (B, constant_size); initial state `hidden` (B, hidden), zeros if None.
        `played`: the steps for these inputs if they are already computed (one direction); the CPU then computes the
        derivative only.
        """
        if frames.device.type != "cpu":
            return self._run_library(frames, constant, hidden)
        states, last = self._recur(frames, constant, hidden, played)
        return _in_order_of_steps(states).flatten(1, 2).permute(2, 0, 1), last.transpose(1, 2)

    def last_states(self, frames: Tensor) -> Tensor:
        """The last hidden state of each direction, (directions, B, hidden), as in `run`."""
        if frames.device.type != "cpu":
            return self._run_library(frames, None, None)[1]
        return self._recur(frames, None, None, None)[1].transpose(1, 2)

    def _recur(
        self, frames: Tensor, constant: Tensor | None, hidden: Tensor | None, played: Steps | None
    ) -> tuple[Tensor, Tensor]:
        """States (T, directions, hidden, B), each direction in its own order, and the last ones."""
        gates = self._gates(frames, constant)  # (T, directions, 3 * hidden, B)
        weight, bias = self.recurrent_weights()
        start = weight.new_zeros(gates.shape[1], self.gru.hidden_size, len(frames))
        if hidden is not None:
            start = hidden.t()[None]
        return _Recurrence.apply(gates, start, weight, bias, self.product_type(weight), *(played or ()))

    # Under autocast to any type, CUDA's library computes in float16, whose gradients need a scaled loss.
    @in_full_precision
    def _run_library(self, frames: Tensor, constant: Tensor | None, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        frames = self._vectors(frames)
        if constant is not None:
            frames = torch.cat([frames, constant[:, None].expand(-1, frames.shape[1], -1)], dim=2)
        return self.gru(frames.float(), None if hidden is None else hidden[None].float())

    def _vectors(self, frames: Tensor) -> Tensor:
        """Frames as vectors for the library's GRU, (B, T, frame_size)."""
        return frames

    def product_type(self, weight: Tensor) -> torch.dtype:
        """The dtype of products with the state."""
        return product_type(weight) if self.half_products else weight.dtype

    def recurrent_weights(self) -> tuple[Tensor, Tensor]:
        """W_h (directions, 3 * hidden, hidden) and b_hn (directions, hidden, 1)."""
        return self._stacked("weight_hh"), self._stacked("bias_hh")[:, 2 * self.gru.hidden_size :, None]

    def input_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of frames and of constants, (directions * 3 * hidden, size) each, and all biases but b_hn."""
        weight, recurrent_bias = self._stacked("weight_ih").flatten(0, 1), self._stacked("bias_hh")
        within = torch.arange(recurrent_bias.shape[1], device=weight.device) >= 2 * self.gru.hidden_size
        bias = self._stacked("bias_ih") + recurrent_bias.masked_fill(within, 0.0)
        return weight[:, : self.frame_size], weight[:, self.frame_size :], bias.flatten()

    def _gates(self, frames: Tensor, constant: Tensor | None) -> Tensor:
        """Contributions of the inputs to the gates, (T, directions, 3 * hidden, B)."""
        from_frame, from_constant, bias = self.input_weights()
        fixed = bias[:, None] if constant is None else nn.functional.linear(constant, from_constant, bias).t()
        return self._with_frames(fixed, frames, from_frame).unflatten(1, (-1, 3 * self.gru.hidden_size))

    def _with_frames(self, fixed: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        """`fixed` (n, B or 1) plus the product of the frames with `weight` (n, frame_size), (T, n, B)."""
        if not frames.requires_grad:
            keys = sounding(frames)
            frames, weight = frames[:, :, keys], weight[:, keys]
        rows = frames.permute(1, 2, 0)
        return torch.baddbmm(fixed.expand(len(rows), -1, -1), weight.expand(len(rows), -1, -1), rows)

    def _stacked(self, name: str) -> Tensor:
        """A parameter of `torch.nn.GRU`, (directions, ...)."""
        suffixes = ("", "_reverse") if self.gru.bidirectional else ("",)
        return torch.stack([getattr(self.gru, f"{name}_l0{suffix}") for suffix in suffixes])


class _Recurrence(torch.autograd.Function):
    """States of a recurrence, from the contributions of the inputs to its gates.

    gates (T, D, 3H, B) in the order reset r, update z, new n, those of a second direction in the order of frames, which
    is the reverse of that of its steps; hidden (D, H, B); weight (D, 3H, H); bias (D, H, 1);
    `products`: the dtype of products; `played`: fields of `Steps` if the steps are already computed.
    Returns the states (T, D, H, B) and the last one (D, H, B).
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(
        ctx: Any, gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor, products: torch.dtype, *played: Tensor
    ) -> tuple[Tensor, Tensor]:
        gates = _in_order_of_steps(gates)
        steps = Steps(*played) if played else Steps.from_start(len(gates), hidden.to(weight.dtype))
        if not played:
            factors = weight.to(products)
            for t in range(len(gates)):
                steps.advance(t, gates[t], factors, bias)
        ctx.save_for_backward(*steps, weight)
        ctx.products, ctx.n_played = products, len(played)
        ctx.set_materialize_grads(False)
        return steps.states[1:], steps.states[-1].clone()

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, grad_states: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:
        states, reset_update, candidate, recurrent, weight = ctx.saved_tensors
        n_frames, n_directions, size, batch = candidate.shape
        reset, update = reset_update[:, :, :size], reset_update[:, :, size:]
        before = states[:-1]
        # d h_t / d(gate before its non-linearity) for all frames, (T, D, 3, H, B); multiplied by d loss / d h_t below.
        grad_gates = states.new_empty(n_frames, n_directions, 3, size, batch)
        torch.ops.aten.tanh_backward(1 - update, candidate, grad_input=grad_gates[:, :, 2])
        torch.ops.aten.sigmoid_backward(before - candidate, update, grad_input=grad_gates[:, :, 1])
        torch.ops.aten.sigmoid_backward(grad_gates[:, :, 2] * recurrent, reset, grad_input=grad_gates[:, :, 0])
        transposed = weight.transpose(1, 2).to(ctx.products).contiguous()
        # Gradient of W_h h + b_h; for the new gate it passes the reset gate.
        grad_shares = weight.new_empty(n_directions, 3, size, batch, dtype=ctx.products)
        grad_weight, grad_bias = torch.zeros_like(weight), weight.new_zeros(n_directions, size)
        grad = torch.zeros_like(states[0]) if grad_last is None else grad_last
        for t in range(n_frames - 1, -1, -1):
            if grad_states is not None:
                grad = grad + grad_states[t]
            gates = grad_gates[t].mul_(grad[:, None])
            new = gates[:, 2] * reset[t]
            grad_shares[:, :2], grad_shares[:, 2] = gates[:, :2], new
            grad_weight += torch.bmm(grad_shares.flatten(1, 2), before[t].to(ctx.products).transpose(1, 2))
            grad_bias += new.sum(2)
            back = torch.bmm(transposed, grad_shares.flatten(1, 2)).to(grad.dtype)
            grad = back.addcmul_(grad, update[t])
        grad_gates = _in_order_of_steps(grad_gates.flatten(2, 3))
        return grad_gates, grad, grad_weight, grad_bias[..., None], None, *[None] * ctx.n_played


def _in_order_of_steps(gates: Tensor) -> Tensor:
    """(T, directions, ...) with the frames of a second direction reversed; its own inverse."""
    return gates if gates.shape[1] == 1 else torch.stack([gates[:, 0], gates[:, 1].flip(0)], dim=1)

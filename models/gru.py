"""A GRU over frames, with further inputs that are constant in time.

On the CPU torch.nn.GRU spends most of its time on many tiny operations. Here a step is a few operations over all
directions at once, gate by gate with the batch innermost (`Steps`). Its derivative is written out (`_Recurrence`): the
slopes of all steps at once, then two products a step.
Other devices run the library's fused kernels. The parameters are those of `torch.nn.GRU`.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class Steps(NamedTuple):
    """Steps of the recurrence h_t = (1 - z) n + z h_{t-1}, float32, with the intermediate values for its derivative.

    `states` (T + 1, D, H, B): the initial state and one for each step, in D directions. `gates` (T, D, 3H, B): r, z and
    n. `recurrent` (T, D, H, B): W_hn h + b_hn, before the reset gate.
    """

    states: Tensor
    gates: Tensor
    recurrent: Tensor

    @classmethod
    def over(cls, gates: Tensor, start: Tensor) -> "Steps":
        """Steps after the state `start` (D, H, B), whose gates overwrite `gates`, the contributions of the inputs."""
        states, recurrent = (start.new_empty(len(gates) + more, *start.shape) for more in (1, 0))
        states[0] = start
        return cls(states, gates, recurrent)

    @classmethod
    def from_start(cls, n_steps: int, start: Tensor) -> "Steps":
        """Uninitialised buffers for `n_steps` after the state `start` (D, H, B)."""
        n_directions, size, batch = start.shape
        return cls.over(start.new_empty(n_steps, n_directions, 3 * size, batch), start)

    @classmethod
    def side_by_side(cls, several: Sequence["Steps"]) -> "Steps":
        """Several batches with the same number of steps, concatenated along the batch."""
        return cls(*(torch.cat(field, dim=3) for field in zip(*several, strict=True)))

    def advance(self, t: int, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute step t from `gates` (D, 3H, B), the contributions of the inputs; returns its state (D, H, B).

        `weight` (D, 3H, H): W_h in the dtype of the products. `bias` (D, H, 1): b_hn.
        """
        self.gates[t] = gates
        Steps(self.states[t : t + 2], self.gates[t : t + 1], self.recurrent[t : t + 1]).compute(weight, bias)
        return self.states[t + 1]

    def compute(self, weight: Tensor, bias: Tensor) -> None:
        """Compute all steps; arguments as of `advance`."""
        size = weight.shape[2]
        reset_update = self.gates[:, :, : 2 * size].unbind(0)
        (before, *after), recurrent = self.states.unbind(0), self.recurrent.unbind(0)
        for both, (reset, update, new), added, state in zip(
            reset_update, zip(*(gate.unbind(0) for gate in self.parts()), strict=True), recurrent, after, strict=True
        ):
            shares = torch.bmm(weight, before.to(weight.dtype)).to(before.dtype)
            of_both, of_new = shares.split_with_sizes((2 * size, size), 1)
            both.add_(of_both).sigmoid_()
            torch.add(of_new, bias, out=added)
            tanh_(new.addcmul_(reset, added))
            before = torch.lerp(new, before, update, out=state)

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """The gates r, z and n, (T, D, H, B) each."""
        return self.gates.unflatten(2, (3, -1)).unbind(2)


def tanh_(x: Tensor) -> Tensor:
    """tanh in place, by the sigmoid: a sixth of the time of the library's tanh on the CPU."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def product_type(x: Tensor) -> torch.dtype:
    """The dtype for products with x: autocast's where it is on, otherwise that of x."""
    kind = x.device.type
    is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if is_on else x.dtype


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
        from_frame, from_constant, bias = self.input_weights()
        fixed = bias[:, None] if constant is None else nn.functional.linear(constant, from_constant, bias).t()
        gates = self._gates(fixed, frames, from_frame)
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

    def _gates(self, fixed: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        """Contributions of the inputs to the gates of each step, (T, directions, 3 * hidden, B), a tensor of its own.

        `fixed` (directions * 3 * hidden, B or 1): that of constants. `weight` (directions * 3 * hidden, frame_size).
        """
        return _in_order_of_steps(self._with_frames(fixed, frames, weight).unflatten(1, (-1, 3 * self.gru.hidden_size)))

    def _with_frames(self, fixed: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        """`fixed` plus the product of the frames with `weight`, (T, directions * 3 * hidden, B)."""
        rows = frames.permute(1, 2, 0)
        return torch.baddbmm(fixed.expand(len(rows), -1, -1), weight.expand(len(rows), -1, -1), rows)

    def _stacked(self, name: str) -> Tensor:
        """A parameter of `torch.nn.GRU`, (directions, ...)."""
        suffixes = ("", "_reverse") if self.gru.bidirectional else ("",)
        return torch.stack([getattr(self.gru, f"{name}_l0{suffix}") for suffix in suffixes])


class _Recurrence(torch.autograd.Function):
    """States of a recurrence, from the contributions of the inputs to its gates.

    gates (T, D, 3H, B) in the order reset r, update z, new n, which are overwritten; hidden (D, H, B); weight
    (D, 3H, H); bias (D, H, 1); `products`: the dtype of products; `played`: fields of `Steps` if the steps are already
    computed. Returns the states (T, D, H, B) and the last one (D, H, B).
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(
        ctx: Any, gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor, products: torch.dtype, *played: Tensor
    ) -> tuple[Tensor, Tensor]:
        steps = Steps(*played) if played else Steps.over(gates.to(weight.dtype), hidden.to(weight.dtype))
        if not played:
            steps.compute(weight.to(products), bias)
        ctx.save_for_backward(*steps, weight)
        ctx.products, ctx.n_played = products, len(played)
        ctx.set_materialize_grads(False)
        return steps.states[1:], steps.states[-1].clone()

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, grad_states: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:
        *fields, weight = ctx.saved_tensors
        steps = Steps(*fields)
        size, states = weight.shape[2], steps.states[:-1]
        # The derivative of each state with respect to W_hn h + b_hn and to r, z and n before their non-linearities;
        # multiplied by d loss / d state below.
        slopes = _slopes(steps)
        shares = slopes[:, :, : 3 * size].unbind(0)
        rolled = weight.roll(size, 1)  # its rows in the order n, r, z
        transposed = rolled.transpose(1, 2).to(ctx.products).contiguous()
        grad_weight = torch.zeros_like(weight)
        grad = torch.zeros_like(states[0]) if grad_last is None else grad_last
        of_states = [None] * len(slopes) if grad_states is None else grad_states.unbind(0)
        by_step = zip(
            slopes.unflatten(2, (4, size)).unbind(0),
            shares,
            states.unbind(0),
            steps.parts()[1].unbind(0),
            of_states,
            strict=True,
        )
        for all_four, recurrent, before, update, of_state in reversed(list(by_step)):
            if of_state is not None:
                grad = grad + of_state
            all_four.mul_(grad[:, None])
            factor = recurrent.to(ctx.products)
            grad_weight += torch.bmm(factor, before.to(ctx.products).transpose(1, 2))
            grad = torch.bmm(transposed, factor).to(grad.dtype).addcmul_(grad, update)
        grad_bias = slopes[:, :, :size].sum((0, 3))[..., None]
        return slopes[:, :, size:], grad, grad_weight.roll(-size, 1), grad_bias, None, *[None] * ctx.n_played


def _slopes(steps: Steps) -> Tensor:
    """d h_t / d x for x = W_hn h + b_hn, and r, z and n before their non-linearities, in this order: (T, D, 4H, B)."""
    n_steps, n_directions, size, batch = steps.recurrent.shape
    slopes = steps.recurrent.new_empty(n_steps, n_directions, 4, size, batch)
    of_recurrent, of_reset, of_update, of_new = slopes.unbind(2)
    reset, update, new = steps.parts()
    _tanh_backward(1 - update, new, grad_input=of_new)
    _sigmoid_backward(steps.states[:-1] - new, update, grad_input=of_update)
    torch.mul(of_new, reset, out=of_recurrent)
    _sigmoid_backward(of_new * steps.recurrent, reset, grad_input=of_reset)
    return slopes.flatten(2, 3)


def _in_order_of_steps(gates: Tensor) -> Tensor:
    """(T, directions, ...) with the frames of a second direction reversed; its own inverse."""
    return gates if gates.shape[1] == 1 else torch.stack([gates[:, 0], gates[:, 1].flip(0)], dim=1)

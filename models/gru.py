"""A GRU over frames whose further inputs stay constant in time.

On the CPU the library's GRU spends most of its time on many tiny operations, forwards and backwards. Here a step is
a few operations over all directions at once, laid out gate by gate with the batch innermost (`Steps`), and its
derivative is written out (`_Recurrence`). On other devices the library's fused kernels run. The parameters are
`torch.nn.GRU`'s.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Steps(NamedTuple):
    """Steps of a recurrence h_t = (1 - z) n + z h_{t-1}, float32, with what its derivative needs.

    `states` (T + 1, D, H, B): where it starts and all that follow, in D directions; `reset_update` (T, D, 2H, B), the
    gates r and z; `candidate` (T, D, H, B), n; `recalled` (T, D, H, B), what n hears of the state before r.
    """

    states: Tensor
    reset_update: Tensor
    candidate: Tensor
    recalled: Tensor

    @classmethod
    def from_start(cls, n_steps: int, start: Tensor) -> "Steps":
        """Room for `n_steps` that begin with the state `start` (D, H, B)."""
        n_directions, size, batch = start.shape
        states, candidate, recalled = (start.new_empty(n, *start.shape) for n in (n_steps + 1, n_steps, n_steps))
        states[0] = start
        return cls(states, start.new_empty(n_steps, n_directions, 2 * size, batch), candidate, recalled)

    @classmethod
    def side_by_side(cls, several: Sequence["Steps"]) -> "Steps":
        """The same number of steps of several batches as those of one, (.., B of all)."""
        return cls(*(torch.cat(field, dim=3) for field in zip(*several, strict=True)))

    def advance(self, t: int, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute step t from `gates` (D, 3H, B), all but the state's share of them; returns its state (D, H, B).

        `weight` (D, 3H, H) of the state, in the type in which products are computed, and `bias` (D, H, 1) of the new
        gate's recurrence.
        """
        before, size = self.states[t], weight.shape[2]
        shares = torch.bmm(weight, before.to(weight.dtype)).to(before.dtype)
        torch.add(gates[:, : 2 * size], shares[:, : 2 * size], out=self.reset_update[t]).sigmoid_()
        torch.add(shares[:, 2 * size :], bias, out=self.recalled[t])
        reset, update = self.reset_update[t, :, :size], self.reset_update[t, :, size:]
        tanh_(torch.addcmul(gates[:, 2 * size :], reset, self.recalled[t], out=self.candidate[t]))
        return torch.lerp(self.candidate[t], before, update, out=self.states[t + 1])


def tanh_(x: Tensor) -> Tensor:
    """tanh in place by way of the sigmoid, which on the CPU takes a sixth of the library's time for it."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def product_type(x: Tensor) -> torch.dtype:
    """In which products of x are to be computed: autocast's type where it is on, else x's own."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class FrameGRU(nn.Module):
    """GRU (`torch.nn.GRU`'s equations) over `frame_size` values a frame and `constant_size` constant ones.

    Products with the state are computed in float32, under autocast too, unless `half_products`. States are float32.
    """

    def __init__(
        self,
        frame_size: int,
        constant_size: int,
        hidden: int,
        *,
        bidirectional: bool = False,
        half_products: bool = False,
    ) -> None:
        super().__init__()
        self.frame_size, self.half_products = frame_size, half_products
        self.gru = nn.GRU(frame_size + constant_size, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(
        self,
        frames: Tensor,
        constant: Tensor | None = None,
        hidden: Tensor | None = None,
        played: Steps | None = None,
    ) -> Tensor:
        """Hidden states, (B, T, directions * hidden).

        `frames` (B, T, frame_size); `constant` (B, constant_size); `hidden` (B, hidden), zeros if None. States of the
        backward direction stand at the frame they were computed for, as in `torch.nn.GRU`. `played`, of one direction:
        the steps that these inputs lead to, where they are known; on the CPU only the derivative is left to compute.
        """
        return self.run(frames, constant, hidden, played)[0]

    def run(
        self,
        frames: Tensor,
        constant: Tensor | None = None,
        hidden: Tensor | None = None,
        played: Steps | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The hidden states, see `forward`, and the last of each direction, (directions, B, hidden)."""
        if frames.device.type != "cpu":
            return self._run_library(frames, constant, hidden)
        gates = self._gates(frames, constant)  # (T, directions, 3 * hidden, B)
        n_directions, size = gates.shape[1], self.gru.hidden_size
        weight, bias = self.recurrent_weights()
        start = weight.new_zeros(n_directions, size, len(frames)) if hidden is None else hidden.t()[None]
        if n_directions == 2:
            gates = torch.stack([gates[:, 0], gates[:, 1].flip(0)], dim=1)
        states, last = _Recurrence.apply(gates, start, weight, bias, self.product_type(weight), *(played or ()))
        if n_directions == 2:
            states = torch.stack([states[:, 0], states[:, 1].flip(0)], dim=1)
        return states.flatten(1, 2).permute(2, 0, 1), last.transpose(1, 2)

    def _run_library(self, frames: Tensor, constant: Tensor | None, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        frames = self._vectors(frames)
        if constant is not None:
            frames = torch.cat([frames, constant[:, None].expand(-1, frames.shape[1], -1)], dim=2)
        kind = frames.device.type
        # Under autocast the library would take half precision, whatever type was asked.
        off = not self.half_products and torch.amp.is_autocast_available(kind)
        with torch.autocast(kind, enabled=False) if off else nullcontext():
            states, last = self.gru(frames.float(), None if hidden is None else hidden[None].float())
            return states.float(), last.float()

    def _vectors(self, frames: Tensor) -> Tensor:
        """Frames as the library hears them, (B, T, frame_size)."""
        return frames

    def product_type(self, weight: Tensor) -> torch.dtype:
        """In which products with the state are computed."""
        return product_type(weight) if self.half_products else weight.dtype

    def recurrent_weights(self) -> tuple[Tensor, Tensor]:
        """Weights of the hidden state (directions, 3 * hidden, hidden), the new gate's bias (directions, hidden, 1)."""
        size = self.gru.hidden_size
        weight = torch.stack([getattr(self.gru, f"weight_hh_l0{suffix}") for suffix in self._suffixes()])
        bias = torch.stack([getattr(self.gru, f"bias_hh_l0{suffix}")[2 * size :] for suffix in self._suffixes()])
        return weight, bias[:, :, None]

    def input_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of frames and constants, (directions * 3 * hidden, size), and the biases outside the recurrence."""
        size = self.gru.hidden_size
        weights, biases = [], []
        for suffix in self._suffixes():
            recurrent_bias = getattr(self.gru, f"bias_hh_l0{suffix}")
            outside = torch.cat([recurrent_bias[: 2 * size], torch.zeros_like(recurrent_bias[2 * size :])])
            weights.append(getattr(self.gru, f"weight_ih_l0{suffix}"))
            biases.append(getattr(self.gru, f"bias_ih_l0{suffix}") + outside)
        weight = torch.cat(weights)
        return weight[:, : self.frame_size], weight[:, self.frame_size :], torch.cat(biases)

    def _gates(self, frames: Tensor, constant: Tensor | None) -> Tensor:
        """What the inputs contribute to the gates, (T, directions, 3 * hidden, B)."""
        from_frame, from_constant, bias = self.input_weights()
        fixed = bias[:, None] if constant is None else nn.functional.linear(constant, from_constant, bias).t()
        return self._with_frames(fixed, frames, from_frame).unflatten(1, (len(self._suffixes()), -1))

    def _with_frames(self, fixed: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        """`fixed` (n, B or 1) and the product of the frames with `weight` (n, frame_size), (T, n, B)."""
        rows = frames.permute(1, 2, 0)
        return torch.baddbmm(fixed.expand(len(rows), -1, -1), weight.expand(len(rows), -1, -1), rows)

    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.gru.bidirectional else ("",)


class _Recurrence(torch.autograd.Function):
    """`Steps` from gates that are given up to the contribution of the state before.

    gates (T, D, 3H, B) in the order reset r, update z, new n; hidden (D, H, B); weight (D, 3H, H); bias (D, H, 1).
    Returns the states (T, D, H, B), of `played`, the fields of `Steps`, where that is given, and the last (D, H, B).
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(
        ctx,  # noqa: ANN001 (untyped in torch)
        gates: Tensor,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        products: torch.dtype,
        *played: Tensor,
    ) -> tuple[Tensor, Tensor]:
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
    def backward(ctx, grad_states: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN001 (untyped in torch)
        states, reset_update, candidate, recalled, weight = ctx.saved_tensors
        n_frames, n_directions, size, batch = candidate.shape
        reset, update = reset_update[:, :, :size], reset_update[:, :, size:]
        before = states[:-1]
        # d h_t / d(gate before its non-linearity), for every frame at once, (T, D, 3, H, B); times d h_t below.
        grad_gates = states.new_empty(n_frames, n_directions, 3, size, batch)
        torch.ops.aten.tanh_backward(1 - update, candidate, grad_input=grad_gates[:, :, 2])
        torch.ops.aten.sigmoid_backward(before - candidate, update, grad_input=grad_gates[:, :, 1])
        torch.ops.aten.sigmoid_backward(grad_gates[:, :, 2] * recalled, reset, grad_input=grad_gates[:, :, 0])
        transposed = weight.transpose(1, 2).to(ctx.products).contiguous()
        # What the state is fed back through: the new gate by way of the reset gate.
        fed_back = weight.new_empty(n_directions, 3, size, batch, dtype=ctx.products)
        grad_weight, grad_bias = torch.zeros_like(weight), weight.new_zeros(n_directions, size)
        grad = torch.zeros_like(states[0]) if grad_last is None else grad_last
        for t in range(n_frames - 1, -1, -1):
            if grad_states is not None:
                grad = grad + grad_states[t]
            gates = grad_gates[t].mul_(grad[:, None])
            new = gates[:, 2] * reset[t]
            fed_back[:, :2], fed_back[:, 2] = gates[:, :2], new
            grad_weight += torch.bmm(fed_back.flatten(1, 2), before[t].to(ctx.products).transpose(1, 2))
            grad_bias += new.sum(2)
            back = torch.bmm(transposed, fed_back.flatten(1, 2)).to(grad.dtype)
            grad = back.addcmul_(grad, update[t])
        return grad_gates.flatten(2, 3), grad, grad_weight, grad_bias[..., None], None, *[None] * ctx.n_played

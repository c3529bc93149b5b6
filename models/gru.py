"""A GRU over frames whose further inputs stay constant in time.

On the CPU the library's GRU spends most of its time on many tiny operations, forwards and backwards. Here a step is
five operations over all directions at once, laid out gate by gate with the batch innermost, and its derivative is
written out (`_Recurrence`). On other devices the library's fused kernels run. The parameters are `torch.nn.GRU`'s.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn


class FrameGRU(nn.Module):
    """GRU (`torch.nn.GRU`'s equations) over `frame_size` values a frame and `constant_size` constant ones."""

    def __init__(self, frame_size: int, constant_size: int, hidden: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.frame_size = frame_size
        self.gru = nn.GRU(frame_size + constant_size, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(self, frames: Tensor, constant: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """Hidden states, (B, T, directions * hidden).

        `frames` (B, T, frame_size); `constant` (B, constant_size); `hidden` (B, hidden), zeros if None. States of the
        backward direction stand at the frame they were computed for, as in `torch.nn.GRU`.
        """
        if frames.device.type != "cpu":
            if constant is not None:
                frames = torch.cat([frames, constant[:, None].expand(-1, frames.shape[1], -1)], dim=2)
            # In float32 as on the CPU: under autocast the library would take half precision, whatever type was asked.
            kind = frames.device.type
            with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
                return self.gru(frames.float(), None if hidden is None else hidden[None].float())[0]
        gates = self._gates(frames, constant)  # (T, directions, 3 * hidden, B)
        n_directions, size = gates.shape[1], self.gru.hidden_size
        start = gates.new_zeros(n_directions, size, len(frames)) if hidden is None else hidden.t()[None]
        if n_directions == 2:
            gates = torch.stack([gates[:, 0], gates[:, 1].flip(0)], dim=1)
        states = _Recurrence.apply(gates, start, *self.recurrent_weights())  # (T, directions, hidden, B)
        if n_directions == 2:
            states = torch.stack([states[:, 0], states[:, 1].flip(0)], dim=1)
        return states.flatten(1, 2).permute(2, 0, 1)

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
        batch, n_frames = frames.shape[:2]
        gates = self._from_frames(frames, from_frame)
        fixed = bias if constant is None else nn.functional.linear(constant, from_constant, bias)[:, None]
        return (gates + fixed).permute(1, 2, 0).reshape(n_frames, len(self._suffixes()), -1, batch).contiguous()

    def _from_frames(self, frames: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.linear(frames, weight)

    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.gru.bidirectional else ("",)


class _Recurrence(torch.autograd.Function):
    """h_t = (1 - z) n + z h_{t-1} for gates that are given up to the contribution of h_{t-1}.

    gates (T, D, 3H, B) in the order reset r, update z, new n; hidden (D, H, B); weight (D, 3H, H); bias (D, H, 1).
    Returns the states (T, D, H, B).
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN001 (untyped in torch)
        n_frames, n_directions, _, batch = gates.shape
        size = hidden.shape[1]
        states = gates.new_empty(n_frames + 1, n_directions, size, batch)
        reset_update = gates.new_empty(n_frames, n_directions, 2 * size, batch)
        candidate = gates.new_empty(n_frames, n_directions, size, batch)
        recalled = torch.empty_like(candidate)  # W_hn h + b_hn
        states[0] = hidden
        weight_gates, weight_new = weight[:, : 2 * size], weight[:, 2 * size :]
        bias = bias.expand(-1, -1, batch)
        for t in range(n_frames):
            before = states[t]
            torch.baddbmm(gates[t, :, : 2 * size], weight_gates, before, out=reset_update[t]).sigmoid_()
            torch.baddbmm(bias, weight_new, before, out=recalled[t])
            reset, update = reset_update[t, :, :size], reset_update[t, :, size:]
            torch.addcmul(gates[t, :, 2 * size :], reset, recalled[t], out=candidate[t]).tanh_()
            torch.lerp(candidate[t], before, update, out=states[t + 1])
        ctx.save_for_backward(states, reset_update, candidate, recalled, weight)
        return states[1:]

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad_states: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ANN001 (untyped in torch)
        states, reset_update, candidate, recalled, weight = ctx.saved_tensors
        n_frames, n_directions, size, batch = candidate.shape
        reset, update = reset_update[:, :, :size], reset_update[:, :, size:]
        before = states[:-1]
        # d(gate before its non-linearity) / d(h_t), for every frame at once: (T, D, 3, H, B).
        to_gates = states.new_empty(n_frames, n_directions, 3, size, batch)
        stays = 1 - update
        torch.mul(stays, 1 - candidate.square(), out=to_gates[:, :, 2])
        torch.mul((before - candidate) * update, stays, out=to_gates[:, :, 1])
        torch.mul(to_gates[:, :, 2] * recalled, reset * (1 - reset), out=to_gates[:, :, 0])
        # The same for what the hidden state feeds: the new gate is reached through the reset gate.
        to_recurrent = torch.cat([to_gates[:, :, :2], (to_gates[:, :, 2] * reset)[:, :, None]], dim=2)
        transposed = weight.transpose(1, 2).contiguous()
        grad_each = torch.empty_like(candidate)
        grad = torch.zeros_like(states[0])
        for t in range(n_frames - 1, -1, -1):
            current = torch.add(grad, grad_states[t], out=grad_each[t])
            through_gates = (to_recurrent[t] * current[:, None]).view(n_directions, 3 * size, batch)
            grad = torch.baddbmm(current * update[t], transposed, through_gates)
        grad_gates = to_gates.mul_(grad_each[:, :, None]).flatten(2, 3)
        grad_recurrent = to_recurrent.mul_(grad_each[:, :, None]).flatten(2, 3)
        grad_weight = torch.matmul(grad_recurrent, before.transpose(2, 3)).sum(0)
        grad_bias = grad_recurrent[:, :, 2 * size :].sum((0, 3))[..., None]
        return grad_gates, grad, grad_weight, grad_bias

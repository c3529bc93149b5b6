"""Optimizers: Adam, or Muon for the matrices of attention layers with AdamW for the other parameters; dropout."""

from typing import Any

import torch
from torch import Tensor, nn

from common.errors import UserError
from models.dropout import RowDropout
from models.notes.note_attention import attention_matrices
from training.options import ADAM, OptimizerOptions

BETAS = (0.9, 0.999)
_MUON_BETAS, _MUON_WEIGHT_DECAY = (0.9, 0.98), 0.01


class Together(list[torch.optim.Optimizer]):
    """Several optimizers, for the parts of one model, with the interface of one."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self:
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        for optimizer in self:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {str(index): optimizer.state_dict() for index, optimizer in enumerate(self)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for index, optimizer in enumerate(self):
            optimizer.load_state_dict(state[str(index)])


class Muon(torch.optim.Muon):
    """torch's, with the update's matrix products in the weights' precision on a CPU, under autocast too.

    The library computes them in bfloat16: processors without such products took nine tenths of a training step for it.
    """

    @torch.no_grad()
    def step(self) -> None:
        if self.param_groups[0]["params"][0].device.type != "cpu":
            super().step()
            return
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                mean = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - group["momentum"])
                with torch.autocast("cpu", enabled=False):
                    update = _orthogonal(weight.grad.lerp(mean, group["momentum"]), group)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update, alpha=-group["lr"] * max(1.0, len(weight) / weight.shape[1]) ** 0.5)


def _orthogonal(matrix: Tensor, group: dict[str, Any]) -> Tensor:
    """Newton and Schulz's iteration (Jordan et al. 2024): singular values between .5 and 1.5, the same vectors."""
    a, b, c = group["ns_coefficients"]
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.t()
    wide = wide / wide.norm().clamp_min(group["eps"])
    for _ in range(group["ns_steps"]):
        gram = wide @ wide.t()
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if len(matrix) <= matrix.shape[1] else wide.t()


def adam(parameters: list[Tensor], rate: float, betas: tuple[float, float] = BETAS) -> torch.optim.Adam:
    """Adam; on CUDA in one kernel for all tensors."""
    return torch.optim.Adam(parameters, rate, betas, fused=parameters[0].is_cuda or None)


def optimizer_of(model: nn.Module, rate: float, options: OptimizerOptions) -> torch.optim.Optimizer | Together:
    """The optimizer of `model` at the learning rate `rate`.

    Muon (Jordan et al. 2024) gets the `attention_matrices`. Raises `UserError` for muon if there are none.
    """
    if options.optimizer == ADAM:
        return adam(list(model.parameters()), rate)
    matrices = attention_matrices(model)
    if not matrices:
        raise UserError("--optimizer muon is for note decoders (--preset large); leave it out")
    of_muon = set(map(id, matrices))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in of_muon]
    decay, fused = _MUON_WEIGHT_DECAY, rest[0].is_cuda or None
    return Together(
        [
            Muon(matrices, options.matrix_learning_rate, decay, adjust_lr_fn="original"),
            torch.optim.AdamW(rest, rate, _MUON_BETAS, weight_decay=decay, fused=fused),
        ]
    )


def set_dropout(model: nn.Module, share: float) -> None:
    """Set the share of the model's dropout. Raises `UserError` if the model has none and `share` is not 0.

    Dropout belongs to the training, not to the model: its `config` in a weights file does not contain it.
    """
    parts = [module for module in model.modules() if isinstance(module, RowDropout)]
    if share and not parts:
        raise UserError("--dropout is for note decoders (--preset large); leave it out")
    for part in parts:
        part.share = share

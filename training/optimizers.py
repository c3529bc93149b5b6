"""How networks are optimised: Adam, Muon for the matrices of attention layers with Adam for all else; dropout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import UserError
from common.options import CheckedOptions, option

BETAS = (0.9, 0.999)
ADAM, MUON = OPTIMIZERS = ("adam", "muon")
_MUON_BETAS, _MUON_WEIGHT_DECAY = (0.9, 0.98), 0.01


@dataclass(frozen=True)
class OptimizerOptions(CheckedOptions):
    """How a model with attention layers may be trained."""

    optimizer: str = option(
        ADAM, "of a note decoder; muon makes the updates of attention matrices orthogonal, the rest is AdamW's",
        choices=OPTIMIZERS,
    )  # fmt: skip
    matrix_learning_rate: float = option(0.02, "muon's, of attention matrices", above=0)
    dropout: float = option(
        0.0, "share of what each layer of a note decoder adds that is dropped in training", minimum=0, maximum=0.9
    )


class Together:
    """Several optimisers of the parts of one model, used as one."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._optimizers = list(optimizers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        for optimizer in self._optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {str(place): optimizer.state_dict() for place, optimizer in enumerate(self._optimizers)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for place, optimizer in enumerate(self._optimizers):
            optimizer.load_state_dict(state[str(place)])


def adam(parameters: list[Tensor], rate: float, betas: tuple[float, float] = BETAS) -> torch.optim.Adam:
    """Adam, in one kernel for all tensors where the device has it."""
    return torch.optim.Adam(parameters, rate, betas, fused=parameters[0].is_cuda or None)


def optimizer_of(model: nn.Module, rate: float, options: OptimizerOptions) -> torch.optim.Optimizer | Together:
    """What trains `model` at the learning rate `rate`; its dropout becomes that of the options.

    Muon (Jordan et al. 2024) trains the model's `attention_matrices`. Raises `UserError` where
    the model has no attention layers, but the options are about them.
    """
    parameters, matrices = list(model.parameters()), model.attention_matrices()
    if not matrices and (options.optimizer == MUON or options.dropout):
        raise UserError("--optimizer muon and --dropout are for note decoders (--preset large); leave them out")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = options.dropout
    if options.optimizer == ADAM:
        return adam(parameters, rate)
    others = {id(parameter): parameter for parameter in parameters}
    for matrix in matrices:
        del others[id(matrix)]
    rest, decay = list(others.values()), _MUON_WEIGHT_DECAY
    fused = rest[0].is_cuda or None
    return Together(
        [
            torch.optim.Muon(matrices, options.matrix_learning_rate, decay, adjust_lr_fn="original"),
            torch.optim.AdamW(rest, rate, _MUON_BETAS, weight_decay=decay, fused=fused),
        ]
    )

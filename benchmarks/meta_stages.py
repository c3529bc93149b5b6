"""Training stages on the meta device, which has shapes but no values, in place of a GPU."""

import torch
from torch import Tensor

from training.cgan_stage import CGANStage
from training.ranks import WHOLE
from training.roll_stage import Draw, RollStage
from training.stage import Position, Stage

META = torch.device("meta")


class MetaDraw(Draw):
    """Random numbers on the meta device, which has no torch.Generator."""

    def __init__(self, stage: RollStage, position: Position) -> None:
        self._source, self._order, self._position = stage._windows_of(position.epoch), stage.order, position
        self._transpose, self._part = stage.options.transpose, WHOLE
        self.n = len(self._order.examples(position.epoch, position.example))

    def _semitones(self, n: int) -> Tensor:
        return torch.empty(n, dtype=torch.int64, device=META)

    def normal(self, size: int, first: int | None = None) -> Tensor:
        return torch.empty(self.n if first is None else first, size, device=META)

    def uniform(self, *size: int) -> Tensor:
        return torch.empty(self.n, *size, device=META)


def to_meta(stage: Stage) -> Stage:
    """`stage`, whose models are built on the CPU, on the meta device and ready for its first step."""
    stage.device = META
    if isinstance(stage, CGANStage):
        stage.cvae.to(META)
    stage.open_phase(stage.phases[0])
    stage.models = {name: model.to(META) for name, model in stage.models.items()}
    stage.start()
    return stage


def meta_step(stage: Stage, position: Position) -> dict[str, Tensor]:
    """The losses of a training step, without values."""
    return stage.iterate(MetaDraw(stage, position)) if isinstance(stage, RollStage) else stage.train_step(position)

"""A step of each stage on the meta device: it neither mixes devices nor waits for one. Needs no GPU."""

from pathlib import Path

import pytest
import torch
from one_device import META, OneDevice
from stages import BATCH, STAGES, opened
from torch import Tensor

from data.windows import WindowSource
from models import Posterior
from training.cgan_stage import CGANStage
from training.ranks import WHOLE
from training.roll_stage import Draw, RollStage
from training.stage import Position


class MetaDraw(Draw):
    """Random numbers on the meta device, which has no torch.Generator."""

    def __init__(self, stage: RollStage, position: Position) -> None:
        self._source, self._order, self._position = stage.train_windows, stage.order, position
        self._transpose, self._part, self.n = False, WHOLE, BATCH

    def normal(self, size: int, first: int | None = None) -> Tensor:
        return torch.empty(self.n if first is None else first, size, device=META)

    def uniform(self) -> Tensor:
        return torch.empty(self.n, device=META)


def on_meta(stage: RollStage) -> RollStage:
    """`stage` ready for its first step, on the meta device in place of a GPU."""
    opened(stage)
    stage.device = META
    stage.train_windows = WindowSource(stage.store, "train", 32, META)
    stage.genre_weights = stage.genre_weights.to(META)
    if isinstance(stage, CGANStage):
        stage.posteriors = Posterior(*(field.to(META) for field in stage.posteriors))
    stage.models = {name: model.to(META) for name, model in stage.models.items()}
    stage.start()
    return stage


@pytest.mark.parametrize("name", STAGES)
def test_a_step_stays_on_its_device_and_never_waits(name: str, tiny_store: Path, copied: Path) -> None:
    make, options = STAGES[name]
    stage = on_meta(make(options(tiny_store, copied)))
    with OneDevice():
        losses = stage.iterate(MetaDraw(stage, Position(stage.phases[0], 0, BATCH)))
    assert losses and all(loss.device == META and loss.shape == () for loss in losses.values())


def test_the_guard_detects_both_faults() -> None:
    numbers = torch.empty(3, device=META)
    with OneDevice(), pytest.raises(AssertionError, match="mixes meta and"):
        numbers.index_select(0, torch.tensor([1]))
    with OneDevice(), pytest.raises(AssertionError, match="waits for the device"):
        numbers.nonzero()

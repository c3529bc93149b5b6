"""A stage of training as the loop sees it: models and their objective over examples, whatever these are."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common.device import DEVICES
from common.options import CheckedOptions, option

CONSTANT, COSINE = SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class TrainingOptions(CheckedOptions):
    """Options of every training. The stages' own follow the published recipe by default."""

    checkpoints: Path = option(Path("checkpoints"), "folder for weights, and where earlier stages left theirs")
    runs: Path = option(Path("runs"), "folder for logs, TensorBoard scalars and the state to resume from")
    device: str = option("auto", "where to train; auto is cuda, else mps, else cpu", choices=DEVICES)
    bf16: bool = option(False, "compute in bfloat16 where that is safe (autocast)")
    tf32: bool = option(False, "on a GPU, let matrix products round their factors to TF32")
    threads: int = option(0, "CPU threads; 0 leaves the choice to torch", minimum=0, maximum=1024)
    seed: int = option(0, "decides weights, order and noise", minimum=0)
    batch_size: int = option(512, "examples in a step", minimum=2, maximum=1_000_000)
    schedule: str = option(
        CONSTANT, "of the learning rate in a phase: constant, or falling along a cosine to 0", choices=SCHEDULES
    )
    warm_up: int = option(0, "steps in which a phase's learning rate rises from 0 first", minimum=0)
    clip_norm: float = option(0.0, "longest gradient of a model; longer ones are shortened to it; 0 never", minimum=0)
    ema: float = option(
        0.0, "decay of the moving average of weights that is validated and saved; 0 takes the weights", minimum=0,
        maximum=0.999999,
    )  # fmt: skip
    save_minutes: float = option(5.0, "minutes between saves of the state inside an epoch", above=0)
    restart: bool = option(False, "begin anew: overwrite the state and the weights of an earlier run")
    allow_changes: bool = option(False, "resume although options have changed")


@dataclass(frozen=True)
class Phase:
    """Some epochs on the same examples; a stage has one or more, one after another."""

    name: str
    epochs: int


@dataclass(frozen=True)
class Position:
    """Where in a training a step stands: its phase, its epoch and its first example, both from 0."""

    phase: Phase
    epoch: int
    example: int


class Stage(ABC):
    """What is trained, on what, and by which objective. `training.loop.train` does the rest."""

    name: str
    # What an example is, for the progress bar.
    examples: str
    # For each model, the validation metric (lower is better) that decides its best checkpoint.
    best_by: dict[str, str]
    # Models of which the options' moving average is taken, if any.
    averaged: tuple[str, ...] = ()
    # Options that may change between a run and its resumption without making it another run.
    free_options = frozenset(
        ("checkpoints", "runs", "device", "threads", "tf32", "save_minutes", "restart", "allow_changes")
    )
    # Options that decide the shapes of the models, which no resumption can change.
    fixed_options: frozenset[str] = frozenset()

    def __init__(
        self, options: TrainingOptions, phases: list[Phase], device: torch.device, folder: Path, checkpoints: Path
    ) -> None:
        """`folder` is for the run's log and state, `checkpoints` for its weights."""
        self.options, self.phases, self.device = options, phases, device
        self.folder, self.checkpoints = folder, checkpoints
        self.models: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.rates: dict[str, list[float]] = {}
        self.averages: dict[str, AveragedModel] = {}

    # What a stage says

    @abstractmethod
    def open(self) -> None:
        """Open what the stage reads; called once, before anything else is asked of it."""

    @abstractmethod
    def open_phase(self, phase: Phase) -> None:
        """Open the phase's training and validation examples."""

    @property
    @abstractmethod
    def n_examples(self) -> int:
        """Examples in an epoch of the phase that is open."""

    @abstractmethod
    def build_models(self, phase: Phase) -> list[str]:
        """Fill `models` for a phase: new, from earlier weights or grown. Returns lines for the log."""

    @abstractmethod
    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """An optimiser for each of `models`, by its name."""

    @abstractmethod
    def train_step(self, position: Position) -> dict[str, Tensor]:
        """One iteration over `batch_size` examples from `position` on; returns the losses to log, scalars.

        Everything random in it follows from the seed and the position: torch's own generator is seeded so.
        """

    @abstractmethod
    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        """Metrics of `models`, which stand for the stage's own, on the phase's validation examples."""

    @abstractmethod
    def facts(self, phase: Phase) -> dict[str, Any]:
        """What the weights have to say of the data they are for, as plain data."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What, beside the options, must be the same for a run to be resumed."""

    @abstractmethod
    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        """File name of a model's weights; `which` is one of `models.weight_files`: BEST or LAST."""

    # What all stages have in common

    def start(self) -> None:
        """Make optimisers and averages for `models`, which are new, from a state or from `build_models`."""
        self.optimizers = self.make_optimizers()
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups] for name, optimizer in self.optimizers.items()
        }
        names = self.averaged if self.options.ema else ()
        average = get_ema_multi_avg_fn(self.options.ema)
        self.averages = {name: AveragedModel(self.models[name], multi_avg_fn=average) for name in names}

    def set_rates(self, position: Position) -> None:
        """Give the optimisers the learning rates of a step: those of the options, by the schedule."""
        options, done = self.options, position.epoch * self.n_examples + position.example
        factor = 1.0
        if options.schedule == COSINE:
            factor = 0.5 + 0.5 * math.cos(math.pi * done / (position.phase.epochs * self.n_examples))
        if options.warm_up:
            factor *= min(1.0, (done // options.batch_size + 1) / options.warm_up)
        for name, rates in self.rates.items():
            for group, rate in zip(self.optimizers[name].param_groups, rates, strict=True):
                group["lr"] = factor * rate

    def update(self, loss: Tensor, *names: str) -> None:
        """Move the models called `names` along the gradient of `loss`, and no other.

        The only place where gradients are cleared, computed, clipped and applied.
        """
        parameters = {name: list(self._trained(name)) for name in names}
        for name in names:
            self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward(inputs=[parameter for of_model in parameters.values() for parameter in of_model])
        for name, of_model in parameters.items():
            if self.options.clip_norm:
                nn.utils.clip_grad_norm_(of_model, self.options.clip_norm)
            self.optimizers[name].step()
            if name in self.averages:
                self.averages[name].update_parameters(self.models[name])

    def models_for_users(self) -> dict[str, nn.Module]:
        """The models to validate and save: the moving averages where there are some."""
        return {**self.models, **{name: average.module for name, average in self.averages.items()}}

    def _trained(self, name: str) -> Iterable[Tensor]:
        return (tensor for group in self.optimizers[name].param_groups for tensor in group["params"])

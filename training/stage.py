"""A training stage as the loop sees it: models and their objective, on examples of any kind."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.dropout import RowDropout
from training.options import COSINE, TrainingOptions
from training.ranks import WHOLE, Ranks


@dataclass(frozen=True)
class Phase:
    """Epochs on the same examples; a stage consists of one or more phases in sequence."""

    name: str
    epochs: int

    @property
    def frames(self) -> int:
        """Frames in an example, or 1: the time of a step grows with it."""
        return 1


@dataclass(frozen=True)
class Position:
    """The position of a training step: its phase, epoch and first example, both counted from 0."""

    phase: Phase
    epoch: int
    example: int


class Stage(ABC):
    """Models, data and objective of a training; `training.loop.train` does the rest."""

    name: str
    # The plural noun for examples, for the progress bar.
    examples: str
    # For each model, the validation metric (lower is better) that selects its best checkpoint.
    best_by: dict[str, str]
    # Models that have a moving average of their weights if `ema` is set.
    averaged: tuple[str, ...] = ()
    # Options that may change when a run is resumed.
    free_options = frozenset(
        (
            "checkpoints", "runs", "device", "compile", "threads", "tf32", "save_minutes", "max_hours", "restart",
            "allow_changes",
        )
    )  # fmt: skip
    # Options that determine the shapes of the models, so that not even --allow-changes lets them change.
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
        # The processes that train together, and this one's rows of the batch of a step. The loop sets both.
        self.ranks, self.part = Ranks(), WHOLE

    # A subclass defines:

    @abstractmethod
    def open(self) -> None:
        """Open the data and earlier weights; called once, before all other methods."""

    @abstractmethod
    def open_phase(self, phase: Phase) -> None:
        """Open the training and validation examples of a phase."""

    @property
    @abstractmethod
    def n_examples(self) -> int:
        """Examples in an epoch of the open phase."""

    def examples_of(self, phase: Phase) -> int:
        """Examples in an epoch of any phase, when one is open; a stage of several phases defines it."""
        return self.n_examples

    @abstractmethod
    def build_models(self, phase: Phase) -> list[str]:
        """Fill `models` for a phase: new, from earlier weights, or grown. Returns lines for the log."""

    @abstractmethod
    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return an optimizer for each of `models`, by the model's name."""

    @abstractmethod
    def train_step(self, position: Position) -> dict[str, Tensor]:
        """Train on `batch_size` examples from `position` on; returns the losses to log, scalars.

        Every random number is a function of seed and position. The loop seeds torch's global rng accordingly.
        """

    @abstractmethod
    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        """Return the metrics of `models`, in place of the stage's own, on the validation examples of the phase."""

    @abstractmethod
    def facts(self, phase: Phase) -> dict[str, Any]:
        """Return facts about the data for the weights files, as plain data."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what must be unchanged for a run to be resumed, besides the options."""

    @abstractmethod
    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        """File name of a model's weights; `which` is BEST or LAST of `models.weight_files`."""

    # All stages share:

    def start(self) -> None:
        """Make optimizers and averages for `models`, which `build_models` made or the loop restored from a state."""
        for module in (module for model in self.models.values() for module in model.modules()):
            if isinstance(module, RowDropout):
                module.first, module.step = self.ranks.rank, self.ranks.size
        self.optimizers = self.make_optimizers()
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups] for name, optimizer in self.optimizers.items()
        }
        names = self.averaged if self.options.ema else ()
        average = get_ema_multi_avg_fn(self.options.ema)
        self.averages = {name: AveragedModel(self.models[name], multi_avg_fn=average) for name in names}

    def finished_models(self) -> dict[str, nn.Module]:
        """The models as they are validated and saved: moving averages where there are any."""
        return {**self.models, **{name: average.module for name, average in self.averages.items()}}

    def notes_on_length(self, phase: Phase) -> Iterator[str]:
        """Yield a sentence on each option that leaves a phase of so few steps hardly any effect on the weights."""
        options, steps = self.options, phase.epochs * math.ceil(self.n_examples / self.options.batch_size)
        if steps < options.warm_up:
            yield f"only {steps} steps, fewer than --warm-up {options.warm_up}: the learning rate stays below its value"
        if options.ema and steps * (1 - options.ema) < 1:
            yield f"only {steps} steps, too few for the average of --ema {options.ema:g}: it stays near its start"

    def set_rates(self, position: Position) -> None:
        """Set the learning rates of a step: those of `make_optimizers`, scaled by the schedule."""
        options, done = self.options, position.epoch * self.n_examples + position.example
        factor = 1.0
        if options.schedule == COSINE:
            factor = 0.5 + 0.5 * math.cos(math.pi * done / (position.phase.epochs * self.n_examples))
        if options.warm_up:
            factor *= min(1.0, (done // options.batch_size + 1) / options.warm_up)
        for name, rates in self.rates.items():
            for group, rate in zip(self.optimizers[name].param_groups, rates, strict=True):
                group["lr"] = factor * rate

    def batch_mean(self, values: Tensor) -> Tensor:
        """The mean over the whole batch, without gradient, of `values` (B, ...) of the rows of this process."""
        return self.ranks.sum(values.mean(0) * self.part.weight)

    def gradient_norm(self, gradient: Tensor) -> Tensor:
        """The norm over the whole batch of `gradient` (B, ...) of the rows of this process."""
        return self.ranks.sum(gradient.square().sum()).sqrt()

    def update(self, loss: Tensor, *names: str) -> None:
        """Update the models called `names`, and no other model, by the gradient of `loss`.

        `loss` is a mean over the rows of this process. Gradients are cleared, computed, summed over the processes,
        clipped and applied only here.
        """
        parameters = {}
        for name in names:
            parameters[name] = [tensor for group in self.optimizers[name].param_groups for tensor in group["params"]]
            self.optimizers[name].zero_grad(set_to_none=True)
        every = [tensor for tensors in parameters.values() for tensor in tensors]
        (loss * self.part.weight).backward(inputs=every)
        self.ranks.sum_gradients(every)
        for name, tensors in parameters.items():
            if self.options.clip_norm:
                nn.utils.clip_grad_norm_(tensors, self.options.clip_norm)
            self.optimizers[name].step()
            if name in self.averages:
                self.averages[name].update_parameters(self.models[name])

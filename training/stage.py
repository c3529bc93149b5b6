"""What a training script has to say: its options, models and objective. `training.loop` does the rest."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.device import DEVICES, select_device
from common.errors import UserError
from common.options import CheckedOptions, option
from common.randomness import generator_at
from data.order import WindowOrder, inverse_frequency_weights
from data.store import GIVEN, LABELS, RollStore
from data.windows import Batch, WindowSource
from models.trained import load_trained

BALANCES = ("weights", "sampler", "none")


@dataclass(frozen=True)
class TrainingOptions(CheckedOptions):
    """Options that all stages share. The stages' own follow the published recipe by default."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    checkpoints: Path = option(Path("checkpoints"), "folder for weights, and where earlier stages left theirs")
    runs: Path = option(Path("runs"), "folder for logs, TensorBoard scalars and the state to resume from")
    labels: str = option(
        GIVEN,
        "shuffled gives each split's genres to its songs at random (control experiment: does the genre matter?) and "
        "keeps weights and logs in folders of that name below --checkpoints and --runs",
        choices=LABELS,
    )
    device: str = option("auto", "where to train; auto is cuda, else mps, else cpu", choices=DEVICES)
    bf16: bool = option(False, "compute in bfloat16 where that is safe (autocast)")
    threads: int = option(0, "CPU threads; 0 leaves the choice to torch", minimum=0, maximum=1024)
    seed: int = option(0, "decides weights, order and noise", minimum=0)
    batch_size: int = option(512, "windows in a step", minimum=2)
    save_minutes: float = option(5.0, "minutes between saves of the state inside an epoch", above=0)
    restart: bool = option(False, "begin anew although there is a state to resume from")
    allow_changes: bool = option(False, "resume although options have changed")


# Options that may change between a run and its resumption without making it another run.
FREE_OPTIONS = {"store", "checkpoints", "runs", "device", "threads", "save_minutes", "restart", "allow_changes"}
# What decides the shapes of the models, which no resumption can change.
FIXED_OPTIONS = {"seq_len", "seq_lens", "hidden", "genres"}


@dataclass(frozen=True)
class Phase:
    """Some epochs at one T."""

    seq_len: int
    epochs: int


class Draw:
    """Batches and noise of one training step; everything follows from (seed, T, epoch, step)."""

    def __init__(self, source: WindowSource, order: WindowOrder, seed: int, epoch: int, step: int) -> None:
        self._source, self._order = source, order
        self._epoch, self._step = epoch, step
        self._generator = generator_at("noise", seed, source.seq_len, epoch, step, device=source.device)

    def batch(self, stream: int = 0) -> Batch:
        """The step's windows. Streams above 0 give other windows, for the critic's steps."""
        return self._source.batch(self._order.index(self._epoch, self._step, stream))

    def normal(self, *shape: int) -> Tensor:
        """Standard normal noise."""
        return torch.randn(shape, generator=self._generator, device=self._source.device)

    def uniform(self, n: int) -> Tensor:
        """n uniform numbers in [0, 1)."""
        return torch.rand(n, generator=self._generator, device=self._source.device)


class Stage(ABC):
    """A stage of training: subclasses say which models, which optimisers, and what one iteration does."""

    name: str
    # For each model, the validation metric (lower is better) that decides its best checkpoint.
    best_by: dict[str, str]

    def __init__(self, options: Any, phases: list[Phase], balance: str = "none") -> None:
        self.options = options
        self.phases = phases
        self.device = select_device(options.device)
        if options.threads:
            torch.set_num_threads(options.threads)
        self.store = RollStore.open(options.store).with_labels(options.labels)
        below = () if options.labels == GIVEN else (options.labels,)
        self.checkpoints = options.checkpoints.joinpath(*below)
        self.folder = options.runs.joinpath(*below, self.name)
        self.genres = self.store.genres
        self.models: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.earlier_weights: dict[str, str] = {}  # file name -> hash
        self._balance = balance

    @abstractmethod
    def build_models(self, seq_len: int) -> list[str]:
        """Fill `models` for a phase: new, from earlier checkpoints or grown. Returns lines for the log."""

    @abstractmethod
    def make_optimizers(self) -> None:
        """Fill `optimizers` for the parameters of `models`."""

    @abstractmethod
    def train_step(self, draw: Draw) -> dict[str, Tensor]:
        """One iteration; returns the losses to log, scalars."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Metrics on the validation split at the phase's T."""

    def checkpoint_name(self, model: str, seq_len: int, which: str) -> str:
        """File name of a model's weights; `which` is "best" or "last"."""
        return f"{model}_pretrained_{which}.pth"

    def open_windows(self, seq_len: int) -> None:
        """Open the training and validation windows at `seq_len`. Raises `UserError` where there are none."""
        self.train_windows = WindowSource(self.store, "train", seq_len, self.device)
        self.val_windows = WindowSource(self.store, "val", seq_len, self.device)
        for windows in (self.train_windows, self.val_windows):
            if len(windows) < 2:
                raise UserError(
                    f"{self.store.folder}: the {windows.split} split has {len(windows)} windows of {seq_len} frames, "
                    "but needs at least two; give it more or longer songs"
                )
        genre = self.train_windows.genre
        self.order = WindowOrder(
            genre, self.options.batch_size, self.options.seed, balanced=self._balance == "sampler"
        )
        weights = torch.ones(len(self.genres))
        if self._balance == "weights":
            weights = inverse_frequency_weights(genre, len(self.genres))
        self.genre_weights = weights.to(self.device)

    def load_earlier(self, file_name: str, kind: str, stage: str) -> nn.Module:
        """The model of `kind` that an earlier stage left; its file becomes part of the run's identity.

        Raises `CheckpointError` where it is not there, or was trained on other genres.
        """
        path = self.checkpoints / file_name
        remedy = f"run {stage} first, or name its folder with --checkpoints"
        trained = load_trained(path, kind, remedy, self.genres)
        self.earlier_weights[file_name] = trained.sha256
        return trained.model

    def seed_weights(self, *position: int | str) -> None:
        """Make the initial weights of models built next a function of (seed, position)."""
        torch.manual_seed(generator_at("weights", self.options.seed, *position).initial_seed())

"""The stage that trains a model of the study, and what all kinds share: rows, attributes, noise, validation."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.device import select_device
from common.errors import UserError
from common.options import option
from common.randomness import rng_at, seed_at
from explainable.attributes import (
    ATTRIBUTES,
    AVERAGE_INTERVAL_JUMP,
    NOTE_DENSITY,
    NOTE_RANGE,
    RHYTHMIC_COMPLEXITY,
    attribute_index,
)
from explainable.measures import MeasureSet, SplitRows
from models.prior import Posterior
from models.weight_files import STUDY
from training.optimizers import adam
from training.stage import Phase, Position, Stage, TrainingOptions

VAE = "vae"
# What a number of attributes stands for; the first is given dimension 0 of z, and so on.
NAMED_ATTRIBUTES = {
    "2": (RHYTHMIC_COMPLEXITY, NOTE_DENSITY),
    "4": (RHYTHMIC_COMPLEXITY, NOTE_RANGE, NOTE_DENSITY, AVERAGE_INTERVAL_JUMP),
}
EPOCH_ROWS = "rows in an epoch: others in each where there are more, each several times where there are fewer"
_AT_ONCE = 1024  # rows, where nothing is trained


@dataclass(frozen=True)
class ExplainableOptions(TrainingOptions):
    """Options that all models share; widths and rates are the published ones by default."""

    data: Path = option(Path("measures/irish_folk"), "data set that programs.study_prepare made")
    latent: int = option(32, "numbers of z", minimum=1, maximum=4096)
    attributes: tuple[str, ...] = option(
        ("4",), f"that can be controlled: 2, 4, or names with commas out of {', '.join(ATTRIBUTES)}"
    )
    learning_rate: float = option(1e-4, "Adam's", above=0)
    epochs: int = option(30, "passes over the training rows, or over --epoch-rows of them", minimum=1)
    epoch_rows: int | None = option(None, EPOCH_ROWS, minimum=2)
    validation_rows: int = option(4096, "of validation rows so many at most, the same in every epoch", minimum=2)
    training_measures: int | None = option(
        None, "train on so many measures at most, not counting transpositions: whole tunes, drawn by --seed; those for "
        "a smaller number are among those for a larger", minimum=1,
    )  # fmt: skip
    transposed: bool = option(True, "train on the transpositions of the tunes as well, where the data set has them")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.attribute_names:
            attribute_index(name)
            if self.attribute_names.count(name) > 1:
                raise UserError(f"--attributes: {name} twice; name each once")

    @property
    def attribute_names(self) -> tuple[str, ...]:
        return (
            NAMED_ATTRIBUTES.get(self.attributes[0], self.attributes) if len(self.attributes) == 1 else self.attributes
        )

    @property
    def attribute_columns(self) -> list[int]:
        """The columns of a data set's attributes that are chosen."""
        return [attribute_index(name) for name in self.attribute_names]


def run_place(network: str, options: ExplainableOptions) -> Path:
    """The folder of a run below those of all weights and of all logs."""
    name = f"{network}_z{options.latent}_{'-'.join(options.attributes)}_seed{options.seed}"
    if options.training_measures is not None:
        name += f"_measures{options.training_measures}"
    if not options.transposed:
        name += "_untransposed"
    return Path(STUDY) / options.data.name / name


def drawn_tunes(tune: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Tunes with `most` rows at most, together, out of the tune of each row (N,); int (n,).

    They come in an order that `seed` decides, until one does not fit: the tunes for a smaller number are among those
    for a larger.
    """
    tunes, rows = np.unique(tune, return_counts=True)
    order = torch.randperm(len(tunes), generator=rng_at("tunes", seed)).numpy()
    return tunes[order][np.cumsum(rows[order]) <= most]


class Rows(NamedTuple):
    """Rows of tokens int64 (B, length) and the chosen attributes float32 (B, n)."""

    tokens: Tensor
    attributes: Tensor


class ExplainableStage(Stage):
    """A stage on the rows of a data set. Subclasses say which models and what a step is."""

    name, examples = STUDY, "rows"
    free_options = Stage.free_options | {"data", "validation_rows"}
    fixed_options = frozenset(("latent", "attributes", "hidden"))
    network: str  # of the model

    def __init__(self, options: ExplainableOptions) -> None:
        """Raises `UserError` where the device is not there."""
        place = run_place(self.network, options)
        phases = [Phase("train", options.epochs)]
        super().__init__(
            options, phases, select_device(options.device), options.runs / place, options.checkpoints / place
        )

    def open(self) -> None:
        """Open the data set. Raises `UserError` where there is none."""
        self.measures = MeasureSet.open(self.options.data)

    def open_phase(self, phase: Phase) -> None:
        val = self.measures.split("val")
        self.train_rows = self._training_rows()
        for split, rows in (("train", self.train_rows.tokens), ("val", val.tokens)):
            if len(rows) < 2:
                asked = self.options.training_measures
                within = f" in {asked} measures of whole tunes" if split == "train" and asked is not None else ""
                raise UserError(f"{self.measures.folder}: {len(rows)} rows of {split}{within}; give it more")
        chosen = np.random.default_rng(0).permutation(len(val))[: self.options.validation_rows]
        self.val_rows = Rows(*(field[torch.from_numpy(np.sort(chosen))] for field in self._rows(val)))
        self._order: tuple[int, Tensor] | None = None

    def _training_rows(self) -> Rows:
        measures, most = self.measures, self.options.training_measures
        part = measures.split("train", transposed=None if self.options.transposed else False)
        rows = np.arange(len(part))
        if most is not None:
            tune_of_row = measures.tune[measures.rows("train")]
            tunes = drawn_tunes(tune_of_row, most // measures.form.measures, self.options.seed)
            rows = np.flatnonzero(np.isin(part.tune, tunes))
        self.n_untransposed = int((part.shift[rows] == 0).sum())
        return Rows(*(field[torch.from_numpy(rows)] for field in self._rows(part)))

    def _rows(self, part: SplitRows) -> Rows:
        columns = self.options.attribute_columns
        # Tokens stay bytes until a batch is made: transposed training sets are large.
        return Rows(torch.from_numpy(part.tokens), torch.from_numpy(part.attributes[:, columns]))

    @property
    def n_examples(self) -> int:
        return self.options.epoch_rows or len(self.train_rows.tokens)

    def batch(self, position: Position) -> Rows:
        """The rows of a step, on the device."""
        if self._order is None or self._order[0] != position.epoch:
            at = rng_at("rows", self.options.seed, position.epoch)
            n_rows = len(self.train_rows.tokens)
            passes = -(-self.n_examples // n_rows)
            order = torch.cat([torch.randperm(n_rows, generator=at) for _ in range(passes)])
            self._order = position.epoch, order[: self.n_examples]
        index = self._order[1][position.example :][: self.options.batch_size]
        return self._on_device(self.train_rows, index)

    def _on_device(self, rows: Rows, index: Tensor | slice) -> Rows:
        return Rows(rows.tokens[index].to(self.device).long(), rows.attributes[index].to(self.device))

    def noise(self, n: int, *position: int | str) -> Tensor:
        """Standard normal noise for z, (n, latent), that depends on the position alone."""
        at = rng_at("noise", self.options.seed, *position)
        return torch.randn(n, self.options.latent, generator=at).to(self.device)

    def build_models(self, phase: Phase) -> list[str]:
        # The initial weights are a function of the seed.
        torch.manual_seed(seed_at("weights", self.options.seed, self.network))
        self.models = {name: model.to(self.device) for name, model in self.make_models().items()}
        n_parameters = sum(parameter.numel() for parameter in self.models[VAE].parameters())
        return [f"{n_parameters:,} parameters", f"best by: {self.best_by[VAE]}, running freely"]

    @abstractmethod
    def make_models(self) -> dict[str, nn.Module]:
        """New models, by the names of their weights files."""

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {name: self.adam(model) for name, model in self.models.items()}

    def adam(self, model: nn.Module) -> torch.optim.Optimizer:
        return adam(list(model.parameters()), self.options.learning_rate)

    def encode(self, model: nn.Module, rows: Rows) -> Posterior:
        """q(z | rows)."""
        return model.encode(rows.tokens)

    @staticmethod
    def reconstruction(logits: Tensor, rows: Rows) -> Tensor:
        """Cross-entropy of the rows' tokens, mean over rows and tokens, a scalar in nats."""
        return F.cross_entropy(logits.flatten(0, 1).float(), rows.tokens.flatten())

    @abstractmethod
    def losses(
        self, model: nn.Module, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        """The parts of the loss, scalars, "loss" the first: what is minimised."""

    @abstractmethod
    def play(self, model: nn.Module, z: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        """Logits and tokens of the decoder running freely."""

    @torch.no_grad()
    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        """Loss, its parts and the accuracy of all tokens, the decoder running freely from sampled z."""
        model, n = models[VAE], len(self.val_rows.tokens)
        noise, sums = self.noise(n, "validation"), {}
        for first in range(0, n, _AT_ONCE):
            rows = self._on_device(self.val_rows, slice(first, first + _AT_ONCE))
            posterior = self.encode(model, rows)
            z = posterior.sample(noise[first : first + _AT_ONCE])
            logits, played = self.play(model, z, rows)
            told = self.losses(model, rows, posterior, z, logits)
            told["accuracy"] = (played == rows.tokens).float().mean()
            for name, value in told.items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(z) / n
        return {f"val_{name}": value for name, value in sums.items()}

    def facts(self, phase: Phase) -> dict[str, Any]:
        return {
            "data": self.measures.name,
            "measures_content": self.measures.content_hash,
            "form": self.measures.form.as_plain(),
            "attributes": list(self.options.attribute_names),
            "training_rows": len(self.train_rows.tokens),
            "training_rows_untransposed": self.n_untransposed,
        }

    def identity(self) -> dict[str, Any]:
        return {"measures_content": self.measures.content_hash}

    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        return f"{model}_{which}.pth"

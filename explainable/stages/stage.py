"""What the training stages of the study share: rows of a data set, noise and validation."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.device import select_device, upload
from common.errors import UserError
from common.randomness import rng_at, seed_at
from explainable.attributes import attribute_index
from explainable.measures import MeasureSet, SplitRows
from explainable.options import StudyOptions
from models.compiling import compilable
from models.prior import Posterior
from models.study.measure_vae import MeasureVAE
from models.weight_files import STUDY
from training.optimizers import adam
from training.stage import Phase, Position, Stage

VAE, ADVERSARY = "vae", "adversary"  # models of a stage, and their weights files
_VALIDATION_BATCH = 1024


def run_place(network: str, options: StudyOptions) -> Path:
    """The folder of a run, relative to the folders of all weights and of all logs."""
    name = f"{network}_z{options.latent}_{'-'.join(options.attributes)}_seed{options.seed}"
    name += "" if options.training_measures is None else f"_measures{options.training_measures}"
    name += "" if options.transposed else "_untransposed"
    return Path(STUDY) / options.data.name / name


def drawn_tunes(tune: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Tunes, int (n,), that have at most `most` rows in total; `tune` is the tune of each row, (N,).

    They are taken in an order that `seed` determines until one does not fit, so that a larger `most` adds tunes.
    """
    tunes, rows = np.unique(tune, return_counts=True)
    order = torch.randperm(len(tunes), generator=rng_at("tunes", seed)).numpy()
    return tunes[order][np.cumsum(rows[order]) <= most]


class Rows(NamedTuple):
    """Rows on the device: tokens (B, length), int64 in a batch, and the controlled attributes, float32 (B, n)."""

    tokens: Tensor
    attributes: Tensor

    def batch(self, index: Tensor | slice) -> "Rows":
        return Rows(self.tokens[index].long(), self.attributes[index])


class StudyStage(Stage):
    """A stage on the rows of a data set. A subclass defines the models, a training step and its losses."""

    name, examples = STUDY, "rows"
    averaged = (VAE,)
    free_options = Stage.free_options | {"data", "validation_rows"}
    fixed_options = frozenset(("latent", "attributes", "hidden"))
    network: str

    def __init__(self, options: StudyOptions) -> None:
        """Raises `UserError` if the device is not available."""
        place = run_place(self.network, options)
        device, phases = select_device(options.device), [Phase("train", options.epochs)]
        super().__init__(options, phases, device, options.runs / place, options.checkpoints / place)

    def open(self) -> None:
        """Raises `UserError` if there is no data set."""
        self.measures = MeasureSet.open(self.options.data)

    def open_phase(self, phase: Phase) -> None:
        options, measures = self.options, self.measures
        train, val = measures.split("train", transposed=None if options.transposed else False), measures.split("val")
        rows, limit = np.arange(len(train)), options.training_measures
        if limit is not None:
            tunes = drawn_tunes(measures.tune[measures.rows("train")], limit // measures.form.measures, options.seed)
            rows = np.flatnonzero(np.isin(train.tune, tunes))
        for split, n in (("train", len(rows)), ("val", len(val))):
            if n < 2:
                within = f" in {limit} measures of whole tunes" if limit and split == "train" else ""
                raise UserError(f"{measures.folder}: {n} rows of {split}{within}; give it more")
        self.n_untransposed = int((train.shift[rows] == 0).sum())
        chosen = np.random.default_rng(0).permutation(len(val))[: options.validation_rows]
        both = self.prepared(self._rows(train, rows), self._rows(val, np.sort(chosen)))
        self.train_rows, self.val_rows = (Rows(*(field.to(self.device) for field in each)) for each in both)
        self._order: tuple[int, Tensor] | None = None

    def prepared(self, train: Rows, val: Rows) -> tuple[Rows, Rows]:
        """The rows, all on the host, as the objective takes them. A subclass may change and measure them."""
        return train, val

    def _rows(self, split: SplitRows, chosen: np.ndarray) -> Rows:
        columns = [attribute_index(name) for name in self.options.attribute_names]
        # Tokens stay bytes outside a batch: transposed training sets are large.
        fields = (torch.from_numpy(field) for field in (split.tokens, split.attributes[:, columns]))
        return Rows(*(field[torch.from_numpy(chosen)] for field in fields))

    @property
    def n_examples(self) -> int:
        return self.options.epoch_rows or len(self.train_rows.tokens)

    def batch(self, position: Position) -> Rows:
        """This process's rows of a step, from a random order of all rows that differs between epochs."""
        if self._order is None or self._order[0] != position.epoch:
            rng = rng_at("rows", self.options.seed, position.epoch)
            n_rows = len(self.train_rows.tokens)
            passes = -(-self.n_examples // n_rows)
            order = torch.cat([torch.randperm(n_rows, generator=rng) for _ in range(passes)])
            self._order = position.epoch, order[: self.n_examples]
        index = self._order[1][position.example :][: self._batch_rows(position)][self.part.rows]
        return self.train_rows.batch(upload(index, self.device))

    def _batch_rows(self, position: Position) -> int:
        """Rows in the whole batch of a step."""
        return min(self.options.batch_size, self.n_examples - position.example)

    def noise(self, position: Position, *stream: int | str) -> Tensor:
        """Standard normal noise for z of this process's rows of a step, (B, latent)."""
        place = *stream[:1], position.epoch, position.example, *stream[1:]
        return self._noise(self._batch_rows(position), *place)[self.part.rows]

    def _noise(self, n: int, *place: int | str) -> Tensor:
        rng = rng_at("noise", self.options.seed, *place)
        return upload(torch.randn(n, self.options.latent, generator=rng), self.device)

    def of_batch(self, statistic: Callable[..., Tensor], *values: Tensor) -> Tensor:
        """`statistic` of the whole batch, a scalar, for `values` (B, ...) of the rows of this process."""
        return statistic(*(self.ranks.gather(each, self.part) for each in values))

    def build_models(self, phase: Phase) -> list[str]:
        torch.manual_seed(seed_at("weights", self.options.seed, self.network))
        self.models = {name: model.to(self.device) for name, model in self.make_models().items()}
        n_parameters = sum(parameter.numel() for parameter in self.models[VAE].parameters())
        return [f"{n_parameters:,} parameters", f"best by: {self.best_by[VAE]}, decoded freely"]

    @abstractmethod
    def make_models(self) -> dict[str, nn.Module]:
        """New models, by name."""

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {name: adam(list(model.parameters()), self.options.learning_rate) for name, model in self.models.items()}

    @abstractmethod
    def losses(self, rows: Rows, posterior: Posterior, z: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """The training objective, "loss", and its parts, as scalars."""

    def encode(self, model: nn.Module, rows: Rows) -> Posterior:
        """q(z | rows)."""
        return model.encode(rows.tokens)

    def decode_free(self, model: nn.Module, z: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        """Logits and tokens, decoded freely."""
        return model.decode_free(z)

    @torch.no_grad()
    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        """The losses and the accuracy of all tokens, from sampled z, decoded freely."""
        model, n, sums = models[VAE], len(self.val_rows.tokens), defaultdict(float)
        noise = self._noise(n, "validation")
        for index in torch.arange(n).split(_VALIDATION_BATCH):
            self.part = self.ranks.part(len(index))
            own = index[self.part.rows]
            rows = self.val_rows.batch(own)
            posterior = self.encode(model, rows)
            z = posterior.sample(noise[own])
            logits, tokens = self.decode_free(model, z, rows)
            metrics = self.losses(rows, posterior, z, logits) | {"accuracy": (tokens == rows.tokens).float().mean()}
            for name, value in metrics.items():
                sums[f"val_{name}"] += value.item() * self.part.weight * len(index) / n
        of_all = self.ranks.sum(torch.tensor(list(sums.values()), dtype=torch.float64))
        return dict(zip(sums, of_all.tolist(), strict=True))

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


@compilable
def cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    """Reconstruction error of tokens int64 (B, length), the mean over all tokens, a scalar in nats."""
    return F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten())


def decode_in_training(model: MeasureVAE, z: Tensor, rows: Rows, options: StudyOptions, position: Position) -> Tensor:
    """Logits of a batch, decoded from the true tokens in a share `options.teacher_forcing` of the steps."""
    rng = rng_at("teacher", options.seed, position.epoch, position.example)
    is_forced = torch.rand((), generator=rng).item() < options.teacher_forcing
    return model.decode(z, rows.tokens) if is_forced else model.decode_free(z)[0]

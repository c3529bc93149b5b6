"""A trained model of the study as evaluation and generation use it: one way to play all kinds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import UserError
from common.text import short_name
from explainable.attributes import ATTRIBUTES, attribute_index
from explainable.attributes import attributes as attributes_of
from explainable.measures import MeasureSet
from explainable.normal_scores import NormalScores, scores_of
from explainable.stages.stage import VAE
from explainable.tokens import TokenForm
from models.base import StudyVAE
from models.checkpoint import CheckpointError
from models.prior import Posterior
from models.trained import load

REACH = 3.0  # standard deviations to either side, where a control is moved as far as it goes
_AT_ONCE = 1024  # rows


@dataclass(frozen=True)
class TrainedMeasures:
    """`attributes`: names of what can be controlled. `facts`: what the file says of its making."""

    path: Path
    model: nn.Module
    form: TokenForm
    attributes: list[str]
    facts: dict[str, Any]

    @property
    def in_latent(self) -> bool:
        """Whether attribute k is dimension k of z; else the decoder is told them."""
        return self.model.controls_in_latent

    @property
    def columns(self) -> list[int]:
        """The columns of a data set's attributes that are controlled."""
        return [attribute_index(name) for name in self.attributes]

    @property
    def run(self) -> str:
        """What it is called: the folder of its run, or the file that came with the repository."""
        path = self.path.resolve()
        return path.parent.name if path.stem.startswith(f"{VAE}_") else path.stem

    @property
    def file_name(self) -> str:
        """What names of files made with it begin with: its data set and run, as runs of several sets share names."""
        return short_name(f"{self.facts['data']}_{self.run}")

    def control(self, name: str) -> int:
        """Which of `attributes` is called `name`. Raises `UserError` where the model does not control it."""
        if name in self.attributes:
            return self.attributes.index(name)
        trouble = f"{self.run} does not control {name}" if name in ATTRIBUTES else f"unknown attribute {name!r}"
        raise UserError(
            f"{trouble}; known are {', '.join(ATTRIBUTES)}; {self.run} controls {', '.join(self.attributes)}"
        )

    def typical(self, n: int) -> np.ndarray:
        """Values of the controls, float32 (n, n attributes), to tell where none are asked: the mean in training.

        A decoder that hears z alone is told none: zeros.
        """
        mean = [0.0] * len(self.attributes) if self.in_latent else self.facts["attribute_mean"]
        return np.tile(np.float32(mean), (n, 1))

    def ends(self, k: int, z: Tensor, attributes: np.ndarray) -> tuple[float, float]:
        """How low and how high control k goes.

        `REACH` standard deviations to either side of the mean: of latents `z` (N, latent), or, of what a decoder is
        told, of the attributes (N, n) of training rows, but not beyond these.
        """
        values = z[:, k] if self.in_latent else torch.from_numpy(attributes[:, k])
        mean, reach = float(values.mean()), REACH * float(values.std())
        if self.in_latent:
            return mean - reach, mean + reach
        return max(mean - reach, float(values.min())), min(mean + reach, float(values.max()))

    def controlled(
        self, z: Tensor, attributes: np.ndarray, k: int, values: np.ndarray | float
    ) -> tuple[Tensor, np.ndarray]:
        """z (N, latent) and attributes (N, n), with control k at `values`, (N,) or one for all; both are copies."""
        z, attributes = z.clone(), attributes.copy()
        if self.in_latent:
            z[:, k] = torch.as_tensor(values, dtype=z.dtype)
        else:
            attributes[:, k] = values
        return z, attributes

    def require_data(self, measures: MeasureSet) -> None:
        """Raises `CheckpointError` where the model was trained on another data set."""
        if self.facts["measures_content"] != measures.content_hash:
            raise CheckpointError(
                f"{self.path}: trained on other measures than {measures.folder} holds; name those it was trained on"
            )

    @torch.no_grad()
    def encode(self, tokens: np.ndarray) -> Posterior:
        """q(z | row) of rows of tokens (N, length): mean and log-variance, float32 (N, latent)."""
        heard = torch.from_numpy(tokens.astype(np.int64)), *self._given(tokens)
        parts = [self.model.encode(*part) for part in zip(*(field.split(_AT_ONCE) for field in heard), strict=True)]
        return Posterior(*map(torch.cat, zip(*parts, strict=True)))

    def _given(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """What the encoder hears beside rows of tokens: of an AttributeVAE, the normal scores of their attributes."""
        if not self.model.encodes_scores:
            return ()
        scores = [NormalScores.from_plain(plain) for plain in self.facts["attribute_scores"]]
        return (torch.from_numpy(scores_of(scores, attributes_of(rows, self.form)[:, self.columns])),)

    @torch.no_grad()
    def play(self, z: Tensor, attributes: np.ndarray) -> np.ndarray:
        """What the decoder makes, running freely, of z (N, latent): tokens int64 (N, length).

        `attributes` (N, n) of the names in `attributes`, in their own units: told to a decoder that is told any.
        """
        conditions = self.standardised(attributes)
        parts = []
        for latents, told in zip(z.split(_AT_ONCE), conditions.split(_AT_ONCE), strict=True):
            more = () if self.in_latent else (told, self.form.length)
            parts.append(self.model.decode_free(latents, *more)[1])
        return torch.cat(parts).numpy()

    def standardised(self, attributes: np.ndarray) -> Tensor:
        """Attributes by mean and deviation of the training rows; as they are where the decoder hears none."""
        values = torch.from_numpy(np.asarray(attributes, np.float32))
        if self.in_latent:
            return values
        mean, deviation = (torch.tensor(self.facts[f"attribute_{name}"]) for name in ("mean", "deviation"))
        return (values - mean) / deviation


def load_measures_model(path: Path) -> TrainedMeasures:
    """The model in a weights file, in eval mode. Raises `CheckpointError` where there is none that can be used."""
    trained = load(path, StudyVAE.kind, "train it with python -m programs.study_train")
    form, attributes = TokenForm.from_plain(trained.facts["form"]), list(trained.facts["attributes"])
    return TrainedMeasures(path, trained.model, form, attributes, trained.facts)

"""A trained model of the study as evaluation and generation use it: one way to play both kinds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explainable.attributes import attribute_index
from explainable.tokens import TokenForm
from models import rebuild
from models.adversarial_vae import AdversarialVAE
from models.checkpoint import CheckpointError, read_checkpoint
from models.prior import Posterior

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
        return self.model.network != AdversarialVAE.network

    @property
    def columns(self) -> list[int]:
        """The columns of a data set's attributes that are controlled."""
        return [attribute_index(name) for name in self.attributes]

    @torch.no_grad()
    def encode(self, tokens: np.ndarray) -> Posterior:
        """q(z | row) of rows of tokens (N, length): mean and log-variance, float32 (N, latent)."""
        parts = [self.model.encode(torch.from_numpy(rows.astype(np.int64))) for rows in _parts(tokens)]
        return Posterior(*map(torch.cat, zip(*parts, strict=True)))

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


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, range(_AT_ONCE, len(rows), _AT_ONCE))


def load_measures_model(path: Path) -> TrainedMeasures:
    """The model in a weights file, in eval mode. Raises `CheckpointError` where there is none that can be used."""
    remedy = "train it with python -m explainable.train"
    content = read_checkpoint(path, remedy)
    if content.get("kind") != AdversarialVAE.kind:
        raise CheckpointError(f"{path}: holds {content.get('kind') or 'no weights'}, no model of measures; {remedy}")
    try:
        facts = content["facts"]
        form = TokenForm.from_plain(facts["form"])
        return TrainedMeasures(path, rebuild(content), form, list(facts["attributes"]), facts)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged or of another version ({error}); {remedy}") from error

"""Trained models of the study, with one interface for all of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.text import short_name
from explainable.attributes import attribute_index
from explainable.attributes import attributes as attributes_of
from explainable.measures import MeasureSet
from explainable.normal_scores import NormalScores, scores_of
from explainable.options import StudyWeightsOptions
from explainable.stages.stage import VAE
from explainable.tokens import TokenForm
from models.base import StudyVAE
from models.errors import CheckpointError
from models.prior import Posterior
from models.trained import load
from models.weight_files import STUDY, STUDY_FILE, find_study_weights

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class TrainedVAE:
    """A model of the study in eval mode on the CPU.

    `attributes`: the names of its n controls. `facts`: those of its weights file. Where methods take or return
    `controls`, these are values of the controls in the attributes' units, float32 (N, n).
    """

    path: Path
    model: nn.Module
    form: TokenForm
    attributes: list[str]
    facts: dict[str, Any]

    @property
    def in_latent(self) -> bool:
        """Whether control k is dimension k of z; if not, it is an input of the decoder."""
        return self.model.controls_in_latent

    @property
    def columns(self) -> list[int]:
        """The columns of `ATTRIBUTES` that are controlled."""
        return [attribute_index(name) for name in self.attributes]

    @property
    def run(self) -> str:
        """The folder name of the run, or the file name if the weights came with the repository."""
        path = self.path.resolve()
        return path.parent.name if path.stem.startswith(f"{VAE}_") else path.stem

    @property
    def file_name(self) -> str:
        """A prefix for names of files made with the model: data set and run."""
        return short_name(f"{self.facts['data']}_{self.run}")

    def mean_controls(self, n: int) -> np.ndarray:
        """The training mean of each control, `n` rows; zeros if the decoder does not take attributes."""
        mean = [0.0] * len(self.attributes) if self.in_latent else self.facts["attribute_mean"]
        return np.tile(np.float32(mean), (n, 1))

    def control_range(self, k: int, z: Tensor, controls: np.ndarray) -> tuple[float, float]:
        """The lowest and highest value of control k: three standard deviations to either side of the mean of `z`
        (N, latent), or of `controls` of the training rows, whose values also limit the range.
        """
        values = z[:, k] if self.in_latent else torch.from_numpy(controls[:, k])
        low, high = around_mean(float(values.mean()), float(values.std()))
        return (low, high) if self.in_latent else (max(low, float(values.min())), min(high, float(values.max())))

    def set_control(
        self, z: Tensor, controls: np.ndarray, k: int, values: np.ndarray | Tensor | float
    ) -> tuple[Tensor, np.ndarray]:
        """Copies of z (N, latent) and `controls` with control k at `values`, (N,) or one value for all rows."""
        z, controls = z.clone(), controls.copy()
        if self.in_latent:
            z[:, k] = torch.as_tensor(values, dtype=z.dtype)
        else:
            controls[:, k] = values
        return z, controls

    def require_data(self, measures: MeasureSet) -> None:
        """Raises `CheckpointError` if the model was trained on another data set."""
        if self.facts["measures_content"] != measures.content_hash:
            raise CheckpointError(
                f"{self.path}: trained on another data set than {measures.folder}; name the one it was trained on"
            )

    @torch.no_grad()
    def encode(self, tokens: np.ndarray) -> Posterior:
        """q(z | row) of rows of tokens (N, length): mean and log-variance, float32 (N, latent)."""
        inputs = [torch.from_numpy(tokens.astype(np.int64))]
        if self.model.encodes_scores:
            scores = [NormalScores.from_plain(plain) for plain in self.facts["attribute_scores"]]
            inputs.append(torch.from_numpy(scores_of(scores, attributes_of(tokens, self.form)[:, self.columns])))
        parts = zip(*(each.split(_ROWS_AT_ONCE) for each in inputs), strict=True)
        return Posterior(*map(torch.cat, zip(*(self.model.encode(*part) for part in parts), strict=True)))

    @torch.no_grad()
    def decode(self, z: Tensor, controls: np.ndarray) -> np.ndarray:
        """Tokens int64 (N, length) of z (N, latent), decoded freely; `controls` are used only by a decoder's input."""
        inputs = [z]
        if not self.in_latent:
            mean, deviation = (torch.tensor(self.facts[f"attribute_{name}"]) for name in ("mean", "deviation"))
            inputs.append((torch.from_numpy(np.asarray(controls, np.float32)) - mean) / deviation)
        length = () if self.in_latent else (self.form.length,)
        parts = zip(*(each.split(_ROWS_AT_ONCE) for each in inputs), strict=True)
        return torch.cat([self.model.decode_free(*part, *length)[1] for part in parts]).numpy()


def around_mean(mean: float, deviation: float) -> tuple[float, float]:
    """The range of a control: three standard deviations to either side of its mean."""
    return mean - 3 * deviation, mean + 3 * deviation


def load_vae(path: Path) -> TrainedVAE:
    """Load a model from its weights file. Raises `CheckpointError` if the file is missing or unusable."""
    trained = load(path, StudyVAE.kind, "train it with python -m programs.study_train")
    form, attributes = TokenForm.from_plain(trained.facts["form"]), list(trained.facts["attributes"])
    return TrainedVAE(path, trained.model, form, attributes, trained.facts)


def run_weights(checkpoints: Path, data: Path) -> list[Path]:
    """The best weights of all runs on the data set in folder `data`, sorted."""
    return sorted((checkpoints / STUDY / data.name).glob(f"*/{STUDY_FILE}"))


def load_chosen(options: StudyWeightsOptions) -> TrainedVAE:
    """The model that the options choose. Raises `CheckpointError` if there are no weights, or several runs."""
    remedy = "name one with --weights" + ("" if options.model else ", or its model with --model")
    return load_vae(options.weights or find_study_weights(options.checkpoints, options.model, remedy))

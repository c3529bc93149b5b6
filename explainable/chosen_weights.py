"""Which model of the study a program uses: weights that are named, one's own run, or those of the repository."""

from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.options import CheckedOptions, option
from explainable.trained import TrainedMeasures, load_measures_model
from models.study.attribute_vae import AttributeVAE
from models.weight_files import find_study_weights
from programs.study_train import MODELS


@dataclass(frozen=True)
class WeightsOptions(CheckedOptions):
    """Options of every program that uses one model."""

    weights: Path | None = option(None, "of a model; without it, those of your one run, or the repository's")
    checkpoints: Path = option(Path("checkpoints"), "folder of your own runs")
    model: str | None = option(
        None, f"of your runs, or of the repository's weights; without it, any of your runs, or {AttributeVAE.network}",
        choices=tuple(MODELS),
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Raises `UserError` also where options do not go together."""
        super().__post_init__()
        if self.weights and self.model:
            raise UserError("--weights and --model both name a model; leave one out")

    def load(self) -> TrainedMeasures:
        """The model. Raises `CheckpointError` if there are no weights, or several runs."""
        remedy = "name one with --weights" + ("" if self.model else ", or its model with --model")
        return load_measures_model(self.weights or find_study_weights(self.checkpoints, self.model, remedy))

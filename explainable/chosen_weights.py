"""Which model of the study a program uses: weights that are named, one's own run, or those of the repository."""

from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.options import CheckedOptions, option
from explainable.stages.stage import FOLDER, VAE
from explainable.trained import TrainedMeasures, load_measures_model
from models.measure_vae import MeasureVAE
from models.weight_files import RELEASED


@dataclass(frozen=True)
class WeightsOptions(CheckedOptions):
    """Options of every program that uses one model."""

    weights: Path | None = option(None, "of a model; without it, of the one run below --checkpoints, or of --model")
    checkpoints: Path = option(Path("checkpoints"), "folder of your own runs")
    model: str = option(MeasureVAE.network, "whose weights that come with the repository, where you have no run")

    def load(self) -> TrainedMeasures:
        """The model. Raises `UserError` or `CheckpointError` where there are no weights, or several runs."""
        return load_measures_model(self.weights or find_weights(self.checkpoints, self.model))


def find_weights(checkpoints: Path, model: str) -> Path:
    """The weights to use where none are named: those of the one run below `checkpoints`, else of the repository.

    `model` says which of the latter. Raises `UserError` where there are several runs, or no weights.
    """
    folder, shipped = checkpoints / FOLDER, RELEASED / FOLDER / f"{model}.pth"
    own = sorted(folder.glob(f"*/*/{VAE}_best.pth"))
    if len(own) > 1:
        raise UserError(f"{folder}: {len(own)} runs; name one with --weights, such as {own[0]}")
    if own or shipped.is_file():
        return own[0] if own else shipped
    there = ", ".join(sorted(path.stem for path in shipped.parent.glob("*.pth"))) or "none"
    raise UserError(
        f"{shipped}: no such weights (there are {there}), and no run below {folder}; train one with "
        "python -m explainable.train, or name weights with --weights"
    )

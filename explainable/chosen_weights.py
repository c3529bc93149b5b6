"""Which model of the study a program uses: weights that are named, one's own run, or those of the repository."""

from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.options import CheckedOptions, option
from explainable.stages.stage import FOLDER, VAE
from explainable.trained import TrainedMeasures, load_measures_model
from models.study.attribute_vae import AttributeVAE
from models.weight_files import RELEASED
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
        """The model. Raises `UserError` or `CheckpointError` where there are no weights, or several runs."""
        return load_measures_model(self.weights or find_weights(self.checkpoints, self.model))


def find_weights(checkpoints: Path, model: str | None = None) -> Path:
    """The weights to use where none are named: those of the one run below `checkpoints`, else of the repository.

    `model`, one of `MODELS`: which of both are looked for; without it, any run, and the repository's AttributeVAE.
    Raises `UserError` where there are several runs, or no weights.
    """
    folder, shipped = checkpoints / FOLDER, RELEASED / FOLDER / f"{model or AttributeVAE.network}.pth"
    own = _runs(folder, model)
    if len(own) > 1:
        apart = [] if model else [name for name in MODELS if len(_runs(folder, name)) == 1]
        or_model = f", or one model with --model: {', '.join(apart)}" if apart else ""
        raise UserError(f"{folder}: {len(own)} runs; name one with --weights, such as {own[0]}{or_model}")
    if own or shipped.is_file():
        return own[0] if own else shipped
    there = ", ".join(sorted(path.stem for path in shipped.parent.glob("*.pth"))) or "none"
    raise UserError(
        f"{shipped}: no such weights (there are {there}), and no run{f' of {model}' if model else ''} below {folder}; "
        "train one with python -m programs.study_train, or name weights with --weights"
    )


def _runs(folder: Path, model: str | None) -> list[Path]:
    """Weights of the runs of `model`, whose folders begin with its name, or of all."""
    return sorted(folder.glob(f"*/{f'{model}_' if model else ''}*/{VAE}_best.pth"))

"""Train a model of the study on a data set of measures.

    python -m programs.study_train measure_vae --data measures/irish_folk --latent 32 --attributes 4
    python -m programs.study_train adversarial_vae --data measures/irish_folk --latent 128 --attributes 2
    python -m programs.study_train attribute_vae --data measures/irish_folk --latent 32
    python -m programs.study_train measure_vae --hidden 128 --epochs 5      # smaller and shorter than published

The default options are the published recipes. The same command resumes a stopped run, on the CPU bit for bit. Weights
are checkpoints/explainable/DATA/RUN/vae_{best,last}.pth, logs are in runs/explainable/DATA/RUN.
"""

import sys
from collections.abc import Sequence

from common.errors import UserError, run_command
from common.options import parse_options
from explainable.options import TRAININGS, StudyOptions
from models.errors import CheckpointError
from models.names import MEASURE_VAE


def train_model(model: str, options: StudyOptions) -> None:
    """Train `model`, one of `TRAININGS`. Raises `UserError` as `training.loop.train` does."""
    from explainable.stages import STAGES
    from training.loop import train

    train(STAGES[model](options))


def split_model(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The model that a command line names, first or after --model, and its other words.

    Raises `UserError` for an unknown model.
    """
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--model=") else [word])]
    if "--model" in words[:-1]:
        index = words.index("--model")
        _, model = words.pop(index), words.pop(index)
    else:
        model = words.pop(0) if words and not words[0].startswith("-") else MEASURE_VAE
    if model not in TRAININGS:
        raise UserError(f"unknown model {model!r}; known are {', '.join(TRAININGS)}")
    return model, words


def _main(arguments: Sequence[str]) -> None:
    model, words = split_model(arguments)
    train_model(model, parse_options(TRAININGS[model], __doc__, words))


if __name__ == "__main__":
    run_command(lambda: _main(sys.argv[1:]), CheckpointError)

"""What each control does to a few measures, from low to high: notes for the page, which plays them.

    python -m programs.study_sweeps --data measures/irish_folk              # all runs on that data set
    python -m programs.study_sweeps --data measures/irish_folk,measures/bach --measures 2
    python -m programs.study_sweeps --data measures/irish_folk --weights RUN_A/vae_best.pth,RUN_B/vae_best.pth

Writes metrics/explainable_sweeps.json: for each model, control and test measure the measures decoded at nine positions
of the control. report.py shows them. A dimension of z goes three standard deviations of the test measures' latents to
either side of their mean; what a decoder is told, as far in the training measures, but not beyond their values.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError, run_command
from common.files import write_text
from common.options import CheckedOptions, option, parse_options
from explainable.attributes import ATTRIBUTES
from explainable.measures import MeasureSet
from explainable.melody_files import FRAMES_PER_SECOND
from explainable.sweeps import SWEEPS_FILE, sweep_model
from explainable.trained import load_vae, run_weights
from models.checkpoint import CheckpointError
from models.weight_files import STUDY


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Which models and measures, and where the file goes."""

    data: tuple[Path, ...] = option((Path("measures/irish_folk"),), "data sets that programs.study_prepare made")
    weights: tuple[Path, ...] = option((), "of models; without it, all runs on these data sets below --checkpoints")
    checkpoints: Path = option(Path("checkpoints"), "folder of your own runs")
    measures: int = option(3, "test rows for each model", minimum=1, maximum=100)
    seed: int = option(0, "decides which they are", minimum=0)
    metrics: Path = option(Path("metrics"), "folder for the file")


def make_sweeps(options: Options) -> Path:
    """Write the sweeps; returns their path. Raises `UserError` or `CheckpointError` where something is missing."""
    sets = [MeasureSet.open(folder) for folder in options.data]
    paths = options.weights or [path for data in options.data for path in run_weights(options.checkpoints, data)]
    if not paths:
        places = [str(options.checkpoints / STUDY / folder.name) for folder in options.data]
        raise UserError(f"{', '.join(places)}: no run there; train one, or name weights with --weights")
    models = []
    for path in paths:
        trained = load_vae(path)
        content = trained.facts["measures_content"]
        measures = next((own for own in sets if own.content_hash == content), None)
        if measures is None:
            raise CheckpointError(f"{path}: trained on other measures ({trained.facts['data']}); name them with --data")
        models.append(sweep_model(trained, measures, options.measures, options.seed))
    content = {"attributes": ATTRIBUTES, "frames_per_second": FRAMES_PER_SECOND, "models": models}
    path = options.metrics / SWEEPS_FILE
    write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path}: {len(models)} models, {path.stat().st_size / 1e3:.0f} kB; report.py shows them")
    return path


if __name__ == "__main__":
    run_command(lambda: make_sweeps(parse_options(Options, __doc__)), CheckpointError)

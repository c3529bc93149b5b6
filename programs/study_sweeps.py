"""Decode a few test measures with nine values of each control, for the control panel of the page.

    python -m programs.study_sweeps --data measures/irish_folk              # all runs on that data set
    python -m programs.study_sweeps --data measures/irish_folk,measures/bach --measures 2
    python -m programs.study_sweeps --data measures/irish_folk --weights RUN_A/vae_best.pth,RUN_B/vae_best.pth

Writes metrics/explainable_sweeps.json, which report.py shows. A control moves three standard deviations to either side
of its mean: that of the test measures' latents for a dimension of z; that of the training attributes, clipped to their
range, for an input of the decoder.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError, run_command
from common.files import check_outputs, write_text
from common.options import CheckedOptions, option, parse_options
from models.errors import CheckpointError


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Models and measures."""

    data: tuple[Path, ...] = option((Path("measures/irish_folk"),), "data sets made by programs.study_prepare")
    weights: tuple[Path, ...] = option((), "weights files (default: all runs on the data sets)")
    checkpoints: Path = option(Path("checkpoints"), "folder of your runs")
    measures: int = option(3, "test rows for each model", minimum=1, maximum=100)
    seed: int = option(0, "seed that selects the test rows", minimum=0)
    metrics: Path = option(Path("metrics"), "folder for the file")


def make_sweeps(options: Options) -> Path:
    """Write the sweeps; returns their path. Raises `UserError` or `CheckpointError` if no usable weights are found."""
    from explainable.attributes import ATTRIBUTES
    from explainable.measures import MeasureSet
    from explainable.melody_files import FRAMES_PER_SECOND
    from explainable.result_tables import SWEEPS_FILE
    from explainable.sweeps import sweep_model
    from explainable.trained import load_vae, run_weights
    from models.weight_files import STUDY

    sets = {measures.content_hash: measures for measures in map(MeasureSet.open, options.data)}
    paths = options.weights or [path for data in options.data for path in run_weights(options.checkpoints, data)]
    if not paths:
        places = [str(options.checkpoints / STUDY / folder.name) for folder in options.data]
        raise UserError(f"{', '.join(places)}: no run there; train one, or name weights with --weights")
    output = options.metrics / SWEEPS_FILE
    check_outputs([output], options.weights)
    models = []
    for path in paths:
        trained = load_vae(path)
        measures = sets.get(trained.facts["measures_content"])
        if measures is None:
            raise CheckpointError(f"{path}: trained on another data set ({trained.facts['data']}); name it with --data")
        models.append(sweep_model(trained, measures, options.measures, options.seed))
    content = {"attributes": ATTRIBUTES, "frames_per_second": FRAMES_PER_SECOND, "models": models}
    write_text(output, json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{output}: {len(models)} models, {output.stat().st_size / 1e3:.0f} kB; report.py shows them")
    return output


if __name__ == "__main__":
    run_command(lambda: make_sweeps(parse_options(Options, __doc__)), CheckpointError)

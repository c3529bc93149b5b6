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
from typing import Any

import numpy as np

from common.errors import UserError, run_command
from common.files import write_text
from common.options import CheckedOptions, option, parse_options
from explainable.attributes import ATTRIBUTES, attributes
from explainable.measures import MeasureSet, SplitRows
from explainable.melody_files import FRAMES_PER_SECOND, MEASURE_FRAMES, frames_of, notes_of
from explainable.stages.stage import FOLDER, VAE
from explainable.trained import TrainedMeasures, load_measures_model
from models.checkpoint import CheckpointError

FILE = "explainable_sweeps.json"
POSITIONS = 9
_DIGITS = 4


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
    places = [options.checkpoints / FOLDER / folder.name for folder in options.data]
    paths = options.weights or [path for place in places for path in sorted(place.glob(f"*/{VAE}_best.pth"))]
    if not paths:
        raise UserError(f"{', '.join(map(str, places))}: no run there; train one, or name weights with --weights")
    models = []
    for path in paths:
        trained = load_measures_model(path)
        content = trained.facts["measures_content"]
        measures = next((own for own in sets if own.content_hash == content), None)
        if measures is None:
            raise CheckpointError(f"{path}: trained on other measures ({trained.facts['data']}); name them with --data")
        models.append(sweep_model(trained, measures, options.measures, options.seed))
    content = {"attributes": ATTRIBUTES, "frames_per_second": FRAMES_PER_SECOND, "models": models}
    path = options.metrics / FILE
    write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path}: {len(models)} models, {path.stat().st_size / 1e3:.0f} kB; report.py shows them")
    return path


def sweep_model(trained: TrainedMeasures, measures: MeasureSet, n: int, seed: int) -> dict[str, Any]:
    """Name, originals and sweeps of a model, as plain data, for `n` test rows; `UserError` where too few are there."""
    test, training = read_test_rows(measures), measures.split("train", transposed=False)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(test))[:n])
    z, own = trained.encode(test.tokens).mean, test.attributes[chosen][:, trained.columns]
    controls = []
    for k, name in enumerate(trained.attributes):
        values = np.linspace(*trained.ends(k, z, training.attributes[:, trained.columns]), POSITIONS)
        rows = [trained.play(*trained.controlled(z[chosen], own, k, value)) for value in values]
        steps = [[_plain(row, trained) for row in of_measure] for of_measure in np.stack(rows, axis=1)]
        controls.append({"attribute": name, "values": _rounded(values), "measures": steps})
    return {
        "run": trained.run,
        "network": trained.model.network,
        "data": measures.name,
        "is_told": not trained.in_latent,
        "frames": trained.form.measures * MEASURE_FRAMES,
        "originals": [_plain(row, trained) for row in test.tokens[chosen]],
        "controls": controls,
    }


def read_test_rows(measures: MeasureSet) -> SplitRows:
    """The rows of the test tunes. Raises `UserError` where there are fewer than two, which have no deviation."""
    test = measures.split("test")
    if len(test) < 2:
        raise UserError(
            f"{measures.folder}: has {len(test)} rows of test tunes, and how far a control goes takes 2; "
            "prepare more tunes with python -m programs.study_prepare"
        )
    return test


def _plain(row: np.ndarray, trained: TrainedMeasures) -> dict[str, Any]:
    """A row as notes, first frame, frames and pitch of each, and its attributes."""
    values = attributes(row[None], trained.form)[0]
    return {"notes": frames_of(notes_of(row, trained.form)), "attributes": _rounded(values)}


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values.astype(float), _DIGITS).tolist()


if __name__ == "__main__":
    run_command(lambda: make_sweeps(parse_options(Options, __doc__)), CheckpointError)

"""Take training steps of one stage on request: the part of `benchmarks.against` that runs in each revision.

The imports and names are those that all revisions since 127d5d5 have. The arguments are program, preset, options that
replace the preset's as JSON, and the folder of store and weights. Each line of the input is a number of steps, or
PRODUCTS for the seconds that the products of a step take; its answer is a line of JSON.
"""

import importlib
import json
import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import torch

from common.device import prepare_process
from common.files import save_plain
from models.checkpoint import weights_content
from models.weight_files import pretrained_file
from training.stage import Position, Stage

# Of older revisions, whose programs have no `make_stage`.
STAGES = {"train_cvae": "CVAEStage", "train_cgan": "CGANStage", "train_hybrid": "HybridStage"}
CHECKED = 3  # first steps, whose losses are compared
PRODUCTS = "products"
MULTIPLIES = re.compile(r"aten::(mm|addmm|bmm|baddbmm|mv|addmv|.*convolution|_scaled_dot_product).*")


def built_stage(program_name: str, preset: str, changes: dict[str, Any], folder: Path) -> Stage:
    """A stage with models of initial weights."""
    program = importlib.import_module(program_name)
    folders = {"store": folder / "store", "checkpoints": folder / "checkpoints", "runs": folder / "runs"}
    settings = {"device": "cpu", **program.PRESETS.get(preset, {}), **folders, **changes}
    make_stage = getattr(program, "make_stage", None) or getattr(program, STAGES[program_name])
    stage = make_stage(program.Options(**settings))
    stage.open()
    stage.open_phase(stage.phases[0])
    stage.build_models(stage.phases[0])
    return stage


def write_initial_cvae(preset: str, device: str, folder: Path, **changes: Any) -> None:
    """Write the CVAE with which stages 2 and 3 begin."""
    stage = built_stage("train_cvae", preset, {"device": device, **changes}, folder)
    content = weights_content(stage.models["cvae"], stage.facts(stage.phases[0]))
    (folder / "checkpoints").mkdir(exist_ok=True)
    save_plain(content, folder / "checkpoints" / pretrained_file("cvae"))


@contextmanager
def without_dropout(stage: Stage) -> Iterator[None]:
    """The stage's models drop nothing out."""
    layers = [layer for model in stage.models.values() for layer in model.modules()]
    names = {"Dropout": "p", "RowDropout": "share"}  # the first in older revisions
    dropouts = [(layer, names[type(layer).__name__]) for layer in layers if type(layer).__name__ in names]
    shares = [getattr(layer, name) for layer, name in dropouts]
    for layer, name in dropouts:
        setattr(layer, name, 0.0)
    yield
    for (layer, name), share in zip(dropouts, shares, strict=True):
        setattr(layer, name, share)


def position_of(stage: Stage, step: int) -> Position:
    """The position of a step in an epoch that is repeated, without its last batch where that is smaller."""
    batch, last = stage.options.batch_size, max(stage.n_examples - stage.options.batch_size, 0)
    return Position(stage.phases[0], 0, step * batch % (last + 1) // batch * batch)


def steps_of(stage: Stage) -> Iterator[dict[str, float]]:
    """The losses of one step after another. The first `CHECKED` have no dropout: its draws depend on the padding."""
    for step in count():
        with without_dropout(stage) if step < CHECKED else nullcontext():
            losses = stage.train_step(position_of(stage, step))
        yield {name: loss.item() for name, loss in losses.items()}


def seconds_of_products(steps: Iterator[dict[str, float]]) -> float:
    """The processor time of the matrix products and convolutions in a step on the CPU.

    The profiler measures by the clock. On a processor shared with others, each part counts by the step's share of it.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        clock, used = time.perf_counter(), time.process_time()
        next(steps)
        share = (time.process_time() - used) / (time.perf_counter() - clock)
    operations = [operation for operation in profile.key_averages() if MULTIPLIES.fullmatch(operation.key)]
    return share * sum(operation.self_cpu_time_total for operation in operations) / 1e6


def main() -> None:
    program, preset, changes, folder = sys.argv[1:]
    # JSON has no tuples, and options no lists.
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(changes).items()}
    folder = Path(folder)
    if preset.startswith("large") and hasattr(importlib.import_module(program).Options, "noise"):
        changes = {"noise": 0} | changes  # older generators have none
    torch.set_num_threads(1)
    if program != "train_cvae":
        write_initial_cvae(preset, changes.get("device", "cpu"), folder)
    stage = built_stage(program, preset, changes, folder)
    prepare_process(stage.device, threads=1)
    stage.start()
    steps = steps_of(stage)
    for line in sys.stdin:
        if line.strip() == PRODUCTS:
            print(json.dumps({"seconds": seconds_of_products(steps)}), flush=True)
            continue
        started = time.perf_counter() if stage.device.type == "cuda" else time.process_time()
        losses = [next(steps) for _ in range(int(line))]
        ended = time.perf_counter() if stage.device.type == "cuda" else time.process_time()
        windows = int(line) * min(stage.options.batch_size, stage.n_examples)
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"seconds": ended - started, "windows": windows, "megabytes": megabytes, "losses": losses}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

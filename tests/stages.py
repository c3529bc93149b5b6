"""Shared by tests of training: options of short runs, interrupted stages, comparison of results."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import train_cgan
import train_cvae
import train_hybrid
from common.options import parse_options
from data.window_lengths import WINDOW_LENGTHS
from models.checkpoint import read_checkpoint
from models.weight_files import BEST, LAST, hybrid_file, pretrained_file
from training.roll_stage import Draw, RollStage
from training.stage import Position, Stage

REPOSITORY = Path(train_cvae.__file__).parent
BATCH = 16
STAGE_1_AND_2 = {pretrained_file(model, which) for model in ("cvae", "generator", "critic") for which in (BEST, LAST)}
STAGE_3 = {
    hybrid_file(model, seq_len, which)
    for model in ("cvae", "G", "D") for seq_len in WINDOW_LENGTHS for which in (BEST, LAST)
}  # fmt: skip


def arguments(store: Path, folder: Path) -> list[str]:
    """Command-line arguments of every stage in a test run."""
    paths = ["--store", store, "--checkpoints", folder / "checkpoints", "--runs", folder / "runs"]
    return [*map(str, paths), "--batch-size", str(BATCH), "--device", "cpu", "--threads", "1"]


def run_script(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, name, *options], cwd=REPOSITORY, capture_output=True, text=True)


def exit_code(monkeypatch: pytest.MonkeyPatch, script: str, *options: str) -> object:
    """The exit code of `python script options`, run in this process."""
    monkeypatch.setattr(sys, "argv", [script, *options])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(REPOSITORY / script), run_name="__main__")
    return caught.value.code


def epochs_logged(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def cvae_options(store: Path, folder: Path, **changes: Any) -> train_cvae.Options:
    return _short_options(train_cvae, store, folder, changes, "--epochs", "2")


def cgan_options(store: Path, folder: Path, **changes: Any) -> train_cgan.Options:
    return _short_options(train_cgan, store, folder, changes, "--epochs", "1", "--critic-steps", "2")


def hybrid_options(store: Path, folder: Path, **changes: Any) -> train_hybrid.Options:
    words = ["--seq-len", "32,64", "--epochs", "1,1", "--critic-steps", "2"]
    return _short_options(train_hybrid, store, folder, changes, *words)


def _short_options(program: Any, store: Path, folder: Path, changes: dict[str, Any], *words: str) -> Any:
    return replace(parse_options(program.Options, "", [*arguments(store, folder), *words]), **changes)


STAGES = {
    "cvae": (train_cvae.make_stage, cvae_options), "cgan": (train_cgan.make_stage, cgan_options),
    "hybrid": (train_hybrid.make_stage, hybrid_options),
}  # fmt: skip
# The names of a stage's weights begin with these.
WEIGHTS = {"cvae": ("cvae_",), "cgan": ("generator_", "critic_"), "hybrid": ("hybrid_",), "prior": ("hybrid_",)}


def smoke_options(store: Path, folder: Path, *more: str) -> train_cvae.Options:
    """Options of stage 1 of the pipeline fixture."""
    return parse_options(
        train_cvae.Options, "", ["--preset", "smoke", *arguments(store, folder), *more], train_cvae.PRESETS
    )


def opened(stage: RollStage) -> RollStage:
    """`stage` ready for its first step."""
    stage.open()
    stage.open_phase(stage.phases[0])
    stage.build_models(stage.phases[0])
    stage.start()
    return stage


def draw_at(stage: RollStage, epoch: int = 0, example: int = 0) -> Draw:
    """Batches and random numbers of a step of `stage`."""
    return Draw(stage.train_windows, stage.order, stage.options, Position(stage.phases[0], epoch, example))


class Stopping:
    """Makes stages that call `by` before the steps with these numbers, counted over all runs from 1 (`steps`)."""

    def __init__(self, make: Callable[..., Stage], *at_steps: int, by: Callable[[], None]) -> None:
        self.make, self.at_steps, self.by, self.steps = make, at_steps, by, 0

    def __call__(self, *arguments: Any, **options: Any) -> Stage:
        stage = self.make(*arguments, **options)
        train_step = stage.train_step

        def stopping_step(position: Position) -> dict[str, Tensor]:
            self.steps += 1
            if self.steps in self.at_steps:
                self.by()
            return train_step(position)

        stage.train_step = stopping_step
        return stage


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def crash() -> None:
    raise MemoryError("nothing is saved on the way out, as in a power cut")


def assert_same_result(folder: Path, expected: Path, stage: str) -> None:
    """Weights, metrics and logged losses of a stage are equal bit for bit."""
    weights = [sorted((place / "checkpoints").iterdir()) for place in (folder, expected)]
    of_stage = [[path for path in paths if path.name.startswith(WEIGHTS[stage])] for paths in weights]
    assert of_stage[1]
    for path, expected_path in zip(*of_stage, strict=True):
        found, wanted = read_checkpoint(path), read_checkpoint(expected_path)
        assert path.name == expected_path.name and found["weights"].keys() == wanted["weights"].keys()
        for key, tensor in wanted["weights"].items():
            assert torch.equal(found["weights"][key], tensor), f"{path.name}: {key}"
        assert all(found["facts"][key] == wanted["facts"][key] for key in ("epoch", "metrics"))
    for found, wanted in zip(*(epochs_logged(place / "runs" / stage) for place in (folder, expected)), strict=True):
        assert all(found[key] == wanted[key] for key in ("phase", "epoch", "train", "val"))


def ready_for(stage: str, finished: Path, folder: Path) -> Path:
    """`folder` with the weights of a finished run, except those that `stage` writes."""
    unwanted = shutil.ignore_patterns(*(f"{prefix}*" for prefix in WEIGHTS[stage]))
    shutil.copytree(finished / "checkpoints", folder / "checkpoints", ignore=unwanted)
    return folder

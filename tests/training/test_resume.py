"""A stopped, crashed or killed run resumes bit for bit."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from stages import (
    REPOSITORY,
    STAGES,
    Stopping,
    arguments,
    assert_same_result,
    crash,
    cvae_options,
    epochs_logged,
    hybrid_options,
    ready_for,
    run_script,
    terminate,
)

import train_cvae
import train_hybrid
import training.loop
import training.run_folder
from models.checkpoint import read_checkpoint
from training.hybrid_stage import HybridStage
from training.roll_stage import RollPhase


def test_runs_are_repeatable_and_seeds_differ(whole: Path, tiny_store: Path, tmp_path: Path) -> None:
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path / "again"))
    assert_same_result(tmp_path / "again", whole, "cvae")
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path / "other", seed=1))
    assert epochs_logged(tmp_path / "other" / "runs" / "cvae") != epochs_logged(whole / "runs" / "cvae")
    with pytest.raises(AssertionError):
        assert_same_result(tmp_path / "other", whole, "cvae")


# Ten steps an epoch, five at T = 64.
@pytest.mark.parametrize(
    ("name", "by", "at_steps", "n_steps"),
    [
        # One step after a stop is repeated: it shows that the state before it is good. None at the end of a phase.
        *(("cvae", terminate, (step,), n_steps) for step, n_steps in ((1, 21), (4, 21), (10, 21), (13, 21), (20, 20))),
        ("cgan", terminate, (5,), 11),
        *(("hybrid", terminate, steps, n_steps) for steps, n_steps in (((4, 12), 17), ((10, 11), 16), ((15,), 15))),
        # After each crash the steps since the last save are repeated, and the one that it aborted.
        ("cvae", crash, (3, 17), 20 + (2 + 1) + (3 + 1)),
    ],
)
def test_a_stopped_or_crashed_stage_resumes_exactly(
    name: str, by: Callable, at_steps: tuple[int, ...], n_steps: int, whole: Path, tiny_store: Path, tmp_path: Path
) -> None:
    stage, options_of = STAGES[name]
    stage, options = Stopping(stage, *at_steps, by=by), options_of(tiny_store, ready_for(name, whole, tmp_path))
    for step in at_steps:
        # The run is complete after a signal in its last step.
        stops = nullcontext() if step == n_steps else pytest.raises(SystemExit if by is terminate else MemoryError)
        with stops:
            training.loop.train(stage(options))
    training.loop.train(stage(options))
    assert stage.steps == n_steps
    assert_same_result(tmp_path, whole, name)


def test_an_epoch_that_was_logged_but_not_saved_is_logged_once(
    whole: Path, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, saves = cvae_options(tiny_store, tmp_path), []

    def write(path: Path, content: memoryview, replace: bool) -> None:
        saves.append(path)
        if len(saves) == 3:  # the state after the second epoch
            raise OSError("disk full")
        original(path, content, replace=replace)

    original = training.run_folder.write_bytes
    monkeypatch.setattr(training.run_folder, "write_bytes", write)
    with pytest.raises(OSError, match="disk full"):
        train_cvae.train_cvae(options)
    assert len(epochs_logged(tmp_path / "runs" / "cvae")) == 2
    train_cvae.train_cvae(options)
    assert_same_result(tmp_path, whole, "cvae")


KILLED_IN_STEP_7 = """
import os, signal, sys
import train_cvae
from common.options import parse_options
from training.cvae_stage import CVAEStage
from training.loop import train

class Killed(CVAEStage):
    steps = 0

    def train_step(self, position):
        Killed.steps += 1
        if Killed.steps == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_step(position)

train(Killed(parse_options(train_cvae.Options, "", sys.argv[1:]), train_cvae.iterate))
"""


def test_stage_1_resumes_exactly_after_sigkill(whole: Path, tiny_store: Path, tmp_path: Path) -> None:
    options = [*arguments(tiny_store, tmp_path), "--epochs", "2", "--save-minutes", "1e-9"]
    done = run_script("-c", KILLED_IN_STEP_7, *options)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read_checkpoint(tmp_path / "runs" / "cvae" / "state.pth")["progress"]["example"] == 5 * 16
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path))
    assert_same_result(tmp_path, whole, "cvae")


def test_a_script_stops_at_sigterm_and_resumes(tiny_store: Path, tmp_path: Path) -> None:
    n_epochs = 8
    options = [*arguments(tiny_store, tmp_path / "stopped"), "--epochs", str(n_epochs)]
    log = tmp_path / "stopped" / "runs" / "cvae" / "epochs.jsonl"
    command = [sys.executable, "train_cvae.py", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=REPOSITORY, **pipes) as process:
        while not log.exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert errors.splitlines()[-1] == "stopped by SIGTERM; the same command goes on from here"
    assert 1 <= len(epochs_logged(log.parent)) < n_epochs
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path / "stopped", epochs=n_epochs))
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path / "whole", epochs=n_epochs))
    assert_same_result(tmp_path / "stopped", tmp_path / "whole", "cvae")


def test_stage_3_resumes_exactly_after_a_crash_between_lengths(whole: Path, tiny_store: Path, tmp_path: Path) -> None:
    class Crashing(HybridStage):
        def build_models(self, phase: RollPhase) -> list[str]:
            if phase.seq_len == 64:
                crash()
            return super().build_models(phase)

    options = hybrid_options(tiny_store, ready_for("hybrid", whole, tmp_path))
    with pytest.raises(MemoryError):
        training.loop.train(Crashing(options, train_hybrid.iterate))
    train_hybrid.train_hybrid(options)
    assert_same_result(tmp_path, whole, "hybrid")

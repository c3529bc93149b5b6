"""A stopped, crashed or killed run resumes bit for bit."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stages import (
    REPOSITORY,
    arguments,
    assert_same_result,
    cgan_options,
    crash,
    cvae_options,
    epochs_logged,
    hybrid_options,
    pretrained,
    run_script,
    stopping,
    terminate,
)

import train_cgan
import train_cvae
import train_hybrid
import training.loop
import training.run_folder
from models.checkpoint import read_checkpoint
from training.roll_stage import RollPhase


def test_runs_are_repeatable_and_seeds_differ(whole_cvae: Path, tiny_store: Path, tmp_path: Path) -> None:
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path / "again"))
    assert_same_result(tmp_path / "again", whole_cvae, "cvae")
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path / "other", seed=1))
    assert epochs_logged(tmp_path / "other" / "runs" / "cvae") != epochs_logged(whole_cvae / "runs" / "cvae")
    with pytest.raises(AssertionError):
        assert_same_result(tmp_path / "other", whole_cvae, "cvae")


# 160 training windows: ten batches an epoch.
@pytest.mark.parametrize("at_step", [1, 4, 10, 13, 20])
def test_stage_1_resumes_exactly_after_sigterm(
    at_step: int, whole_cvae: Path, tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, options = stopping(train_cvae.CVAEStage, at_step, by=terminate), cvae_options(tiny_store, tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        training.loop.train(stage(options))
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == handler
    assert "stopped by SIGTERM; the same command goes on from here" in capsys.readouterr().err
    progress = read_checkpoint(tmp_path / "runs" / "cvae" / "state.pth")["progress"]
    examples = 16 * ((at_step - 1) % 10 + 1)
    assert (progress["epoch"], progress["example"]) == ((at_step - 1) // 10, examples)
    training.loop.train(stage(options))
    assert stage.steps == 20, "no step is repeated"
    assert_same_result(tmp_path, whole_cvae, "cvae")


def test_stage_1_resumes_exactly_after_a_crash(whole_cvae: Path, tiny_store: Path, tmp_path: Path) -> None:
    stage, options = stopping(train_cvae.CVAEStage, 3, 17, by=crash), cvae_options(tiny_store, tmp_path)
    for _ in range(2):
        with pytest.raises(MemoryError):
            training.loop.train(stage(options))
    training.loop.train(stage(options))
    # After each crash the steps since the last save are repeated, and the one that it aborted.
    assert stage.steps == 20 + (2 + 1) + (3 + 1)
    assert_same_result(tmp_path, whole_cvae, "cvae")


def test_an_epoch_that_was_logged_but_not_saved_is_logged_once(
    whole_cvae: Path, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, saves = cvae_options(tiny_store, tmp_path), []

    def save(content: dict[str, Any], path: Path) -> None:
        saves.append(path)
        if len(saves) == 3:  # the state after the second epoch
            raise OSError("disk full")
        original(content, path)

    original = training.run_folder.save_plain
    monkeypatch.setattr(training.run_folder, "save_plain", save)
    with pytest.raises(OSError, match="disk full"):
        train_cvae.train_cvae(options)
    assert len(epochs_logged(tmp_path / "runs" / "cvae")) == 2
    train_cvae.train_cvae(options)
    assert_same_result(tmp_path, whole_cvae, "cvae")


KILLED_IN_STEP_7 = """
import os, signal, sys
import train_cvae
from common.options import parse_options
from training.loop import train

class Killed(train_cvae.CVAEStage):
    steps = 0

    def train_step(self, position):
        Killed.steps += 1
        if Killed.steps == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_step(position)

train(Killed(parse_options(train_cvae.Options, "", sys.argv[1:])))
"""


def test_stage_1_resumes_exactly_after_sigkill(whole_cvae: Path, tiny_store: Path, tmp_path: Path) -> None:
    options = [*arguments(tiny_store, tmp_path), "--epochs", "2", "--save-minutes", "1e-9"]
    done = run_script("-c", KILLED_IN_STEP_7, *options)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read_checkpoint(tmp_path / "runs" / "cvae" / "state.pth")["progress"]["example"] == 6 * 16
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path))
    assert_same_result(tmp_path, whole_cvae, "cvae")


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


# The example after each step: ten batches of 160 windows at T = 32, five of 76 at T = 64.
EXAMPLES = {4: 64, 10: 160, 11: 16, 12: 32, 15: 76}


@pytest.mark.parametrize("at_steps", [(4, 12), (10, 11), (15,)])
def test_stage_3_resumes_exactly_across_the_curriculum(
    at_steps: tuple[int, ...], pipeline: Path, whole_hybrid: Path, tiny_store: Path, tmp_path: Path
) -> None:
    options = hybrid_options(tiny_store, pretrained(pipeline, tmp_path / "stopped"))
    stage = stopping(train_hybrid.HybridStage, *at_steps, by=terminate)
    for step in at_steps:
        with pytest.raises(SystemExit):
            training.loop.train(stage(options))
        progress = read_checkpoint(options.runs / "hybrid" / "state.pth")["progress"]
        phase = int(step > 10)
        assert (progress["phase"], progress["epoch"], progress["example"]) == (phase, 0, EXAMPLES[step])
    training.loop.train(stage(options))
    assert stage.steps == 15
    assert_same_result(tmp_path / "stopped", whole_hybrid, "hybrid")


def test_stage_3_resumes_exactly_after_a_crash_between_lengths(
    pipeline: Path, whole_hybrid: Path, tiny_store: Path, tmp_path: Path
) -> None:
    class Crashing(train_hybrid.HybridStage):
        def build_models(self, phase: RollPhase) -> list[str]:
            if phase.seq_len == 64:
                crash()
            return super().build_models(phase)

    options = hybrid_options(tiny_store, pretrained(pipeline, tmp_path / "stopped"))
    with pytest.raises(MemoryError):
        training.loop.train(Crashing(options))
    train_hybrid.train_hybrid(options)
    assert_same_result(tmp_path / "stopped", whole_hybrid, "hybrid")


def test_stage_2_resumes_exactly(pipeline: Path, tiny_store: Path, tmp_path: Path) -> None:
    folders = [pretrained(pipeline, tmp_path / name) for name in ("stopped", "whole")]
    for folder in folders:
        for name in ("generator", "critic"):
            for which in ("best", "last"):
                (folder / "checkpoints" / f"{name}_pretrained_{which}.pth").unlink()
    stopped, whole = (cgan_options(tiny_store, folder) for folder in folders)
    train_cgan.train_cgan(whole)
    stage = stopping(train_cgan.CGANStage, 5, by=terminate)
    with pytest.raises(SystemExit):
        training.loop.train(stage(stopped))
    training.loop.train(stage(stopped))
    assert_same_result(*folders, "cgan")

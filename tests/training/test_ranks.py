"""Training by several processes: N of them compute what one does."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from stages import REPOSITORY, arguments, epochs_logged
from steps_of_ranks import every_result
from tiny_stores import make_store
from torchrun import ENVIRONMENT, TORCHRUN, launched

from models.checkpoint import read_checkpoint
from training.ranks import Ranks


@pytest.fixture(scope="module")
def alone(tiny_store: Path, whole: Path, measures: Any) -> dict[str, Any]:
    return every_result(tiny_store, whole, measures.folder, Ranks())


@pytest.mark.parametrize("n", [2, 4])
def test_processes_compute_the_gradients_losses_and_metrics_of_one(
    n: int, alone: dict[str, Any], tiny_store: Path, whole: Path, measures: Any, tmp_path: Path
) -> None:
    program, result = REPOSITORY / "tests" / "training" / "steps_of_ranks.py", tmp_path / "result.pth"
    done = launched(n, str(program), *map(str, (tiny_store, whole, measures.folder, result)))
    assert done.returncode == 0, done.stderr
    together = torch.load(result, weights_only=True)
    assert together.keys() == alone.keys()
    for name, wanted in alone.items():
        found = together[name]
        assert len(found["gradients"]) == len(wanted["gradients"]) > 1
        for update, (one, other) in enumerate(zip(wanted["gradients"], found["gradients"], strict=True)):
            # Adam's first steps turn rounding of tiny gradients into steps of the learning rate.
            tolerance = 1e-5 if update == 0 else 2e-3
            assert (one - other).norm() <= tolerance * one.norm(), f"{name}, update {update}"
        torch.testing.assert_close(found["losses"], wanted["losses"], rtol=2e-3, atol=1e-4, msg=name)
        torch.testing.assert_close(found["metrics"], wanted["metrics"], rtol=2e-3, atol=1e-4, msg=name)


def train_together(n: int, store: Path, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return launched(n, "train_cvae.py", *arguments(store, folder), *more)


def losses(run: Path) -> list[float]:
    return [value for epoch in epochs_logged(run) for group in ("train", "val") for value in epoch[group].values()]


def test_a_run_goes_on_with_another_number_of_processes(tiny_store: Path, whole: Path, tmp_path: Path) -> None:
    """The first epoch by two processes, the second by one; only the first of the two writes."""
    done = train_together(2, tiny_store, tmp_path, "--epochs", "1")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "cvae"
    log = (run / "log.txt").read_text()
    assert log.count("2 processes") == log.count("complete; weights are in") == done.stdout.count("2 processes") == 1
    again = subprocess.run(
        [sys.executable, "train_cvae.py", *arguments(tiny_store, tmp_path), "--epochs", "2", "--allow-changes"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert len(epochs_logged(run)) == 2
    assert losses(run) == pytest.approx(losses(whole / "runs" / "cvae"), rel=1e-3)
    found, wanted = (read_checkpoint(place / "checkpoints" / "cvae_pretrained_last.pth") for place in (tmp_path, whole))
    for name, tensor in wanted["weights"].items():
        torch.testing.assert_close(found["weights"][name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("target", ["second process", "launcher"])
def test_a_signal_stops_all_processes_with_the_state_saved(target: str, tiny_store: Path, tmp_path: Path) -> None:
    words = ["--nproc-per-node=2", "train_cvae.py", *arguments(tiny_store, tmp_path), "--epochs", "1000"]
    with subprocess.Popen(
        [*TORCHRUN, *words], cwd=REPOSITORY, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as launcher:
        epochs = tmp_path / "runs" / "cvae" / "epochs.jsonl"
        while not epochs.exists() and launcher.poll() is None:
            time.sleep(0.1)
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        second = next(c for c in children if b"RANK=1\0" in Path(f"/proc/{c}/environ").read_bytes())
        os.kill(launcher.pid if target == "launcher" else int(second), signal.SIGTERM)
        _, errors = launcher.communicate()
    assert errors.count("stopped by SIGTERM; the same command goes on from here") == 1, errors
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    state = read_checkpoint(tmp_path / "runs" / "cvae" / "state.pth")
    assert state["progress"]["epoch"] >= 1


def test_all_processes_stop_when_the_hours_are_over(tiny_store: Path, tmp_path: Path) -> None:
    done = train_together(2, tiny_store, tmp_path, "--epochs", "2", "--max-hours", "1e-9")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("stopped after --max-hours 1e-09; the same command goes on from here") == 1
    run = tmp_path / "runs" / "cvae"
    assert read_checkpoint(run / "state.pth")["progress"]["example"] == 16
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("--runs", r"/0/runs/cvae: not the same folder in all processes; name a shared one with --runs"),
        ("--checkpoints", r"/0/weights: not the same folder in all processes; name a shared one with --checkpoints"),
        ("--store", "the processes have different data; give all the same"),
    ],
)
def test_folders_of_other_machines_are_noticed_at_the_first_start(
    changed: str, message: str, tiny_store: Path, tmp_path: Path
) -> None:
    """Each process has a folder of its own in place of one, as on machines without a shared file system."""
    make_store(tmp_path / "1", first_song=90)
    (tmp_path / "0").mkdir()
    (tmp_path / "0/store").symlink_to(tiny_store)
    own = {"--runs": "runs", "--checkpoints": "weights", "--store": "store"}[changed]
    words = [sys.executable, "train_cvae.py", *arguments(tiny_store, tmp_path), changed]
    command = f'exec {shlex.join(map(str, words))} "{tmp_path}/$RANK/{own}"'
    done = launched(2, "--no-python", "bash", "-c", command)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(lines) == 1 and message in lines[0], done.stderr
    assert not list(tmp_path.rglob(".shared-*"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--checkpoints", "{file}"], "File exists"),
        (["--learning-rate", "1e30", "--epochs", "1"], "not finite"),
        (["--store", "nowhere"], "nowhere"),
    ],
)
def test_a_failure_ends_all_processes_with_one_line(
    more: list[str], message: str, tiny_store: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = train_together(2, tiny_store, tmp_path, *(word.format(file=tmp_path / "file") for word in more))
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(lines) == 1 and message in lines[0], done.stderr

"""Runs of the three stages, shared by the tests of training."""

import shutil
from pathlib import Path

import pytest
from stages import STAGES, arguments, run_script

from training.loop import train


@pytest.fixture(scope="session")
def pipeline(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of the three scripts, started as a user starts them. Tests must not write into it."""
    folder = tmp_path_factory.mktemp("pipeline")
    for script in ("train_cvae.py", "train_cgan.py", "train_hybrid.py"):
        done = run_script(script, "--preset", "smoke", *arguments(tiny_store, folder))
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copied(pipeline: Path, tmp_path: Path) -> Path:
    """A copy of the pipeline that a test may change."""
    return shutil.copytree(pipeline, tmp_path / "run")


@pytest.fixture(scope="session")
def whole(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The short runs of the three stages without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    for stage, options in STAGES.values():
        train(stage(options(tiny_store, folder)))
    return folder

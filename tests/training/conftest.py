"""Runs of the three stages, shared by the tests of training."""

import shutil
from pathlib import Path

import pytest
from stages import arguments, cvae_options, hybrid_options, pretrained, run_script

import train_cvae
import train_hybrid


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
def whole_cvae(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two uninterrupted epochs of stage 1."""
    folder = tmp_path_factory.mktemp("whole")
    train_cvae.train_cvae(cvae_options(tiny_store, folder))
    return folder


@pytest.fixture(scope="session")
def whole_hybrid(pipeline: Path, tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage 3 at T = 32 and 64, one uninterrupted epoch each."""
    folder = pretrained(pipeline, tmp_path_factory.mktemp("hybrid") / "whole")
    train_hybrid.train_hybrid(hybrid_options(tiny_store, folder))
    return folder

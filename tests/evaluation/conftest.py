"""Weights and a genre classifier for the tiny store, which several tests use."""

from pathlib import Path

import pytest
from weights import save_hybrids

from evaluation.metrics.genre_classifier import TrainedClassifier, open_classifier
from evaluation.options import ClassifierOptions, RealClipOptions
from evaluation.samples.clips import RealClips, open_real_clips


@pytest.fixture
def places(tiny_store: Path, tmp_path: Path) -> dict[str, object]:
    """The options that every evaluation of weights needs."""
    folder = save_hybrids(tiny_store, tmp_path / "checkpoints")
    return {"store": tiny_store, "checkpoints": (folder,), "metrics": tmp_path / "metrics", "device": "cpu"}


@pytest.fixture(scope="session")
def real(tiny_store: Path) -> RealClips:
    return open_real_clips(RealClipOptions(store=tiny_store), 32)


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> ClassifierOptions:
    """A short training of the classifier, and a cache. Tests must not write into it."""
    return ClassifierOptions(60, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def classifier(real: RealClips, recipe: ClassifierOptions) -> TrainedClassifier:
    return open_classifier(real, recipe)

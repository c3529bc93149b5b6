"""A genre classifier of the tiny store, which several tests use."""

from pathlib import Path

import pytest

from evaluation.metrics.genre_classifier import ClassifierOptions, TrainedClassifier, open_classifier
from evaluation.samples.clips import RealClipOptions, RealClips, open_real_clips

STEPS = 60


@pytest.fixture(scope="session")
def splits(tiny_store: Path) -> dict[str, RealClips]:
    test = open_real_clips(RealClipOptions(store=tiny_store), 32)
    return {split: test.of_split(split) for split in ("train", "val", "test")}


@pytest.fixture(scope="session")
def classifier_cache(splits: dict[str, RealClips], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one classifier of the tiny store. Tests must not write into it."""
    folder = tmp_path_factory.mktemp("cache")
    open_classifier(splits["train"], splits["val"], ClassifierOptions(STEPS, cache=folder), progress=False)
    return folder


@pytest.fixture(scope="session")
def classifier(splits: dict[str, RealClips], classifier_cache: Path) -> TrainedClassifier:
    options = ClassifierOptions(STEPS, cache=classifier_cache)
    return open_classifier(splits["train"], splits["val"], options, progress=False)


@pytest.fixture(scope="session")
def classifier_steps() -> int:
    return STEPS

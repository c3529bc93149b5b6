"""Weights and a genre classifier for the tiny store, which several tests use."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from weights import save_weights

from data.store import RollStore
from data.windows import WindowSource
from evaluation.metrics.genre_classifier import ClassifierOptions, TrainedClassifier, open_classifier
from evaluation.samples.clips import RealClipOptions, RealClips, open_real_clips
from models import CVAE, Generator


@pytest.fixture
def save(tiny_store: Path) -> Callable[..., Path]:
    """Write weights that fit the tiny store at T = 32."""
    store = RollStore.open(tiny_store)
    facts = {"genres": store.genres, "frames_per_second": store.frames_per_second, "seq_len": 32}
    return lambda model, path, **changed: save_weights(model, path, **{**facts, **changed})


@pytest.fixture
def make_checkpoints(tiny_store: Path, save: Callable[..., Path]) -> Callable[..., Path]:
    """Write random weights of the paper preset at T = 32, which play about as much as the data, to a folder."""
    rate = WindowSource(RollStore.open(tiny_store), "train", 32).pitch_rate()

    def make(folder: Path, seed: int = 0) -> Path:
        torch.manual_seed(seed)
        generator, cvae = Generator(3, 32), CVAE(3)
        generator.start_at(rate.mul(8).clamp(0.01, 0.6))
        cvae.start_at(rate)
        save(generator, folder / "hybrid_G_best_T32.pth")
        save(cvae, folder / "hybrid_cvae_best_T32.pth")
        return folder

    return make


@pytest.fixture
def places(tiny_store: Path, tmp_path: Path, make_checkpoints: Callable[..., Path]) -> dict[str, object]:
    """The options that every evaluation of weights needs."""
    folder = make_checkpoints(tmp_path / "checkpoints")
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

"""The report's open questions: each variant is trained once and evaluated at T = 128; the table has the spread."""

from pathlib import Path

import pandas as pd
import pytest
from fake_embedders import embedder_of

import benchmarks.open_questions as script
import evaluation.metrics.genre_classifier as genre_classifier
from benchmarks.open_questions import BASE, RANDOM, Options, answer, summary
from models import CVAE, Critic
from models.trained import load
from models.weight_files import pretrained_file

NO_Z = "critic without z"


@pytest.fixture
def options(tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    tiny = {"epoch_windows": 20, "batch_size": 16, "hidden": 16}
    monkeypatch.setattr(script, "SMALL_CVAE", {**tiny, "depth": 1, "latent": 2, "epochs": 1})
    monkeypatch.setattr(script, "SMALL_CGAN", {**tiny, "epochs": 1})
    monkeypatch.setattr(script, "SMALL_HYBRID", {**tiny, "seq_lens": (128,), "epochs": (1,)})
    monkeypatch.setattr(script, "open_clip_embedder", lambda options, rate: embedder_of(tmp_path / "cache"))
    monkeypatch.setattr(genre_classifier, "CHECKS", 1)
    monkeypatch.setattr(
        script, "ClassifierOptions", lambda cache: genre_classifier.ClassifierOptions(cache=cache, classifier_steps=2)
    )
    folders = {name: tmp_path / name for name in ("work", "metrics", "cache")}
    return Options(store=tiny_store, question=("labels", "critic"), seeds=(3,), clips=2, **folders)


def test_variants_are_trained_once_and_evaluated(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = answer(options)
    counts = frame.groupby(["way", "seed"]).size().to_dict()
    assert counts == {(BASE, 3): 6, (RANDOM, 3): 2, (NO_Z, 3): 2}, "the base also has z of N(0, I) and of the posterior"
    assert frame["genre_accuracy"].notna().all()
    assert (frame["FAD"].notna() == (frame["n_fake"] >= 2)).all(), "a generator without training makes empty clips"
    assert frame["bits_per_cell"].notna().sum() == len(frame) / 2, "only of the CVAE"
    assert set(frame["schedule"]) == {"0, 0, 20"}
    trained = [load(path, CVAE.kind, "").model for path in options.work.rglob("hybrid_cvae_best_T128.pth")]
    sums = {sum(weight.double().abs().sum().item() for weight in model.parameters()) for model in trained}
    assert len(trained) == len(sums) == 3, "each variant is a separate training"
    own = options.work / "seed3" / "critic_without_z" / "checkpoints"
    assert load(own / pretrained_file(Critic.kind), Critic.kind, "").model.latent is None
    shared = (options.work / "seed3" / "checkpoints" / pretrained_file(CVAE.kind)).read_bytes()
    assert shared == (own / pretrained_file(CVAE.kind)).read_bytes()
    monkeypatch.setattr(script, "train", lambda stage: pytest.fail("trained again"))
    pd.testing.assert_frame_equal(answer(options), frame, check_dtype=False, rtol=1e-5)


def test_the_spread_is_half_of_the_range_over_seeds() -> None:
    columns = {"KAD": 0.0, "genre_accuracy": 0.5, "genre_accuracy_real": 0.7, "n_empty": 0, "bits_per_cell": 0.03}
    rows = [
        {"way": way, "origin": "cvae", "FAD": distance, "schedule": "1, 1, 1", **columns}
        for way, distance in ((BASE, 1.0), (RANDOM, 7.0), (BASE, 2.0), (RANDOM, 8.0), ("other", 9.0))
    ]
    found = summary(pd.DataFrame(rows), [RANDOM, BASE])
    assert found[["way", "FAD", "FAD_range", "seeds"]].values.tolist() == [[RANDOM, 7.5, 0.5, 2], [BASE, 1.5, 0.5, 2]]

"""Evaluations of both presets in one table: every network that plays, every kind of latents."""

from pathlib import Path

import numpy as np
import pytest
import torch
from frames import records
from weights import save_weights

import eval_elbo
import eval_mse
from data.store import RollStore
from evaluation.metrics.elbo import measure_elbo
from evaluation.metrics.genre_classifier import TrainedClassifier
from evaluation.metrics.restyling import measure_restyling
from evaluation.options import LATENTS, ClipOptions, DecodingOptions
from evaluation.samples.clips import open_clip_sources
from evaluation.samples.evaluated import open_subjects
from models import LARGE, PAPER, build
from models.base import Decoded

SMALL = {"cvae": {"hidden": 16, "depth": 1, "latent": 2}, "generator": {"hidden": 16, "latent": 2, "seq_len": 32}}


@pytest.fixture
def folders(tiny_store: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Random weights of both presets at T = 32, in checkpoints/ and in large/ below it."""
    store = RollStore.open(tiny_store)
    facts = {"genres": store.genres, "training_songs": torch.from_numpy(store.song_ids("train"))}
    folders = tmp_path / "checkpoints", tmp_path / "checkpoints" / "large"
    torch.manual_seed(0)
    for folder, preset in zip(folders, (PAPER, LARGE), strict=True):
        for kind, name in (("cvae", "cvae"), ("generator", "G")):
            sizes = SMALL[kind] if preset == LARGE else {"seq_len": 32} if kind == "generator" else {}
            model = build(kind, preset, n_genres=len(store.genres), **sizes)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
                if (kind, preset) == ("cvae", LARGE):
                    model.decoder.wait_head.choices.bias[:6] += 30  # it would play hardly a note
            save_weights(model, folder / f"hybrid_{name}_best_T32.pth", **facts)
    return folders


def options(cls: type, store: Path, folders: tuple[Path, ...], tmp_path: Path, **more: object) -> object:
    return cls(store=store, checkpoints=folders, metrics=tmp_path / "metrics", device="cpu", **more)


def test_every_network_and_kind_of_latents(folders: tuple[Path, Path], tiny_store: Path, tmp_path: Path) -> None:
    chosen = options(
        ClipOptions, tiny_store, folders, tmp_path, sources=("generator", "cvae"), latents=LATENTS, min_note_frames=1
    )
    sources = open_clip_sources(chosen)
    origins = [source.facts["origin"] for source in sources]
    paper, large = ("generator (mlp)", "cvae (frame-gru)"), ("generator (convolutions)", "cvae (notes)")
    assert origins == [
        *(f"{folders[0]}: {network}, {latents}" for network in paper for latents in ("normal", "posterior")),
        *(f"{folders[1]}: {network}, {latents}" for network in large for latents in LATENTS),
    ], "a prior that is N(0, I) has no row of its own"
    for source in sources:
        clips = source.clips(1, 0, 5)
        assert clips.shape == (5, 128, 32) and clips.dtype == bool
        assert source.clips(1, 5, 0).shape == (0, 128, 32)
        np.testing.assert_array_equal(source.clips(1, 3, 2), clips[3:], "a clip depends on its number only")
    of_notes = {source.latents: source.clips(1, 0, 5) for source in sources[-3:]}
    assert (of_notes["normal"] != of_notes["prior"]).any() and (of_notes["prior"] != of_notes["posterior"]).any()
    weights = {source.facts["checkpoint"] for source in sources}
    assert weights == {f"{folder}/hybrid_{name}_best_T32.pth" for folder in folders for name in ("G", "cvae")}
    assert sources[-1].facts["temperature"] == 1 and sources[0].facts["temperature"] is None


def test_both_cvaes_in_one_table(folders: tuple[Path, Path], tiny_store: Path, tmp_path: Path) -> None:
    mse = eval_mse.eval_mse(options(eval_mse.Options, tiny_store, folders, tmp_path))
    paper, large = mse.groupby("origin", sort=False)["MSE_cvae_mean"].first()
    assert np.isnan(large) and paper > 0, "a note decoder has no cell probabilities"
    assert (mse["frame_F1"] >= 0).all()
    elbo = eval_elbo.eval_elbo(options(eval_elbo.Options, tiny_store, folders, tmp_path, importance_samples=4))
    assert (elbo["bits_per_cell_importance"] < elbo["bits_per_cell"]).all(), "a tighter bound"


def test_the_importance_weighted_bound_is_the_likelihood_where_z_is_ignored(
    folders: tuple[Path, Path], tiny_store: Path, tmp_path: Path
) -> None:
    """With the posterior at the prior every weight is p(X): as for one z, so for many."""
    large = folders[1:]
    subject = next(open_subjects(options(DecodingOptions, tiny_store, large, tmp_path)))
    cvae = subject.cvae
    with torch.no_grad():
        for parameter in (*cvae.plan.widen.parameters(), *cvae.prior.moments.parameters()):
            parameter.zero_()
        cvae.encoder.moments.weight.zero_(), cvae.encoder.moments.bias.zero_()
    rows = records(measure_elbo(subject, beta=1.0, importance_samples=3)[0])
    for row in rows:
        assert row["bits_per_cell_importance"] == pytest.approx(row["bits_per_cell"], rel=1e-5)
        assert row["KL_Div_mean"] == pytest.approx(0, abs=1e-5)


def test_restyling_of_a_decoder_that_plays_the_genre_alone(
    folders: tuple[Path, Path], tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It plays windows of the target genre, and the classifier finds the nearest of all windows."""
    subject = next(open_subjects(options(DecodingOptions, tiny_store, folders[1:], tmp_path)))
    windows = subject.windows

    def decode(self: object, z: torch.Tensor, genre: torch.Tensor, index: torch.Tensor) -> Decoded:
        of_genre = (windows.genre == genre[0]).nonzero()[:, 0]
        roll = windows.rolls(of_genre[torch.arange(len(index)) % len(of_genre)]) > 0
        return Decoded(roll.float(), roll)

    class Nearest(torch.nn.Module):
        temperature = torch.ones(())

        def forward(self, rolls: torch.Tensor) -> torch.Tensor:
            known = windows.rolls(torch.arange(len(windows)))
            nearest = torch.cdist(rolls.flatten(1), known.flatten(1)).argmin(1)
            return 9.0 * torch.nn.functional.one_hot(windows.genre[nearest], 3)

    monkeypatch.setattr(type(subject), "decode_free", decode)
    rows = measure_restyling(subject, TrainedClassifier(Nearest(), {"classifier": "x"}), 3, 1)
    assert len(rows) == 9 and (rows["n"] == 3).all() and (rows["target_after"] == 1).all()
    assert (rows["target_before"] == [1, 0, 0, 0, 1, 0, 0, 0, 1]).all() and (rows["target_real"] == 1).all()
    assert (rows["chroma_F1"] >= rows["frame_F1"]).all() and (rows["frame_F1"] <= 1).all()

"""Preset large in the three stages: weights, exact resuming, fine-tuning, refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from corpus import rewrite_store
from stages import arguments, assert_same_result, opened, stopping, terminate

import train_cgan
import train_cvae
import train_hybrid
import training.loop
from common.errors import UserError
from common.options import parse_options
from data.store import RollStore
from models import ConvGenerator, NoteCVAE, ProjectionCritic
from models.checkpoint import CheckpointError
from models.trained import load
from models.weight_files import LAST, hybrid_file, pretrained_file
from training.stage import Position

SMALL = {
    train_cvae: ["--hidden", "16", "--depth", "1", "--latent", "2", "--seq-len", "32", "--epochs", "2"],
    train_cgan: ["--hidden", "16", "--epochs", "1"],
    train_hybrid: ["--hidden", "16", "--seq-len", "32,64", "--epochs", "1,1"],
}
STAGES = (
    (train_cvae, train_cvae.CVAEStage), (train_cgan, train_cgan.CGANStage), (train_hybrid, train_hybrid.HybridStage),
)  # fmt: skip


def options(program: Any, store: Path, folder: Path, *more: str) -> Any:
    words = ["--preset", "large", *arguments(store, folder), *SMALL[program], *more]
    return parse_options(program.Options, "", words, program.PRESETS)


@pytest.fixture(scope="module")
def whole(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three stages, uninterrupted."""
    folder = tmp_path_factory.mktemp("large")
    for program, stage in STAGES:
        training.loop.train(stage(options(program, tiny_store, folder)))
    return folder


def test_weights_of_all_stages(whole: Path) -> None:
    classes = {"cvae": NoteCVAE, "G": ConvGenerator, "D": ProjectionCritic}
    for name, network in classes.items():
        kind = network.kind
        early = load(whole / "checkpoints" / pretrained_file(kind), kind, "").model
        late = load(whole / "checkpoints" / hybrid_file(name, 64), kind, "", seq_len=64).model
        assert type(early) is type(late) is network
    assert early.latent.weight.any() and late.latent.weight.any(), "the critic scores pairs of a roll and its z"
    of_32 = load(whole / "checkpoints" / hybrid_file("G", 32, LAST), "generator", "").model
    log = (whole / "runs" / "hybrid" / "log.txt").read_text()
    assert ": kept" in log and ": grown" not in log and ": new" not in log
    longer = of_32(torch.randn(2, of_32.noise_size(64)), torch.tensor([0, 1]))
    assert longer.shape == (2, 128, 64), "its network takes windows of any length"


@pytest.mark.parametrize(("program", "stage"), STAGES, ids=["cvae", "cgan", "hybrid"])
def test_every_stage_resumes_exactly(
    program: Any, stage: Any, whole: Path, tiny_store: Path, tmp_path: Path
) -> None:
    earlier = [each for each, _ in STAGES][: [each for each, _ in STAGES].index(program)]
    for before in earlier:
        training.loop.train(dict(STAGES)[before](options(before, tiny_store, tmp_path)))
    stopped = stopping(stage, 3, 8, by=terminate)
    for _ in range(2):
        with pytest.raises(SystemExit):
            training.loop.train(stopped(options(program, tiny_store, tmp_path)))
    training.loop.train(stopped(options(program, tiny_store, tmp_path)))
    for after in [each for each, _ in STAGES][len(earlier) + 1 :]:
        training.loop.train(dict(STAGES)[after](options(after, tiny_store, tmp_path)))
    for run in ("cvae", "cgan", "hybrid"):
        assert_same_result(tmp_path, whole, run)


@pytest.mark.parametrize("more", [("--optimizer", "muon"), ("--dropout", "0.1")])
def test_options_of_note_decoders_are_refused_for_other_cvaes(
    more: tuple[str, str], tiny_store: Path, tmp_path: Path
) -> None:
    words = [*arguments(tiny_store, tmp_path), *more]
    stage = train_cvae.CVAEStage(parse_options(train_cvae.Options, "", words, train_cvae.PRESETS))
    with pytest.raises(UserError, match="is for note decoders"):
        opened(stage)


def test_every_epoch_cuts_windows_at_new_frames(tiny_store: Path, tmp_path: Path) -> None:
    stage = opened(train_cvae.CVAEStage(options(train_cvae, tiny_store, tmp_path)))
    drawn = []
    stage.iterate = lambda draw: drawn.append(draw.batch_of(torch.arange(stage.n_examples)).events) or {}
    stage.options = replace(stage.options, transpose=False)
    for epoch, example in ((0, 0), (0, 16), (1, 0), (0, 0)):
        stage.train_step(Position(stage.phases[0], epoch, example))
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[3])
    assert drawn[0].shape != drawn[2].shape or not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("program", "more", "message"),
    [
        (train_cvae, ("--event-size", "3"), "architecture large has no event_size; leave the option out"),
        (train_cgan, ("--hidden", "20"), "hidden must be a multiple of 16, but is 20"),
        (train_cgan, ("--architecture", "paper"), "takes 2 numbers for 32 frames, but the CVAE's z has 4; give both"),
        (train_cvae, ("--architecture", "paper", "--depth", "1"), "architecture paper has no depth"),
        (train_hybrid, ("--reconstruction", "squared-error"), "has no probabilities of cells: give --reconstruction"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    program: Any, more: tuple[str, ...], message: str, whole: Path, tiny_store: Path
) -> None:
    stage = dict(STAGES)[program](options(program, tiny_store, whole, "--restart", *more))
    with pytest.raises(UserError, match=message):
        opened(stage)


def test_fine_tuning_on_other_genres_replaces_only_their_embeddings(
    whole: Path, tiny_store: Path, tmp_path: Path
) -> None:
    store = rewrite_store(RollStore.open(tiny_store), tmp_path / "store", genres=["tango", "waltz", "polka"]).folder
    initial = ["--init-from", str(whole / "checkpoints")]
    stages = {program: stage(options(program, store, tmp_path, *initial)) for program, stage in STAGES}
    same = opened(train_cvae.CVAEStage(options(train_cvae, tiny_store, tmp_path, *initial))).models["cvae"]
    cvae = opened(stages[train_cvae]).models["cvae"]
    before = load(whole / "checkpoints" / pretrained_file("cvae"), "cvae", "").model
    assert all(torch.equal(tensor, before.state_dict()[name]) for name, tensor in same.state_dict().items())
    for name, tensor in cvae.state_dict().items():
        if name in ("genre.weight", "prior.genre.weight"):
            expected = before.state_dict()[name].mean(0).expand_as(tensor)
            torch.testing.assert_close(tensor, expected)
        else:
            assert torch.equal(tensor, before.state_dict()[name]), name
    for program in (train_cvae, train_cgan, train_hybrid):
        training.loop.train(dict(STAGES)[program](options(program, store, tmp_path, *initial)))
    log = (tmp_path / "runs" / "cvae" / "log.txt").read_text()
    assert "cvae_pretrained_best.pth: genre.weight: new" in log
    assert "cvae_pretrained_best.pth: decoder.wait.weight: kept" in log
    log = (tmp_path / "runs" / "hybrid" / "log.txt").read_text()
    assert "hybrid_G_best_T32.pth: genre.weight: new" in log and "hybrid_D_best_T32.pth: first.weight: kept" in log
    trained = load(tmp_path / "checkpoints" / hybrid_file("G", 64), "generator", "")
    assert trained.genres == ["tango", "waltz", "polka"]


def test_a_prior_of_another_kind_is_new_in_cvae_and_generator(
    whole: Path, tiny_store: Path, tmp_path: Path
) -> None:
    more = ["--init-from", str(whole / "checkpoints"), "--prior", "standard-normal"]
    cvae = opened(train_cvae.CVAEStage(options(train_cvae, tiny_store, tmp_path, *more))).models["cvae"]
    before = load(whole / "checkpoints" / pretrained_file("cvae"), "cvae", "").model
    assert cvae.config["prior"] == "standard-normal"
    assert torch.equal(cvae.decoder.wait.weight, before.decoder.wait.weight)
    training.loop.train(train_hybrid.HybridStage(options(train_hybrid, tiny_store, tmp_path, *more)))
    log = (tmp_path / "runs/hybrid/log.txt").read_text()
    assert "prior of the cvae: all tensors new, of the kind standard-normal" in log
    cvae, generator = (
        load(tmp_path / "checkpoints" / hybrid_file(name, 64), kind, "").model
        for name, kind in (("cvae", "cvae"), ("G", "generator"))
    )
    assert generator.config["prior"] == "standard-normal" == cvae.config["prior"]
    # And back, to a trained prior.
    back = ["--init-from", str(tmp_path / "checkpoints"), "--prior", "autoregressive"]
    training.loop.train(train_hybrid.HybridStage(options(train_hybrid, tiny_store, tmp_path / "back", *back)))
    cvae, generator = (
        load(tmp_path / "back" / "checkpoints" / hybrid_file(name, 64), kind, "").model
        for name, kind in (("cvae", "cvae"), ("G", "generator"))
    )
    assert torch.equal(generator.prior.moments.weight, cvae.prior.moments.weight)
    assert cvae.prior.moments.weight.any(), "it has been trained"


def test_initial_weights_that_are_missing_are_refused(tiny_store: Path, tmp_path: Path) -> None:
    nowhere = options(train_cvae, tiny_store, tmp_path, "--init-from", str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match=r"nowhere/cvae_pretrained_best.pth: no such .*folder with --init"):
        opened(train_cvae.CVAEStage(nowhere))

"""Preset large in the three stages: exact resuming, fine-tuning, refusals."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from corpus import rewrite_store
from stages import Stopping, arguments, assert_same_result, cvae_options, opened, terminate

import train_cgan
import train_cvae
import train_hybrid
import training.loop
from common.errors import UserError
from common.options import parse_options
from data.store import RollStore
from models.checkpoint import CheckpointError
from models.trained import load
from models.weight_files import hybrid_file, pretrained_file
from training.stage import Position

SMALL = {
    train_cvae: ["--hidden", "16", "--depth", "1", "--latent", "2", "--seq-len", "32", "--epochs", "2"],
    train_cgan: ["--hidden", "16", "--epochs", "1"],
    train_hybrid: ["--hidden", "16", "--seq-len", "32,64", "--epochs", "1,1"],
}


def options(program: Any, store: Path, folder: Path, *more: str) -> Any:
    words = ["--preset", "large", *arguments(store, folder), *SMALL[program], *more]
    return parse_options(program.Options, "", words, program.PRESETS)


@pytest.fixture(scope="module")
def whole(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three stages, uninterrupted."""
    folder = tmp_path_factory.mktemp("large")
    for program in SMALL:
        training.loop.train(program.make_stage(options(program, tiny_store, folder)))
    return folder


def model_of(folder: Path, file_name: str, kind: str) -> torch.nn.Module:
    return load(folder / "checkpoints" / file_name, kind, "").model


def test_every_stage_resumes_exactly(whole: Path, tiny_store: Path, tmp_path: Path) -> None:
    for program in SMALL:
        stopped = Stopping(program.make_stage, 3, 8, by=terminate)
        for _ in range(2):
            with pytest.raises(SystemExit):
                training.loop.train(stopped(options(program, tiny_store, tmp_path)))
        training.loop.train(stopped(options(program, tiny_store, tmp_path)))
        assert_same_result(tmp_path, whole, program.__name__.removeprefix("train_"))
    log = (whole / "runs" / "hybrid" / "log.txt").read_text()
    assert "tensors kept\n" in log and "grown:" not in log and "new:" not in log, "networks for windows of any length"


def test_every_epoch_cuts_windows_at_new_frames(tiny_store: Path, tmp_path: Path) -> None:
    stage = opened(train_cvae.make_stage(options(train_cvae, tiny_store, tmp_path)))
    first, second, again = (stage._windows_of(epoch).batch(torch.arange(20)).roll for epoch in (0, 1, 0))
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_learning_rates_follow_the_schedule(tiny_store: Path, tmp_path: Path) -> None:
    stage = opened(train_cvae.make_stage(options(train_cvae, tiny_store, tmp_path, "--warm-up", "4")))
    for step in range(20):
        stage.set_rates(Position(stage.phases[0], step // 10, 16 * (step % 10)))
        factor = min(1, (step + 1) / 4) * (1 + math.cos(math.pi * step / 20)) / 2
        rates = [group["lr"] for group in stage.optimizers["cvae"].param_groups]
        assert rates == pytest.approx([0.02 * factor, 1.5e-3 * factor]), "muon, and adam for the rest"


@pytest.mark.parametrize(
    ("program", "more", "message"),
    [
        (train_cvae, ("--event-size", "3"), "architecture large has no event_size; leave the option out"),
        (train_cgan, ("--hidden", "20"), "hidden must be a multiple of 16, but is 20"),
        (train_cgan, ("--architecture", "paper"), "takes 2 numbers for 32 frames, but the CVAE's z has 4; give both"),
        (train_hybrid, ("--reconstruction", "squared-error"), "has no probabilities of cells: give --reconstruction"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    program: Any, more: tuple[str, ...], message: str, whole: Path, tiny_store: Path
) -> None:
    with pytest.raises(UserError, match=message):
        opened(program.make_stage(options(program, tiny_store, whole, "--restart", *more)))


@pytest.mark.parametrize("changes", [{"optimizer": "muon"}, {"dropout": 0.1}])
def test_options_of_note_decoders_are_refused_for_other_cvaes(
    changes: dict[str, Any], tiny_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is for note decoders"):
        opened(train_cvae.make_stage(cvae_options(tiny_store, tmp_path, **changes)))


@pytest.mark.parametrize(
    ("genres", "rows"),
    [
        (["chords", "melody", "bass"], [0, 1, 2]),
        (["Bass", "tango", " CHORDS"], [2, None, 0]),
        (["waltz", "polka", "tango"], [None] * 3),
    ],
    ids=["same", "some", "none"],
)
def test_embeddings_of_genres_follow_their_names(
    genres: list[str], rows: list[int | None], whole: Path, tiny_store: Path, tmp_path: Path
) -> None:
    store = rewrite_store(RollStore.open(tiny_store), tmp_path / "store", genres=genres).folder
    before = model_of(whole, pretrained_file("cvae"), "cvae").state_dict()
    more = ["--init-from", str(whole / "checkpoints"), "--hidden", "16"]
    stage = train_cvae.make_stage(options(train_cvae, store, tmp_path, *more))
    for name, tensor in opened(stage).models["cvae"].state_dict().items():
        wanted = before[name]
        if name in ("genre.weight", "prior.genre.weight"):
            wanted = torch.stack([wanted.mean(0) if row is None else wanted[row] for row in rows])
        assert torch.equal(tensor, wanted), name
    _, lines = stage.initial
    for fate, is_new in (("known", False), ("new, the mean of the old", True)):
        names = [name for name, row in zip(genres, rows, strict=True) if (row is None) == is_new]
        assert (f"{fate}: {', '.join(names)}" in lines[0]) == bool(names)
    assert ("; by genre: prior.genre.weight, genre.weight" in lines[1]) == (rows != [0, 1, 2])


def test_fine_tuning_of_all_stages(whole: Path, tiny_store: Path, tmp_path: Path) -> None:
    store = rewrite_store(RollStore.open(tiny_store), tmp_path / "store", genres=["tango", "waltz", "polka"]).folder
    logs = ""
    for program in SMALL:
        stage = program.make_stage(options(program, store, tmp_path, "--init-from", str(whole / "checkpoints")))
        training.loop.train(stage)
        logs += (stage.folder / "log.txt").read_text()
    for line in (
        r"cvae_pretrained_best\.pth: \d+ of \d+ tensors kept; by genre: prior\.genre\.weight, genre\.weight\n",
        r"hybrid_G_best_T32\.pth: .* by genre: prior\.genre\.weight, genre\.weight, outline\.genre\.weight\n",
        r"hybrid_D_best_T32\.pth: .* by genre: genre\.weight\n",
    ):
        assert re.search(line, logs), line
    trained = load(tmp_path / "checkpoints" / hybrid_file("G", 64), "generator", "")
    assert trained.genres == ["tango", "waltz", "polka"]


def test_weights_of_a_longer_window_start_a_shorter_one(whole: Path, tiny_store: Path, tmp_path: Path) -> None:
    """Where the network takes windows of any length: T = 64 to 32."""
    only = tmp_path / "only"
    only.mkdir()
    for path in (whole / "checkpoints").glob("hybrid_*_best_T64.pth"):
        (only / path.name).symlink_to(path)
    more = ["--init-from", str(only), "--seq-len", "32", "--epochs", "1", "--allow-other-cvae"]
    stage = train_hybrid.make_stage(options(train_hybrid, tiny_store, tmp_path, *more))
    before = load(only / hybrid_file("G", 64), "generator", "").model.state_dict()
    opened(stage).build_models(stage.phases[0])
    generator = stage.models["G"]
    assert generator.seq_len == 32
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


@pytest.mark.parametrize(
    ("init_from", "more", "message"),
    [
        ("nowhere", (), r"nowhere/cvae_pretrained_best.pth: no such .*folder with --init"),
        ("checkpoints/cvae_pretrained_best.pth", (), r"best.pth: a file; give its folder, --init-from .*checkpoints$"),
        ("checkpoints", ("--latent", "3"), "--latent 3: the weights of --init-from have 2; leave it out"),
        ("checkpoints", ("--hidden", "32"), "--hidden 32: the weights of --init-from have 16; leave it out"),
        ("checkpoints", ("--event-size", "4"), "--event-size 4: the weights of --init-from have no such size; leave"),
        ("checkpoints", ("--architecture", "paper"), "best.pth: of another architecture than paper; give the --preset"),
    ],
)
def test_initial_weights_that_do_not_fit_are_refused(
    init_from: str, more: tuple[str, ...], message: str, whole: Path, tiny_store: Path, tmp_path: Path
) -> None:
    initial = options(train_cvae, tiny_store, tmp_path, "--init-from", str(whole / init_from), *more)
    with pytest.raises((UserError, CheckpointError), match=message):
        train_cvae.train_cvae(initial)


def test_a_prior_of_another_kind_is_new_in_cvae_and_generator(whole: Path, tiny_store: Path, tmp_path: Path) -> None:
    def trained(source: Path, folder: Path, prior: str) -> list[torch.nn.Module]:
        """CVAE and generator of stage 3, begun with the weights in `source`."""
        more = ["--init-from", str(source / "checkpoints"), "--prior", prior]
        training.loop.train(train_hybrid.make_stage(options(train_hybrid, tiny_store, folder, *more)))
        kinds = {"cvae": "cvae", "G": "generator"}
        return [model_of(folder, hybrid_file(name, 64), kind) for name, kind in kinds.items()]

    for model in trained(whole, tmp_path, "standard-normal"):
        assert model.config["prior"] == "standard-normal"
    log = (tmp_path / "runs/hybrid/log.txt").read_text()
    assert "prior of the cvae: all tensors new, of the kind standard-normal" in log
    cvae, generator = trained(tmp_path, tmp_path / "back", "autoregressive")
    assert torch.equal(generator.prior.moments.weight, cvae.prior.moments.weight)
    assert cvae.prior.moments.weight.any(), "it has been trained"

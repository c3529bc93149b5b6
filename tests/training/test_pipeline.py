"""The three stages from end to end: what they write, what they require, and their options."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stages import (
    BATCH,
    STAGE_1_AND_2,
    STAGE_3,
    arguments,
    cgan_options,
    cvae_options,
    epochs_logged,
    exit_code,
    hybrid_options,
    opened,
    ready_for,
)
from tiny_stores import GENRES, SPLIT_OF_SONG, make_store

import train_cgan
import train_cvae
import train_hybrid
import training.loop
from common.errors import UserError
from data.store import RollStore
from models import LARGE, build, rebuild
from models.checkpoint import CheckpointError, read_checkpoint
from training.adversarial import carry
from training.cvae_stage import CVAEStage
from training.roll_stage import RollStage


def test_the_pipeline_writes_the_published_files(pipeline: Path) -> None:
    assert {path.name for path in (pipeline / "checkpoints").iterdir()} == STAGE_1_AND_2 | STAGE_3
    for name, lengths in {"cvae": [32], "cgan": [32], "hybrid": [32, 64, 128]}.items():
        records = epochs_logged(pipeline / "runs" / name)
        assert [record["phase"] for record in records] == [f"T={seq_len}" for seq_len in lengths]
        assert all(record["epoch"] == 1 for record in records)
        for record in records:
            numbers = [*record["train"].values(), *record["val"].values()]
            assert all(map(math.isfinite, numbers)) and record["examples_per_second"] > 0
        assert json.loads((pipeline / "runs" / name / "options.json").read_text())["batch_size"] == BATCH
        assert list((pipeline / "runs" / name).glob("events.out.tfevents.*"))


@pytest.mark.parametrize("epoch_windows", [None, 20])
def test_the_status_knows_the_windows_of_every_length(
    epoch_windows: int | None, whole: Path, tiny_store: Path, tmp_path: Path
) -> None:
    stage = train_hybrid.make_stage(hybrid_options(tiny_store, ready_for("hybrid", whole, tmp_path)))
    stage = train_hybrid.make_stage(replace(stage.options, epoch_windows=epoch_windows))
    stage.open()
    counts = set()
    for phase in stage.phases:
        stage.open_phase(phase)
        counts.add(tuple(map(stage.examples_of, stage.phases)))
        assert stage.examples_of(phase) == stage.n_examples and phase.frames == phase.seq_len
    assert len(counts) == 1


def test_weights_contain_the_facts_that_later_programs_need(pipeline: Path, tiny_store: Path) -> None:
    store = RollStore.open(tiny_store)
    for name in STAGE_1_AND_2 | STAGE_3:
        checkpoint = read_checkpoint(pipeline / "checkpoints" / name)
        model = rebuild(checkpoint)
        length = int(name.split("_T")[1].split(".")[0].split("_")[0]) if "_T" in name else 32
        facts = checkpoint["facts"]
        assert facts["genres"] == store.genres and model.genre.num_embeddings == len(store.genres)
        assert facts["frames_per_second"] == 16 and facts["seq_len"] == length and facts["condition"] == "genre"
        assert getattr(model, "seq_len", length) == length
        assert facts["options"]["batch_size"] == BATCH and facts["store_content"] == store.content_hash
        assert facts["training_songs"].tolist() == store.song_ids("train").tolist() and len(facts["trained_on"]) == 12
        assert facts["metrics"][facts["chosen_by"]] > 0


def test_the_log_lists_kept_and_grown_tensors(pipeline: Path) -> None:
    log = (pipeline / "runs" / "hybrid" / "log.txt").read_text()
    first, second, third = log.split("best by:")[1:]
    assert "cvae: all tensors kept from cvae_pretrained_best.pth" in first
    assert "G: 7 of 7 tensors kept\n" in first and "D: 9 of 9 tensors kept\n" in first
    for phase in (second, third):
        assert "G: 5 of 7 tensors kept; grown: roll.weight, roll.bias\n" in phase
        assert "D: 8 of 9 tensors kept; grown: linear1.weight\n" in phase


def test_stage_3_starts_from_the_weights_of_stages_1_and_2(copied: Path, tiny_store: Path) -> None:
    stage = opened(train_hybrid.make_stage(hybrid_options(tiny_store, copied)))
    assert stage.models["G"].prior is stage.models["cvae"].prior
    for name, file in {"cvae": "cvae", "G": "generator", "D": "critic"}.items():
        saved = read_checkpoint(copied / "checkpoints" / f"{file}_pretrained_best.pth")["weights"]
        state = stage.models[name].state_dict()
        assert state.keys() == saved.keys() and all(torch.equal(state[key], saved[key]) for key in saved)


def test_best_is_the_epoch_with_the_lowest_metric(tiny_store: Path, tmp_path: Path) -> None:
    class Judged(CVAEStage):
        verdicts = iter([3.0, 1.0, 2.0])

        def validate(self, models: Mapping[str, torch.nn.Module]) -> dict[str, float]:
            return {"negative_elbo": next(self.verdicts)}

    training.loop.train(Judged(cvae_options(tiny_store, tmp_path, epochs=3), train_cvae.iterate))
    files = (tmp_path / "checkpoints" / f"cvae_pretrained_{which}.pth" for which in ("best", "last"))
    best, last = map(read_checkpoint, files)
    assert (best["facts"]["epoch"], best["facts"]["metrics"]) == (2, {"negative_elbo": 1.0})
    assert (last["facts"]["epoch"], last["facts"]["metrics"]) == (3, {"negative_elbo": 2.0})


@pytest.mark.parametrize("script", ["train_cgan.py", "train_hybrid.py"])
def test_later_stages_require_the_first(
    script: str, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, script, *arguments(tiny_store, tmp_path)) == 2
    file = tmp_path / "checkpoints" / "cvae_pretrained_best.pth"
    remedy = "run train_cvae.py first, or name its folder with --checkpoints"
    assert capsys.readouterr().err == f"error: {file}: no such checkpoint; {remedy}\n"
    assert not (tmp_path / "runs" / script[6:-3]).exists()


def test_stage_3_without_stage_2_logs_new_generator_and_critic(copied: Path, tiny_store: Path) -> None:
    for name in ("generator", "critic"):
        (copied / "checkpoints" / f"{name}_pretrained_best.pth").unlink()
    train_hybrid.train_hybrid(hybrid_options(tiny_store, copied, seq_lens=(32,), epochs=(1,), restart=True))
    log = (copied / "runs" / "hybrid" / "log.txt").read_text()
    assert "G: all tensors new, there is no generator_pretrained_best.pth" in log
    assert "D: all tensors new, there is no critic_pretrained_best.pth" in log
    assert "kept from cvae_pretrained_best.pth" in log


@pytest.mark.parametrize(
    ("kind", "sizes", "words"),
    [
        ("generator", {"noise": 3, "outline": 0}, "--hidden 16 --noise 3 --outline 0"),
        ("critic", {"latent": 2}, "--hidden 16 --critic-takes-z --outline 0"),
        ("critic", {}, "--hidden 16 --no-critic-takes-z"),
    ],
)
def test_the_remedy_names_options_that_build_such_a_model(kind: str, sizes: dict[str, int], words: str) -> None:
    def built(**given: int | bool) -> torch.nn.Module:
        return build(kind, LARGE, n_genres=3, seq_len=32, hidden=16, **given)

    others = {"latent": 16} if kind == "generator" else {"latent": 2, "outline": True}
    with pytest.raises(UserError, match=f"; give {words} and a T that fits"):
        carry(kind, built(**sizes), built(**others))


def test_weights_that_do_not_fit_are_refused(copied: Path, tiny_store: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="hidden 32 and 64; give --hidden 32 and a T that fits"):
        train_hybrid.train_hybrid(hybrid_options(tiny_store, copied, hidden=64, restart=True))
    other = make_store(tmp_path / "other", first_song=10)
    with pytest.raises(CheckpointError, match="12 of the 12 songs it was trained on are not among"):
        train_cgan.train_cgan(cgan_options(other, copied, restart=True))
    train_cgan.train_cgan(cgan_options(other, copied, restart=True, allow_other_songs=True))
    grown = make_store(tmp_path / "grown", splits=[(*SPLIT_OF_SONG, "train")] * len(GENRES))
    train_cgan.train_cgan(cgan_options(grown, copied, restart=True))  # its songs, and others


@pytest.mark.parametrize("stage", [train_cgan, train_hybrid])
def test_networks_trained_with_another_cvae_are_refused(stage: Any, copied: Path, tiny_store: Path) -> None:
    of_stage = {train_cgan: cgan_options, train_hybrid: hybrid_options}[stage]
    initial = {"init_from": copied / "checkpoints"} if stage is train_cgan else {}
    # Stage 1 goes on from its own weights: what was trained with them still fits.
    more = {"restart": True, "epochs": 1, "learning_rate": 1e-9}
    train_cvae.train_cvae(cvae_options(tiny_store, copied, init_from=copied / "checkpoints", **more))
    run, train = of_stage(tiny_store, copied, restart=True, **initial), vars(stage)[stage.__name__]
    train(run)
    train_cvae.train_cvae(cvae_options(tiny_store, copied, seed=9, **more))
    with pytest.raises(UserError, match=r"(generator|critic)_.*trained with another CVAE .*--allow-other-cvae"):
        train(run)
    train(replace(run, allow_other_cvae=True))


def test_a_split_without_windows_is_refused(tmp_path: Path) -> None:
    other = make_store(tmp_path / "store", splits=[("train", "train", "test")] * len(GENRES))
    with pytest.raises(UserError, match="the val split has 0 windows of 32 frames"):
        train_cvae.train_cvae(cvae_options(other, tmp_path))


@pytest.mark.parametrize("script", ["train_cvae.py", "train_cgan.py", "train_hybrid.py"])
def test_dry_run_prints_the_options(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(monkeypatch, script, "--dry-run", "--seed", "7") == 0
    options = json.loads(capsys.readouterr().out)
    published = {
        "train_cvae.py": {"seq_len": 32, "epochs": 10, "learning_rate": 5e-5, "beta": 0.05},
        "train_cgan.py": {"seq_len": 32, "epochs": 20, "learning_rate": 1e-4, "critic_steps": 5, "penalty": 10.0},
        "train_hybrid.py": {
            "seq_lens": [32, 64, 128], "epochs": [10, 10, 15], "cvae_learning_rate": 5e-5, "gan_learning_rate": 1e-4,
            "alpha": 1.0, "beta": 0.01, "gamma": 0.5, "critic_steps": 5, "penalty": 10.0, "encoder_gradient": True,
        },
    }[script]  # fmt: skip
    assert {**options, **published, "batch_size": 512, "seed": 7} == options
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("train_hybrid.py", ["--seq-len", "64,32", "--epochs", "1,1"], "--seq-len must rise: models grow from one T"),
        ("train_hybrid.py", ["--seq-len", "32,64"], "--seq-len has 2 numbers, --epochs 3: give one of each for each T"),
        ("train_cvae.py", ["--store", "nowhere"], "nowhere: no roll store there; make one with prepare_data.py"),
        ("train_cvae.py", ["--device", "cuda"], "device cuda: not available here; use cpu or auto"),
        ("train_cvae.py", ["--runs", "file"], "/file: File exists; name another place, or mend this one"),
        ("train_cvae.py", ["--checkpoints", "file"], "file: File exists; name another place, or mend this one"),
    ],
)
def test_wrong_values_end_with_one_line_before_any_work(
    script: str, options: list[str], message: str,
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(RollStage, "open_phase", lambda *_: pytest.fail("began to work"))
    assert exit_code(monkeypatch, script, "--store", str(tiny_store), "--device", "cpu", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize("wrong", ["checkpoints/critic_pretrained_best.pth", "runs/cgan/state.pth"])
def test_a_wrong_file_of_an_earlier_stage_is_refused(wrong: str, copied: Path, tiny_store: Path) -> None:
    shutil.copy(copied / wrong, copied / "checkpoints" / "cvae_pretrained_best.pth")
    with pytest.raises(CheckpointError, match=r"cvae_pretrained_best.pth: holds .*, but cvae is .*; run train_cvae.py"):
        train_cgan.train_cgan(cgan_options(tiny_store, copied, restart=True))

"""Folders of runs that are complete, changed, damaged or of another run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stages import (
    arguments,
    cgan_options,
    contents,
    epochs_logged,
    smoke_options,
)
from tiny_stores import make_store

import train_cgan
import train_cvae
import train_hybrid
from common.errors import UserError
from common.options import parse_options
from data.store import RollStore
from models.checkpoint import read_checkpoint


@pytest.mark.parametrize("script", [train_cvae, train_cgan, train_hybrid])
def test_a_complete_run_is_left_alone(
    script: Any, pipeline: Path, tiny_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(pipeline)
    options = parse_options(script.Options, "", ["--preset", "smoke", *arguments(tiny_store, pipeline)], script.PRESETS)
    vars(script)[script.__name__](options)
    assert "this run is complete; --restart begins anew" in capsys.readouterr().out
    assert contents(pipeline) == before


def test_changed_options_are_named_and_refused(copied: Path, tiny_store: Path) -> None:
    before = contents(copied)
    changed = r"options: epochs \(was 1, is 2\); learning_rate \(was 5e-05, is 0.25\)\. .*--allow-changes .*--restart"
    with pytest.raises(UserError, match=changed):
        train_cvae.train_cvae(smoke_options(tiny_store, copied, "--epochs", "2", "--learning-rate", "0.25"))
    assert contents(copied) == before


def test_a_changed_store_is_refused(copied: Path, tiny_store: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_store, tmp_path / "store")
    train_cvae.train_cvae(smoke_options(other, copied))  # moved, same content
    another = make_store(tmp_path / "another", first_song=10)
    was, now = (RollStore.open(store).content_hash for store in (tiny_store, another))
    with pytest.raises(UserError, match=rf"store_content \(was {was}, is {now}\)"):
        train_cvae.train_cvae(smoke_options(another, copied))


def test_allow_changes_resumes_with_the_new_options(copied: Path, tiny_store: Path) -> None:
    first = epochs_logged(copied / "runs" / "cvae")
    weights = copied / "checkpoints" / "cvae_pretrained_last.pth"
    before = read_checkpoint(weights)["weights"]
    changes = ["--epochs", "2", "--learning-rate", "1e-9"]
    train_cvae.train_cvae(smoke_options(tiny_store, copied, *changes, "--allow-changes"))
    records, after = epochs_logged(copied / "runs" / "cvae"), read_checkpoint(weights)
    assert len(records) == 2 and records[:1] == first
    for name, tensor in before.items():
        torch.testing.assert_close(after["weights"][name], tensor, rtol=0, atol=1e-6)
    saved = json.loads((copied / "runs" / "cvae" / "options.json").read_text())
    for options in (saved, after["facts"]["options"]):
        assert (options["epochs"], options["learning_rate"]) == (2, 1e-9)
    train_cvae.train_cvae(smoke_options(tiny_store, copied, *changes))  # complete: does nothing
    assert epochs_logged(copied / "runs" / "cvae") == records


def test_restart_discards_the_earlier_run(copied: Path, tiny_store: Path) -> None:
    (copied / "runs" / "cvae" / "of the user").touch()
    train_cvae.train_cvae(smoke_options(tiny_store, copied, "--restart", "--seed", "5"))
    assert len(epochs_logged(copied / "runs" / "cvae")) == 1
    assert (copied / "runs" / "cvae" / "of the user").exists()
    assert len(list((copied / "runs" / "cvae").glob("events.out.tfevents.*"))) == 1
    assert json.loads((copied / "runs" / "cvae" / "options.json").read_text())["seed"] == 5
    train_cvae.train_cvae(smoke_options(tiny_store, copied, "--seed", "5"))  # complete: does nothing


def test_a_damaged_state_is_refused(copied: Path, tiny_store: Path) -> None:
    state = copied / "runs" / "cvae" / "state.pth"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"state\.pth: not a readable checkpoint .*; begin anew with --restart"):
        train_cvae.train_cvae(smoke_options(tiny_store, copied))


def test_changed_or_missing_weights_are_refused(copied: Path, tiny_store: Path) -> None:
    options = cgan_options(tiny_store, copied, restart=True)
    train_cgan.train_cgan(options)
    (copied / "checkpoints" / "generator_pretrained_last.pth").unlink()
    with pytest.raises(UserError, match=r"generator_pretrained_last.pth: not there, although this run has written it"):
        train_cgan.train_cgan(replace(options, restart=False))
    train_cvae.train_cvae(smoke_options(tiny_store, copied, "--seed", "1", "--restart"))
    with pytest.raises(UserError, match=r"begun with other options: earlier_weights .*cvae_pretrained_best.pth"):
        train_cgan.train_cgan(replace(options, restart=False))

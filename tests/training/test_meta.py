"""A step of each stage and preset on the meta device: it neither mixes devices nor waits for one. Needs no GPU."""

from pathlib import Path

import pytest
import torch
from one_device import META, OneDevice

from benchmarks.meta_stages import meta_step, to_meta
from benchmarks.stage_cases import CaseOptions, built_case
from benchmarks.training_steps import built_stage, write_initial_cvae
from explainable.measures import MeasureSet
from explainable.options import TRAININGS
from training.stage import Position, Stage

BATCH = 16
PRESETS = [
    (program, preset)
    for program in ("train_cvae", "train_cgan", "train_hybrid") for preset in ("paper", "paper-512", "large")
]  # fmt: skip


def assert_never_waits(stage: Stage) -> None:
    """Two steps, the second in the second epoch, with batches of other windows."""
    with OneDevice():
        for epoch in (0, 1):
            losses = meta_step(stage, Position(stage.phases[0], epoch, BATCH))
    assert losses and all(loss.device == META and loss.shape == () for loss in losses.values())


@pytest.mark.parametrize(("program", "preset"), PRESETS)
def test_a_step_stays_on_its_device_and_never_waits(
    program: str, preset: str, tiny_store: Path, tmp_path: Path
) -> None:
    (tmp_path / "store").symlink_to(tiny_store)
    if program != "train_cvae":
        write_initial_cvae(preset, "cpu", tmp_path)
    assert_never_waits(to_meta(built_stage(program, preset, {"batch_size": BATCH}, tmp_path)))


@pytest.mark.parametrize("model", TRAININGS)
@pytest.mark.parametrize("teacher_forcing", [0.0, 1.0])
def test_a_step_of_the_study_stays_on_its_device_and_never_waits(
    model: str, teacher_forcing: float, measures: MeasureSet, tmp_path: Path
) -> None:
    forcing = {} if model == "adversarial_vae" else {"teacher_forcing": teacher_forcing}
    sizes = {"hidden": 8, "latent": 6, "epoch_rows": None}
    options = CaseOptions(measures=measures.folder, batch_size=BATCH)
    assert_never_waits(to_meta(built_case(model, options, tmp_path, **sizes, **forcing)))


def test_the_guard_detects_all_faults() -> None:
    numbers, index = torch.empty(3, device=META), torch.tensor([1, 2])
    with OneDevice(), pytest.raises(AssertionError, match="mixes meta and"):
        numbers.index_select(0, index)
    with OneDevice(), pytest.raises(AssertionError, match="waits for the device"):
        numbers.nonzero()
    with OneDevice(), pytest.raises(AssertionError, match="waits for a copy of"):
        index.to(META)
    with OneDevice() as guard:
        index.to(META, non_blocking=True)
    assert guard.copies == 1

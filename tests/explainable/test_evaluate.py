"""The table of trained runs: what it says of each, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from common.options import as_plain
from explainable.attributes import ATTRIBUTES
from explainable.measures import MeasureSet
from explainable.stages.measure_stage import MeasureOptions
from explainable.tokens import MEASURE
from explainable.trained import TrainedMeasures
from models.base import StudyVAE
from models.checkpoint import CheckpointError
from programs.study_evaluate import Options, controls, evaluate_models, told_options
from programs.study_prepare import MeasureSettings, prepare_measures
from programs.study_train import MODELS, train_model


@pytest.fixture
def trained(measures: MeasureSet, tmp_path: Path) -> Path:
    """A folder with a run of each model."""
    for model, (options, _) in MODELS.items():
        places = {"data": measures.folder, "checkpoints": tmp_path / "checkpoints", "runs": tmp_path / "runs"}
        small = {"latent": 4, "hidden": 8, "batch_size": 16, "epochs": 1, "epoch_rows": None, "attributes": ("2",)}
        train_model(model, options(**places, **small))
    return tmp_path


def options(measures: MeasureSet, folder: Path) -> Options:
    return Options(
        data=measures.folder, checkpoints=folder / "checkpoints", runs=folder / "runs", metrics=folder / "metrics",
        sweep_measures=10,
    )  # fmt: skip


def test_each_run_has_a_row(measures: MeasureSet, trained: Path) -> None:
    table = evaluate_models(options(measures, trained)).set_index("model")
    assert sorted(table.index) == sorted(MODELS)
    assert table["accuracy"].between(0, 1).all() and (table["floor"] == measures.hold_share("test")).all()
    assert (table["latent"] == 4).all() and (table["rows"] == len(measures.rows("test"))).all()
    # What is told to the decoder is no dimension of z.
    designated = table["r_squared_designated_note_density"]
    assert np.isnan(designated["adversarial_vae"]) and designated["measure_vae"] >= 0
    assert table["data_output_independence"].nunique() == 1
    again = evaluate_models(options(measures, trained)).set_index("model")
    assert again["accuracy"].equals(table["accuracy"]) and len(again) == len(MODELS)


def test_runs_on_other_measures_are_refused(measures: MeasureSet, trained: Path) -> None:
    tunes = measures.folder.parent / "tunes.abc"
    folder = trained / "measures"
    other = prepare_measures([tunes], folder, MEASURE, MeasureSettings(transpose=False, keep_empty=True))
    with pytest.raises(CheckpointError, match="trained on other measures than"):
        evaluate_models(options(other, trained))
    with pytest.raises(UserError, match="no trained model there"):
        evaluate_models(options(measures, trained / "none"))


def test_a_training_is_told_by_its_options() -> None:
    published = "hidden 512, epochs 30, batch size 256, learning rate 0.0001"
    plain = as_plain(MeasureOptions(latent=8, seed=3, data=Path("measures/bach"), threads=2))
    assert told_options("measure_vae", plain) == published
    other = as_plain(MeasureOptions(bf16=True, relu_logits=False, epoch_rows=1000))
    assert told_options("measure_vae", other) == f"{published}, bf16, epoch rows 1000, no relu logits"


class Obedient(StudyVAE):
    """Decodes as many onsets, all of one pitch, as z's first number asks for."""

    network = "measure_vae"

    def decode_free(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        onsets = (12 + 3 * z[:, 0]).round().long()
        tokens = torch.where(torch.arange(24) < onsets[:, None], 5, MEASURE.hold)
        return tokens.float(), tokens


def test_a_control_that_does_what_it_says(measures: MeasureSet, tmp_path: Path) -> None:
    """Density follows it alone; complexity goes along, range and jumps stay."""
    obedient = TrainedMeasures(tmp_path, Obedient(), MEASURE, ["note_density"], {})
    test = measures.split("test")
    z = torch.randn(len(test), 2, generator=torch.Generator().manual_seed(0))
    row = controls(obedient, measures, test, z, options(measures, tmp_path))
    others = len(ATTRIBUTES) - 1
    assert row["output_independence_note_density"] == pytest.approx(1 - 1 / others, abs=0.02)

"""The table of trained runs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import LatentControls, trained

from common.errors import UserError
from common.options import as_plain
from explainable.measures import MeasureSet
from explainable.metrics.run_metrics import controls, describe_options
from explainable.options import TRAININGS, MeasureOptions, MeasureSettings, RunMetricsOptions
from explainable.prepare import prepare_measures
from explainable.tokens import MEASURE
from models.checkpoint import CheckpointError
from models.weight_files import STUDY, STUDY_FILE
from programs.study_evaluate import evaluate_models
from programs.study_train import train_model


def options(measures: MeasureSet, folder: Path) -> RunMetricsOptions:
    places = {name: folder / name for name in ("checkpoints", "runs", "metrics")}
    return RunMetricsOptions(data=measures.folder, sweep_measures=10, **places)


def test_each_run_on_the_data_set_has_a_row(measures: MeasureSet, tmp_path: Path) -> None:
    given = options(measures, tmp_path)
    tiny = {"latent": 4, "hidden": 8, "batch_size": 16, "epochs": 1, "epoch_rows": 80, "attributes": ("2",)}
    for model, kind in TRAININGS.items():
        train_model(model, kind(**tiny, data=measures.folder, checkpoints=given.checkpoints, runs=given.runs))
    table = evaluate_models(given).set_index("model")
    assert sorted(table.index) == sorted(TRAININGS)
    assert table["accuracy"].between(0, 1).all() and (table["floor"] == measures.hold_share("test")).all()
    assert (table["latent"] == 4).all() and (table["rows"] == len(measures.rows("test"))).all()
    # A control outside z has no designated dimension.
    designated = table["r_squared_designated_note_density"]
    assert np.isnan(designated["adversarial_vae"]) and designated["measure_vae"] >= 0
    assert evaluate_models(given).set_index("model")["accuracy"].equals(table["accuracy"])

    tunes, settings = measures.folder.parent / "tunes.abc", MeasureSettings(transpose=False, keep_empty=True)
    other = prepare_measures([tunes], tmp_path / "measures", MEASURE, settings)
    with pytest.raises(CheckpointError, match="trained on another data set than"):
        evaluate_models(options(other, tmp_path))
    with pytest.raises(UserError, match="no trained model there"):
        evaluate_models(options(measures, tmp_path / "none"))


def test_another_table_is_refused_before_the_work(measures: MeasureSet, tmp_path: Path) -> None:
    given = options(measures, tmp_path)
    weights = given.checkpoints / STUDY / measures.name / "run" / STUDY_FILE
    weights.parent.mkdir(parents=True)
    weights.write_text("no weights: not even opened")
    given.metrics.mkdir()
    (given.metrics / "explainable.csv").write_text("other\n1\n")
    with pytest.raises(UserError, match=r"explainable\.csv: has no column data"):
        evaluate_models(given)


def test_the_description_of_a_training_lists_what_differs_from_the_recipe() -> None:
    published = "hidden 512, epochs 30, batch size 256, learning rate 0.0001"
    plain = as_plain(MeasureOptions(latent=8, seed=3, data=Path("measures/bach"), threads=2))
    assert describe_options("measure_vae", plain) == published
    other = as_plain(MeasureOptions(bf16=True, relu_logits=False, epoch_rows=1000))
    assert describe_options("measure_vae", other) == f"{published}, bf16, epoch rows 1000, no relu logits"


def test_the_independence_of_controls_of_density_and_range(measures: MeasureSet, tmp_path: Path) -> None:
    """One moves density and with it complexity, the other range and jumps."""
    test = measures.split("test")
    z = torch.randn(len(test), LatentControls.latent, generator=torch.Generator().manual_seed(0))
    row = controls(trained(LatentControls()), measures, test, z, options(measures, tmp_path))
    of_controls = [row[f"output_independence_{name}"] for name in ("note_density", "note_range")]
    assert of_controls == pytest.approx([1 - 1 / 3] * 2, abs=0.02)

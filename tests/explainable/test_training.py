"""The models train on a data set, go on exactly where they were stopped, and are rebuilt from their files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from explainable.measures import MeasureSet
from explainable.stages import MODELS
from explainable.stages.adversarial_stage import AdversarialOptions, AdversarialStage
from explainable.stages.measure_stage import MeasureOptions, MeasureStage
from explainable.stages.stage import Rows
from explainable.trained import load_vae
from models import rebuild
from models.checkpoint import read_checkpoint
from models.study.attribute_vae import AttributeRegressor
from programs.study_train import split_model, train_model
from training.loop import train
from training.stage import Position

SMALL = {
    "latent": 4, "hidden": 8, "batch_size": 16, "epochs": 2, "epoch_rows": None, "learning_rate": 1e-2,
    "attributes": ("2",),
}  # fmt: skip


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> str:
    return request.param


def options(model: str, measures: MeasureSet, folder: Path, **changes: object) -> object:
    places = {"data": measures.folder, "checkpoints": folder / "checkpoints", "runs": folder / "runs"}
    return MODELS[model][0](**{**SMALL, **places, **changes})


def weights_of(folder: Path, name: str = "vae_last.pth") -> dict[str, torch.Tensor]:
    (path,) = folder.glob(f"checkpoints/explainable/*/*/{name}")
    return read_checkpoint(path)["weights"]


def test_a_model_is_trained_and_rebuilt(model: str, measures: MeasureSet, tmp_path: Path) -> None:
    train_model(model, options(model, measures, tmp_path))
    (path,) = tmp_path.glob("checkpoints/explainable/measures/*/vae_best.pth")
    content = read_checkpoint(path)
    assert path.parent.name == f"{model}_z4_2_seed0" and content["facts"]["measures_content"] == measures.content_hash
    assert content["facts"]["attributes"] == ["rhythmic_complexity", "note_density"]
    assert 0 <= content["facts"]["metrics"]["val_accuracy"] <= 1
    tokens = measures.split("test").tokens
    assert load_vae(path).encode(tokens).mean.shape == (len(tokens), 4)


def test_a_training_goes_on_exactly(model: str, measures: MeasureSet, tmp_path: Path) -> None:
    train_model(model, options(model, measures, tmp_path / "whole"))
    train_model(model, options(model, measures, tmp_path / "parts", epochs=1))
    train_model(model, options(model, measures, tmp_path / "parts", allow_changes=True))
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)


def test_an_epoch_takes_rows_in_turn_as_often_as_it_needs(measures: MeasureSet, tmp_path: Path) -> None:
    n = len(measures.split("train").tokens)
    for epoch_rows in (n - 3, 2 * n + 5):
        stage = MeasureStage(options("measure_vae", measures, tmp_path, epoch_rows=epoch_rows))
        stage.open()
        stage.open_phase(stage.phases[0])
        stage.train_rows = Rows(torch.arange(n)[:, None], torch.zeros(n, 2))
        taken = [stage.batch(Position(stage.phases[0], 0, first)).tokens for first in range(0, epoch_rows, 16)]
        counts = torch.bincount(torch.cat(taken)[:, 0], minlength=n)
        assert counts.sum() == stage.n_examples == epoch_rows
        assert counts.min() == epoch_rows // n and counts.max() == -(-epoch_rows // n)


def test_the_loss_of_measure_vae_falls(measures: MeasureSet, tmp_path: Path) -> None:
    stage = MeasureStage(options("measure_vae", measures, tmp_path, epochs=20, relu_logits=False))
    train(stage)
    first, last = (read_log(tmp_path)[place] for place in (0, -1))
    assert last["val_reconstruction"] < first["val_reconstruction"]
    assert last["val_attribute"] < 0.5 * first["val_attribute"]


def read_log(folder: Path) -> list[dict[str, float]]:
    (path,) = folder.glob("runs/explainable/*/*/epochs.jsonl")
    return [json.loads(line)["val"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_classes_of_attributes_are_equally_frequent_and_merged(measures: MeasureSet, tmp_path: Path) -> None:
    stage = AdversarialStage(options("adversarial_vae", measures, tmp_path, attributes=("4",)))
    stage.open()
    stage.open_phase(stage.phases[0])
    classes = stage.classes_of(stage.train_rows.attributes)
    for column, edges in zip(classes.T, stage.edges, strict=True):
        counts = torch.bincount(column, minlength=len(edges) + 1)
        assert len(counts) == len(edges) + 1 <= 8
        assert (counts[[0, -1]] > 0).all(), "no class below the smallest value, or above the largest"
    standardised = stage.standardised(stage.train_rows.attributes)[:, [0, 2, 3]]
    assert standardised.mean(0).abs().max() < 1e-4 and (standardised.std(0) - 1).abs().max() < 1e-4


def test_eight_classes_are_equally_frequent(measures: MeasureSet, tmp_path: Path) -> None:
    stage = AdversarialStage(options("adversarial_vae", measures, tmp_path))
    stage.edges = [np.quantile(np.arange(800), np.arange(1, 8) / 8).tolist()]
    counts = torch.bincount(stage.classes_of(torch.arange(800.0)[:, None])[:, 0])
    assert counts.tolist() == [100] * 8


def test_options_name_attributes(measures: MeasureSet) -> None:
    assert MeasureOptions(attributes=("2",)).attribute_names == ("rhythmic_complexity", "note_density")
    assert AdversarialOptions(attributes=("note_range",)).attribute_names == ("note_range",)
    with pytest.raises(UserError, match="unknown attribute 'loudness'; known are rhythmic_complexity, "):
        MeasureOptions(attributes=("loudness",))


def test_given_numbers_of_z_are_the_attributes_and_an_adversary_watches_the_others(
    measures: MeasureSet, tmp_path: Path
) -> None:
    """Normal scores rise with the attribute, have no noise, and are distributed as N(0, 1) but for ties."""
    train_model("attribute_vae", options("attribute_vae", measures, tmp_path))
    (path,) = tmp_path.glob("checkpoints/explainable/measures/*/vae_best.pth")
    test = measures.split("test")
    trained = load_vae(path)
    posterior = trained.encode(test.tokens)
    z = posterior.sample(torch.randn(posterior.mean.shape))
    torch.testing.assert_close(z[:, :2], posterior.mean[:, :2])
    for k, column in enumerate(trained.columns):
        order = np.argsort(test.attributes[:, column], kind="stable")
        assert (np.diff(z[:, k].numpy()[order]) >= 0).all() and len(z[:, k].unique()) > 1
    adversary = rebuild(read_checkpoint(path.with_name("adversary_best.pth")))
    scores = torch.randn(500, 2)
    assert adversary.explained(torch.randn(500, 2), scores) < 0.1
    known = AttributeRegressor(2, 2)
    known.layers = torch.nn.Linear(2, 2).requires_grad_(False)
    assert known.explained(scores, scores @ known.layers.weight.t()) == pytest.approx(1, abs=1e-4)
    with pytest.raises(UserError, match="--latent 2 leaves nothing beside 2 attributes; give it 3 or more"):
        options("attribute_vae", measures, tmp_path, latent=2)


def test_attributes_that_cannot_have_a_dimension_each_are_refused(measures: MeasureSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--latent 1 has no dimension for each of 2 attributes; give it 2 or more"):
        options("measure_vae", measures, tmp_path, latent=1)
    with pytest.raises(UserError, match="note_density twice; name each once"):
        options("adversarial_vae", measures, tmp_path, attributes=("note_density", "note_density"))


def test_a_last_batch_of_one_row_breaks_nothing(measures: MeasureSet, tmp_path: Path) -> None:
    rows = len(measures.split("train"))
    train_model("attribute_vae", options("attribute_vae", measures, tmp_path, batch_size=rows - 1, epochs=1))
    assert all(weights.isfinite().all() for weights in weights_of(tmp_path).values())


def test_a_command_line_names_its_model_first_or_by_a_flag() -> None:
    assert split_model(["attribute_vae", "--latent", "8"]) == ("attribute_vae", ["--latent", "8"])
    assert split_model(["--latent", "8", "--model", "adversarial_vae"]) == ("adversarial_vae", ["--latent", "8"])
    assert split_model(["--model=adversarial_vae"]) == ("adversarial_vae", [])
    assert split_model(["--latent", "8"]) == ("measure_vae", ["--latent", "8"])
    with pytest.raises(UserError, match="unknown model 'vae'; known are measure_vae, adversarial_vae, attribute_vae"):
        split_model(["--model", "vae"])

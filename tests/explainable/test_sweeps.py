"""Sweeps: nine positions of each control for a few measures, as the model decodes them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import Told, facts, obedient, save_adversarial_vae, save_measure_vae

from common.errors import UserError
from explainable.attributes import ATTRIBUTES, attributes
from explainable.measures import MeasureSet
from explainable.sweeps import POSITIONS
from explainable.trained import load_vae
from models.checkpoint import CheckpointError
from programs import study_sweeps as sweeps
from programs.study_sweeps import Options, make_sweeps


def options(measures: MeasureSet, folder: Path, **more: object) -> Options:
    places = {"data": (measures.folder,), "checkpoints": folder / "checkpoints", "metrics": folder / "metrics"}
    return Options(**{**places, "measures": 2, **more})


def run(folder: Path, name: str) -> Path:
    return folder / "checkpoints" / "explainable" / "measures" / name / "vae_best.pth"


def test_all_runs_on_a_data_set(measures: MeasureSet, tmp_path: Path) -> None:
    save_measure_vae(run(tmp_path, "one"), measures)
    save_adversarial_vae(run(tmp_path, "two"), measures, ATTRIBUTES[2:])
    sweeps = json.loads(make_sweeps(options(measures, tmp_path)).read_text(encoding="utf-8"))
    one, two = sweeps["models"]
    assert (one["run"], two["run"]) == ("one", "two")
    assert [model["is_decoder_input"] for model in (one, two)] == [False, True]
    assert [control["attribute"] for control in one["controls"]] == list(ATTRIBUTES)
    assert [control["attribute"] for control in two["controls"]] == list(ATTRIBUTES[2:])
    training = measures.split("train", transposed=False).attributes
    for k, control in enumerate(two["controls"], start=2):
        assert len(control["values"]) == POSITIONS == len(control["measures"][0]) and len(control["measures"]) == 2
        ends = control["values"][0], control["values"][-1]
        reach, values = 3 * training[:, k].std(ddof=1), training[:, k]
        told = max(values.min(), values.mean() - reach), min(values.max(), values.mean() + reach)
        np.testing.assert_allclose(ends, told, atol=1e-4)
    test = measures.split("test")
    z = load_vae(run(tmp_path, "one")).encode(test.tokens).mean
    values = one["controls"][0]["values"]
    assert values[4] == pytest.approx(float(z[:, 0].mean()), abs=1e-4)
    assert values[8] - values[4] == pytest.approx(3 * float(z[:, 0].std()), abs=2e-4)


def test_notes_and_attributes_are_those_of_the_rows(measures: MeasureSet, tmp_path: Path) -> None:
    save_measure_vae(run(tmp_path, "one"), measures)
    (model,) = json.loads(make_sweeps(options(measures, tmp_path)).read_text(encoding="utf-8"))["models"]
    assert model["frames"] == 48
    test = measures.split("test")
    for row in model["originals"]:
        place = [np.allclose(row["attributes"], own, atol=1e-4) for own in attributes(test.tokens)].index(True)
        assert len(row["notes"]) == (test.tokens[place] < measures.form.rest).sum()
    for row in [row for control in model["controls"] for steps in control["measures"] for row in steps]:
        assert len(row["notes"]) == pytest.approx(24 * row["attributes"][2], abs=0.01)
        assert all(0 <= start < start + frames <= 48 for start, frames, _ in row["notes"])


def test_what_is_missing_is_told(measures: MeasureSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="measures: no run there; train one, or name weights"):
        make_sweeps(options(measures, tmp_path))
    other = save_measure_vae(tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other.pth: trained on other measures .*; name them with --data"):
        make_sweeps(options(measures, tmp_path, weights=(other,)))


def test_one_row_of_test_tunes_is_too_few(
    measures: MeasureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_measure_vae(run(tmp_path, "one"), measures)
    rows = MeasureSet.rows
    monkeypatch.setattr(MeasureSet, "rows", lambda self, split: rows(self, split)[:1])
    with pytest.raises(UserError, match=r"has 1 rows of test tunes, .*; prepare more tunes"):
        make_sweeps(options(measures, tmp_path))
    assert not (tmp_path / "metrics").exists()


def test_the_file_is_json_that_a_browser_reads(measures: MeasureSet, tmp_path: Path, monkeypatch) -> None:
    save_measure_vae(run(tmp_path, "one"), measures)
    monkeypatch.setattr(sweeps, "sweep_model", lambda *_: {"values": [float("nan")]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_sweeps(options(measures, tmp_path))


def test_a_control_is_set_in_copies() -> None:
    trained = obedient(Told())
    own = np.zeros((2, 2), np.float32)
    _, told = trained.set_control(torch.zeros(2, 3), own, 1, 0.5)
    assert told.tolist() == [[0, 0.5], [0, 0.5]] and not own.any()
    assert trained.mean_controls(2).tolist() == [facts(None, ("a", "b"))["attribute_mean"]] * 2

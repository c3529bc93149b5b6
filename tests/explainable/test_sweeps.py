"""Sweeps: nine values of each control for a few measures, as the model decodes them."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_adversarial_vae, save_measure_vae

from common.errors import UserError
from explainable.attributes import ATTRIBUTES, attributes
from explainable.measures import MeasureSet
from explainable.trained import load_vae
from models.checkpoint import CheckpointError
from programs.study_sweeps import Options, make_sweeps


@pytest.fixture
def options(measures: MeasureSet, tmp_path: Path) -> dict[str, object]:
    places = {"checkpoints": tmp_path / "checkpoints", "metrics": tmp_path / "metrics"}
    return {"data": (measures.folder,), "measures": 2, **places}


@pytest.fixture
def runs(options: dict[str, object], measures: MeasureSet) -> tuple[Path, Path]:
    """The weights of two runs on the data set: a MeasureVAE and an AdversarialVAE."""
    one, two = (options["checkpoints"] / f"explainable/measures/{name}/vae_best.pth" for name in ("one", "two"))
    return save_measure_vae(one, measures), save_adversarial_vae(two, measures, ATTRIBUTES[2:])


def test_all_controls_of_all_runs_are_swept_over_their_range(
    options: dict[str, object], runs: tuple[Path, Path], measures: MeasureSet
) -> None:
    one, two = json.loads(make_sweeps(Options(**options)).read_text(encoding="utf-8"))["models"]
    assert [(model["run"], model["is_decoder_input"]) for model in (one, two)] == [("one", False), ("two", True)]
    assert [control["attribute"] for control in one["controls"]] == list(ATTRIBUTES)
    assert [control["attribute"] for control in two["controls"]] == list(ATTRIBUTES[2:])
    training = measures.split("train", transposed=False).attributes
    for k, control in enumerate(two["controls"], start=2):
        reach, values = 3 * training[:, k].std(ddof=1), training[:, k]
        ends = max(values.min(), values.mean() - reach), min(values.max(), values.mean() + reach)
        np.testing.assert_allclose(control["values"], np.linspace(*ends, 9), atol=1e-4)
    z = load_vae(runs[0]).encode(measures.split("test").tokens).mean[:, 0]
    ends = float(z.mean() - 3 * z.std()), float(z.mean() + 3 * z.std())
    np.testing.assert_allclose(one["controls"][0]["values"], np.linspace(*ends, 9), atol=2e-4)


def test_entries_have_the_notes_and_attributes_of_their_rows(
    options: dict[str, object], runs: tuple[Path, Path], measures: MeasureSet
) -> None:
    model, _ = json.loads(make_sweeps(Options(**options)).read_text(encoding="utf-8"))["models"]
    assert model["frames"] == 48 and len(model["originals"]) == 2
    test = measures.split("test")
    for row in model["originals"]:
        place = [np.allclose(row["attributes"], own, atol=1e-4) for own in attributes(test.tokens)].index(True)
        assert len(row["notes"]) == (test.tokens[place] < measures.form.rest).sum()
    for control in model["controls"]:
        assert np.shape([[row["attributes"] for row in steps] for steps in control["measures"]]) == (2, 9, 4)
        for row in (row for steps in control["measures"] for row in steps):
            assert len(row["notes"]) == pytest.approx(24 * row["attributes"][2], abs=0.01)
            assert all(0 <= start < start + frames <= 48 for start, frames, _ in row["notes"])


def test_missing_weights_other_data_and_too_few_rows_are_refused(
    options: dict[str, object], tmp_path: Path, measures: MeasureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="measures: no run there; train one, or name weights"):
        make_sweeps(Options(**options))
    other = save_measure_vae(tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other.pth: trained on another data set .*; name it with --data"):
        make_sweeps(Options(**options, weights=(other,)))
    weights, rows = save_measure_vae(tmp_path / "own.pth", measures), MeasureSet.rows
    monkeypatch.setattr(MeasureSet, "rows", lambda self, split: rows(self, split)[:1])
    with pytest.raises(UserError, match=r"has 1 test rows, .*; prepare more tunes"):
        make_sweeps(Options(**options, weights=(weights,)))
    assert not list((tmp_path / "metrics").glob("*.json"))

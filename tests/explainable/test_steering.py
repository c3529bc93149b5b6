"""Steering: how targets are read, which are refused, and that a model with exact controls reaches them."""

import numpy as np
import pytest
import torch
from tiny_models import InputControls, LatentControls, trained

from common.errors import UserError
from explainable import steering
from explainable.attributes import ATTRIBUTES, NOTE_DENSITY, attribute_index, attributes
from explainable.steering import Change, largest_values, read_changes, report, steer, target_values
from explainable.tokens import MEASURE, PHRASE

DENSITY, RANGE = (attribute_index(name) for name in (NOTE_DENSITY, "note_range"))
LATENTS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


def targets(n: int, **values: float | list[float]) -> np.ndarray:
    found = np.full((n, len(ATTRIBUTES)), np.nan, np.float32)
    for name, value in values.items():
        found[:, attribute_index(name)] = value
    return found


def no_controls(n: int) -> np.ndarray:
    return np.zeros((n, 2), np.float32)


def test_changes_are_values_or_differences() -> None:
    changes = read_changes(["note_density=0.6", " note_range = -.25 "], trained(LatentControls()))
    assert changes == [Change("note_density", 0.6, False), Change("note_range", -0.25, True)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("note_density", "cannot read 'note_density'; write an attribute and a number"),
        ("note_density=nan", "cannot read"),
        ("note_density=1e-3", "cannot read"),
        ("tempo=3", "unknown attribute 'tempo'; known are rhythmic.*; run controls note_density, note_range"),
        ("rhythmic_complexity=.1", "run does not control rhythmic_complexity; known are .*; run controls note_density"),
        ("note_range=1 note_range=+1", "note_range has two values; give one"),
    ],
)
def test_unusable_changes_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_changes(text.split(), trained(LatentControls()))


def test_targets_are_clipped_if_relative_and_refused_if_impossible() -> None:
    before = np.array([[0.1, 0.9, 0.05, 2], [0.1, 0.2, 0.5, 2]], np.float32)
    values = target_values([Change("note_density", -0.1, True), Change("note_range", 0.4, True)], before, MEASURE)
    np.testing.assert_allclose(values, targets(2, note_density=[0, 0.4], note_range=[29 / 26, 0.6]), atol=1e-6)
    with pytest.raises(UserError, match=r"note_density must be between 0 and 1, but is 1\.5"):
        target_values([Change("note_density", 1.5, False)], before, MEASURE)
    np.testing.assert_allclose(largest_values(MEASURE), [1, 29 / 26, 1, 29], rtol=1e-6)
    np.testing.assert_allclose(largest_values(PHRASE), [1, 44 / 26, 1, 44], rtol=1e-6)


def test_the_search_reaches_targets_and_leaves_other_dimensions() -> None:
    model, wanted = LatentControls(), targets(20, note_density=18 / 24, note_range=5 / 26)
    reached = attributes(steer(trained(model), LATENTS, no_controls(20), wanted))
    np.testing.assert_allclose(reached[:, [DENSITY, RANGE]], wanted[:, [DENSITY, RANGE]], atol=1e-6)
    assert torch.equal(model.z[:, 2], LATENTS[:, 2])


def test_rows_that_have_their_targets_are_not_moved() -> None:
    model, z = LatentControls(), torch.tensor([[0.05, 0.3, 1.0], [0.05, 0.3, 1.0]])
    tokens = steer(trained(model), z, no_controls(2), targets(2, note_density=[12 / 24, 3 / 24]))
    np.testing.assert_allclose(attributes(tokens)[:, DENSITY], [12 / 24, 3 / 24])
    assert torch.equal(model.z[0], z[0]) and torch.equal(model.z[1, 1:], z[1, 1:])


def test_the_result_does_not_depend_on_the_rows_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = LATENTS, no_controls(20), targets(20, note_density=list(np.arange(20) / 24))
    together = steer(trained(LatentControls()), *arguments)
    monkeypatch.setattr(steering, "_ROWS_AT_ONCE", 8)
    vae, sizes = trained(LatentControls()), []
    decode = type(vae).decode
    monkeypatch.setattr(type(vae), "decode", lambda self, z, own: sizes.append(len(z)) or decode(self, z, own))
    np.testing.assert_array_equal(steer(vae, *arguments), together)
    assert max(sizes) == 8 * 34


def test_targets_that_exclude_each_other_are_approached_together() -> None:
    wanted = targets(1, note_density=1 / 24, note_range=0.5)
    reached = attributes(steer(trained(LatentControls()), torch.zeros(1, 3), no_controls(1), wanted))[0]
    # One note has no range. The sum of both errors is smallest with two notes.
    assert reached[[DENSITY, RANGE]] == pytest.approx([2 / 24, 13 / 26])


def test_a_decoder_with_inputs_receives_the_targets_and_the_other_controls() -> None:
    controls = np.array([[0.5, 4 / 26], [0.25, 7 / 26]], np.float32)
    tokens = steer(trained(InputControls()), torch.zeros(2, 3), controls, targets(2, note_density=10 / 24))
    np.testing.assert_allclose(attributes(tokens)[:, [DENSITY, RANGE]], [[10 / 24, 4 / 26], [10 / 24, 7 / 26]])


def test_the_report_counts_rows_within_the_tolerance() -> None:
    reached = np.zeros((4, 4))
    reached[:, DENSITY] = 10 / 24, 11 / 24, 12 / 24, 14 / 24
    rows = report(np.zeros((4, 4)), targets(4, note_density=11 / 24), reached).set_index("attribute")
    assert rows.loc[NOTE_DENSITY].to_dict() == pytest.approx(
        {"before": 0, "target": 11 / 24, "reached": 47 / 96, "within": 0.75, "tolerance": 1 / 24}
    )
    assert rows.drop(NOTE_DENSITY)[["target", "within", "tolerance"]].isna().all(axis=None)

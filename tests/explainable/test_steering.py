"""Attributes asked for: how they are written, what is refused, and that a model which can is brought there."""

import numpy as np
import pytest
import torch
from tiny_models import Obedient, Told, obedient

from common.errors import UserError
from explainable import steering
from explainable.attributes import ATTRIBUTES, NOTE_DENSITY, attribute_index, attributes
from explainable.steering import Change, asked_values, largest_values, read_changes, report, steer
from explainable.tokens import MEASURE, PHRASE

DENSITY, RANGE = (attribute_index(name) for name in (NOTE_DENSITY, "note_range"))


def asked(n: int, **wanted: float) -> np.ndarray:
    values = np.full((n, len(ATTRIBUTES)), np.nan, np.float32)
    for name, value in wanted.items():
        values[:, attribute_index(name)] = value
    return values


def test_changes_are_values_or_differences() -> None:
    changes = read_changes(["note_density=0.6", " note_range = -.25 "], obedient(Obedient()))
    assert changes == [Change("note_density", 0.6, False), Change("note_range", -0.25, True)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("note_density", "cannot read 'note_density'; write an attribute and a number"),
        ("note_density=nan", "cannot read"),
        ("note_density=1e-3", "cannot read"),
        ("tempo=3", "unknown attribute 'tempo'; known are rhythmic.*; run controls note_density, note_range"),
        ("rhythmic_complexity=.1", "run does not control rhythmic_complexity; known are .*; run controls note_density"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_changes([text], obedient(Obedient()))


def test_an_attribute_is_asked_for_once() -> None:
    with pytest.raises(UserError, match="note_range is asked for twice"):
        read_changes(["note_range=1", "note_range=+1"], obedient(Obedient()))


def test_relative_values_stay_within_what_measures_have() -> None:
    before = np.array([[0.1, 0.9, 0.05, 2], [0.1, 0.2, 0.5, 2]], np.float32)
    values = asked_values([Change("note_density", -0.1, True), Change("note_range", 0.4, True)], before, MEASURE)
    np.testing.assert_allclose(values[:, DENSITY], [0, 0.4], atol=1e-6)
    np.testing.assert_allclose(values[:, RANGE], [29 / 26, 0.6], atol=1e-6)
    assert np.isnan(values[:, [0, 3]]).all()
    with pytest.raises(UserError, match=r"note_density is between 0 and 1, but 1\.5 is asked for"):
        asked_values([Change("note_density", 1.5, False)], before, MEASURE)


def test_the_largest_values_there_are() -> None:
    np.testing.assert_allclose(largest_values(MEASURE), [1, 29 / 26, 1, 29], rtol=1e-6)
    np.testing.assert_allclose(largest_values(PHRASE), [1, 44 / 26, 1, 44], rtol=1e-6)


def test_dimensions_are_moved_until_the_measures_have_what_is_asked() -> None:
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    model = Obedient()
    wanted = asked(20, note_density=18 / 24, note_range=5 / 26)
    tokens = steer(obedient(model), z, np.zeros((20, 2), np.float32), wanted)
    reached = attributes(tokens)
    np.testing.assert_allclose(reached[:, [DENSITY, RANGE]], wanted[:, [DENSITY, RANGE]], atol=1e-6)
    assert torch.equal(model.z[:, 2], z[:, 2]), "what is not asked for stays"


def test_rows_may_ask_for_different_values_and_those_that_have_them_stay() -> None:
    z = torch.tensor([[0.05, 0.3, 1.0], [0.05, 0.3, 1.0]])
    model = Obedient()
    wanted = asked(2)
    wanted[:, DENSITY] = 12 / 24, 3 / 24
    tokens = steer(obedient(model), z, np.zeros((2, 2), np.float32), wanted)
    np.testing.assert_allclose(attributes(tokens)[:, DENSITY], [12 / 24, 3 / 24])
    assert torch.equal(model.z[0], z[0]) and torch.equal(model.z[1, 1:], z[1, 1:])


def test_however_many_rows_there_are_few_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    wanted = asked(20)
    wanted[:, DENSITY] = np.arange(20) / 24
    own = np.zeros((20, 2), np.float32)
    together = steer(obedient(Obedient()), z, own, wanted)
    monkeypatch.setattr(steering, "_AT_ONCE", 8)
    trained, most = obedient(Obedient()), []
    decode = type(trained).decode
    monkeypatch.setattr(type(trained), "decode", lambda self, z, told: most.append(len(z)) or decode(self, z, told))
    np.testing.assert_array_equal(steer(trained, z, own, wanted), together)
    assert max(most) == 8 * 34


def test_what_cannot_be_reached_comes_as_near_as_it_can() -> None:
    z = torch.zeros(1, 3)
    tokens = steer(obedient(Obedient()), z, np.zeros((1, 2), np.float32), asked(1, note_density=1 / 24, note_range=0.5))
    # Of one note there is no range: it is the nearest of both together that counts.
    assert attributes(tokens)[0, DENSITY] == pytest.approx(2 / 24)
    assert attributes(tokens)[0, RANGE] == pytest.approx(13 / 26)


def test_a_decoder_that_is_told_is_told_what_is_asked_and_its_own_beside() -> None:
    own = np.array([[0.5, 4 / 26], [0.25, 7 / 26]], np.float32)
    tokens = steer(obedient(Told()), torch.zeros(2, 3), own, asked(2, note_density=10 / 24))
    np.testing.assert_allclose(attributes(tokens)[:, [DENSITY, RANGE]], [[10 / 24, 4 / 26], [10 / 24, 7 / 26]])


def test_the_report_counts_what_came_within_the_tolerance() -> None:
    before = np.zeros((4, 4))
    reached = np.zeros((4, 4))
    reached[:, DENSITY] = 10 / 24, 11 / 24, 12 / 24, 14 / 24
    rows = report(before, asked(4, note_density=11 / 24), reached).set_index("attribute")
    assert rows.loc[NOTE_DENSITY, "within"] == 0.75 and rows.loc[NOTE_DENSITY, "tolerance"] == pytest.approx(1 / 24)
    assert rows.loc[NOTE_DENSITY, "reached"] == pytest.approx(47 / 96)
    assert rows.drop(NOTE_DENSITY)[["asked", "within", "tolerance"]].isna().all(axis=None)

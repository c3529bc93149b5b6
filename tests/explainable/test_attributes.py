"""The four attributes against values by hand and against their definitions."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explainable.attributes import attributes, onset_weights
from explainable.melodies.tunes import Note
from explainable.normal_scores import NormalScores, scores_of
from explainable.played_scores import PlayedScores
from explainable.tokens import MEASURE, PHRASE, TokenForm, encode


def measure(times: list[Fraction], pitches: list[int] | None = None, form: TokenForm = MEASURE) -> np.ndarray:
    ends = [*times[1:], Fraction(4)]
    notes = [Note(*note) for note in zip(times, pitches or [60] * len(times), ends, strict=True)]
    return encode(notes, form, start=Fraction(0), end=Fraction(4))


def every(step: Fraction, first: Fraction = Fraction(0)) -> list[Fraction]:
    return [first + step * place for place in range(int(4 / step))]


def test_rhythmic_complexity() -> None:
    for times, complexity in (
        ([Fraction(0)], 0.0072),
        (every(Fraction(1)), 0.0644),
        (every(Fraction(1, 2)), 0.1364),
        (every(Fraction(1, 3)), 0.6402),
        (every(Fraction(1, 4)), 0.4243),
        (every(Fraction(1), Fraction(1, 2)), 0.0720),  # off-beats
    ):
        assert attributes(measure(times))[0, 0] == pytest.approx(complexity, abs=5e-5)
    assert onset_weights().sum() == pytest.approx(27.79)


def test_range_density_and_jump() -> None:
    row = attributes(measure([Fraction(0), Fraction(1), Fraction(2)], [60, 67, 64]))[0]
    assert row[1:] == pytest.approx([7 / 26, 3 / 24, (7 + 3) / 2])
    assert attributes(np.empty((0, 24), np.uint8)).shape == (0, 4)


def test_attributes_of_phrases() -> None:
    one = measure(every(Fraction(1, 2)), list(range(60, 68)), PHRASE)
    row = attributes(np.tile(one, 4), PHRASE)[0]
    assert row == pytest.approx([3.79 / (4 * 2.5 + 1.79), 7 / 26, 32 / 64, (28 + 3 * 7) / 31])


@given(arrays(np.uint8, (5, 24), elements=st.integers(0, MEASURE.size - 1)))
def test_rows_agree_with_the_definitions(tokens: np.ndarray) -> None:
    weights = onset_weights()
    for row, found in zip(tokens.tolist(), attributes(tokens), strict=True):
        pitches = [token for token in row if token < MEASURE.rest]
        jumps = [abs(after - before) for before, after in pairwise(pitches)]
        expected = [
            sum(weights[tick] for tick, token in enumerate(row) if token < MEASURE.rest) / 27.79,
            (max(pitches) - min(pitches)) / 26 if len(pitches) > 1 else 0,
            len(pitches) / 24,
            sum(jumps) / len(jumps) if jumps else 0,
        ]
        assert found == pytest.approx(expected, abs=1e-5)


def test_the_scores_of_tokens_on_a_device_are_those_of_a_data_set() -> None:
    """Also of rows without notes and of attributes with one value."""
    rng = np.random.default_rng(0)
    for form in (MEASURE, PHRASE):
        tokens = rng.integers(0, form.size, (200, form.length))
        share = rng.random((200, 1))
        tokens[rng.random(tokens.shape) < share] = form.hold
        tokens[0], tokens[1, 1:], tokens[2, :-1] = form.rest, form.hold, form.hold
        values = attributes(tokens, form)
        # Fitted to a part, so that values lie beyond the knots; the third to a single value.
        columns = [0, 1, 3]
        scores = [NormalScores.of(values[3:90, column]) for column in columns[:2]] + [NormalScores.of(values[5:6, 3])]
        found = PlayedScores(columns, scores, form, torch.device("cpu"))(torch.from_numpy(tokens))
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), scores_of(scores, values[:, columns]), rtol=1e-6, atol=1e-6)

"""Notes -> tokens -> notes, and cutting tunes into rows."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explainable.melodies.cut import Cut, cut, quantise
from explainable.melodies.tunes import Note, Reason, Tune, TuneError
from explainable.tokens import FORMS, MEASURE, PHRASE, TokenForm, decode, encode, tick_time

F = Fraction


def tune_of(*notes: tuple[Fraction | int, int, Fraction | int], start: int = 0, end: int = 0) -> Tune:
    exact = tuple(Note(F(onset), pitch, F(after)) for onset, pitch, after in notes)
    return Tune("t", exact, F(start), max(F(end), exact[-1].end))


def rows_of(tune: Tune, form: TokenForm = MEASURE, **settings: bool) -> Cut:
    return cut(tune, form, **{"drop_tune_off_grid": False, "keep_empty": False, **settings}, tolerance=F(0))


@st.composite
def melodies(draw: st.DrawFn, form: TokenForm) -> tuple[list[Note], Fraction]:
    """Notes on the ticks of a form, with rests between some, and a whole number of measures."""
    measures = draw(st.integers(1, 3))
    ticks = sorted(draw(st.sets(st.integers(0, measures * form.measure_ticks), min_size=2, max_size=30)))
    notes = [
        Note(tick_time(tick, form), draw(st.integers(form.lowest, form.highest)), tick_time(after, form))
        for tick, after in pairwise(ticks)
        if draw(st.integers(0, 4))
    ]
    return notes, F(4 * measures)


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.name)
@given(data=st.data())
def test_decode_inverts_encode(form: TokenForm, data: st.DataObject) -> None:
    notes, end = data.draw(melodies(form))
    tokens = encode(notes, form, start=F(0), end=end)
    assert tokens.shape == (end // 4, form.measure_ticks) and tokens.dtype == np.int16
    assert tokens.min() >= 0 and tokens.max() < form.size
    assert decode(tokens, form) == notes
    assert decode(tokens, form, -3) == [note._replace(pitch=note.pitch - 3) for note in notes]
    assert TokenForm.from_plain(form.as_plain()) == form


def test_a_measure_token_by_token() -> None:
    notes = [Note(F(1), 60, F(4, 3)), Note(F(4, 3), 62, F(17, 12)), Note(F(2), 64, F(5))]
    p, rest, hold, pad = 60 - 55, 30, 31, 32
    tokens = encode(notes, MEASURE, start=F(1), end=F(6))
    first = [*[pad] * 6, p, hold, p + 2, rest, hold, hold, p + 4, *[hold] * 11]
    second = [*[hold] * 6, rest, *[hold] * 5, *[pad] * 12]
    assert tokens.tolist() == [first, second]
    # Without padding: note-on for 50 to 94, REST, CONTINUE as the last.
    phrase = encode([Note(F(1), 60, F(2))], PHRASE, start=F(1), end=F(2))
    assert phrase.tolist() == [[45, 46, 46, 46, 10, 46, 46, 46, 45, *[46] * 7]] and PHRASE.size == 47


def test_encode_raises_off_the_ticks_and_out_of_range() -> None:
    with pytest.raises(TuneError, match="off the grid: an onset at 1/8 of beat 2 in measure 1"):
        encode([Note(F(9, 8), 60, F(2))], MEASURE, start=F(0), end=F(4))
    with pytest.raises(ValueError, match="pitch 54 is outside 55 to 84"):
        encode([Note(F(1), 54, F(2))], MEASURE, start=F(0), end=F(4))


def test_performed_notes_move_to_the_nearest_ticks() -> None:
    late = F(1, 20)
    notes = [Note(F(0) + late, 60, F(1) - late), Note(F(1) + late, 62, F(2)), Note(F(4) + F(1, 8), 64, F(5))]
    moved, off = quantise(notes, MEASURE, F(1, 12))
    assert moved == [Note(F(0), 60, F(1)), Note(F(1), 62, F(2))] and off == {1}
    # Two onsets on one tick.
    assert quantise([Note(F(0), 60, F(1, 30)), Note(F(1, 30), 61, F(1))], MEASURE, F(1, 12))[1] == {0}


def test_measures_off_the_grid_or_without_a_note_are_left_out() -> None:
    tune = tune_of((0, 60, 1), (F(33, 8), 61, 5), (12, 62, 13))
    made = rows_of(tune)
    assert made.number.tolist() == [0, 3]
    assert [made.dropped["off the grid"], made.dropped["without a note"]] == [1, 1]
    assert len(rows_of(tune, keep_empty=True).tokens) == 3
    with pytest.raises(TuneError, match=f"{Reason.OFF_GRID}: in measure 2"):
        rows_of(tune, drop_tune_off_grid=True)
    with pytest.raises(TuneError, match=f"{Reason.OFF_GRID}: every measure with a note"):
        rows_of(tune_of((F(1, 8), 60, 4)))


def test_a_phrase_is_four_successive_measures_with_a_note() -> None:
    tune = tune_of(*((4 * place, 60 + place, 4 * place + 4) for place in (0, 1, 3, 4, 5)))
    made = rows_of(tune, PHRASE)
    assert made.tokens.shape == (1, 64) and made.tokens[0, ::16].tolist() == [10, 11, 13, 14]
    assert made.dropped["left over by a row of several measures"] == 1 and made.shifts == (-5, 6)
    with pytest.raises(TuneError, match=Reason.TOO_SHORT):
        rows_of(tune_of((0, 60, 4)), PHRASE)


@pytest.mark.parametrize(
    ("pitches", "shift", "shifts"), [((60, 72), 0, (-5, 12)), ((50, 60), 5, (0, 19)), ((80, 90), -6, (-19, 0))]
)
def test_tunes_move_into_the_range_and_no_further(
    pitches: tuple[int, int], shift: int, shifts: tuple[int, int]
) -> None:
    tune = tune_of((0, pitches[0], 1), (1, pitches[1], 4))
    made = rows_of(tune)
    assert (made.shift, made.shifts) == (shift, shifts)
    with pytest.raises(TuneError, match=f"{Reason.TOO_WIDE}: 30 semitones"):
        rows_of(tune_of((0, 55, 1), (1, 85, 4)))

"""Numbers, piano rolls and loss curves of the page."""

import math

import numpy as np
import pandas as pd

from evaluation.tables import SHARE, Column
from figures.loss_sheet import draw_losses
from figures.pitch_range import pitch_range
from page.listening import note_path
from page.tables import show_column, show_numbers


def test_numbers_of_a_column_line_up() -> None:
    assert show_numbers([12.3456, 0.0312, math.nan, -4]) == ["12.3", "0.0", "\N{EN DASH}", "\N{MINUS SIGN}4.0"]
    assert show_numbers([0.0173, 0.00641]) == ["0.0173", "0.0064"]
    assert show_numbers([17892, 200]) == ["17,892", "200"]
    assert show_numbers([1.5e-05, 0]) == ["0.000015", "0.000000"]
    assert show_numbers([0.5, 1234.5, "jazz"], alone=True) == ["0.500", "1,234", "jazz"]
    assert show_numbers([3.0, math.nan]) == ["3", "\N{EN DASH}"], "a count beside one that is not there"


def test_only_shares_are_shaded() -> None:
    values = pd.Series([0.25, 7.5, "red; background: url(//x) 1", math.nan], dtype=object)
    cells = show_column(Column("share", "share", SHARE), values)
    assert [cell.share for cell in cells] == [0.25, None, None, None]
    assert [cell.text for cell in cells] == ["0.25", "7.50", "red; background: url(//x) 1", "\N{EN DASH}"]


def test_notes_of_a_picture() -> None:
    roll = np.zeros((128, 8), bool)
    roll[60, 1:4] = roll[71, 4:] = True
    pitches = pitch_range([roll])
    assert pitches == (60, 84) and str(pitches) == "C4 to C6" and pitches.octave_lines == [12]
    assert note_path(roll, pitches) == "M1 23h3v1h-3zM4 12h4v1h-4z"
    roll[47, 0] = True
    assert pitch_range([roll]) == (36, 72) and pitch_range([roll]).octave_lines == [24, 12]
    assert pitch_range([np.zeros((128, 8), bool)]) == (48, 72)
    assert note_path(np.zeros((128, 8), bool), pitches) == ""


def test_losses_of_a_known_log() -> None:
    def epoch(phase: str, train: dict[str, float], val: dict[str, float]) -> dict[str, object]:
        return {"phase": phase, "train": train, "val": val}

    distance = {"distance": 3.0}
    figure = draw_losses(
        [
            epoch("T=32", {"kl": 10.0}, {"kl": 12.0, **distance}),
            epoch("T=32", {"kl": 8.0}, {"kl": 9.0, **distance}),
            epoch("T=64", {"kl": 2.0}, {"kl": 7.0, **distance}),
        ]
    )
    kl, distance, *empty = figure.axes
    assert not any(axis.get_visible() for axis in empty)
    lines = [line.get_xydata().tolist() for line in kl.get_lines()]
    assert lines[:4] == [[[1, 10], [2, 8]], [[3, 2]], [[1, 12], [2, 9]], [[3, 7]]], "a line for each phase"
    assert kl.get_title() == "kl\ntrain 2, val 7" and distance.get_title() == "distance\nval 3"
    assert kl.get_xticks().tolist() == [1.5, 3] and kl.lines[1].get_marker() == "."

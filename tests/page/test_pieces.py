"""Numbers, notes, curves and sound of the page."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from audio.mp3 import encode_mp3
from evaluation.tables import SHARE, Column
from figures.pitch_range import pitch_range
from page.listening import note_path
from page.loss_curves import read_curves
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


def epoch(seq_len: int, number: int, train: dict[str, float], val: dict[str, float]) -> str:
    return json.dumps({"phase": f"T={seq_len}", "epoch": number, "train": train, "val": val}) + "\n"


def test_curves_of_a_known_log(tmp_path: Path) -> None:
    log = tmp_path / "epochs.jsonl"
    log.write_text(
        epoch(32, 1, {"kl": 10.0}, {"kl": 12.0, "distance": 3.0})
        + epoch(32, 2, {"kl": 8.0}, {"kl": 9.0, "distance": 3.0})
        + epoch(64, 1, {"kl": 2.0}, {"kl": 7.0, "distance": 3.0}),
        encoding="utf-8",
    )
    curves = read_curves(log)
    assert [(span.name, span.first, span.epochs) for span in curves.phases] == [("T=32", 0, 2), ("T=64", 2, 1)]
    kl, distance = curves.plots
    assert (kl.name, kl.low, kl.high, kl.train, kl.val) == ("kl", 2, 12, 2, 7)
    # From 4 (highest) to 96 (lowest); a phase of one epoch is a dash.
    assert kl.val_path == "M0.5 4.0L1.5 31.6M2.3 50.0L2.7 50.0"
    assert kl.train_path == "M0.5 22.4L1.5 40.8M2.3 96.0L2.7 96.0"
    assert distance.train is None and distance.train_path is None
    assert distance.val_path == "M0.5 50.0L1.5 50.0M2.3 50.0L2.7 50.0"


def test_mp3_is_small_and_sounds_the_same() -> None:
    seconds = np.arange(4 * 16_000) / 16_000
    audio = (0.3 * np.sin(2 * np.pi * 440 * seconds) * np.exp(-seconds)).astype(np.float32)
    content = encode_mp3(audio)
    assert len(content) < 0.25 * 2 * len(audio)
    decoded, rate = soundfile.read(io.BytesIO(content))
    assert rate == 16_000 and len(decoded) == pytest.approx(len(audio), abs=1200)
    n = min(len(audio), len(decoded))
    assert np.corrcoef(audio[:n], decoded[:n])[0, 1] > 0.99
    assert encode_mp3(audio) == content

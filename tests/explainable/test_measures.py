"""From files to a data set of measures: filters, splits, equal bytes, error messages."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from midi_files import midi, off, on

from common.errors import UserError
from common.splits import SPLITS
from explainable.attributes import attributes
from explainable.measures import MeasureSet
from explainable.melodies.sources import builtin_files, own_files, read_tunes
from explainable.melodies.tune_splits import assign_tune_splits, melody_hash
from explainable.melodies.tunes import Note, Reading, Tune
from explainable.options import MeasureSettings
from explainable.prepare import prepare_measures
from explainable.tokens import MEASURE, PHRASE
from explainable.trained import load_vae
from programs.study_prepare import prepare, read_options

ROOT = Path(__file__).resolve().parents[2]


def test_contents_of_a_set(transposed: MeasureSet) -> None:
    assert transposed.tokens.shape == (120, 24) and transposed.tokens.dtype == np.uint8
    assert np.array_equal(transposed.attributes, attributes(transposed.tokens))
    assert transposed.number.tolist() == [*range(4)] * 30 and transposed.tune.tolist() == [*np.repeat(range(30), 4)]
    assert pd.read_csv(transposed.folder / "dropped.csv").to_numpy().tolist() == [["tunes/31", "not in 4/4", "6/8"]]
    assert transposed.info["vocabulary"] == [*map(str, range(55, 85)), "rest", "hold", "padding"]
    assert transposed.hold_share() == (transposed.tokens == MEASURE.hold).mean()


def test_splits_divide_tunes_and_transposition_keeps_them(transposed: MeasureSet) -> None:
    rows = np.concatenate([transposed.rows(split) for split in SPLITS])
    assert sorted(rows) == list(range(120)) and len(transposed.split("val")) == len(transposed.rows("val"))
    assert sum(len(set(transposed.split(split).tune)) for split in SPLITS) == 30
    plain, train = transposed.split("train", transposed=False), transposed.split("train")
    assert np.array_equal(plain.tokens, transposed.tokens[transposed.rows("train")])
    assert np.array_equal(train.tokens[train.shift == 0], plain.tokens)
    assert np.array_equal(attributes(train.tokens), train.attributes)
    assert len(train) == transposed.info["counts"]["training_rows_transposed"]
    for tune in set(train.tune):
        own = train.tokens[train.tune == tune]
        pitches = own[own < MEASURE.rest]
        # Every shift that keeps the tune inside the range, and no other: from the lowest pitch to the highest.
        row = transposed.tunes.iloc[tune]
        assert (pitches.min(), pitches.max()) == (0, MEASURE.highest - MEASURE.lowest)
        assert len(own) == 4 * (row["highest_shift"] - row["lowest_shift"] + 1)


def test_the_same_files_give_the_same_bytes(tunes: Path, transposed: MeasureSet, tmp_path: Path) -> None:
    again = prepare_measures([tunes], tmp_path / "transposed", MEASURE)
    assert again.content_hash == transposed.content_hash
    for path in transposed.folder.iterdir():
        assert path.read_bytes() == (again.folder / path.name).read_bytes(), path.name
    other = prepare_measures([tunes], tmp_path / "transposed", MEASURE, MeasureSettings(transpose=False))
    assert other.content_hash != transposed.content_hash
    assert len(other.split("train")) == len(other.rows("train"))
    phrases = prepare_measures([tunes], tmp_path / "phrases", PHRASE)
    assert phrases.tokens.shape == (30, 64) and set(phrases.split("train").shift.tolist()) == set(range(-5, 7))


def melody(*pitches: int, title: str = "", step: Fraction = Fraction(1)) -> Tune:
    notes = tuple(Note(place * step, pitch, (place + 1) * step) for place, pitch in enumerate(pitches))
    return Tune("t", notes, Fraction(0), notes[-1].end, title)


def test_versions_of_a_tune_stay_together() -> None:
    rng = np.random.default_rng(0)
    melodies = [rng.integers(60, 72, 24).tolist() for _ in range(60)]
    tunes = [melody(*pitches) for pitches in melodies]
    transposed = [melody(*(pitch + 3 for pitch in pitches)) for pitches in melodies]
    begun_alike = [melody(*pitches[:18], 60, step=Fraction(1, 2)) for pitches in melodies]
    assert [melody_hash(tune) for tune in tunes] == [melody_hash(tune) for tune in transposed]
    splits = assign_tune_splits([*tunes, *transposed, *begun_alike])
    assert splits[:60] == splits[60:120] == splits[120:] and set(splits) == set(SPLITS)
    titled = [replace(tune, title="The Red Haired Boy -- Reel") for tune in tunes[:30]]
    assert len(set(assign_tune_splits([*titled, melody(60, 61, title="Red-Haired Boy")]))) == 1
    # The split of a tune does not depend on the others, or on their order.
    alone = assign_tune_splits(tunes)
    assert assign_tune_splits(tunes[::-1])[::-1] == alone
    assert [split for tune in tunes for split in assign_tune_splits([tune])] == alone
    many = assign_tune_splits([melody(*rng.integers(50, 80, 12).tolist()) for _ in range(2000)])
    assert [many.count(split) / 2000 for split in SPLITS] == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


def test_midi_files_have_a_tolerance_and_lose_single_measures(tmp_path: Path) -> None:
    late = [m for place in range(8) for m in (on(20 if place == 0 else 0, 60 + place), off(480, 60 + place))]
    off_grid = [on(1920 - 20 + 60, 70), off(480, 70)]
    (tmp_path / "a.mid").write_bytes(midi([*late, *off_grid]))
    (tmp_path / "b.mid").write_bytes(b"nothing")
    made = prepare_measures(own_files(tmp_path), tmp_path / "out", MEASURE)
    assert made.number.tolist() == [0, 1]
    assert made.info["counts"]["measures_dropped"] == {"off the grid": 1, "without a note": 1}
    assert made.info["counts"]["tunes_dropped"] == {"cannot be read": 1}
    for settings in (MeasureSettings(off_grid="tune"), MeasureSettings(tolerance=0.01)):
        with pytest.raises(UserError, match=r"no measure is left of 2 tunes, .* \(1\): off the grid"):
            prepare_measures(own_files(tmp_path), tmp_path / "out", MEASURE, settings)
    assert MeasureSet.open(tmp_path / "out").content_hash == made.content_hash  # the earlier set is as it was


def test_a_damaged_or_foreign_folder_is_refused(measures: MeasureSet, tunes: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(measures.folder, tmp_path / "set")
    content = (folder / "tokens.npy").read_bytes()
    (folder / "tokens.npy").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"tokens\.npy has changed"):
        MeasureSet.open(folder)
    with pytest.raises(UserError, match="not empty and not a data set of measures"):
        prepare_measures([tunes], tmp_path, MEASURE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("klezmer", "unknown data set 'klezmer'; known are irish_folk, bach, turkish_makam, pop"),
        ("", "give the name of a data set"),
        ("bach --metres 3/4", "--metres takes metres of 4 or 2 quarters a bar"),
        ("bach --lowest 90", "--lowest 90 must be below --highest 84"),
        ("pop", "give a folder or file with --input"),
        ("--input nowhere", "nowhere: no such file or folder"),
    ],
)
def test_wrong_options(words: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        prepare(read_options(words.split()))


def test_unreadable_files_leave_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UserError, match=r"no file of melodies; known are \.abc, \.mid, \.midi, \.mxl, \.music"):
        own_files(tmp_path)
    (tmp_path / "empty.abc").write_text("\n")
    with pytest.raises(UserError, match="no tune was found in the files"):
        prepare_measures(own_files(tmp_path), tmp_path / "out", MEASURE)
    (tmp_path / "other.tsv").write_text("path\tgenre\n")
    (tmp_path / "good.abc").write_text("X:1\nM:4/4\nK:C\nc8|\n")
    files = [tmp_path / f"gone.{ending}" for ending in ("abc", "mid", "mxl", "tsv")]
    found = [tune for _, tune in read_tunes([*files, *own_files(tmp_path)], Reading())]
    assert all(own.reason == "cannot be read" and "No such file or directory" in own.detail for own in found[:4])
    assert isinstance(found[4], Tune) and found[5].detail.startswith("no column makam and form")


def test_the_set_of_the_shipped_weights(tmp_path: Path) -> None:
    facts = load_vae(ROOT / "released/explainable/measure_vae.pth").facts
    made = prepare_measures(
        builtin_files("irish_folk"), tmp_path / "irish_folk", MEASURE, MeasureSettings(("4/4", "2/2"))
    )
    assert made.content_hash == facts["measures_content"] and len(made.tokens) == 25_654

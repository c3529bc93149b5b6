"""The built-in corpus: contents of an export, when it is replaced, and errors."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from common.errors import UserError
from common.midi_library import pretty_midi
from data import builtin


def export(folder: Path) -> Path:
    return builtin.export_builtin_corpus(folder, pieces_per_collection=1, progress=False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("builtin")).parent


def test_an_export_has_labels_and_midi_files_of_all_genres(exported: Path) -> None:
    table = pd.read_csv(exported / "labels.csv")
    genres = list(table[["genre_id", "genre"]].drop_duplicates().itertuples(index=False, name=None))
    assert genres == [(0, "renaissance"), (1, "chorale"), (2, "fiddle"), (3, "folk")]
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("[!.]*") if path.is_file()}
    assert files == {*table["path"], "labels.csv", "export.json"} and table.notna().all(axis=None)
    for row in table.itertuples():
        assert row.path.startswith(row.genre + "/")
        midi = pretty_midi.PrettyMIDI(str(exported / row.path))
        notes = [note for track in midi.instruments for note in track.notes]
        assert notes and all(note.end > note.start and 21 <= note.pitch <= 108 for note in notes)
        assert len(midi.instruments) == 1 or row.genre in ("renaissance", "chorale")
        _, tempos = midi.get_tempo_changes()
        assert len(tempos) == 1 and 40 <= tempos[0] <= 600 and 5 < midi.get_end_time() < 600


def test_ties_are_merged_as_by_music21_and_grace_notes_and_chord_symbols_left_out() -> None:
    for source in ("monteverdi/madrigal.4.12.mxl", "bach/bwv66.6.mxl"):
        part = builtin.parse_score(builtin.corpus_folder() / source).parts[-1]
        merged = part.stripTies().flatten().notes
        expected = [(float(note.offset), float(note.quarterLength), note.pitch.midi) for note in merged]
        assert builtin.timed_notes(part) == expected
    part = builtin.parse_score('X:1\nM:2/4\nL:1/4\nK:C\n"G7"{a}GA-|A2|\n', "abc").parts[0]
    assert builtin.timed_notes(part) == [(0.0, 1.0, 67), (1.0, 3.0, 69)]


@pytest.mark.parametrize(
    ("header", "alla_breve", "quarters_per_minute"),
    [
        ("M:3/4", True, 60),
        ("M:6/8", False, 90),
        ("M:4/2", False, 120),
        ("M:4/4", False, 60),
        ("M:4/4", True, 120),
        ("M:2/4\nQ:1/4=75", False, 75),
        ("M:none", True, 60),
    ],
)
def test_tempo_follows_the_metre(header: str, alla_breve: bool, quarters_per_minute: float) -> None:
    score = builtin.parse_score(f"X:1\n{header}\nL:1/4\nK:C\nGABc|\n", "abc")
    collection = builtin.Collection("", "", "folk", "", 1, beats_per_minute=60, alla_breve=alla_breve)
    assert builtin._quarters_per_minute(score, collection) == quarters_per_minute


def test_only_other_settings_or_an_interruption_need_a_new_export(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(exported, tmp_path / "corpus")
    victim = folder / pd.read_csv(folder / "labels.csv")["path"][0]
    victim.write_bytes(b"MThd")
    assert export(folder) == folder / "labels.csv" and victim.read_bytes() == b"MThd", "the export is finished"
    (folder / "export.json").unlink()
    victim.unlink()
    export(folder)
    for path in exported.rglob("[!.]*.*"):  # the second export equals the first, byte for byte
        assert (folder / path.relative_to(exported)).read_bytes() == path.read_bytes()
    monkeypatch.setattr(builtin, "EXPORT_VERSION", builtin.EXPORT_VERSION + 1)
    victim.unlink()
    export(folder)
    assert victim.exists()


def test_an_unreadable_score_is_skipped_and_an_empty_genre_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus"
    for genre in builtin.GENRES:
        (corpus / genre).mkdir(parents=True)
        (corpus / genre / "good.abc").write_text("X:1\nT:Good tune\nM:2/4\nL:1/4\nK:C\n^G/G/g|GB|\n")
    (corpus / "fiddle" / "silent.abc").write_text("X:1\nT:Silent tune\nM:2/4\nL:1/4\nK:C\nz2|\n")
    (corpus / "folk" / "broken.mxl").write_bytes(b"no score")
    collections = [builtin.Collection(genre, "*.*", genre, "nobody", 2, 60) for genre in builtin.GENRES[:3]]
    collections.append(builtin.Collection("folk", "*.*", "folk", "nobody", 2, 60, accidentals="pitch"))
    monkeypatch.setattr(builtin, "COLLECTIONS", collections)
    monkeypatch.setattr(builtin, "corpus_folder", lambda: corpus)
    labels = pd.read_csv(builtin.export_builtin_corpus(tmp_path / "out", workers=1, progress=False))
    assert "skipped 2." in capsys.readouterr().out
    assert labels["path"].tolist() == [f"{genre}/good.mid" for genre in builtin.GENRES]
    assert set(labels["title"]) == {"Good tune"}
    # An accidental holds to the end of the bar, in its octave or in all.
    for genre, high in (("fiddle", 79), ("folk", 80)):
        (part,) = pretty_midi.PrettyMIDI(str(tmp_path / "out" / genre / "good.mid")).instruments
        assert [note.pitch for note in part.notes] == [68, 68, high, 67, 71]
    (corpus / "fiddle" / "good.abc").unlink()
    with pytest.raises(UserError, match="no score of genre 'fiddle'"):
        builtin.export_builtin_corpus(tmp_path / "other", workers=1, progress=False)
    assert not (tmp_path / "other/export.json").exists()


def test_without_music21(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install music21"):
        export(tmp_path)

"""MIDI melodies, SymbTr's table, MusicXML scores: what is read, and what is dropped for which reason."""

import zipfile
from fractions import Fraction
from pathlib import Path

import mido
import pytest
from midi_files import DRUMS, midi, off, on

from common.errors import UserError
from explainable.melodies.midi_melody import read_midi_melody
from explainable.melodies.musicxml import read_musicxml
from explainable.melodies.sources import builtin_files
from explainable.melodies.symbtr import read_symbtr
from explainable.melodies.tunes import Dropped, Note, Tune

F = Fraction
QUARTER = 480


def metre(delta: int, beats: int, unit: int) -> mido.MetaMessage:
    return mido.MetaMessage("time_signature", time=delta, numerator=beats, denominator=unit)


def named(name: str) -> mido.MetaMessage:
    return mido.MetaMessage("track_name", time=0, name=name)


def line(*pitches: int, channel: int = 0) -> list[mido.Message]:
    """Quarter notes one after another."""
    return [m for pitch in pitches for m in (on(0, pitch, channel=channel), off(QUARTER, pitch, channel=channel))]


def read(tmp_path: Path, content: bytes, **settings: object) -> Tune | Dropped:
    path = tmp_path / "tune.mid"
    path.write_bytes(content)
    return read_midi_melody(path, **settings)


def pitches_of(tune: Tune | Dropped) -> list[int]:
    assert isinstance(tune, Tune), tune
    return [note.pitch for note in tune.notes]


def test_the_part_named_as_the_melody_counts(tmp_path: Path) -> None:
    song = midi([metre(0, 4, 4)], [named("Bass"), *line(40, 41)], [named("Soprano"), *line(72, 74)])
    tune = read(tmp_path, song)
    assert isinstance(tune, Tune)
    assert tune.notes == (Note(F(0), 72, F(1)), Note(F(1), 74, F(2))) and (tune.start, tune.end) == (0, 2)


def test_the_only_part_needs_no_name_and_drums_are_none(tmp_path: Path) -> None:
    assert pitches_of(read(tmp_path, midi(line(60, 62), line(36, 38, channel=DRUMS)))) == [60, 62]


def test_without_a_name_the_melody_is_guessed_on_request_alone(tmp_path: Path) -> None:
    chords = [on(0, 64), on(0, 67), off(QUARTER, 64), off(0, 67)]
    song = midi(chords, line(72, 74), line(40, 41))
    assert read(tmp_path, song) == Dropped("tune", "several voices", "3 parts, none named as the melody")
    assert pitches_of(read(tmp_path, song, guess_melody=True)) == [72, 74]
    low = midi(line(30), line(31))
    assert read(tmp_path, low, guess_melody=True) == Dropped(
        "tune", "several voices", "no part that could be the melody"
    )


def test_notes_end_where_the_next_begins(tmp_path: Path) -> None:
    legato = [on(0, 60), on(440, 62), off(20, 60), off(460, 62)]
    assert [note.end for note in read(tmp_path, midi(legato)).notes] == [F(11, 12), F(23, 12)]
    chords = [on(0, 60), on(0, 67), off(QUARTER, 60), off(0, 67)]
    assert read(tmp_path, midi(chords)) == Dropped("tune", "several voices", "notes overlap (monophony 0.50)")
    assert pitches_of(read(tmp_path, midi(chords), guess_melody=True)) == [67]


@pytest.mark.parametrize(
    ("tracks", "reason", "detail"),
    [
        ([[metre(0, 3, 4), *line(60)]], "not in 4/4", "3/4"),
        ([[metre(0, 2, 4), *line(60)]], "not in 4/4", "2/4"),
        ([[metre(0, 4, 4), metre(1920, 3, 4)], line(60)], "metre changes", "4/4 to 3/4"),
        (
            [[metre(0, 4, 4), metre(480, 4, 4)], line(60)],
            "bars do not fill the metre",
            "the metre is stated anew at quarter 1, within a bar",
        ),
        ([[metre(0, 4, 4)]], "no note", ""),
        ([line(*[60] * 1001)], "over 1,000 notes", "1,001"),
    ],
)
def test_midi_files_that_cannot_enter(tmp_path: Path, tracks: list, reason: str, detail: str) -> None:
    assert read(tmp_path, midi(*tracks)) == Dropped("tune", reason, detail)


def test_files_that_are_no_midi(tmp_path: Path) -> None:
    for content in (b"", b"no MIDI at all", midi(line(60))[:-9]):
        found = read(tmp_path, content)
        assert isinstance(found, Dropped) and found.reason == "cannot be read" and found.detail


HEADER = "makam\tform\tusul\ttitle\tcomposer\tnotes\n"


def test_a_table_of_makam_music(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    rows = ["rast\tilahi\tsofyan\ta\tb\t305:1/4 r:1/8 318:1/8 327:1/2", "m\tf\taksak\ta\tb\t305:1/4"]
    rows += ["m\tf\tduyek\ta\tb\t305:1/4", "m\tf\tsofyan\ta\tb\t305:1/0", "m\tf\tsofyan\ta\tb\tr:1/1"]
    path.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    first, *others = read_symbtr(path)
    assert first == Tune(
        "rast--ilahi--sofyan--a--b",
        (Note(F(0), 69, F(1)), Note(F(3, 2), 72, F(2)), Note(F(2), 74, F(4))),
        F(0),
        F(4),
    )
    assert [(own.reason, own.detail) for own in others] == [
        ("not in 4/4", "usul aksak"),
        ("not in 4/4", "8/8"),
        ("cannot be read", "'305:1/0' among its notes"),
        ("no note", ""),
    ]
    assert isinstance(list(read_symbtr(path, metres=("8/8",)))[2], Tune)


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("path\tgenre\n1\t2\n")
    with pytest.raises(UserError, match=r"no column makam and .* and notes; a table of makam music has makam, form"):
        list(read_symbtr(path))


def score(tmp_path: Path, measures: str, parts: str = "") -> Path:
    listed = '<score-part id="A"><part-name>Alto</part-name></score-part>' if parts else ""
    listed += '<score-part id="P"><part-name>Soprano</part-name></score-part>'
    part = f'{parts}<part id="P">{measures}</part>'
    path = tmp_path / "chorale.mxl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
        archive.writestr("chorale.xml", f"<score-partwise><part-list>{listed}</part-list>{part}</score-partwise>")
    return path


def xml_note(step: str, quarters: int, more: str = "", alter: int = 0) -> str:
    pitch = f"<pitch><step>{step}</step><alter>{alter}</alter><octave>4</octave></pitch>"
    return f"<note>{more}{pitch}<duration>{2 * quarters}</duration></note>"


FOUR = "<attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"


def test_a_score_with_pick_up_repeat_tie_and_another_part(tmp_path: Path) -> None:
    tie = '<tie type="start"/>'
    music = f"""<measure>{FOUR}{xml_note("G", 1)}</measure>
        <measure>{xml_note("C", 3, alter=1)}<barline location="right"><repeat direction="backward"/></barline></measure>
        <measure>{xml_note("E", 4, tie)}</measure><measure><note><grace/></note>
        {xml_note("E", 4)}{xml_note("D", 4, "<chord/>")}</measure>"""
    tune = read_musicxml(score(tmp_path, music, f'<part id="A"><measure>{FOUR}{xml_note("A", 4)}</measure></part>'))
    assert isinstance(tune, Tune)
    # The pick-up and the short bar of the repeat make one measure, twice.
    assert [(note.onset, note.pitch) for note in tune.notes] == [(0, 67), (1, 61), (4, 67), (5, 61), (8, 64)]
    assert tune.notes[-1].end == 16


def test_scores_that_cannot_enter(tmp_path: Path) -> None:
    other = f"<measure>{FOUR.replace('<beats>4', '<beats>3')}{xml_note('G', 3)}</measure>"
    assert read_musicxml(score(tmp_path, other)) == Dropped("chorale", "not in 4/4", "3/4")
    rest = "<note><rest/><duration>8</duration><voice>1</voice></note>"
    both = f"<measure>{FOUR}{rest}{xml_note('G', 4, '<voice>2</voice>')}</measure>"
    assert read_musicxml(score(tmp_path, both)).reason == "several voices"
    assert read_musicxml(score(tmp_path, "<measure>")).reason == "cannot be read"
    path = tmp_path / "no.mxl"
    path.write_bytes(b"PK no archive")
    assert read_musicxml(path).reason == "cannot be read"


def test_a_chorale_of_the_built_in_corpus() -> None:
    pytest.importorskip("music21")
    path = next(path for path in builtin_files("bach") if path.stem == "bwv269")
    tune = read_musicxml(path, metres=("3/4", "4/4"))
    assert isinstance(tune, Tune) and tune.notes[0].pitch == 67

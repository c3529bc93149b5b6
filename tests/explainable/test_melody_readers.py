"""MIDI melodies, SymbTr's table and MusicXML scores: notes read, and reasons for dropping a file."""

import zipfile
from fractions import Fraction
from pathlib import Path

import mido
import pytest
from midi_files import DRUMS, midi, off, on

from explainable.melodies import musicxml
from explainable.melodies.midi_melody import read_midi_melody
from explainable.melodies.musicxml import read_musicxml
from explainable.melodies.symbtr import read_symbtr
from explainable.melodies.tunes import Dropped, Note, Reading, Tune

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
    (found,) = read_midi_melody(path, Reading(**settings))
    return found


CHORDS = [on(0, 64), on(0, 67), off(QUARTER, 64), off(0, 67)]
LEGATO = [on(0, 60), on(440, 62), off(20, 60), off(460, 62)]


@pytest.mark.parametrize(
    ("tracks", "guess", "notes"),
    [
        ([[metre(0, 4, 4)], [named("Bass"), *line(40, 41)], [named("Soprano"), *line(72, 74)]], False, [72, 74]),
        ([line(60, 62), line(36, 38, channel=DRUMS)], False, [60, 62]),
        ([CHORDS, line(72, 74), line(40, 41)], True, [72, 74]),
        ([CHORDS], True, [67]),
    ],
    ids=["by its name", "the only part beside drums", "guessed", "the highest voice"],
)
def test_the_part_of_the_melody(tmp_path: Path, tracks: list, guess: bool, notes: list[int]) -> None:
    tune = read(tmp_path, midi(*tracks), guess_melody=guess)
    assert tune == Tune("tune", tuple(Note(F(k), own, F(k + 1)) for k, own in enumerate(notes)), F(0), F(len(notes)))


def test_notes_end_where_the_next_begins(tmp_path: Path) -> None:
    assert [note.end for note in read(tmp_path, midi(LEGATO)).notes] == [F(11, 12), F(23, 12)]


@pytest.mark.parametrize(
    ("tracks", "reason", "detail"),
    [
        ([[metre(0, 3, 4), *line(60)]], "not in 4/4", "3/4"),
        ([[metre(0, 4, 4), metre(1920, 3, 4)], line(60)], "metre changes", "4/4 to 3/4"),
        (
            [[metre(0, 4, 4), metre(480, 4, 4)], line(60)],
            "bars do not fill the metre",
            "a time signature at quarter 1, within a bar",
        ),
        ([[metre(0, 4, 4)]], "no note", ""),
        ([CHORDS], "several voices", "notes overlap (monophony 0.50)"),
        ([CHORDS, line(72), line(40)], "several voices", "3 parts, none named as the melody"),
    ],
)
def test_reasons_for_dropping_a_midi_file(tmp_path: Path, tracks: list, reason: str, detail: str) -> None:
    assert read(tmp_path, midi(*tracks)) == Dropped("tune", reason, detail)


def test_damaged_midi_files_and_files_without_a_high_part_are_dropped(tmp_path: Path) -> None:
    for content in (b"", b"no MIDI at all", midi(line(60))[:-9]):
        found = read(tmp_path, content)
        assert found.reason == "cannot be read" and found.detail
    low = read(tmp_path, midi(line(30), line(31)), guess_melody=True)
    assert low == Dropped("tune", "several voices", "no part that could be the melody")


def test_a_table_of_makam_music(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    rows = ["makam\tform\tusul\ttitle\tcomposer\tnotes"]
    rows += ["rast\tilahi\tsofyan\ta\tb\t305:1/4 r:1/8 318:1/8 327:1/2", "m\tf\taksak\ta\tb\t305:1/4"]
    rows.append("m\tf\tsof\x08yan\ta\tb\t305:1/4")
    rows += ["m\tf\tduyek\ta\tb\t305:1/4", "m\tf\tsofyan\ta\tb\t305:1/0", "m\tf\tsofyan\ta\tb\tr:1/1"]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    first, *others = read_symbtr(path)
    notes = (Note(F(0), 69, F(1)), Note(F(3, 2), 72, F(2)), Note(F(2), 74, F(4)))
    assert first == Tune("rast--ilahi--sofyan--a--b", notes, F(0), F(4))
    assert [(own.reason, own.detail) for own in others] == [
        ("not in 4/4", "usul aksak"),
        ("not in 4/4", r"usul sof\x08yan"),
        ("not in 4/4", "8/8"),
        ("cannot be read", "'305:1/0' among its notes"),
        ("no note", ""),
    ]
    assert isinstance(list(read_symbtr(path, Reading(metres=("8/8",))))[3], Tune)


def score(path: Path, measures: str, parts: str = "", more: str = "") -> Path:
    """Write a score with a part called Soprano, compressed for .mxl, plain otherwise. `more` goes to its attributes."""
    attributes = f"<divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time>{more}"
    part = f'{parts}<part id="P"><measure><attributes>{attributes}</attributes>{measures}</measure></part>'
    names = {"A": "Alto", "P": "Soprano"} if parts else {"P": "Soprano"}
    listed = (f'<score-part id="{own}"><part-name>{name}</part-name></score-part>' for own, name in names.items())
    text = f"<score-partwise><part-list>{''.join(listed)}</part-list>{part}</score-partwise>"
    if path.suffix != ".mxl":
        path.write_text(text)
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
        archive.writestr("chorale.xml", text)
    return path


def xml_note(step: str, quarters: int, more: str = "", alter: int = 0) -> str:
    pitch = f"<pitch><step>{step}</step><alter>{alter}</alter><octave>4</octave></pitch>"
    return f"<note>{more}{pitch}<duration>{2 * quarters}</duration></note>"


def ending(number: str, music: str) -> str:
    start, stop = (f'<ending number="{number}" type="{kind}"/>' for kind in ("start", "stop"))
    return f'<barline location="left">{start}</barline>{music.replace("<repeat", stop + "<repeat")}'


def read_score(path: Path, **settings: object) -> Tune | Dropped:
    (found,) = read_musicxml(path, Reading(**settings))
    return found


NEXT = "</measure><measure>"
VOICE, BACKUP = "<voice>1</voice>", "<backup><duration>8</duration></backup>"
DA_CAPO = "<direction><direction-type><words>D.C.\nal Fine</words></direction-type></direction>"
REPEAT = '<barline location="right"><repeat direction="backward"/></barline>'


@pytest.mark.parametrize("ending", ["mxl", "musicxml"])
def test_a_score_with_pick_up_repeat_tie_and_another_part(tmp_path: Path, ending: str) -> None:
    music = f"""{xml_note("G", 1)}{NEXT}{xml_note("C", 3, alter=1)}{REPEAT}{NEXT}
        {xml_note("E", 4, '<tie type="start"/>')}{NEXT}<note><grace/></note>
        {xml_note("E", 4)}{xml_note("D", 4, "<chord/>")}"""
    alto = f'<part id="A"><measure>{xml_note("A", 4)}</measure></part>'
    path = score(tmp_path / f"chorale.{ending}", music, alto)
    # The pick-up and the short bar of the repeat make one measure, twice.
    assert read_score(path).notes == (Note(0, 67, 1), Note(1, 61, 4), Note(4, 67, 5), Note(5, 61, 8), Note(8, 64, 16))
    assert [note.onset for note in read_score(path, repeats=False).notes] == [0, 1, 4]


@pytest.mark.parametrize(
    ("music", "more", "pitches"),
    [
        (f"{xml_note('C', 2)}{xml_note('D', 2, '<cue/>')}", "", [60]),
        (xml_note("C", 4), "<transpose><chromatic>-2</chromatic></transpose>", [58]),
        (xml_note("C", 4).replace("8", "8.0"), "", [60]),
        (xml_note("C", 4) + REPEAT.replace("backward", 'backward" times="3'), "", [60, 60, 60]),
        (xml_note("C", 4) + REPEAT + NEXT + xml_note("D", 4) + REPEAT, "", [60, 60, 62, 62]),
        (ending("1", xml_note("C", 4) + REPEAT) + NEXT + ending("2", xml_note("D", 4)), "", [60, 62]),
    ],
    ids=["cue", "transpose", "decimals", "three times", "two repeats", "endings"],
)
def test_scores_are_read_as_they_sound(tmp_path: Path, music: str, more: str, pitches: list[int]) -> None:
    tune = read_score(score(tmp_path / "s.mxl", music, more=more))
    assert [note.pitch for note in tune.notes] == pitches


@pytest.mark.parametrize(
    ("music", "more", "reason", "detail"),
    [
        (xml_note("G", 3), "<time><beats>3</beats><beat-type>4</beat-type></time>", "metre changes", "4/4 to 3/4"),
        (xml_note("G", 4) + BACKUP + xml_note("C", 4), "", "several voices", "in measure"),
        (xml_note("G", 4, VOICE) + BACKUP + xml_note("C", 4, VOICE.replace("1", "2")), "", "several voices", ""),
        (xml_note("G", 5), "", "bars do not fill the metre", "5 quarters in bar 1 as played"),
        ("<forward><duration>8</duration></forward>", "", "no note", ""),
        (xml_note("G", 4).replace("<alter>0", "<alter>inf"), "", "cannot be read", "In part (Soprano)"),
        ("<note>", "", "cannot be read", "mismatched tag"),
        (xml_note("C", 4) + DA_CAPO, "", "parts are played in another order", "D.C. al Fine"),
        (xml_note("C", 4) + '<sound dacapo="yes"/>', "", "parts are played in another order", "dacapo"),
        (NEXT.join(["x"] * 5001), "", "over 5,000 measures", ""),
        (xml_note("C", 0) * 5001, "", "over 1,000 notes", ""),
        (xml_note("C", 4) + REPEAT.replace("backward", 'backward" times="1000000000'), "", "over 1,000 notes", ""),
    ],
)
def test_reasons_for_dropping_a_score(tmp_path: Path, music: str, more: str, reason: str, detail: str) -> None:
    found = read_score(score(tmp_path / "s.xml", music, more=more))
    assert isinstance(found, Dropped) and found.reason == reason and found.detail.startswith(detail)


def test_a_score_by_measures(tmp_path: Path) -> None:
    path = score(tmp_path / "s.xml", xml_note("C", 4) + NEXT + xml_note("D", 4))
    part, text = '<part id="P">', path.read_text().replace("partwise", "timewise")
    text = text.replace(f"{part}<measure>", f"<measure>{part}").replace("</measure></part>", "</part></measure>")
    path.write_text(text.replace(NEXT, f"</part>{NEXT}{part}"))
    assert [note.pitch for note in read_score(path).notes] == [60, 62]


def test_damaged_and_huge_archives_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = score(tmp_path / "s.mxl", xml_note("C", 4))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert read_score(path).reason == "cannot be read"
    path.write_bytes(whole)
    plain = score(tmp_path / "s.xml", "")
    plain.write_text('<!DOCTYPE x [<!ENTITY e "e">]>' + plain.read_text(), encoding="utf-16")
    assert read_score(plain) == Dropped("s", "cannot be read", "defines entities")
    score(path, " " * 5000 + xml_note("C", 4))
    monkeypatch.setattr(musicxml, "_MAX_BYTES", 5000)
    assert read_score(path) == Dropped("s", "cannot be read", "over 5,000 bytes or 1,000,000 tags")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("score.xml", "<score-partwise/>")
    assert read_score(path) == Dropped("s", "cannot be read", "no score in the archive")

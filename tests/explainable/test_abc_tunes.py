"""Rules of the ABC notation, one at a time, and the reasons for dropping a tune."""

from fractions import Fraction
from pathlib import Path

import pytest

from explainable.melodies.abc import read_abc, read_tune, signature_of
from explainable.melodies.tunes import Dropped, Note, Reading, Tune, tune_or_reason

F = Fraction


def read(music: str, key: str = "C", metre: str = "4/4", unit: str = "1/4", **reading: object) -> Tune | Dropped:
    text = f"X:1\nT:A tune\nM:{metre}\nL:{unit}\nK:{key}\n{music}\n"
    return tune_or_reason(read_tune, "t", text, Reading(**reading))


def pitches(music: str, key: str = "C", **settings: object) -> list[int]:
    return [note.pitch for note in read(music, key, **settings).notes]


def lengths(music: str, **settings: object) -> list[Fraction]:
    """Lengths in quarters."""
    return [note.end - note.onset for note in read(music, **settings).notes]


@pytest.mark.parametrize(
    ("key", "altered"),
    [
        ("Am", {}),
        ("Bb", {"B": -1, "E": -1}),
        ("F#m", {"F": 1, "C": 1, "G": 1}),
        ("A Mixolydian", {"F": 1, "C": 1}),
        ("D phrygian", {"B": -1, "E": -1}),
        ("Flyd", {}),
        ("G clef=treble", {"F": 1}),
        ("D =c", {"F": 1, "C": 0}),
        ("D exp _e ^f", {"E": -1, "F": 1}),
        ("Hp", {"F": 1, "C": 1}),
        ("", {}),
        ("none clef=bass", {}),
        ("Dmix=c octave=-1 treble-8", {"F": 1, "C": 0}),
    ],
)
def test_key_signatures(key: str, altered: dict[str, int]) -> None:
    assert signature_of(key) == altered


@pytest.mark.parametrize("key", ["H", "g", "Bn", "D phyrgian", "C " + "a=" * 1000 + "a b"])
def test_a_key_that_is_not_understood_drops_the_tune(key: str) -> None:
    assert read("A4", key) == Dropped("t", "cannot be read", f"key {key[:20]!r}")


def test_octaves_and_accidentals() -> None:
    assert pitches("C,Cc c'") == [48, 60, 72, 84]
    assert pitches("F ^F F f|F __B =B _A", "D") == [66, 66, 66, 78, 66, 69, 71, 68]
    # To the end of the bar, in their octave.
    assert pitches("^c c C c|c4") == [73, 73, 60, 73, 72]
    # A note tied over the bar line keeps its accidental.
    tied = "z2 ^c2-|c2 c2"
    assert pitches(tied) == [73, 73] and lengths(tied) == [4, 2]


def test_lengths_tuplets_and_broken_rhythm() -> None:
    assert lengths("A2 A/2 A/ A// A3/4|A4") == [2, F(1, 2), F(1, 2), F(1, 4), F(3, 4), 4]
    assert lengths("A>B c<d|A>>B z>A") == [F(3, 2), F(1, 2), F(1, 2), F(3, 2), F(7, 4), F(1, 4), F(1, 2)]
    assert lengths("(3ABc (3:2:2A2B|(2AB z") == [F(2, 3), F(2, 3), F(2, 3), F(4, 3), F(2, 3), F(3, 2), F(3, 2)]
    assert lengths("A8", unit="1/8") == [4] and lengths("A8 ", unit="") == [4]
    assert lengths("A2-A2|(A2 B2)") == [4, 2, 2]
    # A slur, or a tie between two pitches, joins nothing.
    assert lengths("A2-B2") == [2, 2]
    # music21 10.5.1 keeps even rhythm here.
    assert lengths("A->B c>~d") == [F(3, 2), F(1, 2), F(3, 2), F(1, 2)]


def test_rests_are_silence() -> None:
    tune = read("A z x B|Z|z2 c2")
    assert [(note.onset, note.pitch) for note in tune.notes] == [(0, 69), (3, 71), (10, 72)]


def test_ornaments_annotations_words_and_remarks_are_ignored() -> None:
    decorated = '"Am"A {gf}~B !trill!c "^text"(.d)|v[A,C]4 % comment A B\nw: words of a song\nuT+fff+A4y\\\n|$B4'
    assert pitches(decorated) == [69, 71, 72, 74, 60, 69, 71]
    text = "%%begintext\nA text\n%%endtext"
    for line in ("% a remark", "%%MIDI program 1", "  %", "w: words\n+: more words", text):
        assert pitches(f"A4|\n{line}\nB4|") == [69, 71], line


def test_fields_within_the_music() -> None:
    music = "F4|[K:D][L:1/8]F8|\nK:F\nB8"
    assert pitches(music) == [65, 66, 70] and lengths(music) == [4, 4, 4]


@pytest.mark.parametrize(
    ("music", "played"),
    [
        ("|:A4:|B4", "AAB"),
        ("A4:|B4:|", "AABB"),
        ("A4::B4:|", "AABB"),
        ("|::A4::|B4", "AAAB"),
        ("A4|1B4:|2c4||d4", "ABAcd"),
        ("|:A4|[1B4:|[2c4|]d4:|", "ABAcdd"),
        ("|:A4|1,3B4:|2c4:|d4", "ABAcABd"),
        ("A4||B4:|", "ABB"),
        ("|:A4||B4:|", "ABAB"),
        ("|:A4|1B4:|c4", "ABAc"),
    ],
)
def test_repeats(music: str, played: str) -> None:
    assert pitches(music) == pitches("|".join(f"{letter}4" for letter in played))
    once = "".join(letter for letter in music if letter in "ABcd")
    assert pitches(music, repeats=False) == pitches("|".join(f"{letter}4" for letter in once))


def test_pick_ups_and_last_bars() -> None:
    tune = read("G|A4|A3:|B|c4|c3|]")
    # Played: G A4 A3 G A4 A3 B c4 c3; the last bar of a section and the next pick-up are one bar.
    assert (tune.start, tune.end) == (3, 27)
    assert tune.notes[:4] == (Note(3, 67, 4), Note(4, 69, 8), Note(8, 69, 11), Note(11, 67, 12))
    # Other short bars are filled up with silence: in front or behind.
    assert [note.onset for note in read("A4||B|c4").notes] == [0, 7, 8]
    assert [note.onset for note in read("A4|B3||c4").notes] == [0, 4, 8]
    # Two bars of 2/4 make one measure.
    tune = read("G|A2|B2|c2|d2", metre="2/4", metres=("2/4",))
    assert tune.start == 3 and [note.onset for note in tune.notes] == [3, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("music", "metre", "reason", "detail"),
    [
        ("A4", "C|", "not in 4/4", "2/2"),
        ("A4", "none", "not in 4/4", "no metre"),
        ("A4", "4/0", "not in 4/4", "no metre"),
        ("A4|\nM:3/4\nA3", "C", "metre changes", "4/4 to 3/4"),
        ("A4|[M:6/8]A3", "4/4", "metre changes", "4/4 to 6/8"),
        ("V:1\nA4\nV:2\nC4", "4/4", "several voices", "1 and 2"),
        ("A4&C4", "4/4", "several voices", "voices within a bar (&)"),
        ("A4|A5|A4", "4/4", "bars do not fill the metre", "5 quarters in bar 2 as played"),
        ("A4|A3|A4", "4/4", "bars do not fill the metre", "3 quarters in bar 2 as played"),
        ("z4|z4", "4/4", "no note", ""),
        ("", "4/4", "no note", ""),
        ("ABcd|" * 251, "4/4", "over 1,000 notes", "1,004"),
        ("A1024|" * 20, "4/4", "over 5,000 measures", ""),
        ("A4|\x01", "4/4", "cannot be read", "'\\x01' in its music"),
        (">A", "4/4", "cannot be read", "'>' without a note before it"),
        ("A99999999999", "4/4", "cannot be read", "length '99999999999'"),
        ("(0A", "4/4", "cannot be read", "tuplet '(0'"),
        ("A> >B", "4/4", "cannot be read", "'>' without a note before it"),
        ("A4|\n%%begintext\nB4|", "4/4", "cannot be read", "%%begintext without %%endtext"),
        # What is bounded before it is expanded.
        (f"|:A4{':' * 20_000}|", "4/4", "over 1,000 notes", ""),
        ("z4|" * 5001, "4/4", "over 1,000 notes", ""),
    ],
)
def test_reasons_for_dropping_a_tune(music: str, metre: str, reason: str, detail: str) -> None:
    assert read(music, metre=metre) == Dropped("t", reason, detail)


def test_a_book_of_tunes(tmp_path: Path) -> None:
    path = tmp_path / "book.abc"
    text = "M:4/4\nL:1/4\n\nX:7\nT:Na Fé\nT:Other\nK:C\nA4|\n\nNotes on the tune\nX:8\nT:no key\nA4\n"
    text += f"X:9\nK:C\nA{'9' * 5000}|\nX:10\nP:ABA\nK:C\nP:A\nc4|\nP:B\nd4|\nX:11\nL:1/8\nK:G\nF8|]\n"
    for encoding in ("utf-8", "latin-1", "utf-16", "utf-16-be"):
        path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
        titled, without_key, damaged, of_parts, last = read_abc(path)
        assert (titled.name, titled.title, titled.notes) == ("book/1", "Na Fé", (Note(0, 69, 4),))
        assert without_key == Dropped("book/2", "cannot be read", "no key (K:) in its header")
        assert damaged.reason == "cannot be read" and "4300 digits" in damaged.detail
        assert of_parts == Dropped("book/4", "parts are played in another order", "ABA")
        assert last.notes == (Note(0, 66, 4),)
    once = list(read_abc(path, Reading(repeats=False)))
    path.write_text(text.replace("P:ABA", "P:AB"))
    assert once[3].notes == list(read_abc(path))[3].notes == (Note(0, 72, 4), Note(4, 74, 8))


def test_tunes_without_a_number_are_tunes(tmp_path: Path) -> None:
    one = "T:One\nM:4/4\nL:1/4\nK:C\nA4|\n"
    for text, names in ((one, ["One"]), (f"X:1\n{one}\n{one.replace('One', 'Two')}", ["One", "Two"])):
        (tmp_path / "book.abc").write_text(text)
        assert [tune.title for tune in read_abc(tmp_path / "book.abc")] == names
    (tmp_path / "book.abc").write_text("no tune")
    assert list(read_abc(tmp_path / "book.abc")) == [Dropped("book/1", "cannot be read", "no key (K:) in its header")]

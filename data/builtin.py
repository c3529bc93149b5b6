"""Export a labelled MIDI folder from the scores in the package music21, without a download.

    python prepare_data.py --builtin        # calls export_builtin_corpus

Four classes: Renaissance polyphony (Palestrina's masses, Monteverdi's madrigals), Bach's chorales, the fiddle tunes of
Ryan's Mammoth Collection, the European folk songs of the Essen collection. The scores leave open:

- Tempo. Only five of Ryan's tunes print one, which is kept. All others get one steady tempo: the beat of the first
  time signature (a dotted quarter in 6/8, a half note in 4/2) at `Collection.beats_per_minute`. Renaissance and fiddle
  scores in 4/4 are felt in two, so their beat is the half note. Playback tempi in MusicXML files are ignored.
- Repeats are not expanded: they would only add copies of the same windows.
- Accidentals hold to the end of the bar, in their octave (Ryan) or in all (Essen), as the tunes are written.
- Ties are merged; grace notes, ornaments and chord symbols are left out. One track per part, velocity 80.
"""

import contextlib
import io
import json
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from tqdm import tqdm

from common.errors import UserError
from common.files import write_text, written_atomically
from common.midi_library import pretty_midi
from common.processes import map_in_processes
from data.pianoroll import VELOCITY

if TYPE_CHECKING:
    import music21

EXPORT_VERSION = 2  # raise it when the exported files change, so that older exports are replaced
GENRES = ("renaissance", "chorale", "fiddle", "folk")  # the position is the genre id
LABEL_COLUMNS = ("path", "genre_id", "genre", "artist", "title")
TICKS_PER_QUARTER = 480
PRINTED_TEMPO_RANGE = (40, 200)  # quarters per minute; the parser misreads some printed tempi

TimedNote = tuple[float, float, int]  # onset and duration in quarters, MIDI pitch


@dataclass(frozen=True)
class Collection:
    """A folder of music21's corpus. The default export takes `pieces` of it, for equal music time per genre."""

    folder: str
    pattern: str
    genre: str
    artist: str
    pieces: int
    beats_per_minute: float
    alla_breve: bool = False  # 4/4 is felt in two
    exclude: str = r"(?!)"  # regular expression of the file stems left out
    accidentals: str = "octave"  # of ABC files: to the end of the bar in their octave, or for every octave ("pitch")


PALESTRINA, MONTEVERDI = "Giovanni Pierluigi da Palestrina", "Claudio Monteverdi"
BACH, RYAN, ESSEN = "Johann Sebastian Bach", "Ryan's Mammoth Collection", "Essen Folksong Collection"
COLLECTIONS = (
    Collection("palestrina", "*.krn", "renaissance", PALESTRINA, 22, 66, alla_breve=True),
    # "_old": another encoding of the same madrigal.
    Collection("monteverdi", "*.mxl", "renaissance", MONTEVERDI, 10, 66, alla_breve=True, exclude=".*_old"),
    # BWV 846 is a prelude; the chorales "-inst" and "-s" are also there in another scoring.
    Collection("bach", "*.mxl", "chorale", BACH, 118, 76, exclude="bwv846|.*-(inst|s)$"),
    Collection("ryansMammoth", "*.abc", "fiddle", RYAN, 280, 104, alla_breve=True),
    # han1 and han2 are Chinese songs; irl is Irish, close to Ryan's tunes; the test files are a mixture.
    Collection("essenFolksong", "*.abc", "folk", ESSEN, 225, 96, exclude="han|irl|test", accidentals="pitch"),
)


class Piece(NamedTuple):
    """One score: a file, or one tune of an ABC file."""

    collection: Collection
    source: Path
    abc_text: str | None
    midi_path: Path


def export_builtin_corpus(
    folder: Path,
    *,
    full: bool = False,
    workers: int | None = None,
    progress: bool = True,
    pieces_per_collection: int | None = None,
) -> Path:
    """Write `folder/<genre>/<name>.mid` and `folder/labels.csv`; returns the path of labels.csv.

    Paths in labels.csv are relative to `folder`. A finished export with the same settings is kept; of any other the
    MIDI files stay, without a row in labels.csv. Scores that cannot be read are skipped and counted. `full`: whole
    collections (minutes) instead of a balanced part (seconds). `workers`: processes, by default one per core.
    `pieces_per_collection` replaces `Collection.pieces`. Raises `UserError` if music21 is missing or a genre is empty.
    """
    folder = Path(folder)
    corpus = corpus_folder()
    labels_path, record_path = folder / "labels.csv", folder / "export.json"
    settings = {"export_version": EXPORT_VERSION, "music21": version("music21"), "full": full}
    settings["pieces_per_collection"] = pieces_per_collection
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        if json.loads(record_path.read_text(encoding="utf-8"))["settings"] == settings and labels_path.exists():
            return labels_path
    record_path.unlink(missing_ok=True)

    pieces: list[Piece] = []
    for collection in COLLECTIONS:
        found = list(_find_pieces(corpus, collection, folder))
        count = len(found) if full else min(len(found), pieces_per_collection or collection.pieces)
        pieces += [found[i * len(found) // count] for i in range(count)]  # evenly spaced
    rows, minutes = [], dict.fromkeys(GENRES, 0.0)
    results = map_in_processes(_export_piece, pieces, workers or os.cpu_count() or 1, died=None, chunk=4)
    results = tqdm(results, "exporting scores", len(pieces), unit="score", disable=not progress)
    for piece, result in zip(pieces, results, strict=True):
        if result is not None:
            title, seconds = result
            genre, path = piece.collection.genre, piece.midi_path.relative_to(folder).as_posix()
            rows.append((path, GENRES.index(genre), genre, piece.collection.artist, title))
            minutes[genre] += seconds / 60
    for genre in GENRES:
        if not minutes[genre]:
            raise UserError(f"no score of genre '{genre}' could be exported from the corpus in {corpus}.")

    write_text(labels_path, pd.DataFrame(rows, columns=LABEL_COLUMNS).to_csv(index=False, lineterminator="\n"))
    write_text(record_path, json.dumps({"settings": settings, "minutes": minutes}, indent=2))
    amounts = ", ".join(f"{genre} {amount:.0f} min" for genre, amount in minutes.items())
    print(f"Exported {len(rows)} pieces to {folder} ({amounts}), skipped {len(pieces) - len(rows)}.")
    return labels_path


def corpus_folder() -> Path:
    """The corpus of the installed music21, found without importing it. Raises `UserError`."""
    spec = find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the built-in corpus needs the package music21: pip install music21")
    return Path(spec.submodule_search_locations[0]) / "corpus"


def _find_pieces(corpus: Path, collection: Collection, folder: Path) -> Iterator[Piece]:
    """The pieces of a collection, by file name. An ABC file is split into its tunes, which start at `X:`."""
    sources = sorted((corpus / collection.folder).glob(collection.pattern))
    for source in (source for source in sources if not re.match(collection.exclude, source.stem)):
        name = re.sub(r"[^A-Za-z0-9]+", "_", source.stem)
        tunes: list[str | None] = [None]
        if source.suffix == ".abc":
            text = source.read_text(encoding="utf-8", errors="replace")
            # For music21, an accidental holds for one note in files that do not name their version of ABC.
            version = f"%abc-2.1\n%%propagate-accidentals {collection.accidentals}\n"
            tunes = [version + tune for tune in re.split(r"^(?=X:)", text, flags=re.MULTILINE)[1:]]
        for number, abc_text in enumerate(tunes, start=1):
            suffix = f"_{number:04d}" if len(tunes) > 1 else ""
            yield Piece(collection, source, abc_text, folder / collection.genre / f"{name}{suffix}.mid")


def _export_piece(piece: Piece) -> tuple[str, float] | None:
    """Write the MIDI file of one score; returns its title and length in seconds, or None if there is no music."""
    try:
        score = parse_score(piece.source) if piece.abc_text is None else parse_score(piece.abc_text, "abc")
        parts = [(part.partName or "", timed_notes(part)) for part in score.parts]
        tempo = _quarters_per_minute(score, piece.collection)
        title = ": ".join(filter(None, (score.metadata.parentTitle, score.metadata.title)))
    except Exception:  # one score in thousands; a parser may raise anything
        return None
    end = max((onset + duration for _, notes in parts for onset, duration, _ in notes), default=0.0)
    if not end:
        return None
    midi, seconds = pretty_midi.PrettyMIDI(resolution=TICKS_PER_QUARTER, initial_tempo=tempo), 60 / tempo
    for name, notes in parts:
        track = pretty_midi.Instrument(program=0, name=name)
        track.notes = [
            pretty_midi.Note(VELOCITY, pitch, onset * seconds, (onset + duration) * seconds)
            for onset, duration, pitch in notes
        ]
        midi.instruments.append(track)
    with written_atomically(piece.midi_path) as file:
        midi.write(file)
    return " ".join(title.split()) or piece.source.stem, end / tempo * 60


def parse_score(source: Path | str, text_format: str | None = None) -> "music21.stream.Score":
    """A score from a file, or from text of a `text_format`, without music21's warnings and without its cache files."""
    from music21 import converter

    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        return converter.parse(source, format=text_format, forceSource=True)


def timed_notes(part: "music21.stream.Part") -> list[TimedNote]:
    """The sounding notes of a part, tied notes merged: music21's `stripTies`, but much faster, without a copy."""
    notes: list[TimedNote] = []
    latest: dict[int, int] = {}  # pitch -> index of its latest note
    open_ties: set[int] = set()  # pitches whose latest note is tied onwards
    for element in part.flatten().notes:
        if element.quarterLength == 0:  # grace notes and chord symbols
            continue
        onset, duration = float(element.offset), float(element.quarterLength)
        for note in element.notes if element.isChord else (element,):
            pitch, tie = note.pitch.midi, note.tie.type if note.tie else None
            start, length, _ = notes[latest[pitch]] if pitch in latest else (onset, 0.0, pitch)
            # Some scores mark only one end of a tie.
            tied = pitch in open_ties or tie in ("stop", "continue")
            if length and tied and abs(start + length - onset) < 1e-6:
                notes[latest[pitch]] = (start, length + duration, pitch)
            else:
                latest[pitch] = len(notes)
                notes.append((onset, duration, pitch))
            (open_ties.add if tie in ("start", "continue") else open_ties.discard)(pitch)
    return notes


def _quarters_per_minute(score: "music21.stream.Score", collection: Collection) -> float:
    """The printed tempo, otherwise the collection's beat in the metre of the first time signature."""
    for mark in score.recurse().getElementsByClass("MetronomeMark"):
        if mark.number and PRINTED_TEMPO_RANGE[0] <= mark.getQuarterBPM() <= PRINTED_TEMPO_RANGE[1]:
            return mark.getQuarterBPM()
    metre = score.recurse().getElementsByClass("TimeSignature").first()
    if metre is None:
        return collection.beats_per_minute
    in_two = collection.alla_breve and metre.ratioString == "4/4"
    return collection.beats_per_minute * (2.0 if in_two else metre.beatDuration.quarterLength)

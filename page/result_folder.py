"""The files that the evaluations leave in one folder: their rows, and what these say of how they were made."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256

from common.options import as_plain
from evaluation.samples.clips import ClipOptions
from page.listening import data_uri
from page.tables import Column, Table, TextRow, make_table, read_results

# Facts that rows carry, as the page names them; with those that stand beside another, in brackets.
FACTS = {
    "split": "split",
    "seed": "seed",
    "threshold": "probability above which a cell sounds",
    "min_note_frames": "shortest note kept, in frames",
    "min_notes": "fewest notes of a clip that is not empty",
    "empty": "empty clips are",
    "embedder": "embedder",
    "synth": "synthesiser",
    "soundfont": "SoundFont",
    "classifier": "genre classifier",
    "labels": "labels in training",
    "checkpoint": "weights",
    "store_fingerprint": "store",
}
BESIDE = {"soundfont": "soundfont_sha256", "checkpoint": "checkpoint_sha256"}
# Those that a result must share with the clips on the page to be about the same thing.
SHARED = ("store_fingerprint", "seed", "threshold", "min_note_frames")


@dataclass(frozen=True)
class Picture:
    """A PNG file as a data URI."""

    source: str
    alt: str
    uri: str
    kind: str = "picture"


@dataclass(frozen=True)
class Missing:
    """A file that is not there, and the command that makes it."""

    name: str
    command: str
    kind: str = "missing"


Part = Table | Picture | Missing


@dataclass(frozen=True)
class ResultFolder:
    """The folder of results that `options` name, and what the page is about: genres, and T of its clips.

    `expected` are facts of these clips as text. `facts` tell how the rows read so far were made: the files by value, by
    fact.
    """

    options: ClipOptions
    genres: list[str]
    seq_lens: list[int]
    expected: dict[str, str]
    facts: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def rows(self, name: str) -> list[TextRow]:
        """The rows of a file, none where it is not there."""
        path = self.options.metrics / name
        rows = read_results(path) if path.exists() else []
        for row in rows:
            for fact in FACTS:
                self._note(name, fact, row)
        return rows

    def table(
        self,
        caption: str,
        name: str,
        rows: Sequence[dict[str, str]],
        columns: Sequence[Column],
        notes: Sequence[str] = (),
    ) -> Table:
        """A table of some of a file's rows; with `notes`, it remarks on how they were made and on empty cells."""
        places: dict[str, list[str]] = {}
        for row in rows:
            for note in filter(None, row.get("note", "").split("; ")):
                places.setdefault(note, []).append(f"{row['genre_name']} at T = {row['T']}")
        remarks = [
            f"{note[0].upper()}{note[1:]} ({', '.join(where) if len(where) < len(rows) else 'all rows'})."
            for note, where in places.items()
        ]
        return make_table(caption, name, rows, columns, [*notes, *self._differences(rows), *remarks])

    def picture(self, name: str, alt: str, command: str) -> Part:
        """A PNG file, or what is missing."""
        path = self.options.metrics / name
        return Picture(name, alt, data_uri("image/png", path.read_bytes())) if path.exists() else Missing(name, command)

    def command(self, script: str, *names: str, more: str = "") -> str:
        """The command line of a script, with those of the options called `names` that are not the default."""
        given, words = as_plain(self.options), ["python", *script.split()]
        for option in fields(self.options):
            if option.name in names and getattr(self.options, option.name) != option.default:
                words += ["--" + option.name.replace("_", "-"), str(given[option.name])]
        return f"{shlex.join(words)} {more}".rstrip()

    def hash_of_weights(self, name: str) -> str:
        """Of the file called `name` as it is now."""
        other = self.options.checkpoint
        path = other if other and other.name == name else self.options.checkpoints / name
        return sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else "not there"

    def _note(self, name: str, fact: str, row: TextRow) -> None:
        if row.get(fact):
            beside = row.get(BESIDE.get(fact, ""))
            value = f"{row[fact]} ({beside})" if beside else row[fact]
            files = self.facts.setdefault(fact, {}).setdefault(value, [])
            if name not in files:
                files.append(name)

    def _differences(self, rows: Sequence[dict[str, str]]) -> list[str]:
        """A sentence where rows were made otherwise than the page's clips, or with other weights than are there now."""
        found = [
            f"{FACTS[fact]} {was}, here {here}"
            for fact, here in self.expected.items()
            for was in dict.fromkeys(row.get(fact, here) for row in rows)
            if was != here
        ]
        weights = dict.fromkeys((row["checkpoint"], row["checkpoint_sha256"]) for row in rows if row.get("checkpoint"))
        found += [f"{name} {was}, here {here}" for name, was in weights if was != (here := self.hash_of_weights(name))]
        return [f"Not made like the clips on this page ({'; '.join(found)}): make it again."] if found else []

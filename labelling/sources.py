"""What each source says of each file: tags and their weights, before they become genres.

A file is tied to the Million Song Dataset by its MD5 sum (the tracks that it matches, with scores), or else by artist
and title; to tags of artists by the matched tracks, or else by the artist's name.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from labelling.annotations import (
    NamedTags,
    Tags,
    iter_metadata_csv,
    iter_unique_tracks,
    read_match_scores,
    read_md5_labels,
    read_track_labels,
)
from labelling.files import MidiFile
from labelling.genre_map import GenreMap
from labelling.msd import Problem, Track, iter_tracks
from labelling.names import artist_keys, key, song_keys

ANNOTATION, TITLE, FOLDER, MBTAGS, TERMS, LLM = KINDS = ("annotation", "title", "folder", "mbtags", "terms", "llm")
# Echo Nest terms of less weight describe an artist too loosely.
_LEAST_TERM_WEIGHT = 0.5


class Evidence(NamedTuple):
    """What one source of a kind (one of `KINDS`) says: tags by the file's position in the list of files."""

    name: str
    kind: str
    tags: dict[int, Tags]


@dataclass(frozen=True)
class Catalogues:
    """The files to look into, each optional. `annotations`: .cls files; `folders`: whether folders name genres."""

    msd: tuple[Path, ...] = ()
    match_scores: Path | None = None
    annotations: tuple[Path, ...] = ()
    midi_genre_map: Path | None = None
    metadata: Path | None = None
    unique_tracks: Path | None = None
    folders: bool = False

    @property
    def by_md5(self) -> bool:
        """Whether any of them knows files by their MD5 sum."""
        return bool(self.match_scores or self.midi_genre_map)

    def paths(self) -> list[Path]:
        """All that are given."""
        single = (self.match_scores, self.midi_genre_map, self.metadata, self.unique_tracks)
        return [*self.msd, *self.annotations, *(path for path in single if path)]


@dataclass
class _Found:
    """What the catalogues tell of the files' tracks and artists. Of tags by several records the most votes count."""

    tracks_of_song: dict[str, set[str]] = field(default_factory=dict)
    # By kind, then by track or by the artist's key.
    of_track: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    of_artist: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)


def _keep(
    table: dict[str, dict[str, dict[str, float]]], kind: str, name: str, tags: Iterable[tuple[str, float]]
) -> None:
    known = table.setdefault(kind, {}).setdefault(name, {})
    for tag, weight in tags:
        known[tag] = max(weight, known.get(tag, 0.0))


def gather(
    files: Sequence[MidiFile],
    catalogues: Catalogues,
    genre_map: GenreMap,
    problems: list[Problem],
    *,
    cache: Path | None = None,
    progress: bool = False,
) -> list[Evidence]:
    """What all catalogues say of the files; what cannot be read in them is added to `problems`.

    Raises `UserError` where one is missing, or is something else as a whole.
    """
    tracks = _tracks_by_md5(files, catalogues, problems)
    found = _look_up(files, tracks, catalogues, problems, cache, progress)
    evidence = [
        *_of_md5_map(files, catalogues, problems),
        *_of_annotations(files, tracks, found, catalogues, problems),
        Evidence(FOLDER, FOLDER, dict(_folder_tags(files, genre_map)) if catalogues.folders else {}),
        *_of_artists(files, tracks, found),
    ]
    return [each for each in evidence if each.tags]


def _of_md5_map(files: Sequence[MidiFile], catalogues: Catalogues, problems: list[Problem]) -> Iterator[Evidence]:
    if catalogues.midi_genre_map:
        wanted = {file.md5 for file in files}
        for name, labels in read_md5_labels(catalogues.midi_genre_map, wanted, problems).items():
            tags = {number: labels[file.md5] for number, file in enumerate(files) if file.md5 in labels}
            yield Evidence(f"{ANNOTATION} {name}", ANNOTATION, tags)


def _of_annotations(
    files: Sequence[MidiFile],
    tracks: dict[int, Tags],
    found: "_Found",
    catalogues: Catalogues,
    problems: list[Problem],
) -> Iterator[Evidence]:
    """Labels of the tracks that a file matches by its sum, and of those that have its artist and title."""
    by_title = {}
    for number, file in enumerate(files) if found.tracks_of_song else ():
        songs = [found.tracks_of_song.get(name, ()) for name in song_keys(file.artist, file.title)]
        if any(songs):
            by_title[number] = [(track, 1.0) for song in songs for track in song]
    wanted = {track for matched in (*tracks.values(), *by_title.values()) for track, _ in matched}
    for path in catalogues.annotations:
        labels = read_track_labels(path, wanted, problems)
        for kind, matched in ((ANNOTATION, tracks), (TITLE, by_title)):
            yield Evidence(f"{kind} {path.stem}", kind, _through(matched, labels))


def _of_artists(files: Sequence[MidiFile], tracks: dict[int, Tags], found: "_Found") -> Iterator[Evidence]:
    """Tags of the artists of the tracks that a file matches, or else of the artist that its path names."""
    for kind in (MBTAGS, TERMS):
        of_track, of_artist = (
            {name: list(tags.items()) for name, tags in table.get(kind, {}).items()}
            for table in (found.of_track, found.of_artist)
        )
        tags = _through(tracks, of_track)
        for number, file in enumerate(files):
            known = next((of_artist[name] for name in artist_keys(file.artist) if name in of_artist), None)
            if known and number not in tags:
                tags[number] = known
        yield Evidence(kind, kind, tags)


def _tracks_by_md5(files: Sequence[MidiFile], catalogues: Catalogues, problems: list[Problem]) -> dict[int, Tags]:
    """The tracks that each file matches, and the scores; in lmd_matched the folder names the track."""
    matches: dict[str, Tags] = {}
    if catalogues.match_scores:
        matches = read_match_scores(catalogues.match_scores, {file.md5 for file in files if file.md5}, problems)
    tracks = {}
    for number, file in enumerate(files):
        matched = matches.get(file.md5) or ([(file.track, 1.0)] if file.track else None)
        if matched:
            tracks[number] = matched
    return tracks


def _look_up(
    files: Sequence[MidiFile],
    tracks: dict[int, Tags],
    catalogues: Catalogues,
    problems: list[Problem],
    cache: Path | None,
    progress: bool,
) -> _Found:
    """Read the catalogues once, of which any may be larger than memory, and keep what concerns the files."""
    songs = {name for file in files for name in song_keys(file.artist, file.title)}
    artists = {name for file in files for name in artist_keys(file.artist)}
    wanted_tracks = {track for matched in tracks.values() for track, _ in matched}
    found = _Found()
    for record, kinds in _records(catalogues, problems, cache, progress):
        artist = key(record.artist)
        if catalogues.annotations and record.track:
            song = f"{artist} / {key(record.title)}"
            if song in songs:
                found.tracks_of_song.setdefault(song, set()).add(record.track)
        for kind, tags in kinds.items():
            if tags and artist in artists:
                _keep(found.of_artist, kind, artist, tags)
            if tags and record.track in wanted_tracks:
                _keep(found.of_track, kind, record.track, tags)
    return found


def _records(
    catalogues: Catalogues, problems: list[Problem], cache: Path | None, progress: bool
) -> Iterator[tuple[NamedTags, dict[str, Iterable[tuple[str, float]]]]]:
    """All songs of the catalogues, and the tags of their artists by kind."""
    for path in catalogues.msd:
        for track in iter_tracks(path, problems, cache=cache, progress=progress):
            strong = [(term, weight) for term, weight in track.terms if weight >= _LEAST_TERM_WEIGHT]
            yield _named(track), {MBTAGS: track.mbtags, TERMS: strong}
    if catalogues.metadata:
        for record in iter_metadata_csv(catalogues.metadata, problems):
            yield record, {MBTAGS: record.tags}
    if catalogues.unique_tracks and catalogues.annotations:
        for record in iter_unique_tracks(catalogues.unique_tracks, problems):
            yield record, {}


def _named(track: Track) -> NamedTags:
    return NamedTags(track.track_id, track.artist, track.title, [])


def _through(matched: dict[int, Tags], told: dict[str, Tags]) -> dict[int, Tags]:
    """Tags of files, from the tracks that each matches: each tag with its weight times the track's score."""
    tags = {}
    for number, tracks in matched.items():
        own = [(tag, score * weight) for track, score in tracks for tag, weight in told.get(track, ())]
        if own:
            tags[number] = own
    return tags


def _folder_tags(files: Sequence[MidiFile], genre_map: GenreMap) -> Iterator[tuple[int, Tags]]:
    """The innermost folder on a file's path that is called by a genre."""
    for number, file in enumerate(files):
        named = [folder for folder in PurePosixPath(file.path).parts[:-1] if genre_map.of_name(folder)]
        if named:
            yield number, [(named[-1], 1.0)]

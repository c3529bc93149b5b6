"""Collect what each source says about each file: tags and their weights, before they become genres.

A file belongs to the Million Song tracks that its MD5 sum matches (with scores), or else to those with its artist and
title. It has the tags of the matched tracks' artists, or else those of the artist with its name.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from common.text import printable
from labelling.annotations import (
    iter_metadata_csv,
    iter_unique_tracks,
    read_match_scores,
    read_md5_labels,
    read_track_labels,
)
from labelling.files import MidiFile
from labelling.genre_map import GenreMap
from labelling.msd import Problem, Tags, Track, iter_tracks
from labelling.names import artist_keys, key, song_keys
from labelling.options import ANNOTATION, FOLDER, MBTAGS, TERMS, TITLE, Catalogues

# Echo Nest terms below this weight describe an artist too loosely.
_MIN_TERM_WEIGHT = 0.5


class Evidence(NamedTuple):
    """The tags that one source gives to files, by the file's position in the list of files."""

    name: str
    kind: str  # one of KINDS
    tags: dict[int, Tags]


def gather(
    files: Sequence[MidiFile],
    catalogues: Catalogues,
    genre_map: GenreMap,
    problems: list[Problem],
    *,
    cache: Path | None = None,
    progress: bool = False,
) -> list[Evidence]:
    """Return what every source says about the files; unreadable records are added to `problems`.

    Raises `UserError` if a catalogue is missing or has another format.
    """
    by_md5, evidence = _tracks_by_md5(files, catalogues, problems), []
    catalogue = _catalogue_tracks(catalogues, problems, cache, progress)
    tracks_of_song, artist_tags = _search(files, by_md5, catalogue, bool(catalogues.annotations))
    if catalogues.midi_genre_map:
        for name, labels in read_md5_labels(catalogues.midi_genre_map, {file.md5 for file in files}, problems).items():
            tags = {number: labels[file.md5] for number, file in enumerate(files) if file.md5 in labels}
            evidence.append(Evidence(f"{ANNOTATION} {name}", ANNOTATION, tags))
    by_title = {}
    for number, file in enumerate(files):
        songs = [tracks_of_song.get(song, {}) for song in song_keys(file.artist, file.title)]
        by_title[number] = [(track, 1.0) for song in songs for track in song]
    wanted = {track for matched in (*by_md5.values(), *by_title.values()) for track, _ in matched}
    for path in catalogues.annotations:
        labels = read_track_labels(path, wanted, problems)
        evidence.append(Evidence(f"{ANNOTATION} {printable(path.stem)}", ANNOTATION, _through(by_md5, labels)))
        evidence.append(Evidence(f"{TITLE} {printable(path.stem)}", TITLE, _through(by_title, labels)))
    if catalogues.folders:
        evidence.append(Evidence(FOLDER, FOLDER, dict(_folder_tags(files, genre_map))))
    for kind, weights in artist_tags.items():
        tags_of = {name: list(tags.items()) for name, tags in weights.items()}
        tags = _through(by_md5, tags_of)  # otherwise those of the artist in the path
        for number, file in enumerate(files):
            known = next((tags_of[name] for name in artist_keys(file.artist) if name in tags_of), None)
            if known:
                tags.setdefault(number, known)
        evidence.append(Evidence(kind, kind, tags))
    return _with_distinct_names([each for each in evidence if each.tags])


def _tracks_by_md5(files: Sequence[MidiFile], catalogues: Catalogues, problems: list[Problem]) -> dict[int, Tags]:
    """The tracks that each file matches, with scores; in lmd_matched the folder is called by the track."""
    matches: dict[str, Tags] = {}
    if catalogues.match_scores:
        matches = read_match_scores(catalogues.match_scores, {file.md5 for file in files if file.md5}, problems)
    own = {number: [(file.track, 1.0)] for number, file in enumerate(files) if file.track}
    return own | {number: matches[file.md5] for number, file in enumerate(files) if file.md5 in matches}


def _catalogue_tracks(
    catalogues: Catalogues, problems: list[Problem], cache: Path | None, progress: bool
) -> Iterator[Track]:
    for path in catalogues.msd_h5:
        yield from iter_tracks(path, problems, cache=cache, progress=progress)
    if catalogues.metadata:
        yield from iter_metadata_csv(catalogues.metadata, problems)
    if catalogues.unique_tracks and catalogues.annotations:
        yield from iter_unique_tracks(catalogues.unique_tracks, problems)


def _search(
    files: Sequence[MidiFile], by_md5: Mapping[int, Tags], catalogue: Iterable[Track], with_songs: bool
) -> tuple[dict[str, dict[str, None]], dict[str, dict[str, dict[str, float]]]]:
    """Go once through the catalogue, which may be larger than memory, and keep what concerns the files.

    Returns the tracks of each song (by its key, in order, if `with_songs`), and for each kind of tags the weights by
    track id or artist key. If records differ in a weight, the largest counts.
    """
    songs = {name for file in files if with_songs for name in song_keys(file.artist, file.title)}
    wanted = {name for file in files for name in artist_keys(file.artist)}
    wanted |= {track for matched in by_md5.values() for track, _ in matched}
    tracks_of_song: dict[str, dict[str, None]] = defaultdict(dict)
    artist_tags: dict[str, dict[str, dict[str, float]]] = {MBTAGS: defaultdict(dict), TERMS: defaultdict(dict)}
    for track in catalogue:
        artist = key(track.artist)
        if with_songs and track.track_id and (song := f"{artist} / {key(track.title)}") in songs:
            tracks_of_song[song][track.track_id] = None
        for name in {artist, track.track_id} & wanted:
            for kind, tags, least in ((MBTAGS, track.mbtags, 0.0), (TERMS, track.terms, _MIN_TERM_WEIGHT)):
                for tag, weight in tags:
                    if weight >= least:
                        weights = artist_tags[kind][name]
                        weights[tag] = max(weight, weights.get(tag, 0.0))
    return tracks_of_song, artist_tags


def _through(matched: Mapping[int, Tags], tags_of: Mapping[str, Tags]) -> dict[int, Tags]:
    """Tags of the tracks that each file matches; a weight is that of the tag times the track's score."""
    tags = {
        number: [(tag, score * weight) for track, score in tracks for tag, weight in tags_of.get(track, ())]
        for number, tracks in matched.items()
    }
    return {number: weighted for number, weighted in tags.items() if weighted}


def _folder_tags(files: Sequence[MidiFile], genre_map: GenreMap) -> Iterator[tuple[int, Tags]]:
    """The innermost folder of each path that is named after a genre."""
    for number, file in enumerate(files):
        named = [folder for folder in PurePosixPath(file.path).parts[:-1] if genre_map.of_name(folder)]
        if named:
            yield number, [(named[-1], 1.0)]


def _with_distinct_names(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Number the sources of one name, such as two .cls files of one name in different folders."""
    names = [each.name for each in evidence]
    earlier = [names[:number].count(name) for number, name in enumerate(names)]
    return [
        each._replace(name=f"{each.name} {count + 1}") if count else each
        for each, count in zip(evidence, earlier, strict=True)
    ]

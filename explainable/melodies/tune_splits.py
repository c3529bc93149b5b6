"""Which split a tune belongs to: decided by a hash of its melody in any key; versions of a tune stay together."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from common.splits import split_groups
from explainable.melodies.tunes import Tune

TRAIN_SHARE, VAL_SHARE = 0.7, 0.2
_OPENING_NOTES = 17
_SHORTEST_TITLE = 5  # letters; below, as in "Reel", it is no name
_NO_TITLES = set("untitled hornpipe strathspey gananim ganainm noname unknown march polka waltz".split())


def assign_tune_splits(tunes: Sequence[Tune]) -> list[str]:
    """Split ("train", "val" or "test") of each tune: 70/20/10 of groups of one melody, more of larger ones in train.

    Tunes with the same melody in any key, the same first 17 notes in any key and rhythm, or the same title are one
    group, and a group is never divided. Its place is the smallest hash of its melodies, so that adding tunes moves no
    other group, and the order of tunes does not count; of a group of n melodies it is in train with 1 - .3^n.
    """
    melodies = [melody_hash(tune) for tune in tunes]
    keys = [(melody, *_shared(tune)) for tune, melody in zip(tunes, melodies, strict=True)]
    return split_groups(keys, melodies, TRAIN_SHARE, VAL_SHARE)


def melody_hash(tune: Tune) -> str:
    """Hash of a melody that is the same in every key: intervals, onsets and lengths."""
    notes = tune.notes
    intervals = [note.pitch - notes[0].pitch for note in notes]
    times = [(str(note.onset - notes[0].onset), str(note.end - note.onset)) for note in notes]
    return hashlib.sha256(repr((intervals, times)).encode()).hexdigest()


def _shared(tune: Tune) -> Iterator[str]:
    """What other versions of a tune have as well."""
    pitches = [note.pitch for note in tune.notes[:_OPENING_NOTES]]
    if len(pitches) == _OPENING_NOTES:
        yield f"opening {[after - before for before, after in pairwise(pitches)]}"
    # "The Monarch -- Clog": the kind of dance is no part of the name.
    title = re.sub(r"[^a-z0-9]|\bthe\b", "", tune.title.partition("--")[0].casefold())
    if len(title) >= _SHORTEST_TITLE and title not in _NO_TITLES:
        yield f"title {title}"

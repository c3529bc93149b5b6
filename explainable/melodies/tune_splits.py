"""The split of each tune: decided by a hash of its melody in any key. Versions of a tune stay together."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from common.splits import split_groups
from explainable.melodies.tunes import Tune

TRAIN_SHARE, VAL_SHARE = 0.7, 0.2
_OPENING_NOTES = 17
_SHORTEST_TITLE = 5  # letters; a shorter one, such as "Reel", does not identify a tune
_GENERIC_TITLES = re.compile("untitled|hornpipe|strathspey|gananim|ganainm|noname|unknown|march|polka|waltz")


def assign_tune_splits(tunes: Sequence[Tune]) -> list[str]:
    """The split of each tune: 70 % train, 20 % val, 10 % test for groups of one melody, by `split_groups`.

    Tunes with the same melody in any key, the same first 17 notes in any key and rhythm, or the same title form a
    group. A group of n melodies is in train with probability 1 - .3^n.
    """
    melodies = [melody_hash(tune) for tune in tunes]
    keys = [(melody, *_shared(tune)) for tune, melody in zip(tunes, melodies, strict=True)]
    return split_groups(keys, melodies, TRAIN_SHARE, VAL_SHARE)


def melody_hash(tune: Tune) -> str:
    """A hash of intervals, onsets and lengths, which is the same in every key."""
    notes = tune.notes
    intervals = [note.pitch - notes[0].pitch for note in notes]
    times = [(str(note.onset - notes[0].onset), str(note.end - note.onset)) for note in notes]
    return hashlib.sha256(repr((intervals, times)).encode()).hexdigest()


def _shared(tune: Tune) -> Iterator[str]:
    """Keys that versions of a tune share."""
    pitches = [note.pitch for note in tune.notes[:_OPENING_NOTES]]
    if len(pitches) == _OPENING_NOTES:
        yield f"opening {[after - before for before, after in pairwise(pitches)]}"
    # "The Monarch -- Clog": the kind of dance is not part of the name.
    title = re.sub(r"[^a-z0-9]|\bthe\b", "", tune.title.partition("--")[0].casefold())
    if len(title) >= _SHORTEST_TITLE and not _GENERIC_TITLES.fullmatch(title):
        yield f"title {title}"

"""Splits of songs, and which files count as one song."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.splits import SPLITS
from data.splits import assign_splits, song_key, split_warnings, without_version

REPEATABLE = settings(derandomize=True, deadline=None, database=None)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("ABBA", "Waterloo"), ("Abba ", "WATERLOO.1"), True),
        (("ABBA", "Waterloo.2"), ("ABBA", "Waterloo (2)"), True),
        (("Björk", "Jóga"), (unicodedata.normalize("NFD", "björk"), unicodedata.normalize("NFD", "jóga")), True),
        (("Sting", "If  I Ever"), ("Sting", "If I Ever"), True),
        (("ABBA", "Waterloo"), ("Cher", "Waterloo"), False),
        (("ABBA", "Waterloo"), ("ABBA", "Waterloo live"), False),
        (("Chicago", "Suite (2) in C"), ("Chicago", "Suite (3) in C"), False),
        (("Muse", "riff.001"), ("Muse", "riff.002"), False),
    ],
)
def test_versions_of_a_song_have_one_key(first: tuple[str, str], second: tuple[str, str], same: bool) -> None:
    keys = [song_key(artist, title) for artist, title in (first, second)]
    assert None not in keys and (keys[0] == keys[1]) is same


@pytest.mark.parametrize(
    ("artist", "title", "genre"),
    [
        ("Unknown", "Untitled", ""),
        ("", "take.001", ""),
        ("jazz", "jazz (7)", ""),
        ("folder", "Jazz (7)", "jazz"),
        ("nan", "nan", ""),
        ("Bach", "Track_07", ""),
        ("Bach", "12 (3)", ""),
        ("Bach", "", ""),
        ("Bach", "New Song.2", ""),
        ("", "???", ""),
    ],
)
def test_a_placeholder_or_a_number_names_no_song(artist: str, title: str, genre: str) -> None:
    assert song_key(artist, title, genre) is None


@pytest.mark.parametrize("title", ["Symphony No.5", "Etude Op.10", "bwv244.3", "madrigal.3.1", "take.001"])
def test_catalogue_numbers_are_no_versions(title: str) -> None:
    assert without_version(title) == title
    assert [without_version(f"Title{version}") for version in (".2", " (12)")] == ["Title", "Title"]


def split_each(names: list[str]) -> dict[str, str]:
    """Splits of songs of which no two are the same."""
    contents = [f"content of {name}" for name in names]
    return dict(zip(names, assign_splits(names, contents, [None] * len(names)), strict=True))


def test_shares_and_splits_do_not_depend_on_other_songs_or_their_order() -> None:
    names = [f"artist {number % 700} / title {number}" for number in range(5000)]
    every = split_each(names)
    shares = [list(every.values()).count(split) / len(names) for split in SPLITS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.015)
    assert split_each(names[::-3]).items() <= every.items()


def test_a_song_keeps_its_split_for_ever() -> None:
    """Another hash would move songs that published checkpoints were trained on into the test split."""
    splits = {
        "abba / waterloo": "train",
        "queen / innuendo": "val",
        "björk / jóga": "train",
        "prince / 1999": "train",
        "toto / africa": "val",
        "muse / uprising": "test",
    }
    assert split_each(list(splits)) == splits


KEYS = st.integers(0, 30).map("song {}".format)
SONGS = st.lists(st.tuples(KEYS, st.integers(0, 30).map(str)), min_size=1, max_size=40)


def split_songs(songs: list[tuple[str, str]]) -> list[str]:
    keys, contents = zip(*songs, strict=True)
    return assign_splits(keys, contents, [None] * len(songs))


@REPEATABLE
@given(songs=SONGS, order=st.randoms(use_true_random=False))
def test_versions_and_copies_stay_together_in_any_order(songs: list[tuple[str, str]], order) -> None:
    split_of: dict[str, str] = {}
    shuffled = order.sample(songs, len(songs))
    for (key, content), split in [
        *zip(songs, split_songs(songs), strict=True),
        *zip(shuffled, split_songs(shuffled), strict=True),
    ]:
        assert split_of.setdefault(f"key {key}", split) == split
        assert split_of.setdefault(f"content {content}", split) == split


@REPEATABLE
@given(songs=SONGS, more=SONGS)
def test_a_new_copy_moves_songs_towards_training_alone(
    songs: list[tuple[str, str]], more: list[tuple[str, str]]
) -> None:
    before, after = split_songs(songs), split_songs(songs + more)
    for old, new in zip(before, after, strict=False):
        assert SPLITS.index(new) <= SPLITS.index(old)


def test_a_given_split_wins() -> None:
    names = [f"song {number}" for number in range(30)]
    free = assign_splits(names, names, [None] * 30)
    wanted = [("test", None, "train")[number % 3] for number in range(30)]
    assert assign_splits(names, names, wanted) == [given or split for given, split in zip(wanted, free, strict=True)]


def test_an_empty_split_gives_a_warning_with_the_versions_of_one_song() -> None:
    paths, keys, contents = ["a (1).mid", "a (2).mid", "b.mid"], ["a", "a", "b"], ["1", "2", "3"]
    assert split_warnings(paths, keys, contents, ["train", "val", "test"]) == []
    (warning,) = split_warnings(paths, keys, contents, ["train", "train", "test"])
    assert warning == (
        "no song has fallen to val; 2 files count as versions of one song and stay together, for example a (1).mid and "
        "a (2).mid: where they are different songs, a split column in the labels can say so"
    )
    (warning,) = split_warnings(paths, ["a", "b", "c"], contents, ["train"] * 3)
    assert warning == "no song has fallen to val and test; give more songs, or a split column in the labels"

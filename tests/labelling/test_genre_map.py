"""Tags become genres by whole words, and what is unknown counts for nothing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from labelling.genre_map import OTHER, SHIPPED, GenreMap

MAP = GenreMap.read()
SMALL = '[classes]\njazz = 0\nrock = 1\n[words]\njazz = ["jazz"]\nrock = ["rock"]\n'


@pytest.mark.parametrize(("entry", "weights"), sorted(MAP.weights.items()), ids=lambda each: str(each)[:30])
def test_every_entry_of_the_shipped_table_is_found_as_a_tag(entry: str, weights: dict[str, float]) -> None:
    """However it is written: in capitals, with signs between its words, in a longer tag that has no other entry."""
    assert MAP.of_tag(entry.upper()) == MAP.of_tag(entry.replace(" ", "-")) == weights
    assert MAP.of_tag(f"xyzzy {entry}") == weights


@pytest.mark.parametrize(
    ("tag", "genre"),
    [
        ("latin jazz", "jazz"),
        ("country rock", "rock"),
        ("electronic rock", "rock"),
        ("baroque pop", "pop"),
        ("rock opera", "rock"),
        ("Jazz Rap", OTHER),
        ("Rock_Hard", "rock"),
        ("Big_Band", "jazz"),
        ("Pop_Contemporary", "pop"),
        ("Metal_Heavy", "rock"),
        ("Grunge_Emo", "rock"),
        ("R&B", OTHER),
        ("Hip-Hop", OTHER),
        ("Synthé-Pop", "pop"),
        ("therapy", None),
        ("british", None),
        ("rap", OTHER),
        ("The genre of the song Jazz Police is pop", None),
        ("", None),
    ],
)
def test_tags_of_all_kinds(tag: str, genre: str | None) -> None:
    weights = MAP.of_tag(tag)
    assert (weights and max(weights, key=weights.__getitem__)) == genre


def test_nationalities_say_nothing() -> None:
    tags = ["british", "english", "uk", "american", "soft rock"]
    assert MAP.judge([(tag, 1) for tag in tags]) == ("rock", 1.0, "")
    assert MAP.judge([("british", 1), ("uk", 1)]).reason == "no tag of a known genre (british, uk)"


def test_catch_alls_say_nothing_or_both() -> None:
    assert MAP.of_tag("classic pop and rock") == {}
    assert MAP.judge([("Pop_Rock", 3)]).reason == "undecided between pop and rock"


def test_the_larger_share_wins_and_others_speak_against() -> None:
    assert MAP.judge([("rock", 3), ("pop", 1)]) == ("rock", 0.75, "")
    assert MAP.judge([("rock", 1), ("country", 2)]).reason == "of another genre than the classes"
    several = [("rock", 2), ("pop", 1), ("jazz", 1.5), ("blues", 1.5)]
    assert MAP.judge(several).reason == "rock has less than the least share"
    assert MAP.judge(several, min_share=0.4) == ("rock", pytest.approx(1 / 3), "")
    assert MAP.judge([]).reason == MAP.judge([("seen live", 1)]).reason == "no tag that tells a genre"


TAGS = st.lists(st.tuples(st.sampled_from(["rock", "pop", "jazz", "country", "soft rock", "uk"]), st.floats(0.1, 9)))


@given(TAGS, st.randoms())
def test_the_order_of_tags_changes_nothing(tags: list, random: object) -> None:
    shuffled = list(tags)
    random.shuffle(shuffled)
    assert MAP.judge(tags) == MAP.judge(shuffled)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(SMALL + '[weights]\n"jazz rock" = { jazz = 1.0 }\n', encoding="utf-8")
    own = GenreMap.read(path)
    assert own.classes == ("jazz", "rock")
    assert own.of_tag("Jazz-Rock") == {"jazz": 1.0} and own.of_tag("pop") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[classes", "no TOML"),
        ("", "'classes'"),
        ("[classes]\na = 1\n", "must run 0, 1"),
        ("[classes]\nother = 0\n", "can be called 'other'"),
        (SMALL + "[wrods]\n", "unknown table [wrods]"),
        (SMALL + '[weights]\n"x" = { folk = 1 }\n', "'folk' is none of the [classes]"),
        (SMALL + '[weights]\n"jazz" = { rock = 1 }\n', "'jazz' stands in it twice"),
        (SMALL + '[weights]\n"x" = { rock = 2 }\n', "between 0 and 1"),
        ("[classes]\na = 0\n", "no words"),
        ('[classes]\na = 0\n[words]\na = ["!"]\n', "without letters"),
    ],
)
def test_a_table_that_is_none_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        GenreMap.read(path)
    assert str(path) in str(error.value) and message in str(error.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such table"):
        GenreMap.read(tmp_path / "none.toml")
    assert SHIPPED.is_file()

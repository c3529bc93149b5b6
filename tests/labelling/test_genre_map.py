"""Tags become genres by whole words; unknown words have no weight."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from labelling.genre_map import OTHER, GenreMap

MAP = GenreMap.read()
SMALL = '[classes]\njazz = 0\nrock = 1\n[words]\njazz = ["jazz"]\nrock = ["rock"]\n'


@pytest.mark.parametrize(("entry", "weights"), sorted(MAP.weights.items()), ids=lambda each: str(each)[:30])
def test_every_entry_of_the_shipped_table_is_found(entry: str, weights: dict[str, float]) -> None:
    """In capitals, with signs between its words, and in a longer tag without other entries."""
    assert MAP.of_tag(entry.upper()) == MAP.of_tag(entry.replace(" ", "-")) == weights
    assert MAP.of_tag(f"xyzzy {entry}") == weights


@pytest.mark.parametrize(
    ("genre", "tags"),
    [
        ("jazz", ["latin jazz", "Big_Band"]),
        ("rock", ["country rock", "electronic rock", "rock opera", "Rock_Hard", "Metal_Heavy", "Grunge_Emo"]),
        ("pop", ["baroque pop", "Pop_Contemporary", "Synthé-Pop"]),
        (OTHER, ["Jazz Rap", "R&B", "Hip-Hop", "rap"]),
        (None, ["therapy", "british", "", "The genre of the song Jazz Police is pop"]),
    ],
)
def test_genres_of_tags(genre: str | None, tags: list[str]) -> None:
    for tag in tags:
        weights = MAP.of_tag(tag)
        assert (weights and max(weights, key=weights.__getitem__)) == genre, tag


def test_verdicts() -> None:
    ignored = ["british", "english", "uk", "american", "soft rock"]
    assert MAP.judge([(tag, 1) for tag in ignored]) == ("rock", 1.0, "")
    assert MAP.judge([("british", 1), ("uk", 1)]).reason == "no tag of a known genre (british, uk)"
    assert MAP.judge([]).reason == MAP.judge([("seen live", 1)]).reason == "no tag that tells a genre"
    assert MAP.of_tag("classic pop and rock") == {}
    assert MAP.judge([("Pop_Rock", 3)]).reason == "undecided between pop and rock"
    assert MAP.judge([("rock", 3), ("pop", 1)]) == ("rock", 0.75, "")
    assert MAP.judge([("rock", 1), ("country", 2)]).reason == "of another genre than the classes"
    several = [("rock", 2), ("pop", 1), ("jazz", 1.5), ("blues", 1.5)]
    assert MAP.judge(several).reason == "rock has less than the least share"
    assert MAP.judge(several, min_share=0.4) == ("rock", pytest.approx(1 / 3), "")


TAGS = st.lists(st.tuples(st.sampled_from(["rock", "pop", "jazz", "country", "soft rock", "uk"]), st.floats(0.1, 9)))


@given(TAGS, st.randoms())
def test_the_order_of_tags_changes_nothing(tags: list, random: object) -> None:
    shuffled = list(tags)
    random.shuffle(shuffled)
    assert MAP.judge(tags) == MAP.judge(shuffled)


def test_a_table_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(SMALL + '[weights]\n"jazz rock" = { jazz = 1.0 }\n', encoding="utf-8")
    own = GenreMap.read(path)
    assert own.classes == ("jazz", "rock")
    assert own.of_tag("Jazz-Rock") == {"jazz": 1.0} and own.of_tag("pop") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such table"),
        ("[classes", "not TOML"),
        ("", "'classes'"),
        ("[classes]\na = 1\n", "must run 0, 1"),
        ("[classes]\nother = 0\n", "can be called 'other'"),
        (SMALL + "[wrods]\n", "unknown table [wrods]"),
        (SMALL + '[weights]\n"x" = { folk = 1 }\n', "'folk' is not one of the [classes]"),
        (SMALL + '[weights]\n"jazz" = { rock = 1 }\n', "'jazz' occurs twice"),
        (SMALL + '[weights]\n"x" = { rock = 2 }\n', "between 0 and 1"),
        ("[classes]\na = 0\n", "no words"),
        ('[classes]\na = 0\n[words]\na = ["!"]\n', "no letters"),
    ],
)
def test_an_unusable_table_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        GenreMap.read(path)
    assert str(path) in str(error.value) and message in str(error.value)

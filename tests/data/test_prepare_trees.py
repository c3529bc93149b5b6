"""Real folders and labels: numbered names, placeholders, copies, wrong folders, other conditions."""

import csv
from pathlib import Path

import pytest
from corpus import ROWS, make_store, rejected_of, write_labels
from midi_files import example_song, write

from common.errors import UserError
from common.splits import SPLITS
from data.prepare import summary
from data.store import RollStore

GENRES = ("slow", "fast")


def songs(corpus: Path, names: list[str]) -> list[tuple[str, int]]:
    """Different songs of these names ({} is the genre's) in each genre; their path and genre id."""
    rows = []
    for genre_id, genre in enumerate(GENRES):
        for number, name in enumerate(names):
            path = f"{genre}/{name.format(genre)}.mid"
            write(corpus / "midi" / path, example_song(genre_id, number, seconds=3))
            rows.append((path, genre_id))
    return rows


@pytest.mark.parametrize("name", ["{{}} ({})", "take.{:03}", "Song ({})", "{}", "Unknown"])
def test_numbers_and_placeholders_name_different_songs(corpus: Path, name: str) -> None:
    rows = songs(corpus, [f"x{k}" for k in range(24)])
    rows = [(*row, name.format(k % 24).format(GENRES[row[1]])) for k, row in enumerate(rows)]
    write_labels(corpus / "labels.csv", rows, ("path", "genre_id", "title"))
    store, _ = make_store(corpus)
    assert {row.genre_id for row in store.songs if row.split == "train"} == {0, 1}
    assert {row.split for row in store.songs} == set(SPLITS)
    assert store.info["warnings"] == []


def test_a_genre_whose_files_count_as_one_song_is_named(corpus: Path) -> None:
    rows = [(*row, "Muse", ("Uprising", "Panic")[row[1]]) for row in songs(corpus, ["x0", "x1", "x2"])]
    write_labels(corpus / "labels.csv", rows, ("path", "genre_id", "artist", "title"))
    with pytest.raises(UserError, match=r"no training song for genre 0; 3 files count as versions .*slow/x0\.mid"):
        make_store(corpus)


def test_copies_that_the_labels_give_to_two_splits_give_a_warning(corpus: Path) -> None:
    write(corpus / "midi/copy.mid", (corpus / "midi" / ROWS[0][0]).read_bytes())
    write_labels(corpus / "labels.csv", [*ROWS, ("copy.mid", 0, "slow", "test")])
    (warning,) = make_store(corpus)[0].info["warnings"]
    assert warning.startswith("2 files are copies of others") and "slow/song 0.mid and copy.mid" in warning


def test_a_column_of_names_is_the_condition(corpus: Path) -> None:
    moods = ["happy", "sad", "Happy", "NA", "sad", ""]
    splits = ["train", "train", "test", "train", "val", "train"]
    rows = [(row[0], mood, split) for row, mood, split in zip(ROWS, moods, splits, strict=True)]
    write_labels(corpus / "labels.csv", rows, ("path", "Mood", "split"))
    store, _ = make_store(corpus, genre_column="mood")
    assert (store.condition, store.genres) == ("mood", ["happy", "NA", "sad"])
    assert store.genre_of_song.tolist() == [0, 2, 0, 1, 2]
    assert rejected_of(store) == {ROWS[5][0]: "no mood (line 7 of labels.csv)"}
    assert summary(store).startswith("mood ")
    assert RollStore.open(store.folder).with_shuffled_labels().condition == "mood"


def test_names_without_a_training_song_are_left_out_with_a_warning(corpus: Path) -> None:
    composers = ["Bach", "Bach", "Chopin", "Adams", "Adams", "Dowland"]
    splits = ["train", "val", "test", "train", "test", "train"]
    rows = [(row[0], name, split) for row, name, split in zip(ROWS, composers, splits, strict=True)]
    write_labels(corpus / "labels.csv", [*rows, ("missing.mid", "Elgar", "train")], ("path", "composer", "split"))
    store, _ = make_store(corpus, genre_column="composer")
    assert store.genres == ["Adams", "Bach", "Dowland"]
    assert store.genre_of_song.tolist() == [1, 1, 0, 0, 2]
    assert rejected_of(store)[ROWS[2][0]] == "no training song of this composer"
    assert store.info["warnings"] == [
        "2 of the 5 names in column composer have no training song, so they and their 1 songs are left out: "
        "Chopin, Elgar"
    ]
    assert store.windows("train", 32)[0].tolist() and len(store.songs) == 5


def test_the_summary_of_many_names_is_their_sum(corpus: Path) -> None:
    paths = [path for path, _ in songs(corpus, [str(number) for number in range(11)])]
    rows = [(path, f"name {number}", "train") for number, path in enumerate(paths)]
    write_labels(corpus / "labels.csv", rows, ("path", "composer", "split"))
    lines = summary(make_store(corpus, genre_column="composer")[0]).splitlines()
    assert len(lines) == 5 and lines[1].split()[:4] == ["22", "names", "train", "22"]


def test_texts_in_the_song_table_stay_as_they_are(corpus: Path) -> None:
    titles = ["NA", "007", 'a "quote", and', "é\nnew line", "null", "1e5"]
    rows = [(path, genre_id, title, split) for (path, genre_id, _, split), title in zip(ROWS, titles, strict=True)]
    with (corpus / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("path", "genre_id", "title", "split"), *rows])
    assert [row.title for row in RollStore.open(make_store(corpus)[0].folder).songs] == titles

"""Label CSVs in many forms, and every reason to refuse a row or a file."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_files import write

from common.errors import UserError
from data.label_csv import read_label_csv
from data.labels import Labels, read_labels

REPEATABLE = settings(derandomize=True, deadline=None, database=None)
QUOTES = "put a path or title that has the separator in it in quotes"
PLAIN = "path,genre_id,genre\na.mid,0,pop\nb.mid,1,rock\n"


def labels_of(tmp_path: Path, text: str | bytes, **options) -> Labels:
    content = text if isinstance(text, bytes) else text.encode()
    return read_labels(write(tmp_path / "labels.csv", content), **options)


def rows_of(labels: Labels) -> list[tuple]:
    return list(labels.table[["path", "genre_id", "artist", "title", "split"]].itertuples(index=False, name=None))


def rejected_of(labels: Labels) -> list[tuple[str, str]]:
    return list(labels.rejected.itertuples(index=False, name=None))


def test_the_published_layout_of_labels(tmp_path: Path) -> None:
    labels = labels_of(
        tmp_path,
        "\ufeff,artist,title,path,mbtags,genre,genre_id\r\n"
        "7,ABBA,Waterloo,clean_midi\\ABBA\\Waterloo.mid,\"['pop', 'disco']\",pop,0\r\n"
        '8,"Earth, Wind & Fire","The ""Best"" Song",clean_midi\\Earth\\Best.1.mid,"two\r\nlines",soul,1\r\n'
        "9,Björk,Jóga,clean_midi\\Björk\\Jóga.mid,[],Pop,0.0\r\n",
    )
    assert rows_of(labels) == [
        ("clean_midi/ABBA/Waterloo.mid", 0, "ABBA", "Waterloo", ""),
        ("clean_midi/Earth/Best.1.mid", 1, "Earth, Wind & Fire", 'The "Best" Song', ""),
        ("clean_midi/Björk/Jóga.mid", 0, "Björk", "Jóga", ""),
    ]
    assert labels.names == ["pop", "soul"]
    assert (labels.condition, labels.made_ids) == ("genre", False)
    assert rejected_of(labels) == []
    (warning,) = labels.warnings
    assert warning == "names of genre that differ in case or spaces alone are one, as 'Pop' for 'pop' (1 rows)"


def test_the_least_that_labels_need(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "genre_id, path\n2, rock/Queen/Innuendo.2.MID\n0,one.midi\n1, no_suffix\n")
    assert rows_of(labels) == [
        ("rock/Queen/Innuendo.2.MID", 2, "Queen", "Innuendo.2", ""),
        ("one.midi", 0, "", "one", ""),
        ("no_suffix", 1, "", "no_suffix", ""),
    ]
    assert labels.names == ["genre 0", "genre 1", "genre 2"]
    assert rejected_of(labels) == [] and labels.warnings == []


def test_folders_of_a_folder_are_genres(tmp_path: Path) -> None:
    for path in ("Jazz/Bird/a.mid", "blues/b.MIDI", "blues/notes.txt", "loose.mid", ".trash/c.mid", "blues/._b.mid"):
        write(tmp_path / path, b"")
    labels = read_labels(tmp_path)
    assert rows_of(labels) == [("Jazz/Bird/a.mid", 1, "Bird", "a", ""), ("blues/b.MIDI", 0, "blues", "b", "")]
    assert (labels.names, labels.condition, labels.made_ids) == (["blues", "Jazz"], "genre", True)
    assert rejected_of(labels) == [("loose.mid", "no genre")]
    for options in ({"genre_column": "mood"}, {"names": ["a", "b"]}, {"min_confidence": 0.5}):
        with pytest.raises(UserError, match="a folder, whose folders name the genres; for other labels give a CSV"):
            read_labels(tmp_path, **options)
    with pytest.raises(UserError, match=r"empty: no file there ends in .mid or .midi"):
        read_labels(write(tmp_path / "empty" / "notes.txt", b"").parent)
    with pytest.raises(UserError, match="blues: its files are in no folder of a genre"):
        read_labels(tmp_path / "blues")


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " , "),
        PLAIN.replace("path,genre_id,genre", " Path ,GENRE_ID,Genre"),
        PLAIN.replace("path", '"path"').replace("a.mid", '"a.mid"'),
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\n\n") + "\n,,\n",
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("a.mid", "./a.mid").replace("b.mid", ".//b.mid"),
    ],
    ids=["semicolons", "tabs", "spaces", "capitals", "quotes", "bom", "crlf", "cr", "empty_rows", "comma_end", "dots"],
)
def test_the_same_labels_in_other_writing(tmp_path: Path, text: str) -> None:
    labels = labels_of(tmp_path, text)
    assert rows_of(labels) == [("a.mid", 0, "", "a", ""), ("b.mid", 1, "", "b", "")]
    assert labels.names == ["pop", "rock"] and rejected_of(labels) == []


def test_texts_that_look_like_numbers_or_nothing_stay_texts(tmp_path: Path) -> None:
    rows = "007.mid,0,NA,null\nnan,1,1984,007\n1e5.mid,2,None,TRUE\n"
    labels = labels_of(tmp_path, "path,genre_id,artist,title\n" + rows)
    assert rows_of(labels) == [
        ("007.mid", 0, "NA", "null", ""),
        ("nan", 1, "1984", "007", ""),
        ("1e5.mid", 2, "None", "TRUE", ""),
    ]


def test_splits_in_the_labels(tmp_path: Path) -> None:
    rows = [("a", "train"), ("b", "Val"), ("c", "valid"), ("d", " validation "), ("e", "TEST"), ("f", "")]
    text = "path,genre_id,split\n" + "".join(f"{name}.mid,0,{split}\n" for name, split in rows)
    assert labels_of(tmp_path, text).table["split"].tolist() == ["train", "val", "val", "val", "test", ""]


@pytest.mark.parametrize(
    ("row", "path", "reason"),
    [
        ("b.mid,rock,", "b.mid", "genre_id 'rock' is not a whole number of 0 or more"),
        ("b.mid,-1,", "b.mid", "genre_id '-1' is not a whole number of 0 or more"),
        ("b.mid", "b.mid", "genre_id '' is not a whole number of 0 or more"),
        (" ,0,", "", "no path"),
        ("x/a.mid,1,", "x/a.mid", "listed more than once"),
        ("./x/./a.mid,0,", "x/a.mid", "listed more than once"),
        ("b.mid,0,dev", "b.mid", "split 'dev' is none of train, val, test"),
        ("b, b.mid,0,train", "b", f"more fields than columns: {QUOTES}"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_alone(tmp_path: Path, row: str, path: str, reason: str) -> None:
    labels = labels_of(tmp_path, f"path,genre_id,split\nx/a.mid,0,\n{row}\nc.mid,0,\n")
    assert labels.table["path"].tolist() == ["x/a.mid", "c.mid"]
    assert rejected_of(labels) == [(path, f"{reason} (line 3 of labels.csv)")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column path and genre_id"),
        ("path,genre\na.mid,pop\n", "no column genre_id;.*it is 'path,genre'"),
        ("a.mid,0\nb.mid,1\n", "no column path and genre_id.*commas or semicolons or tabs.*it is 'a.mid,0'"),
        ("path,genre_id,Path\na.mid,0,b.mid\n", "two columns are called path"),
        ("path,genre_id,artist,artist\na.mid,0,A,B\n", "two columns are called artist"),
        ("path,genre_id,genre,GENRE\na.mid,0,pop,pop\n", "two columns are called genre"),
        ("path,genre_id\na.mid,pop\n", "no usable row"),
        ("path,genre_id,genre\na,0,pop\nb,1,rock\nc,0,jazz\n", "genre_id 0 is called 'pop', but 'jazz' in line 4"),
        ("path,genre_id,genre\na,0,pop\nb,1,Pop\n", "two ids are called 'pop'; use other names"),
        ("path,genre_id,genre\na,0,pop\nb,1,All\n", "cannot be called 'All'"),
        ("path,genre_id,genre\na,0,pop\nb,1,0\n", "cannot be called '0'"),
        ("path,genre_id\na,1\nb,2\nc,3\n", r"without gaps, but those in use are 1, 2, 3; subtract 1 from each"),
        ("path,genre_id\na,0\nb,2\n", r"must run 0, 1, ... without gaps, .* 0, 2; number them anew"),
        ("path,genre_id\n" + "".join(f"{k},{k + 2}\n" for k in range(99)), r"10, 11, \.\.\.; subtract 2"),
        ("path,genre_id\nJóga.mid,0\n".encode("latin-1"), "not UTF-8"),
        ("path,genre_id\na.mid,0\n".encode("utf-16-le"), "not UTF-8"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        labels_of(tmp_path, content)


@pytest.mark.parametrize(
    "rest", ["", "c.mid,0", "c.mid,0\n", 20_000 * "d.mid,0\n", 'c.mid,0\n"a, b",0\n', 'c.mid,0\n"d.mid","1"\n']
)
def test_a_quote_that_does_not_close_is_an_error_that_names_its_line(tmp_path: Path, rest: str) -> None:
    with pytest.raises(UserError, match=r"row of line 4 is not CSV .* is a quote opened there and never closed\?"):
        labels_of(tmp_path, f'path,genre_id\na.mid,0\n"aa.mid",0\n"b.mid,1\n{rest}')


def test_a_quote_inside_a_text_is_a_letter(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, 'path,genre_id,title\na.mid,0,12" Mix\nb.mid,0,"Heroes" (live)\nc.mid,0,x\n')
    assert labels.table["title"].tolist() == ['12" Mix', "Heroes (live)", "x"]


FIELDS = st.text(st.sampled_from('ab0é ,;\t"\n\r\\./'), max_size=6)


@REPEATABLE
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), max_size=8), separator=st.sampled_from(",;\t"))
def test_whatever_a_program_writes_is_read_again(tmp_path_factory, rows: list[tuple], separator: str) -> None:
    table = io.StringIO(newline="")
    csv.writer(table, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("path", "x"), *rows])
    path = write(tmp_path_factory.mktemp("csv") / "labels.csv", table.getvalue().encode())
    read, too_many = read_label_csv(path, ["path"])
    expected = [tuple(text.strip() for text in row) for row in rows]
    assert list(read.itertuples(index=False, name=None)) == [row for row in expected if any(row)]
    assert not too_many.any()


def test_any_column_can_be_the_condition(tmp_path: Path) -> None:
    text = "path,Composer,genre_id\na,bach,x\nb,Chopin,\nc,Bach,9\nd,,0\ne,NA,\nf,1984\n"
    labels = labels_of(tmp_path, text, genre_column="composer")
    assert labels.names == ["1984", "bach", "Chopin", "NA"], "in alphabetical order, by their first spelling"
    assert (labels.condition, labels.made_ids) == ("composer", True)
    assert dict(zip(labels.table["path"], labels.table["genre_id"], strict=True)) == {
        "a": 1, "b": 2, "c": 1, "e": 3, "f": 0,
    }  # fmt: skip
    assert rejected_of(labels) == [("d", "no composer (line 5 of labels.csv)")]
    assert len(labels.warnings) == 1 and "'Bach' for 'bach'" in labels.warnings[0]


def test_names_may_be_given(tmp_path: Path) -> None:
    assert labels_of(tmp_path, PLAIN, names=["x", "y"]).names == ["x", "y"]
    with pytest.raises(UserError, match="--genres gives 1 names, but the labels have a genre_id 1"):
        labels_of(tmp_path, PLAIN, names=["x"])
    with pytest.raises(UserError, match="without gaps"):
        labels_of(tmp_path, PLAIN, names=["x", "y", "z"])
    for names in (["x", "X"], ["x", ""], ["x", "all"], ["1", "0"]):
        with pytest.raises(UserError):
            labels_of(tmp_path, PLAIN, names=names)

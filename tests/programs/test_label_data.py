"""label_data.py as a user runs it: from files and catalogues to the CSV that prepare_data.py takes."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest
from corpus import ROWS
from fake_llm import FakeLlm

from common.errors import UserError
from data.prepare import prepare_store
from label_data import Options, label_data

ROOT = Path(__file__).resolve().parents[2]
MAP = '[classes]\nslow = 0\nfast = 1\n[words]\nslow = ["slow", "adagio"]\nfast = ["fast", "presto"]\n'


@pytest.fixture
def folder(corpus: Path) -> Path:
    """The corpus, whose folders are called slow and fast, with a table of these two and tags of the two "artists"."""
    (corpus / "labels.csv").unlink()
    (corpus / "map.toml").write_text(MAP, encoding="utf-8")
    rows = [
        "artist,title,mbtags",
        "Slow,A,\"['adagio', 'presto', 'adagio']\"",
        "The Fast,B,\"['presto']\"",
        'C,D,"[1]"',
        "E",
    ]
    (corpus / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    return corpus


def options(folder: Path, **changes: object) -> Options:
    common = {"midi_dir": folder / "midi", "genre_map": folder / "map.toml", "out": folder / "labels.csv"}
    return Options(**{**common, "cache": folder / "cache", "metadata": folder / "metadata.csv", **changes})


def test_labels_go_into_a_store_with_source_and_confidence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = label_data(options(folder, folders=True))
    assert labels["path"].tolist() == sorted(path for path, *_ in ROWS)
    assert labels["source"].unique().tolist() == ["folder"] and (labels["confidence"] == 1).all()
    assert labels.groupby("genre")[["agree", "disagree"]].sum().to_numpy().tolist() == [[3, 0], [3, 0]]
    told = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    assert told["files_of_source"] == {"folder": 6} and told["second_opinion"]["agreement"] == 1
    assert told["problems"]["count"] == 2 and str(folder / "metadata.csv: line 4") in told["problems"]["first"][0]
    assert told["sources"][0].keys() == {"name", "bytes", "sha256"}
    out = capsys.readouterr().out
    assert "6 of 6 files labelled" in out and "the same genre in 100.0%, kappa 1.00" in out
    pd.testing.assert_frame_equal(pd.read_csv(folder / "labels.csv", keep_default_na=False), labels, check_dtype=False)

    store, _ = prepare_store(folder / "midi", folder / "labels.csv", folder / "store", workers=1, progress=False)
    assert {(song.label_source, song.confidence) for song in store.songs} == {("folder", 1.0)}
    assert store.label_facts() == {"label_sources": "folder 6", "label_agreement": 1.0, "label_kappa": 1.0}


def test_doubtful_labels_can_stay_out(folder: Path) -> None:
    label_data(options(folder))
    labels = pd.read_csv(folder / "labels.csv")
    assert set(labels["source"]) == {"mbtags"} and labels["confidence"].min() < 0.7 < labels["confidence"].max()
    with pytest.raises(UserError, match="genre ids must run 0, 1"):
        prepare_store(
            folder / "midi", folder / "labels.csv", folder / "store", workers=1, progress=False, min_confidence=0.7
        )
    labels.loc[labels["genre"] == "slow", "confidence"] = [0.8, 0.7, 0.5]
    labels.to_csv(folder / "labels.csv", index=False)
    store, _ = prepare_store(
        folder / "midi", folder / "labels.csv", folder / "store", workers=1, progress=False, min_confidence=0.7
    )
    assert len(store.songs) == 5 and "confidence '0.5' is below 0.7" in (store.folder / "rejected.csv").read_text()
    assert store.info["labels"] is None and any("before it was changed" in note for note in store.info["warnings"])


def test_what_no_source_knows_is_listed_with_the_reason(folder: Path) -> None:
    (folder / "metadata.csv").write_text("artist,title,mbtags\nSlow,A,\"['british']\"\n", encoding="utf-8")
    assert not len(label_data(options(folder)))
    reasons = pd.read_csv(folder / "unlabelled.csv").groupby("artist")["reason"].unique()
    assert reasons["slow"].tolist() == ["mbtags: no tag of a known genre (british)"]
    assert reasons["fast"].tolist() == ["no source knows it"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folders"], "give --midi-dir FOLDER, or --files LIST"),
        (["--midi-dir", "x"], "no source to take genres from"),
        (["--midi-dir", "x", "--folders", "--llm", "m", "--order", "folder"], "--order leaves llm out"),
        (["--midi-dir", "x", "--folders", "--check", "3"], "--check measures a model"),
        (["--midi-dir", "x", "--folders", "--order", "tags"], "--order must be one of annotation, title"),
        (["--midi-dir", "x", "--folders"], "x: no such folder"),
        (["--files", "x", "--folders"], "x: no such file list"),
        (["--midi-dir", ".", "--metadata", "none.csv"], "none.csv: no such file"),
        (["--midi-dir", ".", "--folders", "--genre-map", "none.toml"], "none.toml: no such table"),
    ],
)
def test_bad_options_are_one_line(arguments: list[str], message: str, folder: Path) -> None:
    command = [sys.executable, str(ROOT / "label_data.py"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_a_list_of_files_needs_no_files(folder: Path) -> None:
    (folder / "list.txt").write_bytes(
        b"0\tMiles\tSo What\taaaa\tMiles/So What.mid\r\n1\tX\tY\tbbbb\tX/Y.mid\r\n"
        b'2\t"""Weird"" Al"\tEat It\tcccc\t"""Weird"" Al/Eat It.mid"\r\n'
    )
    (folder / "map.json").write_text(json.dumps({"masd": {"aaaa": ["presto", "presto", "adagio"]}}), encoding="utf-8")
    chosen = options(
        folder, midi_dir=None, metadata=None, files=folder / "list.txt", midi_genre_map=folder / "map.json"
    )
    labels = label_data(chosen)
    assert labels[["path", "genre", "source", "confidence"]].to_numpy().tolist() == [
        ["Miles/So What.mid", "fast", "annotation masd", pytest.approx(2 / 3, abs=1e-4)]
    ]
    assert '"Weird" Al/Eat It.mid' in pd.read_csv(folder / "unlabelled.csv")["path"].tolist()


def test_the_published_rules_can_be_asked_for(folder: Path) -> None:
    (folder / "metadata.csv").write_text("artist,title,mbtags\nSlow,A,\"['latin jazz']\"\n", encoding="utf-8")
    labels = label_data(options(folder, genre_map=Path("dgm")))
    assert set(labels["genre"]) == {"pop"} and set(labels["genre_id"]) == {3}


def test_published_csvs_load(folder: Path) -> None:
    """With `Rock` beside `rock`, as published: one genre, and a warning."""
    rows = ["0,slow,song 0,slow/song 0.mid,Rock,rock,0", "1,fast,song 0,fast/song 0.mid,Rock,Rock,0"]
    (folder / "published.csv").write_text(
        "\n".join([",artist,title,path,mbtags,genre,genre_id", *rows]), encoding="utf-8"
    )
    store, _ = prepare_store(folder / "midi", folder / "published.csv", folder / "store", workers=1, progress=False)
    assert store.genres == ["rock"] and any("differ in case" in note for note in store.info["warnings"])
    assert {song.confidence for song in store.songs} == {None}


def ask_a_model(folder: Path, *arguments: str, server: FakeLlm) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "label_data.py"), "--midi-dir", "midi", "--genre-map", "map.toml"]
    command += ["--metadata", "metadata.csv", "--llm", "some-model", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | server.environment)


def test_a_model_labels_what_remains_and_is_measured(folder: Path) -> None:
    """The folder "fast" has tags; "slow" has none, and of one song the model knows nothing."""
    (folder / "metadata.csv").write_text("artist,title,mbtags\nFast,B,\"['presto']\"\n", encoding="utf-8")
    with FakeLlm(lambda artist, title: {"song 2": "unknown"}.get(title, artist)) as server:
        plan = ask_a_model(folder, "--dry-run", server=server)
        assert plan.returncode == 0 and "3 songs to ask some-model for" in plan.stdout and not server.bodies
        done = ask_a_model(folder, server=server)
        assert done.returncode == 0, done.stderr
        assert sorted(chain(*server.asked)) == ["song 0", "song 1", "song 2"]
        again = ask_a_model(folder, server=server)
        assert again.stdout == done.stdout and len(server.bodies) == 1
    labels = pd.read_csv(folder / "labels.csv")
    assert labels.groupby("source")["confidence"].unique().map(list).to_dict() == {"llm": [0.75], "mbtags": [1.0]}
    assert pd.read_csv(folder / "unlabelled.csv")["reason"].tolist() == ["llm: says unknown"]
    assert json.loads((folder / "labels.json").read_text())["llm"] == "some-model"


def test_a_model_is_asked_for_annotated_songs_to_measure_it(folder: Path) -> None:
    rows = ["0\tfast\tsong 0\taaaa\tfast/song 0.mid", "1\tfast\tsong 1\tbbbb\tfast/song 1.mid"]
    (folder / "list.txt").write_text("\n".join(rows), encoding="utf-8")
    (folder / "map.json").write_text(json.dumps({"masd": {"aaaa": ["presto"], "bbbb": ["presto"]}}), encoding="utf-8")
    sources = ["--files", "list.txt", "--midi-genre-map", "map.json", "--check", "1"]
    with FakeLlm(lambda artist, title: "slow") as server:
        done = ask_a_model(folder, *sources, server=server)
        assert len(list(chain(*server.asked))) == 1
    assert done.returncode == 0 and "annotation masd" in done.stdout
    pairs = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["agreement"]
    with_model = {row["one"]: (row["files"], row["agreement"]) for row in pairs if row["other"] == "llm"}
    assert with_model == {"annotation masd": (1, 0), "mbtags": (1, 0)}
    assert set(pd.read_csv(folder / "labels.csv")["genre"]) == {"fast"}


def test_a_name_that_is_no_text_is_told_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "midi/slow" / os.fsdecode(b"caf\xe9.mid")).write_bytes(b"")
    labels = label_data(options(folder, folders=True))
    assert len(labels) == len(ROWS)
    problems = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["problems"]
    assert problems["first"][0] == "slow/caf?.mid: its name is no Unicode text; rename it"

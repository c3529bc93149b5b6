"""label_data.py as a user runs it: from files and catalogues to the CSV that prepare_data.py takes."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest
from corpus import ROWS, make_store
from fake_llm import FakeLlm
from msd_files import write_summary

from common.errors import UserError
from data.store import RollStore
from label_data import label_data
from labelling.msd import Track
from labelling.options import Options

ROOT = Path(__file__).resolve().parents[2]
MAP = '[classes]\nslow = 0\nfast = 1\n[words]\nslow = ["slow", "adagio"]\nfast = ["fast", "presto"]\n'
METADATA = """artist,title,mbtags
Slow,A,"['adagio', 'presto', 'adagio']"
The Fast,B,"['presto']"
C,D,"[1]"
E
"""


@pytest.fixture
def folder(corpus: Path) -> Path:
    """The corpus in folders "slow" and "fast", with a table of these genres and tags of the "artists"."""
    (corpus / "labels.csv").unlink()
    (corpus / "map.toml").write_text(MAP, encoding="utf-8")
    (corpus / "metadata.csv").write_text(METADATA, encoding="utf-8")
    return corpus


def options(folder: Path, **changes: object) -> Options:
    common = {"midi_dir": folder / "midi", "genre_map": folder / "map.toml", "out": folder / "labels.csv"}
    return Options(**{**common, "cache": folder / "cache", "metadata": folder / "metadata.csv", **changes})


def prepare(folder: Path, **more: object) -> RollStore:
    return make_store(folder, **more)[0]


def test_labels_go_into_a_store_with_source_and_confidence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "midi/slow" / os.fsdecode(b"caf\xe9.mid")).write_bytes(b"")
    labels = label_data(options(folder, folders=True))
    assert labels["path"].tolist() == sorted(path for path, *_ in ROWS)
    assert labels["source"].unique().tolist() == ["folder"] and (labels["confidence"] == 1).all()
    assert labels.groupby("genre")[["agree", "disagree"]].sum().to_numpy().tolist() == [[3, 0], [3, 0]]
    record = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    assert record["files_of_source"] == {"folder": 6} and record["second_opinion"]["agreement"] == 1
    name, line, _ = record["problems"]["first"]
    assert record["problems"]["count"] == 3 and str(folder / "metadata.csv: line 4") in line
    assert name == "slow/caf?.mid: its name is not valid Unicode; rename it"
    assert record["sources"][0].keys() == {"name", "bytes", "sha256"}
    out = capsys.readouterr().out
    assert "6 of 6 files labelled" in out and "the same genre in 100.0%, kappa 1.00" in out
    pd.testing.assert_frame_equal(pd.read_csv(folder / "labels.csv", keep_default_na=False), labels, check_dtype=False)
    store = prepare(folder)
    assert {(song.label_source, song.confidence) for song in store.songs} == {("folder", 1.0)}
    assert store.label_facts() == {"label_sources": "folder 6", "label_agreement": 1.0, "label_kappa": 1.0}


def test_prepare_data_can_leave_out_doubtful_labels(folder: Path) -> None:
    label_data(options(folder))
    labels = pd.read_csv(folder / "labels.csv")
    assert set(labels["source"]) == {"mbtags"} and labels["confidence"].min() < 0.7 < labels["confidence"].max()
    with pytest.raises(UserError, match="genre ids must run 0, 1"):
        prepare(folder, min_confidence=0.7)
    labels.loc[labels["genre"] == "slow", "confidence"] = [0.8, 0.7, 0.5]
    labels.to_csv(folder / "labels.csv", index=False)
    store = prepare(folder, min_confidence=0.7)
    assert len(store.songs) == 5 and "confidence '0.5' is below 0.7" in (store.folder / "rejected.csv").read_text()
    assert store.info["labels"] is None and any("before it was changed" in note for note in store.info["warnings"])


def test_unlabelled_files_are_listed_with_the_reason(folder: Path) -> None:
    label_data(options(folder, min_share=0.9))
    unlabelled = pd.read_csv(folder / "unlabelled.csv")
    assert set(unlabelled["artist"]) == {"slow"}
    assert set(unlabelled["reason"]) == {"mbtags: slow has less than the least share"}


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_label_at_all_is_an_error_with_the_reasons(folder: Path) -> None:
    write_summary(folder / "summary.h5", Track("", "Slow", "A"))
    (folder / "metadata.csv").write_text("artist,title,mbtags\nNobody,A,british\nE\n", encoding="utf-8")
    before = files_below(folder)
    with pytest.raises(UserError) as error:
        label_data(options(folder, msd_h5=(folder / "summary.h5",)))
    assert str(error.value) == (
        f"no file gets a label; of 6 files 6: no source knows it; 2 records could not be read, such as: "
        f"{folder / 'summary.h5'}: after 1 songs: no tags, as in all summary files; name files of single songs, or an "
        "aggregate; name more sources"
    )
    assert files_below(folder) == before


def test_what_is_read_and_what_others_wrote_is_not_replaced(folder: Path) -> None:
    (folder / "own.csv").write_text("path,artist\nslow/song 0.mid,Slow\nx.mid,Nobody\n", encoding="utf-8")
    for name in ("labels.csv", "unlabelled.csv", "labels.json"):
        (folder / name).write_bytes((folder / "own.csv").read_bytes())
        before = files_below(folder)
        with pytest.raises(UserError, match=f"{name}: exists, and no program of ours wrote it"):
            label_data(options(folder))
        assert files_below(folder) == before
        (folder / name).unlink()
    for out, changes in (("own.csv", {"files": folder / "own.csv"}), ("x.csv", {"midi_genre_map": folder / "x.json"})):
        with pytest.raises(UserError, match="is read, too"):
            label_data(options(folder, out=folder / out, **changes))
    for name in ("unlabelled.csv", "x.json"):
        with pytest.raises(UserError, match="its name is that of another file to write"):
            options(folder, out=folder / name)
    assert len(label_data(options(folder))) == len(label_data(options(folder))) == 6, "our own files are replaced"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--folders", "give --midi-dir FOLDER, or --files LIST"),
        ("--midi-dir x", "no source of genres"),
        ("--midi-dir x --folders --llm m --order folder", "--llm needs llm in --order"),
        ("--midi-dir x --folders --check 3", "--check measures a language model"),
        ("--midi-dir x --folders --order tags", "--order must be one of annotation, title"),
        ("--midi-dir x --folders", "x: no such folder"),
        ("--files x --folders", "x: no such file list"),
        ("--midi-dir . --metadata none.csv", "none.csv: no such file"),
    ],
)
def test_unusable_options_are_one_line(arguments: str, message: str, folder: Path) -> None:
    command = [sys.executable, str(ROOT / "label_data.py"), *arguments.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_a_list_replaces_the_files(folder: Path) -> None:
    (folder / "list.txt").write_bytes(
        b"0\tMiles\tSo What\taaaa\tMiles/So What.mid\r\n1\tX\tY\tbbbb\tX/Y.mid\r\n"
        b'2\t"""Weird"" Al"\tEat It\tcccc\t"""Weird"" Al/Eat It.mid"\r\n3\tno path\r\n4\tX\tY\tb\ttoo many\tX\r\n'
    )
    (folder / "map.json").write_text(json.dumps({"masd": {"aaaa": ["presto", "presto", "adagio"]}}), encoding="utf-8")
    only_list = {"midi_dir": None, "metadata": None, "files": folder / "list.txt"}
    labels = label_data(options(folder, **only_list, midi_genre_map=folder / "map.json"))
    assert labels[["path", "genre", "source", "confidence"]].to_numpy().tolist() == [
        ["Miles/So What.mid", "fast", "annotation masd", pytest.approx(2 / 3, abs=1e-4)]
    ]
    assert pd.read_csv(folder / "unlabelled.csv")["path"].tolist() == ['"Weird" Al/Eat It.mid', "X/Y.mid"]


def run_with_model(folder: Path, *arguments: str, server: FakeLlm) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "label_data.py"), "--midi-dir", "midi", "--genre-map", "map.toml"]
    command += ["--metadata", "metadata.csv", "--llm", "some-model", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | server.environment)


def test_a_model_labels_the_files_without_a_genre(folder: Path) -> None:
    """The folder "fast" has tags, "slow" has none, and the model does not know one song."""
    (folder / "metadata.csv").write_text("artist,title,mbtags\nFast,B,\"['presto']\"\n", encoding="utf-8")
    with FakeLlm(lambda artist, title: {"song 2": "unknown"}.get(title, artist)) as server:
        plan = run_with_model(folder, "--dry-run", server=server)
        assert plan.returncode == 0 and "3 songs to ask some-model for" in plan.stdout and not server.bodies
        done = run_with_model(folder, server=server)
        assert done.returncode == 0, done.stderr
        assert sorted(chain(*server.titles)) == ["song 0", "song 1", "song 2"]
        again = run_with_model(folder, server=server)
        assert again.stdout == done.stdout and len(server.bodies) == 1
    labels = pd.read_csv(folder / "labels.csv")
    assert labels.groupby("source")["confidence"].unique().map(list).to_dict() == {"llm": [0.75], "mbtags": [1.0]}
    assert pd.read_csv(folder / "unlabelled.csv")["reason"].tolist() == ["llm: says unknown"]
    assert json.loads((folder / "labels.json").read_text())["llm"] == "some-model"


def test_check_compares_the_model_with_annotations(folder: Path) -> None:
    rows = ["0\tfast\tsong 0\taaaa\tfast/song 0.mid", "1\tfast\tsong 1\tbbbb\tfast/song 1.mid"]
    (folder / "list.txt").write_text("\n".join(rows), encoding="utf-8")
    (folder / "map.json").write_text(json.dumps({"masd": {"aaaa": ["presto"], "bbbb": ["presto"]}}), encoding="utf-8")
    sources = ["--files", "list.txt", "--midi-genre-map", "map.json", "--check", "1"]
    with FakeLlm(lambda artist, title: "slow") as server:
        done = run_with_model(folder, *sources, server=server)
        assert len(list(chain(*server.titles))) == 1
    assert done.returncode == 0 and "annotation masd" in done.stdout
    pairs = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["agreement"]
    with_model = {row["one"]: (row["files"], row["agreement"]) for row in pairs if row["other"] == "llm"}
    assert with_model == {"annotation masd": (1, 0), "mbtags": (1, 0)}
    assert set(pd.read_csv(folder / "labels.csv")["genre"]) == {"fast"}

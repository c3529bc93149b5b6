"""prepare_data.py on the command line."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpus import ROWS, content_of, write_labels
from midi_files import example_song, write

import prepare_data
from common.errors import run_command
from common.options import parse_options
from data.prepare import summary
from data.store import RollStore

ROOT = Path(__file__).resolve().parents[2]


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "prepare_data.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_script_makes_a_store_once(corpus: Path) -> None:
    write(corpus / "midi/bad.mid", b"bad")
    rows = [*ROWS[:5], (*ROWS[5][:2], "FAST", ROWS[5][3]), ("bad.mid", 0, "slow", "")]
    write_labels(corpus / "midi/labels.csv", rows)
    arguments = ("--labels", corpus / "midi/labels.csv", "--store", corpus / "a/new/store")
    first, second = run_script(*arguments), run_script(*arguments)
    assert (first.returncode, second.returncode) == (0, 0)
    store = RollStore.open(corpus / "a/new/store")
    note = "note: names of genre that differ in case or spaces alone are one, as 'FAST' for 'fast' (1 rows)\n"
    assert first.stdout.startswith(f"{summary(store)}\n{note}")
    assert "6 files accepted, 1 rejected" in first.stdout
    assert f"rejected files and reasons: {store.folder / 'rejected.csv'}" in first.stdout
    assert "made anew" in first.stdout
    assert second.stdout == f"{summary(store)}\n{note}{store.folder}: nothing changed, nothing done\n"
    assert second.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "give either --labels or --builtin"),
        ("--builtin --labels labels.csv", "give either --labels or --builtin"),
        ("--labels labels.csv --all", "--all goes with --builtin"),
        ("--labels labels.csv --genres a --genre-column b", "give either --genres or --genre-column"),
        ("--labels missing.csv", "missing.csv: no such label file; give a CSV with the columns path,genre_id"),
        ("--labels no_id.csv", "no_id.csv: .*--genre-column"),
        ("--labels outside.csv --midi-dir midi", "midi: none of the files .*--allow-outside"),
        ("--labels labels.csv", ".*none of the files .*--midi-dir"),  # the files are below midi, not beside the labels
        ("--labels labels.csv --midi-dir elsewhere", "elsewhere: no such folder; see --midi-dir"),
        ("--builtin --shard 1/2", "--shard and --merge go with --labels"),
        ("--builtin --merge 2", "--shard and --merge go with --labels"),
        ("--labels labels.csv --shard 1/2 --merge 2", "give either --shard, for each shard, or --merge"),
        ("--labels labels.csv --shard 3/2", "--shard must be K/N with K from 1 to N, such as 1/8, but is 3/2"),
        ("--labels labels.csv --shard 0/2", "--shard must be K/N"),
        ("--labels labels.csv --shard 1", "--shard must be K/N"),
        ("--labels labels.csv --merge 0", "--merge must be at least 1"),
        ("--labels labels.csv --midi-dir midi --genres slow", "--genres gives 1 names"),
        ("--labels labels.csv --midi-dir midi --store no_id.csv", "no_id.csv: a file is in the way"),
        ("--labels labels.csv --midi-dir midi --store other", "other: not empty and not a roll store"),
    ],
)
def test_wrong_options_and_files_end_in_one_line(
    arguments: str, message: str, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(corpus / "no_id.csv", b"path,genre\nslow/song 0.mid,slow")
    write(corpus / "outside.csv", b"path,genre_id\n../midi/slow/song 0.mid,0")
    write(corpus / "other/store.json", b'{"name": "another program\'s"}')
    before = sorted(corpus.rglob("*"))
    monkeypatch.chdir(corpus)
    words = ["--workers", "1", *arguments.split()]
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: prepare_data.prepare_data(parse_options(prepare_data.Options, "", words)))
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and re.match(f"error: {message}", line)
    assert sorted(corpus.rglob("*")) == before


def test_shards_are_merged_into_the_store_of_one_run(corpus: Path) -> None:
    write(corpus / "midi/bad.mid", b"bad")
    write_labels(corpus / "labels.csv", [*ROWS, ("bad.mid", 0, "slow", "")])
    inputs = ("--labels", corpus / "labels.csv", "--midi-dir", corpus / "midi")
    printed = [run_script(*inputs, "--store", corpus / "store", "--shard", f"{k}/2").stdout for k in (2, 1)]
    assert re.match(r"[34] of 7 files, 1 of them rejected\n.*store_shards/2_of_2: made anew", printed[0])
    assert re.match(r"[34] of 7 files, 0 of them rejected\n.*store_shards/1_of_2: made anew", printed[1])
    merged = run_script(*inputs, "--store", corpus / "store", "--merge", 2)
    single = run_script(*inputs, "--store", corpus / "single")
    assert (merged.returncode, single.returncode) == (0, 0)
    assert merged.stdout.splitlines()[:-2] == single.stdout.splitlines()[:-2]
    assert content_of(corpus / "store") == content_of(corpus / "single")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_script_ends_with_its_workers_and_the_next_run_goes_on(corpus: Path, number: signal.Signals) -> None:
    """The pipe ends only when the script and all its workers have ended."""
    rows = [(f"more/{k}.mid", k % 2, "", "train") for k in range(400)]
    content = example_song(1, 1, seconds=120)
    for path, *_ in rows:
        write(corpus / "midi" / path, content)
    write_labels(corpus / "labels.csv", rows)
    command = [sys.executable, ROOT / "prepare_data.py", "--workers", "2", "--midi-dir", corpus / "midi"]
    command += ["--labels", corpus / "labels.csv", "--store", corpus / "store"]
    script = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not any((corpus / "store").glob(".unfinished-*/frames.npy")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(script.pid, number)
    script.communicate(timeout=30)
    assert script.returncode == (128 + number if number == signal.SIGTERM else -number)
    assert (corpus / "store").exists() == (number == signal.SIGKILL), "SIGTERM leaves time to clean up"
    assert run_script(*command[2:]).returncode == 0
    RollStore.open(corpus / "store").verify()
    assert not list((corpus / "store").glob(".*"))

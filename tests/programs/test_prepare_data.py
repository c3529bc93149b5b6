"""prepare_data.py on the command line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpus import ROWS, names_in, write_labels
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


@pytest.fixture
def run_main(corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs prepare_data.py in this process, inside `corpus`; returns exit code and standard error."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(corpus)
        capsys.readouterr()
        words = ["--workers", "1", *arguments]
        try:
            run_command(lambda: prepare_data.prepare_data(parse_options(prepare_data.Options, "", words)))
        except SystemExit as exit_:
            return exit_.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "give either --labels CSV or --builtin"),
        ("--builtin --labels labels.csv", "give either --labels CSV or --builtin"),
        ("--labels labels.csv --all", "--all goes with --builtin"),
        ("--labels labels.csv --genres a --genre-column b", "give either --genres or --genre-column"),
        ("--labels labels.csv --max-minutes 0", "--max-minutes must be above 0"),
        ("--labels labels.csv --max-minutes long", "argument --max-minutes: invalid float value: 'long'"),
        ("--labels labels.csv --workers 100000", "--workers must be at most 1024"),
        ("--labels labels.csv --shop store", "unrecognized arguments: --shop store"),
    ],
)
def test_a_wrong_option_is_named(run_main, corpus: Path, arguments: str, message: str) -> None:
    code, errors = run_main(*arguments.split())
    assert code == 2
    assert errors.startswith(f"error: {message}") and len(errors.splitlines()) == 1
    assert not (corpus / "store").exists()


def test_a_dry_run_does_nothing(run_main, corpus: Path) -> None:
    assert run_main("--labels", "labels.csv", "--midi-dir", "midi", "--dry-run")[0] == 0
    assert names_in(corpus) == ["labels.csv", "midi"]


HOSTILE_FILES = {
    "large_id.csv": "path,genre_id\nslow/song 0.mid,5000",
    "from_1.csv": "path,genre_id\nslow/song 0.mid,1",
    "named_all.csv": "path,genre_id,genre\nslow/song 0.mid,0,all",
    "no_columns.csv": "song\nslow/song 0.mid",
    "no_id.csv": "path,genre\nslow/song 0.mid,slow",
    "outside.csv": "path,genre_id\n../midi/slow/song 0.mid,0",
    "a_file": "not a folder",
    "broken/store.json": "{",
    "other/store.json": '{"name": "another program\'s"}',
}


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("--labels missing.csv", "missing.csv: no such label file; give a CSV with the columns path,genre_id"),
        ("--labels no_columns.csv", "--genre-column"),
        ("--labels no_id.csv", "--genre-column"),
        ("--labels large_id.csv --midi-dir midi", "--genre-column"),
        ("--labels from_1.csv --midi-dir midi", "--genre-column"),
        ("--labels named_all.csv --midi-dir midi", "--genres"),
        ("--labels outside.csv --midi-dir midi", "--allow-outside"),
        ("--labels labels.csv", "--midi-dir"),  # the files are below midi, not beside the labels
        ("--labels labels.csv --midi-dir elsewhere", "--midi-dir"),
        ("--labels labels.csv --midi-dir midi --genres slow", "--genres"),
        ("--labels labels.csv --midi-dir midi --genres slow,", "--genres"),
        ("--labels labels.csv --midi-dir midi --genre-column mood", ""),
        ("--labels labels.csv --midi-dir midi --store a_file", ""),
        ("--labels labels.csv --midi-dir midi --store midi", ""),
        ("--labels labels.csv --midi-dir midi --store broken", ""),
        ("--labels labels.csv --midi-dir midi --store other", ""),
    ],
)
def test_wrong_files_end_in_one_line(run_main, corpus: Path, arguments: str, remedy: str) -> None:
    for name, content in HOSTILE_FILES.items():
        write(corpus / name, content.encode())
    before = sorted(corpus.rglob("*"))
    code, errors = run_main(*arguments.split())
    assert code == 2
    # Reading shows its progress on the same stream.
    (line,) = (line for line in errors.splitlines() if line and not line.startswith("reading"))
    assert line.startswith("error: ") and remedy in line
    assert [path for path in sorted(corpus.rglob("*")) if path.suffix != ".lock"] == before


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

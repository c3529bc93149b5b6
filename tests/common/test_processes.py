"""Work in several processes: in order, also when a worker is killed, and never longer than the parent."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.processes import map_in_processes

ROOT = Path(__file__).resolve().parents[2]


def square(number: int) -> int:
    return number * number


def square_or_die(deadly: set[int], number: int) -> int:
    if number in deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_once(marker: Path, number: int) -> int:
    """Dies at item 5, but only while `marker` is there."""
    if number == 5 and marker.exists():
        marker.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


@pytest.mark.parametrize(("workers", "chunk"), [(0, 1), (1, 4), (2, 1), (2, 7), (3, 100)])
def test_results_come_in_the_order_of_the_items(workers: int, chunk: int) -> None:
    results = list(map_in_processes(square, range(30), workers, died=-1, chunk=chunk))
    assert results == [number * number for number in range(30)]


def test_an_item_that_kills_its_process_is_named_and_the_others_are_done() -> None:
    work = partial(square_or_die, {3, 9})
    results = list(map_in_processes(work, range(12), 2, died=-1, chunk=4))
    assert results == [-1 if number in {3, 9} else number * number for number in range(12)]


def test_a_worker_killed_by_someone_else_costs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.touch()
    results = list(map_in_processes(partial(die_once, marker), range(12), 2, died=-1, chunk=2))
    assert not marker.exists() and results == [number * number for number in range(12)]


def test_an_error_of_the_work_is_raised() -> None:
    with pytest.raises(TypeError):
        list(map_in_processes(square, ["text"], 2, died=-1))


PROGRAM = """
import time
from common.processes import map_in_processes

if __name__ == "__main__":
    for number, _ in enumerate(map_in_processes(time.sleep, [0.01] * 4 + [600.0] * 4, 2, died=None)):
        print(number, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    """The pipe ends only when the last process that holds it, parent or worker, has ended."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"0\n"
    started = time.monotonic()
    parent.send_signal(number)
    parent.communicate(timeout=20)
    assert time.monotonic() - started < 20 and parent.returncode == -number


STOPPED = """
import signal, sys, time
from pathlib import Path
from common.errors import run_command
from common.processes import map_in_processes

def work(folder):
    signal.signal(signal.SIGTERM, lambda *_: (Path(folder, "saved").touch(), sys.exit(143)))
    Path(folder, "began").touch()
    time.sleep(600)

if __name__ == "__main__":
    run_command(lambda: list(map_in_processes(work, sys.argv[1:] * 3, 2, died=None)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_program_asks_its_workers_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """Both items at hand save, the others do not begin, and the program ends."""
    program, folders = tmp_path / "program.py", [tmp_path / "a", tmp_path / "b"]
    program.write_text(STOPPED)
    for folder in folders:
        folder.mkdir()
    parent = subprocess.Popen([sys.executable, program, *folders], env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while not all((folder / "began").exists() for folder in folders):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(number)
    assert parent.wait(20) == 128 + number
    assert all((folder / "saved").exists() for folder in folders)


def test_a_signal_waits_until_a_worker_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted, submit = [], ProcessPoolExecutor.submit

    def interrupted(*call: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        future = submit(*call)
        submitted.append(call[-1])
        return future

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(map_in_processes(square, range(9), 2, died=0))
    assert len(submitted) == 1, "and no other call is submitted after it"


UNGUARDED = """
import sys
sys.path.insert(0, sys.argv[1])
from common.processes import map_in_processes
print(list(map_in_processes(str, range(9), 2, died="killed")))
"""


@pytest.mark.parametrize("from_file", [True, False])
def test_a_script_that_workers_cannot_import_is_named(from_file: bool, tmp_path: Path) -> None:
    """Without a main guard each worker would begin the work anew; from standard input there is nothing to import."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    command = [sys.executable, script if from_file else "-", ROOT]
    done = subprocess.run(command, input=UNGUARDED, capture_output=True, text=True)
    assert done.stderr.count("Error: ") == 1 and "killed" not in done.stdout
    assert "UserError: no worker process can start, because each imports the running script" in done.stderr

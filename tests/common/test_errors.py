"""How a command ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError, reason_of, run_command, signals_deferred, signals_repeated

ROOT = Path(__file__).resolve().parents[2]


def raising(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("a.csv: empty"), 2, "error: a.csv: empty\n"),
        (UserError("genre \x1b[31mred\nline"), 2, "error: genre \\x1b[31mred\\nline\n"),
        (OSError(28, "No space left on device", "store"), 2, "error: store: No space left on device; name another"),
        (OSError(28, "No space left on device"), 2, "error: No space left on device\n"),
        (LookupError("as agreed"), 2, "error: as agreed\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_is_one_line(error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = (LookupError,)
    with pytest.raises(SystemExit) as ended:
        run_command(raising(error), *kinds)
    printed = capsys.readouterr().err
    assert ended.value.code == code
    assert printed.startswith(line) and printed.count("\n") == 1


PROGRAM = """
from common.errors import UserError, run_command

def main():
    print("\u0141")
    raise UserError("no \u0142, \u00e9")

run_command(main)
"""


def test_letters_that_the_output_lacks_are_escaped() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 2
    assert done.stdout.splitlines() == [b"\\u0141"] and done.stderr.splitlines() == [b"error: no \\u0142, \xe9"]


def test_an_error_of_the_program_itself_is_shown() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError()))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_program_in_order(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)  # under nohup, SIGHUP is ignored
    cleaned = []

    def main() -> None:
        try:
            os.kill(os.getpid(), number)
            pytest.fail("went on")
        finally:
            cleaned.append(True)

    try:
        with pytest.raises(SystemExit) as ended:
            run_command(main)
        assert ended.value.code == 128 + number
        assert cleaned and signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run_command(lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_deferred_signal_is_answered_after_the_block(name: str) -> None:
    reached = []

    def main() -> None:
        with signals_deferred():
            os.kill(os.getpid(), getattr(signal, name))
            reached.append("end of the block")
        reached.append("after it")

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    assert ended.value.code == 128 + getattr(signal, name) and reached == ["end of the block"]


def swallowing(number: int) -> None:
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        os.kill(os.getpid(), number)


def replacing(number: int) -> None:
    try:
        os.kill(os.getpid(), number)
    except (KeyboardInterrupt, SystemExit):
        raise ValueError from None


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("foreign", "went_on"), [(lambda number: os.kill(os.getpid(), number), []), (swallowing, ["on"]), (replacing, [])]
)
def test_a_repeated_signal_is_answered_at_once_and_after_the_block(
    foreign: Callable[[int], None], went_on: list[str], name: str
) -> None:
    reached, number = [], getattr(signal, name)

    def main() -> None:
        with signals_repeated():
            foreign(number)
            reached.append("on")
        reached.append("after the block")

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    assert ended.value.code == 128 + number and reached == went_on


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_a_destructor_swallows_is_answered(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Swallowing:
        def __del__(self) -> None:
            signal.raise_signal(getattr(signal, name))

    def main() -> None:
        Swallowing()
        time.sleep(10)
        pytest.fail("went on")

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    assert ended.value.code == 128 + getattr(signal, name)
    assert capsys.readouterr().err == ("interrupted\n" if name == "SIGINT" else "")


def test_another_error_of_a_destructor_is_shown() -> None:
    class Failing:
        def __del__(self) -> None:
            raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        shown: list[object] = []
        patch.setattr(sys, "unraisablehook", lambda unraisable: shown.append(unraisable.exc_type))
        run_command(lambda: Failing() and None)
    assert shown == [ZeroDivisionError]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_after_the_work_changes_nothing(name: str) -> None:
    """As where a library works on while the interpreter ends."""
    code = f"import atexit, signal; from common.errors import run_command; number = signal.{name}\n"
    code += "run_command(lambda: atexit.register(signal.raise_signal, number)); print('done')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_program_draws_also_where_the_environment_names_a_notebooks_backend() -> None:
    draw = "from figures.style import png; from matplotlib.figure import Figure; print(png(Figure())[1:4])"
    program = f"from common.errors import run_command\nrun_command(lambda: exec({draw!r}))"
    environment = os.environ | {"MPLBACKEND": "module://backend_of_no_package"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("b'PNG'\n", 0), done.stderr


def test_the_reason_of_an_error_of_the_system_is_in_words(tmp_path: Path) -> None:
    with pytest.raises(OSError) as error:
        (tmp_path / "none").read_bytes()
    assert reason_of(error.value) == "No such file or directory" and reason_of(OSError("odd")) == "odd"


def test_the_reason_of_an_error_is_one_line() -> None:
    assert reason_of(ValueError("a\n  b \x1b")) == "a b \\x1b" and reason_of(MemoryError()) == "MemoryError"

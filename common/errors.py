"""Errors of the user, and how a command ends: one line and an exit code, no traceback."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from common.text import printable


class UserError(Exception):
    """An error that the user can fix. The message is one sentence that names the file or option and the remedy."""


def reason_of(error: BaseException) -> str:
    """Return an error as one printable line, for the list of files that could not be used."""
    return printable(" ".join(str(error).split()))[:300] or type(error).__name__


def run_command(main: Callable[[], object], *also: type[Exception]) -> None:
    """Call `main`. A `UserError`, one of `also` or an unusable file ends the program with one line and exit code 2.

    Ctrl-C gives exit code 130. SIGTERM and SIGHUP give 128 + signal number, after temporary files are removed. Letters
    that the output's encoding lacks are printed escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _signals_raise():
            main()
            sys.stdout.flush()
        return
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (UserError, *also) as error:
        message = str(error)
    except OSError as error:
        if error.errno is None:
            raise
        reason = error.strerror or os.strerror(error.errno)
        message = f"{error.filename}: {reason}; name another place, or mend this one" if error.filename else reason
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(2)


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise SystemExit in the block, unless they have a handler or are ignored (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    replaced = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Answer Ctrl-C, SIGTERM and SIGHUP only after the block.

    For foreign code that calls back into Python: it swallows the exception that a signal raises there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heeded = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    handlers = {number: signal.signal(number, lambda number, _: noted.append(number)) for number in heeded}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if noted:
            signal.raise_signal(noted[0])


def _exit(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)

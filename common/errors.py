"""Errors of the user, and how a command ends: one line and an exit code, no traceback."""

import atexit
import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from common.text import printable


class UserError(Exception):
    """An error that the user can fix. The message is one sentence that names the file or option and the remedy."""


def reason_of(error: BaseException) -> str:
    """Return an error as one printable line, for the list of files that could not be used."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(words.split()))[:300] or type(error).__name__


def run_command(main: Callable[[], object], *also: type[Exception]) -> None:
    """Call `main`. A `UserError`, one of `also` or an unusable file ends the program with one line and exit code 2.

    Ctrl-C gives exit code 130. SIGTERM and SIGHUP give 128 + signal number, after temporary files are removed. After
    `main`, while the interpreter ends, signals are ignored. Letters that the output's encoding lacks are printed
    escaped. Pictures need no window: the backend that a notebook's environment names may not be installed here.
    """
    os.environ["MPLBACKEND"] = "agg"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _signals_raise(), _swallowed_signals_return():
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
    finally:
        atexit.unregister(_ignore_signals)  # so that it is the last one registered, and runs first
        atexit.register(_ignore_signals)
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(2)


@contextlib.contextmanager
def signals_handled(numbers: Iterable[int], receive: Callable[[int], object]) -> Iterator[None]:
    """Call `receive` with the number of a signal that comes in the block. Outside the main thread, change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, lambda number, _: receive(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def heeded_signals() -> list[int]:
    """Ctrl-C, SIGTERM and SIGHUP, unless ignored, as nohup ignores SIGHUP, or handled outside of Python."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]


def _signals_raise() -> contextlib.AbstractContextManager[None]:
    """Make SIGTERM and SIGHUP raise SystemExit in the block, unless they have a handler or are ignored."""
    numbers = (each for each in heeded_signals() if each != signal.SIGINT)
    return signals_handled([each for each in numbers if signal.getsignal(each) == signal.SIG_DFL], _exit)


@contextlib.contextmanager
def _swallowed_signals_return() -> Iterator[None]:
    """Send a signal again whose exception Python swallowed, as in a destructor or the callback of a weak reference."""

    def receive(unraisable: Any) -> None:
        error = unraisable.exc_value
        if isinstance(error, KeyboardInterrupt | _SignalExit):
            number = error.code - 128 if isinstance(error, _SignalExit) else signal.SIGINT
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()  # here, it would be swallowed, too
        else:
            before(unraisable)

    before, sys.unraisablehook = sys.unraisablehook, receive
    try:
        yield
    finally:
        sys.unraisablehook = before


def _ignore_signals() -> None:
    for number in heeded_signals():
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Answer Ctrl-C, SIGTERM and SIGHUP only after the block.

    For foreign code that calls back into Python: it swallows the exception that a signal raises there.
    """
    noted: list[int] = []
    try:
        with signals_handled(heeded_signals(), noted.append):
            yield
    finally:
        if noted:
            signal.raise_signal(noted[0])


@contextlib.contextmanager
def signals_repeated() -> Iterator[None]:
    """Answer Ctrl-C, SIGTERM and SIGHUP at once, and again after the block if that raised no exception out of it.

    For foreign code that takes long, calls back into Python, and may swallow the exception that a signal raises there.
    """
    noted: list[int] = []
    handlers = {number: signal.getsignal(number) for number in heeded_signals()}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}

    def receive(number: int) -> None:
        noted.append(number)
        handlers[number](number, None)

    try:
        with signals_handled(handlers, receive):
            yield
    except (KeyboardInterrupt, SystemExit):
        noted.clear()
        raise
    finally:
        if noted:
            signal.raise_signal(noted[0])


class _SignalExit(SystemExit):
    code: int


def _exit(number: int) -> NoReturn:
    raise _SignalExit(128 + number)

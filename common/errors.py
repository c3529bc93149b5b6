"""How a command ends when something the user gave is wrong: one line, exit code 2, no traceback."""

import contextlib
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


def run_command(main: Callable[[], object], *also: type[Exception]) -> None:
    """Call `main`; a `UserError`, one of `also` or a file that cannot be used becomes one line and exit code 2.

    Ctrl-C ends with exit code 130; SIGTERM and SIGHUP with 128 and their number, after temporary files are removed.
    """
    try:
        with _signals_end_in_order():
            main()
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, as in `| head`, has had enough
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
    else:
        return
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(2)


@contextlib.contextmanager
def _signals_end_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as an exception does. SIGHUP stays ignored where nohup has it ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: a handler that Python did not set, which was left alone
                signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)

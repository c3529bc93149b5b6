"""Ctrl-C, SIGTERM and a lost terminal as requests that training answers between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A terminal that is closed sends SIGHUP, where the system knows it.
_SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


class StopRequest:
    """The signal that came, if one did."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Turn the signals into a request while the block runs; a second one stops at once."""
    stop = StopRequest()
    previous = {}

    def ask(number: int, _: Any) -> None:
        if stop.signal:
            raise KeyboardInterrupt
        stop.signal = signal.Signals(number)

    try:
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves SIGHUP
                previous[number] = signal.signal(number, ask)
    except ValueError:  # not in the main thread, as in some notebooks: signals stay as they are
        pass
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

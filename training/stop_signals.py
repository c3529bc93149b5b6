"""Ctrl-C, SIGTERM and SIGHUP as requests, which training answers between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A closed terminal sends SIGHUP, on systems that have it.
_SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


class StopRequest:
    """The first signal that arrived, or None."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Turn signals into a request within the block; a second signal interrupts at once."""
    stop, previous = StopRequest(), {}

    def request(number: int, _: Any) -> None:
        if stop.signal:
            raise KeyboardInterrupt
        stop.signal = signal.Signals(number)

    try:
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                previous[number] = signal.signal(number, request)
    except ValueError:  # not the main thread, as in some notebooks: signals stay unchanged
        pass
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

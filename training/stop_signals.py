"""Ctrl-C, SIGTERM and SIGHUP as requests, which training answers between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A closed terminal sends SIGHUP, on systems that have it.
_SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Yield a list that gets the first signal within the block; a second signal interrupts at once."""
    received, previous = [], {}

    def receive(number: int, _: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number))

    try:
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                previous[number] = signal.signal(number, receive)
    except ValueError:  # not the main thread, as in some notebooks: signals stay unchanged
        pass
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

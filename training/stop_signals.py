"""Ctrl-C, SIGTERM and SIGHUP as requests, which training answers between two steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from signal import Signals

from common.errors import heeded_signals, signals_handled


@contextmanager
def stop_signals() -> Iterator[list[Signals]]:
    """Yield a list that gets the first signal within the block; a second signal interrupts at once."""
    received: list[Signals] = []

    def receive(number: int) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(Signals(number))

    with signals_handled(heeded_signals(), receive):
        yield received

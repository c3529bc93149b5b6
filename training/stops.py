"""Why a run stops before its end: Ctrl-C, SIGTERM or SIGHUP, or its time is over."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from signal import Signals

from common.errors import heeded_signals, signals_handled
from training.ranks import Ranks


class Stopped(Exception):
    """A run ended early with its state saved; the message says why. `exit_code` is that of the program."""

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class Stops:
    """Requests to stop, which the processes of a run agree on between two steps."""

    def __init__(self, ranks: Ranks, max_hours: float | None) -> None:
        """The hours are counted from here."""
        self._ranks, self._max_hours, self._signals = ranks, max_hours, list[int]()
        self._end = time.monotonic() + 3600 * (math.inf if max_hours is None else max_hours)
        self.request: Stopped | None = None

    @contextmanager
    def received(self) -> Iterator[None]:
        """Take signals in the block as requests; a second signal interrupts at once."""

        def receive(number: int) -> None:
            if self._signals:
                raise KeyboardInterrupt
            self._signals.append(number)

        with signals_handled(heeded_signals(), receive):
            yield

    def agree(self, is_due: bool = False) -> bool:
        """Set `request` if any process has one; returns whether `is_due` in any process. Collective."""
        own = self._signals[0] if self._signals else 0
        number, is_over, due = self._ranks.maximum(own, int(time.monotonic() >= self._end), int(is_due))
        if number:
            self.request = Stopped(f"stopped by {Signals(number).name}", 128 + number)
        elif is_over:
            self.request = Stopped(f"stopped after --max-hours {self._max_hours:g}", 0)
        return bool(due)

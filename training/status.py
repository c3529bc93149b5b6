"""Progress of a run for its user and for monitors: status.json in its folder."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import mul
from typing import Any

from common.errors import reason_of
from training.progress import Progress
from training.run_folder import RunFolder
from training.stage import Stage
from training.stops import Stopped

RUNNING, STOPPED, COMPLETE, FAILED = "running", "stopped", "complete", "failed"
_SECONDS = 5.0  # between two writings


class Status:
    """Writes how far a run is, how fast, and when it will end: at most every few seconds, and at its end.

    An error of the disk ends no run here; it does where the state is saved.
    """

    def __init__(self, folder: RunFolder, stage: Stage) -> None:
        self._folder, self._stage, self._started = folder, stage, datetime.now(UTC)
        self._progress: Progress | None = None
        self._next = 0.0
        self._rate: float | None = None
        # What the log says about the last epoch.
        self.last_epoch: dict[str, Any] | None = None

    def begin(self, progress: Progress) -> None:
        """Note the progress before the first step of this process, when the first phase is open. Writes it."""
        phases, batch_size = self._stage.phases, self._stage.options.batch_size
        examples = [self._stage.examples_of(phase) for phase in phases]
        self._epochs = [phase.epochs for phase in phases]
        self._steps = [-(-n // batch_size) for n in examples]
        self._frames = [n * phase.frames for n, phase in zip(examples, phases, strict=True)]
        self._progress = progress
        self._began = time.monotonic(), self._share_done()
        self._write(RUNNING)

    def update(self, progress: Progress) -> None:
        """Note the progress after a step or an epoch; write it if the last writing was seconds ago."""
        self._progress = progress
        if progress.seconds:
            self._rate = progress.example / progress.seconds
        if time.monotonic() >= self._next:
            self._write(RUNNING)

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Write at the end of the block how the run has ended."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, Stopped):
                self._write(STOPPED, str(error))
            elif isinstance(error, KeyboardInterrupt):
                self._write(STOPPED, "interrupted by a second signal")
            else:
                self._write(FAILED, "another process failed" if isinstance(error, SystemExit) else reason_of(error))
            raise
        self._write(COMPLETE)

    def _done(self, in_epoch: list[int]) -> int:
        """The total over all epochs done, from the number `in_epoch` of each phase."""
        return sum(map(mul, [*self._epochs[: self._progress.phase], self._progress.epoch], in_epoch))

    def _share_done(self) -> float:
        """The share of all frames: a step on windows of twice the length counts twice."""
        progress = self._progress
        done = self._done(self._frames) + progress.example * self._stage.phases[progress.phase].frames
        return done / sum(map(mul, self._epochs, self._frames))

    def _end(self, share: float) -> datetime | None:
        """When the run will end at the speed of this process so far, with its validations; None before a step."""
        began, share_before = self._began
        if share == share_before:
            return None
        seconds = (time.monotonic() - began) * (1 - share) / (share - share_before)
        return datetime.now(UTC) + timedelta(seconds=seconds)

    def _write(self, state: str, reason: str | None = None) -> None:
        stage, progress, last = self._stage, self._progress, self.last_epoch
        if progress is None:
            return
        phase, share = stage.phases[progress.phase], self._share_done()
        end = self._end(share) if state == RUNNING else None
        content = {
            "state": state,
            "reason": reason,
            "stage": stage.name,
            "phase": phase.name,
            "epoch": min(progress.epoch + 1, phase.epochs),
            "epochs": phase.epochs,
            "step": self._done(self._steps) + -(-progress.example // stage.options.batch_size),
            "steps": sum(map(mul, self._epochs, self._steps)),
            "share_done": round(share, 6),
            "examples_per_second": self._rate and round(self._rate, 1),
            "last_epoch": last and {name: last[name] for name in ("phase", "epoch", "train", "val")},
            "started": _iso(self._started),
            "updated": _iso(datetime.now(UTC)),
            "estimated_end": end and _iso(end),
        }
        with contextlib.suppress(OSError):
            self._folder.write_status(content)
        self._next = time.monotonic() + _SECONDS


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")

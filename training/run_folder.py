"""The folder of a run: its options, log, scalars and the state to resume from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.errors import UserError
from common.files import require_writable, write_bytes, write_text
from models.checkpoint import read_checkpoint


class RunFolder:
    """Reads and writes the files of a run; leaves other files in the folder alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_path, self.epochs_path = path / "state.pth", path / "epochs.jsonl"
        self._log, self._options, self._status = path / "log.txt", path / "options.json", path / "status.json"
        self._board: Any = None

    def open(self, options: dict[str, Any]) -> None:
        """Make the folder and write the options."""
        require_writable(self.path)
        write_text(self._options, json.dumps(options, indent=2) + "\n")

    def require_unused(self, weights: Sequence[Path]) -> None:
        """Raise `UserError` if an earlier run left `weights` or a log, but no state to resume from."""
        used = [path for path in weights if path.exists()]
        more = f" and {len(used) - 1} more" if len(used) > 1 else ""
        what = f"{used[0]}{more}: of another run" if used else f"{self.path}: holds the log of another run"
        if used or self.epochs_path.exists() or self._status.exists():
            raise UserError(
                f"{what}, for there is no {self.state_path} to resume from; --restart overwrites it, --checkpoints and "
                "--runs name other folders"
            )

    def clear(self) -> None:
        """Remove the files of an earlier run."""
        scalars = self.path.glob("events.out.tfevents.*")
        for path in (self.state_path, self.epochs_path, self._log, self._options, self._status, *scalars):
            path.unlink(missing_ok=True)

    def read_state(self) -> dict[str, Any] | None:
        """The saved state, or None. Raises `CheckpointError` for a file that cannot be read."""
        if not self.state_path.exists():
            return None
        return read_checkpoint(self.state_path, "begin anew with --restart")

    def write_state(self, content: memoryview) -> None:
        write_bytes(self.state_path, content, replace=True)

    def write_status(self, content: dict[str, Any]) -> None:
        write_text(self._status, json.dumps(content, indent=2) + "\n", replace=True)

    def note(self, line: str) -> None:
        """Print a line and append it to the log."""
        tqdm.write(line)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def log_epoch(self, record: dict[str, Any]) -> None:
        with self.epochs_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def write_scalars(self, record: dict[str, Any]) -> None:
        """Write the losses and metrics of an epoch for TensorBoard."""
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter  # the import takes seconds

            self._board = SummaryWriter(self.path)
        for group in ("train", "val"):
            for name, value in record[group].items():
                self._board.add_scalar(f"{group}/{name}/{record['phase'].replace('=', '')}", value, record["epoch"])
        self._board.flush()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def drop_epochs_after(self, phases: Sequence[str], phase: int, epoch: int) -> dict[str, Any] | None:
        """Keep the logged epochs of all phases before number `phase`, and the first `epoch` epochs of that phase.

        Returns the record of the last, or None. An epoch that was logged, but whose state was not saved, is trained and
        logged again. An incomplete last line, left by a killed process, is dropped.
        """
        if not self.epochs_path.exists():
            return None
        lines = self.epochs_path.read_text(encoding="utf-8").splitlines(keepends=True)
        records = [(line, json.loads(line)) for line in lines if line.endswith("\n")]
        kept = [pair for pair in records if (phases.index(pair[1]["phase"]), pair[1]["epoch"]) <= (phase, epoch)]
        write_text(self.epochs_path, "".join(line for line, _ in kept), replace=True)
        return kept[-1][1] if kept else None


class ReadOnlyRunFolder(RunFolder):
    """The run's folder in a process that leaves the writing to another."""

    def _leave(self, *_: Any) -> None:
        pass

    open = clear = write_state = write_status = note = log_epoch = write_scalars = drop_epochs_after = _leave

"""The training loop that all stages share: epochs, log, checkpoints, resume, clean stop."""

import dataclasses
import json
import math
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from common.device import peak_memory_mb
from common.errors import UserError
from common.options import as_plain
from models import rebuild
from models.checkpoint import FORMAT_VERSION, read_checkpoint, save_atomically, save_weights
from training.stage import FIXED_OPTIONS, FREE_OPTIONS, Draw, Stage

_CHECK_EVERY = 20  # steps between looks at the losses, which wait for the device


@dataclasses.dataclass
class Progress:
    """Where a run stands: the next step to do."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    best: dict[str, float] = dataclasses.field(default_factory=dict)
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


class Losses:
    """Sums of the losses of an epoch, kept on the device, and the first step at which one was not finite."""

    def __init__(self, sums: dict[str, float], device: torch.device) -> None:
        self._names = list(sums)
        self._sums = torch.tensor(list(sums.values()), device=device, dtype=torch.float32)
        self._latest = self._sums
        self._bad_step = torch.full((len(sums),), -1, device=device)

    def add(self, losses: dict[str, Tensor], step: int) -> None:
        self._latest = torch.stack([losses[name].detach().float() for name in self._names])
        self._sums = self._sums + self._latest
        fresh = (self._bad_step < 0) & ~self._latest.isfinite()
        self._bad_step = torch.where(fresh, step, self._bad_step)

    def check(self) -> None:
        """Raise `UserError` naming loss and batch if one was not finite."""
        bad = {name: step for name, step in zip(self._names, self._bad_step.tolist(), strict=True) if step >= 0}
        if bad:
            first = min(bad.values())
            names = ", ".join(name for name, step in bad.items() if step == first)
            raise UserError(
                f"not finite at batch {first} (from 0) of this epoch: the loss {names}; the state saved before it is "
                "kept: lower the learning rate, or train without --bf16"
            )

    def latest(self) -> dict[str, float]:
        return dict(zip(self._names, self._latest.tolist(), strict=True))

    def sums(self) -> dict[str, float]:
        return dict(zip(self._names, self._sums.tolist(), strict=True))


def train(stage: Stage) -> None:
    """Train `stage` from the start, or from where its saved state stands.

    Raises `UserError` where a saved state was made with other options, or a loss is not finite; SystemExit(128 +
    signal) after Ctrl-C or SIGTERM, with the state saved.
    """
    _Run(stage).train()


class _Run:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.options = stage.options
        self.folder: Path = stage.folder
        self.state_path = self.folder / "state.pth"
        self.log_path = self.folder / "epochs.jsonl"
        self.progress = Progress()

    def train(self) -> None:
        state = self._saved_state()
        if state:
            self.progress = Progress(**state["progress"])
            self._require_weights(state["models"])
            last = len(self.stage.phases) - 1
            if self.progress.phase >= last and self.progress.epoch >= self.stage.phases[last].epochs:
                print(f"{self.folder}: this run is complete; --restart begins anew")
                return
        self._open_folder(fresh=state is None)
        with _stop_signals() as stop, SummaryWriter(self.folder) as board:
            self._train(state, stop, board)

    def _train(self, state: dict[str, Any] | None, stop: "_Stop", board: SummaryWriter) -> None:
        stage = self.stage
        for index in range(self.progress.phase, len(stage.phases)):
            if index > self.progress.phase:
                self.progress = Progress(phase=index)
            phase = stage.phases[index]
            stage.open_windows(phase.seq_len)
            if state:
                self._restore(state)
                state = None
            else:
                for line in stage.build_models(phase.seq_len):
                    self._note(line)
                stage.make_optimizers()
            while self.progress.epoch < phase.epochs:
                self._train_epoch(stop)
                self._finish_epoch(board)
        self._note(f"complete; weights are in {self.stage.checkpoints}")

    def _train_epoch(self, stop: "_Stop") -> None:
        stage, progress = self.stage, self.progress
        phase, n_steps = stage.phases[progress.phase], stage.order.steps_per_epoch
        title = f"{stage.name} T={phase.seq_len} epoch {progress.epoch + 1}/{phase.epochs}"
        bar = tqdm(total=len(stage.train_windows), desc=title, unit=" windows", mininterval=1.0)
        bar.update(min(progress.step * self.options.batch_size, len(stage.train_windows)))
        losses = Losses(progress.sums, stage.device) if progress.sums else None
        started = saved = time.perf_counter()
        before = progress.seconds
        for model in stage.models.values():
            model.train()
        while progress.step < n_steps:
            draw = Draw(stage.train_windows, stage.order, self.options.seed, progress.epoch, progress.step)
            # Without autocast's cache: a step updates the critic several times, and would go on with its old weights.
            with torch.autocast(stage.device.type, torch.bfloat16, self.options.bf16, cache_enabled=False):
                step_losses = stage.train_step(draw)
            losses = losses or Losses(dict.fromkeys(step_losses, 0.0), stage.device)
            losses.add(step_losses, progress.step)
            progress.step += 1
            now = time.perf_counter()
            progress.seconds = before + now - started
            save = now - saved > 60 * self.options.save_minutes
            if progress.step % _CHECK_EVERY == 0 or progress.step == n_steps or save or stop.signal:
                losses.check()
                progress.sums = losses.sums()
                shown = {name: f"{value:.4g}" for name, value in losses.latest().items()}
                bar.set_postfix(shown, refresh=False)
            bar.update(min(self.options.batch_size, len(stage.train_windows) - bar.n))
            if save:
                self._save_state()
                saved = now
            if stop.signal:
                self._save_state()
                bar.close()
                command = "the same command without --restart" if self.options.restart else "the same command"
                print(f"stopped by {stop.signal.name}; {command} goes on from here", file=sys.stderr)
                raise SystemExit(128 + stop.signal)
        bar.close()

    def _finish_epoch(self, board: SummaryWriter) -> None:
        stage, progress = self.stage, self.progress
        phase, n_steps = stage.phases[progress.phase], stage.order.steps_per_epoch
        for model in stage.models.values():
            model.eval()
        metrics = stage.validate()
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise UserError(f"{name} is not finite on the validation split; lower the learning rate")
        record = {
            "seq_len": phase.seq_len,
            "epoch": progress.epoch + 1,
            "train": {name: total / n_steps for name, total in progress.sums.items()},
            "val": metrics,
            "seconds": round(progress.seconds, 3),
            "windows_per_second": round(len(stage.train_windows) / max(progress.seconds, 1e-9), 1),
            "peak_memory_mb": round(peak_memory_mb(), 1),
        }
        self._save_weights(phase.seq_len, metrics)
        progress.epoch, progress.step, progress.sums, progress.seconds = progress.epoch + 1, 0, {}, 0.0
        with self.log_path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        self._save_state()
        for group in ("train", "val"):
            for name, value in record[group].items():
                board.add_scalar(f"{group}/{name}/T{phase.seq_len}", value, progress.epoch)
        board.flush()
        told = "  ".join(f"{name} {value:.4g}" for name, value in {**record["train"], **metrics}.items())
        self._note(f"T={phase.seq_len} epoch {progress.epoch}/{phase.epochs}  {told}  {record['seconds']:.0f} s")

    def _save_weights(self, seq_len: int, metrics: dict[str, float]) -> None:
        stage, progress = self.stage, self.progress
        for name, model in stage.models.items():
            metric = stage.best_by[name]
            facts = {
                "stage": stage.name,
                "seq_len": seq_len,
                "genres": stage.genres,
                "labels": self.options.labels,
                "frames_per_second": stage.store.frames_per_second,
                "store_fingerprint": stage.store.fingerprint,
                "options": as_plain(self.options),
                "epoch": progress.epoch + 1,
                "chosen_by": metric,
                "metrics": metrics,
            }
            folder = stage.checkpoints
            save_weights(model, folder / stage.checkpoint_name(name, seq_len, "last"), **facts)
            if metrics[metric] < progress.best.get(name, math.inf):
                progress.best[name] = metrics[metric]
                save_weights(model, folder / stage.checkpoint_name(name, seq_len, "best"), **facts)
                self._note(f"{stage.checkpoint_name(name, seq_len, 'best')}: {metric} {metrics[metric]:.4g}")

    def _saved_state(self) -> dict[str, Any] | None:
        if self.options.restart or not self.state_path.exists():
            return None
        state = read_checkpoint(self.state_path, "begin anew with --restart")
        now = self._identity()
        changed = {
            name: f"{name} (was {was}, is {now.get(name)})"
            for name, was in state["options"].items()
            if name not in FREE_OPTIONS and now.get(name) != was
        }
        fixed = changed.keys() & FIXED_OPTIONS
        if changed and (fixed or not self.options.allow_changes):
            allow = "" if fixed else "--allow-changes to resume with these, "
            raise UserError(
                f"{self.state_path}: begun with other options: {'; '.join(changed.values())}. Give the same options to "
                f"resume, {allow}or --restart to begin anew"
            )
        return state

    def _require_weights(self, models: Iterable[str]) -> None:
        """Raise `UserError` where the weights of the epochs done are not in the folder that they went to."""
        seq_len = self.stage.phases[self.progress.phase].seq_len
        for name in models if self.progress.epoch else ():
            path = self.stage.checkpoints / self.stage.checkpoint_name(name, seq_len, "last")
            if not path.exists():
                raise UserError(
                    f"{path}: not there, although this run has written it; name the folder it went to with "
                    "--checkpoints, or begin anew with --restart"
                )

    def _identity(self) -> dict[str, Any]:
        """The options, and what else must be the same for a run to be resumed."""
        store, earlier = self.stage.store, self.stage.earlier_weights
        facts = {"genres": store.genres, "store_fingerprint": store.fingerprint, "earlier_weights": earlier}
        return {**as_plain(self.options), **facts}

    def _save_state(self) -> None:
        stage = self.stage
        content = {
            "format_version": FORMAT_VERSION,
            "stage": stage.name,
            "options": self._identity(),
            "progress": dataclasses.asdict(self.progress),
            "models": {name: [m.kind, m.config, m.state_dict()] for name, m in stage.models.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in stage.optimizers.items()},
        }
        save_atomically(content, self.state_path)

    def _restore(self, state: dict[str, Any]) -> None:
        stage, progress = self.stage, self.progress
        stage.models = {
            name: rebuild({"kind": kind, "config": config, "weights": weights}).to(stage.device)
            for name, (kind, config, weights) in state["models"].items()
        }
        stage.make_optimizers()
        for name, optimizer in stage.optimizers.items():
            rate = optimizer.param_groups[0]["lr"]
            optimizer.load_state_dict(state["optimizers"][name])
            optimizer.param_groups[0]["lr"] = rate  # today's option, should it have changed
        seq_len = stage.phases[progress.phase].seq_len
        self._note(f"resumed at T={seq_len}, epoch {progress.epoch + 1}, batch {progress.step}")

    def _open_folder(self, *, fresh: bool) -> None:
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.folder, self.stage.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(as_plain(self.options), indent=2)
        (self.folder / "options.json").write_text(text + "\n", encoding="utf-8")
        if self.log_path.exists():
            # An epoch that was logged but not saved is trained, and logged, again.
            phase = self.stage.phases[self.progress.phase]
            lines = self.log_path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if not self._is_ahead(json.loads(line), phase.seq_len)]
            self.log_path.write_text("".join(kept), encoding="utf-8")

    def _is_ahead(self, record: dict[str, Any], seq_len: int) -> bool:
        """Whether an epoch's record lies ahead of the progress, in the phase of `seq_len` frames or a later one."""
        here = record["seq_len"] == seq_len
        return record["epoch"] > self.progress.epoch if here else record["seq_len"] > seq_len

    def _note(self, line: str) -> None:
        """A line for the person who watches, and for the run's log."""
        tqdm.write(line)
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class _Stop:
    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Turn Ctrl-C and SIGTERM into a request that the loop answers between two steps; a second one stops at once."""
    stop = _Stop()
    previous = {}

    def ask(number: int, _: Any) -> None:
        if stop.signal:
            raise KeyboardInterrupt
        stop.signal = signal.Signals(number)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, ask)
    except ValueError:  # not in the main thread, as in some notebooks: signals stay as they are
        pass
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

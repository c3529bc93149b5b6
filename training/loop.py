"""The training loop of all stages: epochs, logs, weights, exact resuming, clean stops."""

import dataclasses
import math
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from signal import Signals
from typing import Any, NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from common.device import bfloat16_is_slow, peak_memory_mb, prepare_process
from common.errors import UserError, reason_of
from common.files import locked_folder, plain_bytes, require_writable, save_plain
from common.options import as_plain
from common.randomness import seed_at
from models import describe, rebuild
from models.checkpoint import FORMAT_VERSION, weights_content
from models.weight_files import BEST, LAST
from training.epoch_losses import EpochLosses
from training.progress import Progress
from training.ranks import opened_ranks
from training.run_folder import ReadOnlyRunFolder, RunFolder
from training.stage import Phase, Position, Stage
from training.stop_signals import stop_signals

_CHECK_EVERY = 20  # steps between checks of the losses, each of which waits for the device
_REMEDY = (
    "The last saved state, from which a finite step was taken, is kept. Run the command again with --allow-changes and "
    "a lower learning rate or --clip-norm 1, or without --bf16; if this comes again, begin anew with --restart"
)


def train(stage: Stage) -> None:
    """Train `stage` from the start, or from its saved state.

    Started by `torchrun`, its processes train together. Raises `UserError` if another run trains in its folder, the
    saved state was made with other options, weights of another run would be overwritten, or a loss is not finite;
    SystemExit(128 + signal) after Ctrl-C, SIGTERM or SIGHUP, when the state is saved.
    """
    with opened_ranks() as ranks, ExitStack() as lock:
        with ranks.together():
            if ranks.first:
                in_use = "another process trains here; wait for its end, or name another folder: --runs"
                lock.enter_context(locked_folder(stage.folder, in_use))
        stage.ranks = ranks
        _Run(stage).train()


class _Run:
    def __init__(self, stage: Stage) -> None:
        self.stage, self.options, self.ranks = stage, stage.options, stage.ranks
        self.folder = (RunFolder if self.ranks.first else ReadOnlyRunFolder)(stage.folder)
        self.progress = Progress()
        self.stopped_by: Signals | None = None
        # A state within a phase is written once the next step was finite: its weights can be wrecked, yet finite.
        self.waiting_state: memoryview | None = None

    @property
    def phase(self) -> Phase:
        return self.stage.phases[self.progress.phase]

    def train(self) -> None:
        stage = self.stage
        with self.ranks.together():
            stage.open()
            device = prepare_process(stage.device, threads=self.options.threads, tf32=self.options.tf32)
            state = None if self.options.restart else self._resumable_state()
        place = int(state is not None), self.progress.phase, self.progress.epoch, self.progress.example
        is_shared = self.ranks.all_equal(*place)
        with self.ranks.together():
            if not is_shared:
                raise UserError(f"{stage.folder}: not the same folder in all processes; name a shared one with --runs")
        if state and self._is_complete():
            if self.ranks.first:
                print(f"{stage.folder}: this run is complete; --restart begins anew")
            return
        with self.ranks.together():
            self._open_folders(is_new=state is None)
        self.folder.note(f"device: {device}")
        if self.ranks.size > 1:
            self.folder.note(f"{self.ranks.size} processes")
        if self.options.bf16 and bfloat16_is_slow(stage.device):
            self.folder.note("--bf16: bfloat16 is slower than float32 on this processor; leave it out")
        with stop_signals() as self.received, closing(self.folder):
            self._train_phases(state)

    def _is_complete(self) -> bool:
        return self.progress.phase == len(self.stage.phases) - 1 and self.progress.epoch >= self.phase.epochs

    def _open_folders(self, is_new: bool) -> None:
        stage = self.stage
        if not self.ranks.first:
            return
        if self.options.restart:
            self.folder.clear()
        elif is_new:
            weights = [
                stage.checkpoints / stage.weights_file(model, phase, which)
                for phase in stage.phases for model in stage.best_by for which in (BEST, LAST)
            ]  # fmt: skip
            self.folder.require_unused(weights)
        require_writable(stage.checkpoints)
        self.folder.open(as_plain(self.options))
        phases = [phase.name for phase in stage.phases]
        self.folder.drop_epochs_after(phases, self.progress.phase, self.progress.epoch)

    # Starting and resuming

    def _resumable_state(self) -> dict[str, Any] | None:
        """The saved state, or None. Raises `UserError` if it belongs to other options or its weights are missing."""
        state = self.folder.read_state()
        if state is None:
            return None
        now = self._identity()
        with self._damage_named():
            changed = {
                name: f"{name} (was {was}, is {now.get(name)})"
                for name, was in state["identity"].items()
                if name not in self.stage.free_options and now.get(name) != was
            }
            self.progress = Progress(**state["progress"])
            kinds, found = ([*map(type, vars(each).values())] for each in (Progress(), self.progress))
            if found != kinds:
                raise TypeError(f"progress {state['progress']}")
            models, phase = list(state["models"]), self.phase
        fixed = changed.keys() & self.stage.fixed_options
        if changed and (fixed or not self.options.allow_changes):
            allow = "" if fixed else "--allow-changes to resume with these, "
            raise UserError(
                f"{self.folder.state_path}: begun with other options: {'; '.join(changed.values())}. Give the same "
                f"options to resume, {allow}or --restart to begin anew"
            )
        for name in models if self.progress.epoch else ():
            path = self.stage.checkpoints / self.stage.weights_file(name, phase, LAST)
            if not path.exists():
                raise UserError(
                    f"{path}: not there, although this run has written it; name the folder it went to with "
                    "--checkpoints, or begin anew with --restart"
                )
        return state

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """Turn errors in the content of the saved state into a `UserError`."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            path, reason = self.folder.state_path, reason_of(error)
            raise UserError(f"{path}: damaged or of another version ({reason}); begin anew with --restart") from error

    def _identity(self) -> dict[str, Any]:
        return {**as_plain(self.options), **self.stage.identity()}

    def _restore(self, state: dict[str, Any]) -> None:
        stage = self.stage
        stage.models = {name: rebuild(content).to(stage.device) for name, content in state["models"].items()}
        stage.start()
        for name, average in stage.averages.items():
            if name in state["averages"]:
                average.load_state_dict(state["averages"][name])
        for name, optimizer in stage.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        progress = self.progress
        self.folder.note(f"resumed at {self.phase.name}, epoch {progress.epoch + 1}, example {progress.example}")

    # Training

    def _train_phases(self, state: dict[str, Any] | None) -> None:
        stage = self.stage
        for index in range(self.progress.phase, len(stage.phases)):
            if index > self.progress.phase:
                self.progress = Progress(phase=index)
            with self.ranks.together():
                stage.open_phase(self.phase)
                if state:
                    with self._damage_named():
                        self._restore(state)
                    state = None
                else:
                    for line in stage.build_models(self.phase):
                        self.folder.note(line)
                    stage.start()
                    self.folder.write_state(self._state())
            self.ranks.broadcast(stage.models.values())
            while self.progress.epoch < self.phase.epochs:
                self._train_epoch()
                self._finish_epoch()
                if self.stopped_by and self.waiting_state is None and not self._is_complete():
                    self._exit()
        self.folder.note(f"complete; weights are in {stage.checkpoints}")

    def _train_epoch(self) -> None:
        stage, progress = self.stage, self.progress
        title = f"{stage.name} {self.phase.name} epoch {progress.epoch + 1}/{self.phase.epochs}"
        bar = tqdm(
            None, title, stage.n_examples, initial=progress.example, unit=f" {stage.examples}", mininterval=1.0,
            disable=not self.ranks.first,
        )  # fmt: skip
        losses = EpochLosses(progress.sums, stage.device, self.ranks)
        started = saved = time.perf_counter()
        seconds_before, steps = progress.seconds, 0
        for model in stage.models.values():
            model.train()
        while progress.example < stage.n_examples:
            count = min(self.options.batch_size, stage.n_examples - progress.example)
            stage.part = self.ranks.part(count)
            losses.add(self._step(), progress.example, count, stage.part.weight)
            progress.example, steps = progress.example + count, steps + 1
            now = time.perf_counter()
            progress.seconds = seconds_before + now - started
            is_due = self._agree(now - saved > 60 * self.options.save_minutes)
            save = bool(self.stopped_by) or is_due
            is_last = progress.example == stage.n_examples
            if steps % _CHECK_EVERY == 0 or is_last or save or self.waiting_state:
                error, (latest, progress.sums) = losses.error(), losses.latest_and_sums()
                bar.set_postfix({name: f"{value:.4g}" for name, value in latest.items()}, refresh=False)
                with self.ranks.together():
                    if error:
                        raise UserError(f"{error}. {_REMEDY}")
                    if self.waiting_state:
                        self.folder.write_state(self.waiting_state)
                is_saved, self.waiting_state = self.waiting_state is not None, None
                if is_saved and self.stopped_by:
                    bar.close()
                    self._exit()
            bar.update(count)
            if save and not is_last:
                with self.ranks.together():
                    self.waiting_state, saved = self._state(), now
        bar.close()

    def _agree(self, is_due: bool) -> bool:
        """Whether a save is due, by the clock of any process; notes the signal that any process has received."""
        signal, due = self.ranks.maximum(self.received[0] if self.received else 0, int(is_due))
        self.stopped_by = Signals(signal) if signal else None
        return bool(due)

    def _exit(self) -> NoReturn:
        if self.ranks.first:
            command = "the same command without --restart" if self.options.restart else "the same command"
            print(f"stopped by {self.stopped_by.name}; {command} goes on from here", file=sys.stderr)
        raise SystemExit(128 + self.stopped_by)

    def _step(self) -> dict[str, Tensor]:
        position = Position(self.phase, self.progress.epoch, self.progress.example)
        self.stage.set_rates(position)
        # Dropout draws from torch's global rng: seeded by position, it resumes exactly. Processes draw other masks.
        place = position.phase.name, position.epoch, position.example, *([self.ranks.rank] if self.ranks.rank else [])
        torch.manual_seed(seed_at("step", self.options.seed, *place))
        # No cache of autocast: a step updates a model several times, and cached casts would be of old weights.
        with torch.autocast(self.stage.device.type, torch.bfloat16, self.options.bf16, cache_enabled=False):
            return self.stage.train_step(position)

    # The end of an epoch

    def _finish_epoch(self) -> None:
        stage = self.stage
        models = {**stage.models, **{name: average.module for name, average in stage.averages.items()}}
        for model in models.values():
            model.eval()
        metrics = stage.validate(models)
        with self.ranks.together():
            self._keep(models, metrics)
        self._agree(False)

    def _keep(self, models: dict[str, torch.nn.Module], metrics: dict[str, float]) -> None:
        """Write weights, log and, after the last epoch, the state."""
        stage, progress = self.stage, self.progress
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise UserError(f"{name} is not finite on the validation split. {_REMEDY}")
        record = {
            "phase": self.phase.name,
            "epoch": progress.epoch + 1,
            "train": {name: total / stage.n_examples for name, total in progress.sums.items()},
            "val": metrics,
            "examples": stage.n_examples,
            "seconds": round(progress.seconds, 3),
            "examples_per_second": round(stage.n_examples / max(progress.seconds, 1e-9), 1),
            **peak_memory_mb(stage.device),
        }
        self._require_finite_weights()
        if self.ranks.first:
            self._save_weights(models, metrics)
        progress.epoch, progress.example, progress.sums, progress.seconds = progress.epoch + 1, 0, {}, 0.0
        self.folder.log_epoch(record)
        self.waiting_state = self._state()
        if progress.epoch == self.phase.epochs:
            self.folder.write_state(self.waiting_state)
            self.waiting_state = None
        self.folder.write_scalars(record)
        values = "  ".join(f"{name} {value:.4g}" for name, value in {**record["train"], **metrics}.items())
        epoch = f"{self.phase.name} epoch {record['epoch']}/{self.phase.epochs}"
        self.folder.note(f"{epoch}  {values}  {record['seconds']:.0f} s")

    def _save_weights(self, models: dict[str, torch.nn.Module], metrics: dict[str, float]) -> None:
        stage, progress = self.stage, self.progress
        plain, folders = as_plain(self.options), vars(self.options)
        options = {name: value for name, value in plain.items() if not isinstance(folders[name], Path)}
        for name, model in models.items():
            metric = stage.best_by[name]
            facts = {
                "stage": stage.name,
                **stage.facts(self.phase),
                "options": options,
                "epoch": progress.epoch + 1,
                "chosen_by": metric,
                "metrics": metrics,
            }
            content = weights_content(model, facts)
            save_plain(content, stage.checkpoints / stage.weights_file(name, self.phase, LAST), replace=True)
            if metrics[metric] < progress.best.get(name, math.inf):
                progress.best[name] = metrics[metric]
                best = stage.weights_file(name, self.phase, BEST)
                save_plain(content, stage.checkpoints / best, replace=True)
                self.folder.note(f"{best}: {metric} {metrics[metric]:.4g}")

    def _state(self) -> memoryview:
        """The state to resume from, as the bytes of its file, which the first process has; the others a sign of it."""
        stage = self.stage
        self._require_finite_weights()
        if not self.ranks.first:
            return memoryview(b"state")
        return plain_bytes(
            {
                "format_version": FORMAT_VERSION,
                "stage": stage.name,
                "identity": self._identity(),
                "progress": dataclasses.asdict(self.progress),
                "models": {name: describe(model) for name, model in stage.models.items()},
                "averages": {name: average.state_dict() for name, average in stage.averages.items()},
                "optimizers": {name: optimizer.state_dict() for name, optimizer in stage.optimizers.items()},
            }
        )

    def _require_finite_weights(self) -> None:
        """Raise `UserError` for weights that are not finite, before they replace good ones on disk."""
        for name, model in self.stage.models.items():
            if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
                raise UserError(f"the weights of {name} are not finite any more. {_REMEDY}")

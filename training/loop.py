"""The training loop of all stages: epochs, logs, weights, exact resuming, clean stops."""

import math
import sys
import time
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from tqdm import tqdm

from common.device import bfloat16_is_slow, peak_memory_mb, prepare_process
from common.errors import UserError
from common.files import locked_folder, plain_bytes, require_writable, save_plain
from common.options import as_plain
from common.randomness import seed_at
from models.checkpoint import weights_content
from models.compiling import compiled, missing_compiler
from models.weight_files import BEST, LAST
from training.epoch_losses import EpochLosses
from training.progress import Progress
from training.ranks import opened_ranks
from training.run_folder import ReadOnlyRunFolder, RunFolder
from training.saved_state import restore, resumable_state, state_of
from training.stage import Phase, Position, Stage
from training.status import Status
from training.stops import Stopped, Stops

_CHECK_EVERY = 20  # steps between checks of the losses, each of which waits for the device
_REMEDY = (
    "The last saved state, from which a finite step was taken, is kept. Run the command again with --allow-changes and "
    "a lower learning rate or --clip-norm 1, or without --bf16; if this comes again, begin anew with --restart"
)


def train(stage: Stage) -> bool:
    """Train `stage` from the start, or from its saved state; returns whether it is complete, not out of time.

    Started by `torchrun`, its processes train together. Raises `UserError` if another run trains in its folder, the
    saved state was made with other options, weights of another run would be overwritten, or a loss is not finite;
    SystemExit(128 + signal) after Ctrl-C, SIGTERM or SIGHUP, when the state is saved.
    """
    with opened_ranks() as ranks, ExitStack() as lock:
        stage.ranks = ranks
        run = _Run(stage)
        with ranks.together():
            if ranks.first:
                in_use = "another process trains here; wait for its end, or name another folder: --runs"
                lock.enter_context(locked_folder(stage.folder, in_use))
            run.open()
        try:
            run.train()
        except Stopped as stopped:
            if ranks.first:
                command = "the same command without --restart" if stage.options.restart else "the same command"
                print(f"{stopped}; {command} goes on from here", file=sys.stderr)
            if stopped.exit_code:
                raise SystemExit(stopped.exit_code) from None
            return False
        return True


class _Run:
    def __init__(self, stage: Stage) -> None:
        self.stage, self.options, self.ranks = stage, stage.options, stage.ranks
        self.folder = (RunFolder if self.ranks.first else ReadOnlyRunFolder)(stage.folder)
        self.stops = Stops(self.ranks, self.options.max_hours)
        self.status = Status(self.folder, stage)
        self.state: dict[str, Any] | None = None  # to resume from
        self.progress = Progress()
        # A state within a phase is written once the next step was finite: its weights can be wrecked, yet finite.
        self.waiting_state: memoryview | None = None

    @property
    def phase(self) -> Phase:
        return self.stage.phases[self.progress.phase]

    def open(self) -> None:
        """Open the data and read the saved state."""
        self.stage.open()
        if self.options.compile and (missing := missing_compiler(self.stage.device)):
            raise UserError(f"--compile needs {missing}, which is not installed here; install it, or leave it out")
        self.device = prepare_process(self.stage.device, threads=self.options.threads, tf32=self.options.tf32)
        if not self.options.restart:
            self.state, self.progress = resumable_state(self.stage, self.folder)

    def train(self) -> None:
        """Train to the end. Raises `Stopped`."""
        stage, progress = self.stage, self.progress
        is_new = self.state is None
        is_shared = self.ranks.all_equal(int(is_new), progress.phase, progress.epoch, progress.example)
        is_complete = not is_new and self._is_complete()
        with self.ranks.together():
            if not is_shared:
                raise UserError(f"{stage.folder}: not the same folder in all processes; name a shared one with --runs")
            if self.ranks.first and not is_complete:
                self._open_folders(is_new)
        self._require_shared()
        if is_complete:
            if self.ranks.first:
                print(f"{stage.folder}: this run is complete; --restart begins anew")
            return
        self.folder.note(f"device: {self.device}")
        if self.ranks.size > 1:
            self.folder.note(f"{self.ranks.size} processes")
        if self.options.bf16 and bfloat16_is_slow(stage.device):
            self.folder.note("--bf16: bfloat16 is slower than float32 on this processor; leave it out")
        with self.stops.received(), closing(self.folder), self.status.ending():
            self._train_phases()

    def _is_complete(self) -> bool:
        return self.progress.phase == len(self.stage.phases) - 1 and self.progress.epoch >= self.phase.epochs

    def _require_shared(self) -> None:
        """Raise `UserError` where processes, which may be on several machines, have other folders or data."""
        stage = self.stage
        places = {"--runs": stage.folder, "--checkpoints": stage.checkpoints}
        apart = {option: folder for option, folder in places.items() if not self.ranks.is_shared(folder)}
        same_data = self.ranks.all_equal(crc32(repr(stage.identity()).encode()))
        with self.ranks.together():
            for option, folder in apart.items():
                raise UserError(f"{folder}: not the same folder in all processes; name a shared one with {option}")
            if not same_data:
                raise UserError("the processes have different data; give all the same, on a shared file system")

    def _open_folders(self, is_new: bool) -> None:
        stage = self.stage
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
        self.status.last_epoch = self.folder.drop_epochs_after(phases, self.progress.phase, self.progress.epoch)

    # Training

    def _train_phases(self) -> None:
        stage = self.stage
        for index in range(self.progress.phase, len(stage.phases)):
            if index > self.progress.phase:
                self.progress = Progress(phase=index)
            with self.ranks.together():
                self._open_phase()
            self.ranks.broadcast(stage.models.values())
            while self.progress.epoch < self.phase.epochs:
                self._train_epoch()
                self._finish_epoch()
                if self.stops.request and self.waiting_state is None and not self._is_complete():
                    raise self.stops.request
        self.folder.note(f"complete; weights are in {stage.checkpoints}")

    def _open_phase(self) -> None:
        stage, progress = self.stage, self.progress
        stage.open_phase(self.phase)
        if self.state:
            restore(stage, self.state, self.folder.state_path)
            self.folder.note(f"resumed at {self.phase.name}, epoch {progress.epoch + 1}, example {progress.example}")
            self.state = None
        else:
            for line in (*stage.build_models(self.phase), *stage.notes_on_length(self.phase)):
                self.folder.note(line)
            stage.start()
            self.folder.write_state(self._state())
        self.status.begin(progress)

    def _train_epoch(self) -> None:
        stage, progress, stops = self.stage, self.progress, self.stops
        losses = EpochLosses(progress.sums, stage.device, self.ranks)
        started = saved = time.perf_counter()
        seconds_before, steps = progress.seconds, 0
        for model in stage.models.values():
            model.train()
        with self._bar() as bar:
            while progress.example < stage.n_examples:
                count = min(self.options.batch_size, stage.n_examples - progress.example)
                stage.part = self.ranks.part(count)
                losses.add(self._step(), progress.example, count, stage.part.weight)
                progress.example, steps = progress.example + count, steps + 1
                now = time.perf_counter()
                progress.seconds = seconds_before + now - started
                save = stops.agree(now - saved > 60 * self.options.save_minutes) or stops.request is not None
                is_last = progress.example == stage.n_examples
                if steps % _CHECK_EVERY == 0 or is_last or save or self.waiting_state:
                    error, (latest, progress.sums) = losses.error(), losses.latest_and_sums()
                    bar.set_postfix({name: f"{value:.4g}" for name, value in latest.items()}, refresh=False)
                    stop = stops.request if self.waiting_state else None
                    with self.ranks.together():
                        if error:
                            raise UserError(f"{error}. {_REMEDY}")
                        if self.waiting_state:
                            self.folder.write_state(self.waiting_state)
                            self.waiting_state = None
                        if save and not is_last and not stop:
                            self.waiting_state, saved = self._state(), now
                    if stop:
                        raise stop
                bar.update(count)
                self.status.update(progress)

    def _bar(self) -> tqdm:
        stage, progress = self.stage, self.progress
        title = f"{stage.name} {self.phase.name} epoch {progress.epoch + 1}/{self.phase.epochs}"
        return tqdm(
            None, title, stage.n_examples, initial=progress.example, unit=f" {stage.examples}", mininterval=1.0,
            disable=not self.ranks.first,
        )  # fmt: skip

    def _step(self) -> dict[str, Tensor]:
        position = Position(self.phase, self.progress.epoch, self.progress.example)
        self.stage.set_rates(position)
        # Dropout takes its seed from torch's global rng, the same in all processes.
        place = position.phase.name, position.epoch, position.example
        torch.manual_seed(seed_at("step", self.options.seed, *place))
        # No cache of autocast: a step updates a model several times, and cached casts would be of old weights.
        with (
            torch.autocast(self.stage.device.type, torch.bfloat16, self.options.bf16, cache_enabled=False),
            compiled(self.stage.device) if self.options.compile else nullcontext(),
        ):
            return self.stage.train_step(position)

    # The end of an epoch

    def _finish_epoch(self) -> None:
        stage, models = self.stage, self.stage.finished_models()
        for model in models.values():
            model.eval()
        metrics = stage.validate(models)
        with self.ranks.together():
            self._keep(models, metrics)
        self.stops.agree()

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
        self.status.last_epoch = record
        self.status.update(progress)
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
        return plain_bytes(state_of(stage, self.progress))

    def _require_finite_weights(self) -> None:
        """Raise `UserError` for weights that are not finite, before they replace good ones on disk."""
        for name, model in self.stage.models.items():
            if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
                raise UserError(f"the weights of {name} are not finite any more. {_REMEDY}")

"""Measure every stage and preset on a GPU, eager and compiled, in less than ten minutes.

    python -m benchmarks.gpu --store demo/store --measures demo/measures/bach
    python -m benchmarks.gpu --store demo/store --only large-3-128 --tf32 --bf16
    python -m benchmarks.gpu --store demo/store --only paper-1-32 --device cpu --modes eager --steps 2

For each case: examples per second by the clock; floating-point operations per second as a share of what a large matrix
product reaches in the same precision (operations are counted on the meta device); peak memory, for the prediction of
benchmarks/device_memory.py; and the largest difference of the losses of a first step to those on the CPU in float32
with equal random numbers and without dropout, relative to losses above 1. What begins after `--minutes` is left out.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.against import difference
from benchmarks.device_memory import gpu_peak, reset_gpu_peak
from benchmarks.meta_stages import meta_step, to_meta
from benchmarks.stage_cases import CaseOptions, built_case, title
from benchmarks.timing import machine, print_table, timed
from benchmarks.training_steps import position_of, without_dropout
from common.device import prepare_process, select_device, upload
from common.errors import run_command
from common.options import option, parse_options
from common.randomness import rng_at
from data.windows import draw_semitones
from models.compiling import compiled
from training.roll_stage import Draw, RollStage
from training.stage import Position, Stage

MODES = EAGER, COMPILED = "eager", "compiled"
HEADING = ("", "examples/s", "share of the peak rate", "MB at the peak", "difference of losses to the CPU")
_WARM_UP = 3  # steps, in which parts are compiled and graphs recorded
_LEFT_OUT = "left out: no time"


@dataclass(frozen=True)
class Options(CaseOptions):
    """What to measure."""

    device: str = option("cuda", "where to train", choices=("cuda", "cpu"))
    tf32: bool = option(False, "round the factors of matrix products to TF32")
    bf16: bool = option(False, "compute in bfloat16 where that is safe (autocast)")
    modes: tuple[str, ...] = option(MODES, "without and with compilation", choices=MODES)
    steps: int = option(20, "steps to time", minimum=1)
    minutes: float = option(8.0, "after which no case is begun", above=0)


class HostDraw(Draw):
    """The random numbers of a step on any device, drawn on the host."""

    def __init__(self, stage: RollStage, position: Position) -> None:
        super().__init__(stage._windows_of(position.epoch), stage.order, stage.options, position)
        self._rng = rng_at("host", position.epoch, position.example)

    def _semitones(self, n: int) -> Tensor:
        return upload(draw_semitones(n, self._rng), self._source.device)

    def normal(self, size: int, first: int | None = None) -> Tensor:
        shape = self.n if first is None else first, size
        return upload(torch.randn(shape, generator=self._rng), self._source.device)

    def uniform(self, *size: int) -> Tensor:
        return upload(torch.rand(self.n, *size, generator=self._rng), self._source.device)


def first_losses(stage: Stage) -> dict[str, float]:
    """The losses of a first step without dropout."""
    position = position_of(stage, 0)
    with without_dropout(stage):
        of_rolls = isinstance(stage, RollStage)
        losses = stage.iterate(HostDraw(stage, position)) if of_rolls else stage.train_step(position)
    return {name: loss.item() for name, loss in losses.items()}


def operations_of(stage: Stage) -> int:
    """Floating-point operations of a step of a stage that is built on the CPU; it is on the meta device afterwards."""
    with FlopCounterMode(display=False) as counter:
        meta_step(to_meta(stage), position_of(stage, 0))
    return counter.get_total_flops()


class Bench:
    """Stages of the cases on one device."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options, self.folder, self.device = options, folder, select_device(options.device)
        self.setup = prepare_process(self.device, tf32=options.tf32)
        self.peak_rate = self._peak_rate()

    def _peak_rate(self) -> float:
        """Floating-point operations per second of a large matrix product."""
        n, dtype = 8192 if self.device.type == "cuda" else 512, torch.bfloat16 if self.options.bf16 else torch.float32
        factor = torch.ones(n, n, dtype=dtype, device=self.device)
        return 2 * n**3 / min(timed(lambda: factor @ factor)[0] for _ in range(5))

    def _built(self, name: str, device: str) -> Stage:
        stage = built_case(name, self.options, self.folder, device)
        stage.start()
        return stage

    @contextmanager
    def _computing(self, mode: str) -> Iterator[None]:
        """A step as the training loop takes it."""
        with (
            torch.autocast(self.device.type, torch.bfloat16, self.options.bf16, cache_enabled=False),
            compiled(self.device) if mode == COMPILED else nullcontext(),
        ):
            yield

    def rows(self, name: str, deadline: float) -> Iterator[list[str]]:
        """The rows of a case, by mode."""
        stage = None
        for mode in self.options.modes:
            row = f"{title(name)}, {mode}"
            if time.perf_counter() > deadline:
                yield [row, _LEFT_OUT, "", "", ""]
                continue
            if stage is None:
                on_cpu = first_losses(self._built(name, "cpu"))
                operations = operations_of(built_case(name, self.options, self.folder))
            stage = self._built(name, self.options.device)
            with self._computing(mode):
                gap = difference([on_cpu], [first_losses(stage)])
            seconds, peak = self._measured(stage, mode)
            rate = min(stage.options.batch_size, stage.n_examples) / seconds
            yield [row, f"{rate:,.0f}", f"{operations / seconds / self.peak_rate:.1%}", peak, f"{gap:.0e}"]

    def _measured(self, stage: Stage, mode: str) -> tuple[float, str]:
        """Seconds of a step, and megabytes at the peak."""

        def take(steps: range) -> None:
            for step in steps:
                with self._computing(mode):
                    stage.train_step(position_of(stage, step))

        if self.device.type == "cuda":
            reset_gpu_peak()
        timed(lambda: take(range(_WARM_UP)))
        seconds, _ = timed(lambda: take(range(_WARM_UP, _WARM_UP + self.options.steps)))
        return seconds / self.options.steps, gpu_peak()


def gpu(options: Options) -> None:
    """Print the table. Raises `UserError` where there is no GPU, or the data are missing."""
    deadline, rows = time.perf_counter() + 60 * options.minutes, []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for name in options.only:
            for row in bench.rows(name, deadline):
                print(*row, sep=" | ", file=sys.stderr, flush=True)
                rows.append(row)
    rate = f"a matrix product reaches {bench.peak_rate / 1e12:,.2f} TFLOP/s"
    print_table(f"{machine()}; {bench.setup}; {'bfloat16' if options.bf16 else 'float32'}, {rate}", HEADING, rows)


if __name__ == "__main__":
    run_command(lambda: gpu(parse_options(Options, __doc__)))

"""Predict how training scales to many GPUs, from the arithmetic and the messages of a step.

    python -m benchmarks.scaling --store demo/store --measures demo/measures/bach
    python -m benchmarks.scaling --store demo/store --only large-1-128 --batch-size 1024 --gpus 8,64

Operations, kernels and messages of a step are counted on the meta device. A step on N GPUs takes

    max((fixed + per example x batch / N) / --tflops, kernels x --launch-us) + sum of the messages,

where a message takes --latency-us x log2 N, and its bytes as in a ring, at --node-gb within a machine of 8 GPUs and
--link-gb between machines. Fixed are the operations that every process repeats: those of Muon. "Speed" is that of N
GPUs with the batch of one. A GPU is full when its arithmetic takes as long as the start of its kernels; "efficiency" is
the share of a step of N full GPUs that is not messages. The rates are assumptions; `python -m benchmarks.gpu` measures
those of a card. `python -m benchmarks.processes --link-ms 2` checks the part of the messages.
"""

import math
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.meta_stages import meta_step, to_meta
from benchmarks.slow_link import ring_seconds
from benchmarks.stage_cases import CaseOptions, built_case, title
from benchmarks.timing import print_table
from benchmarks.training_steps import position_of
from common.errors import UserError, run_command
from common.options import option, parse_options
from training.ranks import Part, Ranks

GPUS_OF_A_MACHINE = 8


@dataclass(frozen=True)
class Options(CaseOptions):
    """The cluster."""

    gpus: tuple[int, ...] = option((8, 64, 256), "numbers of GPUs", minimum=2)
    tflops: float = option(20.0, "10^12 operations per second that a GPU reaches in these networks", above=0)
    launch_us: float = option(5.0, "microseconds between two kernels; 1 to 2 with CUDA graphs", above=0)
    latency_us: float = option(10.0, "microseconds of a message, for each doubling of the GPUs", minimum=0)
    node_gb: float = option(300.0, "10^9 bytes per second between GPUs of a machine", above=0)
    link_gb: float = option(50.0, "10^9 bytes per second of a GPU to other machines", above=0)


@dataclass(frozen=True)
class CountingRanks(Ranks):
    """The first of several processes, which exchange nothing; `sizes` are the bytes of the messages."""

    size: int = 2
    sizes: list[int] = field(default_factory=list)

    def sum(self, tensor: Tensor) -> Tensor:
        self.sizes.append(tensor.nbytes)
        return tensor.detach().clone()

    def gather(self, rows: Tensor, part: Part) -> Tensor:
        self.sizes.append(rows.nbytes)
        return rows


class KernelCount(TorchDispatchMode):
    """Operations that are no views: each starts a kernel, or a few."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += not operation.is_view
        return operation(*arguments, **(options or {}))


@dataclass(frozen=True)
class Step:
    """A step of `batch` examples in one process."""

    batch: int
    operations: int
    kernels: int
    messages: list[int]


@dataclass(frozen=True)
class Costs:
    """Of a step: operations per example and of every process, kernels, and bytes of each message."""

    batch: int
    per_example: float
    fixed: float
    kernels: int
    messages: list[int]

    def computing(self, examples: float, options: Options) -> float:
        """Seconds of the arithmetic of a step with so many examples on a GPU, or of starting its kernels."""
        arithmetic = (self.fixed + self.per_example * examples) / (1e12 * options.tflops)
        return max(arithmetic, 1e-6 * options.launch_us * self.kernels)

    def full(self, options: Options) -> int:
        """Examples with which a GPU computes as long as its kernels take to start; with fewer, a step is no shorter."""
        operations = 1e6 * options.tflops * options.launch_us * self.kernels
        return max(1, round((operations - self.fixed) / self.per_example))

    def sending(self, n_gpus: int, options: Options) -> float:
        """Seconds of the messages of a step."""
        bandwidth = options.node_gb if n_gpus <= GPUS_OF_A_MACHINE else options.link_gb
        latency = 1e-6 * options.latency_us * math.log2(n_gpus)
        return sum(ring_seconds(n_bytes, n_gpus, latency, 1e9 * bandwidth) for n_bytes in self.messages)

    def gain(self, n_gpus: int, batch: int, options: Options) -> float:
        """Examples per second of all GPUs, relative to one GPU with the same batch."""
        together = self.computing(batch / n_gpus, options) + self.sending(n_gpus, options)
        return self.computing(batch, options) / together

    def efficiency(self, n_gpus: int, options: Options) -> float:
        """Share of a step in which full GPUs compute."""
        computing = self.computing(self.full(options), options)
        return computing / (computing + self.sending(n_gpus, options))


def step_of(name: str, options: Options, folder: Path) -> Step:
    """Count a step of a case."""
    stage, ranks = to_meta(built_case(name, options, folder)), CountingRanks()
    position = position_of(stage, 0)
    meta_step(stage, position)  # makes the optimizers' state
    stage.ranks = ranks
    with KernelCount() as kernels, FlopCounterMode(display=False) as operations:
        meta_step(stage, position)
    return Step(stage.options.batch_size, operations.get_total_flops(), kernels.count, ranks.sizes)


def costs_of(name: str, options: Options, folder: Path) -> Costs:
    """Costs of a case, from steps of two sizes."""
    step = step_of(name, options, folder)
    if step.batch < 4:
        raise UserError("--batch-size: costs are those of a whole and of half a batch; give at least 4")
    half = step_of(name, replace(options, batch_size=step.batch // 2), folder)
    per_example = (step.operations - half.operations) / (step.batch - half.batch)
    fixed = step.operations - per_example * step.batch
    return Costs(step.batch, per_example, fixed, step.kernels, step.messages)


def scaling(options: Options) -> None:
    """Print what a step costs, and the predictions. Raises `UserError` where the data are missing."""
    heading = ["", "examples a step", "MFLOP an example", "fixed GFLOP", "kernels", "messages", "MB sent"]
    heading += [f"speed, {n} GPUs" for n in options.gpus] + ["examples that fill a GPU"]
    heading += [f"efficiency, {n} full GPUs" for n in options.gpus]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            costs = costs_of(name, options, Path(folder))
            row = [title(name), f"{costs.batch}", f"{costs.per_example / 1e6:,.1f}", f"{costs.fixed / 1e9:.1f}"]
            row += [f"{costs.kernels:,}", f"{len(costs.messages)}", f"{sum(costs.messages) / 1e6:.2f}"]
            row += [f"{costs.gain(n, costs.batch, options):.2f}" for n in options.gpus]
            row += [f"{costs.full(options):,}"] + [f"{costs.efficiency(n, options):.2f}" for n in options.gpus]
            rows.append(row)
    print_table(f"{options.tflops:g} TFLOP/s, {options.launch_us:g} us a kernel", heading, rows)


if __name__ == "__main__":
    run_command(lambda: scaling(parse_options(Options, __doc__)))

"""Run a training whose processes exchange tensors over a simulated slow link.

    torchrun --nproc-per-node=2 -m benchmarks.slow_link 0.5 100 train_cvae.py --preset large

The numbers are the latency of a message in milliseconds and the bandwidth in megabytes (10^6 bytes) per second. Each
all-reduce and all-gather waits as long as a ring of the processes would take to send the bytes.
"""

import runpy
import sys
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor, distributed


def ring_seconds(n_bytes: float, n_processes: int, latency: float, bytes_per_second: float) -> float:
    """Seconds of an all-reduce in a ring, where each process sends 2 (n - 1) / n of the bytes."""
    return latency + 2 * (n_processes - 1) / n_processes * n_bytes / bytes_per_second


def slowed(function: Callable[..., Any], tensor_at: int, latency: float, bytes_per_second: float) -> Callable[..., Any]:
    """`function`, a collective whose argument number `tensor_at` is the sent tensor, over the link."""

    def call(*arguments: Any, **options: Any) -> Any:
        sent: Tensor = arguments[tensor_at]
        time.sleep(ring_seconds(sent.nbytes, distributed.get_world_size(), latency, bytes_per_second))
        return function(*arguments, **options)

    return call


def main() -> None:
    latency, bandwidth = float(sys.argv[1]) / 1e3, float(sys.argv[2]) * 1e6
    distributed.all_reduce = slowed(distributed.all_reduce, 0, latency, bandwidth)
    distributed.all_gather = slowed(distributed.all_gather, 1, latency, bandwidth)
    sys.argv = sys.argv[3:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()

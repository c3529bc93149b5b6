"""How many clips go through a network at a time, and on how many threads."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

CLIPS_A_BATCH = 32  # on a GPU


def run_batches(
    run: Callable[[list[np.ndarray]], Tensor], clips: Sequence[np.ndarray], device: torch.device, width: int
) -> np.ndarray:
    """`run` maps some clips to rows (B, width) on any device; returns the rows of all, float32 (n, width), in order.

    On a CPU every clip goes alone and on one thread, several clips at the same time. Its result then depends neither on
    the clips beside it nor on the number of threads, and no thread waits for another: one network on two threads took
    six times as long on a machine that had other work.
    """
    if device.type != "cpu":
        rows = [run(list(clips[first : first + CLIPS_A_BATCH])) for first in range(0, len(clips), CLIPS_A_BATCH)]
    else:
        rows = list(_one_by_one(run, clips))
    return torch.cat([torch.empty(0, width), *(part.float().cpu() for part in rows)]).numpy()


def _one_by_one(run: Callable[[list[np.ndarray]], Tensor], clips: Sequence[np.ndarray]) -> Iterator[Tensor]:
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(lambda clip: run([clip]), clips)
    finally:
        torch.set_num_threads(threads)  # the pool's threads have changed what later ones start with

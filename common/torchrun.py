"""The processes that torchrun starts, and work that they share.

In a program that generates or evaluates, the first process runs the program, and the others compute what `divided`
hands to them: output, files and decisions are those of one process. A training runs in every process instead
(`training.ranks`).
"""

import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from common.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")
_Work = Callable[[Sequence[Item]], Iterable[Result]]
_LONG = timedelta(days=30)  # how long the others may wait for work
_n_sharing = 1  # processes between which `divided` divides


@contextmanager
def process_group(backend: str, **options: Any) -> Iterator[tuple[int, int]]:
    """Connect the processes of torchrun; yields this one's number and their count, (0, 1) without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["WORLD_SIZE"] == "1":
        yield 0, 1
        return
    from torch import distributed

    distributed.init_process_group(backend, **options)
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        lost = f"process {os.environ['RANK']}: another process is gone; run the command again to resume"
        raise UserError(lost) from error
    finally:
        distributed.destroy_process_group()


def n_sharing() -> int:
    """The number of processes that share the work of `divided`."""
    return _n_sharing


def threads_here() -> int:
    """One thread a core, shared between the processes of this machine."""
    here = int(os.environ["LOCAL_WORLD_SIZE"]) if _n_sharing > 1 else 1
    return max(1, (os.cpu_count() or 1) // here)


def run_divided(main: Callable[[], object]) -> None:
    """Call `main` in the first process; the others work for it until it ends. Without torchrun, only call it."""
    global _n_sharing
    with process_group("gloo", timeout=_LONG) as (rank, size):
        if rank:
            _serve()
            return
        _n_sharing = size
        try:
            main()
        finally:
            if _n_sharing > 1:  # otherwise it ends within `divided`, and the others notice
                _send(None)
            _n_sharing = 1


def divided(work: _Work[Item, Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield what `work` yields for the items, one result each, in order; every process works on every N-th item.

    `work` is a function of a module, or a partial of one. One process yields each result once it is there.
    """
    global _n_sharing
    if _n_sharing == 1 or len(items) < 2:
        yield from work(items)
        return
    size, _n_sharing = _n_sharing, 1
    _send((work, items))
    shares = _gather(*_share(work, items, 0, size), size)
    _n_sharing = size
    for _, error in shares:
        if error:
            raise error
    for place in range(len(items)):
        yield shares[place % size][0][place // size]


def _serve() -> None:
    from torch import distributed

    rank, size = distributed.get_rank(), distributed.get_world_size()
    try:
        while job := _send():
            _gather(*_share(*job, rank, size), size)
    except (KeyboardInterrupt, RuntimeError):  # the first process reports it, or has ended
        raise SystemExit(1) from None


def _share(
    work: _Work[Item, Result], items: Sequence[Item], rank: int, size: int
) -> tuple[list[Result], Exception | None]:
    """The results of the items of a process, or the error that ended it."""
    try:
        return list(work(items[rank::size])), None
    except (UserError, OSError) as error:
        return [], error
    except Exception:
        return [], RuntimeError(f"process {rank}: {traceback.format_exc()}")


def _send(job: Any = None) -> Any:
    """A job from the first process to all; returns it. None: there are no more."""
    from torch import distributed

    jobs = [job]
    distributed.broadcast_object_list(jobs)
    return jobs[0]


def _gather(results: list[Result], error: Exception | None, size: int) -> list[tuple[list[Result], Exception | None]]:
    """The results of all processes, in the first of them."""
    from torch import distributed

    every = [None] * size if distributed.get_rank() == 0 else None
    distributed.gather_object((results, error), every)
    return every or []

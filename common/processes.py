"""Work over many items in several processes, which end with this one and of which one may die."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, *, died: Result, chunk: int = 1
) -> Iterator[Result]:
    """`work` of every item, in their order. Under two workers, everything is done in this process.

    Where a worker is killed, as the system does when memory runs out, the items at hand are tried again, each
    alone; the result of one that ends its process again is `died`. The workers end when this process does, however it
    ends. `work` is a function of a module, or a partial of one.
    """
    if workers < 2:
        yield from map(work, items)
        return
    chunks = [items[first : first + chunk] for first in range(0, len(items), chunk)]
    done = 0
    while done < len(chunks):
        try:
            for results in _in_pool(work, chunks[done:], workers):
                done += 1
                yield from results
        except BrokenProcessPool:
            # Which item it was is unknown. The first chunk without a result is done with care; if it was a later one,
            # the next pool breaks as well, until that chunk is the first.
            yield from _one_by_one(work, chunks[done], died)
            done += 1


def _in_pool(
    work: Callable[[Item], Result], chunks: Sequence[Sequence[Item]], workers: int
) -> Iterator[list[Result]]:
    with _pool(min(workers, len(chunks))) as pool:
        waiting = iter(chunks)
        # A few chunks ahead: enough to keep the workers busy, without holding all results.
        running: deque[Future[list[Result]]] = deque()
        try:
            running.extend(pool.submit(_work_through, work, items) for items in islice(waiting, 4 * workers))
            while running:
                yield running.popleft().result()
                running.extend(pool.submit(_work_through, work, items) for items in islice(waiting, 1))
        except BaseException:
            # Do not wait for the items at hand, which may take hours. SIGTERM lets a training save its state.
            for worker in active_children():
                worker.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _one_by_one(work: Callable[[Item], Result], items: Sequence[Item], died: Result) -> Iterator[Result]:
    pool = _pool(1)
    try:
        for item in items:
            try:
                yield pool.submit(work, item).result()
            except BrokenProcessPool:
                yield died
                pool = _pool(1)
    finally:
        pool.shutdown()


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned rather than forked: a fork of a program whose libraries run threads can hang.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)


_stopped = False  # in a worker: whether an item ended by SystemExit, as a training does on SIGTERM


def _work_through(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    global _stopped
    if _stopped:  # these items were handed out before the pool was shut down
        raise SystemExit
    try:
        return [work(item) for item in items]
    except SystemExit:
        _stopped = True
        raise


def _end_with_parent() -> None:
    """Ctrl-C is for the parent to answer; a parent that is gone ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_the_end_of_the_parent, daemon=True).start()


def _wait_for_the_end_of_the_parent() -> None:
    parent = parent_process()
    assert parent is not None, "a worker has a parent"
    wait([parent.sentinel])
    os._exit(1)

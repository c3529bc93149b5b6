"""Map a function over items in worker processes that end with this process and may be killed."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import active_children, current_process, get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event as EventType
from pathlib import Path
from typing import Any, TypeVar

from common.errors import UserError, signals_deferred

Item = TypeVar("Item")
Result = TypeVar("Result")
_CONTEXT = get_context("spawn")  # not forked: a fork of a program with threads can hang
_UNGUARDED = (
    "no worker process can start, because each imports the running script: save the script in a file, put the call "
    'below `if __name__ == "__main__":`, or work in this process alone (workers=1)'
)


def map_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, *, died: Result, chunk: int = 1
) -> Iterator[Result]:
    """Yield `work(item)` for all items in order. With fewer than two workers, this process does the work.

    When a worker is killed, as the system does when memory runs out, its items are retried one by one; an item that
    kills its process again yields `died`. `work` is a function of a module, or a partial of one.

    Raises `UserError` where no worker can start, because the running script cannot be imported.
    """
    if workers < 2:
        yield from map(work, items)
        return
    end_if_imported_by_worker()
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script and not Path(script).exists():  # as from standard input
        raise UserError(_UNGUARDED)
    chunks = [items[first : first + chunk] for first in range(0, len(items), chunk)]
    done, started = 0, _CONTEXT.Event()
    while done < len(chunks):
        try:
            for results in _in_pool(work, chunks[done:], workers, started):
                done += 1
                yield from results
        except BrokenProcessPool:
            if not started.is_set():
                raise UserError(_UNGUARDED) from None
            # The deadly item is unknown. Retry the first chunk without a result one by one; if a later chunk holds it,
            # the next pool breaks too, until that chunk is the first.
            yield from _one_by_one(work, chunks[done], died)
            done += 1


def end_if_imported_by_worker() -> None:
    """End a process that is starting as a worker, and runs the script of its parent because that has no main guard.

    The parent then raises the error; without this, each worker would print another one.
    """
    if getattr(current_process(), "_inheriting", False):
        os._exit(1)


def _in_pool(
    work: Callable[[Item], Result], chunks: Sequence[Sequence[Item]], workers: int, started: EventType
) -> Iterator[list[Result]]:
    others = active_children()  # of this process, not of this pool
    with _pool(min(workers, len(chunks)), started) as pool:
        waiting = iter(chunks)
        # A few chunks ahead keep the workers busy without holding all results in memory.
        running: deque[Future[list[Result]]] = deque()
        try:
            running.extend(_submit(pool, _map, work, items) for items in islice(waiting, 4 * workers))
            while running:
                yield running.popleft().result()
                running.extend(_submit(pool, _map, work, items) for items in islice(waiting, 1))
        except BaseException:
            # Items in work may take hours: do not wait for them. On SIGTERM a training saves its state.
            for worker in set(active_children()).difference(others):
                worker.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, *call: Any) -> Future[Any]:
    """Submit a call; it may start a worker, which would print an error if a signal came before its first message."""
    with signals_deferred():
        return pool.submit(*call)


def _one_by_one(work: Callable[[Item], Result], items: Sequence[Item], died: Result) -> Iterator[Result]:
    pool = _pool(1)
    try:
        for item in items:
            try:
                yield _submit(pool, work, item).result()
            except BrokenProcessPool:
                yield died
                pool = _pool(1)
    finally:
        pool.shutdown()


_stopped = False  # in a worker: whether an item raised SystemExit, as a training does on SIGTERM


def _map(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    global _stopped
    if _stopped:  # these items were submitted before the pool was shut down
        raise SystemExit
    try:
        return [work(item) for item in items]
    except SystemExit:
        _stopped = True
        raise


def _pool(workers: int, started: EventType | None = None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=_CONTEXT, initializer=_end_with_parent, initargs=(started,))


def _end_with_parent(started: EventType | None) -> None:
    """Leave Ctrl-C to the parent, and end this process when the parent ends; sets the event `started`."""
    if started:
        started.set()
    parent = parent_process()
    assert parent is not None, "a worker has a parent"

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end, daemon=True).start()

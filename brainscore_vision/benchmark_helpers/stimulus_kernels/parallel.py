"""Work shared among threads or processes, results in order.

Threads, since numpy, scipy's transforms and Pillow release the interpreter's lock while they work, and threads need no
guard in the user's main script. Above a handful of processors the rest of the work, which holds the lock, is what takes
the time: forked processes, where there are any, need no guard either.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TypeVar

Task, Result = TypeVar("Task"), TypeVar("Result")

MOST_WORKERS = 32

PROCESSORS: ContextVar[int | None] = ContextVar("processors", default=None)
"""How many processors this part of a program may use. None: as many as the process may, or ``OMP_NUM_THREADS``."""


def available_processors() -> int:
    """Processors that this process may run on; those of the machine where the system does not say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count() -> int:
    """Threads that share a work: one per processor, and two at least."""
    available = available_processors()
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    most = PROCESSORS.get() or (int(asked) if asked.isdecimal() else MOST_WORKERS)
    return max(2, min(MOST_WORKERS, available, most))


def spare_workers() -> int:
    """Threads for what can be computed beside other work that uses all processors in part: one of two processors."""
    return max(1, worker_count() // 2)


def ordered_map(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int, processes: bool = False
) -> Iterator[Result]:
    """Results of the function in the order of the tasks, computed by threads, or by processes where they can be forked.

    What processes take and give is pickled.
    At most `workers + 1` results wait at a time, so memory does not grow with the number of tasks.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    with _pool(workers, processes) as pool:
        waiting: deque = deque()
        try:
            for task in tasks:
                # threads see the settings of this part of the program; processes are copies of all of it
                run = (function,) if isinstance(pool, ProcessPoolExecutor) else (copy_context().run, function)
                waiting.append(pool.submit(*run, task))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _pool(workers: int, processes: bool) -> Executor:
    if processes and "fork" in multiprocessing.get_all_start_methods():
        # Ctrl-C reaches all processes of a terminal: the first one ends the others
        ignore = (signal.SIGINT, signal.SIG_IGN)
        return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), signal.signal, ignore)
    return ThreadPoolExecutor(workers)

"""Work shared among threads or processes, results in order.

Threads, since numpy, scipy's transforms and Pillow release the interpreter's lock while they work, and threads need no
guard in the user's main script. Above a handful of processors the rest of the work, which holds the lock, is what takes
the time: forked processes, where there are any, need no guard either.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

from brainscore_vision.benchmark_helpers.stimulus_kernels.options import available_processors

from ..errors import DatasetError

Task, Result = TypeVar("Task"), TypeVar("Result")


def worker_count(workers: int | None) -> int:
    """The number of threads to use; None means as many as the process may use processors, at most 16.

    Raises
    ------
    DatasetError
        If it is not a whole number of at least 1.
    """
    if workers is None:
        return min(16, available_processors())
    if not isinstance(workers, int) or workers < 1:
        raise DatasetError(
            f"workers is the number of threads, a whole number from 1, or None for all processors; got {workers!r}."
        )
    return workers


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
                waiting.append(pool.submit(function, task))
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

"""Work shared among threads, results in order.

Threads and not processes, since numpy, scipy's transforms and Pillow release the interpreter's lock while they work,
and threads need no guard in the user's main script.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import DatasetError

Task, Result = TypeVar("Task"), TypeVar("Result")


def worker_count(workers: int | None) -> int:
    """The number of threads to use; None means as many as the process may use processors, at most 8.

    Raises
    ------
    DatasetError
        If it is not a whole number of at least 1.
    """
    if workers is None:
        return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if not isinstance(workers, int) or workers < 1:
        raise DatasetError(
            f"workers is the number of threads, a whole number from 1, or None for all processors; got {workers!r}."
        )
    return workers


def ordered_map(function: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Results of the function in the order of the tasks, computed by threads.

    At most `workers + 1` results wait at a time, so memory does not grow with the number of tasks.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    with ThreadPoolExecutor(workers) as pool:
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

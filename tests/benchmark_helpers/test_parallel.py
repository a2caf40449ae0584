"""Work shared among threads: how many, and with which settings."""

import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels import parallel
from brainscore_vision.benchmark_helpers.stimulus_kernels.parallel import ordered_map, spare_workers


@pytest.mark.parametrize(
    ("processors", "limit", "variable", "expected"),
    [
        *[(8, None, "", 8), (8, 3, "", 3), (8, 3, "5", 3), (8, None, "5", 5), (8, None, "6,2", 6)],
        *[(1, None, "", 2), (99, None, "", 32)],
    ],
)
def test_threads_are_as_many_as_processors_may_be_used(processors, limit, variable, expected, monkeypatch):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(processors)))
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    token = parallel.PROCESSORS.set(limit)
    try:
        assert parallel.worker_count() == expected
    finally:
        parallel.PROCESSORS.reset(token)


@pytest.mark.parametrize(("processors", "limit", "expected"), [(1, None, 1), (2, None, 1), (16, None, 8), (16, 4, 2)])
def test_one_processor_works_and_every_second_one_helps(processors, limit, expected, monkeypatch):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(processors)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    token = parallel.PROCESSORS.set(limit)
    try:
        assert spare_workers() == expected
    finally:
        parallel.PROCESSORS.reset(token)


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_see_the_settings_of_who_asks(workers):
    token = parallel.PROCESSORS.set(5)
    try:
        assert set(ordered_map(lambda _: parallel.PROCESSORS.get(), range(9), workers)) == {5}
    finally:
        parallel.PROCESSORS.reset(token)


def test_an_error_comes_in_its_turn():
    done = []

    def fail_at_two(x):
        if x == 2:
            raise ValueError("two")
        return x

    with pytest.raises(ValueError, match="two"):
        done.extend(ordered_map(fail_at_two, range(9), 3))

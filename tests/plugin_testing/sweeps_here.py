"""The processes of a sweep as this one: a process costs seconds of imports."""

from concurrent.futures import Future

import pytest
from distributed import LocalCluster

from brainscore_vision.benchmarks.laion_fmri_7t.sweep import cluster, forecast, preflight


class Executor:
    """Stands in for a ProcessPoolExecutor, and calls at once."""

    def __init__(self, *_, **__):
        pass

    def submit(self, function, *arguments) -> Future:
        future = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - handed on
            future.set_exception(error)
        return future

    def shutdown(self, **_):
        pass


def _workers(workers, allowed_deaths: int) -> LocalCluster:
    return LocalCluster(
        n_workers=workers.n,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        memory_limit=0,  # dask would look at this process
        resources={cluster.RESOURCE: cluster.offered_bytes(workers.memory)},
        dashboard_address="127.0.0.1:0",
    )


def measure_shortly(patch: pytest.MonkeyPatch) -> None:
    """Forecast from a few images and fits, where sweeps measure each model and cell for two seconds."""
    patch.setattr(forecast, "MODEL_SECONDS", 0.05)
    patch.setattr(forecast, "CELL_SECONDS", 0.05)


def sweep_here(patch: pytest.MonkeyPatch) -> None:
    """Check models, and score them, in this process until the patch is undone."""
    patch.setattr(preflight, "ProcessPoolExecutor", Executor)
    patch.setattr(cluster, "_local_cluster", _workers)

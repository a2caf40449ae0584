"""Many models on many benchmarks, on dask.distributed: killed, failed and repeated without losing what is done.

:mod:`.plan` says what has to be done, :mod:`.tasks` is what workers do, :mod:`.cluster` is where they are, :mod:`.run`
hands out the tasks and keeps what comes back, :mod:`.progress` shows it. Before all that, :mod:`.preflight` looks at the
models, and :mod:`.forecast` says how long it will take.

What a task is follows what the work shares:

- One task per model makes its kernels. A forward pass serves the layers of all regions, and the shared images are part of
  every pool, so that tasks per pool or layer would show images again. Features wait on the disk of the worker that
  recorded them and become kernels in the same task; kernels go to the store, which all workers see.
- One task per model, layer and training set scores the benchmarks (cells) that share it: reading the kernel and the
  eigendecomposition is most of their time, and subjects of the shared pool share both. Finer tasks would decompose again;
  coarser ones lose more when a worker dies, so only those of a few images are joined, to seconds of work. They depend on
  the kernels in the store alone, so a sweep that is started again takes up with them wherever it was.

Only the process that runs the sweep writes to the results database, all that a task brings at once; workers send back what
is to be written, checked and encoded.
"""

from .errors import SweepError, UnknownNamesError
from .plan import ModelPlan, SweepPlan, Target, check_names, make_plan
from .run import Summary, run_sweep
from .tasks import Settings

__all__ = [
    "ModelPlan",
    "SweepPlan",
    "Settings",
    "Summary",
    "SweepError",
    "Target",
    "UnknownNamesError",
    "check_names",
    "make_plan",
    "run_sweep",
]

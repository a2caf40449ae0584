"""Responses of one person to ten images, and a task of theirs, as small as tests of what people say of their data want."""

import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    NoiseCeiling,
    Responses,
    RidgeMetric,
    SubjectTask,
)

IDS = tuple(f"image {i}" for i in range(10))


def responses(values, ids=IDS, counts=(4,) * 10) -> Responses:
    return Responses(
        subject="ann",
        stimulus_ids=ids,
        values=values,
        n_repetitions=counts,
        neuroids=pd.DataFrame({"voxel": range(3)}),
        noise_ceiling=NoiseCeiling(np.full(3, 0.5), 1 / 4),
    )


def task(train, test, **options) -> SubjectTask:
    return SubjectTask("ann", "IT", "IT", None, train, test, RidgeMetric(), lambda: None, **options)

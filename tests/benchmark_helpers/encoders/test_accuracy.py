"""How well an encoder predicts: intervals of single voxels over other stimuli."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from brainscore_vision.benchmark_helpers.stimulus_kernels import NoiseCeiling, Responses
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders import accuracy
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import resampled_counts


@pytest.mark.parametrize("n_groups", [7, 28])
def test_intervals_of_voxels_are_by_t_where_families_are_few(n_groups):
    rng = np.random.default_rng(20261127)
    ids = tuple(f"image {i}" for i in range(84))
    groups = tuple(f"family {i % n_groups}" for i in range(84))
    predicted = rng.standard_normal((84, 5))
    measured = np.linspace(0, 30, 5) * predicted + rng.standard_normal((84, 5))  # the last is nearly all predicted
    test = Responses(
        "ann", ids, measured, np.full(84, 4), pd.DataFrame({"voxel": range(5)}), NoiseCeiling(np.full(5, 0.5), 1 / 4)
    )
    counts = resampled_counts(ids, 400, groups)
    drawn = [
        [np.corrcoef(np.repeat(p, c), np.repeat(m, c))[0, 1] for p, m in zip(predicted.T, measured.T, strict=True)]
        for c in counts.astype(int)
    ]
    r = np.array([np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, measured.T, strict=True)])
    half = t.ppf(0.975, n_groups - 1) * np.sqrt(n_groups / (n_groups - 1)) * np.std(drawn, axis=0, ddof=1)
    low, high = accuracy._intervals(r, predicted, test, counts, n_groups)
    np.testing.assert_allclose(low, r - half, atol=1e-9)
    np.testing.assert_allclose(high, np.minimum(r + half, 1), atol=1e-9)

"""The kernel against plain numpy, and its guard against cancellation."""

import numpy as np
import pandas as pd
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels import build_kernel, kernel_from_features
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.kernel import COLUMN_BLOCK, ArrayFeatures


def ids(n):
    return [f"stimulus {i}" for i in range(n)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8])
def test_gram_equals_inner_products_of_centred_features(dtype):
    rng = np.random.default_rng(1)
    features = (rng.standard_normal((17, 2 * COLUMN_BLOCK + 5)) * 20 + 100).astype(dtype)
    kernel = kernel_from_features(features, ids(17))
    centred = features.astype(float) - features.astype(float).mean(axis=0)
    np.testing.assert_allclose(kernel.gram, centred @ centred.T, rtol=1e-10, atol=1e-8)
    np.testing.assert_array_equal(kernel.gram, kernel.gram.T)
    assert kernel.n_features == features.shape[1]


def test_blocks_follow_the_order_asked_for():
    rng = np.random.default_rng(3)
    features = rng.standard_normal((9, 40))
    kernel = kernel_from_features(features, ids(9))
    chosen = [7, 2, 5]
    names = [ids(9)[i] for i in chosen]
    np.testing.assert_allclose(kernel.block(names, ids(9)), kernel.gram[chosen])


def test_stacked_sources_equal_one():
    rng = np.random.default_rng(4)
    features = rng.standard_normal((20, COLUMN_BLOCK + 300)).astype(np.float32)
    whole = kernel_from_features(features, ids(20))
    parts = build_kernel([ArrayFeatures(features[:6]), ArrayFeatures(features[6:])], ids(20))
    np.testing.assert_array_equal(whole.gram, parts.gram)


def test_rows_of_a_table_are_the_stimuli():
    frame = pd.DataFrame(np.random.default_rng(6).standard_normal((9, 9)), index=ids(9))
    expected = kernel_from_features(frame.to_numpy(), ids(9)).gram
    np.testing.assert_array_equal(kernel_from_features(frame, ids(9)).gram, expected)
    for wrong in (frame[::-1], frame.reset_index(drop=True).set_axis(ids(9), axis=1)):
        with pytest.raises(StimulusKernelError, match=r"the table has other names, or another order. .*frame.loc"):
            kernel_from_features(wrong, ids(9))


def test_bad_input_is_named():
    rng = np.random.default_rng(5)
    features = rng.standard_normal((5, 10))
    with pytest.raises(StimulusKernelError, match="repeated"):
        kernel_from_features(features, ["a", "b", "a", "c", "d"])
    with pytest.raises(StimulusKernelError, match="5 rows, 4 identifiers"):
        kernel_from_features(features, ids(4))
    with pytest.raises(StimulusKernelError, match=r"widths \[9, 10\]"):
        build_kernel([ArrayFeatures(features), ArrayFeatures(features[:, :9])], ids(10))
    with pytest.raises(StimulusKernelError, match="two dimensions"):
        kernel_from_features(features[0], ids(5))
    with pytest.raises(StimulusKernelError, match="not among its 5.*'x'"):
        kernel_from_features(features, ids(5)).block(["x"], ids(5))
    features[3, 4] = np.nan
    with pytest.raises(ModelOutputError, match="1 of 5 stimuli.*stimulus 3"):
        kernel_from_features(features, ids(5))


def test_features_too_large_to_be_squared_are_named():
    rng = np.random.default_rng(6)
    with pytest.raises(ModelOutputError, match="too large to be squared.*10 features of 5 stimuli"):
        kernel_from_features(rng.standard_normal((5, 10)) * 1e200, ids(5))

"""The two forms of a basis against the matrix that both stand for."""

import numpy as np
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.band import reduce_to_band
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.decomposition import (
    ConstantReflection,
    MatrixBasis,
    ReflectedBasis,
)

N = 300
"""More rows than a block of them."""


@pytest.fixture
def constant():
    return ConstantReflection.of_size(N)


@pytest.fixture(params=["matrix", "reflections"])
def basis(request, constant):
    rng = np.random.default_rng(1)
    features = rng.standard_normal((N - 1, N + 5))
    _, reflections = reduce_to_band(np.asfortranarray(features @ features.T), 32)
    if request.param == "reflections":
        return ReflectedBasis(constant, reflections)
    return MatrixBasis.below_a_row(reflections.matrix().copy(), constant)


def test_the_reflection_of_the_constant_vector(constant):
    ones = np.full((N, 1), 1 / np.sqrt(N))
    constant.apply(ones)
    np.testing.assert_allclose(ones[:, 0], -np.eye(N)[0], atol=1e-14)
    constant.apply(ones)
    np.testing.assert_allclose(ones[:, 0], 1 / np.sqrt(N), atol=1e-14)


@pytest.mark.parametrize(
    "matrix", [np.ones((N, 2), order="F"), np.ones((N, 2), dtype=np.float32)], ids=["order", "dtype"]
)
def test_what_cannot_be_changed_in_place_is_refused(constant, matrix):
    with pytest.raises(ValueError, match="float64 in C order; received"):
        constant.apply(matrix)


def test_orthonormal_and_orthogonal_to_the_constant_vector(basis):
    vectors = basis.combine(np.eye(N - 1))
    assert basis.shape == vectors.shape == (N, N - 1)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(N - 1), atol=1e-13)
    np.testing.assert_allclose(vectors.sum(axis=0), 0, atol=1e-12)


def test_coordinates_and_rows_are_those_of_the_matrix(basis):
    rng = np.random.default_rng(2)
    vectors, values = basis.combine(np.eye(N - 1)), rng.standard_normal((N, 3))
    expected = vectors.T @ values
    np.testing.assert_allclose(basis.coordinates(values.copy()), expected, atol=1e-12)
    some = rng.permutation(N)[:280]
    np.testing.assert_allclose(np.concatenate(list(basis.rows(some))), vectors[some], atol=1e-13)
    np.testing.assert_allclose(np.concatenate(list(basis.rows())), vectors, atol=1e-13)
    np.testing.assert_allclose(
        basis.coordinates(values.copy()), expected, atol=1e-12
    )  # now from a matrix, in both forms
    np.testing.assert_allclose(basis.combine(expected), vectors @ expected, atol=1e-12)

"""Reduction to a band, and what is computed from it, against dense linear algebra."""

import numpy as np
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.band import BandMatrix, reduce_to_band

SIZES = [(1, 4), (3, 4), (4, 4), (5, 4), (8, 4), (9, 4), (50, 7), (130, 32)]
"""Rows and width: less than a block, whole blocks, one row more."""


def reduced(matrix, width):
    """Q, B as a dense matrix, and B."""
    band, reflections = reduce_to_band(lower_of(matrix), width)
    return reflected(reflections, np.eye(len(matrix)), transposed=False), dense(band), band


def lower_of(matrix):
    """As the engine passes a matrix; the upper triangle is not read."""
    return np.asfortranarray(np.where(np.tri(len(matrix), dtype=bool), matrix, np.nan))


def reflected(reflections, right, transposed):
    product = np.full((len(right) + 1, right.shape[1]), np.nan)[1:]  # the rows of a larger array
    product[:] = right
    reflections.apply(product, transposed)
    return product


def dense(band: BandMatrix) -> np.ndarray:
    sizes = [len(block) for block in band.diagonal]
    starts = np.cumsum([0, *sizes])
    matrix = np.zeros((starts[-1], starts[-1]))
    for k, block in enumerate(band.diagonal):
        matrix[starts[k] : starts[k + 1], starts[k] : starts[k + 1]] = block
    for k, block in enumerate(band.below):
        matrix[starts[k + 1] : starts[k + 2], starts[k] : starts[k + 1]] = block
        matrix[starts[k] : starts[k + 1], starts[k + 1] : starts[k + 2]] = block.T
    return matrix


@pytest.fixture(params=SIZES, ids=str)
def case(request):
    rng = np.random.default_rng(1)
    n, width = request.param
    features = rng.standard_normal((n, 2 * n + 3))
    return features @ features.T, width


def test_the_product_is_the_matrix(case):
    matrix, width = case
    basis, band, _ = reduced(matrix, width)
    np.testing.assert_allclose(basis @ band @ basis.T, matrix, rtol=0, atol=1e-13 * len(matrix) * np.abs(matrix).max())
    np.testing.assert_allclose(basis.T @ basis, np.eye(len(matrix)), rtol=0, atol=1e-13)
    rows, columns = np.indices(band.shape)
    assert (band[np.abs(rows - columns) > width] == 0).all()


def test_reflections_are_the_matrix_that_they_become(case):
    rng = np.random.default_rng(2)
    matrix, width = case
    _, reflections = reduce_to_band(lower_of(matrix), width)
    right = rng.standard_normal((len(matrix), 3))
    before = [reflected(reflections, right, transposed) for transposed in (False, True)]
    basis = reflections.matrix().copy()
    np.testing.assert_allclose(basis.T @ basis, np.eye(len(matrix)), rtol=0, atol=1e-13)
    after = [reflected(reflections, right, transposed) for transposed in (False, True)]
    for expected, *found in zip((basis @ right, basis.T @ right), before, after, strict=True):
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-13)
        np.testing.assert_allclose(found[1], expected, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(reflections.matrix(), basis)


@pytest.mark.parametrize("alpha", [1e-10, 1.0, 1e6])
def test_solving(case, alpha):
    rng = np.random.default_rng(3)
    matrix, width = case
    _, band, blocks = reduced(matrix, width)
    right = rng.standard_normal((len(matrix), 3))
    untouched = right.copy()
    expected = np.linalg.solve(band + alpha * np.eye(len(band)), right)
    np.testing.assert_allclose(blocks.solve(right, alpha), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_array_equal(right, untouched)


@pytest.mark.parametrize("alpha", [1e-10, 1.0, 1e6])
def test_half_a_solution(case, alpha):
    matrix, width = case
    _, band, blocks = reduced(matrix, width)
    half = blocks.half_solve(np.eye(len(matrix)), alpha)
    expected = np.linalg.inv(band + alpha * np.eye(len(band)))
    np.testing.assert_allclose(half @ half.T, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_weights(case):
    matrix, width = case
    basis, _, blocks = reduced(matrix, width)
    alphas = np.array([1e-10, 1.0, 1e6])
    expected = [np.diag(np.linalg.inv(matrix + alpha * np.eye(len(matrix)))) for alpha in alphas]
    np.testing.assert_allclose(blocks.weights([basis[:2], basis[2:]], alphas), np.transpose(expected), rtol=1e-9)


def test_trace(case):
    matrix, width = case
    assert reduced(matrix, width)[2].trace == pytest.approx(np.trace(matrix), rel=1e-12)


@pytest.mark.parametrize(
    "matrix", [np.zeros((9, 9)), np.eye(9), np.diag(np.arange(9.0))], ids=["zero", "unit", "diagonal"]
)
def test_columns_with_nothing_to_reflect(matrix):
    basis, band, _ = reduced(matrix, 2)
    np.testing.assert_allclose(basis @ band @ basis.T, matrix, rtol=0, atol=1e-14)
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("smallest", "above"), [(1.0, True), (1e-6, True), (1e-15, False), (0.0, False), (-1.0, False)]
)
def test_singular_matrices_are_noticed(smallest, above):
    rng = np.random.default_rng(4)
    vectors, _ = np.linalg.qr(rng.standard_normal((30, 30)))
    values = np.linspace(1.0, 2.0, 30)
    values[0] = smallest
    assert reduced((vectors * values) @ vectors.T, 4)[2].is_above(30 * np.finfo(float).eps) is above


def test_a_matrix_of_zeros_is_not_above_anything():
    assert reduced(np.zeros((5, 5)), 2)[2].is_above(1e-15) is False

"""Eigendecomposition of a kernel of few features: in as many dimensions as there are features, not stimuli.

The kernel of p features has at most p eigenvalues that are not zero. A Cholesky factorisation with pivots stops when nothing
is left (LAPACK's pstrf; Higham 2002, section 10.3), K = L Lᵀ with L of n × p; what remains are products of n × p and an
eigendecomposition of p × p.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg
from scipy.linalg import lapack


def low_rank_eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Eigenvalues that are not zero, and their vectors, of a positive semi-definite matrix.

    Parameters
    ----------
    matrix : numpy.ndarray of float64, shape (n, n)
        In Fortran order; overwritten.

    Returns
    -------
    eigenvalues : numpy.ndarray of float64, shape (r,)
        Ascending, above n·ε·λ_max.
    vectors : numpy.ndarray of float64, shape (n, r)
    None instead of both
        The matrix is zero, or too close to one of another rank to say.

    Notes
    -----
    Peak memory with ``matrix``: n² + 2 n r + 3 r² numbers.
    """
    n, epsilon = len(matrix), np.finfo(float).eps
    largest = np.diag(matrix).max()
    if not largest > 0:
        return None
    factor, pivots, rank, _ = lapack.dpstrf(matrix, tol=n * epsilon * largest, lower=1, overwrite_a=1)
    basis = np.empty((n, rank))
    basis[pivots - 1] = np.tril(factor[:, :rank])
    triangle = np.eye(rank)
    for _ in range(2):  # the second pass makes orthonormal what the condition of L has left (Yamamoto et al. 2015)
        try:
            upper = linalg.cholesky(basis.T @ basis, lower=False, check_finite=False)
        except linalg.LinAlgError:
            return None
        basis = basis @ linalg.solve_triangular(upper, np.eye(rank), check_finite=False)
        triangle = upper @ triangle
    eigenvalues, vectors = linalg.eigh(triangle @ triangle.T, driver="evd", check_finite=False)
    first = int(np.searchsorted(eigenvalues, n * epsilon * eigenvalues[-1]))
    return eigenvalues[first:], basis @ vectors[:, first:]

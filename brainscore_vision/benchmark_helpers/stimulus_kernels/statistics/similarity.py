"""Representational similarity from kernels: Pearson RDMs, their rank correlation, and unbiased linear CKA."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from ..errors import ModelOutputError, ResponsesError, StimulusKernelError


def pearson_rdm(covariation: np.ndarray) -> np.ndarray:
    """Pearson representational dissimilarity matrix from inner products of mean-free patterns.

    Parameters
    ----------
    covariation : numpy.ndarray of float64, shape (n, n)
        (x_i - m_i)·(x_j - m_j), m_i the mean of pattern x_i over its features
        (:meth:`~..kernels.kernel.StimulusKernel.feature_covariation`).

    Returns
    -------
    numpy.ndarray of float64, shape (n, n)
        1 - corr(x_i, x_j) (Kriegeskorte et al. 2008).

    Raises
    ------
    ModelOutputError
        A pattern that is constant over its features has no correlation with another.
    """
    norm = np.diag(covariation).copy()
    # a constant pattern leaves rounding noise of the order of its neighbours' norms times machine precision
    constant = np.flatnonzero(norm <= norm.max() * len(norm) * np.finfo(float).eps)
    if len(constant):
        raise ModelOutputError(
            f"A Pearson RDM needs patterns that vary over features, but {len(constant)} of {len(norm)} stimuli have a "
            f"constant one (the first at row {constant[0]}). Check the model's features for these stimuli."
        )
    scale = np.sqrt(norm)
    return 1 - covariation / np.outer(scale, scale)


def response_rdm(values: np.ndarray) -> np.ndarray:
    """Pearson RDM of responses of shape (n, neuroids); float64, shape (n, n)."""
    centred = np.asarray(values, dtype=float)
    if centred.shape[1] < 2:
        raise ResponsesError(
            f"A Pearson RDM of responses needs at least 2 neuroids, received {centred.shape[1]}. "
            f"Lower the noise-ceiling threshold."
        )
    centred = centred - centred.mean(axis=1, keepdims=True)
    return pearson_rdm(centred @ centred.T)


def rdm_ranks(rdm: np.ndarray) -> np.ndarray:
    """Ranks of the upper triangle, centred and scaled to unit length; shape (n (n-1) / 2,).

    The inner product of two such vectors is the Spearman correlation of the two RDMs.
    """
    return unit_ranks(triangle_ranks(rdm))


def triangle_ranks(rdm: np.ndarray) -> np.ndarray:
    """Ranks of the upper triangle, from 1, with mid-ranks for ties; float64, shape (n (n-1) / 2,)."""
    if len(rdm) < 3:
        raise StimulusKernelError(f"Comparing RDMs needs at least 3 stimuli, received {len(rdm)}.")
    return rankdata(rdm[np.triu_indices(len(rdm), k=1)])


def unit_ranks(ranks: np.ndarray) -> np.ndarray:
    """Ranks centred and scaled to unit length."""
    centred = ranks - ranks.mean()
    length = np.linalg.norm(centred)
    if not length > 0:
        raise ModelOutputError("All dissimilarities of an RDM are equal, so their ranks say nothing.")
    return centred / length


def hsic(kernel_a: np.ndarray, kernel_b: np.ndarray) -> float:
    """Unbiased Hilbert-Schmidt independence criterion (Song et al. 2012, eq. 5), up to the factor 1/(n(n-3)).

    Parameters
    ----------
    kernel_a, kernel_b : numpy.ndarray of float64, shape (n, n)
        Linear kernels; adding the same vector to all features changes nothing.
    """
    n = len(kernel_a)
    if n < 4:
        raise StimulusKernelError(f"Unbiased CKA needs at least 4 stimuli, received {n}.")
    diagonal_a, diagonal_b = np.diag(kernel_a), np.diag(kernel_b)
    sums_a, sums_b = kernel_a.sum(axis=0) - diagonal_a, kernel_b.sum(axis=0) - diagonal_b
    trace = np.einsum("ij,ij->", kernel_a, kernel_b) - diagonal_a @ diagonal_b
    return float(trace + sums_a.sum() * sums_b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (sums_a @ sums_b))


def unbiased_cka(kernel_a: np.ndarray, kernel_b: np.ndarray) -> float:
    """Unbiased linear CKA of two kernels over the same stimuli (Song et al. 2012; Kornblith et al. 2019)."""
    norm = hsic(kernel_a, kernel_a) * hsic(kernel_b, kernel_b)
    if not norm > 0:
        raise ModelOutputError(
            "Unbiased CKA is undefined here: the unbiased self-similarity of one of the representations is not positive "
            "(features that do not vary, or too few stimuli for their noise). Use more stimuli or another layer."
        )
    return hsic(kernel_a, kernel_b) / np.sqrt(norm)

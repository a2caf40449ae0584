"""Representational similarity from kernels: Pearson RDMs, their rank correlation, and unbiased linear CKA.

A rank correlation asks which of two dissimilarities is larger. Few features, features of 0 and 1, or patterns that are
multiples of each other give dissimilarities that are equal, and that rounding makes unequal: ranked as they come, they would
give another score for the same features in other units. So each dissimilarity comes with a bound of its rounding, and those
that do not differ by more are ties.

With y_i = x_i - m_i the mean-free pattern of stimulus i, w_i = 1/|y_i| and z_i, s as in :mod:`..kernels.kernel`,

    1 - corr(x_i, x_j) = |w_i y_i - w_j y_j|² / 2,   w_i y_i - w_j y_j = (w_i z̃_i - w_j z̃_j) + (w_i - w_j) s̃,

a tilde for what is left after subtracting a vector's mean. What all stimuli share, s̃, has no part in it but for the
difference of w: patterns that are nearly alike keep their digits, where 1 - (y_i · y_j) w_i w_j would lose them. Bounds, with
γ that of the kernel's own rounding, a_i = |z_i| w_i, b_i = |s̃| w_i, d the dissimilarity and u half of the machine precision:

- the terms of the square: γ (a_i + a_j + |b_i - b_j|)² / 2;
- the norms: w_i is known to h_i = γ (a_i + b_i)² / 2 of itself, which changes d by (h_i + h_j) d + (h_i + h_j)² / 2;
- the features themselves, rounded when they were scaled or shifted: √(2d) u (|x_i| w_i + |x_j| w_j).

**Influence.** Sums over pairs of stimuli (a CKA, the reliability of an RDM) cannot be resampled by drawing stimuli with
replacement: a stimulus drawn twice forms a pair with itself, which no real data hold. To first order a draw changes an
estimate by Σ_i (W_i - 1) l_i / n, with W_i how often stimulus i is drawn and l_i its influence: the infinitesimal jackknife
(Jaeckel 1972; Efron & Tibshirani 1993, chapter 22). No pair is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ModelOutputError, ResponsesError, StimulusKernelError
from ..kernels.kernel import StimulusKernel, kernel_from_features
from .ceilings import STANDARD_ERRORS

UNEQUAL = 0.1
"""Of the bound of rounding: values further apart than this are not equal but for rounding."""
FEW_HIDDEN = 1e-3
"""Of pairs that differ by more and still tie; scores do not show as few."""


@dataclass(frozen=True)
class Estimate:
    """A number computed from n stimuli.

    Attributes
    ----------
    value : float
    influence : numpy.ndarray of float64, shape (n,)
        l, with a mean of 0 to first order.
    """

    value: float
    influence: np.ndarray

    @property
    def standard_error(self) -> float:
        """Over other stimuli of the same kind."""
        return float(self.influence.std(ddof=1) / np.sqrt(len(self.influence)))

    @property
    def is_known(self) -> bool:
        """Whether the value is above 0 by ``STANDARD_ERRORS``; else a ratio to it says little."""
        return bool(self.value > STANDARD_ERRORS * self.standard_error)

    def draws(self, counts: np.ndarray) -> np.ndarray:
        """The estimate in each draw; ``counts`` as from :func:`.bootstrap.resampled_counts`, float64, shape (draws, n)."""
        return self.value + (counts - 1) @ (self.influence - self.influence.mean()) / len(self.influence)

    def to(self, exponent: float) -> Estimate:
        """The estimate to a power; one above 0 unless the exponent is 1."""
        value = self.value**exponent
        return Estimate(value, exponent * self.value ** (exponent - 1) * self.influence)

    def among(self, rows: np.ndarray, n: int) -> Estimate:
        """The same number as an estimate from n stimuli, of which ``rows`` (int, in order) are its own."""
        influence = np.zeros(n)
        influence[rows] = (self.influence - self.influence.mean()) * n / len(rows)
        return Estimate(self.value, influence)

    def times(self, other: Estimate) -> Estimate:
        """The product of two estimates from the same stimuli."""
        return Estimate(self.value * other.value, self.value * other.influence + other.value * self.influence)


def mean_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates from the same stimuli."""
    return Estimate(
        float(np.mean([one.value for one in estimates])), np.mean([one.influence for one in estimates], axis=0)
    )


def pair_covariance(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Covariance of two values of each pair of stimuli, over pairs.

    Parameters
    ----------
    a, b : numpy.ndarray of float64, shape (n, n)
        Symmetric; the diagonal does not count.
    """
    n = len(a)
    rows = []  # means of the pairs of each stimulus
    for product in (a * b, a, b):
        rows.append((product.sum(axis=1) - np.diagonal(product)) / (n - 1))
    (ab, mean_a, mean_b) = (row.mean() for row in rows)
    influence = 2 * (rows[0] - ab - mean_b * (rows[1] - mean_a) - mean_a * (rows[2] - mean_b))
    return Estimate(float(ab - mean_a * mean_b), influence)


def pearson_dissimilarities(kernel: StimulusKernel, stimulus_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Upper triangle of the Pearson representational dissimilarity matrix, 1 - corr(x_i, x_j) (Kriegeskorte et al. 2008).

    Parameters
    ----------
    kernel : StimulusKernel
    stimulus_ids : sequence of str

    Returns
    -------
    dissimilarities : numpy.ndarray of float64, shape (n (n-1) / 2,)
        By rows.
    rounding : numpy.ndarray of float64, shape (n (n-1) / 2,)
        How far rounding may have moved each of them.

    Raises
    ------
    ModelOutputError
        A pattern that is constant over its features, as far as rounding lets see, has no correlation with another.
    StimulusKernelError
        Fewer than three stimuli.
    """
    if len(stimulus_ids) < 3:
        raise StimulusKernelError(f"Comparing RDMs needs at least 3 stimuli, received {len(stimulus_ids)}.")
    rows = kernel.positions(stimulus_ids)
    n, epsilon, mean = len(rows), np.finfo(float).eps, kernel.row_mean[rows]
    own = np.diagonal(kernel.gram)[rows]
    size, shared = np.sqrt(own), np.sqrt(kernel.mean_spread)  # |z_i| and |s̃|
    own = own - kernel.n_features * mean**2  # |z̃_i|²
    along = kernel.row_dot_mean[rows]  # z̃_i · s̃
    square = own + 2 * along + kernel.mean_spread  # |y_i|²
    given = size + kernel.mean_norm  # at least |x_i|
    constant = np.flatnonzero(~(square > kernel.rounding * (size + shared) ** 2 + (epsilon * given) ** 2))
    if len(constant):
        raise ModelOutputError(
            f"A Pearson RDM needs patterns that vary over features, but {len(constant)} of {n} stimuli have one that is "
            f"constant within rounding (the first: {stimulus_ids[constant[0]]}). Check the features of these stimuli."
        )
    w = 1 / np.sqrt(square)
    own, along, size, given = own * w * w, along * w, size * w, given * w
    norm_error = kernel.rounding / 2 * (size + shared * w) ** 2
    dissimilarities, rounding = np.empty((2, n * (n - 1) // 2))
    start = 0
    for i in range(n - 1):  # row by row: temporaries of n × n would be most of the memory
        j = slice(i + 1, n)
        products = (kernel.gram[rows[i], rows[j]] - kernel.n_features * mean[i] * mean[j]) * (w[i] * w[j])
        step = w[i] - w[j]
        d = (own[i] + own[j]) / 2 - products + step * (along[i] - along[j]) + step * step * (kernel.mean_spread / 2)
        both = norm_error[i] + norm_error[j]
        distance = np.sqrt(2 * np.maximum(d, 0.0))
        pairs = slice(start, start + n - 1 - i)
        dissimilarities[pairs] = d
        rounding[pairs] = kernel.rounding / 2 * (size[i] + size[j] + np.abs(step) * shared) ** 2
        rounding[pairs] += both * (np.abs(d) + both / 2) + epsilon / 2 * distance * (given[i] + given[j])
        start = pairs.stop
    return dissimilarities, rounding


def rdm_ranks(kernel: StimulusKernel, stimulus_ids: Sequence[str]) -> np.ndarray:
    """Ranks of the upper triangle of a Pearson RDM, from 1, with mid-ranks for ties; float64, shape (n (n-1) / 2,)."""
    return tied_ranks(*pearson_dissimilarities(kernel, stimulus_ids))


def lost_in_rounding(dissimilarities: np.ndarray, rounding: np.ndarray) -> tuple[str, ...]:
    """A note where rounding hides which of two :func:`pearson_dissimilarities` is larger, though they differ.

    Equal ones differ by far less than the bound of their rounding (of 20,000 pairs of features of 0 and 1, and of others with
    ties, at most one by a tenth of it). Ties of ever larger differences are those of features that are lost beside others.
    """
    order = np.argsort(dissimilarities)
    apart, known = np.diff(dissimilarities[order]), rounding[order][1:] + rounding[order][:-1]
    hidden, tied = np.mean((apart > UNEQUAL * known) & (apart <= known)), np.mean(apart <= known)
    if hidden < FEW_HIDDEN:
        return ()
    return (
        f"{100 * tied:.2g} % of pairs of images have dissimilarities that rounding makes equal: some of the model's features "
        f"are so large that the others hardly count. Divide each feature by its standard deviation, or leave out the largest.",
    )


def response_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of the Pearson RDM of responses of shape (n, neuroids), as :func:`rdm_ranks`."""
    if values.shape[1] < 2:
        raise ResponsesError(
            f"A Pearson RDM of responses needs at least 2 neuroids, received {values.shape[1]}. "
            f"Lower the noise-ceiling threshold."
        )
    rows = [f"row {i}" for i in range(len(values))]
    return rdm_ranks(kernel_from_features(values, rows), rows)


def tied_ranks(values: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """Ranks from 1, with mid-ranks for values that rounding may have made unequal.

    Parameters
    ----------
    values, rounding : numpy.ndarray of float64, shape (m,)
        How far each value may be from the true one.

    Returns
    -------
    numpy.ndarray of float64, shape (m,)

    Notes
    -----
    Sorted neighbours tie if they differ by at most both their roundings. Ties do not add up to chains: where they would join
    values further apart than rounding can move two equal ones, they are cut to that length.
    """
    order = np.argsort(values)
    ordered, known = values[order], rounding[order]
    new = np.ones(len(values), dtype=bool)
    new[1:] = np.diff(ordered) > known[1:] + known[:-1]
    starts = np.flatnonzero(new)
    stops, reach = np.append(starts[1:], len(values)), 2 * np.maximum.reduceat(known, starts)
    for k in np.flatnonzero(ordered[stops - 1] - ordered[starts] > reach):
        chain = ordered[starts[k] : stops[k]]
        new[starts[k] + 1 : stops[k]] = np.diff((chain - chain[0]) // reach[k]) != 0
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(values)))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(starts + (counts + 1) / 2, counts)
    return ranks


def unit_ranks(ranks: np.ndarray) -> np.ndarray:
    """Ranks centred and scaled to unit length: the inner product of two such vectors is the Spearman correlation."""
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


def hsic_estimate(kernel_a: np.ndarray, kernel_b: np.ndarray) -> Estimate:
    """Unbiased :func:`hsic`, divided by n(n-3), and each stimulus's influence: (n - 1) times what leaving it out changes.

    All that leaving out stimulus i takes away are sums over its row, so that all n are as fast as one.
    """
    n = len(kernel_a)
    if n < 5:
        raise StimulusKernelError(f"The influence of a stimulus on CKA needs at least 5 stimuli, received {n}.")
    a, b = (kernel - np.diag(np.diagonal(kernel)) for kernel in (kernel_a, kernel_b))
    sums_a, sums_b, products = a.sum(axis=0), b.sum(axis=0), np.einsum("ij,ij->i", a, b)
    trace = products.sum() - 2 * products
    dot = sums_a @ sums_b - sums_a * sums_b - a @ sums_b - b @ sums_a + products
    total = (sums_a.sum() - 2 * sums_a) * (sums_b.sum() - 2 * sums_b)
    without = (trace + total / ((n - 2) * (n - 3)) - 2 / (n - 3) * dot) / ((n - 1) * (n - 4))
    value = hsic(kernel_a, kernel_b) / (n * (n - 3))
    return Estimate(value, (n - 1) * (value - without))


def cka_estimate(kernel_a: np.ndarray, kernel_b: np.ndarray) -> Estimate:
    """:func:`unbiased_cka` with each stimulus's influence; raises as that does."""
    value = unbiased_cka(kernel_a, kernel_b)
    norm_a, norm_b = (hsic_estimate(kernel, kernel).to(-0.5) for kernel in (kernel_a, kernel_b))
    return Estimate(value, hsic_estimate(kernel_a, kernel_b).times(norm_a).times(norm_b).influence)

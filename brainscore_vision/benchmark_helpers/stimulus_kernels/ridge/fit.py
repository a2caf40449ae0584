"""Ridge regression with an unpenalised intercept and its exact leave-one-out error, from a kernel.

Symbols, as in METHODS.md: T the n training stimuli, Q the query (test) stimuli, K the kernel, Y the responses
(n × neuroids), α the penalty.

- Centring on the training stimuli: K̃_TT = H K_TT H with H = I - 11ᵀ/n.
- Every vector that matters is orthogonal to the constant vector 1, so the decomposition is done in its complement:
  B (n × n-1) is an orthonormal basis of it (a Householder reflection without its first column),
  Bᵀ K_TT B = U Λ Uᵀ and V = B U. This removes the constant eigenvector exactly, where subtracting 1/(nα) from the
  diagonal afterwards would lose every digit for small α.
- For many stimuli Λ may be a band matrix instead (:mod:`.band`), or leave out its zeros (:mod:`.decomposition`): the
  formulas stay.
- Ŷ_Q = Ȳ + (K_QT - 1rᵀ) V (Λ+α)⁻¹ Vᵀ (Y - Ȳ), with r the mean of K_TT over its rows (Vᵀ1 = 0 takes care of the rest).
  V (Λ+α)⁻¹ Vᵀ is multiplied by what has fewer columns: the rows of query stimuli, or the responses.
- Leave-one-out: e_i = c_i / d_i with c = V w Vᵀ(Y - Ȳ), d = diag(V w Vᵀ), w = (Λ+α)⁻¹
  (Golub, Heath & Wahba 1979; Rifkin & Lippert 2007).
- One α for all neuroids: the smallest mean e², the first in the grid on a tie (scikit-learn's RidgeCV). A grid may count in
  units of a kernel, such as its mean eigenvalue: features in other units then have the same fit.

Exact errors of all neuroids and stimuli for each penalty of a grid would be most of the work of a fit, and nearly all of it
would show that a penalty is far from the best one. So samples sort out first which penalties cannot win:

- Neuroids: for random mixing weights of zero mean and unit variance, the squared error of a mixture has the sum over neuroids
  as its expectation. Mixtures are independent samples of what decides.
- Stimuli: errors of a few mixtures, divided by estimates of their weights from as many random vectors, show roughly how large
  each stimulus's error is at each penalty. The stimuli with the largest are all in the sample, since one of them may have most
  of the error: an outlier, or a stimulus that depends on a feature that hardly another one has. The others are drawn, without
  replacement.

Both are paired between penalties, and seeded: the same data give the same choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..kernels.compute import host
from .decomposition import RidgeDecomposition, StimuliOfDecomposition, decompose

__all__ = [
    "AlphaSelection",
    "RidgeDecomposition",
    "TrainingResponses",
    "decompose",
    "leave_one_out_errors",
    "left_out_deviations",
    "predict",
    "promising_penalties",
    "sampled_alpha",
    "select_alpha",
    "select_alphas",
]

NEUROID_BLOCK = 1024

MIXTURES = 128
"""Random mixtures of neuroids that stand for all of them."""

FEW_MIXTURES = 32
"""The same where many fits are compared."""

STIMULI = 512
"""Stimuli that stand for all of them."""

LARGEST = 256
"""Of these, at most those that are taken for their errors: as many at each penalty."""

ROUGH = 16
"""Mixtures, and random vectors, behind the rough errors of all stimuli."""

MARGIN = 6.0
"""Standard errors by which a penalty has to be worse than the sample's best to be dropped."""

ROUNDINGS = 8 * float(np.finfo(float).eps)
"""Times what it is a part of: more than rounding makes of it. Of a sum of n, √n times as much."""

SEED = 20260516

ROWS = 512
"""Training stimuli whose responses are mixed at once."""

COLUMNS = 1024
"""Mixtures of several penalties that are expanded in one product."""

PROBES = 32
"""Random vectors behind the lengths of dual coefficients that are not made."""


@dataclass(frozen=True, eq=False)
class TrainingResponses:
    """Responses to the training stimuli of a decomposition, and what is made of them when something asks for it.

    Attributes
    ----------
    decomposition : RidgeDecomposition
    values : numpy.ndarray of float, shape (n, neuroids)
        Y.
    """

    decomposition: RidgeDecomposition
    values: np.ndarray

    @cached_property
    def mean(self) -> np.ndarray:
        """Ȳ, shape (neuroids,)."""
        return self.values.mean(axis=0, dtype=float)

    @cached_property
    def coordinates(self) -> np.ndarray:
        """Vᵀ (Y - Ȳ), as :meth:`RidgeDecomposition.coordinates` gives them: 2 n² × neuroids operations."""
        return self.decomposition.coordinates(self.values)[0]

    @property
    def has_coordinates(self) -> bool:
        """Whether something has asked for :attr:`coordinates`."""
        return "coordinates" in self.__dict__

    def mixtures(self, signs: np.ndarray) -> np.ndarray:
        """Coordinates of mixtures of neuroids, for weights of shape (neuroids, mixtures)."""
        if self.has_coordinates:
            return self.coordinates @ self.decomposition.compute.place(signs)
        mixed = [(self.values[i : i + ROWS] - self.mean) @ signs for i in range(0, len(self.values), ROWS)]
        return self.decomposition.coordinates(np.concatenate(mixed))[0]

    def dual_coefficients(self, penalty: float) -> np.ndarray:
        """V (Λ+α)⁻¹ Vᵀ (Y - Ȳ), shape (n, neuroids), for :func:`predict`; where the decomposition is."""
        dual = self.decomposition.compute.empty(self.values.shape)
        for columns in _blocks(self.coordinates):
            dual[:, columns] = self.decomposition.dual_coefficients(self.coordinates[:, columns], penalty)
        return dual

    def predict(self, cross_kernel: np.ndarray, penalty: float) -> np.ndarray:
        """Ŷ_Q - Ȳ for query stimuli, as :func:`predict` gives it.

        Parameters
        ----------
        cross_kernel : numpy.ndarray of float64, shape (n_query, n)
            K_QT.
        penalty : float
            α.

        Returns
        -------
        numpy.ndarray of float64, shape (n_query, neuroids)
        """
        (n_query, n), n_neuroids, compute = cross_kernel.shape, self.values.shape[1], self.decomposition.compute
        if not weighs_queries(n_query, n_neuroids, self.has_coordinates):
            return predict(self.decomposition, cross_kernel, self.dual_coefficients(penalty))
        probes = np.random.default_rng(SEED).standard_normal((PROBES, n))
        rows = np.concatenate([host(_centred(self.decomposition, cross_kernel)), probes])
        weights = self.decomposition.dual_coefficients(self.decomposition.coordinates(rows.T)[0], penalty)
        prediction, lengths = np.empty((n_query, n_neuroids)), np.empty(n_neuroids)
        for columns in _blocks(self.values):
            centred = compute.place(self.values[:, columns]) - compute.place(self.mean[columns])
            found = host(weights.T @ centred)
            prediction[:, columns] = found[:n_query]
            # a random vector's product with dual coefficients has their squared length as the expectation of its square
            lengths[columns] = np.mean(found[n_query:] ** 2, axis=0) ** 0.5
        _round(prediction, ROUNDINGS * _size(self.decomposition, cross_kernel) * lengths)
        return prediction


def weighs_queries(n_query: int, n_neuroids: int, has_coordinates: bool) -> bool:
    """Whether a prediction multiplies V (Λ+α)⁻¹ Vᵀ by the rows of query stimuli, where these are fewer than neuroids.

    Coordinates of the responses that are there are half of the way.
    """
    return (n_query + PROBES) * (2 if has_coordinates else 1) <= n_neuroids


@dataclass(frozen=True)
class AlphaSelection:
    """Outcome of the leave-one-out search.

    Attributes
    ----------
    alpha : float
        As the grid has it: the penalty is ``alpha`` times the unit of the grid.
    evaluated : tuple of float
        What samples left of the grid (see :func:`promising_penalties`), between which exact errors decided.
    errors : tuple of float
        The mean squared leave-one-out error over stimuli and neuroids of each; empty if only one was left.
    """

    alpha: float
    evaluated: tuple
    errors: tuple = ()


def select_alpha(training: TrainingResponses, alphas: Sequence[float], unit: float = 1.0) -> AlphaSelection:
    """The penalty with the smallest mean leave-one-out error over stimuli and neuroids.

    Parameters
    ----------
    training : TrainingResponses
    alphas : sequence of float
        The grid, positive.
    unit : float
        What the grid counts, e.g. :attr:`RidgeDecomposition.mean_eigenvalue`; 1 for penalties as they are.

    Returns
    -------
    AlphaSelection

    Notes
    -----
    An exact error costs 2 n² × neuroids operations per penalty and the weights of all stimuli, so samples sort out first
    which penalties cannot win (:func:`promising_penalties`), unless the decomposition is to be ``exact``.
    """
    alphas, decomposition = np.asarray(alphas, dtype=float), training.decomposition
    if not decomposition.exact:
        alphas = alphas[promising_penalties(training, alphas * unit)]
    penalties, best, errors = alphas * unit, 0, []
    if len(penalties) > 1:
        errors = [
            _mean_squared_error(decomposition, training.coordinates, a, d)
            for a, d in zip(penalties, decomposition.weights(penalties).T, strict=True)
        ]
        best = int(np.argmin(errors))
    return AlphaSelection(float(alphas[best]), tuple(alphas.tolist()), tuple(errors))


def select_alphas(
    training: TrainingResponses, alphas: Sequence[float], unit: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Each neuroid's own penalty, that with its smallest mean leave-one-out error, and the fit with it.

    Parameters
    ----------
    training, alphas, unit
        As for :func:`select_alpha`.

    Returns
    -------
    alphas : numpy.ndarray of float64, shape (neuroids,)
        As the grid has them.
    dual_coefficients : numpy.ndarray or torch.Tensor of float64, shape (n, neuroids)
        Where the decomposition is.
    """
    alphas, decomposition, coordinates = np.asarray(alphas, dtype=float), training.decomposition, training.coordinates
    diagonal = decomposition.weights(alphas * unit)
    squares = np.empty((len(alphas), coordinates.shape[1]))
    dual = decomposition.compute.empty((decomposition.basis.shape[0], coordinates.shape[1]))
    for columns in _blocks(coordinates):
        for i, alpha in enumerate(alphas * unit):
            errors = _errors(decomposition, coordinates[:, columns], alpha, diagonal[:, i])
            squares[i, columns] = host(decomposition.compute.numerics.einsum("ij,ij->j", errors, errors))
    best = squares.argmin(axis=0)
    for i in np.unique(best):
        (columns,) = np.nonzero(best == i)
        dual[:, columns] = decomposition.dual_coefficients(coordinates[:, columns], float(alphas[i] * unit))
    return alphas[best], dual


def sampled_alpha(training: TrainingResponses, alphas: Sequence[float], unit: float = 1.0) -> float:
    """The penalty of the grid with the smallest leave-one-out error of ``FEW_MIXTURES`` random mixtures of neuroids.

    For comparisons of many fits: mixtures cost as much as few neuroids, and penalties between which they err have nearly the
    same error. Of fewer neuroids, or where the decomposition is to be ``exact``, the errors are those of all neuroids.

    Parameters
    ----------
    training, alphas, unit
        As for :func:`select_alpha`.

    Returns
    -------
    float
        As the grid has it.
    """
    alphas, decomposition, (n, n_neuroids) = (
        np.asarray(alphas, dtype=float),
        training.decomposition,
        training.values.shape,
    )
    if len(alphas) == 1:
        return float(alphas[0])
    if n_neuroids > FEW_MIXTURES and not decomposition.exact:
        signs = np.random.default_rng(SEED).choice(np.array([-1.0, 1.0]), size=(n_neuroids, FEW_MIXTURES))
        coordinates = training.mixtures(signs)
    else:
        coordinates = training.coordinates
    by_mixture, _ = _squared_errors(decomposition, decomposition, coordinates, alphas * unit, np.ones(n))
    return float(alphas[by_mixture.mean(axis=0).argmin()])


def edge_of_grid(alpha: float, alphas: Sequence[float]) -> str | None:
    """ "smallest" or "largest" if a penalty is the last of its grid on that side: a better one may lie beyond."""
    low, high = min(alphas), max(alphas)
    if low == high or low < alpha < high:
        return None
    return "smallest" if alpha == low else "largest"


def predict(
    decomposition: RidgeDecomposition,
    cross_kernel: np.ndarray,
    dual_coefficients: np.ndarray,
    response_mean: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Ŷ_Q for query stimuli.

    Parameters
    ----------
    cross_kernel : numpy.ndarray of float64, shape (n_query, n)
        K_QT.
    dual_coefficients : numpy.ndarray or torch.Tensor of float64, shape (n, neuroids)
        V (Λ+α)⁻¹ Vᵀ (Y - Ȳ), as :meth:`RidgeDecomposition.dual_coefficients` gives them.
    response_mean : numpy.ndarray of float64, shape (neuroids,), optional
        Ȳ. Without it, predictions are those of Y - Ȳ: all that a correlation needs, with every digit kept where
        predictions are far smaller than the mean.

    Returns
    -------
    numpy.ndarray of float64, shape (n_query, neuroids)
        The same number for all query stimuli where only rounding tells them apart: the features of none of them have anything
        to do with those of the training stimuli.
    """
    compute = decomposition.compute
    dual = compute.place(dual_coefficients)
    prediction = host(_centred(decomposition, cross_kernel) @ dual)
    lengths = host(compute.numerics.einsum("ij,ij->j", dual, dual)) ** 0.5
    _round(prediction, ROUNDINGS * _size(decomposition, cross_kernel) * lengths)
    prediction += response_mean
    return prediction


def _centred(decomposition: RidgeDecomposition, cross_kernel: np.ndarray) -> np.ndarray:
    """K_QT - 1rᵀ where the decomposition is, less each row's mean."""
    compute = decomposition.compute
    centred = compute.place(cross_kernel) - compute.place(decomposition.column_mean)
    # dual coefficients sum to zero: what all stimuli share only costs digits
    centred -= centred.mean(axis=1, keepdims=True)
    return centred


def _size(decomposition: RidgeDecomposition, cross_kernel: np.ndarray) -> float:
    """What the rounding of kernels is a part of."""
    return max(decomposition.size, float(cross_kernel.max(initial=0.0)), -float(cross_kernel.min(initial=0.0)))


def _round(predictions: np.ndarray, rounding: np.ndarray) -> None:
    """Give all stimuli one prediction where theirs, of shape (n, neuroids), vary by no more than ``rounding``; in place."""
    if len(predictions) > 1:
        same = predictions.std(axis=0) <= rounding
        predictions[:, same] = predictions[:, same].mean(axis=0)


def left_out_deviations(
    decomposition: RidgeDecomposition, coordinates: np.ndarray, deviations: np.ndarray, alpha: float
) -> np.ndarray:
    """What a fit on the others predicts for each training stimulus, less the others' mean response.

    The others' mean falls where a response is high, ȳ₋ᵢ = ȳ - (yᵢ - ȳ)/(n - 1): with it, features that know nothing would
    predict the opposite.

    Parameters
    ----------
    decomposition : RidgeDecomposition
    coordinates : numpy.ndarray of float64, shape (n, targets)
        As for :func:`leave_one_out_errors`.
    deviations : numpy.ndarray, shape (n, targets)
        Responses less their mean over stimuli.
    alpha : float

    Returns
    -------
    numpy.ndarray of float64, shape (n, targets)
        The same number for all stimuli where only rounding tells them apart.
    """
    n = len(deviations)
    predicted = deviations * (n / (n - 1)) - leave_one_out_errors(decomposition, coordinates, alpha)
    _round(predicted, ROUNDINGS * np.sqrt(n) * deviations.std(axis=0))
    return predicted


def leave_one_out_errors(decomposition: RidgeDecomposition, coordinates: np.ndarray, alpha: float) -> np.ndarray:
    """Each training stimulus's responses minus their prediction by a fit on the others.

    Parameters
    ----------
    decomposition : RidgeDecomposition
    coordinates : numpy.ndarray of float64, shape (rows, neuroids)
        Vᵀ (Y - Ȳ), as :meth:`RidgeDecomposition.coordinates` gives them.
    alpha : float
        The penalty, positive.

    Returns
    -------
    numpy.ndarray of float64, shape (n, neuroids)
    """
    diagonal = decomposition.weights(np.array([alpha]))[:, 0]
    return np.concatenate(
        [host(_errors(decomposition, coordinates[:, c], alpha, diagonal)) for c in _blocks(coordinates)], axis=1
    )


def _errors(decomposition, coordinates, alpha, diagonal):
    errors = decomposition.expand(decomposition.solve(coordinates, alpha))
    errors /= diagonal[:, None]
    return errors


def _mean_squared_error(decomposition, coordinates, alpha, diagonal) -> float:
    total = 0.0
    for columns in _blocks(coordinates):
        errors = _errors(decomposition, coordinates[:, columns], alpha, diagonal)
        total += float(decomposition.compute.numerics.einsum("ij,ij->", errors, errors))
    return float(total / (len(diagonal) * coordinates.shape[1]))


def _blocks(coordinates: np.ndarray) -> Iterator[slice]:
    """Neuroids to treat together, which bounds the memory that they take."""
    for start in range(0, coordinates.shape[1], NEUROID_BLOCK):
        yield slice(start, start + NEUROID_BLOCK)


def promising_penalties(training: TrainingResponses, alphas: np.ndarray) -> np.ndarray:
    """Positions of the penalties that may be the best one.

    A penalty is dropped if its error exceeds that of the sample's best by more than ``MARGIN`` standard errors of the paired
    difference, those of mixtures and of stimuli together: first by the sampled stimuli, then, if more than one is left, by
    all stimuli.

    Parameters
    ----------
    training : TrainingResponses
    alphas : numpy.ndarray of float64
        Positive.

    Returns
    -------
    numpy.ndarray of int
        Ascending; all of few penalties or of few neuroids.
    """
    left, decomposition, (n, n_neuroids) = np.arange(len(alphas)), training.decomposition, training.values.shape
    if len(alphas) == 1 or n_neuroids <= 2 * MIXTURES:
        return left
    rng = np.random.default_rng(SEED)
    signs = rng.choice(np.array([-1.0, 1.0]), size=(n_neuroids, MIXTURES))
    mixtures = training.mixtures(signs)
    if n > 2 * STIMULI:
        left = _left(decomposition, mixtures, alphas, _draw_stimuli(decomposition, mixtures, alphas, rng))
    if len(left) > 1:
        left = left[_left(decomposition, mixtures, alphas[left], Sample(np.arange(n), n, n))]
    return left


@dataclass(frozen=True)
class Sample:
    """Training stimuli that stand for all of them.

    Attributes
    ----------
    rows : numpy.ndarray of int
    n_certain : int
        Of these, how many at the beginning are in every sample; the others are drawn from all that are not.
    n : int
        Training stimuli.
    """

    rows: np.ndarray
    n_certain: int
    n: int

    @property
    def counts(self) -> np.ndarray:
        """Stimuli for which each row stands."""
        counts = np.ones(len(self.rows))
        counts[self.n_certain :] = (self.n - self.n_certain) / max(len(self.rows) - self.n_certain, 1)
        return counts

    def variance_of_sum(self, values: np.ndarray) -> np.ndarray:
        """Of the estimated sum over all stimuli, for values of shape (rows, n_alphas); shape (n_alphas,).

        Sampling without replacement (Cochran 1977, Sampling Techniques, equation 2.9).
        """
        drawn, n_others = values[self.n_certain :], self.n - self.n_certain
        if not len(drawn):
            return np.zeros(values.shape[1])
        return n_others * (n_others - len(drawn)) * drawn.var(axis=0, ddof=1) / len(drawn)


def _draw_stimuli(
    decomposition: RidgeDecomposition, mixtures: np.ndarray, alphas: np.ndarray, rng: np.random.Generator
) -> Sample:
    rough = _rough_errors(decomposition, mixtures[:, :ROUGH], alphas, rng)
    n, at_each = len(rough), max(1, LARGEST // len(alphas))
    largest = np.unique(np.argpartition(rough, -at_each, axis=0)[-at_each:])
    others = np.setdiff1d(np.arange(n), largest)
    drawn = rng.choice(others, min(len(others), max(STIMULI - len(largest), STIMULI // 2)), replace=False)
    return Sample(np.concatenate([largest, np.sort(drawn)]), len(largest), n)


def _rough_errors(
    decomposition: RidgeDecomposition, mixtures: np.ndarray, alphas: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Squared leave-one-out error of each stimulus at each penalty within a factor of about 2, up to one factor for all.

    Shape (n, n_alphas). For standard normal vectors g and R Rᵀ = (K̃+α)⁻¹, the squares of V R Vᵀ g have the weights d as
    expectation, with the same relative precision for small ones (Johnson & Lindenstrauss 1984).
    """
    n, width, numerics = decomposition.basis.shape[0], mixtures.shape[1], decomposition.compute.numerics
    vectors, _ = decomposition.coordinates(rng.standard_normal((n, width)))
    together, rough = max(1, COLUMNS // (2 * width)), []
    for start in range(0, len(alphas), together):
        solved = [
            part
            for alpha in alphas[start : start + together]
            for part in (decomposition.solve(mixtures, alpha), decomposition.half_solve(vectors, alpha))
        ]
        expanded = decomposition.expand(numerics.concatenate(solved, axis=1)).reshape(n, -1, 2, width)
        squares = host(numerics.einsum("iakm,iakm->iak", expanded, expanded))
        rough.append(squares[:, :, 0] / squares[:, :, 1] ** 2)
    return np.concatenate(rough, axis=1)


def _left(decomposition: RidgeDecomposition, mixtures: np.ndarray, alphas: np.ndarray, sample: Sample) -> np.ndarray:
    at = decomposition.at(sample.rows) if len(sample.rows) < sample.n else decomposition
    by_mixture, by_stimulus = _squared_errors(decomposition, at, mixtures, alphas, sample.counts)
    best = by_mixture.mean(axis=0).argmin()
    by_mixture -= by_mixture[:, [best]]
    by_stimulus -= by_stimulus[:, [best]]
    variance = by_mixture.var(axis=0, ddof=1) / len(by_mixture) + sample.variance_of_sum(by_stimulus)
    return np.flatnonzero(by_mixture.mean(axis=0) <= MARGIN * np.sqrt(variance))


def _squared_errors(
    decomposition: RidgeDecomposition,
    at: RidgeDecomposition | StimuliOfDecomposition,
    mixtures: np.ndarray,
    alphas: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared leave-one-out errors: sums over stimuli, (mixtures, n_alphas), and means over mixtures, (rows, n_alphas)."""
    n_mixtures, compute = mixtures.shape[1], decomposition.compute
    together, counts = max(1, COLUMNS // n_mixtures), compute.place(counts)
    diagonal = at.weights(alphas)
    by_mixture, by_stimulus = np.empty((n_mixtures, len(alphas))), np.empty((len(counts), len(alphas)))
    for start in range(0, len(alphas), together):
        chosen = slice(start, start + together)
        solved = compute.numerics.concatenate([decomposition.solve(mixtures, a) for a in alphas[chosen]], axis=1)
        errors = at.expand(solved).reshape(len(counts), -1, n_mixtures)
        errors /= diagonal[:, chosen, None]
        errors *= errors
        by_mixture[:, chosen] = host(counts @ errors.reshape(len(counts), -1)).reshape(-1, n_mixtures).T
        by_stimulus[:, chosen] = host(errors.mean(axis=2))
    return by_mixture, by_stimulus

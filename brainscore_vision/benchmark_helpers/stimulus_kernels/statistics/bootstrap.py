"""How sure a number is: test stimuli resampled without fitting anything again, intervals from it, and p values of neuroids.

The fit is kept; what varies is which stimuli it is tested on. Symbols, as in METHODS.md: W (draws × stimuli) how often each
test stimulus occurs in each draw, p and y prediction and measurement of a neuroid, n the number of test stimuli.

- A correlation depends on five sums over stimuli, so all draws of a block of neuroids are five products
  W @ [p, y, p², y², p·y].
- An RDM correlation under a draw weighs pair (i, j) with W_i W_j; copies of one stimulus form no pair, as they would be
  identical by construction (Nili et al. 2014; rsatoolbox).

- Stimuli that come in groups (twelve round blobs, versions of one illusion) are no independent examples of their kind: whole
  groups are drawn (Davison & Hinkley 1997, section 3.8). Where each stimulus is a group of its own, stimuli are drawn.

The draws of a set of stimuli are the same whatever the model and the subject, so that two models can be compared draw by
draw.

**p values.** Under the null hypothesis the prediction has nothing to do with the measurement, and r √(df / (1 − r²)) is
Student's t with df = n − 2 (Pearson), to which the permutations of stimuli agree (Pitman 1937). Stimuli that come in groups
are worth fewer independent ones: with c the correlation of two stimuli of one group, of predictions and of measurements of
a neuroid, 0 if it is negative, and m the ordered pairs of stimuli that share a group,

    n_eff = n / (1 + c_prediction c_measured m / n)

takes the place of n (Clifford, Richardson & Hémon 1989); the tail is that of t with at most as many degrees of freedom as
there are groups, less 2. Each neuroid has its own: noise has no groups, so that they count for more where there is more
signal."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import scipy.sparse  # scipy.stats is loaded at its first use: lists of results need not wait 0.3 s for it
from scipy import special

from ..errors import StimulusKernelError
from .ceilings import SumsOfDraws

N_DRAWS = 1000
INTERVAL = 0.95
MIN_DISTINCT = 3
"""A draw with fewer distinct groups says nothing about a correlation and is drawn again."""

FEWEST_GROUPS = 5
"""Of fewer there are no draws: as no draw has fewer than ``MIN_DISTINCT``, those of three groups are all alike, and those of
four have little more than half of the variance that they should (METHODS.md)."""

FEW_GROUPS = 30
"""With fewer groups than these, the middle 95 % of draws are too narrow: of 7, they cover some 80 % (METHODS.md)."""

BLOCK_BYTES = 16 * 2**20
"""What correlations of a block of draws, and intermediate products, may take each."""

RANK_BINS = 128
"""Dissimilarities are ranked in as many classes; within a class they count as ties, which changes ρ by about 1e-4."""

DRAWS_AT_ONCE = 8
"""Draws whose pair weights are summed together: their counts of all stimuli fit into a core's first cache."""

CORRECTIONS = ("fdr", "holm", "none")

LEVEL = 0.05
"""Share of false discoveries (Benjamini & Hochberg 1995) among neuroids that count as significant."""

_WIDTH = 512
"""Neuroids that are centred at a time."""


@dataclass(frozen=True)
class Draws:
    """A subject's number in each draw.

    Attributes
    ----------
    values : mapping of str to numpy.ndarray of float64, shape (draws,)
        By normalisation.
    stimuli : str
        Digest of the resampled stimuli, their groups and the number of draws: equal digests are paired draws.
    n_groups : int
        How many groups of stimuli are drawn; as many as stimuli where they are independent.
    medians : numpy.ndarray of float64, shape (draws,), or None
        Where values are squares of a median over neuroids: its :func:`median_draws`.
    """

    values: Mapping[str, np.ndarray]
    stimuli: str
    n_groups: int
    medians: np.ndarray | None = None


def interval_of(value: float, draws: np.ndarray, n_stimuli: int, n_groups: int) -> tuple[float, float]:
    """95 % interval of a number over other stimuli: the middle 95 % of its draws, or t about it where groups are few.

    Draws of G groups vary less than G other groups would, by √((G - 1)/G), and their tails are those of a normal distribution.
    With fewer than ``FEW_GROUPS`` groups of similar stimuli that matters, and the interval is the value ± t √(G/(G - 1)) times
    the standard deviation of the draws, t of G - 1 degrees of freedom (Student 1908). Independent stimuli are not grouped.

    Parameters
    ----------
    value : float
    draws : numpy.ndarray of float64, shape (draws,)
    n_stimuli, n_groups : int
        As many where stimuli are independent.
    """
    if not has_few_groups(n_stimuli, n_groups):
        return percentile_interval(draws)
    half = special.stdtrit(n_groups - 1, (1 + INTERVAL) / 2) * np.sqrt(n_groups / (n_groups - 1)) * draws.std(ddof=1)
    return float(value - half), float(value + half)


def has_few_groups(n_stimuli: int, n_groups: int) -> bool:
    """Whether stimuli come in groups, and in fewer than ``FEW_GROUPS``."""
    return n_groups < min(n_stimuli, FEW_GROUPS)


def percentile_interval(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of draws (Efron & Tibshirani 1993, chapter 13)."""
    low, high = np.quantile(draws, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of two or more independent, normal values (Student 1908)."""
    half = t_factor(len(values)) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def t_factor(n: int) -> float:
    """Standard errors from the mean of ``n`` values to the ends of :func:`t_interval`."""
    return float(special.stdtrit(n - 1, (1 + INTERVAL) / 2))


def stimuli_digest(stimulus_ids: Sequence[str], n_draws: int, groups: Sequence[str] | None = None) -> str:
    """16 hexadecimal digits of which stimuli are resampled how often, and in which groups if they come in such."""
    parts = [str(n_draws), *stimulus_ids]
    if has_groups(groups):
        parts += ["groups", *map(str, _numbered(groups))]
    return hashlib.sha1("\0".join(parts).encode()).hexdigest()[:16]


def has_groups(groups: Sequence[str] | None) -> bool:
    """Whether some stimuli share a group."""
    return groups is not None and len(set(groups)) < len(groups)


def count_groups(stimulus_ids: Sequence[str], groups: Sequence[str] | None = None) -> int:
    """How many independent groups there are: the stimuli, where nothing is known of groups."""
    return len(stimulus_ids) if groups is None else len(set(groups))


def resampled_counts(
    stimulus_ids: Sequence[str], n_draws: int = N_DRAWS, groups: Sequence[str] | None = None
) -> np.ndarray:
    """W: how often each stimulus occurs in each draw of as many groups of stimuli, with replacement.

    Parameters
    ----------
    stimulus_ids : sequence of str
        They seed the draws: the same stimuli are drawn alike for every model and subject.
    n_draws : int
    groups : sequence of str, optional
        Label of each stimulus's group, in their order. None: each stimulus is a group of its own, as where all labels differ.

    Returns
    -------
    numpy.ndarray of float64, shape (n_draws, n)
        Whole numbers, the same for all stimuli of a group; each row has at least ``MIN_DISTINCT`` groups, and sums to n where
        groups are of equal size.

    Raises
    ------
    StimulusKernelError
        Fewer than ``FEWEST_GROUPS`` groups, or another number of labels than of stimuli.
    """
    if groups is not None and len(groups) != len(stimulus_ids):
        raise StimulusKernelError(
            f"Each test stimulus has a group; received {len(groups)} labels for {len(stimulus_ids)} stimuli."
        )
    n = count_groups(stimulus_ids, groups)
    if n < FEWEST_GROUPS:
        what = f"groups of test stimuli, received {n} with" if has_groups(groups) else "test stimuli, received"
        raise StimulusKernelError(f"Resampling needs at least {FEWEST_GROUPS} {what} {len(stimulus_ids)}.")
    rng = np.random.default_rng(int(stimuli_digest(stimulus_ids, n_draws, groups), 16))
    counts = np.empty((n_draws, n))
    open_rows = np.arange(n_draws)
    while len(open_rows):
        counts[open_rows] = rng.multinomial(n, np.full(n, 1 / n), size=len(open_rows))
        open_rows = open_rows[(counts[open_rows] > 0).sum(axis=1) < MIN_DISTINCT]
    return counts[:, _numbered(groups)] if has_groups(groups) else counts


def _numbered(groups: Sequence[str]) -> np.ndarray:
    """The number of each stimulus's group, in the order in which groups come."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups])


def check_draws(n_draws: int) -> None:
    """Raise StimulusKernelError if no interval comes of so many draws."""
    if isinstance(n_draws, bool) or not isinstance(n_draws, Integral) or n_draws < 2:
        raise StimulusKernelError(
            f"bootstrap_draws is a whole number, at least 2 and 1,000 as a rule; received {n_draws!r}."
        )


@dataclass(frozen=True)
class Resampled:
    """The test stimuli of a task, resampled.

    Attributes
    ----------
    test_ids : tuple of str
    groups : tuple of str or None
    n_draws : int
    counts : numpy.ndarray of float64, shape (draws, stimuli), or None
        None if there are too few groups to draw from.
    notes : tuple of str
        What a reader of an interval should know of its groups.
    """

    test_ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    n_draws: int
    counts: np.ndarray | None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, test_ids: tuple[str, ...], groups: tuple[str, ...] | None, n_draws: int) -> Resampled:
        n_groups = count_groups(test_ids, groups)
        kind = "group" if n_groups == 1 else "groups"
        are = f"come in {n_groups} {kind} of similar ones" if has_groups(groups) else "are few"
        found = f"The {len(test_ids)} test images {are}"
        if n_groups < FEWEST_GROUPS:
            note = (
                f"{found}: what other images would give cannot be told from fewer than {FEWEST_GROUPS}, so there is no "
                f"interval, and no p value of a difference between models."
            )
            return cls(test_ids, groups, n_draws, None, (note,))
        notes = ()
        if has_few_groups(len(test_ids), n_groups):
            notes = (f"{found}: intervals, by t over whole groups, are a little too narrow, and p values too small.",)
        return cls(test_ids, groups, n_draws, resampled_counts(test_ids, n_draws, groups), notes)

    def is_for(self, test_ids: tuple[str, ...], groups: tuple[str, ...] | None) -> bool:
        return (test_ids, groups) == (self.test_ids, self.groups)

    def draws(self, values: dict[str, np.ndarray], medians: np.ndarray | None = None) -> Draws:
        """Values of :attr:`counts`, with what makes them comparable to another model's."""
        digest = stimuli_digest(self.test_ids, self.n_draws, self.groups)
        return Draws(values, digest, count_groups(self.test_ids, self.groups), medians)


def correlation_draws(prediction: np.ndarray, measured: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Pearson correlation of each neuroid in each draw; the first of :func:`correlation_and_variance_draws`."""
    return correlation_and_variance_draws(prediction, measured, counts)[0]


def correlation_and_variance_draws(
    prediction: np.ndarray, measured: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pearson correlation and variance of the measurement, of each neuroid in each draw.

    Parameters
    ----------
    prediction, measured : numpy.ndarray, shape (n, neuroids)
    counts : numpy.ndarray of float64, shape (draws, n)

    Returns
    -------
    correlations : numpy.ndarray of float64, shape (draws, neuroids)
        0 where a draw leaves a neuroid's prediction or measurement without variance: nothing is predicted there.
    variances : numpy.ndarray of float64, shape (draws, neuroids)
        Of ``measured``. A draw repeats stimuli and varies less than they do, by n/(n - 1) in the mean, which is made good: the
        mean over draws is the variance of the stimuli (ddof 1).
    """
    n, n_neuroids = prediction.shape
    total = counts.sum(axis=1, keepdims=True)
    correlations, variances = np.empty((2, len(counts), n_neuroids))
    width = max(1, BLOCK_BYTES // (5 * 8 * max(n, len(counts))))
    for start in range(0, n_neuroids, width):
        columns = slice(start, start + width)
        p, _ = _standardised(prediction[:, columns])
        y, spread = _standardised(measured[:, columns])
        sums = counts @ np.concatenate([p, y, p * p, y * y, p * y], axis=1)  # draws, 5 * neuroids of the block
        sums /= total
        mean_p, mean_y, pp, yy, py = np.split(sums, 5, axis=1)
        yy = yy - mean_y * mean_y
        both = (pp - mean_p * mean_p) * yy
        varies = both > np.finfo(float).eps
        covariance = py - mean_p * mean_y
        correlations[:, columns] = np.where(varies, covariance, 0.0) / np.sqrt(np.where(varies, both, 1.0))
        variances[:, columns] = np.maximum(yy, 0) * (spread * (n / (n - 1))) ** 2
    return correlations, variances


def ridge_draws(
    prediction: np.ndarray,
    measured: np.ndarray,
    n_repetitions: np.ndarray,
    sums: SumsOfDraws,
    counts: np.ndarray,
) -> dict[str, np.ndarray]:
    """A subject's number in each draw, by normalisation.

    Parameters
    ----------
    prediction, measured : numpy.ndarray, shape (n, neuroids)
    n_repetitions : numpy.ndarray of int, shape (n,)
        The ceiling of the test stimuli moves with the stimuli that are drawn.
    sums : SumsOfDraws
        Of the same prediction and measurement, without draws.
    counts : numpy.ndarray of float64, shape (draws, n)

    Returns
    -------
    dict of str to numpy.ndarray of float64, shape (draws,)
    """
    step = max(1, BLOCK_BYTES // (8 * prediction.shape[1]))
    for start in range(0, len(counts), step):
        block = counts[start : start + step]
        mean_inverse = block @ (1.0 / n_repetitions) / block.sum(axis=1)
        sums.add(*correlation_and_variance_draws(prediction, measured, block), mean_inverse)
    return sums.normalized()


def influences(prediction: np.ndarray, measured: np.ndarray, correlations: np.ndarray) -> np.ndarray:
    """How much each stimulus moves each neuroid's correlation: p y - r (p² + y²) / 2, with p and y standardised.

    Parameters
    ----------
    prediction, measured : numpy.ndarray, shape (n, neuroids)
    correlations : numpy.ndarray of float64, shape (neuroids,)

    Returns
    -------
    numpy.ndarray of float64, shape (n, neuroids)
        Each column sums to 0; its mean under a draw's weights is the draw's r minus r, to first order (Devlin, Gnanadesikan &
        Kettenring 1975).
    """
    (p, _), (y, _) = _standardised(prediction), _standardised(measured)
    moved = p * y
    moved -= correlations * (p * p + y * y) / 2
    return moved


def median_draws(
    prediction: np.ndarray,
    measured: np.ndarray,
    correlations: np.ndarray,
    counts: np.ndarray,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """The median correlation over neuroids in each draw, as variable as the median is over other stimuli.

    A draw adds its own error to correlations that hold the error of the stimuli already. Their spread over neuroids, on which
    the variance of a median depends, is then too large, which shows where neuroids are few. So correlations are first drawn
    towards their median, until the draws' errors restore the spread that they have:

        median over neuroids of  m + s (r - m) + e*,    s² = max(0, 1 - mean error variance / variance of r over neuroids)

    with m the median of r, and e* the error of a draw to first order. Where errors are small beside the differences between
    neuroids, s is nearly 1 and these are the usual draws.

    Parameters
    ----------
    prediction, measured : numpy.ndarray, shape (n, neuroids)
    correlations : numpy.ndarray of float64, shape (neuroids,)
    counts : numpy.ndarray of float64, shape (draws, n)
    groups : sequence of str, optional
        As for :func:`resampled_counts`.

    Returns
    -------
    numpy.ndarray of float64, shape (draws,)
        With their sign.
    """
    n, n_neuroids = prediction.shape
    errors = np.empty((len(counts), n_neuroids), dtype=np.float32)
    total, variance = counts.sum(axis=1, keepdims=True), 0.0
    width = max(1, BLOCK_BYTES // (8 * max(n, len(counts))))
    for start in range(0, n_neuroids, width):
        columns = slice(start, start + width)
        moved = influences(prediction[:, columns], measured[:, columns], correlations[columns])
        errors[:, columns] = counts @ moved / total
        variance += np.square(sum_groups(moved, groups)).sum() / n**2 / n_neuroids
    middle, spread = np.median(correlations), correlations.var(ddof=1) if n_neuroids > 1 else 0.0
    shrinkage = np.sqrt(max(0.0, 1 - variance / spread)) if spread > 0 else 0.0
    errors += middle + shrinkage * (correlations - middle)
    return np.median(errors, axis=1).astype(float)


def sum_groups(values: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """Sums of rows over the stimuli of each group; shape (groups, columns)."""
    if not has_groups(groups):
        return values
    number = _numbered(groups)
    sums = np.zeros((number.max() + 1, values.shape[1]))
    np.add.at(sums, number, values)
    return sums


def rank_classes(ranks: np.ndarray) -> np.ndarray:
    """Class of each pair of stimuli by its rank; intp, shape (pairs,), below ``RANK_BINS``.

    Parameters
    ----------
    ranks : numpy.ndarray of float64, shape (pairs,)
        Of the upper triangle of an RDM (:func:`~.similarity.rdm_ranks`). Pairs of equal rank are in one class.
    """
    edges = np.quantile(ranks, np.linspace(0, 1, RANK_BINS + 1)[1:-1])
    return np.searchsorted(edges, ranks, side="left").astype(np.intp)


def rdm_draws(classes_a: np.ndarray, classes_b: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Spearman correlation of two RDMs in each draw.

    A draw gives each pair a weight; what pairs' ranks in the draw are depends on all weights. The table of classes by
    classes holds all that the ranks and their correlation need.

    Parameters
    ----------
    classes_a, classes_b : numpy.ndarray of int, shape (pairs,)
        From :func:`rank_classes`, of the same stimuli.
    counts : numpy.ndarray of float64, shape (draws, n)

    Returns
    -------
    numpy.ndarray of float64, shape (draws,)
    """
    cell = classes_a * RANK_BINS + classes_b
    order = np.argsort(cell, kind="stable")
    rows, columns = (index[order] for index in np.triu_indices(counts.shape[1], k=1))
    cells, starts = np.unique(cell[order], return_index=True)
    # sums the weights of the pairs of each cell; whole numbers, which float32 adds exactly up to 2**24
    sums = scipy.sparse.csr_matrix(
        (np.ones(len(cell), dtype=np.float32), np.arange(len(cell)), [*starts, len(cell)]),
        shape=(len(cells), len(cell)),
    )
    classes = divmod(cells, RANK_BINS)
    members = [scipy.sparse.csr_matrix((np.ones(len(cells)), (of, np.arange(len(cells))))) for of in classes]
    weights = np.empty((len(cell), DRAWS_AT_ONCE), dtype=np.float32)
    factors = np.empty_like(weights)
    correlations = np.empty(len(counts))
    for start in range(0, len(counts), DRAWS_AT_ONCE):
        draws = np.zeros((counts.shape[1], DRAWS_AT_ONCE), dtype=np.float32)
        block = counts[start : start + DRAWS_AT_ONCE]
        draws[:, : len(block)] = block.T
        np.take(draws, rows, axis=0, out=weights, mode="clip")  # "raise" would go through a copy
        np.take(draws, columns, axis=0, out=factors, mode="clip")
        weights *= factors
        table = (sums @ weights)[:, : len(block)].astype(float)  # cells, draws
        ranks = [_unit_midranks(of_class @ table) for of_class in members]
        of_cells = [own[of] for own, of in zip(ranks, classes, strict=True)]
        correlations[start : start + len(block)] = np.einsum("ij,ij,ij->j", table, *of_cells)
    return correlations


def _unit_midranks(weights: np.ndarray) -> np.ndarray:
    """Mid-rank of each class (row) in each draw, of mean 0 and length 1 over its weights; 0 where all is one class."""
    middle = np.cumsum(weights, axis=0) - weights / 2
    middle -= (middle * weights).sum(axis=0) / weights.sum(axis=0)
    length = np.sqrt((weights * middle * middle).sum(axis=0))
    return middle / np.where(length > 0, length, np.inf)


def _standardised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean 0 and variance 1 over stimuli, and the spread before: keeps the sums of a draw free of cancellation.

    What does not vary is 0.
    """
    centred = values - values.mean(axis=0, dtype=float)
    centred[:, np.ptp(values, axis=0) == 0] = 0.0
    spread = centred.std(axis=0)
    centred /= np.where(spread > 0, spread, 1.0)
    return centred, spread


def effective_stimuli(prediction: np.ndarray, measured: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """n_eff: how many independent stimuli the test stimuli are worth for a correlation.

    Parameters
    ----------
    prediction, measured : numpy.ndarray, shape (n, neuroids)
        Neither constant over stimuli.
    groups : sequence of str or None
        Label of each stimulus's group.

    Returns
    -------
    numpy.ndarray of float64, shape (neuroids,)
    """
    n, n_neuroids = prediction.shape
    if not has_groups(groups):
        return np.full(n_neuroids, float(n))
    n_pairs = sum(count * (count - 1) for count in Counter(groups).values())
    product = np.ones(n_neuroids)
    for values in (prediction, measured):
        for start in range(0, n_neuroids, _WIDTH):
            columns = slice(start, start + _WIDTH)
            centred = values[:, columns] - values[:, columns].mean(axis=0, dtype=float)
            squares = np.square(centred).sum(axis=0)
            alike = (np.square(sum_groups(centred, groups)).sum(axis=0) - squares) / n_pairs
            product[columns] *= np.maximum(0.0, alike) / (squares / n)
    return n / (1 + product * n_pairs / n)


def p_values(
    prediction: np.ndarray, measured: np.ndarray, correlations: np.ndarray, groups: Sequence[str] | None = None
) -> np.ndarray | None:
    """One-sided p value of each neuroid, of a correlation that is not positive.

    Parameters
    ----------
    prediction, measured, groups
        As for :func:`effective_stimuli`.
    correlations : numpy.ndarray of float64, shape (neuroids,)

    Returns
    -------
    numpy.ndarray of float64, shape (neuroids,), or None
        None if there are fewer than ``MIN_DISTINCT`` groups: nothing can be said from them.
    """
    if count_groups(range(len(prediction)), groups) < MIN_DISTINCT:
        return None
    df = np.maximum(1.0, effective_stimuli(prediction, measured, groups) - 2)
    r = np.clip(correlations, -1, 1)
    with np.errstate(divide="ignore"):  # r = 1 has t = infinity and p = 0
        scaled = r * np.sqrt(df / (1 - r * r))
    return special.stdtr(np.minimum(df, count_groups(range(len(prediction)), groups) - 2), -scaled)


def count_significant(values: np.ndarray) -> int:
    """How many of p values (float64, shape (neuroids,)) are significant at ``LEVEL`` of false discoveries."""
    return int((scipy.stats.false_discovery_control(values) <= LEVEL).sum())


def adjusted(values: Sequence[float], method: str) -> np.ndarray:
    """p values corrected for how many there are.

    Parameters
    ----------
    values : sequence of float
    method : {"fdr", "holm", "none"}
        Bound the share of false discoveries (Benjamini & Hochberg 1995), or the chance of a single one (Holm 1979), or correct
        nothing.

    Returns
    -------
    numpy.ndarray of float64
    """
    p = np.asarray(values, dtype=float)
    if method not in CORRECTIONS:
        raise StimulusKernelError(f"p values are corrected by one of {', '.join(CORRECTIONS)}; received {method!r}.")
    if method == "none" or not len(p):
        return p
    if method == "fdr":
        return scipy.stats.false_discovery_control(p)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected

"""The stimulus × stimulus kernel that every metric of the engine is derived from.

For features X (stimuli × features) the kernel holds K = Z Zᵀ, with Z = X - s and s the mean of each feature over all
stimuli of the kernel, together with the few sums that bring the features' own means back where a metric needs them.
Linear ridge and linear CKA do not see s at all. Keeping it out of K guards against cancellation: features after a ReLU
have means far above their spread, and X Xᵀ would spend its digits on those means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..errors import ModelOutputError, StimulusKernelError
from ..named_rows import misnamed_rows, row_indexes, rows_of_a_table_apart, turned
from .compute import Compute, host

COLUMN_BLOCK = 1024
"""Features per step of the accumulation. A constant: the rounding of K, hence every score, must not depend on memory
settings, on the size of the model's batches or on the number of processes."""

SKETCH_COLUMNS = 8
"""Random mixtures of features that are kept beside K."""

SEED = 20260914

FEW_OPERATIONS = 32
"""More than the operations on a number before and after it is part of an inner product."""


class FeatureSource(Protocol):
    """Features that can be read a block of columns at a time."""

    n_stimuli: int
    n_features: int

    def read_columns(self, start: int, stop: int):
        """Features ``start`` to ``stop`` of all stimuli, shape (n_stimuli, stop - start), any numeric dtype: an array or, of
        features on a GPU, a tensor."""


@dataclass(frozen=True)
class ArrayFeatures:
    """Features that are in memory already.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (n_stimuli, n_features), any numeric dtype.
    """

    values: np.ndarray

    @property
    def n_stimuli(self) -> int:
        return self.values.shape[0]

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    def read_columns(self, start: int, stop: int) -> np.ndarray:
        return self.values[:, start:stop]


@dataclass(frozen=True)
class StimulusKernel:
    """Inner products between the features of stimuli, and what is needed to undo the centring.

    Attributes
    ----------
    stimulus_ids : numpy.ndarray of str, shape (n,)
    gram : numpy.ndarray of float64, shape (n, n)
        K = Z Zᵀ, symmetric, in squared units of the features.
    n_features : int
        p, the width of the features.
    row_mean : numpy.ndarray of float64, shape (n,)
        Mean of z_i over its p features.
    row_dot_mean : numpy.ndarray of float64, shape (n,)
        z_i · (s - mean(s)).
    mean_spread : float
        ``|s - mean(s)|²``, the sum of squares of the feature means about their own mean.
    mean_norm : float
        ``|s|``.
    sketch : numpy.ndarray of float64, shape (n, SKETCH_COLUMNS), or None
        Z Ω with random signs Ω (p × SKETCH_COLUMNS). K squares the features, so that rounding hides from it what is 1e-8 of
        the largest; here it can still be seen. None for kernels that were kept before there was one.
    """

    stimulus_ids: np.ndarray
    gram: np.ndarray
    n_features: int
    row_mean: np.ndarray
    row_dot_mean: np.ndarray
    mean_spread: float
    mean_norm: float
    sketch: np.ndarray | None
    _positions: dict = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        positions = {stimulus_id: i for i, stimulus_id in enumerate(self.stimulus_ids)}
        if len(positions) != len(self.stimulus_ids):
            raise StimulusKernelError(
                f"Each stimulus stands in a kernel once, but {len(self.stimulus_ids) - len(positions)} of "
                f"{len(self.stimulus_ids)} stimulus ids are repeated. Pass the features of each stimulus once."
            )
        object.__setattr__(self, "_positions", positions)

    def positions(self, stimulus_ids: Sequence[str]) -> np.ndarray:
        """Rows of the given stimuli, shape (len(stimulus_ids),), int."""
        try:
            return np.fromiter((self._positions[s] for s in stimulus_ids), dtype=np.intp, count=len(stimulus_ids))
        except KeyError:
            missing = [s for s in stimulus_ids if s not in self._positions]
            raise StimulusKernelError(
                f"A kernel answers for the stimuli that the model saw; {len(missing)} of {len(stimulus_ids)} asked for "
                f"are not among its {len(self.stimulus_ids)}, the first: {missing[:3]}. "
                f"Build the kernel from a pool that holds them."
            ) from None

    def block(self, rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
        """K between two lists of stimuli, a copy of shape (len(rows), len(columns))."""
        return self.gram[np.ix_(self.positions(rows), self.positions(columns))]

    @property
    def rounding(self) -> float:
        """Bound of the rounding of z_i · z_j, relative to |z_i| |z_j|.

        Each operation adds at most half of ε, and no number passes through more sums than a block has columns and there are
        blocks (Higham 2002, section 3.1); some more operations make z and what is subtracted from K.
        """
        sums = min(self.n_features, COLUMN_BLOCK) + -(-self.n_features // COLUMN_BLOCK)
        return (sums + FEW_OPERATIONS) * np.finfo(float).eps / 2


def build_kernel(
    sources: Sequence[FeatureSource], stimulus_ids: Sequence[str], compute: Compute | None = None, on_columns=None
) -> StimulusKernel:
    """Accumulate the kernel of stacked feature sources, a block of columns at a time.

    Parameters
    ----------
    sources : sequence of FeatureSource
        Stacked along stimuli; all of the same width.
    stimulus_ids : sequence of str
        Identifiers of the stacked stimuli, unique.
    compute : Compute, optional
        Where to compute; the CPU if None.
    on_columns : callable, optional
        Called with the number of columns done since the last call (for a progress bar).

    Returns
    -------
    StimulusKernel

    Raises
    ------
    StimulusKernelError
        Sources of different width, or another number of stimuli than identifiers.
    ModelOutputError
        Features that are not finite.

    Notes
    -----
    Peak memory beyond K is 2 × n_stimuli × COLUMN_BLOCK × 8 bytes, whatever the number of features.
    Accumulation is in float64, whatever the features are.
    """
    widths = sorted({source.n_features for source in sources})
    if len(widths) != 1:
        raise StimulusKernelError(
            f"The stimuli of one kernel have features of one width, but widths {widths} were received. "
            f"Record all of them from the same layer."
        )
    n, p = sum(source.n_stimuli for source in sources), widths[0]
    if n != len(stimulus_ids):
        raise StimulusKernelError(f"One identifier per stimulus is needed: {n} rows, {len(stimulus_ids)} identifiers.")
    compute = compute if compute is not None else Compute()
    gram, numerics = compute.gram_accumulator(n), compute.numerics
    row_sum, row_dot_mean, sketch = (compute.place(np.zeros(shape)) for shape in (n, n, (n, SKETCH_COLUMNS)))
    mean_sum = mean_square = mean_norm = 0.0
    rng = np.random.default_rng(SEED)
    pivot = None
    for start, stop, features in column_blocks(sources, compute):
        feature_mean = features.mean(axis=0)
        if not numerics.isfinite(feature_mean).all():
            _raise_not_finite(host(features), stimulus_ids)
        features -= feature_mean
        # a common offset of all feature means carries no information: subtracting it early keeps the sums small
        pivot = float(feature_mean.mean()) if pivot is None else pivot
        mean_norm = np.hypot(mean_norm, float(numerics.linalg.norm(feature_mean)))
        feature_mean -= pivot
        gram.add(features)
        signs = rng.choice(np.array([-1.0, 1.0]), size=(stop - start, SKETCH_COLUMNS))
        sketch += features @ compute.place(signs)
        row_sum += features.sum(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # found out below, from K itself
            row_dot_mean += features @ feature_mean
            mean_sum += float(feature_mean.sum())
            mean_square += float(feature_mean @ feature_mean)
        if on_columns is not None:
            on_columns(stop - start)
    products, row_sum, row_dot_mean, sketch = gram.result(), host(row_sum), host(row_dot_mean), host(sketch)
    if not np.isfinite(np.diag(products)).all():
        raise ModelOutputError(
            "Inner products of features must stay finite, but the largest feature is too large to be squared in float64. "
            f"Check the model's scale: {p} features of {n} stimuli."
        )
    return StimulusKernel(
        stimulus_ids=np.asarray(stimulus_ids),
        gram=products,
        n_features=p,
        row_mean=row_sum / p,
        row_dot_mean=row_dot_mean - mean_sum / p * row_sum,
        mean_spread=float(max(mean_square - mean_sum**2 / p, 0.0)),
        mean_norm=float(mean_norm),
        sketch=sketch,
    )


def kernel_from_features(features: np.ndarray, stimulus_ids: Sequence[str]) -> StimulusKernel:
    """Kernel of features that are in memory: ``features`` of shape (n_stimuli, n_features).

    Raises
    ------
    StimulusKernelError
        As :func:`build_kernel`; or a table whose rows have other names than the stimuli, or the same in another order.
    """
    apart = rows_of_a_table_apart(features, stimulus_ids) or turned(features, stimulus_ids)
    if apart or misnamed_rows(row_indexes(features), stimulus_ids) is not None:
        raise StimulusKernelError(
            "Rows of features are those of stimulus_ids, in their order; the table has other names, or another order. Sort it "
            "by the ids (frame.loc[ids]), or give an array without names."
        )
    if np.ma.is_masked(features):
        raise StimulusKernelError(
            f"Features have a number in each place; {np.ma.count_masked(features)} of {features.size} are masked. Fill them, "
            f"or leave their rows out."
        )
    features = np.asarray(features)
    if features.ndim != 2:
        raise StimulusKernelError(f"Features have two dimensions, stimuli × features; received shape {features.shape}.")
    return build_kernel([ArrayFeatures(features)], stimulus_ids)


def column_blocks(sources: Sequence[FeatureSource], compute: Compute | None = None) -> Iterator[tuple]:
    """Blocks of columns of stacked sources of one width, in order: start, stop and features, float64, where they are used.

    The next one is read while the current one is used.
    """
    compute = compute if compute is not None else Compute()
    n, p = sum(source.n_stimuli for source in sources), sources[0].n_features
    blocks = [(start, min(start + COLUMN_BLOCK, p)) for start in range(0, p, COLUMN_BLOCK)]
    with ThreadPoolExecutor(1, "columns") as reader:
        waiting = reader.submit(_stack, sources, n, *blocks[0], compute)
        for i, (start, stop) in enumerate(blocks):
            features = waiting.result()
            if i + 1 < len(blocks):
                waiting = reader.submit(_stack, sources, n, *blocks[i + 1], compute)
            yield start, stop, features


def _stack(sources, n: int, start: int, stop: int, compute: Compute):
    stacked, row = compute.empty((n, stop - start)), 0
    for source in sources:
        # in its own precision until it is where it is used
        stacked[row : row + source.n_stimuli] = compute.place(source.read_columns(start, stop))
        row += source.n_stimuli
    return stacked


def _raise_not_finite(features: np.ndarray, stimulus_ids: Sequence[str]) -> None:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    raise ModelOutputError(
        f"Features must be finite, but those of {len(bad)} of {len(stimulus_ids)} stimuli hold nan or infinity, the first: "
        f"{[str(stimulus_ids[i]) for i in bad[:3]]}. Check the model on these images."
    )

"""One subject's share of a benchmark, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

import numpy as np
import pandas as pd

from .ceilings import NoiseCeiling
from .pool import StimulusPool
from .responses import Responses


@dataclass(frozen=True)
class SubjectTask:
    """What has to be compared for one subject. Equal tasks have equal results.

    Attributes
    ----------
    subject : str
    region : str
        The measured region.
    model_region : str
        The region that the model is asked to record.
    pool : StimulusPool
        Covers the training and test stimuli.
    train_ids, test_ids : tuple of str
        ``train_ids`` is empty for metrics that fit nothing.
    metric : Metric
        See :mod:`.metrics`.
    load_responses : callable
        ``load_responses() -> Responses`` of all stimuli of the subject, called when the task's turn comes. Part of what
        makes tasks equal, so a frozen dataclass with ``__call__`` serves better than a closure.
    """

    subject: str
    region: str
    model_region: str
    pool: StimulusPool
    train_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    metric: object
    load_responses: Callable[[], Responses] = field(repr=False)


@dataclass(frozen=True)
class SubjectResult:
    """One subject's outcome, before it is put in relation to a ceiling.

    Attributes
    ----------
    subject : str
    n_train, n_test, n_features : int
    neuroids : pandas.DataFrame
    published_ceiling, test_ceiling : NoiseCeiling
        Per neuroid: as published with the data, and at the repetitions of the test stimuli.
    correlations : numpy.ndarray of float64, shape (neuroids,), or None
        Per neuroid, where the metric compares neuroids.
    similarity : float or None
        Where the metric compares representations as wholes.
    alpha : float or None
        The ridge penalty.
    details : dict
        Further facts that belong beside the score.
    """

    subject: str
    n_train: int
    n_test: int
    n_features: int
    neuroids: pd.DataFrame
    published_ceiling: NoiseCeiling
    test_ceiling: NoiseCeiling
    correlations: np.ndarray | None = None
    similarity: float | None = None
    alpha: float | None = None
    details: dict = field(default_factory=dict)

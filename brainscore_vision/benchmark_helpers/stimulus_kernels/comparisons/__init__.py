"""Metrics that compare a kernel with responses: ridge (:mod:`.ridge`), RDM correlation and CKA (:mod:`.rsa`).

A metric gets all tasks that share a kernel and a training set at once, so that what they have in common (an
eigendecomposition, the ranks of the model's RDM) is computed once.
"""

from ..statistics.bootstrap import Resampled
from ..tasks import Results
from .ridge import DEFAULT_ALPHAS, RELATIVE, RELATIVE_ALPHAS, RidgeMetric, alpha_text, poorly_known
from .rsa import CKAMetric, RDMMetric

__all__ = [
    "CKAMetric",
    "DEFAULT_ALPHAS",
    "RDMMetric",
    "RELATIVE",
    "RELATIVE_ALPHAS",
    "Resampled",
    "Results",
    "RidgeMetric",
    "alpha_text",
    "poorly_known",
]

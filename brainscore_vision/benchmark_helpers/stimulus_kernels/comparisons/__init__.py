"""Metrics that compare a kernel with responses: ridge (:mod:`.ridge`), RDM correlation (:mod:`.rdm`), CKA (:mod:`.cka`).

A metric gets all tasks that share a kernel and a training set at once, so that what they have in common (an
eigendecomposition, the ranks of the model's RDM) is computed once.
"""

from ..tasks import Results
from .cka import CKAMetric
from .rdm import RDMMetric
from .resampled import Resampled
from .ridge import DEFAULT_ALPHAS, RELATIVE, RELATIVE_ALPHAS, RidgeMetric, alpha_text, poorly_known

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

"""Brain-Score benchmarks from stimulus × stimulus kernels: memory that does not grow with the model.

Any dataset with several subjects or folds can be scored with these parts; none of them knows a particular one. The path
of a score: a :class:`SubjectTask` per subject says what to compare; the engine shows the model each image once, makes one
kernel per layer and pool (:mod:`.kernel`), evaluates metrics on it (:mod:`.metrics`); benchmarks (:mod:`.benchmark`)
aggregate the results to a Score.
"""

from .assemblies import block_diagonal_concat
from .benchmark import KFoldNeuralBenchmark, MultiSubjectNeuralBenchmark, score_benchmarks
from .ceilings import NoiseCeiling
from .comparison import Comparison, compare
from .engine import missing_kernels, prepare_kernels
from .kernel import StimulusKernel, build_kernel, kernel_from_features
from .metrics import DEFAULT_ALPHAS, CKAMetric, RDMMetric, RidgeMetric
from .normalizations import NORMALIZATIONS
from .options import EngineOptions
from .pool import StimulusPart, StimulusPool
from .recorder_lookup import LookupModel
from .reliability import Reliability, reliability_from_sums, reliability_from_trials
from .responses import Responses
from .tasks import SubjectTask

__all__ = [
    "CKAMetric",
    "Comparison",
    "DEFAULT_ALPHAS",
    "EngineOptions",
    "KFoldNeuralBenchmark",
    "LookupModel",
    "MultiSubjectNeuralBenchmark",
    "NORMALIZATIONS",
    "NoiseCeiling",
    "RDMMetric",
    "Responses",
    "Reliability",
    "RidgeMetric",
    "StimulusKernel",
    "StimulusPart",
    "StimulusPool",
    "SubjectTask",
    "block_diagonal_concat",
    "build_kernel",
    "compare",
    "kernel_from_features",
    "missing_kernels",
    "prepare_kernels",
    "reliability_from_sums",
    "reliability_from_trials",
    "score_benchmarks",
]

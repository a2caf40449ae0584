"""Brain-Score benchmarks from stimulus × stimulus kernels: memory that does not grow with the model.

Any dataset with several subjects or folds can be scored with these parts; none of them knows a particular one. The path
of a score: a benchmark (:mod:`.benchmark`) resolves to a plan (:mod:`.plan`), with a :class:`SubjectTask` per subject
that says what to compare; the engine shows the model each image once (:mod:`.features`), makes one kernel per layer and pool
(:mod:`.kernels`) and evaluates metrics on it (:mod:`.comparisons`); the plan makes a Score of the results.
"""

from .assemblies import block_diagonal_concat, to_assembly
from .benchmark import KFoldNeuralBenchmark, MultiSubjectNeuralBenchmark, score_benchmarks
from .comparisons import DEFAULT_ALPHAS, RELATIVE, RELATIVE_ALPHAS, CKAMetric, RDMMetric, RidgeMetric
from .engine import missing_kernels, prepare_kernels, score_plans
from .features.lookup import LookupModel
from .kernels.kernel import StimulusKernel, build_kernel, kernel_from_features
from .options import EngineOptions
from .plan import Plan
from .pool import StimulusPart, StimulusPool
from .statistics.ceilings import (
    NORMALIZATIONS,
    SIMILARITY_NORMALIZATIONS,
    NoiseCeiling,
    Reliability,
    reliability_from_sums,
    reliability_from_trials,
)
from .statistics.differences import Comparison, compare
from .tasks import Responses, SubjectTask

__all__ = [
    "CKAMetric",
    "Comparison",
    "DEFAULT_ALPHAS",
    "RELATIVE",
    "RELATIVE_ALPHAS",
    "EngineOptions",
    "KFoldNeuralBenchmark",
    "LookupModel",
    "MultiSubjectNeuralBenchmark",
    "NORMALIZATIONS",
    "SIMILARITY_NORMALIZATIONS",
    "NoiseCeiling",
    "RDMMetric",
    "Plan",
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
    "score_plans",
    "to_assembly",
]

"""LAION-fMRI benchmarks: 20 registered headline cells, and a factory for every other one.

Brain-Score finds registrations by searching this file's text, so each of them is a line of its own. Nothing is loaded
until a benchmark is used.
"""

from brainscore_vision import benchmark_registry
from brainscore_vision.benchmark_helpers.stimulus_kernels import compare
from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS as DEFAULT_SUBJECTS

from .benchmark import LAIONfMRI, LAIONfMRICKA, LAIONfMRIClusterCV, LAIONfMRIRSA, benchmark, load_assembly
from .encoder import EncoderBrain, encode_many, encoder_metadata, fit_encoder, load_encoder
from .layer_maps import best_layers, map_layers
from .maps import brain_maps
from .networks.finding import find_model
from .networks.network import as_brain_model
from .scoring import partition, score_model

__all__ = [
    "DEFAULT_SUBJECTS",
    "EncoderBrain",
    "LAIONfMRI",
    "LAIONfMRICKA",
    "LAIONfMRIClusterCV",
    "LAIONfMRIRSA",
    "as_brain_model",
    "benchmark",
    "best_layers",
    "brain_maps",
    "compare",
    "encode_many",
    "encoder_metadata",
    "find_model",
    "fit_encoder",
    "load_assembly",
    "load_encoder",
    "map_layers",
    "partition",
    "score_model",
]

benchmark_registry["LAION_fMRI.V1-tau-ridgecv"] = lambda: LAIONfMRI("V1", "tau")
benchmark_registry["LAION_fMRI.V2-tau-ridgecv"] = lambda: LAIONfMRI("V2", "tau")
benchmark_registry["LAION_fMRI.V4-tau-ridgecv"] = lambda: LAIONfMRI("V4", "tau")
benchmark_registry["LAION_fMRI.IT-tau-ridgecv"] = lambda: LAIONfMRI("IT", "tau")
benchmark_registry["LAION_fMRI.V1-ood-ridgecv"] = lambda: LAIONfMRI("V1", "ood")
benchmark_registry["LAION_fMRI.V2-ood-ridgecv"] = lambda: LAIONfMRI("V2", "ood")
benchmark_registry["LAION_fMRI.V4-ood-ridgecv"] = lambda: LAIONfMRI("V4", "ood")
benchmark_registry["LAION_fMRI.IT-ood-ridgecv"] = lambda: LAIONfMRI("IT", "ood")

benchmark_registry["LAION_fMRI_persubject.V1-tau-ridgecv"] = lambda: LAIONfMRI("V1", "tau", pool="persubject")
benchmark_registry["LAION_fMRI_persubject.V2-tau-ridgecv"] = lambda: LAIONfMRI("V2", "tau", pool="persubject")
benchmark_registry["LAION_fMRI_persubject.V4-tau-ridgecv"] = lambda: LAIONfMRI("V4", "tau", pool="persubject")
benchmark_registry["LAION_fMRI_persubject.IT-tau-ridgecv"] = lambda: LAIONfMRI("IT", "tau", pool="persubject")
benchmark_registry["LAION_fMRI_persubject.V1-ood-ridgecv"] = lambda: LAIONfMRI("V1", "ood", pool="persubject")
benchmark_registry["LAION_fMRI_persubject.V2-ood-ridgecv"] = lambda: LAIONfMRI("V2", "ood", pool="persubject")
benchmark_registry["LAION_fMRI_persubject.V4-ood-ridgecv"] = lambda: LAIONfMRI("V4", "ood", pool="persubject")
benchmark_registry["LAION_fMRI_persubject.IT-ood-ridgecv"] = lambda: LAIONfMRI("IT", "ood", pool="persubject")

benchmark_registry["LAION_fMRI.V1-rdm-pearson"] = lambda: LAIONfMRIRSA("V1")
benchmark_registry["LAION_fMRI.V2-rdm-pearson"] = lambda: LAIONfMRIRSA("V2")
benchmark_registry["LAION_fMRI.V4-rdm-pearson"] = lambda: LAIONfMRIRSA("V4")
benchmark_registry["LAION_fMRI.IT-rdm-pearson"] = lambda: LAIONfMRIRSA("IT")

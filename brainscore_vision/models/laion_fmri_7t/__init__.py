"""The dataset's own features as models: four embeddings, and the nouns of the object segmentations.

Brain-Score finds registrations by searching this file's text, so each of them is a line of its own. No file is opened
until a model is scored.
"""

from brainscore_vision import model_registry

from .combine import combine
from .feature_tables import FeatureTable, open_table
from .features import EmbeddingModel, StimulusFeatureModel
from .nouns import NounModel

__all__ = ["EmbeddingModel", "FeatureTable", "NounModel", "StimulusFeatureModel", "combine", "open_table"]

model_registry["LAION_fMRI-CLIP"] = lambda: EmbeddingModel("CLIP")
model_registry["LAION_fMRI-DINOv2"] = lambda: EmbeddingModel("DINOv2")
model_registry["LAION_fMRI-PEcore"] = lambda: EmbeddingModel("PEcore")
model_registry["LAION_fMRI-SigLIP2"] = lambda: EmbeddingModel("SigLIP2")
model_registry["LAION_fMRI-nouns"] = lambda: NounModel()

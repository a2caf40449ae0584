"""Tests that Brain-Score's tooling runs for this plugin; the project's own suite is in the repository's ``tests``."""

import pytest
from brainscore_vision.model_interface import BrainModel

from brainscore_vision import load_model, score

REGISTERED = ("LAION_fMRI-CLIP", "LAION_fMRI-DINOv2", "LAION_fMRI-PEcore", "LAION_fMRI-SigLIP2", "LAION_fMRI-nouns")


@pytest.mark.parametrize("identifier", REGISTERED)
def test_loads_without_data(identifier):
    model = load_model(identifier)
    assert isinstance(model, BrainModel)
    assert model.identifier == identifier


@pytest.mark.private_access
@pytest.mark.memory_intense
@pytest.mark.parametrize("identifier", REGISTERED)
def test_score(identifier):
    result = score(model_identifier=identifier, benchmark_identifier="LAION_fMRI.IT-tau-ridgecv", conda_active=True)
    assert result.item() == pytest.approx(0.5, abs=0.5)

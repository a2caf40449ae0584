"""A dataset that is not LAION-fMRI, and a model that counts what it is shown."""

import pytest
from plugin_testing.models import CountingModel
from plugin_testing.second_dataset import DEGREES, Study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("second"))


@pytest.fixture
def model():
    return CountingModel(visual_degrees=DEGREES)

"""For tests of reports whose subject is not the brain."""

import sys

import pytest


@pytest.fixture
def without_maps(monkeypatch):
    """No nilearn: the section on the brain says what to install, and nothing is drawn for seconds."""
    monkeypatch.setitem(sys.modules, "nilearn", None)

"""The headline cells give the numbers that they gave before the engine was rewritten.

The kept numbers are of the default simulated dataset (version 5; what version 6 adds changes none of them). Published values,
raw values, ceilings, errors, penalties and intervals were, on the same data, to the last bit those of the engine of commit
448bd46, and through it those of commit 587d092 on version 4; explained_variance and correlation are new with the ceilings
from the test images, reliability is new. Since families of test images are drawn together, the intervals of ood cells and of
per-subject cells are others; the rest stayed to 2e-15. On one machine the code gives the numbers to 1e-12; other processors
order their sums otherwise, and single precision ends early in a network.
"""

import json

import pytest
from plugin_testing.headline_numbers import KEPT, MODELS, identifiers_for, numbers_of_model
from plugin_testing.registered import REGISTERED

TOLERANCE = {"pixels": 1e-9, "untrained AlexNet": 1e-4, "CLIP": 1e-9, "nouns": 1e-9}


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_headline_numbers_are_kept(model, shared_home, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(shared_home))
    # the notebook scores pixels on these cells too
    monkeypatch.setenv("BRAINSCORE_HOME", str(shared_home / "brain-score"))
    kept = json.loads(KEPT.read_text())[model]
    found = numbers_of_model(model, identifiers_for(model, REGISTERED), "simulated")
    assert sorted(found) == sorted(kept)
    assert sum(len(one) for of_cell in kept.values() for one in of_cell.values()) > 500
    for identifier, of_cell in kept.items():
        for unit, expected in of_cell.items():
            assert found[identifier][unit] == pytest.approx(expected, rel=TOLERANCE[model], abs=TOLERANCE[model]), (
                identifier,
                unit,
            )

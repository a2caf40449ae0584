"""Made-up results of models whose layers the test names: one for each benchmark."""

from pathlib import Path

from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import parse
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase

from .made_up_scores import made_up_score
from .scored_cells import facts

TAU, OOD, OWN = "LAION_fMRI.IT-tau-ridgecv", "LAION_fMRI.IT-ood-ridgecv", "LAION_fMRI_persubject.IT-tau-ridgecv"
V1, FOLDS = "LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI.IT-cluster_k5-ridgecv"
KINDS = ("LAION_fMRI.IT-ood_shape-ridgecv", "LAION_fMRI.IT-ood_gabor-ridgecv")
MIXED = {TAU: "0", OOD: "4", OWN: "3", V1: "0"}
NOTE = f"Scores of IT are of several layers: 0 ({TAU}), 3 ({OWN}), 4 ({OOD})."
"""Of a model that was scored so."""


def fill_layers(path: Path, models: dict, choice: str = "given", **attrs) -> ResultsDatabase:
    """Results of ``{model: {benchmark: layer}}``; a layer may be a dictionary of regions, or None where it is not known."""
    database = ResultsDatabase(path)
    for model, cells in models.items():
        for number, (cell, layer) in enumerate(cells.items()):
            score = made_up_score(model, cell, 0.5 if model == "net" else 0.3)
            score.attrs["layers"] = layer if isinstance(layer, dict) else {parse(cell).region: layer}
            score.attrs["layer_choice"] = choice
            if layer is None:
                del score.attrs["layers"], score.attrs["layer_choice"]
            score.attrs.update(attrs)
            database.add(score, facts(score, number))
    return database

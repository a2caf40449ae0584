"""The numbers of the headline cells for four models, as a tree of floats that can be kept and compared.

``python tests/plugin_testing/headline_numbers.py FILE DATASET`` writes them, with the code that is installed: when the
simulation makes other data, the kept file is made anew by the code before the change, on the new data.
"""

import json
import sys
from pathlib import Path

from brainscore_vision.benchmarks.laion_fmri_7t.networks import sources
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all

KEPT = Path(__file__).parents[1] / "benchmarks" / "headline_numbers.json"

MODELS = {
    "pixels": "pixels",
    "untrained AlexNet": f"{sources.__name__}:untrained_alexnet",
    "CLIP": "LAION_fMRI-CLIP",
    "nouns": "LAION_fMRI-nouns",
}


def numbers(score) -> dict[str, float]:
    """Value, raw value, ceiling, their errors, all normalisations, penalty and interval."""
    raw, ceiling = score.attrs["raw"], score.attrs["ceiling"]
    found = {
        "value": score.item(),
        "error": float(score.attrs["error"]),
        "raw": raw.item(),
        "raw error": float(raw.attrs["error"]),
        "ceiling": ceiling.item(),
        "ceiling error": float(ceiling.attrs["error"]),
    }
    found |= {name: value for name, value in score.attrs["normalizations"].items() if name != "published"}
    if "alpha" in score.attrs:
        found["alpha"] = score.attrs["alpha"]
    if "interval" in score.attrs:
        found["low"], found["high"] = score.attrs["interval"]
    return {name: value for name, value in found.items() if value == value}  # one subject alone has no error


def numbers_of_model(model: str, identifiers: list[str], dataset) -> dict[str, dict[str, dict[str, float]]]:
    """Benchmark -> "mean" or subject -> name -> number."""
    found = {}
    for identifier, score in score_all(MODELS[model], identifiers, dataset=dataset):
        subjects = score.attrs["raw_subjects"]["subject"].values.tolist()
        found[identifier] = {
            "mean": numbers(score),
            **{subject: numbers(score.attrs[subject]) for subject in subjects},
        }
    return found


def identifiers_for(model: str, identifiers: list[str]) -> list[str]:
    """Those that a model can be scored on: nouns are known of shared images alone."""
    return [name for name in identifiers if model != "nouns" or "persubject" not in name]


if __name__ == "__main__":
    from brainscore_vision.benchmarks.laion_fmri_7t.cli.options import headline

    kept = {model: numbers_of_model(model, identifiers_for(model, headline()), sys.argv[2]) for model in MODELS}
    Path(sys.argv[1]).write_text(json.dumps(kept, separators=(",", ":")).replace('},"LAION', '},\n"LAION') + "\n")

"""Scoring on a machine that has what Brain-Score needs, and not what the rest of this plugin does."""

import json
import os
import subprocess
import sys

HIDDEN = ("typer", "rich", "jinja2", "markupsafe", "nibabel", "dask", "distributed", "matplotlib", "nilearn")

PROGRAM = f"""
import json, sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *of: None if name.partition(".")[0] in {HIDDEN} else find(name, *of)
import brainscore_vision
from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, partition, score_model

scores = [
    brainscore_vision.score("pixels", "LAION_fMRI.V1-ood-ridgecv"),
    brainscore_vision.score("LAION_fMRI-nouns", "LAION_fMRI.V1-rdm-pearson"),
    score_model("LAION_fMRI-CLIP", "LAION_fMRI.V1-cka"),
]
part = partition("LAION_fMRI-CLIP", "LAION_fMRI-nouns", "LAION_fMRI.V1-ood-ridgecv[subjects=sub-01]")["mean"]
assert len(brainscore_vision.load_stimulus_set("LAION_fMRI_stim")) > 0
assert brainscore_vision.load_dataset("LAION_fMRI_sub-01").sizes["neuroid"] > 0
assert not set({HIDDEN}) & sys.modules.keys()
print(json.dumps([score.item() for score in scores]))
"""


def test_scoring_needs_no_package_of_the_command_line_and_the_reports(tiny_dataset, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env=os.environ | {"LAION_FMRI_DATASET": str(tiny_dataset), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[-1])) == 3

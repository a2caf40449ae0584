"""The path of a score goes one way: the dataset is opened once, and what changes beside a run costs nothing finished."""

import shutil
from collections import Counter

import numpy as np
import pytest
from plugin_testing.models import CountingModel

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, score_plans
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import evaluate
from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, scoring
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t import source, splits
from brainscore_vision.data.laion_fmri_7t.assemblies.file import AssemblyFile

CELLS = tuple(
    f"LAION_fMRI.{cell}[subjects=sub-01+sub-03]"
    for cell in ("V1-tau-ridgecv", "IT-ood-ridge", "V4-rdm-pearson", "V2-cka")
)
UNKEPT = EngineOptions(store=False, progress=False)


class Disturbed(CountingModel):
    """Something happens when it looks at images for the n-th time."""

    def __init__(self, what, n, **options):
        super().__init__(**options)
        self.what, self.n = what, n

    def look_at(self, stimuli, number_of_trials=1):
        self.n -= 1
        if self.n == 0:
            self.what()
        return super().look_at(stimuli, number_of_trials)


@pytest.fixture
def own_copy(tiny_dataset, tmp_path):
    return shutil.copytree(tiny_dataset, tmp_path / "dataset")


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset):
    """Value of each cell for a model that sees what `Disturbed` does."""
    scores = score_all(CountingModel(identifier="disturbed"), CELLS, dataset=tiny_dataset, engine=UNKEPT)
    return {name: score.item() for name, score in scores}


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "stimuli" / "task-images_desc-new.csv").write_text("still coming"),
        lambda folder: (folder / "splits" / "shared" / "tau.json").write_text("still coming"),
        lambda folder: (folder / "assemblies" / "sub-01.nc.part").write_bytes(b"still coming"),
        lambda folder: (folder / "stimuli" / "manifest.csv").unlink(),
    ],
    ids=["a file beside the images", "a split", "a part of an assembly", "the manifest gone"],
)
def test_a_folder_that_changes_beside_a_run_costs_nothing(own_copy, undisturbed, change, at):
    model = Disturbed(lambda: change(own_copy), at, identifier="disturbed")
    scores = score_all(model, CELLS, dataset=own_copy, engine=UNKEPT)
    assert {name: score.item() for name, score in scores} == undisturbed
    assert model.n <= 0


def test_a_run_opens_the_dataset_and_reads_each_split_once(tiny_dataset, monkeypatch):
    opened, read = [], Counter()
    open_dataset, read_split = scoring.open_dataset, splits._read_split_file
    monkeypatch.setattr(scoring, "open_dataset", lambda name: opened.append(name) or open_dataset(name))
    monkeypatch.setattr(splits, "_read_split_file", lambda path: read.update([path.name]) or read_split(path))
    monkeypatch.setattr(source, "_open", {})
    list(score_all(CountingModel(), [*CELLS, "LAION_fMRI.IT-random-ridge"], dataset=tiny_dataset, engine=UNKEPT))
    assert len(opened) == 1
    assert set(read.values()) == {1}


def test_scoring_results_opens_nothing(own_copy, monkeypatch):
    """Even assemblies may go when the last task is done."""
    dataset = source.open_dataset(own_copy)
    plans = [benchmark(cell, dataset=own_copy).resolve(dataset) for cell in CELLS]
    results = {plan.identifier: [None] * len(plan.tasks) for plan in plans}
    places = [(plan.identifier, i) for plan in plans for i in range(len(plan.tasks))]
    tasks = [task for plan in plans for task in plan.tasks]
    for position, result in evaluate(CountingModel(), tasks, UNKEPT):
        identifier, i = places[position]
        results[identifier][i] = result
    monkeypatch.setattr(AssemblyFile, "blocks", lambda *_: pytest.fail("trials were read"))
    dataset._responses._entries.clear()
    for plan in plans:
        assert np.isfinite(plan.score(results[plan.identifier]).item())


def test_equal_plans_share_their_work(tiny_dataset):
    model = CountingModel()
    plans = [benchmark(CELLS[0], dataset=tiny_dataset).resolve() for _ in range(2)]
    (first, a), (second, b) = score_plans(model, plans, UNKEPT)
    assert {first, second} == {0, 1}
    assert a.item() == b.item()

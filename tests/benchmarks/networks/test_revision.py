"""The revision of a function's model: what it makes counts, and not the text of its file."""

import numpy as np
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t.networks.finding import find_model
from brainscore_vision.benchmarks.laion_fmri_7t.networks.network import as_network
from brainscore_vision.benchmarks.laion_fmri_7t.networks.revision import MADE, Made, code_revision
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, add_scores
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import check_names, make_plan
from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel

SOURCE = '''
import torch
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model

SIZE = 32
SLOPE = 0.1


class Net(torch.nn.Module):
    """A network."""

    def __init__(self, width):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 3)

    def forward(self, x):
        return squash(self.conv(x))


def squash(x):
    return torch.nn.functional.leaky_relu(x, SLOPE)


def make(width=4):
    torch.manual_seed(0)
    return as_brain_model(Net(width).eval(), "net", layers={"V1": "conv"}, image_size=SIZE)


def other():
    return make()
'''
LAYERS = {"V1": "conv"}
V1 = "LAION_fMRI.V1-tau-ridge"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return path


def revision(file, text, call="make"):
    file.write_text(text)
    return find_model(f"{file}:{call}").made().revision


SAME = {
    "comment": ("def make", "# wide or narrow\ndef make"),
    "comment in the class": ("        return squash", "        # not yet squashed\n        return squash"),
    "another function": ("def other", "def new():\n    return other()\n\n\ndef other"),
    "another way to the same": ("Net(width).eval()", "Net(width=width).eval()"),
}
OTHER = {
    "weights": ("manual_seed(0)", "manual_seed(1)"),
    "structure": ("3, width, 3)", "3, width, 5)"),
    "forward": ("squash(self.conv(x))", "squash(self.conv(x)) * 2"),
    "a function that forward calls": ("leaky_relu(x, SLOPE)", "leaky_relu(x, SLOPE) + 1"),
    "a constant that it uses": ("SLOPE = 0.1", "SLOPE = 0.2"),
    "preprocessing": ("SIZE = 32", "SIZE = 48"),
    "layers": ('"V1": "conv"', '"V2": "conv"'),
}


@pytest.mark.parametrize("change", SAME)
def test_what_makes_the_same_is_no_other_model(file, change):
    before = revision(file, SOURCE)
    assert before.startswith(MADE)
    assert SOURCE.count(SAME[change][0]) == 1
    assert revision(file, SOURCE.replace(*SAME[change])) == before
    assert revision(file, SOURCE, "make(width=4)") == before


@pytest.mark.parametrize("change", OTHER)
def test_what_makes_another_is_another_model(file, change):
    assert SOURCE.count(OTHER[change][0]) >= 1
    assert revision(file, SOURCE.replace(*OTHER[change])) != revision(file, SOURCE)


def test_arguments_count_by_what_they_make(file):
    assert revision(file, SOURCE, "make(width=5)") != revision(file, SOURCE)


def test_what_has_no_network_is_known_by_its_file(file, tmp_path):
    table = tmp_path / "features.npz"
    np.savez(table, features=np.eye(3), image_ids=["a", "b", "c"])
    made = find_model(str(table)).made()
    assert made.revision is None
    assert made == Made.of(StimulusFeatureModel.from_file(table))
    assert made.network is not None
    before = code_revision(str(table))
    np.savez(table, features=2 * np.eye(3), image_ids=["a", "b", "c"])
    assert code_revision(str(table)) != before


def test_a_network_is_the_same_with_and_without_layers(file):
    found = find_model(f"{file}:make")
    assert found.network().facts["model_revision"] == found.model().model_revision == found.made().revision
    assert found.model({"IT": "conv"}).model_revision == found.made().revision
    library = find_model("torchvision:squeezenet1_1@none")
    assert "model_revision" not in library.network().facts
    assert Made.of(as_network(library.network().module, "a")).revision is not None


def scored(file, database, dataset):
    name = f"{file}:make"
    done = score_all(name, [V1], dataset=dataset, engine=EngineOptions(store=False, progress=False))
    list(add_scores(database, done, model=name, benchmarks=[V1], dataset=dataset))


def planned(file, database, dataset, **options):
    (plan,) = make_plan(*check_names([f"{file}:make"], [V1], dataset=str(dataset)), results=database, **options).models
    return len(plan.todo), len(plan.done)


def made_now(file):
    return {"made": {f"{file}:make": find_model(f"{file}:make").made()}}


def test_a_comment_costs_no_score(file, tmp_path, tiny_dataset):
    database = ResultsDatabase(tmp_path / "results.db")
    scored(file, database, tiny_dataset)
    (result,) = database.results()
    assert result.model_revision.startswith(MADE)
    assert result.model_code == code_revision(f"{file}:make")
    assert database.score(result.id).attrs["model_revision"] == result.model_revision
    assert planned(file, database, tiny_dataset) == (0, 1)  # nothing was made to know it
    file.write_text(f"{SOURCE}\n# a remark\n")
    assert planned(file, database, tiny_dataset) == (1, 0)
    assert planned(file, database, tiny_dataset, **made_now(file)) == (0, 1)
    file.write_text(SOURCE.replace("manual_seed(0)", "manual_seed(1)"))
    assert planned(file, database, tiny_dataset, **made_now(file)) == (1, 0)
    scored(file, database, tiny_dataset)
    assert len(database.results()) == 1
    assert len({r.model for r in database.results(latest=False)}) == 2


def test_results_of_earlier_versions_stay_known(file, tmp_path, tiny_dataset):
    """They say the file's hash and the network's digest, and nothing of what was made."""
    database = ResultsDatabase(tmp_path / "results.db")
    scored(file, database, tiny_dataset)
    t = database.tables
    t.Model.update(revision=code_revision(f"{file}:make")).execute()
    t.Result.update(model_code=None).execute()
    assert planned(file, database, tiny_dataset) == (0, 1)
    file.write_text(f"{SOURCE}\n# a remark\n")
    assert planned(file, database, tiny_dataset) == (1, 0)
    assert planned(file, database, tiny_dataset, **made_now(file)) == (0, 1)
    scored(file, database, tiny_dataset)  # and are one model with newer ones
    assert {r.model for r in database.results(latest=False)} == {"net"}
    file.write_text(SOURCE.replace("3, width, 3)", "3, width, 5)"))
    assert planned(file, database, tiny_dataset, **made_now(file)) == (1, 0)

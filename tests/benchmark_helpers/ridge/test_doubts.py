"""What a Score says about its penalty, and what `exact` changes: whole benchmarks, the store, the command line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from plugin_testing.notes import notes_of

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import one_of_many
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models.laion_fmri_7t import EmbeddingModel, StimulusFeatureModel

CELL = "LAION_fMRI.IT-tau-ridgecv"
SUBJECTS = ("sub-01", "sub-03", "sub-05", "sub-06", "sub-07")


@pytest.fixture(scope="module")
def table(tiny_dataset):
    """Ids and features that predict responses."""
    ids = open_dataset(tiny_dataset).pool_stimuli("shared")
    return ids, EmbeddingModel("CLIP", tiny_dataset).features_for(ids).astype(float)


def scored(ids, features, dataset, cells=(CELL,), **engine):
    model = StimulusFeatureModel.from_arrays(features, ids, "table")
    return dict(score_all(model, list(cells), dataset=dataset, engine=EngineOptions(progress=False, **engine)))


@pytest.mark.parametrize(("scale", "edge", "remedy"), [(1e7, "largest", "Divide"), (1e-8, "smallest", "Multiply")])
def test_the_score_says_that_a_penalty_is_at_the_edge(table, tiny_dataset, caplog, scale, edge, remedy):
    ids, features = table
    score = scored(ids, features * scale, tiny_dataset)[CELL]
    assert len(notes_of(score)) == len(SUBJECTS)
    for subject in SUBJECTS:
        alpha = score.attrs[subject].attrs["alpha"]
        (note,) = notes_of(score.attrs[subject])
        assert note in notes_of(score)
        assert note.startswith(f"alpha of {subject} in IT is {alpha:g}, the {edge} of its grid")
        assert f"{remedy} all features by one number" in note
    said = [r.message for r in caplog.records if "of its grid" in r.message]
    assert len(said) == 1
    assert said[0].endswith("The same holds for other subjects or regions.")


def test_of_several_models_each_is_named_once(table, tiny_dataset, caplog):
    ids, features = table
    for name in ("first", "second"):
        with one_of_many(name):
            scored(ids, features * 1e7, tiny_dataset, [CELL, "LAION_fMRI.IT-ood-ridgecv"])
    said = [r.message for r in caplog.records if "of its grid" in r.message]
    assert [message.split(" of ")[0] for message in said] == ["first: alpha", "second: alpha"]


def test_a_penalty_inside_the_grid_and_a_given_one_are_not_mentioned(table, tiny_dataset):
    ids, features = table
    given = "LAION_fMRI.IT-tau-ridge"
    scores = scored(ids, features, tiny_dataset, [CELL, given]) | {
        "far": scored(ids, features * 1e7, tiny_dataset, [given])[given]
    }
    assert [notes_of(score) for score in scores.values()] == [[], [], []]


@pytest.mark.parametrize(
    ("cell", "largest", "remedy"),
    [
        (CELL, 1e11, "Standardise the features"),
        ("LAION_fMRI.IT-tau-ridge", 1e11, "Standardise the features"),
        ("LAION_fMRI.IT-rdm-pearson", 1e6, "Divide each feature by its standard deviation"),
    ],
)
def test_the_score_says_that_features_were_lost_in_rounding(table, tiny_dataset, cell, largest, remedy):
    ids, features = table
    features = features * np.r_[largest, np.ones(features.shape[1] - 1)]
    notes = [note for note in notes_of(scored(ids, features, tiny_dataset, [cell])[cell]) if "rounding" in note]
    assert len(notes) == 1
    assert remedy in notes[0]


def test_what_is_lost_just_below_the_smallest_penalty_is_said(table, tiny_dataset):
    """Ratings beside rates in small units: at λ = α a direction still counts by half, and correlations see no shrinkage."""
    ids, features = table
    rng, small = np.random.default_rng(2), features[:, 0] / features[:, 0].std()
    for spread, said in ((1e-6, 1), (1e-9, 0)):
        beside = np.c_[1000 * rng.standard_normal((len(ids), 2)), spread * small]
        notes = notes_of(scored(ids, beside, tiny_dataset, [CELL])[CELL])
        assert len([note for note in notes if "lost in rounding" in note]) == said


def test_exact_scores_are_the_scores(table, tiny_dataset, tmp_path, monkeypatch):
    """And they come from the same kernels: nothing is stored for them."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import decomposition, fit

    ids, features = table
    cells = [CELL, "LAION_fMRI.V1-ood-ridgecv", "LAION_fMRI.V2-tau-ridge"]
    monkeypatch.setattr(decomposition, "MANY", 0)
    monkeypatch.setattr(fit, "MIXTURES", 20)
    ways = []
    band, low_rank = decomposition._band, decomposition._low_rank
    monkeypatch.setattr(decomposition, "_band", lambda *a: ways.append("band") or band(*a))
    monkeypatch.setattr(decomposition, "_low_rank", lambda *a: ways.append("low rank") or low_rank(*a))
    rng = np.random.default_rng(1)
    wide = features @ rng.standard_normal((features.shape[1], 400)) + rng.standard_normal((len(ids), 400))
    for used, way in ((features[:, :5], "low rank"), (wide, "band")):
        folder, ways[:] = tmp_path / way, []
        fast = scored(ids, used, tiny_dataset, cells, store_directory=folder)
        assert set(ways) == {way}
        stored, ways[:] = sorted(folder.iterdir()), []
        exact = scored(ids, used, tiny_dataset, cells, store_directory=folder, exact=True)
        assert not ways
        assert sorted(folder.iterdir()) == stored
        for cell in cells:
            assert exact[cell].item() == pytest.approx(fast[cell].item(), abs=1e-9)
            for subject in SUBJECTS:
                assert exact[cell].attrs[subject].attrs["alpha"] == fast[cell].attrs[subject].attrs["alpha"]


def test_exact_on_the_command_line(run, tiny_dataset, tmp_path, monkeypatch):
    """Each command that fits ridge hands it on."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.making import ModelKernels

    asked, init = [], ModelKernels.__init__
    monkeypatch.setattr(
        ModelKernels, "__init__", lambda self, *a: (init(self, *a), asked.append(self.compute.exact))[0]
    )

    def values(*arguments):
        asked.clear()
        code, out, err = run(*arguments, "--dataset", tiny_dataset, "--json")
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()], set(asked)

    for command in (("score", "LAION_fMRI-CLIP", CELL), ("partition", "LAION_fMRI-CLIP", "LAION_fMRI-nouns", CELL)):
        (plain, _), (exact, how) = values(*command), values(*command, "--exact")
        assert how == {True}
        for name in ("value", "total"):
            assert [r.get(name) for r in exact] == pytest.approx([r.get(name) for r in plain], abs=1e-9)


@pytest.mark.usefixtures("sweeps_here")
def test_a_sweep_hands_exact_to_its_workers(run, tiny_dataset, tmp_path, monkeypatch):
    from brainscore_vision.benchmarks.laion_fmri_7t.cli import sweep

    asked = []
    done = SimpleNamespace(n_scored=0, n_done=0, failures=())
    monkeypatch.setattr(sweep, "_run", lambda plan, settings, *_: asked.append(settings.engine.exact) or done)
    command = ("sweep", "pixels", "--benchmarks", CELL, "--dataset", tiny_dataset, "--results", tmp_path / "results.db")
    assert run(*command)[0] == run(*command, "--exact")[0] == 0
    assert asked == [False, True]

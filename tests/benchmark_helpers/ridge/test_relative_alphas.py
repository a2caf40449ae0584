"""Penalties in units of the mean eigenvalue: scores that do not depend on the unit of the features."""

import numpy as np
import pytest
from plugin_testing.models import FeatureModel
from sklearn.linear_model import RidgeCV

from brainscore_vision.benchmark_helpers.stimulus_kernels import RELATIVE_ALPHAS, EngineOptions, RidgeMetric
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import decomposition as decompositions
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge
from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, compare
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, add_scores, to_dataframe, to_xarray
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models.laion_fmri_7t import EmbeddingModel, StimulusFeatureModel

PLAIN = "LAION_fMRI.IT-tau-ridgecv"
CELL = f"{PLAIN}[alphas=relative]"


def test_the_grid_is_regular_and_fine_enough():
    steps = np.diff(np.log10(RELATIVE_ALPHAS))
    np.testing.assert_allclose(steps, 0.5)
    assert RELATIVE_ALPHAS[0] == 1e-6
    assert RELATIVE_ALPHAS[-1] == 1e6


def fitted(features, responses, train, query, exact=False):
    gram = (features - features.mean(axis=0)) @ (features - features.mean(axis=0)).T
    decomposition = ridge.decompose(gram, train, Compute(exact=exact), features.shape[1])
    training = ridge.TrainingResponses(decomposition, responses[train])
    metric = RidgeMetric(alphas="relative")
    unit = metric.unit(decomposition)
    alpha = ridge.select_alpha(training, metric.grid, unit).alpha
    return alpha, unit, training.predict(gram[np.ix_(query, train)], alpha * unit) + training.mean


@pytest.mark.parametrize(("width", "way"), [(20, "low rank"), (60, "eigenvectors"), (300, "band")])
@pytest.mark.parametrize("exact", [False, True])
def test_a_fit_in_any_unit_is_that_of_scikit_learn(monkeypatch, width, way, exact):
    """By every way to decompose, with and without samples that sort penalties out."""
    monkeypatch.setattr(decompositions, "MANY", 0)
    monkeypatch.setattr(ridge, "MIXTURES", 8)
    monkeypatch.setattr(ridge, "STIMULI", 30)
    assert decompositions.way_to_decompose(100, Compute(), width) == way
    rng = np.random.default_rng(5)
    features = rng.standard_normal((130, width)) * np.linspace(0.1, 1, width)
    responses = features @ rng.standard_normal((width, 40)) + 3 * rng.standard_normal((130, 40))
    train, query = np.arange(100), np.arange(100, 130)
    centred = features[train] - features[train].mean(axis=0)
    mean_eigenvalue = np.linalg.eigvalsh(centred @ centred.T).mean()
    expected = RidgeCV(alphas=mean_eigenvalue * np.array(RELATIVE_ALPHAS)).fit(centred, responses[train])
    for scale in (1e-12, 1.0, 1.78, 3e9):
        alpha, unit, predicted = fitted(features * scale, responses, train, query, exact)
        assert unit == pytest.approx(scale**2 * mean_eigenvalue, rel=1e-11)
        assert alpha * mean_eigenvalue == pytest.approx(expected.alpha_, rel=1e-11)
        wanted = expected.predict(features[query] - features[train].mean(axis=0))
        np.testing.assert_allclose(predicted, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


def test_a_sampled_search_in_relative_units_drops_nothing_that_wins():
    rng = np.random.default_rng(6)
    features = rng.standard_normal((60, 30))
    responses = features @ rng.standard_normal((30, 300)) + 4 * rng.standard_normal((60, 300))
    rows = np.arange(60)
    sampled, exact = (fitted(features * 1e-5, responses, rows, rows, exact) for exact in (False, True))
    assert sampled[0] == exact[0]


@pytest.mark.parametrize("alphas", ["absolute", "", (), (1, 0), (float("nan"),)])
def test_what_is_no_grid(alphas):
    with pytest.raises(StimulusKernelError, match="positive numbers, at least one, or 'relative'"):
        RidgeMetric(alphas=alphas)


# Whole benchmarks


@pytest.fixture(scope="module")
def table(tiny_dataset):
    """Ids and features that predict responses."""
    ids = open_dataset(tiny_dataset).pool_stimuli("shared")
    return ids, EmbeddingModel("CLIP", tiny_dataset).features_for(ids).astype(float)


def scored(table, dataset, scale=1.0, cells=(CELL,), name="table"):
    ids, features = table
    model = StimulusFeatureModel.from_arrays(features * scale, ids, name)
    return dict(score_all(model, list(cells), dataset=dataset, engine=EngineOptions(store=False, progress=False)))


def test_any_unit_of_the_features_gives_the_same_score(table, tiny_dataset):
    cells = (CELL, "LAION_fMRI.V1-ood-ridgecv[alphas=relative]", PLAIN)
    plain = scored(table, tiny_dataset, cells=cells)
    moved = []
    for scale in (1e-9, 1.78, 2.4, 1e7):
        found = scored(table, tiny_dataset, scale, cells)
        for cell in cells[:2]:
            assert found[cell].item() == pytest.approx(plain[cell].item(), abs=1e-9)
            for subject in found[cell].attrs["raw_subjects"]["subject"].values:
                a, b = (score[cell].attrs[subject] for score in (found, plain))
                assert a.attrs["alpha"] == b.attrs["alpha"]
                np.testing.assert_allclose(a.attrs["interval"], b.attrs["interval"], atol=1e-9)
        moved.append(abs(found[PLAIN].item() / plain[PLAIN].item() - 1))
    assert max(moved) > 1e-3  # as published, the unit does matter


def test_a_network_in_any_unit(table, tiny_dataset):
    """Single precision, through the spool of features."""
    ids, features = table
    bench = benchmark(PLAIN, alphas="relative", dataset=tiny_dataset)
    values = [
        bench(
            FeatureModel(dict(zip(ids, (features * scale).astype(np.float32), strict=True)), identifier=f"by {scale}")
        )
        for scale in (1, 2.0**9)
    ]
    assert values[0].attrs["benchmark_identifier"] == benchmark(CELL, dataset=tiny_dataset).identifier
    assert values[1].item() == pytest.approx(values[0].item(), abs=1e-9)


def test_the_score_says_the_unit_of_its_penalty(table, tiny_dataset):
    unit = scored(table, tiny_dataset)[CELL].attrs["sub-01"]
    assert unit.attrs["alpha"] in RELATIVE_ALPHAS
    decomposition = decompose_for(benchmark(CELL, dataset=tiny_dataset), table)
    assert unit.attrs["mean_eigenvalue"] == pytest.approx(decomposition.mean_eigenvalue, rel=1e-5)
    assert "mean_eigenvalue" not in scored(table, tiny_dataset, cells=[PLAIN])[PLAIN].attrs["sub-01"].attrs


def decompose_for(bench, table):
    ids, features = table
    train = [ids.index(s) for s in bench.resolve().tasks[0].train_ids]
    return ridge.decompose(features @ features.T, np.array(train))


@pytest.mark.parametrize(("edge", "side"), [(0, "below"), (-1, "above")])
def test_a_note_names_the_unit_at_the_edge_of_the_grid(table, tiny_dataset, monkeypatch, edge, side):
    from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import ridge as comparison

    inside = scored(table, tiny_dataset)[CELL]
    assert not [note for note in inside.attrs["notes"] if "grid" in note]
    # a grid that stops before, or begins after, what was chosen
    chosen = RELATIVE_ALPHAS.index(inside.attrs["sub-01"].attrs["alpha"])
    short = RELATIVE_ALPHAS[chosen + 1 :] if edge == 0 else RELATIVE_ALPHAS[:chosen]
    monkeypatch.setattr(comparison, "RELATIVE_ALPHAS", short)
    unit = scored(table, tiny_dataset)[CELL].attrs["sub-01"]
    (note,) = (note for note in unit.attrs["notes"] if "grid" in note)
    assert f"is {short[edge]:g} × mean eigenvalue, the {'smallest' if edge == 0 else 'largest'} of its grid" in note
    assert f"alphas of your own, {side} {short[edge] * unit.attrs['mean_eigenvalue']:.2g} for these features" in note


def test_a_note_on_rounding_counts_in_the_same_unit(table, tiny_dataset, monkeypatch):
    """The grid ends far above what rounding hides, so that there is none; one that goes on has the same note in any unit."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import ridge as comparison

    ids, features = table
    mixed = features * np.r_[1e11, np.ones(features.shape[1] - 1)]

    def notes():
        scores = [scored((ids, mixed), tiny_dataset, scale)[CELL] for scale in (1, 2.0**20)]
        return [[note for note in score.attrs.get("notes", ()) if "rounding" in note] for score in scores]

    assert notes() == [[], []]
    monkeypatch.setattr(comparison, "RELATIVE_ALPHAS", (1e-25, *RELATIVE_ALPHAS))
    one, other = notes()
    assert one == other
    assert len(one) == 1
    assert "× mean eigenvalue they would count" in one[0]


def test_results_and_exports_keep_the_unit(table, tiny_dataset, tmp_path):
    database = ResultsDatabase(tmp_path / "results.db")
    done = scored(table, tiny_dataset, cells=(CELL, PLAIN))
    list(add_scores(database, done.items(), model="table", benchmarks=list(done), dataset=str(tiny_dataset)))
    results = {result.benchmark: result for result in database.results()}
    unit = done[CELL].attrs["sub-01"].attrs
    kept = results[CELL].subjects["sub-01"]
    assert (kept.alpha, kept.mean_eigenvalue) == (unit["alpha"], unit["mean_eigenvalue"])
    assert results[PLAIN].subjects["sub-01"].mean_eigenvalue is None
    again = database.score(results[CELL].id).attrs["sub-01"].attrs
    assert again["mean_eigenvalue"] == unit["mean_eigenvalue"]
    frame = to_dataframe(results.values()).set_index(["benchmark", "subject"])
    assert frame.loc[(CELL, "sub-01"), "mean_eigenvalue"] == unit["mean_eigenvalue"]
    assert np.isnan(frame.loc[(PLAIN, "sub-01"), "mean_eigenvalue"])
    arrays = to_xarray(list(results.values()))["mean_eigenvalue"].squeeze("model").sel(subject="sub-01")
    assert arrays.sel(benchmark=CELL) == unit["mean_eigenvalue"]
    assert arrays.sel(benchmark=PLAIN).isnull()
    (row,) = database.connection.execute_sql(
        "SELECT mean_eigenvalue FROM scores WHERE benchmark = ? AND label = 'sub-01'", (CELL,)
    ).fetchall()
    assert row == (unit["mean_eigenvalue"],)


def test_a_comparison_says_that_its_penalties_have_the_unit_of_the_features(table, tiny_dataset):
    cells = (CELL, PLAIN)
    one, other = (scored(table, tiny_dataset, scale, cells, f"by {scale}") for scale in (1, 1.78))
    assert "features times a number" in str(compare(one[PLAIN], other[PLAIN]))
    same = compare(one[CELL], other[CELL])
    assert same.notes == ()
    assert same.mean.value == pytest.approx(0, abs=1e-9)


def test_on_the_command_line(run, tiny_dataset, tmp_path):
    results = tmp_path / "results.db"
    command = ("score", "LAION_fMRI-CLIP", PLAIN, "--dataset", tiny_dataset, "--no-store", "--alphas")
    code, out, err = run(*command, "relative", "--results", results)
    assert code == 0, err
    assert CELL in out
    code, out, err = run("results", results, "--subjects")
    assert "× mean eigenvalue" in out
    code, out, err = run(*command, "0.5,50")
    assert f"{PLAIN}[alphas=0.5;50.0]" in out
    for wrong, said in (("relativ", "or 'relative'; received 'relativ'"), ("1;2", "numbers joined by commas")):
        code, out, err = run(*command, wrong)
        assert code == 2
        assert said in " ".join(err.split())
    sweep = ("sweep", "pixels", "-b", PLAIN, "--results", tmp_path / "sweep.db", "--dataset", tiny_dataset)
    code, out, err = run(*sweep, "--dry-run", "--no-check", "--alphas", "relative")
    assert code == 0, err
    assert "alphas=relative" in out + err
    code, out, err = run("report", results, "--out", tmp_path / "report")
    assert code == 0, err
    assert "× mean eigenvalue" in next((tmp_path / "report").rglob("alphas.svg")).read_text()

"""Benchmarks of regions of interest and categories: whose voxels, who lacks them, what models record, every command."""

import contextlib
import json

import numpy as np
import pytest
import torch
from plugin_testing.data_factory import write_dataset
from plugin_testing.models import FeatureModel, pixel_features

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.encoder import SelectionError
from brainscore_vision.benchmarks.laion_fmri_7t import (
    LAIONfMRI,
    as_brain_model,
    benchmark,
    fit_encoder,
    load_assembly,
    map_layers,
    partition,
    score_model,
)
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import ALL_REGIONS, IdentifierError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.errors import ModelSourceError
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import check_names, make_plan
from brainscore_vision.data.laion_fmri_7t.assemblies.averages import reliable_voxels
from brainscore_vision.data.laion_fmri_7t.assemblies.published import PublishedAssemblies
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError
from brainscore_vision.data.laion_fmri_7t.simulation import Truth
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

FFA, FACE = "LAION_fMRI.FFA1-ood-ridgecv", "LAION_fMRI.face-ood-ridgecv"
QUIET = EngineOptions(progress=False)


def pixels():
    return FeatureModel(pixel_features, identifier="pixels")


def by_voxel(score, subject):
    """Index in the brain mask -> correlation of the voxel."""
    values = score.attrs[subject].raw.attrs["raw"]
    return dict(zip(values["voxel_index_in_brain_mask"].values.tolist(), values.values.tolist(), strict=True))


@pytest.fixture
def network():
    torch.manual_seed(3)
    layers = torch.nn.Conv2d(3, 6, 7, stride=4), torch.nn.ReLU(), torch.nn.Conv2d(6, 8, 5, stride=3), torch.nn.ReLU()
    return torch.nn.Sequential(*layers).eval()


# Whose voxels


def test_a_category_is_the_union_of_its_regions_and_overlaps_count_in_each(tiny_dataset):
    """With one penalty for all, a voxel's value does not depend on the company: unions hold the same values."""
    parts = {
        "face": ("FFA1", "OFA", "pSTSfaces"),
        "laionEVC": ("V1", "V2", "V3"),
        "V1": ("V1v", "V1d"),
        "body": ("EBA",),
    }
    names = {
        region: f"LAION_fMRI.{region}-tau-ridge" for region in dict.fromkeys((*parts, *sum(parts.values(), ()), "MT"))
    }
    options = {"subjects": ("sub-01", "sub-07"), "record": "V1", "dataset": str(tiny_dataset)}
    found = {region: score_model(pixels(), LAIONfMRI(region, "tau", "ridge", **options)) for region in names}
    for subject in options["subjects"]:
        values = {region: by_voxel(score, subject) for region, score in found.items()}
        members = {**parts, "face": (*parts["face"], *(() if subject == "sub-01" else ("FFA2",)))}
        if subject == "sub-07":
            own = LAIONfMRI("FFA2", "tau", "ridge", **{**options, "subjects": (subject,)})
            values["FFA2"] = by_voxel(score_model(pixels(), own), subject)
        for union, own in members.items():
            together = {voxel: value for region in own for voxel, value in values[region].items()}
            assert values[union] == pytest.approx(together, rel=1e-9)
            assert len(values[union]) > 3
        assert values["EBA"].keys() & values["MT"].keys(), "they overlap"


def test_a_region_of_interest_is_scored_on_its_own_voxels(tiny_dataset):
    """Against numpy: responses of the truth's voxels, ridge with penalty 1 in primal form."""
    one = LAIONfMRI("FFA1", "tau", "ridge", subjects=("sub-03",), dataset=tiny_dataset)
    train, test = (
        load_assembly("FFA1", "tau", side, subjects=("sub-03",), dataset=tiny_dataset) for side in ("train", "test")
    )
    truth = Truth(tiny_dataset).signal("sub-03", "FFA1")
    reliable = 100 * truth.ncsnr**2 / (truth.ncsnr**2 + 1 / 12) > 30
    assert test["voxel_index_in_brain_mask"].values.tolist() == truth.voxel_index_in_brain_mask[reliable].tolist()
    images = open_dataset(tiny_dataset).stimulus_set([*train["stimulus_id"].values, *test["stimulus_id"].values])
    x = np.stack([pixel_features(images.get_stimulus(stimulus_id)) for stimulus_id in images["stimulus_id"]]).astype(
        float
    )
    x_train, x_test = x[: len(train)], x[len(train) :]
    y, mean = train.values - train.values.mean(0), x_train.mean(0)
    gram = (x_train - mean) @ (x_train - mean).T
    predicted = (x_test - mean) @ (x_train - mean).T @ np.linalg.solve(gram + np.eye(len(gram)), y)
    expected = [np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, test.values.T, strict=True)]
    score = score_model(pixels(), one)
    assert list(by_voxel(score, "sub-03").values()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("metric", ["rdm-pearson", "cka"])
def test_similarities_of_regions_of_interest(tiny_dataset, metric):
    score = score_model(pixels(), f"LAION_fMRI.laionlateral-{metric}", dataset=tiny_dataset)
    assert np.isfinite(score.item())
    assert score.attrs["raw_subjects"].sizes["subject"] == 5


# Who lacks them


def test_a_subject_without_the_region_is_named_and_the_user_chooses(tiny_dataset, run):
    with pytest.raises(MissingDataError) as caught:
        score_model(pixels(), "LAION_fMRI.FFA2-tau-ridgecv", dataset=tiny_dataset)
    have = ("sub-03", "sub-05", "sub-06", "sub-07")
    assert "sub-01 lacks it, sub-03, sub-05, sub-06, sub-07 have it" in str(caught.value)
    assert f"subjects={have!r}" in str(caught.value)
    score = score_model(pixels(), benchmark("LAION_fMRI.FFA2-tau-ridgecv", subjects=have, dataset=tiny_dataset))
    assert score.attrs["raw_subjects"]["subject"].values.tolist() == list(have)
    assert "[subjects=sub-03+sub-05+sub-06+sub-07" in score.attrs["benchmark_identifier"]
    code, _, errors = run("score", "pixels", "LAION_fMRI.character-tau-ridgecv", "--dataset", tiny_dataset)
    assert code == 1
    assert "sub-05, sub-06 lack it" in errors
    assert "Choose subjects: --subjects sub-01,sub-03,sub-07." in errors


def test_what_nobody_has_is_said_with_what_there_is(tiny_dataset):
    with pytest.raises(MissingDataError, match=r"no subject of .* has FBA\. Regions of interest .* FFA1, .*, face"):
        benchmark("LAION_fMRI.FBA-tau-ridgecv", dataset=tiny_dataset).resolve()


def test_assemblies_without_regions_of_interest_keep_the_six_and_name_the_remedy(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / "older")
    two = {"subjects": ("sub-01", "sub-03"), "dataset": root}
    assert benchmark("LAION_fMRI.IT_full-tau-ridgecv", **two).resolve().tasks
    with pytest.raises(
        MissingDataError, match=rf"have V1, .*IT_full.*rebuild_assemblies.py {root} --regions all --start"
    ):
        benchmark(FACE, **two).resolve()
    monkeypatch.setattr(PublishedAssemblies, "path", lambda *_: pytest.fail("nothing is downloaded"))
    with pytest.raises(MissingDataError, match="python rebuild_assemblies.py FOLDER --regions all"):
        benchmark(FACE, dataset="published").resolve()


def test_a_region_without_reliable_voxels_is_an_error_before_images_are_shown(tiny_dataset):
    model = pixels()
    with pytest.raises(DatasetError, match="scoring FFA1 needs voxels with nc_12rep above 99 percent"):
        score_model(model, benchmark(FFA, noise_ceiling_threshold=99, dataset=tiny_dataset))
    assert model.looks == []


# What models record


def test_models_record_what_the_table_or_the_user_says(tiny_dataset):
    model = pixels()
    score_model(model, benchmark("LAION_fMRI.MT-tau-ridgecv", dataset=tiny_dataset))
    assert {region for region, _ in model.looks} == {"V4"}
    model.looks.clear()
    score = score_model(model, benchmark("LAION_fMRI.MT-tau-ridgecv", record="V2", dataset=tiny_dataset))
    assert {region for region, _ in model.looks} == {"V2"}
    assert "[record=V2," in score.attrs["benchmark_identifier"]


def test_layers_are_chosen_for_the_region_itself(network, tiny_dataset):
    found = map_layers(network, ("IT", "FFA1", "face"), layers="all", dataset=tiny_dataset, engine=QUIET)
    assert found.regions == ("IT", "FFA1", "face")
    names = [FFA, "LAION_fMRI.IT-ood-ridgecv"]
    scores = dict(score_all(network, names, dataset=tiny_dataset, engine=QUIET, layers="auto"))
    blocks = map_layers(network, ("IT", "FFA1"), dataset=tiny_dataset, engine=QUIET).best
    assert scores[FFA].attrs["layers"] == {"FFA1": blocks["FFA1"]}
    committed = as_brain_model(network, "own-layer", layers=blocks)
    own = score_model(committed, benchmark(FFA, record="FFA1", dataset=tiny_dataset))
    assert own.item() == pytest.approx(scores[FFA].item(), rel=1e-6)
    # a model with layers for both would be recorded as IT, without a word
    with pytest.raises(ModelSourceError, match=r"layers of 'FFA1', which models record as IT.*NAME\[record=FFA1\]"):
        score_model(committed, benchmark(FFA, dataset=tiny_dataset))
    score_model(committed, benchmark("LAION_fMRI.IT-ood-ridgecv", dataset=tiny_dataset))
    with pytest.raises(IdentifierError, match="Leave record out"):
        dict(score_all(network, [f"{FFA}[record=V4]"], dataset=tiny_dataset, engine=QUIET, layers="auto"))
    with pytest.raises(ModelSourceError, match=r"of a region of interest V1, V2, V4 or IT .*IT=LAYER"):
        score_model(network, FFA, dataset=tiny_dataset, layers={"FFA1": "0"})


# Every other way to use them


def test_partition_and_encoder_take_regions_of_interest(network, tiny_dataset):
    parts = partition(
        "LAION_fMRI-CLIP", "LAION_fMRI-nouns", "LAION_fMRI.face-tau-ridgecv", dataset=tiny_dataset, engine=QUIET
    )
    assert list(parts) == ["sub-01", "sub-03", "sub-05", "sub-06", "sub-07", "mean"]
    best = map_layers(network, ("FFA1",), dataset=tiny_dataset, engine=QUIET).best["FFA1"]
    given, chosen, turned, both = (
        partition(*models, FFA, dataset=tiny_dataset, engine=QUIET, **layers)
        for models, layers in (
            ((network, "LAION_fMRI-CLIP"), {"layers_a": {"IT": best}}),
            ((network, "LAION_fMRI-CLIP"), {"layers_a": "auto"}),
            (("LAION_fMRI-CLIP", network), {"layers_b": "auto"}),
            ((network, "pixels"), {"layers_a": "auto"}),
        )
    )
    assert chosen["mean"].values == pytest.approx(given["mean"].values)
    assert turned["mean"].values["unique_b"] == pytest.approx(given["mean"].values["unique_a"])
    assert both["mean"].values["a"] == pytest.approx(given["mean"].values["a"])
    regions = ("FFA1", "face", "V1")
    encoder = fit_encoder(
        network, "sub-01", regions, "tau", layers={"V1": "1", "IT": "3"}, dataset=tiny_dataset, engine=QUIET
    )
    roi = encoder.metadata["roi"]
    assert list(roi)[:3] == list(regions)
    voxels = np.asarray(encoder.metadata["fmri"]["voxel_index"])
    assert set(voxels[roi["FFA1"]]) < set(voxels[roi["face"]])


def test_an_encoder_of_regions_knows_the_regions_of_interest_in_them(network, tiny_dataset):
    """Those all of whose reliable voxels it has; each answers as by itself."""
    options = {"layers": {"V1": "1", "IT": "3"}, "dataset": tiny_dataset, "engine": QUIET}
    encoder = fit_encoder(network, "sub-01", ("V1", "IT"), "tau", **options)
    file = open_dataset(tiny_dataset).assembly_file("sub-01")
    reliable = {}
    for name in (*file.header.regions.names(), "V2", "IT_full"):
        with contextlib.suppress(DatasetError):
            reliable[name] = set(reliable_voxels(file, name, 30)[1]["voxel_index_in_brain_mask"])
    voxels = np.asarray(encoder.metadata["fmri"]["voxel_index"])
    expected = {name for name, own in reliable.items() if own <= set(voxels)}
    assert {"V1v", "V1d"} <= expected < set(reliable)  # of others, voxels lie outside of V1 and IT
    assert set(encoder.metadata["roi"]) == {"V1", "IT"} | expected
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    whole = encoder.encode(images)
    for name in expected:
        columns = encoder.metadata["roi"][name]
        assert set(voxels[columns]) == reliable[name]
        found, metadata = encoder.encode(images, {"roi": [name]}, return_metadata=True)
        np.testing.assert_allclose(found, whole[:, columns], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(metadata["fmri"]["voxel_index"], voxels[columns])
        np.testing.assert_array_equal(metadata["roi"][name], np.arange(len(columns)))
    with pytest.raises(SelectionError, match="all of whose voxels the encoder of sub-01 has, .*; received roi 'V2'"):
        encoder.encode(images, {"roi": ["V2"]})


def test_results_report_compare_sweep_and_lists_take_regions_of_interest(tiny_dataset, tmp_path, run):
    database, cells = tmp_path / "results.db", [FFA, FACE, "LAION_fMRI.IT-ood-ridgecv"]
    for model in ("LAION_fMRI-CLIP", "LAION_fMRI-nouns"):
        code, out, err = run("score", model, *cells, "--dataset", tiny_dataset, "--results", database, "--json")
        assert code == 0, err
        assert {json.loads(line)["benchmark"] for line in out.splitlines()} == set(cells)
    found = ResultsDatabase(database).results(benchmarks=["*FFA1*"])
    assert [result.benchmark for result in found] == [FFA, FFA]
    code, out, err = run("compare", database, "LAION_fMRI-CLIP", "LAION_fMRI-nouns")
    assert code == 0, err
    assert FFA in out
    code, _, err = run("report", database, "--out", tmp_path / "report")
    assert code == 0, err
    page = next((tmp_path / "report").glob("*.html")).read_text("utf-8")
    assert ">FFA1<" in page
    assert "3 regions" in page
    located, names = check_names(["LAION_fMRI-CLIP"], [FFA, "LAION_fMRI.PPA-tau-ridge"], dataset=str(tiny_dataset))
    plan = make_plan(located, names, results=ResultsDatabase(database))
    assert (plan.n_done, plan.n_todo) == (1, 1)
    with pytest.raises(MissingDataError, match="sub-01 lacks it"):
        make_plan(*check_names(["LAION_fMRI-CLIP"], ["LAION_fMRI.FFA2-tau-ridge"], dataset=str(tiny_dataset)))


def test_regions_are_listed_by_category_with_who_lacks_them(tiny_dataset, tmp_path, run):
    code, out, _ = run("list", "--regions", "--dataset", tiny_dataset)
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert code == 0
    assert lines["face → IT"] == "FFA1 → IT, FFA2 → IT (not sub-01), OFA → IT (not sub-06), pSTSfaces → IT"
    assert lines["Every assembly"].startswith("V1 → V1, V2 → V2, V3 → V3")
    assert "python rebuild_assemblies.py" in run("list", "--regions", "--dataset", write_dataset(tmp_path / "older"))[1]
    code, out, _ = run("data", "describe", "--dataset", tiny_dataset, "--json")
    described = json.loads(out)
    assert described["rois"]["face"]["FFA2"] == ["sub-03", "sub-05", "sub-06", "sub-07"]
    every, reliable = described["subjects"][1]["rois"]["FFA2"]
    assert 0 < reliable <= every
    table = run("data", "describe", "--dataset", tiny_dataset)[1]
    row = next(line.split() for line in table.splitlines() if "FFA2" in line)
    assert row[:3] == ["face", "FFA2", "-"]
    assert run("list", "--all", "*.FFA1-tau-ridgecv")[1].split() == [
        "LAION_fMRI.FFA1-tau-ridgecv",
        "LAION_fMRI_persubject.FFA1-tau-ridgecv",
    ]


def test_a_report_of_many_regions_has_figures_that_can_be_read(tiny_dataset, tmp_path, run):
    regions = ("V1", "V2", "IT", "face", "EBA", "FFA1", "laionlateral", "MT", "PPA", "V1v", "V1d")
    cells = [f"LAION_fMRI.{region}-tau-ridge" for region in regions]
    code, _, err = run(
        "score", "LAION_fMRI-CLIP", *cells, "--dataset", tiny_dataset, "--results", tmp_path / "results.db"
    )
    assert code == 0, err
    assert run("report", tmp_path / "results.db", "--out", tmp_path / "report")[0] == 0
    ordered = [region for region in ALL_REGIONS if region in regions]
    for stem in ("scores-LAION_fMRI-tau-ridge", "ceilings"):
        found = sorted((tmp_path / "report").rglob(f"{stem}*.svg"), key=lambda path: path.stem)
        assert [path.stem for path in found] == [stem, f"{stem}-{ordered[8]}"]
        for path, shown in zip(found, (ordered[:8], ordered[8:]), strict=True):
            drawn = path.read_text("utf-8")
            assert [region for region in ordered if f">{region}<" in drawn] == shown

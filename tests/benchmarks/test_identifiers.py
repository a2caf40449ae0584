"""Names of benchmarks: the grammar, what is registered, and that a benchmark costs nothing until it is used."""

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from brainscore_core.plugin_management.import_plugin import ImportPlugin
from plugin_testing.registered import REGISTERED

import brainscore_vision
from brainscore_vision import benchmark_registry, load_benchmark
from brainscore_vision.benchmark_helpers.stimulus_kernels import KFoldNeuralBenchmark, MultiSubjectNeuralBenchmark
from brainscore_vision.benchmarks import laion_fmri_7t
from brainscore_vision.benchmarks.laion_fmri_7t import (
    DEFAULT_SUBJECTS,
    LAIONfMRI,
    LAIONfMRICKA,
    LAIONfMRIClusterCV,
    LAIONfMRIRSA,
    benchmark,
    load_assembly,
)
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import (
    ALL_REGIONS,
    MODEL_REGIONS,
    STORED_REGIONS,
    Cell,
    IdentifierError,
    all_identifiers,
    parse,
)
from brainscore_vision.benchmarks.laion_fmri_7t.report.variants import Variant
from brainscore_vision.data.laion_fmri_7t import source
from brainscore_vision.data.laion_fmri_7t.assemblies import file as assembly_file
from brainscore_vision.data.laion_fmri_7t.constants import CATEGORIES, OOD_TYPES, ROIS
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

OPTIONS = {
    "[subjects=sub-01+sub-06]": {"subjects": ("sub-06", "sub-01")},
    "[threshold=12.5]": {"noise_ceiling_threshold": 12.5},
    "[threshold=0]": {"noise_ceiling_threshold": 0},
    "[threshold=30.000000000000004]": {"noise_ceiling_threshold": np.nextafter(30, 31)},
    "[normalization=explained_variance]": {"normalization": "explained_variance"},
    "[alphas=1e-07;0.1]": {"alphas": (0.1, 1e-7, 0.1)},
    "[alphas=relative]": {"alphas": "relative"},
    "[record=V4]": {"record": "V4"},
    "[dataset=simulated]": {"dataset": "simulated"},
    "[dataset=some/folder, odd=name]": {"dataset": Path("some/folder, odd=name")},
}
"""Text of a setting in an identifier, and the option that it stands for."""


SOME_REGIONS = (*STORED_REGIONS, "face", "FFA1", "V1v")


# The grammar


def test_every_identifier_is_built_from_its_name():
    names = all_identifiers()
    assert len(names) == len(set(names)) == len(ALL_REGIONS) * (2 * 23 * 2 + 2)
    for name in names:
        assert parse(name).identifier == name
    for name in all_identifiers(SOME_REGIONS):
        assert benchmark(name).identifier == name


def test_the_grammar_is_the_one_that_was_agreed():
    splits = ["tau", "ood", *(f"ood_{kind}" for kind in OOD_TYPES), "cluster_k5", "random"]
    splits += [f"{family}_{k}" for family in ("cluster_k5", "random") for k in range(5)]
    regions = ["V1", "V2", "V3", "V4", "IT", "IT_full", *CATEGORIES, *ROIS]
    with_split = {
        f"{family}.{region}-{split}-{metric}"
        for family, region, split, metric in itertools.product(
            ("LAION_fMRI", "LAION_fMRI_persubject"), regions, splits, ("ridgecv", "ridge")
        )
    }
    without = {f"LAION_fMRI.{region}-{metric}" for region in regions for metric in ("rdm-pearson", "cka")}
    assert set(all_identifiers()) == with_split | without


def test_factories_and_names_agree():
    pairs = {
        "LAION_fMRI.V3-ood_illusion-classic-ridge": LAIONfMRI("V3", "ood_illusion-classic", "ridge"),
        "LAION_fMRI_persubject.IT_full-random_3-ridgecv": LAIONfMRI("IT_full", "random_3", pool="persubject"),
        "LAION_fMRI.V2-cluster_k5-ridgecv": LAIONfMRIClusterCV("V2"),
        "LAION_fMRI_persubject.V2-cluster_k5-ridge": LAIONfMRIClusterCV("V2", "ridge", pool="persubject"),
        "LAION_fMRI.V1-rdm-pearson": LAIONfMRIRSA("V1"),
        "LAION_fMRI.IT_full-cka": LAIONfMRICKA("IT_full"),
    }
    for name, built in pairs.items():
        assert built.identifier == name
        assert built.cell == benchmark(name).cell
        assert type(built) is type(benchmark(name))
        assert isinstance(built, KFoldNeuralBenchmark if "cluster_k5-" in name else MultiSubjectNeuralBenchmark)
        region = name.split(".")[1].partition("-")[0].partition("_")[0]
        assert (built.version, built.region, built.parent) == (1, region, f"LAION_fMRI.{region}")
        assert built.bibtex.startswith("@")


def test_folds_are_benchmarks_of_their_own():
    folds = benchmark("LAION_fMRI.V1-random-ridge[threshold=10]").folds
    assert [fold.identifier for fold in folds] == [f"LAION_fMRI.V1-random_{k}-ridge[threshold=10]" for k in range(5)]


@pytest.mark.parametrize(("text", "option"), OPTIONS.items(), ids=OPTIONS.keys())
def test_an_option_shows_in_the_identifier_and_comes_back_from_it(text, option):
    for name in ("LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI_persubject.IT_full-cluster_k5-ridgecv"):
        built = benchmark(name, **option)
        assert built.identifier == name + text
        assert benchmark(built.identifier).cell == built.cell
        # saying it twice is not a contradiction
        assert benchmark(built.identifier, **option).cell == built.cell


def test_options_together_have_one_order():
    built = LAIONfMRI(
        "V1",
        "tau",
        dataset="a,b]",
        alphas=[2],
        normalization="correlation",
        noise_ceiling_threshold=7,
        subjects="sub-07",
    )
    text = "[subjects=sub-07,threshold=7,normalization=correlation,alphas=2.0,dataset=a,b]]"
    assert built.identifier == f"LAION_fMRI.V1-tau-ridgecv{text}"
    assert benchmark(built.identifier).cell == built.cell
    shuffled = (
        "LAION_fMRI.V1-tau-ridgecv[alphas=2.0,threshold=7,normalization=correlation,subjects=sub-07,dataset=a,b]]"
    )
    assert benchmark(shuffled).identifier == built.identifier


def test_defaults_do_not_show():
    name = "LAION_fMRI.V1-tau-ridgecv"
    same = {
        "pool": "shared",
        "subjects": DEFAULT_SUBJECTS[::-1],
        "normalization": "published",
        "noise_ceiling_threshold": 30,
        "alphas": tuple(10.0**k for k in range(-10, 11)),
        "dataset": None,
    }
    for option, value in same.items():
        assert LAIONfMRI("V1", "tau", **{option: value}).identifier == name
        assert benchmark(name, **{option: value}).cell == benchmark(name).cell
    assert LAIONfMRI("V1", "tau", "ridge", alphas=(1,)).identifier == "LAION_fMRI.V1-tau-ridge"
    assert LAIONfMRI("V1", "tau", "ridge", alphas=(1, 1.0)).identifier == "LAION_fMRI.V1-tau-ridge"
    orders = ([1, 10], [10, 1], (10, 1, 1))
    assert len({LAIONfMRI("V1", "tau", alphas=alphas).identifier for alphas in orders}) == 1
    assert LAIONfMRI("V1", "tau", subjects=(" sub-03", "sub-01 ")).cell.subjects == ("sub-01", "sub-03")


def test_an_open_dataset_is_named_by_what_opens_it(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    assert LAIONfMRIRSA("V1", dataset=dataset).cell.dataset == str(tiny_dataset)
    assert open_dataset(LAIONfMRIRSA("V1", dataset=dataset).cell.dataset) is dataset


def test_cells_that_differ_have_names_that_differ():
    cells = [Cell("V1", "tau", "ridgecv", **option) for option in ({}, *OPTIONS.values())]
    assert len({cell.identifier for cell in cells}) == len(cells)


# Outside the grammar


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("LAION_fMRI.V1-tau-ridgcv", "LAION_fMRI.V1-tau-ridgecv"),
        ("laion_fmri.V1-tau-ridgecv", "LAION_fMRI.V1-tau-ridgecv"),
        ("LAION_fMRI.V5-tau-ridgecv", "LAION_fMRI.V[1-4]-tau-ridgecv"),
        ("LAION_fMRI.IT_ful-ood-ridge", "LAION_fMRI.IT_full-ood-ridge"),
        ("LAION_fMRI.V1-ood_gabo-ridgecv", "LAION_fMRI.V1-ood_gabor-ridgecv"),
        ("LAION_fMRI.V1-ood_illusion-ridgecv", "LAION_fMRI.V1-ood_illusion-(natural|classic)-ridgecv"),
        ("LAION_fMRI.V1-cluster_k5_5-ridgecv", "LAION_fMRI.V1-cluster_k5_[0-4]-ridgecv"),
        ("LAION_fMRI.V1-tau-rdm-pearson", "LAION_fMRI.V1-(rdm-pearson|tau-ridge)"),
        ("LAION_fMRI.V1-rdm", "LAION_fMRI.V1-rdm-pearson"),
        ("LAION_fMRI-V1-tau-ridgecv", "LAION_fMRI.V1-tau-ridgecv"),
        ("LAION_fMRI.V1-tau-ridgecv[threshold=20", "LAION_fMRI.V1-tau-ridgecv"),
        ("LAION_fMRI.V1-tau-ridgecv\n", "LAION_fMRI.V1-tau-ridgecv"),
        ("", "LAION_fMRI"),
    ],
)
def test_the_nearest_valid_name_is_offered(name, nearest):
    with pytest.raises(IdentifierError, match="A benchmark is named family.region-split-metric") as error:
        benchmark(name)
    assert f"received {name!r}" in str(error.value)
    offered = re.search(r"The nearest valid one is '(.+)'\.$", str(error.value))[1]
    assert re.match(nearest, offered)
    assert benchmark(offered).identifier == offered


@pytest.mark.parametrize(
    ("make", "rule", "received"),
    [
        (
            lambda: benchmark("LAION_fMRI_persubject.V1-rdm-pearson"),
            "shared pool only",
            "Use 'LAION_fMRI.V1-rdm-pearson'",
        ),
        (lambda: LAIONfMRICKA("V4", pool="persubject"), "shared pool only", "Use 'LAION_fMRI.V4-cka'"),
        (
            lambda: LAIONfMRIRSA("V1", normalization="correlation"),
            "normalization is one of published, reliability",
            "'correlation'",
        ),
        (lambda: LAIONfMRIRSA("V1", alphas=(1,)), "rdm-pearson has no alphas", r"\(1,\)"),
        (lambda: LAIONfMRICKA("V1", subjects=("sub-01",)), "at least two", "'sub-01'"),
        (lambda: LAIONfMRI("V9", "tau"), "region is one of V1, .*IT_full", "'V9'. The nearest is 'V[1-4]'"),
        (lambda: LAIONfMRI("V1", "tou"), "split is one of tau", "'tou'. The nearest is 'tau'"),
        (
            lambda: LAIONfMRI("V1", "tau", "rdm-pearson"),
            "metric_type is ridgecv or ridge",
            "'rdm-pearson'. LAIONfMRIRSA",
        ),
        (lambda: LAIONfMRI("V1", "tau", pool="own"), "pool is one of shared, persubject", "'own'"),
        (lambda: LAIONfMRI("V1", "tau", normalization="r2"), "normalization is one of published", "'r2'"),
        (lambda: LAIONfMRI("V1", "tau", subjects=("sub-02",)), "subjects are some of sub-01, .*each once", "sub-02"),
        (lambda: LAIONfMRI("V1", "tau", subjects=("sub-01", "sub-01")), "each once", "sub-01, sub-01"),
        (lambda: LAIONfMRI("V1", "tau", subjects=()), "each once", "none"),
        (lambda: LAIONfMRI("V1", "tau", subjects=(1,)), "subjects are some of", "1"),
        (lambda: LAIONfMRI("V1", "tau", subjects=1), "subjects are some of", "1"),
        (lambda: LAIONfMRI("V1", "tau", subjects=[["sub-01"]]), "subjects are some of", "sub-01"),
        (lambda: LAIONfMRI("V1", "tau", noise_ceiling_threshold=100), "in percent, from 0 to below 100", "100"),
        (lambda: LAIONfMRI("V1", "tau", noise_ceiling_threshold=-1), "in percent", "-1"),
        (lambda: LAIONfMRI("V1", "tau", noise_ceiling_threshold=float("nan")), "in percent", "nan"),
        (lambda: LAIONfMRI("V1", "tau", noise_ceiling_threshold="high"), "in percent", "'high'"),
        (lambda: LAIONfMRI("V1", "tau", alphas=(1, -1)), "alphas are positive numbers", r"\(1, -1\)"),
        (lambda: LAIONfMRI("V1", "tau", alphas=()), "at least one", r"\(\)"),
        (lambda: LAIONfMRI("V1", "tau", alphas="relativ"), "or 'relative'", "'relativ'"),
        (
            lambda: LAIONfMRI("V1", "tau", "ridge", alphas="relative"),
            "ridge has one alpha",
            "25. Use the metric ridgecv",
        ),
        (lambda: LAIONfMRIRSA("V1", alphas="relative"), "rdm-pearson has no alphas", "'relative'"),
        (lambda: LAIONfMRI("V1", "tau", alphas=("one",)), "alphas are positive numbers", "'one'"),
        (lambda: LAIONfMRI("V1", "tau", alphas=1.0), "alphas are positive numbers", "1.0"),
        (lambda: LAIONfMRI("V1", "tau", alphas=(float("inf"),)), "alphas are positive numbers", "inf"),
        (lambda: LAIONfMRI("V1", "tau", "ridge", alphas=(1, 2)), "ridge has one alpha", "2. Use the metric ridgecv"),
        (lambda: LAIONfMRI("V1", "tau", dataset=""), "'simulated', 'published' or a folder", "an empty one"),
        (lambda: LAIONfMRI("V1", "tau", dataset=3), "'simulated', 'published', a folder", "3, a int"),
        (lambda: load_assembly("V1", "tau", "both"), "side is train or test", "'both'"),
        (lambda: load_assembly("V1", "random", "train"), "belongs to one fold", "'random'. Use e.g. random_0"),
    ],
)
def test_a_wrong_setting_is_one_clear_error(make, rule, received):
    with pytest.raises(IdentifierError, match=f"{rule}.*{received}"):
        make()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("treshold=20", "alphas, dataset, normalization, record, subjects, threshold; received 'treshold'"),
        ("threshold=high", "A number is needed .*'high'"),
        ("threshold", "A number is needed"),
        ("alphas=1,2", "received '2'"),
        ("threshold=20,threshold=40", "stands in it once; threshold is repeated"),
        ("subjects=sub-01,sub-03", "received 'sub-03'"),
        ("subjects=sub-09", "subjects are some of .*received sub-09"),
        ("dataset=", "received an empty one"),
    ],
)
def test_a_wrong_setting_in_an_identifier(text, message):
    with pytest.raises(IdentifierError, match=message):
        benchmark(f"LAION_fMRI.V1-tau-ridgecv[{text}]")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("LAION_fMRI.V1-tau-ridgecv", {"pool": "persubject"}),
        ("LAION_fMRI.V1-tau-ridgecv", {"region": "V2"}),
        ("LAION_fMRI.V1-tau-ridgecv[threshold=20]", {"noise_ceiling_threshold": 30}),
        ("LAION_fMRI.V1-tau-ridgecv[dataset=simulated]", {"dataset": "published"}),
        ("LAION_fMRI.V1-rdm-pearson[subjects=sub-01]", {"subjects": ("sub-03",)}),
    ],
    ids=str,
)
def test_an_option_that_contradicts_the_identifier(name, option):
    (setting,) = option
    with pytest.raises(IdentifierError, match=f"A setting has one value.*{setting}=.*Give it in one place"):
        benchmark(name, **option)


def test_options_are_keywords():
    with pytest.raises(TypeError):
        LAIONfMRI("V1", "tau", "ridgecv", "persubject")
    with pytest.raises(TypeError, match="subject"):
        benchmark("LAION_fMRI.V1-tau-ridgecv", subject="sub-01")


# What Brain-Score sees


def test_twenty_are_registered():
    assert sorted(name for name in benchmark_registry if name.startswith("LAION_fMRI")) == sorted(REGISTERED)
    assert len(REGISTERED) == 20


@pytest.mark.parametrize("name", REGISTERED)
def test_brain_score_finds_and_builds_them(name):
    assert ImportPlugin("brainscore_vision", "benchmarks", name).plugin_dirname == "laion_fmri_7t"
    built = load_benchmark(name)
    assert built.identifier == name
    assert built.cell == benchmark(name).cell


def test_registrations_are_literal_lines():
    text = Path(laion_fmri_7t.__file__).read_text(encoding="utf-8")
    assert re.findall(r'^benchmark_registry\["([^"]+)"\] = lambda: ', text, re.MULTILINE) == REGISTERED
    # and nothing else in the library registers these names
    elsewhere = Path(brainscore_vision.__file__).parent / "benchmarks"
    others = [path for path in elsewhere.glob("*/__init__.py") if path.parent.name != "laion_fmri_7t"]
    assert others
    assert not [path for path in others if "LAION_fMRI." in path.read_text(encoding="utf-8")]


def test_public_names_are_importable():
    names = ("score_model", "benchmark", "LAIONfMRI", "LAIONfMRIClusterCV", "LAIONfMRIRSA", "LAIONfMRICKA")
    for name in (*names, "load_assembly", "DEFAULT_SUBJECTS"):
        assert hasattr(laion_fmri_7t, name)
        assert name in laion_fmri_7t.__all__
    assert DEFAULT_SUBJECTS == ("sub-01", "sub-03", "sub-05", "sub-06", "sub-07")


# Constructing loads nothing


@pytest.fixture
def untouchable(monkeypatch, tmp_path):
    """Data that raise when they are touched, by whatever way."""

    def touched(*args, **_):
        raise AssertionError(f"data were touched: {args}")

    for module, name in ((netCDF4, "Dataset"), (h5py, "File"), (xr, "open_dataset"), (xr, "open_dataarray")):
        monkeypatch.setattr(module, name, touched)
    for module in (source, sys.modules[benchmark.__module__]):  # the package's attribute of that name is the function
        monkeypatch.setattr(module, "open_dataset", touched)
    monkeypatch.setattr(assembly_file, "open_netcdf", touched)
    monkeypatch.setenv("LAION_FMRI_DATASET", str(tmp_path / "nowhere"))
    return touched


def test_constructing_every_benchmark_loads_nothing(untouchable):
    for name in REGISTERED:
        assert load_benchmark(name).identifier == name
    for name in all_identifiers(SOME_REGIONS):
        for dataset in (None, "published", "simulated", "no/such/folder"):
            assert benchmark(name, dataset=dataset).version == 1
    with pytest.raises(AssertionError, match="data were touched"):  # the guard works
        benchmark("LAION_fMRI.V1-tau-ridgecv").resolve()


def test_importing_the_plugin_reads_no_heavy_module():
    """A grep of the registry must not pay for what scoring needs."""
    program = "import sys; import brainscore_vision; before = set(sys.modules);"
    program += "import brainscore_vision.data.laion_fmri_7t;"
    program += "print(sorted({'torch', 'h5py', 'sklearn.datasets'} & (set(sys.modules) - before)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ast.literal_eval(run.stdout.strip().splitlines()[-1]) == []


@pytest.mark.parametrize("make", [LAIONfMRIRSA, LAIONfMRICKA])
def test_an_option_that_does_not_exist_is_named_with_those_that_do(make):
    with pytest.raises(TypeError, match="Options of a benchmark are pool, subjects, .*; received ceiling"):
        make("V1", ceiling=3)


def test_a_threshold_that_looks_like_a_fraction_is_said(caplog):
    assert parse("LAION_fMRI.V1-tau-ridgecv[threshold=0.3]").noise_ceiling_threshold == 0.3
    assert "0.3 lets in nearly every voxel. If a fraction was meant, write 30" in caplog.text
    caplog.clear()
    for threshold in ("0", "1", "30.5"):
        parse(f"LAION_fMRI.V1-tau-ridgecv[threshold={threshold}]")
    assert not caplog.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Zerbe2026_fmri.IT-tau-ridgecv", "LAION_fMRI.IT-tau-ridgecv"),
        ("Zerbe2026_fmri_persubject.V1-ood-ridgecv", "LAION_fMRI_persubject.V1-ood-ridgecv"),
        ("Zerbe2026_fmri.V1-rdm-pearson[subjects=sub-01]", "LAION_fMRI.V1-rdm-pearson[subjects=sub-01]"),
    ],
)
def test_names_of_the_bundled_plugin_are_told_the_new_ones(old, new, run):
    with pytest.raises(IdentifierError, match=re.escape(f"take {new!r}")):
        benchmark(old)
    parse(new)
    code, _, error = run("score", "pixels", old)
    assert code == 2
    assert new in error


def test_patterns_of_the_bundled_plugin_are_told_the_new_ones(run):
    for arguments in (("list", "Zerbe2026_fmri.IT-*"), ("score", "pixels", "Zerbe2026_fmri.IT-*")):
        code, _, error = run(*arguments)
        assert code != 0
        assert "'LAION_fMRI.IT-*' matches LAION_fMRI.IT-tau-ridgecv" in " ".join(error.split())


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: LAIONfMRI("V1", "tau", **options),
        lambda **options: LAIONfMRIClusterCV("V1", **options),
        lambda **options: LAIONfMRIRSA("V1", **options),
        lambda **options: benchmark("LAION_fMRI.V1-tau-ridgecv", **options),
    ],
)
def test_options_of_the_bundled_plugin_are_told_the_new_ones(make):
    with pytest.raises(TypeError, match=r"received dataset_prefix. dataset_prefix is the bundled .*pool='persubject'"):
        make(dataset_prefix="Zerbe2026_fmri_persubject")
    with pytest.raises(TypeError, match="noise_ceiling_threshold"):
        make(noise_ceiling_coord="nc_4rep")


# Regions of interest


@pytest.mark.parametrize(
    ("region", "recorded"),
    [
        *[(region, region) for region in ("V1", "V2", "V3", "V4", "IT")],
        *[
            ("IT_full", "IT"),
            ("V1v", "V1"),
            ("laionEVC", "V1"),
            ("V2d", "V2"),
            ("V3v", "V2"),
            ("hV4", "V4"),
            ("LO1", "V4"),
        ],
        *[("MT", "V4"), ("FFA1", "IT"), ("face", "IT"), ("laionlateral", "IT"), ("VO1", "IT"), ("IPS0", "IT")],
    ],
)
def test_models_record_a_region_for_a_region_of_interest(region, recorded):
    name = f"LAION_fMRI.{region}-ood-ridgecv"
    one = benchmark(name)
    assert (one.region, one.cell.region, one.identifier) == (recorded, region, name)
    assert benchmark(name, record=recorded).identifier == name
    other = "V2" if recorded == "V1" else "V1"
    changed = benchmark(name, record=other)
    assert (changed.region, changed.identifier) == (other, f"{name}[record={other}]")
    assert benchmark(changed.identifier).cell == changed.cell
    assert one.parent == f"LAION_fMRI.{recorded}" == changed.parent


def test_every_region_has_one_that_models_know():
    assert set(MODEL_REGIONS) == set(ALL_REGIONS)
    assert {MODEL_REGIONS[region] for region in (*ROIS, *CATEGORIES)} == {"V1", "V2", "V4", "IT"}
    assert len(ROIS) == 43
    assert not {*ROIS} & {*CATEGORIES, *STORED_REGIONS}


@pytest.mark.parametrize("record", ["", "V1 V2", 3])
def test_what_is_recorded_is_a_region(record):
    with pytest.raises(IdentifierError, match="record is a region that the model has a layer for"):
        LAIONfMRI("FFA1", "ood", record=record)


def test_benchmarks_that_record_differently_are_different_variants_of_a_report():
    variants = {
        Variant.of(parse(f"LAION_fMRI.{region}-tau-ridge{said}"))
        for region in ("V1", "V2", "FFA1")
        for said in ("", "[record=V1]", "[record=V2]")
    }
    assert {variant.settings for variant in variants} == {"", "record=V1", "record=V2"}
    assert len({variant.stem for variant in variants}) == len(variants) == 3
    for variant in variants:
        name = variant.identifier("FFA1")
        assert Variant.of(parse(name)) == variant

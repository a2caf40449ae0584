"""The simulated dataset: its counts, its form, and that its truth is the truth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from brainscore_vision.data.laion_fmri_7t import ids
from brainscore_vision.data.laion_fmri_7t.assemblies.zscore import zscore_in_place
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES, OTHER_REGION, REGIONS, SUBJECTS
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError
from brainscore_vision.data.laion_fmri_7t.simulation import SCALES, Truth
from brainscore_vision.data.laion_fmri_7t.simulation.scales import Scale
from brainscore_vision.data.laion_fmri_7t.simulation.sessions import schedule, session_betas
from brainscore_vision.data.laion_fmri_7t.simulation.stimuli_ids import stimulus_table, subject_stimuli
from brainscore_vision.data.laion_fmri_7t.simulation.visual_features import columns_of, feature_table
from brainscore_vision.data.laion_fmri_7t.simulation.voxels import TUNINGS, VARIANCE_FACTORS, draw_signal, draw_voxels

TINY = SCALES["tiny"]
RELEASED_MEDIANS = {"V1": 34.2, "V2": 51.2, "V3": 54.8, "V4": 61.5, "IT": 50.4}  # nc_12rep in percent


@pytest.fixture(scope="module")
def assemblies(tiny_dataset) -> dict[str, xr.DataArray]:
    loaded = {}
    for subject in SUBJECTS:
        with xr.open_dataarray(tiny_dataset / "assemblies" / f"{subject}.nc") as assembly:
            loaded[subject] = assembly.load()
    return loaded


def trials_of(scale: Scale, subject: str) -> pd.DataFrame:
    table = stimulus_table(scale, 0)
    names = table["stimulus_id"].to_numpy(str)[subject_stimuli(table, subject)]
    return schedule(scale, names, subject, seed=0)


# counts


def test_full_has_the_releases_counts():
    full = SCALES["full"]
    assert (full.stimuli, full.shared, full.unique) == (25_052, 1_492, 4_712)
    assert (full.shared_12rep, full.shared_4rep, full.planned_trials) == (881, 611, 31_864)
    assert full.voxels == (1300, 1250, 1016, 430, 3400)
    assert full.ood_counts() == {
        **{"shape": 82, "relations": 72, "unusual": 64, "cropped": 60, "selfmade": 30, "gaudy": 24},
        **{"illusion-classic": 21, "gabor": 10, "illusion-natural": 8},
    }
    assert [full.trials(subject) for subject in SUBJECTS] == [31_856] * 5
    assert full.image_size == 256


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_ids_have_the_scales_counts_and_are_distinct(scale):
    table = stimulus_table(scale, seed=0)
    assert table["stimulus_id"].is_unique
    assert table["stimulus_id"].is_monotonic_increasing
    assert len(table) == scale.stimuli
    assert [len(subject_stimuli(table, subject)) for subject in SUBJECTS] == [scale.shared + scale.unique] * 5
    parsed = [ids.parse(name) for name in table["stimulus_id"]]
    shared = [p for p in parsed if p.shared]
    assert len(shared) == scale.shared
    assert {kind: sum(p.ood_type == kind for p in shared) for kind in OOD_TYPES} == scale.ood_counts()
    assert sum(p.text.endswith(".png") for p in parsed) > 0
    assert [p.dataset for p in parsed] == table["dataset"].tolist()
    assert [f"{p.repetitions}rep" for p in parsed] == table["n_reps"].tolist()


def test_png_images_are_those_of_the_release():
    names = stimulus_table(SCALES["full"], seed=0)["stimulus_id"]
    kinds = [ids.ood_type(name) for name in names if name.endswith(".png")]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"cropped": 60, "shape": 50, "illusion-classic": 21}


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_every_scale_has_names_that_trip_up_careless_code(scale):
    names = [ids.parse(name).name for name in stimulus_table(scale, seed=0)["stimulus_id"]]
    for oddity in (" ", "+", "-", "."):
        assert any(oddity in name for name in names), f"no name with {oddity!r}"


@pytest.mark.parametrize("subject", SUBJECTS)
def test_full_schedule_is_like_the_releases(subject):
    trials = trials_of(SCALES["full"], subject)
    assert len(trials) == 31_856
    sessions = trials.groupby("session")
    assert len(sessions) == 30
    assert sessions.size().between(1_030, 1_090).all()  # the release: 1,044 or 1,066
    assert sessions["stimulus"].nunique().between(740, 800).all()  # the release: about 770
    assert trials.groupby(["session", "run"]).size().between(85, 92).all()  # the release: 87 to 89
    shared = trials["stimulus_id"].str.startswith("shared_").sum()
    assert shared == dict(zip(SUBJECTS, (13_013, 13_012, 13_013, 13_012, 13_014), strict=True))[subject]


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_repetitions_are_spread_over_sessions(scale):
    trials = trials_of(scale, "sub-01")
    planned = np.array([ids.parse(name).repetitions for name in trials["stimulus_id"]])
    counts = trials["stimulus_id"].map(trials["stimulus_id"].value_counts()).to_numpy()
    short = trials[counts != planned].drop_duplicates("stimulus_id")
    assert set((planned - counts)[counts != planned]) == {1}
    assert len(short) == sum(scale.lost_trials("sub-01"))
    together = trials[counts == planned].groupby(["stimulus", "session"]).size().groupby("stimulus").max()
    assert together.between(2, 3).all()
    assert trials.groupby("stimulus").cumcount().equals(trials["repetition"])
    assert trials.groupby("session").cumcount().equals(trials["beta_index"])
    assert set(trials["run"]) == set(range(1, 13))
    assert trials.groupby("session")["run"].is_monotonic_increasing.all()


# the files


def test_assemblies_have_the_promised_form(assemblies):
    for subject, assembly in assemblies.items():
        assert (assembly.name, assembly.dims, assembly.dtype) == ("data", ("presentation", "neuroid"), np.float32)
        on = {name: coordinate.dims[0] for name, coordinate in assembly.coords.items()}
        assert on == {
            **dict.fromkeys(["stimulus_id", "repetition", "session", "run", "beta_index"], "presentation"),
            **dict.fromkeys(["subject_id", "region", "roi", "voxel_index_in_brain_mask"], "neuroid"),
            **dict.fromkeys(["nc_4rep", "nc_12rep", "nc_allrep"], "neuroid"),
        }
        assert assembly.attrs["identifier"] == f"LAION_fMRI_{subject}"
        assert assembly.attrs["normalization"] == "zscore-within-session"
        assert assembly.attrs["dataset"] == "simulated"
        assert set(assembly["subject_id"].values) == {subject}
        region = assembly["region"].values
        starts = [region[0], *region[1:][region[1:] != region[:-1]]]
        assert starts == [*REGIONS, OTHER_REGION], "regions are to lie side by side"
        index = assembly["voxel_index_in_brain_mask"]
        assert index.dtype == np.int32
        assert len(np.unique(index)) == len(index)
        assert assembly.sizes["presentation"] == TINY.trials(subject)
        assert np.isfinite(assembly.values).all()


def test_subjects_differ(assemblies):
    sizes = {assembly.sizes["neuroid"] for assembly in assemblies.values()}
    assert len(sizes) > 1
    first, second = (assembly["nc_12rep"].values for assembly in list(assemblies.values())[:2])
    assert not np.array_equal(first[:10], second[:10])


def test_betas_are_zscored_within_session(assemblies):
    for assembly in assemblies.values():
        for session in np.unique(assembly["session"]):
            betas = assembly.values[assembly["session"].values == session].astype(np.float64)
            np.testing.assert_allclose(betas.mean(0), 0, atol=1e-6)
            np.testing.assert_allclose(betas.std(0), 1, atol=1e-6)


def test_zscoring_removes_gain_baseline_and_session():
    rng = np.random.default_rng(1)
    values = rng.standard_normal((200, 7))
    moved = (values * rng.uniform(0.1, 50, 7) + rng.normal(0, 300, 7)).astype(np.float32)
    zscore_in_place(moved)
    np.testing.assert_allclose(moved, (values - values.mean(0)) / values.std(0), atol=2e-3)


def test_noise_ceilings_follow_from_the_known_ncsnr(tiny_dataset, assemblies):
    for subject, assembly in assemblies.items():
        truth = Truth(tiny_dataset).signal(subject)
        power = truth.ncsnr.astype(np.float64) ** 2
        _, counts = np.unique(assembly["stimulus_id"].values.astype(str), return_counts=True)
        for name, m in (("nc_4rep", 1 / 4), ("nc_12rep", 1 / 12), ("nc_allrep", (1 / counts).mean())):
            np.testing.assert_allclose(assembly[name], 100 * power / (power + m), rtol=1e-6)


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_regions_have_the_releases_noise_ceilings(scale):
    for subject in SUBJECTS:
        voxels = draw_voxels(scale, subject, seed=0)
        ceiling = voxels.noise_ceiling(1 / 12)
        for region, median in RELEASED_MEDIANS.items():
            inside = ceiling[voxels.columns(region)]
            assert abs(np.median(inside) - median) < 0.1
            assert (inside > 30).sum() >= 5
            assert (inside < 30).any(), "the threshold is to have something to do"


# the truth


def test_truth_is_in_the_order_of_the_assembly(tiny_dataset, assemblies):
    for subject, assembly in assemblies.items():
        truth = Truth(tiny_dataset).signal(subject)
        assert truth.values.dtype == np.float32
        assert truth.values.shape == (TINY.shared + TINY.unique, assembly.sizes["neuroid"])
        assert truth.stimulus_ids.tolist() == sorted(set(assembly["stimulus_id"].values))
        np.testing.assert_array_equal(truth.region, assembly["region"].values)
        np.testing.assert_array_equal(truth.voxel_index_in_brain_mask, assembly["voxel_index_in_brain_mask"].values)


def test_signal_has_the_stated_strength_over_shared_and_over_unique_stimuli(tiny_dataset):
    for subject in SUBJECTS:
        truth = Truth(tiny_dataset).signal(subject)
        parsed = [ids.parse(name) for name in truth.stimulus_ids]
        for shared in (True, False):
            values = truth.values[[p.shared is shared and p.ood_type is None for p in parsed]].astype(np.float64)
            np.testing.assert_allclose(values.mean(0), 0, atol=1e-5)
            np.testing.assert_allclose(values.std(0), truth.ncsnr, rtol=1e-4)


def test_groups_of_stimuli_differ_in_signal_variance(tiny_dataset):
    """Clusters are the splits' own, and with features that do not differ between groups the factors are all that does."""
    truth = Truth(tiny_dataset).signal("sub-01")
    for k in range(5):
        test = load(tiny_dataset, "shared", f"cluster_k5_{k}")["test_ids"]
        assert truth.stimulus_ids[truth.group == f"cluster_k5_{k}"].tolist() == test
    for name, group, factor in zip(truth.stimulus_ids, truth.group, truth.variance_factor, strict=True):
        parsed = ids.parse(name)
        assert group == (f"ood_{parsed.ood_type}" if parsed.ood_type else group if parsed.shared else "unique")
        assert factor == VARIANCE_FACTORS[group]
    assert truth.select(truth.stimulus_ids[[3, 1]]).group.tolist() == truth.group[[3, 1]].tolist()

    groups = np.repeat(list(VARIANCE_FACTORS), 300)
    features = np.random.default_rng(4).standard_normal((len(groups), len(feature_table())), dtype=np.float32)
    signal = draw_signal(features, groups, draw_voxels(TINY, "sub-01", seed=0), "sub-01", seed=0)
    power = {group: np.square(signal[groups == group]).mean() for group in VARIANCE_FACTORS}
    shared = np.mean([VARIANCE_FACTORS[f"cluster_k5_{k}"] for k in range(5)])
    of_shared = np.mean([power[f"cluster_k5_{k}"] for k in range(5)])
    for group, factor in VARIANCE_FACTORS.items():
        if group != "unique":
            assert power[group] / of_shared == pytest.approx(factor / shared, rel=0.1)


def test_truth_of_a_region_is_a_part_of_the_whole(tiny_dataset):
    whole = Truth(tiny_dataset).signal("sub-03")
    for region, inside in {**{name: (name,) for name in REGIONS}, "IT_full": ("V4", "IT")}.items():
        part, columns = Truth(tiny_dataset).signal("sub-03", region), np.isin(whole.region, inside)
        np.testing.assert_array_equal(part.values, whole.values[:, columns])
        np.testing.assert_array_equal(part.ncsnr, whole.ncsnr[columns])
        np.testing.assert_array_equal(part.region, whole.region[columns])
    wanted = whole.stimulus_ids[[5, 2, 40]]
    np.testing.assert_array_equal(whole.select(wanted).values, whole.values[[5, 2, 40]])


def test_truth_says_what_it_does_not_know(tiny_dataset, tmp_path):
    truth = Truth(tiny_dataset)
    with pytest.raises(DatasetError, match="one of V1, V2, V3, V4, IT, IT_full.*'V9'"):
        truth.signal("sub-01", "V9")
    with pytest.raises(MissingDataError, match=r"sub-02\.h5"):
        truth.signal("sub-02")
    with pytest.raises(MissingDataError, match="Only simulated datasets"):
        Truth(tmp_path).signal("sub-01")
    signal = truth.signal("sub-01")
    with pytest.raises(MissingDataError, match=r"1 of the 2 wanted ones .* 'zebra'"):
        signal.select([signal.stimulus_ids[0], "zebra"])


def test_averages_over_trials_correlate_with_the_truth_by_root_nc(tiny_dataset, assemblies):
    """corr(average of n trials, signal) = sqrt(NC_n)."""
    found = {4: [], 12: []}
    for subject, assembly in assemblies.items():
        truth = Truth(tiny_dataset).signal(subject)
        rows = np.searchsorted(truth.stimulus_ids, assembly["stimulus_id"].values.astype(str))
        counts = np.bincount(rows)
        total = np.zeros(truth.values.shape)
        np.add.at(total, rows, assembly.values.astype(np.float64))
        for n, differences in found.items():
            measured, true = (x[counts == n] for x in (total / counts[:, None], truth.values.astype(np.float64)))
            measured, true = measured - measured.mean(0), true - true.mean(0)
            correlation = (measured * true).mean(0) / (measured.std(0) * true.std(0))
            root_nc = np.sqrt(true.var(0) / (true.var(0) + 1 / n))
            differences.append(correlation.mean() - root_nc.mean())
    for n, differences in found.items():
        assert abs(np.mean(differences)) < 0.02, f"{n} repetitions: {differences}"


def test_noise_has_unit_variance_and_does_not_repeat():
    rng = np.random.default_rng(2)
    voxels = draw_voxels(TINY, "sub-01", seed=0)
    signal = (rng.standard_normal((3_000, len(voxels))) * voxels.ncsnr).astype(np.float32)
    first, second = (session_betas(signal, voxels, "sub-01", name, seed=0) for name in ("ses-01", "ses-02"))
    noise = [(betas / voxels.gain - signal) for betas in (first, second)]
    for values in noise:
        assert abs(values.var(0).mean() - 1) < 0.01
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(noise[0].T, noise[1].T, strict=True)]
    assert abs(np.mean(correlation)) < 0.01


@pytest.mark.parametrize("region", REGIONS)
def test_families_of_features_have_their_share_of_the_signal(region):
    """With independent features, a family's columns explain its share of the variance (adjusted R squared)."""
    shares, n = TUNINGS[region].shares, 2_000
    assert sum(shares.values()) == pytest.approx(1)
    features = np.random.default_rng(3).standard_normal((n, len(feature_table())), dtype=np.float32)
    voxels = draw_voxels(TINY, "sub-01", seed=0)
    signal = draw_signal(features, np.full(n, "unique"), voxels, "sub-01", seed=0)[:, voxels.columns(region)].astype(
        float
    )
    for family in ("gabor4", "gabor8", "luminance", "contrast"):
        x = features[:, columns_of(family)].astype(float)
        residual = signal - x @ np.linalg.lstsq(x, signal, rcond=None)[0]
        explained = 1 - residual.var(0) / signal.var(0) * n / (n - x.shape[1] - 1)
        assert explained.mean() == pytest.approx(shares.get(family, 0), abs=0.03)


# splits


def load(folder: Path, pool: str, name: str) -> dict:
    content = json.loads((folder / "splits" / pool / f"{name}.json").read_text("utf-8"))
    assert list(content) == ["name", "pool", "splitter", "params", "n_train", "n_test", "variants"]
    (variant,) = content["variants"]
    assert list(variant) == ["variant_id", "train_ids", "test_ids"]
    assert content["name"] == name
    assert variant["variant_id"] == 0
    assert (content["n_train"], content["n_test"]) == (len(variant["train_ids"]), len(variant["test_ids"]))
    for side in ("train_ids", "test_ids"):
        assert variant[side] == sorted(set(variant[side]))
    assert not set(variant["train_ids"]) & set(variant["test_ids"])
    return variant


@pytest.mark.parametrize("pool", ["shared", *SUBJECTS])
def test_splits_are_whole_and_disjoint(tiny_dataset, pool):
    seen = pd.read_csv(tiny_dataset / "stimuli" / "manifest.csv")["stimulus_id"]
    of_pool = [
        ids.parse(name) for name in seen if pool in ("shared", ids.parse(name).subject) or ids.parse(name).shared
    ]
    of_pool = [p for p in of_pool if p.shared or pool != "shared"]
    inside, ood = ({p.text for p in of_pool if (p.ood_type is None) is natural} for natural in (True, False))
    splits = {
        path.stem: load(tiny_dataset, pool, path.stem) for path in (tiny_dataset / "splits" / pool).glob("*.json")
    }
    folds = {kind: [f"{kind}_{k}" for k in range(5)] for kind in ("cluster_k5", "random")}
    assert set(splits) == {"tau", "ood", *folds["cluster_k5"], *folds["random"]}
    assert set(splits["ood"]["train_ids"]) == inside
    assert set(splits["ood"]["test_ids"]) == ood
    for name in set(splits) - {"ood"}:
        assert {*splits[name]["train_ids"], *splits[name]["test_ids"]} == inside
        assert len(splits[name]["test_ids"]) >= 4
    for names in folds.values():  # each stimulus is held out once
        assert sorted(s for name in names for s in splits[name]["test_ids"]) == sorted(inside)
    assert len(splits["tau"]["test_ids"]) == round(0.2 * len(inside))


def test_manifest_describes_every_image(tiny_dataset):
    manifest = pd.read_csv(tiny_dataset / "stimuli" / "manifest.csv", keep_default_na=False)
    assert list(manifest) == ["stimulus_id", "filename", "dataset", "unique_or_shared", "n_reps", "participant"]
    assert len(manifest) == TINY.stimuli
    assert sorted(manifest["filename"]) == sorted(p.name for p in (tiny_dataset / "stimuli" / "images").iterdir())

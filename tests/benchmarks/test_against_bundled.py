"""Ours beside the plugin that brainscore-vision bundles: equal where it is right; where it is wrong, shown to be."""

import functools
import gc
import shutil
from dataclasses import replace

import netCDF4
import numpy as np
import pandas as pd
import pytest
from brainscore_core.metrics import Score
from brainscore_vision.benchmark_helpers.neural_common import explained_variance
from PIL import Image
from plugin_testing.bundled import BothSides, Compared, both_sides, bundled_plugin, small_network, their_outcomes

from brainscore_vision import load_model
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import (
    ExplainableVariance,
    NoiseCeiling,
    normalize_correlations,
)
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

FLOAT32 = {"rel": 1e-6, "abs": 1e-7}
"""Both sides average trials to float32, in another order, which moves correlations by some 1e-8 (float64: 1e-15)."""

SUBJECTS = ("sub-01", "sub-03")
ONE = SUBJECTS[:1]

COMPARED = (
    Compared("shared", "V1", "tau", "ridgecv", SUBJECTS),
    Compared("shared", "IT", "ood", "ridgecv", ONE),
    Compared("persubject", "IT", "tau", "ridgecv", ONE),
    Compared("persubject", "V1", "ood", "ridgecv", SUBJECTS),
    Compared("shared", "V1", "ood_relations", "ridgecv", ONE),
    Compared("shared", "V1", "tau", "ridge", ONE),
    Compared("shared", "V1", None, "rdm-pearson", SUBJECTS),
)


@pytest.fixture(scope="module", autouse=True)
def cheap_collections():
    """The bundled plugin collects garbage several times a subject; without torch's many objects that is quick."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def sides(tiny_dataset, tmp_path_factory) -> BothSides:
    return both_sides(tiny_dataset, tmp_path_factory.mktemp("bundled"), SUBJECTS)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def theirs_of(sides, network):
    """The bundled plugin's outcomes for the network; one run for each comparison, since they are slow."""
    return functools.cache(lambda compared: sides.theirs(compared, network))


def assert_same(ours: dict, theirs: dict) -> None:
    assert list(ours) == list(theirs)
    for subject, expected in theirs.items():
        assert ours[subject].raw == pytest.approx(expected.raw, **FLOAT32), subject
        assert ours[subject].ceiling == pytest.approx(expected.ceiling, **FLOAT32), subject
        assert ours[subject].score == pytest.approx(expected.score, **FLOAT32), subject
        assert ours[subject].alpha == expected.alpha, subject


@pytest.mark.parametrize("compared", COMPARED, ids=lambda compared: compared.name)
def test_network_scores_the_same(sides, network, theirs_of, compared):
    theirs = theirs_of(compared)
    assert len({outcome.raw for outcome in theirs.values()}) == len(compared.subjects)
    if compared.metric == "ridge":  # its alpha is no choice, and the bundled plugin does not write it down
        theirs = {subject: replace(outcome, alpha=1.0) for subject, outcome in theirs.items()}
    assert_same(sides.ours(compared, network), theirs)


@pytest.mark.parametrize("pool", ["shared", "persubject"])
def test_a_fold_scores_the_same(sides, network, pool):
    with sides.bundled():
        from brainscore_vision.benchmarks.laion_fmri.benchmark import LAIONfMRIClusterCV

        family = bundled_plugin.FAMILIES[pool]
        first = LAIONfMRIClusterCV("IT", dataset_prefix=family, n_folds=1, subjects=ONE)(network).attrs["folds"][0]
    ours = sides.ours(Compared(pool, "IT", "cluster_k5_0", "ridgecv", ONE), network)
    assert_same(ours, their_outcomes(first, ONE))


def test_registered_pixels_score_the_same(sides):
    compared = Compared("shared", "V1", "tau", "ridgecv", ONE)
    pixels = load_model("pixels")  # its features are uint8, which must not overflow
    assert_same(sides.ours(compared, pixels), sides.theirs(compared, pixels))


def test_no_split_names_a_transparent_image(tiny_dataset, sides):
    left_out = bundled_plugin.transparent_stimuli(tiny_dataset)
    assert left_out
    for pool in ("shared", *SUBJECTS):
        before, after = (bundled_plugin.pool_of_splits(d / "splits", pool) for d in (tiny_dataset, sides.dataset))
        assert left_out < before
        assert after == before - left_out
    assert not left_out & set(pd.read_csv(sides.published / "manifest.csv")["stimulus_id"])


def test_models_see_transparent_images_on_grey(tiny_dataset, network, tmp_path):
    """Fault 4: the bundled plugin agrees on transparent images once somebody else has put them on grey."""
    compared = Compared("shared", "V1", "ood", "ridgecv", ONE)
    as_stored = BothSides(tiny_dataset, bundled_plugin.publish(tiny_dataset, tmp_path / "stored", {"shared": ONE}))
    ours, theirs = as_stored.ours(compared, network), as_stored.theirs(compared, network)
    assert abs(ours[ONE[0]].raw - theirs[ONE[0]].raw) > 1e-4

    on_grey = BothSides(tiny_dataset, shutil.copytree(as_stored.published, tmp_path / "on grey"))
    manifest = pd.read_csv(on_grey.published / "manifest.csv").set_index("stimulus_id")
    for stimulus_id in bundled_plugin.transparent_stimuli(tiny_dataset):
        pixels = np.asarray(Image.open(manifest.at[stimulus_id, "filename"]).convert("RGBA"), dtype=float)
        opacity = pixels[..., 3:] / 255
        shown = np.rint(opacity * pixels[..., :3] + (1 - opacity) * 128).astype(np.uint8)
        manifest.at[stimulus_id, "filename"] = str(on_grey.published / f"{stimulus_id}.png")
        Image.fromarray(shown).save(manifest.at[stimulus_id, "filename"])
    manifest.reset_index().to_csv(on_grey.published / "manifest.csv", index=False)
    assert_same(ours, on_grey.theirs(compared, network))


def test_each_subject_is_divided_by_its_own_ceiling(sides, network):
    """Fault 1: with Brain-Score's result cache on, as it is by default, the first subject's ceiling serves all."""
    compared = Compared("shared", "V1", "tau", "ridgecv", SUBJECTS)
    ours = sides.ours(compared, network)
    assert sides.ours(replace(compared, subjects=SUBJECTS[::-1]), network) == ours
    for subject in SUBJECTS:
        assert ours[subject].ceiling == pytest.approx(
            np.median(np.sqrt(nc_12rep(sides, subject, "V1") / 100)), rel=1e-6
        )

    theirs = sides.theirs(compared, network, caching=True)
    first, second = SUBJECTS
    assert ours[second].ceiling != pytest.approx(ours[first].ceiling, rel=1e-4)
    assert theirs[second].ceiling == theirs[first].ceiling == pytest.approx(ours[first].ceiling, **FLOAT32)
    assert theirs[second].score == pytest.approx(ours[second].raw ** 2 / ours[first].ceiling, **FLOAT32)


def test_a_perfect_model_scores_1():
    """Fault 2: at NC = 50 % the best possible r is √0.5; √NC divides r² in the bundled plugin, and in `published`."""
    fraction = np.full(9, 0.5)
    best = np.sqrt(fraction)
    theirs = explained_variance(Score(np.median(best)), Score(np.median(np.sqrt(fraction))))
    assert float(theirs) == pytest.approx(0.7071, abs=1e-4)
    ceiling = NoiseCeiling(fraction, 1 / 12)
    at_test = ExplainableVariance(np.ones(len(best)), 12 * (1 - fraction), 1 / 12, n_stimuli=10**9)
    ours = {name: values.value for name, values in normalize_correlations(best, ceiling, at_test).items()}
    assert ours == pytest.approx({"published": float(theirs), "explained_variance": 1.0, "correlation": 1.0})


@pytest.mark.parametrize("compared", [c for c in COMPARED if c.split == "ood"], ids=lambda compared: compared.pool)
def test_ceiling_of_the_repetitions_that_were_shown(sides, network, theirs_of, compared):
    """Fault 3: images of the ood test are shown four times, and the bundled plugin takes the ceiling of twelve."""
    score = compared.ours(sides.dataset)(network)
    for subject, theirs in theirs_of(compared).items():
        at_12 = nc_12rep(sides, subject, compared.region) / 100
        ncsnr_squared = at_12 / (1 - at_12) / 12
        at_4 = ncsnr_squared / (ncsnr_squared + 1 / 4)
        responses = open_dataset(sides.dataset).responses(subject, compared.region, noise_ceiling_threshold=30)
        test = responses.select(open_dataset(sides.dataset).split_ids("shared", "ood")[1])
        assert (test.n_repetitions == 4).all()
        expected = 1 - responses.noise_variance / 4 / test.values.var(axis=0, ddof=1)
        np.testing.assert_allclose(score.attrs[subject].attrs["ceiling"].attrs["raw"], expected, rtol=1e-5)
        assert theirs.ceiling == pytest.approx(np.median(np.sqrt(at_12)), rel=1e-6)
        assert theirs.ceiling > 1.1 * np.median(np.sqrt(at_4))


def test_constructing_opens_no_assembly(sides, monkeypatch):
    """Fault 7: the bundled plugin opens the assemblies of its first subject to learn its own region."""
    compared = Compared("shared", "V1", "tau", "ridgecv", SUBJECTS)
    with sides.bundled() as opened:
        compared.theirs()
    assert opened

    def touched(*_, **__):
        raise AssertionError("constructing a benchmark opened a file")

    monkeypatch.setattr(netCDF4, "Dataset", touched)
    compared.ours(sides.dataset)


def test_more_subjects_show_no_image_again(sides, network, tmp_path, monkeypatch):
    """Fault 8: for its RDMs the bundled plugin runs the model on the same images again for each subject."""
    shown = []

    def count(batch):
        shown.append(len(next(iter(batch.values()))))
        return batch

    def images_shown(score) -> int:
        monkeypatch.setenv("BRAINSCORE_HOME", str(tmp_path / f"home {len(shown)}"))  # kernels on disk need no model
        before = sum(shown)
        score()
        return sum(shown) - before

    both = Compared("shared", "V1", None, "rdm-pearson", SUBJECTS)
    one = replace(both, subjects=ONE)
    handle = network.activations_model.register_batch_activations_hook(count)
    try:
        ours = [images_shown(lambda compared=compared: sides.ours(compared, network)) for compared in (one, both)]
        theirs = images_shown(lambda: sides.theirs(both, network, caching=True))
    finally:
        handle.remove()
    pool = bundled_plugin.pool_of_splits(sides.dataset / "splits", "shared")
    assert ours[0] == ours[1] >= len(pool)
    assert theirs == len(SUBJECTS) * sum("_OOD_" not in stimulus_id for stimulus_id in pool)


def nc_12rep(sides: BothSides, subject: str, region: str) -> np.ndarray:
    """Published ceiling of a region's scored voxels, percent, straight from the file."""
    with netCDF4.Dataset(sides.dataset / "assemblies" / f"{subject}.nc") as file:
        ceiling = np.asarray(file["nc_12rep"][:], dtype=float)
        return ceiling[(file["region"][:] == region) & (ceiling > 30)]

"""A map of voxels whose preference the simulation knows: it lights up where they are, and nowhere else."""

from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from plugin_testing.models import FeatureModel
from scipy.stats import mannwhitneyu

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, NoiseCeiling, Responses
from brainscore_vision.benchmark_helpers.stimulus_kernels.benchmark import Plan
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import score_plans
from brainscore_vision.benchmarks.laion_fmri_7t import brain_maps
from brainscore_vision.benchmarks.laion_fmri_7t.benchmark import make_tasks
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import DEFAULT_THRESHOLD, parse
from brainscore_vision.benchmarks.laion_fmri_7t.maps.drawing import ColourScale, map_figure
from brainscore_vision.data.laion_fmri_7t.assemblies.averages import NEUROID_COLUMNS
from brainscore_vision.data.laion_fmri_7t.assemblies.file import AssemblyFile
from brainscore_vision.data.laion_fmri_7t.packaging.layout import SubjectFiles
from brainscore_vision.data.laion_fmri_7t.simulation import Truth
from brainscore_vision.data.laion_fmri_7t.simulation.regions import PREFERENCES
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

SUBJECT, ANOTHER = "sub-03", "sub-07"
CELL = f"LAION_fMRI.IT-ood-ridge[subjects={SUBJECT}]"


@dataclass(frozen=True)
class ReliableVoxels:
    """Responses of an assembly's voxels, whatever their region, as far as benchmarks would take them."""

    file: AssemblyFile

    def __call__(self) -> Responses:
        columns = np.flatnonzero(self.file.header.neuroids["nc_12rep"] > DEFAULT_THRESHOLD)
        neuroids = self.file.header.neuroids.iloc[columns].reset_index(drop=True)
        ids, means, counts, noise = self.file.averages(columns)
        ceiling = NoiseCeiling(neuroids["nc_12rep"].to_numpy(float) / 100, 1 / 12)
        return Responses(SUBJECT, ids, means, counts, neuroids[list(NEUROID_COLUMNS)], ceiling, noise)


@pytest.fixture(scope="module")
def map_of(tiny_dataset):
    """``map_of(category)``: of a model with one feature, what voxels of the category respond to in another person."""
    dataset = open_dataset(tiny_dataset)
    (task,) = make_tasks(parse(CELL), dataset)
    ids = sorted((*task.train_ids, *task.test_ids))
    task = replace(
        task,
        train_ids=tuple(ids[::2]),
        test_ids=tuple(ids[1::2]),
        bootstrap_groups=None,
        load_responses=ReliableVoxels(dataset.assembly_file(SUBJECT)),
    )

    def map_of(category, value="correlation"):
        other = Truth(tiny_dataset).signal(ANOTHER, category).select(task.pool.stimulus_ids)
        features = dict(
            zip(other.stimulus_ids.tolist(), other.values.mean(axis=1, keepdims=True).tolist(), strict=True)
        )
        model = FeatureModel(features, identifier=f"responds as {category} regions")
        plan = Plan(CELL, (task,), "published")
        ((_, score),) = score_plans(model, [plan], EngineOptions(store=False, progress=False))
        (one,) = brain_maps(score, value, dataset=dataset)
        return one

    return map_of


def truth_of(one, tiny_dataset):
    """The truth of a map's voxels: places, stuff that they prefer, and which voxels are in which region."""
    truth = Truth(tiny_dataset).signal(SUBJECT)
    index = pd.Index(truth.voxel_index_in_brain_mask).get_indexer(one.neuroids["voxel_index_in_brain_mask"])
    inside = {name: truth.regions.inside(name)[index] for name in PREFERENCES}
    inside |= {name: truth.region[index] == name for name in ("V1", "V2", "V3", "V4", "IT")}
    return truth.voxel_index_in_brain_mask[index], truth.prefers[index], inside


@pytest.mark.parametrize("category", ["face", "body"])  # of place there are four voxels at this scale
def test_the_map_lights_up_where_the_truth_has_the_region(map_of, tiny_dataset, tmp_path, category):
    one = map_of(category)
    places, prefers, inside = truth_of(one, tiny_dataset)
    brain = np.asarray(nib.load(SubjectFiles(tiny_dataset, SUBJECT).anatomical_mask).dataobj) > 0
    values = np.asarray(nib.load(one.save(tmp_path)).dataobj)[brain][places]  # by nibabel alone
    selective = prefers == PREFERENCES[category]
    np.testing.assert_array_equal(selective, inside[category])
    medians = {name: float(np.median(values[own])) for name, own in inside.items()}
    assert max(medians, key=medians.get) == category
    assert medians[category] > 0.5
    pairs = selective.sum() * (~selective).sum()
    assert mannwhitneyu(values[selective], values[~selective]).statistic / pairs > 0.95  # of pairs, as often brighter


def test_it_is_significant_there(map_of, tiny_dataset):
    one = map_of("face", "p_fdr")
    selective = truth_of(one, tiny_dataset)[1] == PREFERENCES["face"]
    assert (one.values[selective] < 0.05).mean() > 0.5
    assert (one.values[~selective] < 0.05).mean() < 0.05


def test_the_figure_shows_it(map_of, tiny_dataset):
    """Of the voxels that the slices show, the region's are the brightest."""
    one = map_of("face")
    selective = truth_of(one, tiny_dataset)[1] == PREFERENCES["face"]
    figure, scale = map_figure([one]), ColourScale.of([one])
    shown = [image.get_array() for axes in figure.axes for image in axes.images[1:] if image.norm.vmin == 1]
    shown = np.concatenate([np.ma.masked_invalid(values).compressed() for values in shown])
    colours = 1 + np.asarray(scale.norm(one.values))
    is_region = selective[np.abs(shown[:, None] - colours).argmin(axis=1)]
    assert is_region.sum() > 10
    assert np.median(shown[is_region]) > np.quantile(shown[~is_region], 0.95)

"""The nouns of the segmentations as features: which images have what, and what is refused."""

import h5py
import numpy as np
import pandas as pd
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmarks.laion_fmri_7t import score_model
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError
from brainscore_vision.data.laion_fmri_7t.released.features import FEATURE_FILES, SEGMENTATION_MASKS, SEGMENTATION_TABLE
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models.laion_fmri_7t import NounModel
from brainscore_vision.models.laion_fmri_7t.nouns import NO_NOUN, mask_areas, read_nouns
from brainscore_vision.models.laion_fmri_7t.table_files import TableError

DOGS, BARE, LOST = (f"shared_12rep_LAION_cluster_{n}_i0.jpg" for n in (1, 2, 3))
NSD, GABOR = "shared_4rep_NSD_special100_4.jpg", "shared_4rep_OOD_gabor_gabor-01-radial.jpg"

ROWS = [
    # image, noun, instance, score, box, localized
    (DOGS, "dog", 0, 0.9, (0, 0, 10, 10), 1),
    (DOGS, "dog", 1, 0.5, (10, 0, 20, 20), 1),
    (DOGS, "grass", 0, 0.7, (0, 10, 20, 20), 1),
    (DOGS, "winter", 0, 0.3, (np.nan,) * 4, 0),
    (BARE, "fog", 0, 0.4, (np.nan,) * 4, 0),
    (NSD, "dog", 0, 0.6, (0, 0, 20, 5), 1),
]


@pytest.fixture
def segmentations(tmp_path):
    """The two released files for a few images of 20 pixels: paths of table and masks."""
    table, masks = tmp_path / FEATURE_FILES[SEGMENTATION_TABLE], tmp_path / FEATURE_FILES[SEGMENTATION_MASKS]
    frame = pd.DataFrame(
        [
            (row, image, noun, instance, score, *box, localized, "file.png")
            for row, (image, noun, instance, score, box, localized) in enumerate(ROWS)
        ],
        columns="mask_row image_name noun instance_id score box_x0 box_y0 box_x1 box_y1 localized mask_file".split(),
    )
    frame.to_csv(table, index=False)
    with h5py.File(masks, "w") as file:
        values = np.zeros((len(ROWS), 20, 20), np.uint8)
        for row, (*_, box, localized) in enumerate(ROWS):
            x0, y0, x1, y1 = box if localized else (0, 0, 20, 20)
            values[row, int(y0) : int(y1), int(x0) : int(x1)] = 1
        values[0, 5:10] = 0  # half of the first dog's box
        file.create_dataset("masks", data=values, chunks=(1, 20, 20), compression="gzip", shuffle=True)
    return table, masks


def described(table, image):
    """Noun -> weight, of the nouns that an image has."""
    return {noun: value for noun, value in zip(table.nouns, table.rows([image])[0].tolist(), strict=True) if value}


def test_localized_nouns_of_each_image(segmentations):
    table = read_nouns(segmentations[0])
    assert table.nouns == ("dog", "grass", NO_NOUN)
    assert described(table, DOGS) == {"dog": 1, "grass": 1}
    assert described(table, NSD) == {"dog": 1}
    assert described(table, BARE) == {NO_NOUN: 1}  # "fog" has no place in it


def test_all_nouns(segmentations):
    table = read_nouns(segmentations[0], localized_only=False)
    assert table.nouns == ("dog", "fog", "grass", "winter", NO_NOUN)
    assert described(table, DOGS) == {"dog": 1, "grass": 1, "winter": 1}
    assert described(table, BARE) == {"fog": 1}


def test_weights(segmentations):
    score = read_nouns(segmentations[0], weight="score")
    assert described(score, DOGS) == pytest.approx({"dog": 0.9, "grass": 0.7})
    box = read_nouns(segmentations[0], localized_only=False, weight="box")
    assert described(box, DOGS) == pytest.approx({"dog": 0.25 + 0.5, "grass": 0.5, "winter": 1})
    area = read_nouns(segmentations[0], weight="area", masks=segmentations[1])
    assert described(area, DOGS) == pytest.approx({"dog": 0.125 + 0.5, "grass": 0.5})
    assert len({t.version for t in (score, box, area, read_nouns(segmentations[0]))}) == 4


def test_mask_areas_are_read_once(segmentations, monkeypatch):
    areas = mask_areas(segmentations[1])
    monkeypatch.setattr(h5py, "File", None)  # a second reading would fail
    np.testing.assert_array_equal(mask_areas(segmentations[1]), areas)


def test_images_without_a_row_have_no_noun_if_their_kind_is_segmented(segmentations):
    table = read_nouns(segmentations[0])
    assert table.covers(LOST)
    assert described(table, LOST) == {NO_NOUN: 1}
    assert not table.covers(GABOR)  # nothing of the kind is in the table: nobody looked
    assert not table.covers("unique_LAION_new_cluster_1_i1_p01.jpg")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="noun"), "missing: noun"),
        (lambda t: t.assign(noun=""), "some have not"),
        (lambda t: t.iloc[:0], "some have not"),
        (lambda t: t.assign(box_x0=t["box_x1"] + 1), "go from x0, y0 to x1, y1; 4 do not"),
    ],
)
def test_broken_tables(segmentations, spoil, message):
    path = segmentations[0]
    spoil(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(TableError, match=message):
        read_nouns(path, weight="box")


def test_detections_without_what_weighs_them(segmentations):
    frame = pd.read_csv(segmentations[0])
    frame.loc[0, "score"] = np.nan
    frame.to_csv(segmentations[0], index=False)
    with pytest.raises(TableError, match="1 detections have no score"):
        read_nouns(segmentations[0], weight="score")


@pytest.mark.parametrize("cell", ["LAION_fMRI.IT-tau-ridgecv", "LAION_fMRI.V4-rdm-pearson", "LAION_fMRI.IT-cka"])
def test_nouns_are_scored_by_every_kind_of_metric(tiny_dataset, cell):
    found = score_model("LAION_fMRI-nouns", cell, dataset=tiny_dataset)
    assert np.isfinite(found.item())
    assert found.item() > 0  # the simulation's stuff excites the units behind V4 and IT
    assert found.attrs["model_identifier"] == "LAION_fMRI-nouns"


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_a_subjects_own_images_are_refused(tiny_dataset, missing):
    with pytest.raises(
        ModelOutputError, match=r"30 of 97 stimuli are one subject's own.*LAION_fMRI\.\*, not LAION_fMRI_pers"
    ):
        score_model(NounModel(missing=missing), "LAION_fMRI_persubject.V4-tau-ridgecv", dataset=tiny_dataset)


def test_variants_have_names_and_kernels_of_their_own(tiny_dataset):
    models = [
        NounModel(tiny_dataset, localized, weight) for localized in (True, False) for weight in (None, "area", "box")
    ]
    assert models[0].identifier == "LAION_fMRI-nouns"
    assert models[4].identifier == "LAION_fMRI-nouns-all-area"
    assert len({model.features_version for model in models}) == len(models)
    values = [score_model(model, "LAION_fMRI.IT-tau-ridgecv", dataset=tiny_dataset).item() for model in models]
    assert len(set(values)) == len(models)
    with pytest.raises(DatasetError, match="got 'colour'"):
        NounModel(weight="colour")


def test_nouns_agree_with_the_package_reader(tiny_dataset):
    segmentations = pytest.importorskip("laion_fmri.segmentations", reason="laion_fmri (newer) is not installed")
    table = NounModel(tiny_dataset).table
    with segmentations.Segmentations(tiny_dataset) as reader:
        for image in reader.images():
            assert set(described(table, image)) - {NO_NOUN} == set(reader.nouns(image))


def test_a_dataset_without_segmentations_says_where_to_get_them(tiny_dataset, tmp_path):
    (tmp_path / "assemblies").symlink_to(tiny_dataset / "assemblies")
    (tmp_path / "splits").symlink_to(tiny_dataset / "splits")
    assert open_dataset(tmp_path).subjects
    with pytest.raises(MissingDataError, match="laion-fmri download-segmentations"):
        score_model("LAION_fMRI-nouns", "LAION_fMRI.V1-tau-ridgecv", dataset=tmp_path)

"""The nouns of the segmentations as features: which images have what, and what is refused."""

import os
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from plugin_testing.notes import notes_of

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmarks.laion_fmri_7t import score_model
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.released.features import FEATURE_FILES, SEGMENTATION_MASKS, SEGMENTATION_TABLE
from brainscore_vision.data.laion_fmri_7t.released.segmentations import mask_extents
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models.laion_fmri_7t import NounModel
from brainscore_vision.models.laion_fmri_7t.nouns import NO_NOUN, read_nouns
from brainscore_vision.models.laion_fmri_7t.table_files import TableError

CELL = "LAION_fMRI.IT-tau-ridge"
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


def test_masks_are_read_once(segmentations, monkeypatch):
    extents = mask_extents(segmentations[1])
    np.testing.assert_allclose(extents[:3], [[0.125, 0, 0, 10, 5], [0.5, 10, 0, 20, 20], [0.5, 0, 10, 20, 20]])
    monkeypatch.setattr(h5py.Dataset, "__getitem__", None)  # a second reading would fail
    np.testing.assert_array_equal(mask_extents(segmentations[1]), extents)


def test_other_masks_of_the_same_size_and_time_are_read_again(tmp_path):
    path, masks = tmp_path / "masks.h5", np.zeros((2, 20, 20), np.uint8)
    masks[:, :5, :5] = 1
    with h5py.File(path, "w") as file:
        file["masks"] = masks
    before, state = mask_extents(path), path.stat()
    with h5py.File(path, "r+") as file:
        file["masks"][...] = masks[:, ::-1]
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert before[:, 2].tolist() == [0, 0]
    assert mask_extents(path)[:, 2].tolist() == [15, 15]


def test_images_without_a_row_have_no_noun_if_the_masks_prove_that_no_row_was_lost(segmentations):
    table = read_nouns(segmentations[0], masks=segmentations[1])
    assert table.covers(LOST)
    assert described(table, LOST) == {NO_NOUN: 1}
    assert not table.covers(GABOR)  # nothing of the kind is in the table: nobody looked
    assert not table.covers("unique_LAION_new_cluster_1_i1_p01.jpg")
    assert not read_nouns(segmentations[0]).covers(LOST)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="noun"), "missing: noun"),
        (lambda t: t.assign(noun=""), r"6 of 6 rows break this, the first is row 0 \(noun ''\)"),
        (lambda t: t.iloc[:0], "it has none"),
        (lambda t: t.assign(box_x0=t["box_x1"] + 1), "go from x0, y0 to x1, y1; 4 of 6 rows"),
        (lambda t: t.assign(mask_row=t["mask_row"] - 1), "mask_row numbers the masks from 0.*the first: 5"),
        (lambda t: t.assign(mask_row=t["mask_row"] + 1), "1 are lacking, the first: 0"),
        (lambda t: t.assign(mask_row=t["mask_row"] + 0.5), "6 are lacking"),
        (lambda t: t.drop(index=[1, 3]), "2 are lacking, the first: 1"),
        (lambda t: pd.concat([t, t.iloc[2:3]]), "1 are lacking, the first: 6"),
        (lambda t: t.assign(mask_row="x"), r"mask_row is a number; 6 of 6 rows.*'x'"),
        (
            lambda t: t.assign(score=[0.5, 1.2, 0.4, -0.1, 0.3, 0.2]),
            r"scores are from 0 to 1; 2 of 6 rows.*row 1 .*'1.2'",
        ),
        (lambda t: t.assign(score=t["score"] * 100), "scores are from 0 to 1; 6 of 6"),
        (lambda t: t.assign(score="high"), "score is a number"),
        (lambda t: t.assign(score=np.inf), "score is a number"),
        (
            lambda t: t.assign(localized=["1", "1", "yes", "0", "0", "1"]),
            r"localized is 1 or 0; 1 of 6 .*row 2 .*'yes'",
        ),
        (lambda t: t.assign(localized=[1, 1, 2, 0, 0, 1]), r"localized is 1 or 0; 1 of 6 .*'2'"),
        (lambda t: t.assign(image_name=t["image_name"].str.removesuffix(".jpg")), "metadata.csv: A stimulus id is"),
    ],
)
@pytest.mark.parametrize("weight", [None, "box"])
def test_broken_tables(segmentations, spoil, message, weight):
    path = segmentations[0]
    spoil(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(SchemaError, match=message) as error:
        read_nouns(path, weight=weight)
    assert str(path) in str(error.value)


def test_a_table_that_is_cut_anywhere_is_refused(segmentations):
    """Or is whole: what is cut off of the last line may be the name of the mask's file, which is not read."""
    path, masks = segmentations
    whole, expected = path.read_text(), read_nouns(path, masks=masks)
    for length in range(len(whole)):
        path.write_text(whole[:length])
        if length >= whole.rindex(","):
            assert described(read_nouns(path, masks=masks), NSD) == described(expected, NSD)
            continue
        with pytest.raises(SchemaError):
            read_nouns(path, masks=masks)


def test_without_the_masks_a_cut_table_says_nothing_of_the_images_that_it_lost(segmentations):
    path = segmentations[0]
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:5]))
    with pytest.raises(TableError, match="the last has none, so that the table may be cut"):
        read_nouns(path)
    path.write_text("\n".join(lines[:5]) + "\n")
    table = read_nouns(path)
    assert table.covers(DOGS)
    assert not any(table.covers(image) for image in (BARE, NSD, LOST))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings(segmentations, encoding):
    path = segmentations[0]
    expected = described(read_nouns(path), DOGS)
    path.write_text(path.read_text(), encoding=encoding)
    assert described(read_nouns(path), DOGS) == expected


@pytest.mark.parametrize("spelling", [{"1": "True", "0": "False"}, {"1": "1.0", "0": "0.0"}, {"1": " 1", "0": "0 "}])
def test_flags_as_other_programs_write_them(segmentations, spelling):
    """Also in a part of the rows, as when a table is put together from parts."""
    path = segmentations[0]
    frame = pd.read_csv(path, dtype=str)
    expected = described(read_nouns(path), DOGS)
    frame.loc[2:, "localized"] = frame["localized"].map(spelling)
    frame.to_csv(path, index=False)
    assert described(read_nouns(path), DOGS) == expected


@pytest.mark.parametrize("spelling", ["Dog", " dog", "DOG ", "dog"])
def test_nouns_that_differ_in_capitals_or_blanks_are_one(segmentations, spelling):
    path = segmentations[0]
    frame = pd.read_csv(path)
    expected = read_nouns(path)
    frame.loc[5, "noun"] = spelling
    frame.to_csv(path, index=False)
    table = read_nouns(path)
    assert table.nouns == expected.nouns
    assert described(table, NSD) == {"dog": 1}
    if spelling == "dog":
        assert table.notes == ()
    else:
        (note,) = table.notes
        assert note.startswith(f"1 nouns of {path} differ from others in capitals or blanks alone")
        assert note.endswith(f"(for example {spelling!r} as 'dog').")


def rewrite_masks(path, change):
    with h5py.File(path) as file:
        values = file["masks"][:]
    with h5py.File(path, "w") as file:
        for name, data in change(values).items():
            file.create_dataset(name, data=data)


@pytest.mark.parametrize("weight", ["box", "area"])
def test_boxes_of_one_image_beyond_all_others_are_wrong(segmentations, weight):
    """A zero too many, or detections of an image with more pixels, would make all other areas smaller."""
    path, masks = segmentations
    table = pd.read_csv(path)
    table.loc[4, ["box_x0", "box_y0", "box_x1", "box_y1", "localized"]] = [0, 0, 20, 20, 1]  # in a third image
    for x1 in (20, 200):
        table.loc[5, "box_x1"] = x1
        table.to_csv(path, index=False)
        if x1 == 20:
            assert described(read_nouns(path, weight=weight, masks=masks), NSD) == pytest.approx({"dog": 0.25})
    with pytest.raises(TableError, match=f"those of '{NSD}' go to 200, and of all other images to 20 at most"):
        read_nouns(path, weight=weight, masks=masks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {"masks": v[:-1]}, "holds 5 masks, .* has 6 rows"),
        (lambda v: {"masks": np.concatenate([v, v])}, "holds 12 masks, .* has 6 rows"),
        (lambda v: {"areas": v}, "masks are whole numbers in a dataset 'masks'"),
        (lambda v: {"masks": v[0]}, "masks × height × width"),
        (lambda v: {"masks": v.astype(np.float32)}, "masks are whole numbers"),
        (
            lambda v: {"masks": v * np.arange(20, dtype=np.uint8)},
            r"0 outside and one number inside; masks 0 to 5 hold 0, 19",
        ),
        (
            lambda v: {"masks": np.roll(v, 1, axis=0)},
            "most masks of .* lie elsewhere than the boxes.*mask_row was shifted",
        ),
    ],
)
def test_masks_that_are_none(segmentations, change, message):
    path, masks = segmentations
    rewrite_masks(masks, change)
    with pytest.raises(SchemaError, match=message):
        read_nouns(path, weight="area", masks=masks)


def test_masks_that_are_empty_or_elsewhere_are_counted(segmentations):
    """A chunk that never came is zero; a few rows may be shifted."""
    path, masks = segmentations
    assert read_nouns(path, weight="area", masks=masks).notes == ()
    with h5py.File(masks, "r+") as file:
        kept = file["masks"][:]
        file["masks"][5] = 0
    (note,) = read_nouns(path, weight="area", masks=masks).notes
    assert note.startswith(f"1 of 4 localized detections of {path} have an empty mask in {masks} and count 0.")
    with h5py.File(masks, "r+") as file:
        file["masks"][:] = kept
        file["masks"][0] = kept[0, ::-1, ::-1]
    (note,) = read_nouns(path, weight="area", masks=masks).notes
    assert note.startswith(f"1 of 4 masks of {masks} overlap the boxes of {path} by less than 10%")


def test_masks_of_another_number(segmentations):
    path, masks = segmentations
    expected = described(read_nouns(path, weight="area", masks=masks), DOGS)
    rewrite_masks(masks, lambda v: {"masks": v * np.uint8(255)})
    assert described(read_nouns(path, weight="area", masks=masks), DOGS) == expected
    masks.write_bytes(b"words")
    with pytest.raises(SchemaError, match="must be an HDF5 file of masks"):
        read_nouns(path, masks=masks)


def test_a_score_says_how_many_images_have_no_row(tiny_dataset, tmp_path):
    """An image that lost its rows, in a table and masks that agree, counts as one without nouns, and is counted."""
    root = tmp_path / "dataset"
    shutil.copytree(tiny_dataset, root, ignore=shutil.ignore_patterns("images"))
    table, masks = (root / "stimuli" / FEATURE_FILES[name] for name in (SEGMENTATION_TABLE, SEGMENTATION_MASKS))
    expected = score_model("LAION_fMRI-nouns", CELL, dataset=tiny_dataset)
    frame = pd.read_csv(table)
    shared = open_dataset(root).pool_stimuli("shared")
    nothing = set(shared).difference(frame["image_name"])  # images that show nothing with a name
    before = f"{len(nothing)} of {len(shared)} stimuli have no row in "
    assert [note.startswith(before) for note in notes_of(expected)] == [True]
    images = sorted(frame["image_name"].unique())[::6]
    kept = ~frame["image_name"].isin(images)
    frame[kept].to_csv(table, index=False)
    with pytest.raises(SchemaError, match="Rows were lost"):
        score_model("LAION_fMRI-nouns", CELL, dataset=root)
    frame[kept].assign(mask_row=range(kept.sum())).to_csv(table, index=False)
    with pytest.raises(TableError, match="one of them is cut"):
        score_model("LAION_fMRI-nouns", CELL, dataset=root)
    rewrite_masks(masks, lambda values: {"masks": values[kept.to_numpy()]})
    found = score_model("LAION_fMRI-nouns", CELL, dataset=root)
    nothing.update(set(images) & set(shared))
    assert notes_of(found) == [
        f"{len(nothing)} of {len(shared)} stimuli have no row in {table}: they count as images without nouns."
    ]
    masks.unlink()
    with pytest.raises(
        ModelOutputError, match=r"have none.*has no row for them\. If nothing was found.*missing='drop'"
    ):
        score_model("LAION_fMRI-nouns", CELL, dataset=root)
    dropped = score_model(NounModel(root, missing="drop"), CELL, dataset=root)
    assert set(dropped.attrs["dropped_stimuli"]) <= nothing


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


@pytest.mark.parametrize("package", ["brainscore_vision.data.laion_fmri_7t.released", "laion_fmri"])
def test_nouns_agree_with_the_readers(tiny_dataset, package):
    segmentations = pytest.importorskip(f"{package}.segmentations", reason="laion_fmri (newer) is not installed")
    table = NounModel(tiny_dataset).table
    with segmentations.Segmentations(tiny_dataset) as reader:
        for image in reader.images():
            assert set(described(table, image)) - {NO_NOUN} == set(reader.nouns(image))


def test_a_dataset_without_segmentations_says_where_to_get_them(tiny_dataset, tmp_path):
    (tmp_path / "assemblies").symlink_to(tiny_dataset / "assemblies")
    (tmp_path / "splits").symlink_to(tiny_dataset / "splits")
    assert open_dataset(tmp_path).subjects
    with pytest.raises(MissingDataError, match="laion-score data get --what segmentations"):
        score_model("LAION_fMRI-nouns", "LAION_fMRI.V1-tau-ridgecv", dataset=tmp_path)

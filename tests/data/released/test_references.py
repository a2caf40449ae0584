"""The documented code blocks, with another import line, on a simulated release: they run, and print what they should."""

import re
from pathlib import Path

import numpy as np
import pytest

import brainscore_vision.data.laion_fmri_7t.released as laion_fmri
from brainscore_vision.data.laion_fmri_7t.packaging.layout import SubjectFiles
from brainscore_vision.data.laion_fmri_7t.released import (
    dataset_initialize,
    get_train_test_ids,
    list_ood_types,
    list_pools,
    list_splits,
    load_split,
    load_subject,
)


@pytest.fixture(autouse=True)
def initialized(released, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_DATASET", "")  # so that what is set here ends with the test
    dataset_initialize(str(released))


def test_embeddings():
    stim = laion_fmri.load_stimuli()
    n_images, width = len(stim.metadata), stim.embeddings["CLIP"].shape[1]
    name = stim.metadata["image_name"].iloc[3]
    assert stim.embeddings["CLIP"].shape == (n_images, width)
    assert stim.embeddings.get("CLIP", name).shape == (width,)
    assert stim.embeddings.models == list(laion_fmri.embeddings.AVAILABLE_MODELS)
    with stim:
        np.testing.assert_array_equal(stim.embeddings.get("CLIP", name), stim.embeddings["CLIP"][3])
    sub = laion_fmri.load_subject("sub-01")
    features = sub.embeddings.all("CLIP")
    assert features.shape == (len(sub.metadata), width)
    row = sub.metadata.iloc[100]
    np.testing.assert_array_equal(features[100], stim.embeddings["CLIP"][row["stim_idx"]])
    with laion_fmri.load_embeddings("DINOv2") as reader:
        assert reader.models == ["DINOv2"]
        assert reader.image_ids.tolist() == stim.images.names()


def test_querying():
    assert list_pools() == ["shared", "sub-01", "sub-03", "sub-05", "sub-06", "sub-07"]
    folds = [f"{family}_{fold}" for family in ("random", "cluster_k5") for fold in range(5)]
    assert list_splits() == [*folds, "tau", "ood"]
    kinds = "cropped gabor gaudy illusion-classic illusion-natural relations selfmade shape unusual"
    assert list_ood_types() == kinds.split()
    split = load_split("random_0", pool="shared")
    assert (split.name, split.pool, split.split_family) == ("random_0", "shared", "random")
    train_ids, test_ids = get_train_test_ids("random_0", pool="shared")
    assert (len(train_ids), len(test_ids)) == (split.n_train, split.n_test)
    _, test_shape = get_train_test_ids("ood", pool="shared", ood_types=["shape"])
    assert test_shape
    assert all("_OOD_shape_" in name for name in test_shape)


def test_querying_a_subject(released):
    sub = load_subject("sub-01")
    assert sub.get_sessions()[0] == "ses-01"
    trials = sub.get_trial_info(session="ses-01")
    assert trials.columns.tolist() == ["session", "run", "beta_index", "label"]
    assert trials["run"].unique().tolist() == list(range(1, 13))
    betas_one = sub.get_betas(session="ses-01", roi="FFA1")
    betas_face = sub.get_betas(session="ses-01", roi="face")
    betas_all = sub.get_betas(session="ses-01", roi="all")
    assert betas_one.shape == (len(trials), sub.get_roi_mask("FFA1").sum())
    assert betas_one.shape[1] < betas_face.shape[1] < betas_all.shape[1] < sub.get_n_voxels()
    roi = sub.get_roi_data("FFA1", format="all", hemi="all")
    assert list(roi) == ["FFA1"]
    assert roi["FFA1"]["volume"].sum() == betas_one.shape[1]
    surfaces = roi["FFA1"]["gii"]
    assert list(surfaces) == ["hemi-L", "hemi-R"]
    for files in surfaces.values():
        np.testing.assert_array_equal(np.flatnonzero(files["func.gii"]), files["label"])
    assert sum(len(files["label"]) for files in surfaces.values()) == betas_one.shape[1]
    categories = ["body", "character", "face", "laion", "motion", "object", "place", "retinotopy"]
    assert sub.get_available_categories() == categories
    assert sub.get_available_rois("face") == ["FFA1", "OFA", "pSTSfaces"]
    assert sub.get_available_rois() == sorted(SubjectFiles(released, "sub-01").roi_files())


def test_segmentations():
    stim = laion_fmri.load_stimuli()
    seg = stim.segmentations
    name = next(image for image in seg.images() if seg.nouns(image))
    noun = seg.nouns(name)[0]
    mask = stim.segmentations.get(name, noun, instance=0)
    height, width = stim.images.get(name).size
    assert (mask.shape, str(mask.dtype)) == ((height, width), "uint8")
    assert set(np.unique(mask)) <= {0, 1}
    row = seg.for_image(name).query("noun == @noun and instance_id == 0")["mask_row"].item()
    np.testing.assert_array_equal(seg[row], mask)
    assert len(seg) == len(seg.metadata)


def test_the_example_of_the_readme_runs(released, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = Path(laion_fmri.__file__).parents[1] / "README.md"
    (code,) = re.findall(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    exec(compile(code.replace("FOLDER", str(released)), "README.md", "exec"), {})
    *images, last = capsys.readouterr().out.splitlines()
    assert len(images) == 3
    sub = load_subject("sub-01")
    trials, reliable = (
        len(sub.get_trial_info("ses-01")),
        sub.get_noise_ceiling(session="ses-01", roi="retinotopy") >= 20,
    )
    kept = reliable.sum()
    assert 0 < kept < len(reliable)
    assert last.startswith(f"({trials}, {kept}) ({trials}, 24) ")
    assert (tmp_path / "ceiling.nii.gz").is_file()

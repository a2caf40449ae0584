"""The grammar of stimulus ids: what is read from a name, what is refused, and that the release's names obey it."""

import dataclasses
import json
from collections import Counter

import pytest
from plugin_testing.install_check import REPOSITORY

from brainscore_vision.data.laion_fmri_7t import ids
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, SchemaError
from brainscore_vision.data.laion_fmri_7t.simulation import SCALES

RELEASED_SPLITS = REPOSITORY.parent / "shared" / "laion_fmri_splits"


@pytest.mark.parametrize(
    ("stimulus_id", "shared", "repetitions", "dataset", "ood_type", "participant", "subject"),
    [
        ("shared_12rep_LAION_cluster_1003_i0.jpg", True, 12, "LAION", None, None, None),
        ("shared_12rep_LAION_cluster_3164_sorted-out_i0.jpg", True, 12, "LAION", None, None, None),
        ("shared_12rep_THINGS+_kmeans_204_ice-cream_cone.jpg", True, 12, "THINGS+", None, None, None),
        ("shared_4rep_NSD_special1000_680.jpg", True, 4, "NSD", None, None, None),
        ("shared_4rep_NSD_special100_95.jpg", True, 4, "NSD", None, None, None),
        ("shared_4rep_OOD_cropped_nest.png", True, 4, "OOD", "cropped", None, None),
        ("shared_4rep_OOD_illusion-classic_a-b-07-v01.png", True, 4, "OOD", "illusion-classic", None, None),
        ("shared_4rep_OOD_illusion-natural_giant-dog.jpg", True, 4, "OOD", "illusion-natural", None, None),
        ("unique_LAION_fillup_cluster_323_i23_p01.jpg", False, 4, "LAION", None, "p01", "sub-01"),
        ("unique_LAION_new_cluster_1_i2_p02.jpg", False, 4, "LAION", None, "p02", "sub-06"),
        ("unique_LAION_initial_cluster_1_i2_p03.jpg", False, 4, "LAION", None, "p03", "sub-05"),
        ("unique_THINGS_banana_split_p04.jpg", False, 4, "THINGS", None, "p04", "sub-03"),
        ("unique_THINGS+_hot-air_p05.jpg", False, 4, "THINGS+", None, "p05", "sub-07"),
    ],
)
def test_reading(stimulus_id, shared, repetitions, dataset, ood_type, participant, subject):
    parsed = ids.parse(stimulus_id)
    assert parsed.text == stimulus_id
    assert (parsed.shared, parsed.repetitions, parsed.dataset) == (shared, repetitions, dataset)
    assert (parsed.ood_type, parsed.participant, parsed.subject) == (ood_type, participant, subject)
    assert ids.ood_type(stimulus_id) == ood_type
    assert ids.is_ood(stimulus_id) is (ood_type is not None)


@pytest.mark.parametrize(
    ("stimulus_id", "name"),
    [
        ("shared_4rep_OOD_unusual_Screenshot 2024-05-06 at 14.45.09.jpg", "Screenshot 2024-05-06 at 14.45.09"),
        ("shared_4rep_OOD_unusual_https_www.a.com_b-c_27_fruit .jpg", "https_www.a.com_b-c_27_fruit "),
        ("shared_4rep_OOD_unusual_cat.png.jpg", "cat.png"),
        ("shared_4rep_OOD_shape_colorExpStim04_red_+.png", "colorExpStim04_red_+"),
        ("unique_THINGS+_t-shirt_p01_p02.jpg", "t-shirt_p01"),
    ],
)
def test_odd_names_survive(stimulus_id, name):
    assert ids.parse(stimulus_id).name == name


@pytest.mark.parametrize(
    "stimulus_id",
    [
        "",
        "dog.jpg",
        "shared_12rep_LAION_cluster_1003_i0",
        "shared_12rep_LAION_cluster_1003_i0.png",
        "shared_12rep_LAION_cluster_1003_i0.jpg\n",
        "images/shared_12rep_LAION_cluster_1003_i0.jpg",
        "shared_4rep_LAION_cluster_1003_i0.jpg",
        "shared_4rep_OOD_shape_.png",
        "unique_LAION_initial_cluster_1_i2.jpg",
        "unique_OOD_shape_x_p01.jpg",
    ],
)
def test_names_outside_the_grammar_are_refused(stimulus_id):
    with pytest.raises(DatasetError, match="is an image's file name") as caught:
        ids.parse(stimulus_id)
    assert repr(stimulus_id) in str(caught.value)


def test_unknown_type_participant_and_python_type_are_named():
    with pytest.raises(DatasetError, match=r"gabor.*got 'painting'"):
        ids.ood_type("shared_4rep_OOD_painting_x.jpg")
    with pytest.raises(DatasetError, match=r"p01, p02, p03, p04, p05; got 'p06'"):
        ids.is_ood("unique_THINGS_cup_p06.jpg")
    with pytest.raises(DatasetError, match="is a string.*got 7"):
        ids.parse(7)


def test_parsed_ids_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ids.parse("unique_THINGS_cup_p01.jpg").dataset = "NSD"


def test_the_release_obeys_the_grammar_and_has_the_full_scales_counts():
    if not RELEASED_SPLITS.is_dir():
        pytest.skip("no shared/laion_fmri_splits beside this checkout: the release's own names cannot be read")
    content = json.loads((RELEASED_SPLITS / "sub-01" / "ood.json").read_text("utf-8"))["variants"][0]
    parsed = [ids.parse(stimulus_id) for stimulus_id in [*content["train_ids"], *content["test_ids"]]]
    full = SCALES["full"]
    assert Counter((p.shared, p.repetitions, p.dataset) for p in parsed) == {
        (True, 12, "LAION"): full.shared_laion,
        (True, 12, "THINGS+"): full.shared_things_plus,
        (True, 4, "NSD"): full.shared_nsd,
        (True, 4, "OOD"): sum(full.ood),
        (False, 4, "LAION"): full.unique_laion,
        (False, 4, "THINGS"): full.unique_things,
        (False, 4, "THINGS+"): full.unique_things_plus,
    }
    assert Counter(p.ood_type for p in parsed if p.ood_type) == full.ood_counts()
    assert {p.subject for p in parsed} == {"sub-01", None}
    assert [ids.is_ood(stimulus_id) for stimulus_id in content["test_ids"]] == [True] * 371
    assert list(full.ood_counts()) == list(OOD_TYPES)


def test_every_released_split_file_can_be_read():
    files = sorted(RELEASED_SPLITS.glob("*/*.json"))
    if not files:
        pytest.skip("no shared/laion_fmri_splits beside this checkout: the release's own names cannot be read")
    for file in files:
        for variant in json.loads(file.read_text("utf-8"))["variants"]:
            for stimulus_id in [*variant["train_ids"], *variant["test_ids"]]:
                assert ids.parse(stimulus_id).text == stimulus_id


def test_an_error_about_an_id_names_its_file():
    assert list(ids.parse_all(["shared_4rep_NSD_special100_4.jpg"] * 2, "t.csv")) == [
        "shared_4rep_NSD_special100_4.jpg"
    ]
    for wrong in ("dog.jpg", "shared_4rep_OOD_new_1.jpg", "unique_THINGS_dog_p09.jpg", None):
        with pytest.raises(SchemaError, match=r"^folder/t.csv: .*(got|Correct)"):
            ids.parse_all(["shared_4rep_NSD_special100_4.jpg", wrong], "folder/t.csv")

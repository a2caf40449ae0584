"""Families of stimuli, from ids like the release's."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.ids import families, family

TOGETHER = (
    ("shared_4rep_OOD_shape_blob_round-01.png", "shared_4rep_OOD_shape_blob_round-12.png"),
    (
        "shared_4rep_OOD_shape_deeprecon_colorExpStim01_red_square.png",
        "shared_4rep_OOD_shape_deeprecon_colorExpStim14_blue_+.png",
    ),
    (
        "shared_4rep_OOD_shape_color_simple_shapes_01-basic-two-similar.jpg",
        "shared_4rep_OOD_shape_color_simple_shapes_24-simple-combined-different.jpg",
    ),
    ("shared_4rep_OOD_shape_deeprecon_letter-A.png", "shared_4rep_OOD_shape_deeprecon_letter-U.png"),
    ("shared_4rep_OOD_gabor_gabor-01-top-left.jpg", "shared_4rep_OOD_gabor_gabor-09-concentric.jpg"),
    (
        "shared_4rep_OOD_illusion-classic_classic-illusion-07-ponzo.png",
        "shared_4rep_OOD_illusion-classic_classic-illusion-07-v01-ponzocontrol.png",
    ),
    (
        "shared_4rep_OOD_relations_057_showercurtain-into-bathtub_01.jpg",
        "shared_4rep_OOD_relations_057_showercurtain-into-bathtub_03.jpg",
    ),
    ("shared_4rep_OOD_unusual_reallife-glitch.jpg", "shared_4rep_OOD_unusual_reallife-glitch-09-FLORIDA.jpg"),
    ("unique_LAION_initial_cluster_12_i3_p01.jpg", "unique_LAION_fillup_cluster_12_i40_p01.jpg"),
    ("shared_12rep_LAION_cluster_12_sorted-out_i0.jpg", "unique_LAION_new_cluster_12_i1_p01.jpg"),
    ("shared_12rep_THINGS+_kmeans_3_stair.jpg", "unique_THINGS_stair_p02.jpg"),
)
APART = (
    ("shared_4rep_OOD_shape_blob_round-01.png", "shared_4rep_OOD_shape_blob_spiky-01.png"),
    ("shared_4rep_OOD_shape_deeprecon_digit-2.png", "shared_4rep_OOD_shape_deeprecon_letter-A.png"),
    (
        "shared_4rep_OOD_relations_078_differentshoes-together_02.jpg",
        "shared_4rep_OOD_relations_078_earring-around-ear_03.jpg",
    ),
    ("shared_4rep_OOD_gaudy_gaudy-altar.jpg", "shared_4rep_OOD_gaudy_gaudy-bowl.jpg"),
    ("shared_4rep_OOD_selfmade_01.jpg", "shared_4rep_OOD_selfmade_02.jpg"),
    ("shared_4rep_OOD_unusual_blue_dog_02.jpg", "shared_4rep_OOD_unusual_green_dog_02.jpg"),
    ("unique_LAION_initial_cluster_12_i3_p01.jpg", "unique_LAION_initial_cluster_121_i3_p01.jpg"),
    ("shared_12rep_THINGS+_kmeans_3_calf.jpg", "shared_12rep_THINGS+_kmeans_3_calf1.jpg"),  # another meaning
    ("shared_4rep_NSD_special100_5.jpg", "shared_4rep_NSD_special100_6.jpg"),
)


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_examples_of_one_idea_are_a_family(one, other):
    assert family(one) == family(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_images_that_are_no_series_are_apart(one, other):
    assert family(one) != family(other)


def test_an_id_outside_the_grammar_is_refused():
    with pytest.raises(DatasetError, match="A stimulus id is an image's file name"):
        families(["a picture.jpg"])


def test_stimuli_with_similar_features_are_a_family_too():
    rng = np.random.default_rng(1)
    ids = [f"shared_4rep_OOD_selfmade_{n:02d}.jpg" for n in range(1, 31)]
    ids += [f"shared_4rep_OOD_gabor_gabor-{n:02d}-x.jpg" for n in range(1, 5)]
    features = rng.standard_normal((34, 200)) + 3
    features[7] = features[2] + 0.3 * rng.standard_normal(200)  # a near-duplicate
    features[9] = features[30] + 0.3 * rng.standard_normal(200)  # and one of a gabor
    found = families(ids, features)
    assert found[7] == found[2] == ids[2]
    assert len({found[9], *found[30:]}) == 1
    assert len(set(found)) == 29  # 30 and the gabors, less two
    assert families(ids, features, threshold=1.01) == families(ids)
    assert families(ids, pd.DataFrame(features, index=ids)) == found
    with pytest.raises(DatasetError, match="row 0 is another's"):
        families(ids, pd.DataFrame(features, index=ids)[::-1])
    with pytest.raises(DatasetError, match="of 1 of .* nan or infinite"):
        families(ids, np.where(np.arange(len(ids))[:, None] == 2, np.nan, features))
    with pytest.raises(DatasetError, match="received 33 rows for 34 stimuli"):
        families(ids, features[:-1])


def released_test_ids(pool, split):
    path = Path(__file__).parents[3] / "shared" / "laion_fmri_splits" / pool / f"{split}.json"
    if not path.is_file():
        pytest.skip("the release's split files are not here")
    return json.loads(path.read_text())["variants"][0]["test_ids"]


def test_families_of_the_release():
    kinds: dict = {}
    for name in released_test_ids("shared", "ood"):
        kinds.setdefault(name.split("_")[3], []).append(name)
    numbers = {kind: len(set(families(found))) for kind, found in kinds.items()}
    few = {"shape": 7, "gabor": 1, "illusion-classic": 7, "relations": 71, "unusual": 61}
    assert numbers == {kind: few.get(kind, len(found)) for kind, found in kinds.items()}
    assert len(set(families(released_test_ids("shared", "tau")))) == 224  # all apart: intervals stay as they were
    assert Counter(Counter(families(released_test_ids("sub-01", "tau"))).values()) == {1: 1129, 2: 19}

"""Figures of maps: what nilearn draws are the map's values, on one scale, and nothing where there are none."""

import sys

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from plugin_testing.scored_cells import RIDGE, scores

from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import LayerMap, NeuroidLayers
from brainscore_vision.benchmarks.laion_fmri_7t import brain_maps
from brainscore_vision.benchmarks.laion_fmri_7t.maps import MapError, layer_maps
from brainscore_vision.benchmarks.laion_fmri_7t.maps.drawing import ColourScale, _cuts, map_figure


@pytest.fixture
def maps(tiny_dataset):
    return brain_maps(scores(tiny_dataset)["one"][RIDGE], subjects=["sub-01", "sub-05"])


@pytest.fixture
def without_t1(tiny_dataset, tmp_path):
    """Of the dataset without T1 images, the maps."""
    import shutil

    for part in ("assemblies", "derivatives"):
        shutil.copytree(tiny_dataset / part, tmp_path / part)
    for path in tmp_path.rglob("*T1w.nii.gz"):
        path.unlink()
    return brain_maps(scores(tiny_dataset)["one"][RIDGE], subjects=["sub-01"], dataset=tmp_path)


def overlays(figure):
    """Of each slice, the picture of values that stands over the background."""
    return [image for axes in figure.axes for image in axes.images[1:] if image.norm.vmin == 1]


def drawn(figure):
    return np.sort(np.concatenate([np.ma.masked_invalid(image.get_array()).compressed() for image in overlays(figure)]))


def test_every_voxel_of_the_drawn_planes_is_there_with_its_value(without_t1):
    """The tiny dataset has fewer planes with voxels than a mosaic has slices, so that all of its voxels are drawn."""
    (one,) = without_t1
    scale = ColourScale.of(without_t1)
    expected = np.sort(1 + np.asarray(scale.norm(one.values)))
    np.testing.assert_allclose(drawn(map_figure(without_t1)), expected, atol=1e-5)


def test_all_subjects_share_one_scale(maps):
    scale = ColourScale.of(maps)
    values = np.concatenate([one.values for one in maps])
    assert (scale.norm.vmin, scale.norm.vmax) == (min(0, values.min()), values.max())
    alone = [ColourScale.of([one]).norm.vmax for one in maps]
    assert alone[0] != alone[1]
    images = overlays(map_figure(maps))
    assert len(images) > 8
    assert {(image.norm.vmin, image.norm.vmax, image.cmap.name) for image in images} == {(1.0, 2.0, "viridis")}


def test_a_value_of_zero_is_drawn_and_none_is_not(without_t1):
    (one,) = without_t1
    one.values[:] = np.nan
    one.values[:3] = 0.0, 0.5, 0.0
    np.testing.assert_allclose(drawn(map_figure(without_t1)), [1, 1, 2])


def test_p_values_of_zero_have_the_colour_of_the_smallest(maps, tiny_dataset):
    found = brain_maps(scores(tiny_dataset)["one"][RIDGE], "p_value", subjects=["sub-01"])
    found[0].values[:] = 0.0
    scale = ColourScale.of(found)
    assert scale.extend == "min"
    np.testing.assert_allclose(drawn(map_figure(found)), 1.0)


def test_a_difference_is_white_at_zero(tiny_dataset):
    first, second = (scores(tiny_dataset)[name][RIDGE] for name in ("one", "two"))
    scale = ColourScale.of(brain_maps(first, minus=second))
    assert scale.norm.vmin == -scale.norm.vmax
    assert min(to_rgb(scale.colours(scale.norm(0.0)))) > 0.95
    assert scale.label.startswith("difference in correlation")
    limited = ColourScale.of(brain_maps(first, minus=second), (-0.3, 0.3))
    assert limited.colours(limited.norm(0.0)) == scale.colours(scale.norm(0.0))
    with pytest.raises(MapError, match="both sides of 0 alike, --range=-0.6,0.6; got --range 0,0.6"):
        ColourScale.of(brain_maps(first, minus=second), (0.0, 0.6))


def test_places_of_slices_are_rounded(maps):
    """nilearn cuts what is behind the point: -0.9 and 0.9 would both be 0."""
    texts = [text.get_text() for text in map_figure(maps[:1]).findobj(_is_text)]
    shown = [float(text.removeprefix("z=")) for text in texts if text.startswith("z=")]
    np.testing.assert_allclose(shown, _cuts(maps[0]), atol=0.051)


def test_limits_of_the_scale_can_be_given_and_say_what_lies_beyond(maps):
    scale = ColourScale.of(maps, (0.0, 0.01))
    assert (scale.norm.vmin, scale.norm.vmax) == (0.0, 0.01)
    assert scale.extend == "both"


@pytest.mark.parametrize("name", ["viridis", "viridis_r"])
def test_colours_differ_in_lightness_which_every_eye_sees(name):
    shades = colormaps[name](np.linspace(0, 1, 50))[:, :3]
    lightness = np.diff(shades @ [0.2126, 0.7152, 0.0722])
    assert (lightness > 0).all() or (lightness < 0).all()


def test_the_caption_says_what_and_which_model(maps):
    texts = " ".join(text.get_text() for text in map_figure(maps).findobj(lambda a: hasattr(a, "get_text")))
    texts = " ".join(texts.split())
    for words in ("one: correlation r", RIDGE, "over the test images", "T1 image", "Simulated data", "sub-01"):
        assert words in texts


def test_a_mosaic_of_the_mask_where_there_is_no_t1_image(without_t1, maps):
    assert "brain mask (grey)" in " ".join(t.get_text() for t in map_figure(without_t1).findobj(_is_text)).replace(
        "\n", " "
    )
    assert len(overlays(map_figure(without_t1))) > len(overlays(map_figure(maps[:1])))


def _is_text(artist):
    return hasattr(artist, "get_text")


def test_layers_have_a_colour_each(tiny_dataset):
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    neuroids = open_dataset(tiny_dataset).assembly_file("sub-01").header.neuroids
    coordinates = neuroids[["region", "roi", "voxel_index_in_brain_mask"]]
    rng = np.random.default_rng(5)
    layers, correlations = rng.integers(0, 3, len(neuroids)), rng.uniform(0.1, 1, len(neuroids))
    correlations[0] = -0.1  # no layer predicts it
    array = np.zeros((3, 1, 1))
    found = LayerMap.of_arrays(
        "net",
        (["a", "b", "a.very.long.name.of.a.layer"], ["all"], ["sub-01"]),
        array,
        np.zeros((3, 1, 1, 2)),
        np.zeros((3, 1, 2)),
        facts={"dataset": {"root": str(tiny_dataset)}, "split": "tau", "pool": "shared"},
        neuroids=(NeuroidLayers("all", "sub-01", layers, correlations, coordinates),),
    )
    (one,) = layer_maps(LayerMap.from_json(found.as_json()))
    assert np.isnan(one.values[0])
    np.testing.assert_array_equal(one.values[1:], layers[1:] + 1)
    assert one.about["Levels"] == {"1": "a", "2": "b", "3": "a.very.long.name.of.a.layer"}
    figure = map_figure([one])
    assert set(np.round(drawn(figure).astype(float), 4)) <= {round(1 + (n + 0.5) / 3, 4) for n in range(3)}
    labels = [text.get_text() for text in figure.axes[-1].get_yticklabels()]
    assert labels[:2] == ["a", "b"]
    assert labels[2].startswith("…")


def test_a_map_without_values_is_refused(maps):
    maps[0].values[:] = np.nan
    with pytest.raises(MapError, match="needs voxels with a value"):
        map_figure(maps[:1])


def test_without_nilearn_volumes_are_made_and_figures_name_the_extra(maps, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(MapError, match=r"nilearn, which is not installed: pip install '\.\[maps\]'"):
        map_figure(maps)
    assert maps[0].save(tmp_path / "map.nii.gz").is_file()

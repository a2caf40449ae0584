"""Maps as pictures: axial slices with one colour scale for all subjects, drawn by nilearn."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure

from .errors import MapError
from .making import INDEX, BrainMap
from .quantities import AROUND_ZERO, DECADES, LEVELS, POSITIVE, SMALL

WIDTH = 10.0
"""Inches."""

N_CUTS = 8
"""Slices in a row."""

MOSAIC_ROWS = 2
"""Rows of slices of a subject without a T1 image: there is no anatomy to find one's way by, so that more is shown."""

SMALLEST_P = 1e-6
"""Smaller ones have its colour."""

MOST_LEVELS = 16
"""Layers that are named beside the colours; of more, some."""

_LONGEST = 17  # letters of a layer beside the colours; the ends of names differ

_LABELS, _COLOURS, _GAP = 0.95, 1.35, 0.08
"""Inches at the left for subjects, at the right for the scale, and between subjects."""

_ROW = 1.25
_MARGIN = 0.05  # of the brain's size, around it
_LIGHT, _DARK = "#fefefe", "#010101"
_BRAIN_GREY = "#d9d9d9"
_DIMMED = 1.6  # times the range of a T1 image: its brightest tissue is a grey that bright colours stand out from


@dataclass(frozen=True)
class ColourScale:
    """Colours of values, the same for all maps of a figure.

    Attributes
    ----------
    norm : matplotlib.colors.Normalize
    colours : matplotlib.colors.Colormap
        Told apart with any kind of colour vision.
    label : str
    levels : tuple of str
        Names of the values 1, 2, …
    extend : str
        Which end of the bar stands for values beyond it.
    """

    norm: Normalize
    colours: Colormap
    label: str
    levels: tuple[str, ...] = ()
    extend: str = "neither"

    @classmethod
    def of(cls, maps: Sequence[BrainMap], limits: tuple[float, float] | None = None) -> ColourScale:
        """One scale for several maps: from 0 to the largest value of all, or ``limits``; differences to both sides of 0."""
        first, values = maps[0], np.concatenate([one.values for one in maps])
        values = values[np.isfinite(values)]
        if not len(values):
            raise MapError(f"A figure needs voxels with a value; {first.value} has none in {_names(maps)}.")
        label = first.quantity.label
        if first.quantity.scale == DECADES:  # the unit depends on the benchmark
            label = f"{label} ({first.about['Units']})"
        kind = AROUND_ZERO if first.is_difference else first.quantity.scale
        if kind == LEVELS:
            n = len(first.levels)
            shades = colormaps["viridis"](np.linspace(0, 1, n)) if n > 1 else colormaps["viridis"]([0.5])
            return cls(BoundaryNorm(np.arange(n + 1) + 0.5, n), ListedColormap(shades), label, first.levels)
        low, high = limits if limits is not None else _range(kind, values)
        beyond = (values < low).any(), (values > high).any()
        extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")
        if kind == AROUND_ZERO:
            if not np.isclose(low, -high):
                end = max(abs(low), abs(high))
                raise MapError(
                    f"A difference is drawn to both sides of 0 alike, --range=-{end:g},{end:g}; got --range {low:g},{high:g}."
                )
            return cls(Normalize(low, high), colormaps["RdBu_r"], f"difference in {label}", extend=extend)
        if kind in (SMALL, DECADES):
            if not 0 < low < high:
                raise MapError(
                    f"{first.value} is drawn in powers of ten, on a scale from above 0; got --range {low:g},{high:g}."
                )
            colours = colormaps["viridis_r" if kind == SMALL else "viridis"]
            return cls(LogNorm(low, high), colours, label, extend=extend)
        return cls(Normalize(low, high), colormaps["viridis"], label, extend=extend)


def map_figure(maps: Sequence[BrainMap], limits: tuple[float, float] | None = None) -> Figure:
    """A figure of maps of one value, a subject below the other.

    Parameters
    ----------
    maps : sequence of BrainMap
        By :func:`~.making.brain_maps` or :func:`~.making.layer_maps`.
    limits : tuple of float, optional
        Ends of the colour scale; by default it holds all values.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MapError
        If nilearn is not installed, or no voxel has a value.
    """
    require_nilearn()
    caption = textwrap.wrap(map_caption(maps), 150)
    height, above, below = maps_height(maps), 0.4, 0.15 + 0.16 * len(caption)
    with mpl.rc_context({"font.size": 9, "text.parse_math": False}):
        figure = Figure(figsize=(WIDTH, height + above + below), facecolor="white")
        parts = figure.subfigures(3, 1, height_ratios=[above, height, below], hspace=0)
        parts[0].text(0.01, 0.5, map_title(maps), size=11.5, weight="bold", va="center")
        paint_maps(parts[1], maps, limits)
        parts[2].text(0.01, 0.9, "\n".join(caption), size=8, va="top", linespacing=1.4)
    return figure


def maps_height(maps: Sequence[BrainMap]) -> float:
    """Inches that :func:`paint_maps` needs."""
    return sum(_rows(one) * _ROW + _GAP for one in maps)


def map_title(maps: Sequence[BrainMap]) -> str:
    """What the maps show, in a few words."""
    about = maps[0].about
    who = f"{about['Model']} minus {about['Minus']}" if "Minus" in about else about["Model"]
    return f"{who}: {maps[0].quantity.label}"


def map_caption(maps: Sequence[BrainMap]) -> str:
    """What the maps show, of which model on which benchmarks, and how to read them."""
    about = maps[0].about
    where = list(dict.fromkeys(name for one in maps for name in one.about.get("Benchmarks", ())))
    on = f"On {', '.join(where)}." if where else f"Chosen on training images of {about['TrainingImages']}."
    layers = _layers_text(about.get("Layers", {}))
    if about.get("MinusLayers"):
        layers = f"{layers or 'none'}; of {about['Minus']}: {_layers_text(about['MinusLayers'])}"
    background = {one.space.t1w is not None for one in maps}
    over = "the subject's T1 image" if background == {True} else "the brain mask (grey)"
    if len(background) > 1:
        over = "the T1 image, or the brain mask (grey) where there is none"
    words = [
        about["Description"],
        on,
        f"Layers: {layers}." if layers else "",
        f"Axial slices in the subject's own space over {over}, z in mm, left is left; without colour: no value.",
        "One colour scale for all." if len(maps) > 1 else "",
        "Simulated data: these numbers say nothing about brains." if about["Dataset"]["simulated"] else "",
    ]
    return " ".join(filter(None, words))


def _layers_text(layers: Mapping) -> str:
    return ", ".join(f"{region}={layer}" for region, layer in layers.items())


def require_nilearn() -> None:
    """Raise MapError if figures cannot be drawn, before any work."""
    try:
        import nilearn  # noqa: F401
    except ImportError as error:
        raise MapError(
            "Figures of maps are drawn with nilearn, which is not installed: pip install '.[maps]'. Volumes (--out) need "
            "nothing more."
        ) from error


def paint_maps(canvas: Figure | SubFigure, maps: Sequence[BrainMap], limits: tuple[float, float] | None = None) -> None:
    """Fill a canvas of :data:`WIDTH` × :func:`maps_height` inches with slices and the scale of their colours."""
    scale, height = ColourScale.of(maps, limits), maps_height(maps)
    top = height
    for one in maps:
        rows = _rows(one)
        for row, cuts in enumerate(np.array_split(_cuts(one), rows)):
            top -= _ROW
            if not len(cuts):
                continue
            width = (WIDTH - _LABELS - _COLOURS) * len(cuts) / N_CUTS  # slices are as large in a row with fewer of them
            axes = canvas.add_axes((_LABELS / WIDTH, top / height, width / WIDTH, _ROW / height))
            _paint_slices(axes, one, scale, cuts, first=row == 0)
        n = int(np.isfinite(one.values).sum())
        middle = (top + rows * _ROW / 2) / height
        canvas.text(0.01, middle, f"{one.subject}\n{n:,} voxels", va="center", ha="left", size=8.5)
        top -= _GAP
    tall = min(height * 0.8, max(2.2, 0.5 * height))
    place = (1 - (_COLOURS - 0.15) / WIDTH, (height - tall) / 2 / height, 0.16 / WIDTH, tall / height)
    bar = canvas.colorbar(
        ScalarMappable(scale.norm, scale.colours),
        cax=canvas.add_axes(place),
        extend=scale.extend,
        **({"ticks": _level_ticks(len(scale.levels))} if scale.levels else {}),
    )
    if isinstance(scale.norm, LogNorm):
        bar.ax.yaxis.set_major_formatter(lambda number, _: f"{number:g}")
        bar.ax.yaxis.set_minor_formatter(lambda number, _: "")
    if scale.levels:
        names = [scale.levels[i - 1] for i in _level_ticks(len(scale.levels))]
        bar.ax.set_yticklabels([name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}" for name in names])
        bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=7)
    bar.set_label(scale.label, size=8)


def _paint_slices(axes, one: BrainMap, scale: ColourScale, cuts: Sequence[float], first: bool) -> None:
    import nibabel as nib
    from nilearn.plotting.displays import ZSlicer

    axes.axis("off")  # else it hides the slices
    slices = ZSlicer(cut_coords=[float(cut) for cut in cuts], axes=axes, black_bg=one.space.t1w is not None)
    if one.space.t1w is None:
        grey = ListedColormap([_BRAIN_GREY])
        slices.add_overlay(one.space.mask_image(), threshold=0.5, cmap=grey, vmin=0, vmax=1)
    else:
        anatomy = nib.load(one.space.t1w)
        low, high = np.nanpercentile(np.asarray(anatomy.dataobj)[::2, ::2, ::2], (1, 99.5))
        high = low + max(_DIMMED * (high - low), 1e-6)
        slices.add_overlay(anatomy, threshold=None, cmap="gray", vmin=low, vmax=high)
    has_value = np.isfinite(one.values)
    index = one.neuroids[INDEX].to_numpy()[has_value]
    # nilearn takes 0 for no value: the scale from 0 to 1 is moved to 1 to 2
    moved = 1 + _scaled(scale, one.values[has_value])
    volume = np.nan_to_num(one.space.image(index, moved).get_fdata(dtype=np.float32))
    slices.add_overlay(
        nib.Nifti1Image(volume, one.space.grid.affine),
        threshold=0.5,
        cmap=scale.colours,
        vmin=1,
        vmax=2,
        resampling_interpolation="nearest",
    )
    places = one.space.coordinates(np.arange(one.space.brain.sum()))
    ends = np.array([places.min(axis=0), places.max(axis=0)])
    (left, back, _), (right, front, _) = ends + np.diff(ends, axis=0) * [[-_MARGIN], [_MARGIN]]
    for of_cut in slices.axes.values():  # the volume is twice as wide as the brain
        of_cut.ax.set(xlim=(left, right), ylim=(back, front))
    for one_axes in (slices.frame_axes, *(of_cut.ax for of_cut in slices.axes.values())):
        for picture in one_axes.images:  # into an SVG go the voxels themselves, and no picture of them
            picture.set_interpolation("none")
    # without decimals, nilearn cuts: -9.8 would be -9
    slices.annotate(left_right=first, positions=True, size=7.5, decimals=1)
    if one.space.t1w is not None:  # letters on their own dark boxes: a page replaces black and white, and not these
        for of_cut in slices.axes.values():
            for text in of_cut.ax.texts:
                text.set(color=_LIGHT)
                if text.get_bbox_patch() is not None:
                    text.get_bbox_patch().set(facecolor=_DARK, edgecolor=_DARK)


def _scaled(scale: ColourScale, values: np.ndarray) -> np.ndarray:
    """From 0 to 1, as far along the colours."""
    if scale.levels:
        return (values - 0.5) / len(scale.levels)
    return np.asarray(scale.norm(np.clip(values, scale.norm.vmin, scale.norm.vmax)))


def _range(kind: str, values: np.ndarray) -> tuple[float, float]:
    if kind == AROUND_ZERO:
        most = float(np.abs(values).max()) or 1.0
        return -most, most
    if kind == SMALL:
        return SMALLEST_P, 1.0
    if kind == DECADES:
        low, high = float(values.min()), float(values.max())
        return (low, high) if high > low else (low / 10, high * 10)
    assert kind == POSITIVE, kind
    low, high = min(0.0, float(values.min())), float(values.max())
    return low, high if high > low else low + 1.0


def _rows(one: BrainMap) -> int:
    return 1 if one.space.t1w is not None else MOSAIC_ROWS


def _cuts(one: BrainMap) -> np.ndarray:
    """Heights of slices in millimetres, where the voxels are: planes of the grid at even steps through their ranks."""
    has_value = np.isfinite(one.values)
    heights = one.space.coordinates(one.neuroids[INDEX].to_numpy()[has_value])[:, 2]
    wanted = N_CUTS * _rows(one)
    planes = np.unique(np.round(heights, 3))
    if len(planes) <= wanted:
        return planes
    steps = np.quantile(heights, (np.arange(wanted) + 0.5) / wanted, method="nearest")
    taken = np.unique(np.round(steps, 3))
    left = np.setdiff1d(planes, taken)  # ranks fall on one plane where many voxels are: fill up between
    more = (
        left[np.linspace(0, len(left) - 1, wanted - len(taken)).round().astype(int)]
        if len(taken) < wanted
        else left[:0]
    )
    return np.unique(np.concatenate([taken, more]))


def _level_ticks(n: int) -> np.ndarray:
    return np.arange(1, n + 1) if n <= MOST_LEVELS else np.unique(np.linspace(1, n, MOST_LEVELS).round().astype(int))


def _names(maps: Sequence[BrainMap]) -> str:
    return ", ".join(one.subject for one in maps)

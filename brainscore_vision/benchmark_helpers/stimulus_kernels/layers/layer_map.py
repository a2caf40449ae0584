"""Scores of layers by region and subject, and the layer of each region that they speak for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ..files import replacing

LIMITS = ("low", "high")
VERSION = 2
"""Of the form of kept maps."""


def kept_maps(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Files of maps that are kept in a folder, with the identifier of the model; None if a file cannot be read."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield path, json.loads(path.read_text())["model"]
        except (OSError, ValueError, KeyError):
            yield path, None


@dataclass(frozen=True)
class NeuroidLayers:
    """The best layer of each neuroid of one region and subject.

    Attributes
    ----------
    region, subject : str
    layers : numpy.ndarray of int64, shape (n_neuroids,)
        Position in the map's layers of the one with the largest correlation; the earlier one on a tie.
    correlations : numpy.ndarray of float64, shape (n_neuroids,)
        Of that layer's leave-one-out predictions with the responses, over training stimuli.
    coordinates : pandas.DataFrame
        What tells the neuroids apart: their texts and whole numbers.
    """

    region: str
    subject: str
    layers: np.ndarray
    correlations: np.ndarray
    coordinates: pd.DataFrame

    def as_json(self) -> dict:
        """What JSON can hold."""
        return {
            "region": self.region,
            "subject": self.subject,
            "layers": self.layers.tolist(),
            "correlations": self.correlations.tolist(),
            "coordinates": self.coordinates.to_dict("list"),
        }

    @classmethod
    def from_json(cls, held: dict) -> NeuroidLayers:
        """Of what :meth:`as_json` gave."""
        layers, correlations = np.array(held["layers"], int), np.array(held["correlations"], float)
        return cls(held["region"], held["subject"], layers, correlations, pd.DataFrame(held["coordinates"]))


@dataclass(frozen=True)
class LayerMap:
    """How well each layer predicts each region of each subject, on training stimuli alone.

    Attributes
    ----------
    model : str
        Identifier.
    scores : xarray.DataArray of float64, (layer, region, subject)
        Ceiled scores: 1 is all that can be explained. Layers in the order in which they answer.
    intervals : xarray.DataArray of float64, (layer, region, subject, limit)
        The middle 95 % over resampled training stimuli, the fit kept.
    mean_intervals : xarray.DataArray of float64, (layer, region, limit)
        The same of the mean over subjects.
    skipped : mapping of str to str
        Layer to the reason why it has no score.
    facts : mapping of str to object
        What the scores are of: metric, training stimuli, data; ``too_large``, layers without a score for lack of disk.
    notes : tuple of str
        What a reader of the scores should know of, one sentence each.
    neuroids : tuple of NeuroidLayers
        One for each region and subject; empty where the metric compares no neuroids.
    """

    model: str
    scores: xr.DataArray
    intervals: xr.DataArray
    mean_intervals: xr.DataArray
    skipped: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    neuroids: tuple[NeuroidLayers, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.scores["layer"].values.tolist())

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(self.scores["region"].values.tolist())

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(self.scores["subject"].values.tolist())

    @property
    def mean(self) -> xr.DataArray:
        """Mean over subjects, (layer, region)."""
        return self.scores.mean("subject")

    @property
    def best(self) -> dict[str, str]:
        """Region to the layer with the largest mean over subjects; the earlier one on a tie."""
        return self._best(self.mean)

    @property
    def best_per_subject(self) -> dict[str, dict[str, str]]:
        """Subject to region to the layer with the largest score of that subject."""
        return {subject: self._best(self.scores.sel(subject=subject)) for subject in self.subjects}

    def _best(self, scores: xr.DataArray) -> dict[str, str]:
        positions = scores.argmax("layer").values
        return {region: self.layers[i] for region, i in zip(self.regions, positions, strict=True)}

    def save(self, path, per_subject: bool = False) -> Path:
        """Write the best layers as Brain-Score reads a ``region_layer_map``: a JSON object, region to layer.

        Parameters
        ----------
        path : str or pathlib.Path
            A submission keeps it as ``region_layer_map/<identifier>.json`` in the model's folder.
        per_subject : bool
            Subject to region to layer instead, for analyses of one's own; Brain-Score has no place for it.

        Returns
        -------
        pathlib.Path
        """
        path = Path(path).expanduser()
        with replacing(path) as scratch:
            scratch.write_text(json.dumps(self.best_per_subject if per_subject else self.best, indent=4) + "\n")
        return path

    def as_json(self) -> dict:
        """What JSON can hold, every bit of it."""
        return {
            "version": VERSION,
            "model": self.model,
            "layers": list(self.layers),
            "regions": list(self.regions),
            "subjects": list(self.subjects),
            "scores": self.scores.values.tolist(),
            "intervals": self.intervals.values.tolist(),
            "mean_intervals": self.mean_intervals.values.tolist(),
            "best": self.best,
            "best_per_subject": self.best_per_subject,
            "skipped": dict(self.skipped),
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "neuroids": [one.as_json() for one in self.neuroids],
        }

    @classmethod
    def from_json(cls, held: dict) -> LayerMap:
        """Of what :meth:`as_json` gave."""
        arrays = (np.array(held[name], dtype=float) for name in ("scores", "intervals", "mean_intervals"))
        return cls.of_arrays(
            held["model"],
            (held["layers"], held["regions"], held["subjects"]),
            *arrays,
            skipped=held["skipped"],
            facts=held["facts"],
            notes=tuple(held["notes"]),
            neuroids=tuple(map(NeuroidLayers.from_json, held.get("neuroids", ()))),  # version 1 has none
        )

    @classmethod
    def of_arrays(cls, model: str, names, scores, intervals, mean_intervals, **others) -> LayerMap:
        """From plain arrays; ``names`` are those of layers, regions and subjects, in the order of the axes."""
        coords = dict(zip(("layer", "region", "subject"), map(list, names), strict=True))
        limits = {"limit": list(LIMITS)}
        of_mean = {name: coords[name] for name in ("layer", "region")}
        return cls(
            model=model,
            scores=xr.DataArray(scores, coords, name="score"),
            intervals=xr.DataArray(intervals, coords | limits, name="interval"),
            mean_intervals=xr.DataArray(mean_intervals, of_mean | limits, name="interval"),
            **others,
        )

    def figure(self):
        """Score over depth, one line per region with its interval, the best layer of each marked.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(max(5.0, 2.0 + 0.32 * len(self.layers)), 4.2), layout="constrained")
        axes, depth, mean = figure.subplots(), np.arange(len(self.layers)), self.mean
        for i, region in enumerate(self.regions):
            color, values = f"C{i}", mean.sel(region=region).values
            low, high = (self.mean_intervals.sel(region=region, limit=limit).values for limit in LIMITS)
            axes.fill_between(depth, low, high, color=color, alpha=0.15, linewidth=0)
            axes.plot(depth, values, color=color, label=region)
            best = int(np.argmax(values))
            axes.plot(best, values[best], "o", color=color, markersize=8, markeredgecolor="black")
            # as many lines as regions may end at one height: labels stand at the best layers, one above the other
            axes.annotate(region, (best, values[best]), (0, 7 + 9 * (i % 2)), textcoords="offset points", ha="center")
        axes.set_xticks(depth, self.layers, rotation=90)
        axes.set_xlabel("layer, in the order of execution")
        axes.set_ylabel(f"{self.facts.get('score', 'score')}\n(training stimuli)")
        simulated = (
            "\nsimulated data: says nothing about brains" if self.facts.get("dataset", {}).get("simulated") else ""
        )
        axes.set_title(f"{self.model} (dots: best layers){simulated}")
        axes.legend(
            title="region", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0)
        )  # beside the lines, not on them
        axes.spines[["top", "right"]].set_visible(False)
        return figure

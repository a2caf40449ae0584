"""What a reader of a model's row should know: its numbers may differ in more than the benchmark that names their column."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..identifiers import IdentifierError, parse
from ..networks.network import AUTO
from .result import Result, Summary, layers_text

MOST_NAMES = 3
"""Benchmarks of a layer that a sentence names."""

UNKNOWN = "unknown"


@dataclass(frozen=True)
class RowLayers:
    """The layers of one model in one region.

    Attributes
    ----------
    model, region : str
        The region is the benchmarks'; for benchmarks that the grammar of identifiers does not know, the model's.
    benchmarks : dict of str to list of str
        Layer, or several that are one choice, to the benchmarks that it was scored on; "unknown" in files of early versions.
    is_auto : bool
        Whether every one of them was chosen by its scores on training images.
    """

    model: str
    region: str
    benchmarks: dict[str, list[str]]
    is_auto: bool

    @property
    def known(self) -> list[str]:
        return [layer for layer in self.benchmarks if layer != UNKNOWN]

    @property
    def are_several(self) -> bool:
        return len(self.known) > 1

    def __str__(self) -> str:
        """One layer, or several with what each was for."""
        if not self.are_several:
            return "".join(self.known)
        return ", ".join(f"{layer} ({_some(names)})" for layer, names in self.benchmarks.items())

    @property
    def note(self) -> str:
        why = "Score them again with one --layers."
        if self.is_auto:
            why = "Each was chosen by --layers auto, on training images"
            tested = any(map(_tests_on_training_images, (name for own in self.benchmarks.values() for name in own)))
            why += "." if tested else " that the benchmark, or the fold, does not test on."
        return f"Scores of {self.region} are of several layers: {self}. Means and differences of them compare layers too. {why}"


@dataclass(frozen=True)
class RowNote:
    """A sentence about some numbers of one model.

    Attributes
    ----------
    model : str
    benchmarks : tuple of str
        Those whose numbers it is about.
    text : str
    """

    model: str
    benchmarks: tuple[str, ...]
    text: str


def row_layers(results: Iterable[Result | Summary]) -> list[RowLayers]:
    """The layers of each model, dataset and region, in the order of the results."""
    names: dict[tuple, dict[str, list[str]]] = defaultdict(dict)
    choices: dict[tuple, set[str | None]] = defaultdict(set)
    for result in results:
        region = _region(result.benchmark)
        for recorded, layers in (result.layers or {"": UNKNOWN}).items():
            # the mean over folds with layers of their own records one region under several names
            key = result.model, result.dataset_fingerprint, region or recorded
            names[key].setdefault(layers_text({recorded: layers}), []).append(result.benchmark)
            choices[key].add(result.layer_choice)
    return [
        RowLayers(key[0], key[2], {layer: sorted(own[layer]) for layer in sorted(own)}, choices[key] == {AUTO})
        for key, own in names.items()
    ]


def row_notes(results: Iterable[Result | Summary]) -> list[RowNote]:
    """What differs within rows of results on one dataset: layers of one region, field of view, stimuli, versions."""
    results = list(results)
    notes = [
        RowNote(one.model, tuple(dict.fromkeys(name for own in one.benchmarks.values() for name in own)), one.note)
        for one in row_layers(results)
        if one.are_several
    ]
    notes += _chosen_on_test_images(results)
    notes += _fields_of_view(results)
    newest: dict[str, int] = {}
    left_out: dict[tuple[str, int], list[str]] = defaultdict(list)
    for result in results:
        newest[result.benchmark] = max(result.benchmark_version, newest.get(result.benchmark, 0))
        if result.n_dropped_stimuli:
            left_out[result.model, result.n_dropped_stimuli].append(result.benchmark)
    for (model, number), names in left_out.items():
        stimuli = "1 stimulus was" if number == 1 else f"{number} stimuli were"
        text = f"{stimuli} left out, for lack of features: other models may have been scored on more."
        notes.append(RowNote(model, tuple(names), text))
    for result in results:
        version = newest[result.benchmark]
        if result.benchmark_version < version:
            text = f"{result.benchmark} is version {result.benchmark_version} here, and {version} elsewhere. Score it again."
            notes.append(RowNote(result.model, (result.benchmark,), text))
    return notes


def _chosen_on_test_images(results: list[Result | Summary]) -> Iterator[RowNote]:
    found: dict[str, list[str]] = defaultdict(list)
    for result in results:
        if result.layer_choice == AUTO and _tests_on_training_images(result.benchmark):
            found[result.model].append(result.benchmark)
    for model, names in found.items():
        text = f"--layers auto chose on images that {_some(names)} {'tests' if len(names) == 1 else 'test'} on as well."
        yield RowNote(model, tuple(names), text)


@functools.cache
def _tests_on_training_images(benchmark: str) -> bool:
    """Whether a benchmark fits nothing, and tests on the images that layers are chosen on."""
    try:
        return parse(benchmark).split is None
    except IdentifierError:  # of another dataset
        return False


def _fields_of_view(results: list[Result | Summary]) -> Iterator[RowNote]:
    found: dict[str, dict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if result.visual_degrees is not None:
            found[result.model][result.visual_degrees].append(result.benchmark)
    for model, own in found.items():
        if len(own) > 1:
            several = ", ".join(f"{degrees:g} ({_some(sorted(own[degrees]))})" for degrees in sorted(own))
            text = f"Scores are of several fields of view, in degrees: {several}. Score them again with one visual_degrees."
            yield RowNote(model, tuple(name for names in own.values() for name in names), text)


@functools.cache
def _region(benchmark: str) -> str | None:
    try:
        return parse(benchmark).region
    except IdentifierError:
        return None


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")

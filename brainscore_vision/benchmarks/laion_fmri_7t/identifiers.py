"""The grammar of benchmark identifiers, and the settings that an identifier stands for.

``{family}.{region}-{split}-{metric}``, or ``{family}.{region}-{metric}`` for metrics without a split. Settings that differ
from the defaults follow in brackets, ``LAION_fMRI.V1-tau-ridgecv[subjects=sub-01+sub-03,threshold=20]``: two benchmarks
whose numbers can differ never share an identifier, and every identifier can be built again from its text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    DEFAULT_ALPHAS,
    NORMALIZATIONS,
    RELATIVE,
    RELATIVE_ALPHAS,
    SIMILARITY_NORMALIZATIONS,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once
from brainscore_vision.data.laion_fmri_7t.constants import (
    CATEGORIES,
    FOLD_FAMILIES,
    OOD_TYPES,
    REGION_UNIONS,
    REGIONS,
    ROIS,
    SPLIT_FILES,
    SUBJECTS,
)

FAMILIES = {"LAION_fMRI": "shared", "LAION_fMRI_persubject": "persubject"}
BUNDLED_FAMILIES = {"Zerbe2026_fmri": "LAION_fMRI", "Zerbe2026_fmri_persubject": "LAION_fMRI_persubject"}
"""Family of the plugin that brainscore-vision bundles -> the same images' family here."""

POOLS = tuple(FAMILIES.values())
SPLITS = (*SPLIT_FILES[:2], *(f"ood_{kind}" for kind in OOD_TYPES), *FOLD_FAMILIES, *SPLIT_FILES[2:])
SPLIT_METRICS = ("ridgecv", "ridge")
SHARED_METRICS = ("rdm-pearson", "cka")
"""Metrics without a split: they use the shared non-OOD images, which all subjects saw."""

METRIC_ALPHAS = {"ridgecv": DEFAULT_ALPHAS, "ridge": (1.0,)}
STORED_REGIONS = (*REGIONS, *REGION_UNIONS)
"""Regions that every assembly has."""

ALL_REGIONS = (*STORED_REGIONS, *CATEGORIES, *ROIS)
"""These, and the categories and regions of interest that assemblies built with ``--regions`` have."""

_EARLY = {"V1": ("V1v", "V1d", "laionEVC"), "V2": ("V2v", "V2d", "V3v", "V3d")}
_MIDDLE = ("hV4", "V3A", "V3B", "LO1", "LO2", "TO1", "TO2", "MT", "MST", "motion", "retinotopy")
MODEL_REGIONS = {
    **{region: region for region in REGIONS},
    "IT_full": "IT",
    **dict.fromkeys((*CATEGORIES, *ROIS), "IT"),
    **dict.fromkeys(_MIDDLE, "V4"),
    **{region: recorded for recorded, regions in _EARLY.items() for region in regions},
}
"""Region -> the one that models record for it (METHODS, "Regions of interest")."""

DEFAULT_THRESHOLD = 30.0
"""Percent; voxels with nc_12rep above it are scored."""

_OPTION_NAMES = {"subjects", "threshold", "normalization", "alphas", "record", "dataset"}


class IdentifierError(ValueError):
    """A benchmark identifier, or a setting of a benchmark, outside the grammar."""


@dataclass(frozen=True)
class Cell:
    """One benchmark's settings.

    Attributes
    ----------
    region : str
        One of :data:`ALL_REGIONS`.
    split : str or None
        One of :data:`SPLITS`; None for metrics without a split.
    metric : str
        ridgecv, ridge, rdm-pearson or cka.
    pool : str
        "shared" or "persubject".
    subjects : tuple of str
    normalization : str
        See :mod:`brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings`.
    noise_ceiling_threshold : float
        Percent.
    alphas : tuple of float, "relative" or None
        Ridge penalties; None for the metric's own. "relative" counts mean eigenvalues of the centred training kernel, see
        :class:`brainscore_vision.benchmark_helpers.stimulus_kernels.RidgeMetric`.
    record : str or None
        The region that models record; None for that of :data:`MODEL_REGIONS`.
    dataset : str or None
        What :func:`brainscore_vision.data.laion_fmri_7t.source.open_dataset` takes; None for the configured one.
    """

    region: str
    split: str | None
    metric: str
    pool: str = "shared"
    subjects: tuple[str, ...] = SUBJECTS
    normalization: str = "published"
    noise_ceiling_threshold: float = DEFAULT_THRESHOLD
    alphas: tuple[float, ...] | str | None = None
    record: str | None = None
    dataset: str | None = None

    def __post_init__(self):
        _check(self.region in ALL_REGIONS, "region", self.region, ALL_REGIONS)
        _check(self.metric in SPLIT_METRICS + SHARED_METRICS, "metric", self.metric, SPLIT_METRICS + SHARED_METRICS)
        _check(self.pool in POOLS, "pool", self.pool, POOLS)
        normalizations = NORMALIZATIONS if self.metric in SPLIT_METRICS else SIMILARITY_NORMALIZATIONS
        _check(self.normalization in normalizations, "normalization", self.normalization, normalizations)
        object.__setattr__(self, "subjects", _subjects(self.subjects))
        if self.metric in SPLIT_METRICS:
            _check(self.split in SPLITS, "split", self.split, SPLITS)
        elif self.split is not None:
            raise IdentifierError(f"{self.metric} has no split; received split={self.split!r}. Leave it out.")
        if self.metric in SHARED_METRICS:
            self._check_shared_metric()
        object.__setattr__(self, "alphas", self._own_alphas())
        (threshold,) = _numbers((self.noise_ceiling_threshold,)) or (float("nan"),)
        if not 0 <= threshold < 100:
            raise IdentifierError(
                f"noise_ceiling_threshold is in percent, from 0 to below 100; received {self.noise_ceiling_threshold!r}."
            )
        if 0 < threshold < 1:
            warn_once(
                f"noise_ceiling_threshold is in percent: {threshold:g} lets in nearly every voxel. If a fraction was meant, "
                f"write {100 * threshold:g} (threshold={100 * threshold:g} in an identifier)."
            )
        object.__setattr__(self, "noise_ceiling_threshold", threshold)
        if self.record is not None and not (isinstance(self.record, str) and re.fullmatch(r"\w+", self.record)):
            raise IdentifierError(
                f"record is a region that the model has a layer for, such as V4 or IT; received {self.record!r}."
            )
        if self.record == MODEL_REGIONS[self.region]:
            object.__setattr__(self, "record", None)
        if self.dataset == "":
            raise IdentifierError(
                "dataset is 'simulated', 'published' or a folder; received an empty one. Leave it out."
            )

    def _check_shared_metric(self) -> None:
        if self.pool != "shared":
            raise IdentifierError(
                f"{self.metric} compares subjects on the same images and exists for the shared pool only; received the "
                f"per-subject pool. Use {_text(replace(self, pool='shared', dataset=None))!r}."
            )
        if self.metric == "cka" and len(self.subjects) < 2:
            raise IdentifierError(
                f"The ceiling of cka is the agreement between subjects and needs at least two; received {self.subjects}."
            )

    def _own_alphas(self) -> tuple[float, ...] | str | None:
        if self.metric in SHARED_METRICS:
            if self.alphas is not None:
                raise IdentifierError(f"{self.metric} has no alphas; received {self.alphas!r}. Leave them out.")
            return None
        relative = isinstance(self.alphas, str) and self.alphas == RELATIVE  # other values may be an array
        if relative:
            alphas = RELATIVE_ALPHAS
        else:
            alphas = METRIC_ALPHAS[self.metric] if self.alphas is None else tuple(sorted(set(_numbers(self.alphas))))
        if not alphas or not all(0 < a < float("inf") for a in alphas):
            raise IdentifierError(
                f"alphas are positive numbers, at least one, or {RELATIVE!r}; received {self.alphas!r}."
            )
        if self.metric == "ridge" and len(alphas) != 1:
            raise IdentifierError(
                f"ridge has one alpha; received {len(alphas)}. Use the metric ridgecv, which chooses among several."
            )
        return RELATIVE if relative else alphas

    @property
    def grid(self) -> tuple[float, ...]:
        """The numbers between which ridge chooses its penalty; none for other metrics."""
        return RELATIVE_ALPHAS if self.alphas == RELATIVE else self.alphas or ()

    @property
    def model_region(self) -> str:
        """The region that models record."""
        return MODEL_REGIONS[self.region] if self.record is None else self.record

    @property
    def identifier(self) -> str:
        """The benchmark's name."""
        return _text(self)


def parse(identifier: str, **options) -> Cell:
    """Settings of a benchmark from its identifier.

    Parameters
    ----------
    identifier : str
    **options
        Attributes of :class:`Cell` to set besides, e.g. ``subjects``.

    Raises
    ------
    IdentifierError
        Outside the grammar; the message names the nearest valid identifier. Or an option that contradicts the identifier.
    """
    head, bracket, tail = identifier.partition("[")
    match = re.fullmatch(r"(?P<family>\w+)\.(?P<region>[A-Za-z0-9]+(?:_full)?)-(?P<rest>.+)", head)
    if match and match["family"] in FAMILIES and (not bracket or tail.endswith("]")):
        split, metric = _split_and_metric(match["rest"])
        if metric is not None and match["region"] in ALL_REGIONS and (split in SPLITS or metric in SHARED_METRICS):
            said = {"region": match["region"], "split": split, "metric": metric, "pool": FAMILIES[match["family"]]}
            if bracket:
                said.update(_parse_options(tail[:-1]))
            return _with_options(Cell(**said), said, options)
    family, dot, rest = head.rpartition(".")
    region = rest.partition("-")[0]
    meant = family in FAMILIES if dot else not region.casefold().startswith("laion")
    unknown = region and meant and region.casefold() not in {known.casefold() for known in ALL_REGIONS}
    regions = f"{region} is none of the regions {', '.join(ALL_REGIONS)}. " if unknown else ""
    if family in BUNDLED_FAMILIES:
        raise IdentifierError(
            f"{family} is the family's name in the plugin that brainscore-vision bundles; here it is "
            f"{BUNDLED_FAMILIES[family]}. For {identifier!r}, take {renamed(identifier)!r}."
        )
    raise IdentifierError(
        f"A benchmark is named family.region-split-metric (families {', '.join(FAMILIES)}; `laion-score list --all` shows "
        f"all of them); received {identifier!r}. {regions}The nearest valid one is {_nearest(head)!r}."
    )


def renamed(name: str) -> str:
    """An identifier, or a pattern of some, with the family's name here in place of the bundled plugin's."""
    family, dot, rest = name.partition(".")
    return f"{BUNDLED_FAMILIES.get(family, family)}{dot}{rest}"


def _with_options(cell: Cell, said: dict, options: dict) -> Cell:
    """Add options to a cell. An option may repeat a setting of the identifier, but must not contradict it."""
    options = {name: value for name, value in options.items() if value is not None}  # None: not given
    changed = replace(cell, **options)
    for name in options.keys() & said.keys():
        if getattr(changed, name) != getattr(cell, name):
            raise IdentifierError(
                f"A setting has one value; {cell.identifier!r} stands for {name}={getattr(cell, name)!r}, but received the "
                f"option {name}={options[name]!r} besides. Give it in one place."
            )
    return changed


def all_identifiers(regions: Sequence[str] = ALL_REGIONS) -> list[str]:
    """Every identifier of the grammar with default settings, of all regions or of some."""
    names = []
    for family, pool in FAMILIES.items():
        for region in regions:
            names += [f"{family}.{region}-{split}-{metric}" for split in SPLITS for metric in SPLIT_METRICS]
            if pool == "shared":
                names += [f"{family}.{region}-{metric}" for metric in SHARED_METRICS]
    return names


def _text(cell: Cell) -> str:
    family = next(name for name, pool in FAMILIES.items() if pool == cell.pool)
    middle = "" if cell.split is None else f"{cell.split}-"
    settings = []
    if cell.subjects != SUBJECTS:
        settings.append(f"subjects={'+'.join(cell.subjects)}")
    if cell.noise_ceiling_threshold != DEFAULT_THRESHOLD:
        settings.append(f"threshold={cell.noise_ceiling_threshold!r}".removesuffix(".0"))
    if cell.normalization != "published":
        settings.append(f"normalization={cell.normalization}")
    if cell.metric in METRIC_ALPHAS and cell.alphas not in (None, METRIC_ALPHAS[cell.metric]):
        alphas = cell.alphas if cell.alphas == RELATIVE else ";".join(repr(a) for a in cell.alphas)
        settings.append(f"alphas={alphas}")
    if cell.record is not None:
        settings.append(f"record={cell.record}")
    if cell.dataset is not None:
        settings.append(f"dataset={cell.dataset}")
    return f"{family}.{cell.region}-{middle}{cell.metric}" + (f"[{','.join(settings)}]" if settings else "")


def _split_and_metric(rest: str) -> tuple[str | None, str | None]:
    for metric in SHARED_METRICS:
        if rest == metric:
            return None, metric
    for metric in SPLIT_METRICS:
        if rest.endswith(f"-{metric}"):
            return rest[: -len(metric) - 1], metric
    return None, None


def _parse_options(text: str) -> dict:
    settings: dict = {}
    while text:
        name, _, rest = text.partition("=")
        if name not in _OPTION_NAMES:
            raise IdentifierError(
                f"Settings of an identifier are {', '.join(sorted(_OPTION_NAMES))}; received {name!r} in [{text}]."
            )
        if name in settings:
            raise IdentifierError(
                f"A setting of an identifier stands in it once; {name} is repeated. Keep one of them."
            )
        # the dataset comes last and may hold any character
        value, text = (rest, "") if name == "dataset" else rest.partition(",")[::2]
        settings[name] = value
    parsed = {}
    try:
        if "subjects" in settings:
            parsed["subjects"] = tuple(settings["subjects"].split("+"))
        if "threshold" in settings:
            parsed["noise_ceiling_threshold"] = float(settings["threshold"])
        if "alphas" in settings:
            alphas = settings["alphas"]
            parsed["alphas"] = alphas if alphas == RELATIVE else tuple(float(a) for a in alphas.split(";"))
    except ValueError as error:
        raise IdentifierError(f"A number is needed in the settings {settings}: {error}.") from error
    parsed.update({name: settings[name] for name in ("normalization", "record", "dataset") if name in settings})
    return parsed


def _subjects(subjects) -> tuple[str, ...]:
    subjects = tuple(subjects) if isinstance(subjects, Iterable) and not isinstance(subjects, str) else (subjects,)
    subjects = tuple(subject.strip() if isinstance(subject, str) else subject for subject in subjects)
    unknown = [s for s in subjects if s not in SUBJECTS]
    if unknown or not subjects or len(set(subjects)) != len(subjects):
        raise IdentifierError(
            f"subjects are some of {', '.join(SUBJECTS)}, each once; received {', '.join(map(str, subjects)) or 'none'}."
        )
    return tuple(sorted(subjects))


@lru_cache(maxsize=128)
def _nearest(name: str) -> str:
    """The valid identifier that someone who typed ``name`` most likely meant; upper and lower case are not told apart."""
    names = {valid.casefold(): valid for valid in all_identifiers()}
    typed = name.casefold()
    continued = [valid for valid in names if typed and valid.startswith(typed)]
    likely = continued or [valid for valid in names if typed and typed in valid]
    usual_first = min(likely, key=lambda valid: (not valid.endswith("-ridgecv"), len(valid)), default=None)
    return names[usual_first if likely else difflib.get_close_matches(typed, names, n=1, cutoff=0.0)[0]]


def _numbers(values) -> tuple[float, ...]:
    """Floats; empty if one of the values is none."""
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return ()


def _check(valid: bool, name: str, value, choices) -> None:
    if not valid:
        folded = {choice.casefold(): choice for choice in reversed(choices)}
        nearest = folded[difflib.get_close_matches(str(value).casefold(), folded, n=1, cutoff=0.0)[0]]
        raise IdentifierError(f"{name} is one of {', '.join(choices)}; received {value!r}. The nearest is {nearest!r}.")

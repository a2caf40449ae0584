"""Which stimuli are examples of one another: families, as their ids tell them.

Twelve round blobs are one idea shown twelve times, not twelve independent images. Who asks what other images would give
resamples families.
"""

import re
from collections.abc import Sequence

from . import ids

_SERIES = {
    "shape": r"(?P<family>blob_round|blob_spiky|color_complex_shapes|color_simple_shapes|deeprecon_[a-zA-Z]+?)(?=[-_\d]).*",
    "gabor": r"(?P<family>gabor)-\d+.*",
    "illusion-classic": r"(?P<family>classic-illusion-\d+)-.*",
    "relations": r"(?P<family>.+)[-_]\d+",
    "unusual": r"(?P<family>reallife-glitch)(?:-\d+.*)?",
}
"""Type of out-of-distribution images -> the names of those that come in series, as regular expressions.

A series is one drawing program's (shape, gabor), one illusion with its controls (illusion-classic), one scene photographed
several times (relations) or one source's numbered pictures (unusual). Of the other types, no name says that images belong
together."""

_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _SERIES.items()}
_LAION = re.compile(r"(?:initial_|fillup_|new_)?(?P<family>cluster_\d+)(?:_sorted-out)?_i\d+")
_THINGS = re.compile(r"(?:kmeans_\d+_)?(?P<family>.+)")


def family(stimulus_id: str) -> str:
    """The family of a stimulus; its id where the id tells of none.

    LAION images are together by their cluster, THINGS and THINGS+ images by their concept, out-of-distribution images by their
    series.

    Raises
    ------
    DatasetError
        Not a stimulus id.
    """
    parsed = ids.parse(stimulus_id)
    if parsed.dataset == "OOD":
        source, pattern = f"OOD {parsed.ood_type}", _PATTERNS.get(parsed.ood_type)
    else:
        source = parsed.dataset.rstrip("+")
        pattern = {"LAION": _LAION, "THINGS": _THINGS}.get(source)
    match = pattern.fullmatch(parsed.name) if pattern is not None else None
    return stimulus_id if match is None else f"{source} {match['family']}"


def families(stimulus_ids: Sequence[str]) -> tuple[str, ...]:
    """The family of each stimulus, in their order; raises as :func:`family`."""
    return tuple(map(family, stimulus_ids))

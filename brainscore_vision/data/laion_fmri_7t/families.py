"""Which stimuli are examples of one another: families, as their ids tell them.

Twelve round blobs are one idea shown twelve times, not twelve independent images. Who asks what other images would give
resamples families.
"""

import re
from collections.abc import Sequence

import numpy as np
import scipy  # its parts are loaded at their first use: lists of results need not wait 0.1 s for scipy.cluster
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from . import ids
from .errors import DatasetError

SIMILAR = 0.7
"""Correlation of features from which on stimuli are one family, where features are asked."""

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


def families(
    stimulus_ids: Sequence[str], features: np.ndarray | None = None, threshold: float = SIMILAR
) -> tuple[str, ...]:
    """The family of each stimulus, in their order.

    Parameters
    ----------
    stimulus_ids : sequence of str
    features : numpy.ndarray, shape (n, features), optional
        Of the stimuli in their order, such as the released CLIP embeddings: stimuli that are alike in them are a family too.
        Benchmarks use ids alone, so that an interval does not depend on which files lie beside the data.
    threshold : float
        Correlation of features about their mean over the stimuli, averaged over the pairs of two families, from which on the
        two are one. The chance of a score is shared by two stimuli to about the square of it: at 0.7, by half.

    Returns
    -------
    tuple of str
        Named by the first stimulus's family by id.

    Raises
    ------
    DatasetError
        As :func:`family`; or features of another number of stimuli, or that do not vary.
    """
    named = list(map(family, stimulus_ids))
    if features is None or len(named) < 2:
        return tuple(named)
    centred = np.asarray(features, dtype=float) - np.mean(features, axis=0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    if len(centred) != len(named) or not (norms > 0).all():
        raise DatasetError(
            f"Similarity needs features of each stimulus, which differ from their mean; received {len(centred)} rows for "
            f"{len(named)} stimuli, {int((norms == 0).sum())} of them like the mean."
        )
    centred /= norms
    distances = scipy.spatial.distance.squareform(np.clip(1 - centred @ centred.T, 0, 2), checks=False)
    hierarchy = scipy.cluster.hierarchy
    alike = hierarchy.fcluster(hierarchy.linkage(distances, "average"), 1 - threshold, "distance")
    # stimuli of one name or one cluster are connected, and so are those that a third one connects
    _, number = np.unique(named, return_inverse=True)
    links = coo_array((np.ones(len(named)), (number, number.max() + alike)), shape=(2 * len(named) + 1,) * 2)
    _, component = connected_components(links, directed=False)
    first: dict = {}
    return tuple(first.setdefault(component[i], name) for i, name in zip(number, named, strict=True))

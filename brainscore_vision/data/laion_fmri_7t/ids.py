"""The grammar of LAION-fMRI's stimulus ids, and the families of stimuli that they tell.

An id is the image's file name in the release. It says who saw the image, how often, and where the image comes from.
Names are free text: blanks, plus signs and inner dots occur in the release.

Stimuli of a family are examples of one another: twelve round blobs are one idea shown twelve times, not twelve independent
images. Who asks what other images would give resamples families.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy  # its parts are loaded at their first use: lists of results need not wait 0.1 s for scipy.cluster
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .constants import OOD_TYPES, PARTICIPANT_CODES
from .errors import DatasetError, SchemaError

SUBJECT_OF_PARTICIPANT = {code: subject for subject, code in PARTICIPANT_CODES.items()}
"""``pNN`` of a unique image's id -> subject; the code is not the subject's number."""

_UNIQUE_REPETITIONS = 4  # planned; ids of unique images do not state it

# A name is a file's name: anything but a path separator or a line break.
FORMS = {
    "shared_12rep_LAION_cluster_<n>[_sorted-out]_i<k>.jpg": (
        r"shared_(?P<reps>12)rep_(?P<dataset>LAION)_(?P<name>cluster_\d+(?:_sorted-out)?_i\d+)\.jpg"
    ),
    "shared_12rep_THINGS+_kmeans_<n>_<concept>.jpg": (
        r"shared_(?P<reps>12)rep_(?P<dataset>THINGS\+)_(?P<name>kmeans_\d+_[^/\\\r\n]+)\.jpg"
    ),
    "shared_4rep_NSD_special{1000,100}_<n>.jpg": (
        r"shared_(?P<reps>4)rep_(?P<dataset>NSD)_(?P<name>special(?:1000|100)_\d+)\.jpg"
    ),
    "shared_4rep_OOD_<type>_<rest>.{jpg,png}": (
        r"shared_(?P<reps>4)rep_(?P<dataset>OOD)_(?P<ood_type>[a-zA-Z0-9-]+)_(?P<name>[^/\\\r\n]+)\.(?:jpg|png)"
    ),
    "unique_LAION_{initial,fillup,new}_cluster_<n>_i<k>_pNN.jpg": (
        r"unique_(?P<dataset>LAION)_(?P<name>(?:initial|fillup|new)_cluster_\d+_i\d+)_(?P<participant>p\d\d)\.jpg"
    ),
    "unique_THINGS[+]_<concept>_pNN.jpg": (
        r"unique_(?P<dataset>THINGS\+?)_(?P<name>[^/\\\r\n]+)_(?P<participant>p\d\d)\.jpg"
    ),
}
"""Each form of an id, as people read it -> as a regular expression.

Shared images were seen by all subjects, 12 or 4 times each; unique images by one subject, 4 times. OOD is out of
distribution."""

_PATTERNS = tuple(map(re.compile, FORMS.values()))

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

_SERIES_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _SERIES.items()}
_LAION = re.compile(r"(?:initial_|fillup_|new_)?(?P<family>cluster_\d+)(?:_sorted-out)?_i\d+")
_THINGS = re.compile(r"(?:kmeans_\d+_)?(?P<family>.+)")


@dataclass(frozen=True)
class StimulusId:
    """What a stimulus id says.

    Attributes
    ----------
    text : str
        The id itself, which is the image's file name, extension included.
    shared : bool
        Whether all subjects saw the image.
    repetitions : int
        Planned number of presentations per subject, 12 or 4; a few images lost one in the scanner.
    dataset : str
        Source of the image: "LAION", "THINGS+", "THINGS", "NSD" or "OOD".
    name : str
        What is left of the file name, for example "cluster_12_i3" or a concept.
    ood_type : str or None
        One of `constants.OOD_TYPES` for out-of-distribution images.
    participant : str or None
        Code ("p01" ...) of the one who saw a unique image.
    subject : str or None
        Subject ("sub-01" ...) who saw a unique image.
    """

    text: str
    shared: bool
    repetitions: int
    dataset: str
    name: str
    ood_type: str | None = None
    participant: str | None = None
    subject: str | None = None


def is_id(text: str) -> bool:
    """Whether a stimulus' name has the form of this dataset's: those of other datasets' benchmarks have others."""
    return any(pattern.fullmatch(text) for pattern in _PATTERNS)


def parse(stimulus_id: str) -> StimulusId:
    """Read a stimulus id.

    Parameters
    ----------
    stimulus_id : str

    Returns
    -------
    StimulusId

    Raises
    ------
    DatasetError
        If the id has none of the `FORMS`, or names an unknown out-of-distribution type or participant.
    """
    if not isinstance(stimulus_id, str):
        raise DatasetError(
            f"A stimulus id is a string, the image's file name; got {stimulus_id!r} ({type(stimulus_id).__name__})."
        )
    match = next(filter(None, (pattern.fullmatch(str(stimulus_id)) for pattern in _PATTERNS)), None)
    if match is None:
        raise DatasetError(
            f"A stimulus id is an image's file name of the form {', '.join(list(FORMS)[:-1])} or {list(FORMS)[-1]}; got "
            f"{stimulus_id!r}. Pass the name with its extension and without a folder."
        )
    found = match.groupdict()
    ood, participant = found.get("ood_type"), found.get("participant")
    if ood is not None and ood not in OOD_TYPES:
        raise DatasetError(
            f"The type of an out-of-distribution image is one of {', '.join(OOD_TYPES)}; got {ood!r} in "
            f"{stimulus_id!r}. Correct the id."
        )
    if participant is not None and participant not in SUBJECT_OF_PARTICIPANT:
        raise DatasetError(
            f"A unique image's id ends in one of {', '.join(sorted(SUBJECT_OF_PARTICIPANT))}; got {participant!r} in "
            f"{stimulus_id!r}. Correct the id."
        )
    return StimulusId(
        text=str(stimulus_id),
        shared=participant is None,
        repetitions=int(found.get("reps") or _UNIQUE_REPETITIONS),
        dataset=found["dataset"],
        name=found["name"],
        ood_type=ood,
        participant=participant,
        subject=SUBJECT_OF_PARTICIPANT.get(participant),
    )


def parse_all(stimulus_ids: Iterable[str], where: str | Path) -> dict[str, StimulusId]:
    """Read the stimulus ids of a file, ``where``, which an error names.

    Raises
    ------
    SchemaError
        If :func:`parse` refuses one of them.
    """
    try:
        return {stimulus_id: parse(stimulus_id) for stimulus_id in dict.fromkeys(stimulus_ids)}
    except DatasetError as error:
        raise SchemaError(f"{where}: {error}") from error


def ood_type(stimulus_id: str) -> str | None:
    """Type of an out-of-distribution image (one of `constants.OOD_TYPES`), None for every other image; errors as `parse`."""
    return parse(stimulus_id).ood_type


def is_ood(stimulus_id: str) -> bool:
    """Whether the image is out of distribution; errors as `parse`."""
    return ood_type(stimulus_id) is not None


def family(stimulus_id: str) -> str:
    """The family of a stimulus; its id where the id tells of none.

    LAION images are together by their cluster, THINGS and THINGS+ images by their concept, out-of-distribution images by their
    series.

    Raises
    ------
    DatasetError
        Not a stimulus id.
    """
    parsed = parse(stimulus_id)
    if parsed.dataset == "OOD":
        source, pattern = f"OOD {parsed.ood_type}", _SERIES_PATTERNS.get(parsed.ood_type)
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
    from brainscore_vision.benchmark_helpers.stimulus_kernels.named_rows import (
        HOW_TO_SAY,
        misnamed_rows,
        row_indexes,
        rows_of_a_table_apart,
    )

    if rows_of_a_table_apart(features, stimulus_ids):
        raise DatasetError(
            f"Rows of features are those of the stimuli, in their order; the indexes of both are the same in another order. "
            f"{HOW_TO_SAY}"
        )
    if (wrong := misnamed_rows(row_indexes(features), stimulus_ids)) is not None:
        raise DatasetError(
            f"Rows of features are those of the stimuli, in their order; row {wrong[0]} is another's, or there are more or "
            f"fewer. Sort the table by the ids (frame.loc[ids])."
        )
    features = np.asarray(features, dtype=float)
    if not np.isfinite(features).all():
        raise DatasetError(
            f"Similarity needs features of each stimulus; of {np.count_nonzero(~np.isfinite(features).all(axis=1))} of "
            f"{len(features)} stimuli some are nan or infinite. Leave out features that are not known of all."
        )
    centred = features - features.mean(axis=0)
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

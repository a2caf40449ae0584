"""What the release's public bucket holds, by kind, subject and session. Lists names and sizes, gets nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from .constants import SUBJECTS
from .errors import DatasetError, MissingDataError
from .packaging.layout import RELEASED_SESSIONS

BUCKET = "laion-fmri"
REGION = "us-west-2"
BUCKET_VARIABLE, ENDPOINT_VARIABLE = "LAION_FMRI_BUCKET", "LAION_FMRI_ENDPOINT"
HELD_OUT = tuple(f"ses-{number}" for number in range(31, 35))
"""Sessions whose files the public may not get (package laion_fmri)."""

_SINGLE_TRIALS = "derivatives/glmsingle-tedana"
_SUBJECT, _SESSION = r"(?P<subject>sub-\d+)", r"(?P<session>ses-\d+)"
_KINDS = {
    "captions": ("stimuli/", r"stimuli/task-images_desc-captions\.(csv|json)"),
    "rois": ("derivatives/rois/{}/", rf"derivatives/rois/{_SUBJECT}/(?P<category>[^/]+)/.+"),
    "ceilings": (
        f"{_SINGLE_TRIALS}/{{}}/",
        rf"{_SINGLE_TRIALS}/{_SUBJECT}/({_SESSION}/func/)?[^/]+_desc-(Noiseceiling\w*|R2mean)_statmap\.(nii\.gz|json)",
    ),
    "anatomy": ("derivatives/anatomical/{}/", rf"derivatives/anatomical/{_SUBJECT}/.+"),
    "embeddings": ("stimuli/", r"stimuli/task-images_desc-[^/_]+_embeddings\.(h5|json)"),
    "segmentations": ("stimuli/", r"stimuli/task-images_desc-segmentations(_metadata)?\.(h5|csv|json)"),
    "betas": (
        f"{_SINGLE_TRIALS}/{{}}/",
        rf"{_SINGLE_TRIALS}/{_SUBJECT}/{_SESSION}/func/[^/]+_desc-SingletrialBetas_(statmap|trials)\.(nii\.gz|tsv|json)",
    ),
}
"""Kind -> the folder to list ({} is a subject), and what the names of its files match (layout: site)."""

KINDS = tuple(_KINDS)
"""What can be had without asking, what is small first: captions, regions of interest, maps of noise ceilings and of the
mean R2, anatomical images and masks, embeddings, segmentations, single-trial betas with their tables of trials."""

BY_SESSION = ("betas", "ceilings")
"""Kinds with files of single sessions."""

_ROI = re.compile(r"_label-([^_/]+)_mask\.nii\.gz$")


@dataclass(frozen=True)
class RemoteFile:
    """A file in the bucket.

    Attributes
    ----------
    key : str
        Its path, in the bucket and in the data folder.
    size : int
        Bytes.
    etag : str
        What the server calls this content.
    modified : datetime
    kind : str
        One of `KINDS`.
    subject, session, category : str
        Empty where the file is not of one.
    """

    key: str
    size: int
    etag: str
    modified: datetime
    kind: str
    subject: str = ""
    session: str = ""
    category: str = ""

    @property
    def roi(self) -> str:
        """The region of interest whose volume this is, spelled without hyphens; empty for other files."""
        found = _ROI.search(self.key) if self.kind == "rois" else None
        return found[1].replace("-", "") if found else ""


@dataclass(frozen=True)
class Bucket:
    """The bucket, asked without credentials.

    Attributes
    ----------
    name : str
    endpoint : str, optional
        Another server than Amazon's.
    """

    name: str = BUCKET
    endpoint: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.name}" + (f" at {self.endpoint}" if self.endpoint else "")

    @cached_property
    def client(self):
        """boto3's client; threads may share it."""
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        config = Config(
            signature_version=UNSIGNED,
            connect_timeout=10,
            read_timeout=30,
            retries={"mode": "standard"},
            max_pool_connections=64,
        )
        return boto3.session.Session().client("s3", region_name=REGION, endpoint_url=self.endpoint, config=config)

    def files(
        self,
        kinds: Sequence[str] = KINDS,
        subjects: Sequence[str] = SUBJECTS,
        sessions: Sequence[str] = (),
        all_kinds: bool = True,
    ) -> list[RemoteFile]:
        """Files of some kinds.

        Parameters
        ----------
        kinds, subjects : sequence of str
        sessions : sequence of str
            Of the files that are of one session, only these; all released sessions by default. Sessions that are held out
            are never listed.
        all_kinds : bool
            Whether each kind has to be there; otherwise one of them is enough.

        Returns
        -------
        list of RemoteFile
            In the order of `KINDS`, then by name.

        Raises
        ------
        MissingDataError
            If the bucket cannot be listed, or a kind has no file for a subject or session that was asked for.
        """
        public = (*(sessions or RELEASED_SESSIONS), "")
        found = [file for file in self.listed(kinds, subjects) if file.session in public]
        have = {(file.kind, file.subject, file.session) for file in found}
        have |= {(kind, subject, "") for kind, subject, _ in have}
        wanted = [
            (kind, subject, session)
            for kind in kinds
            if all_kinds or not found or any(file.kind == kind for file in found)
            for subject in _owners(kind, subjects)
            for session in (sessions if kind == "betas" and sessions else ("",))
        ]
        if lacking := [" ".join(filter(None, (*key[1:], key[0]))) for key in wanted if key not in have]:
            more = f" and {len(lacking) - 4} more" if len(lacking) > 4 else ""
            raise MissingDataError(
                f"{self} holds no {', '.join(lacking[:4])}{more}. See `laion-score data bucket`, and leave them out."
            )
        return sorted(found, key=lambda file: (KINDS.index(file.kind), file.key))

    def listed(self, kinds: Sequence[str], subjects: Sequence[str]) -> Iterator[RemoteFile]:
        """All files of some kinds that the bucket lists, held out or not. Raises MissingDataError if it does not answer."""
        patterns = {kind: re.compile(_KINDS[kind][1]) for kind in kinds}
        for prefix in dict.fromkeys(_KINDS[kind][0].format(s) for kind in kinds for s in _owners(kind, subjects)):
            with asking(self):
                pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
                entries = [entry for page in pages for entry in page.get("Contents", ())]
            for entry in entries:
                key = entry["Key"]
                for kind, pattern in patterns.items():
                    if (match := pattern.fullmatch(key)) and not key.endswith("/"):
                        if {"", ".", ".."} & set(key.split("/")):
                            raise MissingDataError(f"{self} has a file whose name is no path in a folder: {key!r}.")
                        parts = {name: value or "" for name, value in match.groupdict().items()}
                        yield RemoteFile(key, entry["Size"], entry["ETag"], entry["LastModified"], kind, **parts)


def default_bucket() -> Bucket:
    """The release's bucket, or what the environment variables LAION_FMRI_BUCKET and LAION_FMRI_ENDPOINT say instead."""
    return Bucket(os.environ.get(BUCKET_VARIABLE) or BUCKET, os.environ.get(ENDPOINT_VARIABLE) or None)


def holdings(bucket: Bucket, subjects: Sequence[str] = SUBJECTS) -> dict:
    """What the bucket holds, ready for JSON.

    Returns
    -------
    dict
        ``subjects``: subject -> its public ``sessions`` (those with betas) and ``bytes`` by kind. ``bytes``: by kind, of what
        is not of one subject. ``rois``: category -> region of interest -> subjects that have it.

    Raises
    ------
    MissingDataError
        If the bucket cannot be listed.
    """
    public = (*RELEASED_SESSIONS, "")
    files = sorted((f for f in bucket.listed(KINDS, subjects) if f.session in public), key=lambda file: file.key)
    own = [kind for kind in KINDS if _owners(kind, subjects) == subjects]
    people = {subject: {"sessions": [], "bytes": dict.fromkeys(own, 0)} for subject in subjects}
    common = dict.fromkeys((kind for kind in KINDS if kind not in own), 0)
    rois: dict = {}
    for file in files:
        (people[file.subject]["bytes"] if file.subject else common)[file.kind] += file.size
        if file.kind == "betas" and file.session not in people[file.subject]["sessions"]:
            people[file.subject]["sessions"].append(file.session)
        if file.roi and file.subject not in (having := rois.setdefault(file.category, {}).setdefault(file.roi, [])):
            having.append(file.subject)
    return {"bucket": str(bucket), "subjects": people, "bytes": common, "rois": rois}


def _owners(kind: str, subjects: Sequence[str]) -> Sequence[str]:
    """Whose files of a kind are looked for; no subject's, if the kind is of the stimuli."""
    return subjects if "{}" in _KINDS[kind][0] else ("",)


@contextmanager
def asking(bucket: Bucket) -> Iterator[None]:
    """Say in one sentence why the server does not answer as it should."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: an endpoint that is no address
        raise MissingDataError(
            f"{bucket} does not list its files: {error}. Check the connection (and --bucket and --endpoint-url, if you gave "
            "them), and run again."
        ) from error


def sessions_named(items: Iterable[str]) -> tuple[str, ...]:
    """Sessions from ``ses-01``, ``1`` or ``1-5``, as options name them, in order.

    Raises
    ------
    DatasetError
        If one of them is none, or is not of the release.
    """
    found = []
    for item in items:
        match = re.fullmatch(r"(?:ses-)?(\d+)(?:-(?:ses-)?(\d+))?", item.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        named = [f"ses-{number:02d}" for number in range(first, min(last, 99) + 1)]
        if held := [session for session in named if session in HELD_OUT]:
            raise DatasetError(
                f"{HELD_OUT[0]} to {HELD_OUT[-1]} are held out; received --sessions {item}, with {held[0]}."
            )
        if not named or not set(named) <= set(RELEASED_SESSIONS):
            raise DatasetError(
                f"--sessions takes {RELEASED_SESSIONS[0]} to {RELEASED_SESSIONS[-1]} by commas, or 1-{len(RELEASED_SESSIONS)}; "
                f"received {item!r}."
            )
        found += named
    return tuple(session for session in RELEASED_SESSIONS if session in found)

"""The assemblies that Brain-Score serves from S3: pinned objects, fetched by brainscore_core's own fetcher.

The per-subject objects hold all trials of a subject's 6,204 stimuli and serve both pools. The shared ones hold the
trials of the 1,492 shared stimuli again, without session, run and beta_index; they are listed because they are
published, and not used. Pins: brain-score/vision, uploaded 2026-05-18.
"""

from dataclasses import dataclass
from pathlib import Path

from ..constants import SUBJECTS
from ..errors import MissingDataError, SchemaError

BUCKET = "brainscore-storage"
FOLDER = "brainscore-vision/benchmarks/LAION_fMRI"


@dataclass(frozen=True)
class PublishedObject:
    """One version of one file on S3.

    Attributes
    ----------
    identifier : str
        Brain-Score's; the file is ``assy_<identifier>.nc``.
    version_id : str
        S3 version of the object.
    sha1 : str
        Of its content, hexadecimal.
    """

    identifier: str
    version_id: str
    sha1: str


PER_SUBJECT = {
    "sub-01": PublishedObject(
        "LAION_fMRI_persubject_sub-01_Assembly",
        "ZMebfDS6bT7DjDqKcuHmOu9DlRbPstk6",
        "827781fe183ee1744f968517c1ea5afbe7860d4b",
    ),
    "sub-03": PublishedObject(
        "LAION_fMRI_persubject_sub-03_Assembly",
        "KFwyIrU_1hqbPY64iKxE1CWvAHRmLaL2",
        "f699b3aeb168a5a6f57a48704bdb03b0103d34d3",
    ),
    "sub-05": PublishedObject(
        "LAION_fMRI_persubject_sub-05_Assembly",
        "As0uxDjHTzjtnGSjEVxBqnIEdK0zHq0d",
        "73a1ee4f85c41c1c30f771a46396a91c73a85b6c",
    ),
    "sub-06": PublishedObject(
        "LAION_fMRI_persubject_sub-06_Assembly",
        "rCLfMcMoYoyeVu.6meVUzfNEzWkfV8yJ",
        "1d7a43878a05787c048696c023575850e0b2ba3b",
    ),
    "sub-07": PublishedObject(
        "LAION_fMRI_persubject_sub-07_Assembly",
        "z1fAn.bLXyrw_PSoFz458m19hN8vOfW_",
        "5c2d025d41f4befa449eca2b390dff1ab2f29821",
    ),
}
"""All trials of each subject."""

SHARED = {
    "sub-01": PublishedObject(
        "LAION_fMRI_full_sub-01_Assembly",
        "ZN0QBmAbna8F1mqabGMEWNlhSHqclRkj",
        "5d928ad1b170fa2fa58bcf1215ba60c4dd389ef4",
    ),
    "sub-03": PublishedObject(
        "LAION_fMRI_full_sub-03_Assembly",
        "vq6BErgrj2e6SMQdfxfwh0XVLd.FsxCX",
        "ecff27ddc4dc0a75cfbcc719b91c3739c1ba2bb1",
    ),
    "sub-05": PublishedObject(
        "LAION_fMRI_full_sub-05_Assembly",
        "Tzl5F826dIUNG7jGY8soR07zJ0DC3ffZ",
        "c446c8a6c67de21e749469a092fd02994d2be01e",
    ),
    "sub-06": PublishedObject(
        "LAION_fMRI_full_sub-06_Assembly",
        "2FaJ3bLhgR_XDDERM38RwzTFfc8e3YqM",
        "912aec9934c7b2daafb4d3927db895363b9eb0c1",
    ),
    "sub-07": PublishedObject(
        "LAION_fMRI_full_sub-07_Assembly",
        "HGT8RP0IbkFFeG7KI.oifhOSm3YlD1yD",
        "e16a456229427eb876b7ee85e0019570130fc4f0",
    ),
}
"""Trials of the shared stimuli alone."""


class PublishedAssemblies:
    """Brain-Score's per-subject assemblies, downloaded as they are asked for."""

    subjects = SUBJECTS
    know_rois = False

    def path(self, subject: str) -> Path:
        """Local copy of a subject's assembly, downloaded (about 0.9 GB) if need be, checked against its SHA-1.

        Parameters
        ----------
        subject : str

        Raises
        ------
        MissingDataError
            If there is no such subject, or the download fails.
        SchemaError
            If the local copy is not the pinned content.
        """
        if subject not in PER_SUBJECT:
            raise MissingDataError(
                f"The published assemblies are of {', '.join(PER_SUBJECT)}; got {subject!r}. Choose one of these."
            )
        return fetch(PER_SUBJECT[subject])

    def digest(self, subject: str) -> str:
        """SHA-1 of a subject's assembly, known without downloading it."""
        return PER_SUBJECT[subject].sha1


def fetch(published: PublishedObject) -> Path:
    """Local copy of a published object, under Brain-Score's own data folder ($BRAINIO_HOME).

    Raises
    ------
    MissingDataError
        If the download fails.
    SchemaError
        If the local copy is not the pinned content.
    """
    from brainscore_core.supported_data_standards.brainio import s3
    from brainscore_core.supported_data_standards.brainio.fetch import get_local_data_path

    try:
        return Path(
            s3.get_path(published.identifier, "nc", BUCKET, published.version_id, published.sha1, folder_name=FOLDER)
        )
    except ValueError as error:  # brainscore_core's word for another SHA-1
        folder = Path(get_local_data_path()) / published.sha1
        raise SchemaError(
            f"The published assembly {published.identifier} is pinned by its SHA-1, {published.sha1}; the "
            f"local copy in {folder} differs ({error}). Delete that folder and try again."
        ) from error
    except Exception as error:  # brainscore_core raises bare Exception, with boto's errors inside, for any failure
        raise MissingDataError(
            f"Scoring on the published data needs {published.identifier} from s3://{BUCKET}/{FOLDER} "
            f"(version {published.version_id}), which could not be downloaded: {error}. Connect to "
            f"the internet and try again, or point LAION_FMRI_DATASET to a dataset folder, or set "
            f"it to 'simulated'."
        ) from error


def local_copy(published: PublishedObject) -> Path | None:
    """Where a published object was downloaded to, None if it was not; its content is not read."""
    from brainscore_core.supported_data_standards.brainio.fetch import get_local_data_path

    path = Path(get_local_data_path()) / published.sha1 / f"assy_{published.identifier}.nc"
    return path if path.is_file() else None

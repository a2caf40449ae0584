"""One subject's files: sessions, trials, betas, regions of interest, noise ceilings, and the way back into the volume.

Voxels are the True entries of the brain mask, whose volume is flattened in C order. Each call reads the files that it needs
and keeps none open; betas are read one volume at a time, so a session takes the memory of what is returned and of one
volume (12 MB in the release), not of the 12 GB that it takes once decompressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import warn_once

from ..constants import SUBJECTS
from ..errors import DatasetError
from ..ids import parse_all
from ..packaging.layout import NOISE_CEILING_MAPS, RELEASED_SESSIONS, SubjectFiles
from ..packaging.trials import read_trial_table
from ..packaging.volumes import ANATOMICAL, Grid, read_betas, read_brain_mask, read_volume
from .by_trial import TrialCaptions, TrialEmbeddings, TrialImages, TrialSegmentations
from .folder import DataNotDownloadedError, SubjectNotFoundError, data_folder
from .stimuli import Stimuli

Query = str | Iterable[str]
"""Regions of interest: a name, a category, "all", or several of these."""

Sessions = str | Sequence[str]

ALL = "all"
HEMISPHERES = ("L", "R")
SURFACE_FILES = ("func.gii", "label")
FORMATS = {
    ALL: ("volume", *SURFACE_FILES),
    "volume": ("volume",),
    "nii.gz": ("volume",),
    "gii": SURFACE_FILES,
    "func.gii": ("func.gii",),
    "label": ("label",),
}
"""What may be asked of `Subject.get_roi_data` -> the files that it reads."""


class Subject:
    """One subject; see `load_subject`."""

    def __init__(self, subject_id: str, data_dir: Path):
        self.subject_id = subject_id
        self.data_dir = data_dir
        self._files = SubjectFiles(data_dir, subject_id)

    def __repr__(self) -> str:
        return f"Subject({self.subject_id!r}, {str(self.data_dir)!r})"

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def close(self) -> None:
        """Close the stimuli's files, if any is open."""
        if "stimuli" in self.__dict__:
            self.stimuli.close()

    def get_sessions(self) -> list[str]:
        """Sessions that the folder has, in order."""
        return sorted(path.name for path in self._files.folder.glob("ses-*") if path.is_dir())

    def get_available_categories(self) -> list[str]:
        """Categories of the regions of interest that the subject has, in order."""
        return sorted(self._categories)

    def get_available_rois(self, category: str | None = None) -> list[str]:
        """Regions of interest that the subject has, in order: all, or those of a category.

        Raises
        ------
        DatasetError
            If the subject has no such category.
        """
        if category is None:
            return sorted(self._files.roi_files())
        if category not in self._categories:
            raise DatasetError(
                f"{self.subject_id} has regions of interest of {', '.join(self.get_available_categories()) or 'no category'}; "
                f"got category {category!r}."
            )
        return sorted(self._categories[category])

    def get_brain_mask(self, source: str = ANATOMICAL, res: str = "1pt8") -> np.ndarray:
        """The brain mask on the grid of the betas.

        Parameters
        ----------
        source : str
            "anatomical", or "rsquare": mean R2 over sessions above 0.
        res : str
            "1pt8", the resolution of the betas.

        Returns
        -------
        numpy.ndarray
            (n_grid,) bool, in C order.
        """
        if res != "1pt8":
            raise DatasetError(f"Betas have the resolution 1pt8, and so has their brain mask; got res {res!r}.")
        return read_brain_mask(self._files, source)[0]

    def get_n_voxels(self, source: str = ANATOMICAL, res: str = "1pt8") -> int:
        """Number of voxels in the brain mask."""
        return int(self.get_brain_mask(source, res).sum())

    def get_roi_mask(self, query: Query, mask_source: str = ANATOMICAL) -> np.ndarray:
        """Voxels of regions of interest.

        Parameters
        ----------
        query : str or iterable of str
            A region, a category ("face" is the union of its regions), "all", or a list of these: their union.
        mask_source : str
            Brain mask, as `get_brain_mask`.

        Returns
        -------
        numpy.ndarray
            (n_voxels,) bool.

        Raises
        ------
        DatasetError
            If the subject has no such region or category.
        """
        brain, grid = read_brain_mask(self._files, mask_source)
        paths = self._files.roi_files()
        union = np.zeros(int(brain.sum()), bool)
        for name in self._roi_names(query):
            union |= read_volume(paths[name], grid)[0][brain] > 0
        return union

    def get_roi_masks(self, queries: Iterable[str]) -> dict[str, np.ndarray]:
        """`get_roi_mask` of several queries, each by itself."""
        return {query: self.get_roi_mask(query) for query in queries}

    def get_roi_data(self, query: Query, format: str = ALL, hemi: str = ALL) -> dict[str, dict]:
        """Regions of interest in the volume and on the surface.

        Parameters
        ----------
        query : str or iterable of str
            As for `get_roi_mask`.
        format : str
            A key of `FORMATS`.
        hemi : str
            L, R or "all".

        Returns
        -------
        dict
            Region -> {"volume": (n_voxels,) bool, "gii": {"hemi-L": {"func.gii": (n_vertices,) bool, "label": vertex
            numbers, int}, "hemi-R": ...}}, as far as `format` and `hemi` ask for it.

        Raises
        ------
        DataNotDownloadedError
            If the folder lacks a file.
        """
        if format not in FORMATS or hemi not in (*HEMISPHERES, ALL):
            raise DatasetError(
                f"format is one of {', '.join(FORMATS)} and hemi one of {', '.join(HEMISPHERES)}, {ALL}; got {format!r} and "
                f"{hemi!r}."
            )
        paths, kinds, found = self._files.roi_files(), FORMATS[format], {}
        for name in self._roi_names(query):
            found[name] = {"volume": self.get_roi_mask(name)} if "volume" in kinds else {}
            for side in HEMISPHERES if hemi == ALL else (hemi,):
                for kind in SURFACE_FILES:
                    if kind in kinds:
                        path = self._require(self._files.roi_surface(paths[name], side, kind), "rois")
                        sides = found[name].setdefault("gii", {})
                        sides.setdefault(f"hemi-{side}", {})[kind] = _read_surface(path, kind)
        return found

    def get_trial_info(self, session: Sessions) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """A session's trials: session, run (from 1), beta_index (from 0), label (the image), one row per beta volume.

        Of several sessions, a dict by session.
        """
        return self._by_session(
            session, lambda one: read_trial_table(self._of_session(one, self._files.trials, "betas"), one)
        )

    def get_noise_ceiling(
        self,
        session: Sessions | None = None,
        desc: Sessions | None = None,
        roi: Query | None = None,
        mask: np.ndarray | None = None,
        mask_source: str = ANATOMICAL,
    ) -> np.ndarray | dict[str, np.ndarray]:
        """A map of noise ceilings in percent.

        Parameters
        ----------
        session, desc : str or sequence of str
            One of the two: a session's map, or one over sessions ("Noiseceiling12rep"). Several give a dict.
        roi, mask, mask_source
            As for `get_betas`.

        Returns
        -------
        numpy.ndarray
            (n_selected,) float32.

        Raises
        ------
        DatasetError
            If not exactly one of `session` and `desc` is given.
        DataNotDownloadedError
            If the folder lacks the map.
        """
        if (session is None) == (desc is None):
            raise DatasetError(
                f"A noise ceiling is of a session or has a desc, one of the two; got {session!r} and {desc!r}."
            )
        voxels, grid = self._select(roi, mask, mask_source)
        if desc is None:
            return self._by_session(session, lambda one: self._session_ceiling(one, grid)[voxels])

        def read(one: str) -> np.ndarray:
            path = self._files.noise_ceiling(one)
            if not path.is_file() and one not in NOISE_CEILING_MAPS.values():
                raise DataNotDownloadedError(
                    f"Noise ceilings over sessions are {', '.join(NOISE_CEILING_MAPS.values())}; there is no {path} for desc "
                    f"{one!r}."
                )
            return read_volume(self._require(path, "ceilings"), grid)[0][voxels]

        return read(desc) if isinstance(desc, str) else {one: read(one) for one in desc}

    def get_betas(
        self,
        session: Sessions,
        roi: Query | None = None,
        mask: np.ndarray | None = None,
        nc_threshold: float | None = None,
        stimuli: str | None = None,
        streaming: bool = False,
        mask_source: str = ANATOMICAL,
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Single-trial betas, percent signal change; NaN is kept.

        Parameters
        ----------
        session : str or sequence of str
            Several give a dict by session.
        roi : str or iterable of str, optional
            As for `get_roi_mask`.
        mask : numpy.ndarray of bool, optional
            (n_voxels,) over the voxels of the brain mask; instead of `roi`.
        nc_threshold : float, optional
            Percent: voxels whose noise ceiling of the session is at least this are kept.
        stimuli : {"shared", "unique"}, optional
            Trials of these images alone.
        streaming : bool
            Changes nothing: the file is always read one volume at a time.
        mask_source : str
            Brain mask, as `get_brain_mask`.

        Returns
        -------
        numpy.ndarray
            (n_trials, n_selected) float32.

        Raises
        ------
        DatasetError
            If `roi` and `mask` are both given, or one of them fits nothing.
        DataNotDownloadedError
            If the folder lacks a file.
        """
        if stimuli not in (None, "shared", "unique"):
            raise DatasetError(f"stimuli is 'shared', 'unique' or None for all; got {stimuli!r}.")
        if nc_threshold is not None and 0 < nc_threshold < 1:
            warn_once(
                f"nc_threshold is in percent: {nc_threshold:g} lets in nearly every voxel. If a fraction was meant, write "
                f"{100 * nc_threshold:g}."
            )
        voxels, grid = self._select(roi, mask, mask_source)

        def read(one: str) -> np.ndarray:
            path = self._of_session(one, self._files.betas, "betas")
            places, trials = voxels, None
            if nc_threshold is not None:
                places = voxels[self._session_ceiling(one, grid)[voxels] >= nc_threshold]
            if stimuli is not None:
                labels = self.get_trial_info(one)["label"]
                seen = parse_all(labels, self._files.trials(one))
                trials = np.array([seen[label].shared == (stimuli == "shared") for label in labels], bool)
            betas = read_betas(path, places, trials)
            grid.require_same(betas.grid)
            return betas.values

        return self._by_session(session, read)

    def get_voxel_coordinates(
        self, roi: Query | None = None, mask: np.ndarray | None = None, mask_source: str = ANATOMICAL
    ) -> np.ndarray:
        """Where voxels are: (n_selected, 3) float64, millimetres in the subject's T1w space. Selected as in `get_betas`."""
        voxels, grid = self._select(roi, mask, mask_source)
        return nib.affines.apply_affine(grid.affine, np.column_stack(np.unravel_index(voxels, grid.shape)))

    def to_nifti(
        self,
        values: np.ndarray,
        output_path: str | Path,
        roi: Query | None = None,
        mask: np.ndarray | None = None,
        mask_source: str = ANATOMICAL,
    ) -> None:
        """Write one value per voxel as a volume on the grid of the betas, float32, 0 elsewhere.

        Parameters
        ----------
        values : numpy.ndarray
            (n_selected,); selected as in `get_betas`.
        output_path : str or Path
            Ends in .nii or .nii.gz.
        roi, mask, mask_source
            As for `get_betas`.

        Raises
        ------
        DatasetError
            If there is another number of values than of voxels.
        """
        voxels, grid = self._select(roi, mask, mask_source)
        values = np.asarray(values)
        if values.shape != voxels.shape:
            raise DatasetError(
                f"Each selected voxel has one value; got shape {values.shape} for {len(voxels):,} voxels."
            )
        volume = np.zeros(int(np.prod(grid.shape)), np.float32)
        volume[voxels] = values
        image = nib.Nifti1Image(volume.reshape(grid.shape), grid.affine)
        image.header.set_xyzt_units("mm")
        image.to_filename(Path(output_path).expanduser())

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """All trials of the sessions at hand, whose row is the trial's number in `images`, `embeddings` and the others.

        session, session_trial (from 0 in a session), image_name, stim_idx (row of the table of stimuli), unique_or_shared,
        dataset, and the trial tables' other columns.
        """
        trials, stimuli = self._trials, self.stimuli.metadata
        rows = pd.Index(stimuli["image_name"]).get_indexer(trials["label"])
        if (rows < 0).any():
            unknown = trials["label"][rows < 0]
            raise DatasetError(
                f"{self.subject_id}'s trials show images of the table of stimuli; {unknown.nunique()} are not in it, first: "
                f"{unknown.iloc[0]!r}. Use trials and stimuli of the same version of the release."
            )
        about = stimuli.iloc[rows][["unique_or_shared", "dataset"]].reset_index(drop=True)
        names = {"beta_index": "session_trial", "label": "image_name"}
        table = pd.concat([trials.rename(columns=names).assign(stim_idx=rows), about], axis=1)
        first = ["session", "session_trial", "image_name", "stim_idx", "unique_or_shared", "dataset"]
        return table[[*first, *(column for column in table if column not in first)]]

    @cached_property
    def stimuli(self) -> Stimuli:
        """All that is released about the images, by name."""
        return Stimuli(self.data_dir)

    @property
    def images(self) -> TrialImages:
        """Images by trial."""
        return TrialImages(self._trials, self.stimuli)

    @property
    def embeddings(self) -> TrialEmbeddings:
        """Embeddings by trial."""
        return TrialEmbeddings(self._trials, self.stimuli)

    @property
    def segmentations(self) -> TrialSegmentations:
        """Nouns and masks by trial."""
        return TrialSegmentations(self._trials, self.stimuli)

    @property
    def captions(self) -> TrialCaptions:
        """Captions by trial."""
        return TrialCaptions(self._trials, self.stimuli)

    @cached_property
    def _trials(self) -> pd.DataFrame:
        sessions = [session for session in self.get_sessions() if self._files.trials(session).is_file()]
        if not sessions:
            raise DataNotDownloadedError(f"{self._files.folder} has no session's trials. {self._get('betas')}")
        return pd.concat(self.get_trial_info(sessions).values(), ignore_index=True)

    @property
    def _categories(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, path in self._files.roi_files().items():
            found.setdefault(path.parent.name, []).append(name)
        return found

    def _roi_names(self, query: Query) -> list[str]:
        """Regions of a query, each once."""
        categories = self._categories
        names = [name for members in categories.values() for name in members]
        known = {ALL: names, **categories, **{name: [name] for name in names}}
        asked = [query] if isinstance(query, str) else list(query)
        unknown = [one for one in asked if one not in known]
        if unknown or not asked:
            raise DatasetError(
                f"Regions of interest are asked for by name, by category or as {ALL!r}; {self.subject_id} has no "
                f"{', '.join(map(repr, unknown)) or 'region without a name'}. Names: {', '.join(sorted(names)) or 'none'}. "
                f"Categories: {', '.join(sorted(categories)) or 'none'}."
            )
        return list(dict.fromkeys(name for one in asked for name in known[one]))

    def _select(self, roi: Query | None, mask: np.ndarray | None, mask_source: str) -> tuple[np.ndarray, Grid]:
        """Places of the selected voxels on the grid, (n_selected,) int64, and the grid."""
        if roi is not None and mask is not None:
            raise DatasetError(
                "Voxels are selected by roi or by mask; got both. Combine them: mask & get_roi_mask(roi)."
            )
        brain, grid = read_brain_mask(self._files, mask_source)
        voxels = np.flatnonzero(brain)
        if roi is not None:
            mask = self.get_roi_mask(roi, mask_source)
        if mask is None:
            return voxels, grid
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != voxels.shape:
            raise DatasetError(
                f"A mask has True or False for each of the {len(voxels):,} voxels of the brain mask ({mask_source}); got shape "
                f"{mask.shape}, {mask.dtype}."
            )
        return voxels[mask], grid

    def _session_ceiling(self, session: str, grid: Grid) -> np.ndarray:
        return read_volume(self._of_session(session, self._files.session_noise_ceiling, "ceilings"), grid)[0]

    def _by_session(self, session: Sessions, read: Callable) -> object:
        if isinstance(session, str) and session:
            return read(session)
        sessions = list(session) if isinstance(session, Iterable) and not isinstance(session, str) else []
        if not sessions or not all(isinstance(one, str) for one in sessions):
            raise DatasetError(
                f"Name a session, or a list of them; {self.subject_id} has {', '.join(self.get_sessions())}. Received "
                f"{session!r}."
            )
        return {one: read(one) for one in sessions}

    def _of_session(self, session: str, path: Callable[[str], Path], kind: str) -> Path:
        if session not in RELEASED_SESSIONS:
            known = f"{RELEASED_SESSIONS[0]} to {RELEASED_SESSIONS[-1]}"
            raise DataNotDownloadedError(f"Sessions of the release are {known}; there is no {path(session)}.")
        return self._require(path(session), kind, session)

    def _require(self, path: Path, kind: str, *sessions: str) -> Path:
        if not path.is_file():
            raise DataNotDownloadedError(f"There is no {path}. {self._get(kind, *sessions)}")
        return path

    def _get(self, kind: str, *sessions: str) -> str:
        return f"Get it with `{self._files.download_command(kind, *sessions)}`."


def load_subject(subject: str, data_dir: str | Path | None = None) -> Subject:
    """A subject of a data folder.

    Parameters
    ----------
    subject : str
        "sub-01" or "01".
    data_dir : str or Path, optional
        The data folder; without it, that of `folder.get_data_dir`.

    Raises
    ------
    TypeError
        If `subject` is no text.
    SubjectNotFoundError
        A ValueError: the release has no such subject.
    DataNotDownloadedError
        A FileNotFoundError: the folder has nothing of the subject.
    """
    if not isinstance(subject, str):
        raise TypeError(f"A subject is named by text, such as 'sub-01'; got {subject!r}, a {type(subject).__name__}.")
    name = f"sub-{subject.removeprefix('sub-')}"
    if name not in SUBJECTS:
        raise SubjectNotFoundError(f"Subjects are {', '.join(SUBJECTS)}; got {subject!r}. Choose one of these.")
    found = Subject(name, data_folder(data_dir))
    if not found._files.folder.is_dir():
        raise DataNotDownloadedError(f"{found._files.folder} is no folder. {found._get('betas,rois,ceilings,anatomy')}")
    return found


def _read_surface(path: Path, kind: str) -> np.ndarray:
    try:
        if kind == "label":
            return nib.freesurfer.read_label(path)
        return nib.load(path).darrays[0].data > 0
    except (OSError, ValueError, IndexError, nib.filebasedimages.ImageFileError) as error:
        raise DatasetError(f"{path} cannot be read as {kind}: {error}. Delete it and download it again.") from error

"""Where the voxels of an assembly are in the subject's volume: from places in a brain mask to the grid of the betas.

An assembly counts its voxels within a brain mask, and the release has had several. One that was rebuilt or simulated says in
which, by a digest, and no other mask is taken. The published ones do not say: there a mask has to be named, and is refused if
it is too small for the assembly, or if voxels do not lie in the regions of interest that the assembly says they are from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from .assemblies.file import AssemblyHeader
from .errors import DatasetError, MissingDataError
from .packaging.layout import SubjectFiles, require
from .packaging.volumes import MASK_DEFINITIONS, Grid, mask_digest, read_brain_mask, read_volume
from .source import Dataset
from .stimuli.sources import laion_fmri_folder

IN_REGION = 0.99
"""Share of voxels that lie in their region of interest in the mask that an assembly counts in; in another, most miss it."""


@dataclass(frozen=True)
class VoxelSpace:
    """A subject's brain mask on its grid.

    Attributes
    ----------
    subject : str
    brain : numpy.ndarray
        (n_grid,) bool, in C order.
    grid : Grid
        Shape, affine and file of the mask.
    t1w : Path or None
        T1-weighted image in the same space, if it is there.
    checked : str
        How it is known that the assembly counts in this mask.
    """

    subject: str
    brain: np.ndarray
    grid: Grid
    t1w: Path | None
    checked: str

    def ijk(self, index: np.ndarray) -> np.ndarray:
        """Positions on the grid's axes, (n, 3) int64, of places in the mask, (n,) int."""
        return np.column_stack(np.unravel_index(np.flatnonzero(self.brain)[np.asarray(index)], self.grid.shape))

    def coordinates(self, index: np.ndarray) -> np.ndarray:
        """Millimetres in the subject's T1w space, (n, 3) float64, of places in the mask, (n,) int."""
        return nib.affines.apply_affine(self.grid.affine, self.ijk(index))

    def image(self, index: np.ndarray, values: np.ndarray) -> nib.Nifti1Image:
        """Values as a volume.

        Parameters
        ----------
        index : numpy.ndarray of int, shape (n,)
            Places in the mask (``voxel_index_in_brain_mask``).
        values : numpy.ndarray of float, shape (n,)

        Returns
        -------
        nibabel.Nifti1Image
            float32, nan where no voxel is: 0 is a value, and viewers leave nan transparent.

        Raises
        ------
        DatasetError
            If a place is not in the mask, or there is another number of values.
        """
        index, values = np.asarray(index), np.asarray(values)
        size = int(self.brain.sum())
        if (
            values.shape != index.shape
            or index.ndim != 1
            or (len(index) and not 0 <= index.min() <= index.max() < size)
        ):
            raise DatasetError(
                f"Each value has a place in the brain mask of {self.subject}, 0 to {size - 1:,}; got {values.shape} values for "
                f"places {index.shape}, up to {index.max(initial=0):,}."
            )
        volume = np.full(self.grid.shape, np.nan, np.float32)
        volume[tuple(self.ijk(index).T)] = values
        return _image(volume, self.grid.affine)

    def mask_image(self) -> nib.Nifti1Image:
        """The brain mask, uint8."""
        return _image(self.brain.reshape(self.grid.shape).astype(np.uint8), self.grid.affine)


def voxel_space(
    dataset: Dataset, subject: str, mask: str | Path | None = None, release: str | Path | None = None
) -> VoxelSpace:
    """The brain mask that a subject's assembly counts its voxels in.

    Parameters
    ----------
    dataset : Dataset
    subject : str
    mask : str or Path, optional
        A key of `packaging.volumes.MASK_DEFINITIONS`, or a NIfTI file of zeros and ones. Needed where the assembly does not say
        its mask; where it says, one that differs is refused.
    release : str or Path, optional
        Folder with the release's files; by default the dataset's, else the one that laion_fmri is configured with.

    Raises
    ------
    MissingDataError
        If the subject, the folder or the mask is missing.
    DatasetError
        If the mask is not the assembly's, or is not named where it has to be.
    SchemaError
        If a file cannot be read.
    """
    header = dataset.assembly_file(subject).header
    files = _files(dataset, subject, release)
    said = header.attributes.get("brain_mask_sha1")
    if mask is None and said is None:
        raise DatasetError(
            f"The assembly of {subject} ({dataset.name}) does not say in which brain mask its voxels are counted. Name it: "
            f"--mask anatomical, --mask rsquare, or --mask FILE (mask= in Python)."
        )
    if mask is None:
        brain, grid = _said_mask(header, files)
    elif str(mask) in MASK_DEFINITIONS:
        brain, grid = read_brain_mask(_needed(files, mask), str(mask))
    else:
        brain, grid = _read_mask(Path(mask).expanduser())
    if said is None:
        checked = _check_places(header, brain, grid, files)
    elif mask_digest(brain) == said and header.attributes.get("grid", _shape(grid)) == _shape(grid):
        checked = "the digest that the assembly has of its mask"
    else:
        raise DatasetError(
            f"The assembly of {subject} counts its voxels in another brain mask than {grid.path}: {_described(header)} (SHA-1 "
            f"{said}), not {int(brain.sum()):,} voxels of a grid {_shape(grid)} (SHA-1 {mask_digest(brain)}). Leave --mask "
            f"out, or name the mask that the assembly was made with."
        )
    t1w = None if files is None else next((path for path in files.t1w if path.is_file()), None)
    return VoxelSpace(subject, brain, grid, t1w, checked)


def _files(dataset: Dataset, subject: str, release: str | Path | None) -> SubjectFiles | None:
    if release is not None:
        folder = Path(release).expanduser().absolute()
        if not folder.is_dir():
            raise MissingDataError(f"--release is a folder with the release's files; {folder} is none.")
        return SubjectFiles(folder, subject)
    root = dataset.root if dataset.root is not None else laion_fmri_folder()
    return None if root is None else SubjectFiles(root, subject)


def _needed(files: SubjectFiles | None, what: str) -> SubjectFiles:
    if files is None:
        raise MissingDataError(
            f"The brain mask ({what}) is one of the release's files, and the dataset has no folder of them. Name one "
            f"(--release FOLDER), after `laion-score data get --dataset FOLDER --what anatomy,ceilings,rois`."
        )
    return files


def _said_mask(header: AssemblyHeader, files: SubjectFiles | None) -> tuple[np.ndarray, Grid]:
    """Of the subject's masks that are there, the one with the digest of the assembly."""
    files, said, tried = _needed(files, "that the assembly names"), header.attributes["brain_mask_sha1"], []
    for definition, path in {"anatomical": files.anatomical_mask, "rsquare": files.r2_mean}.items():
        if path.is_file():
            brain, grid = read_brain_mask(files, definition)
            if mask_digest(brain) == said:
                return brain, grid
            tried.append(f"{path} has {int(brain.sum()):,}, SHA-1 {mask_digest(brain)}")
        else:
            tried.append(f"there is no {path}")
    raise MissingDataError(
        f"The voxels of {files.subject} are counted in the brain mask {_described(header)}, SHA-1 {said}, and {files.root} "
        f"does not have it: {'; '.join(tried)}. Get it with `{files.download_command('anatomy,ceilings')}`, or name it (--mask "
        f"FILE)."
    )


def _shape(grid: Grid) -> str:
    return " ".join(map(str, grid.shape))


def _described(header: AssemblyHeader) -> str:
    name, count = (header.attributes.get(key) for key in ("brain_mask", "brain_mask_voxels"))
    return f"{name or 'of its own'}{'' if count is None else f' of {int(count):,} voxels'}"


def _read_mask(path: Path) -> tuple[np.ndarray, Grid]:
    require(path, "The brain mask", f"--mask is {', '.join(MASK_DEFINITIONS)} or an existing NIfTI file.")
    values, grid = read_volume(path)
    if not np.isin(values[np.isfinite(values)], (0, 1)).all() or not (values == 1).any():
        raise DatasetError(f"A brain mask holds zeros and ones, and some ones; {path} holds other values. Name a mask.")
    return values == 1, grid


def _check_places(header: AssemblyHeader, brain: np.ndarray, grid: Grid, files: SubjectFiles | None) -> str:
    """Refuse a mask that cannot be the one of an assembly that does not say its own; gives how much could be checked."""
    neuroids, size = header.neuroids, int(brain.sum())
    index, subject = neuroids["voxel_index_in_brain_mask"].to_numpy(), neuroids["subject_id"].iloc[0]
    if index.max() >= size:
        raise DatasetError(
            f"The voxels of {subject} have places up to {index.max():,} in their brain mask; {grid.path} has {size:,} voxels, "
            f"so that it is another one. Name the mask that the assembly was made with."
        )
    rois = {} if files is None else files.roi_files()
    places, inside, outside = np.flatnonzero(brain)[index], {}, {}
    for label in sorted(set(neuroids["roi"]) & set(rois)):
        own = places[neuroids["roi"].to_numpy() == label]
        held = read_volume(rois[label], grid)[0][own] > 0
        inside[label], outside[label] = int(held.sum()), int((~held).sum())
    total = sum(inside.values()) + sum(outside.values())
    if not total:
        where = "" if files is None else f" (`{files.download_command('rois')}` gets them)"
        return f"the count alone: regions of interest would tell more{where}"
    if sum(inside.values()) < IN_REGION * total:
        worst = max(outside, key=outside.get)
        raise DatasetError(
            f"In the brain mask {grid.path}, {sum(outside.values()):,} of {total:,} voxels of {subject} lie outside the "
            f"regions of interest that the assembly says they are from (most in {worst}, {rois[worst]}). It is another mask "
            f"than the assembly's: name the right one (--mask anatomical, rsquare or a file)."
        )
    return f"{sum(inside.values()):,} of {total:,} voxels lie in their regions of interest"


def _image(volume: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    image = nib.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    return image

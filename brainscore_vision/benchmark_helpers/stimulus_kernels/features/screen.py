"""Stimuli fitted to a model's field of view, as Brain-Score does it, without its pitfalls of storage.

Brain-Score's ``place_on_screen`` crops or pads images so that a degree of visual angle stays a degree. The pixels made
here are the same (its own converter makes them), but files are named by their content and written atomically: several
processes can share them, a stimulus set needs no identifier, images that change are never confused, and a wrong ending of
a file's name makes no difference. A JPEG becomes a JPEG again, as with Brain-Score, and everything else a PNG.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.screen import ImageConverter
from tqdm.auto import tqdm

from ..errors import StimulusKernelError, StorageError
from ..files import NO_ROOM, cannot_write, make_folder
from ..parallel import worker_count
from .decoding import UNREADABLE, is_jpeg, open_image, strict_decoding


def place_on_model_screen(
    stimuli: StimulusSet,
    content_hashes: dict,
    source_degrees: float,
    target_degrees: float,
    folders: Sequence[Path],
    progress: bool = False,
) -> StimulusSet:
    """Stimuli as a model with a field of view of ``target_degrees`` has to see them.

    Parameters
    ----------
    stimuli : StimulusSet
        One image file per stimulus.
    content_hashes : dict
        Stimulus id to a hash of its file's content.
    source_degrees, target_degrees : float
        Width of the images as shown to the subjects, and of the model's field of view, in degrees of visual angle.
    folders : sequence of pathlib.Path
        Where converted images are kept: those that are there are used, new ones go to the first folder that can be written.
    progress : bool
        Show a bar; silent when standard error is not a terminal.

    Returns
    -------
    StimulusSet
        The same stimuli; paths of converted images, or the given ones if both widths are equal. Its identifier is None:
        Brain-Score must not cache activations under the name of a set that may differ from call to call.
    """
    if not target_degrees > 0:
        raise StimulusKernelError(
            f"A model's field of view is a positive number of degrees, received {target_degrees!r}. "
            f"Set visual_degrees when committing the model."
        )
    ids = list(stimuli["stimulus_id"])
    paths = {stimulus_id: Path(stimuli.get_stimulus(stimulus_id)) for stimulus_id in ids}
    if target_degrees != source_degrees:
        names, targets = _kept(paths, content_hashes, source_degrees, target_degrees, folders)
        pending = {}
        if missing := [i for i in ids if targets[i] is None]:
            folder = _first_writable(folders)
            targets.update({i: folder / names[i] for i in missing})
            pending = {targets[i]: paths[i] for i in missing}
        if pending:
            with (
                tqdm(
                    total=len(pending),
                    unit="images",
                    desc=f"fitting images to {target_degrees:g} degrees",
                    leave=False,
                    disable=None if progress else True,
                ) as bar,
                ThreadPoolExecutor(worker_count(), "images") as workers,
            ):
                converted = workers.map(
                    lambda item: _convert(item[1], item[0], source_degrees, target_degrees), pending.items()
                )
                for _ in converted:
                    bar.update()
        paths = targets
    placed = StimulusSet({"stimulus_id": ids})
    placed.stimulus_paths = {stimulus_id: str(path) for stimulus_id, path in paths.items()}
    placed.identifier = None
    return placed


def count_unfitted(
    stimuli: StimulusSet, content_hashes: dict, source_degrees: float, target_degrees: float, folders: Sequence[Path]
) -> int:
    """How many images :func:`place_on_model_screen` would have to convert; parameters as there."""
    if target_degrees == source_degrees:
        return 0
    paths = {stimulus_id: Path(stimuli.get_stimulus(stimulus_id)) for stimulus_id in stimuli["stimulus_id"]}
    _, targets = _kept(paths, content_hashes, source_degrees, target_degrees, folders)
    return sum(path is None for path in targets.values())


def _kept(
    paths: dict[str, Path], content_hashes: dict, source_degrees: float, target_degrees: float, folders: Sequence[Path]
) -> tuple[dict[str, str], dict[str, Path | None]]:
    """Name of each stimulus's converted image, and where it is; None if it is nowhere."""
    degrees = f"source{float(source_degrees)!r}-target{float(target_degrees)!r}"
    names = {i: f"{degrees}/{content_hashes[i][:2]}/{content_hashes[i]}{_suffix(path)}" for i, path in paths.items()}
    return names, {i: next((f / name for f in folders if (f / name).exists()), None) for i, name in names.items()}


def fitted_images(folder: Path) -> list[Path]:
    """Folders of converted images below one of the ``folders`` of :func:`place_on_model_screen`."""
    return list(folder.glob("source*-target*"))


def _first_writable(folders: Sequence[Path]) -> Path:
    errors = {}
    for folder in folders:
        errors[folder] = cannot_write(folder)
        if errors[folder] is None:
            return folder
    raise StorageError(
        f"Images fitted to a model's field of view are kept in {folders[0]}, which cannot be written "
        f"({errors[folders[0]].strerror}). Set the environment variable BRAINSCORE_HOME to a folder that can be written, or "
        f"choose one for what a run needs (--spool-directory)."
    )


def _suffix(source: Path) -> str:
    """Ending of a converted image's name, by the content of its source."""
    try:
        with source.open("rb") as file:
            return ".jpg" if is_jpeg(file.read(16)) else ".png"
    except OSError as error:
        raise _unreadable(source, error) from error


def _convert(source: Path, target: Path, source_degrees: float, target_degrees: float) -> None:
    make_folder(target.parent)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".converting-"))
    ratio = target_degrees / source_degrees
    try:
        try:
            with strict_decoding(), open_image(source) as image:
                if min(round(ratio * side) for side in image.size) < 1:
                    raise StimulusKernelError(
                        f"A model's field of view shows one pixel of an image or more; {target_degrees:g} degrees show none "
                        f"of {source}, whose {image.width} x {image.height} pixels are {source_degrees:g} degrees wide. Set "
                        f"visual_degrees when committing the model."
                    )
                ImageConverter(scratch).apply_ratio(image, ratio).save(scratch / target.name)
        except StimulusKernelError:
            raise
        except UNREADABLE as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise StorageError(
                    f"Images fitted to a model's field of view are kept in {target.parent}, where no space is left. "
                    f"Free some, or set BRAINSCORE_HOME to a folder on another disk."
                ) from error
            raise _unreadable(source, error) from error
        os.replace(scratch / target.name, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unreadable(source: Path, error: Exception) -> StimulusKernelError:
    return StimulusKernelError(
        f"Each stimulus must be a readable image; {source} is not ({type(error).__name__}: {error}). "
        f"Restore the file, e.g. by extracting the stimuli again."
    )

"""From whatever holds images to stimuli as a model with a field of view has to see them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.screen import ImageConverter
from PIL import Image

from ..errors import StimulusKernelError
from ..features.image_files import (
    UNREADABLE,
    is_turned,
    open_image,
    place_on_model_screen,
    same_degrees,
    strict_decoding,
)
from ..features.network import asked, pytorch_wrapper
from ..parallel import worker_count
from ..wording import warn_once

PIECE = 256
"""Images that lie on disk at once."""

JPEGS = ("JPEG", "MPO")
"""Pillow's names of formats whose files are placed on a screen as JPEGs again."""

FLOATS = "F"
"""Mode of pixels that are floating-point numbers."""

NOT_IN_PNG = ("I", "CMYK", "YCbCr", "LAB")
"""Modes that Pillow writes to TIFF alone."""

TURNED = (
    "Pixels are shown as they are stored: {} has a tag by which viewers turn it, and is shown unturned. Turn it first "
    "(PIL.ImageOps.exif_transpose) if people would see it turned."
)

_PROCESS = uuid.uuid4().hex[:8]
_NUMBERS = itertools.count()

Plain = Callable[[bytes], bytes | None]
"""From an encoded image to another encoding of it as it was shown to people; None if it is plain already."""


class ImagesError(StimulusKernelError):
    """What is given is no batch of images that can be shown."""


def listed(images) -> list | StimulusSet:
    """Images one by one, checked as far as that is possible without opening files.

    Parameters
    ----------
    images : numpy.ndarray, torch.Tensor, path, PIL.Image.Image, sequence of these, or StimulusSet
        Arrays are whole numbers from 0 to 255, (n, 3, height, width) or (n, height, width, 3).

    Raises
    ------
    ImagesError
        No image, or numbers that may be meant otherwise.
    """
    if isinstance(images, StimulusSet):
        if not len(images):
            raise ImagesError("A batch has one image or more; received an empty StimulusSet.")
        return images
    if isinstance(images, str | os.PathLike | Image.Image):
        images = [images]
    if hasattr(images, "detach"):
        images = images.detach().cpu().numpy()
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OU":
        return list(_checked_array(images))
    try:
        if isinstance(images, pd.DataFrame):  # a list of it is one of its columns' names
            raise TypeError
        images = list(images)
    except TypeError:
        raise ImagesError(
            f"Images are arrays, paths, PIL images or a StimulusSet; received a {type(images).__name__}."
        ) from None
    if not images:
        raise ImagesError("A batch has one image or more; received none.")
    known = []
    for image in images:
        if isinstance(image, str | os.PathLike | Image.Image):
            known.append(image)
        elif hasattr(image, "shape"):
            known += listed(image[None])
        else:
            raise ImagesError(
                f"Images are arrays, paths, PIL images or a StimulusSet; one is a {type(image).__name__}."
            )
    return known


def _checked_array(images: np.ndarray) -> np.ndarray:
    """Shape (n, height, width, 3), uint8."""
    shape = " × ".join(map(str, images.shape))
    if images.ndim and not len(images):
        raise ImagesError(f"A batch has one image or more; received an array of {shape}.")
    if images.ndim != 4 or (images.shape[1] == 3) == (images.shape[3] == 3):
        also = " Add an axis for the batch, images[None]." if images.ndim == 3 and 3 in images.shape else ""
        raise ImagesError(
            f"An array of images is (n, 3, height, width) or (n, height, width, 3), RGB; received {shape}.{also}"
        )
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            raise ImagesError("Pixels are whole numbers from 0 to 255; some are nan or infinite. Correct the images.")
        low, high = images.min(), images.max()
        raise ImagesError(
            f"Pixels are whole numbers from 0 to 255, and what floating-point numbers from {low:g} to {high:g} mean is not "
            f"guessed. If white is 1, pass (images * 255).round().astype('uint8'); if it is 255, images.astype('uint8')."
        )
    if images.dtype != np.uint8 and (images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255):
        extent = "" if images.dtype.kind not in "iu" else f" from {images.min()} to {images.max()}"
        raise ImagesError(f"Pixels are whole numbers from 0 to 255; received {images.dtype}{extent}. Rescale them.")
    if images.max(initial=0) == 1:
        raise ImagesError(
            "Pixels are whole numbers from 0 to 255; these are 0 and 1 alone, nearly black. If white is 1, pass images * 255."
        )
    images = images.transpose(0, 2, 3, 1) if images.shape[1] == 3 else images
    _check_square(images.shape[2], images.shape[1], "an image of the array")
    return images.astype(np.uint8, copy=False)


def placed_pieces(
    images,
    folder: Path,
    source_degrees: float,
    target_degrees: float,
    plain: Plain | None = None,
    as_ppm: bool = False,
) -> Iterator[tuple[StimulusSet, Path]]:
    """Stimuli on a model's screen, some at a time, each with a folder of its own below ``folder``, which may go with them.

    Parameters
    ----------
    images : list or StimulusSet
        From :func:`listed`.
    folder : pathlib.Path
        For files that are made.
    source_degrees, target_degrees : float
        Width of the images, as people saw those of the fit, and of the model's field of view.
    plain : callable, optional
        Applied to the content of files and to PIL images that are neither RGB nor grey.
    as_ppm : bool
        Write arrays and PIL images as PPM, which takes half as long as PNG: see :func:`reads_ppm`.
    """
    for start in range(0, len(images), PIECE):
        piece = images[start : start + PIECE]
        if isinstance(images, StimulusSet):
            given = list(images["stimulus_id"])[start : start + PIECE]
            piece, names = [Path(images.get_stimulus(stimulus_id)) for stimulus_id in given], list(map(str, given))
        if not isinstance(images, StimulusSet) or len(set(names)) < len(names):
            names = _new_names(len(piece))
        own = folder / str(start)
        own.mkdir()

        def laid_down(name, number, image, own=own) -> Path:
            if isinstance(image, str | os.PathLike):
                return _shown_file(Path(image), own, plain)
            shown = _opened(image, plain)
            _check_square(*shown.size, f"image {number}")
            if not same_degrees(source_degrees, target_degrees):
                shown = ImageConverter(own).apply_ratio(shown, target_degrees / source_degrees)
                # as its file becomes a JPEG again
                if getattr(image, "format", None) in JPEGS and image.mode in ("RGB", "L"):
                    shown.save(own / f"{name}.jpg")
                    return own / f"{name}.jpg"
            if as_ppm:
                return write_ppm(shown, own / f"{name}.ppm")
            shown.save(own / f"{name}.png", compress_level=0)
            return own / f"{name}.png"

        with ThreadPoolExecutor(worker_count(), "images") as workers:
            made = dict(zip(names, workers.map(laid_down, names, itertools.count(start), piece), strict=True))
            given = [name for name, image in zip(names, piece, strict=True) if isinstance(image, str | os.PathLike)]
            hashes = dict(zip(given, workers.map(_sha1, map(made.get, given)), strict=True))
        if given:
            of_files = _stimuli({name: made[name] for name in given})
            placed = place_on_model_screen(of_files, hashes, source_degrees, target_degrees, [own])
            made |= {name: placed.get_stimulus(name) for name in given}
        yield _stimuli(made), own


def reads_ppm(model, folder: Path) -> bool:
    """Whether what prepares a model's images reads PPM: readers of torchvision do not. Of other models nothing is known."""
    prepare = getattr(asked(pytorch_wrapper(asked(model, "activations_model")), "_extractor"), "preprocess", None)
    path = write_ppm(Image.new("RGB", (64, 64), (128, 128, 128)), folder / "grey.ppm")
    with contextlib.suppress(Exception):
        return prepare is not None and len(prepare([str(path)])) == 1
    return False


def write_ppm(image: Image.Image, path: Path) -> Path:
    """An RGB image as it lies in memory: Pillow's own writing of PPM or BMP takes half as long again."""
    path.write_bytes(b"P6 %d %d 255\n" % image.size + image.tobytes())
    return path


def _new_names(n: int) -> list[str]:
    """Of images that have none, and that no other image has, in another program either: models may keep features by them."""
    return [f"image-{_PROCESS}-{next(_NUMBERS)}" for _ in range(n)]


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def _stimuli(paths: dict) -> StimulusSet:
    stimuli = StimulusSet({"stimulus_id": list(paths)})
    stimuli.stimulus_paths, stimuli.identifier = {name: str(path) for name, path in paths.items()}, None
    return stimuli


def _opened(image, plain: Plain | None) -> Image.Image:
    if isinstance(image, np.ndarray):  # by channels: Pillow reads a transposed array 15 times as slowly
        return Image.merge("RGB", [Image.fromarray(image[..., channel]) for channel in range(3)])
    _check_whole_numbers(image.mode, "an image")
    content = io.BytesIO()
    if is_turned(image):
        warn_once(TURNED.format("an image"))
    try:
        if image.mode in ("RGB", "L") and "transparency" not in image.info:
            with strict_decoding():  # a file may be read only now
                return image.convert("RGB")
        image.save(content, format="TIFF" if image.mode in NOT_IN_PNG else "PNG")
        copy = content.getvalue() if plain is None else plain(content.getvalue()) or content.getvalue()
        with open_image(copy) as opened:
            return opened.convert("RGB")
    except UNREADABLE as error:
        raise ImagesError(
            f"Images are RGB or grey, and whole; one of mode {image.mode} cannot be shown ({error})."
        ) from error


def _shown_file(path: Path, folder: Path, plain: Plain | None) -> Path:
    try:
        content = path.read_bytes()
        with strict_decoding(), open_image(content) as image:
            size, mode, turned = image.size, image.mode, is_turned(image)
        copy = plain(content) if plain is not None and mode != FLOATS else None
    except UNREADABLE as error:
        raise ImagesError(
            f"Images are files that can be read; {path} is not ({type(error).__name__}: {error})."
        ) from error
    _check_whole_numbers(mode, str(path))
    _check_square(*size, str(path))
    if turned:
        warn_once(TURNED.format(path))
    if copy is None:
        return path
    target = folder / f"{hashlib.sha1(content).hexdigest()} {mode}.png"
    target.write_bytes(copy)
    return target


def _check_whole_numbers(mode: str, what: str) -> None:
    if mode == FLOATS:
        raise ImagesError(
            f"Pixels are whole numbers from 0 to 255, and what floating-point numbers mean is not guessed; {what} has mode "
            f"{mode}. Save it with 8 bits a channel."
        )


def _check_square(width: int, height: int, what: str) -> None:
    if width != height:
        raise ImagesError(
            f"Images are square, as those of the fit were; {what} has {width} × {height} pixels. Crop it, or pad it with grey."
        )


def made_images(n: int = 4, size: int = 64) -> np.ndarray:
    """Coloured blotches, always the same; uint8, shape (n, 3, size, size)."""
    coarse = np.random.default_rng(20261126).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
    return coarse.repeat(size // 8, axis=2).repeat(size // 8, axis=3)

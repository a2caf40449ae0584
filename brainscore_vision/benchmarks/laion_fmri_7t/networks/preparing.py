"""From image files to what a network sees: the whole image, resized to the network's input and normalised."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from brainscore_vision.model_helpers.activations.pytorch import load_images
from PIL import Image

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.first_images import (
    Held,
    first_images_matter,
    learned_from_first,
    same_arrays,
)

from .errors import ModelSourceError


@dataclass(frozen=True)
class InputSettings:
    """How a network wants its images; the defaults are those of most networks that were trained on ImageNet.

    Attributes
    ----------
    size : tuple of int
        Height and width in pixels.
    mean, std : tuple of float
        Per channel, of pixels between 0 and 1.
    interpolation : str
        ``nearest``, ``bilinear``, ``bicubic``, ``lanczos`` ...; Pillow's names.
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def __str__(self) -> str:
        height, width = self.size
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"resized to {height} × {width} ({self.interpolation}) and normalised with means {mean} and deviations {std}"

    def preprocessing(self) -> Callable:
        """From a list of paths to an array, as Brain-Score's PytorchWrapper calls it."""
        # a partial of numbers and text: what tells one preprocessing from another can be seen from outside
        return functools.partial(
            whole_images, size=self.size, mean=self.mean, std=self.std, interpolation=self.interpolation
        )


def whole_images(
    paths: Sequence, size: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...], interpolation: str
) -> np.ndarray:
    """Images resized as a whole, never cropped: what people saw at the border is seen by the network too.

    Parameters
    ----------
    paths : sequence of str
    size, mean, std, interpolation
        See :class:`InputSettings`. An image that is not square is squeezed into a square input, as Brain-Score does it.

    Returns
    -------
    numpy.ndarray of float32, shape (n_images, n_channels, height, width)
    """
    height, width = size
    mode, resample = ("L" if len(mean) == 1 else "RGB"), Image.Resampling[interpolation.upper()]
    images = [_in_mode(image, mode).resize((width, height), resample) for image in load_images(paths)]
    values = np.stack([np.asarray(image, dtype=np.float32).reshape(height, width, len(mean)) for image in images])
    values = (values / 255 - np.asarray(mean, dtype=np.float32)) / np.asarray(std, dtype=np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which would be a copy


def transformed_images(paths: Sequence, transform: Callable) -> np.ndarray:
    """Images after a transform of the user's.

    Parameters
    ----------
    paths : sequence of str
    transform : callable
        From a PIL image (RGB) to a tensor or an array of real numbers, shape (n_channels, height, width).

    Returns
    -------
    numpy.ndarray of float, shape (n_images, n_channels, height, width)

    Raises
    ------
    ModelSourceError
        The transform returns something else, or images of different sizes.
    """
    images = [_checked(transform(image.convert("RGB")), transform) for image in load_images(paths)]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise ModelSourceError(
            f"preprocessing makes all images one size; {_name(transform)} returns {' and '.join(map(str, shapes))}. Add a "
            f"resize to one height and width to it."
        )
    return np.stack(images)


def check_transform(transform: Callable) -> np.ndarray:
    """What a transform makes of a grey image; shape (n_channels, height, width).

    Raises
    ------
    ModelSourceError
        It cannot be called, fails, returns no image, or learns from the first images.
    """
    if not callable(transform):
        raise ModelSourceError(
            f"preprocessing is a function of one PIL image; received a {type(transform).__name__}. Leave it out for the "
            f"network's own, or pass a function, such as a torchvision transform."
        )
    before = Held([transform])
    try:
        answer = transform(grey_image())
    except Exception as error:
        raise ModelSourceError(
            f"preprocessing is a function of one PIL image; {_name(transform)} fails on a grey one: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    checked = _checked(answer, transform)
    learned = learned_from_first(
        [transform], before, lambda: [_checked(transform(noise_image()), transform)], tuple, same_arrays
    )
    if learned:
        raise ModelSourceError(first_images_matter(f"preprocessing ({_name(transform)})", learned))
    return checked


def grey_image() -> Image.Image:
    """What a network and its preprocessing are tried with."""
    return Image.new("RGB", (230, 230), (128, 128, 128))


def noise_image() -> Image.Image:
    """Another one of the same size."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (230, 230, 3), np.uint8))


def _checked(answer, transform: Callable) -> np.ndarray:
    import torch

    if isinstance(answer, torch.Tensor):
        answer = answer.detach().cpu().float().numpy() if answer.is_floating_point() else answer.detach().cpu().numpy()
    kind = type(answer).__name__
    if isinstance(answer, np.ndarray):
        if answer.ndim == 3 and np.issubdtype(answer.dtype, np.floating):
            return answer.copy()  # a transform may fill one array for each image in turn
        kind = f"{answer.dtype} of shape {answer.shape}"
    if answer is None:
        remedy = "Let it return the image."
    elif isinstance(answer, Image.Image) or "int" in kind:
        remedy = "Let it end with a conversion to floating point, such as torchvision's ToTensor, and a normalisation."
    else:
        remedy = "Let it return the image alone, without an axis of its own for batches."
    raise ModelSourceError(
        f"preprocessing returns a tensor or an array of floating point numbers, channels × height × width, for one image; "
        f"{_name(transform)} returns {kind}. {remedy}"
    )


def _name(transform: Callable) -> str:
    return getattr(transform, "__qualname__", type(transform).__name__)

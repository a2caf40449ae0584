"""Out-of-distribution images, one maker for each of the nine types."""

import re
from collections.abc import Callable

import numpy as np

from ..ids import StimulusId
from .canvas import GREY, Picture, Scene, Sprite, flat, grid, to_uint8, with_alpha
from .figures import coloured_shapes, sign
from .illusions import classic_illusion
from .photographs import crop, jitter, recolour
from .rng import generator
from .stimuli_ids import NOUNS
from .textures import landscape, natural_texture, noise
from .things import opacity, outline, shading, thing


def ood_picture(stimulus: StimulusId, size: int, seed: int) -> Picture:
    """A picture for an out-of-distribution name.

    Parameters
    ----------
    stimulus : StimulusId
        With an `ood_type`.
    size : int
        Width and height in pixels.
    seed : int

    Returns
    -------
    Picture
        RGBA where the name ends in .png, else RGB. The coloured 'deeprecon' figures are opaque, all other RGBA ones
        have transparent surroundings, as 116 of the release's 131 have.
    """
    return _MAKERS[stimulus.ood_type](generator(seed, "picture", stimulus.text), stimulus.name, size)


def _shape(rng: np.random.Generator, name: str, size: int) -> Picture:
    if name.startswith("blob_"):
        return _blob(rng, name, size)
    if name.startswith("deeprecon_"):
        return sign(name, size)
    return coloured_shapes(rng, name, size)


def _blob(rng: np.random.Generator, name: str, size: int) -> Picture:
    theta = np.linspace(-np.pi, np.pi, 512, endpoint=False)
    spikes = 0 if name.removeprefix("blob_round-").isdecimal() else rng.integers(7, 14)
    radius = 1 + sum(rng.normal(0, 0.25 / k) * np.cos(k * theta + rng.uniform(0, 6.3)) for k in range(2, 6))
    if spikes:
        radius = radius + 0.5 * np.abs((theta * spikes / np.pi) % 2 - 1)
    radius = np.maximum(radius, 0.3)
    alpha = opacity((0.85 * radius / radius.max()).astype(np.float32), size)
    body = np.float32(0.75) * shading(alpha, rng) * (1 + np.float32(0.06) * noise(rng, size, 1.0)[0])
    return Picture(with_alpha(np.repeat(body[..., None], 3, -1), alpha), (("blob", alpha > 0.5),))


def _relations(rng: np.random.Generator, name: str, size: int) -> Picture:
    first, relation, second = _RELATION.fullmatch(name).groups()
    scene = Scene(jitter(rng, landscape(rng, size, rng.random()), hue=0.02))
    dx, dy, ratio = _OFFSETS[relation]
    x, y, width = rng.uniform(0.42, 0.58), rng.uniform(0.55, 0.68), rng.uniform(0.3, 0.42)
    things = [
        (thing(rng, second, width * size), x, y),
        (thing(rng, first, width * ratio * size), x + dx * width, y + dy * width),
    ]
    if relation == "between":
        things.insert(1, (thing(rng, second, width * size), x + 2 * dx * width, y))
    if relation == "under":  # what is under is hidden in part
        things.reverse()
    for sprite, at_x, at_y in things:
        scene.paste(sprite, at_x, at_y)
    return scene.picture()


# from the second thing to the first, in widths of the second, and the first one's size
_OFFSETS = {
    "ontop": (0.0, -0.75, 0.8),
    "above": (0.0, -1.1, 0.7),
    "under": (0.1, 0.55, 0.9),
    "inside": (0.0, 0.0, 0.5),
    "beside": (0.8, 0.1, 0.8),
    "between": (0.6, 0.15, 0.6),
}


_RELATION = re.compile(rf"\d+_(.+)-({'|'.join(_OFFSETS)})-(.+)_\d+")


def _unusual(rng: np.random.Generator, name: str, size: int) -> Picture:
    """Things made of the wrong stuff, in places of the wrong colour."""
    setting = landscape(rng, size, rng.random()) if rng.random() < 0.5 else crop(rng, size)
    scene = Scene(recolour(setting, hue=rng.uniform(0.2, 0.8)))
    noun = name.split("-")[0]
    for width in (rng.uniform(0.5, 0.75), rng.uniform(0.2, 0.35)):
        stuff = crop(rng, round(width * size), zoom=(0.1, 0.3)) if rng.random() < 0.6 else None
        if stuff is not None:
            stuff = recolour(stuff, hue=rng.uniform(0.2, 0.8), saturation=1.5)
        sprite = thing(rng, noun if width > 0.4 else str(rng.choice(NOUNS)), round(width * size), stuff)
        scene.paste(sprite, rng.uniform(0.3, 0.7), rng.uniform(0.4, 0.7))
    return scene.picture()


def _cropped(rng: np.random.Generator, name: str, size: int) -> Picture:
    """An object cut out of its photograph; what surrounds it is transparent."""
    noun = name
    alpha = opacity(outline(noun) * np.float32(rng.uniform(0.6, 0.95)), size, turn=rng.normal(0, 0.06))
    rgb = jitter(rng, crop(rng, size, zoom=(0.3, 0.8)), hue=0.2) * shading(alpha, rng)[..., None]
    # whatever is stored under transparent pixels must never be seen: make it loud
    rgb = np.where(alpha[..., None] > 0, rgb, np.array([1, 0, 1], np.float32))
    return Picture(with_alpha(rgb, alpha), ((noun, alpha > 0.5),))


def _selfmade(rng: np.random.Generator, name: str, size: int) -> Picture:
    """Snapshots of odds and ends on a desk."""
    desk = natural_texture(rng, size, 0.08)
    scene = Scene(recolour(desk, saturation=0.6, contrast=0.6, brightness=rng.uniform(0, 0.15)))
    for _ in range(rng.integers(3, 7)):
        width = rng.uniform(0.15, 0.35)
        scene.paste(thing(rng, str(rng.choice(NOUNS)), width * size), *rng.uniform(0.15, 0.85, 2))
    return scene.picture()


def _gaudy(rng: np.random.Generator, name: str, size: int) -> Picture:
    """An image pushed to the corners of the colour cube."""
    scene = Scene(crop(rng, size))
    noun = name.removeprefix("gaudy-")
    scene.paste(thing(rng, noun, 0.6 * size), 0.5, 0.5)
    pushed = (scene.canvas - scene.canvas.mean((0, 1))) * rng.uniform(6, 12) + 0.5
    pushed = recolour(np.clip(pushed, 0, 1).astype(np.float32), saturation=1.6)
    return Picture(to_uint8(pushed), tuple(scene.parts))


def _gabor(rng: np.random.Generator, name: str, size: int) -> Picture:
    x, y = grid(size)
    place = name.split("-", 2)[2]
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    cycles = np.float32(np.pi * rng.uniform(5, 9))
    whole = {
        "concentric": radius * cycles,
        "radial": angle * np.float32(rng.integers(8, 16)),
        "spiral-left": angle * np.float32(6) + radius * cycles,
        "spiral-right": -angle * np.float32(6) + radius * cycles,
    }
    if place in whole:
        wave, envelope = np.cos(whole[place]), np.exp(-((radius / 0.75) ** 4))
    else:
        down, right = {"top": -0.45, "center": 0.0, "bottom": 0.45}, {"left": -0.45, "right": 0.45}
        dx, dy = x - right[place.split("-")[1]], y - down[place.split("-")[0]]
        turn = rng.uniform(0, np.pi)
        wave = np.cos((np.cos(turn) * dx + np.sin(turn) * dy) * cycles * 2)
        envelope = np.exp(-(dx**2 + dy**2) / 0.06)
    return Picture(to_uint8(flat(size, GREY) + (np.float32(0.48) * wave * envelope)[..., None]))


def _illusion_natural(rng: np.random.Generator, name: str, size: int) -> Picture:
    """Photographs in which something cannot be."""
    noun, effect = name.rsplit("-", 1)
    scene = Scene(jitter(rng, crop(rng, size, zoom=(0.6, 0.95))))
    canvas = scene.canvas
    if effect == "glitch":
        for top in np.sort(rng.integers(0, size - size // 8, 5)):
            band = slice(top, top + size // 10)
            canvas[band] = np.roll(canvas[band], rng.integers(size // 8, size // 2), axis=1)
    elif effect == "mirror":
        canvas[:, size // 2 :] = canvas[:, size // 2 - size % 2 :: -1][:, : size - size // 2]
    elif effect == "portal":
        other = jitter(rng, crop(rng, size // 2), hue=0.3)
        scene.paste(Sprite("portal", other, opacity(np.ones(512, np.float32), size // 2)), 0.5, 0.5)
    else:
        scene.paste(thing(rng, noun, 0.85 * size, jitter(rng, crop(rng, int(0.85 * size)))), 0.5, 0.6)
    return scene.picture()


def _illusion_classic(rng: np.random.Generator, name: str, size: int) -> Picture:
    return classic_illusion(name, size)


_MAKERS: dict[str, Callable[[np.random.Generator, str, int], Picture]] = {
    "shape": _shape,
    "relations": _relations,
    "unusual": _unusual,
    "cropped": _cropped,
    "selfmade": _selfmade,
    "gaudy": _gaudy,
    "illusion-classic": _illusion_classic,
    "gabor": _gabor,
    "illusion-natural": _illusion_natural,
}

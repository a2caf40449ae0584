"""Where things are in the panels of a figure, in the units of its axes."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"
POINT = re.compile(r"[ML] (-?[\d.]+) (-?[\d.]+)")


@dataclass(frozen=True)
class Line:
    """A straight line from one end to the other."""

    x: tuple[float, float]
    y: tuple[float, float]
    style: dict[str, str]


@dataclass(frozen=True)
class Marker:
    x: float
    y: float
    style: dict[str, str]

    @property
    def is_filled(self):
        return "fill" in self.style


class Panel:
    """What was plotted into one pair of axes; y stays in points, downwards, where the axis has no grid."""

    def __init__(self, svg, number=1):
        groups = ElementTree.fromstring(svg).iter(f"{SVG}g")
        self._axes = next(group for group in groups if group.get("id") == f"axes_{number}")
        self._scales = {name: self._scale(name) for name in "xy"}

    def lines(self, **style):
        """Lines between two points whose style has these values (underscores for hyphens)."""
        found = []
        for group in self._plotted():
            for path in group.findall(f"{SVG}path"):
                ends = np.array(POINT.findall(path.get("d")), float)
                if len(ends) == 2:
                    x, y = (tuple(self._scales[name](ends[:, i]).tolist()) for i, name in enumerate("xy"))
                    found.append(Line(x, y, _style(path)))
        return [line for line in found if _fits(line, style)]

    def markers(self, **style):
        """Markers whose style has these values."""
        found = [
            Marker(*(float(self._scales[name](float(use.get(name)))) for name in "xy"), _style(use))
            for group in self._plotted()
            for use in group.iter(f"{SVG}use")
        ]
        return [marker for marker in found if _fits(marker, style)]

    def _plotted(self):
        return [group for group in self._axes if group.get("id", "").startswith("line2d")]

    def _scale(self, name):
        """Points to the axis's units, from two of its labelled grid lines."""
        known = []
        for tick in self._axes.iter(f"{SVG}g"):
            if tick.get("id", "").startswith(f"{name}tick"):
                label = "".join(text for element in tick.iter(f"{SVG}text") for text in element.itertext())
                grid = [
                    p for p in tick.iter(f"{SVG}path") if len(POINT.findall(p.get("d"))) == 2 and p.get("clip-path")
                ]
                if grid and re.fullmatch(r"−?[\d.]+", label):
                    place = POINT.findall(grid[0].get("d"))[0]["xy".index(name)]
                    known.append((float(place), float(label.replace("−", "-"))))
        if len(known) < 2:
            return np.asarray
        (a, low), *_, (b, high) = known
        return lambda places: low + (np.asarray(places) - a) * (high - low) / (b - a)


def _style(element):
    return dict(part.strip().split(": ", 1) for part in element.get("style", "").split(";") if ": " in part)


def _fits(drawn, style):
    return all(drawn.style.get(name.replace("_", "-")) == value for name, value in style.items())

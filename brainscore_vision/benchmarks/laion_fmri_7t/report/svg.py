"""Matplotlib's SVG, made fit to stand with others in one page: unique ids, contained styles, colours of the page, a text
alternative."""

from __future__ import annotations

import re
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
TITLE_ID = "report-title"
"""Id of the group that a page leaves out, because it has the title as a heading."""

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)

THEMED = frozenset("#000000 #222222 #444444 #666666 #7a5c00 #aaaaaa #b00020 #e3e3e3 #eeeeee #ffffff".split())
"""Colours that a page may replace, by its variable ``--fig-222222`` and so on; page.css does so on dark screens."""

_COORDINATES = ("d", "x", "y", "width", "height", "transform")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_COLOURED = ("style", "fill", "stroke")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def standalone(svg: str, alt: str) -> str:
    """A file of its own: as drawn, with a text alternative.

    Parameters
    ----------
    svg : str
        As matplotlib writes it.
    alt : str
        What the picture shows, in words.
    """
    root = _read(svg)
    _describe(root, alt)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def inline(svg: str, name: str, alt: str, title_height: float) -> str:
    """An element of a page, without its title; ids start with ``name``, and the colours of :data:`THEMED` are the page's.

    Parameters
    ----------
    svg : str
        As matplotlib writes it.
    name : str
        Unique in the page.
    alt : str
        What the picture shows, in words.
    title_height : float
        Points to cut off at the top.
    """
    root = _read(svg)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}title") or child.get("id") == TITLE_ID:
                parent.remove(child)
    for element in root.iter():
        if element.tag == f"{{{SVG}}}style":  # matplotlib's reaches every element of the page
            element.text = (element.text or "").replace("*", f"#{name} *", 1)
        for attribute, value in element.items():
            if attribute == "id":
                element.set("id", f"{name}--{value}")
            elif attribute == f"{{{XLINK}}}href" and value.startswith("#"):
                element.set(attribute, f"#{name}--{value.removeprefix('#')}")
            else:
                value = _REFERENCE.sub(rf"url(#{name}--\1)", value)
                element.set(attribute, _COLOUR.sub(_themed, value) if attribute in _COLOURED else value)
    _describe(root, alt)
    left, top, width, height = map(float, root.get("viewBox").split())
    root.set("viewBox", f"{left:g} {top + title_height:g} {width:g} {height - title_height:g}")
    root.set("id", name)
    for size in ("width", "height"):
        del root.attrib[size]
    return ElementTree.tostring(root, encoding="unicode")


def _themed(match: re.Match) -> str:
    colour = match[0]
    return f"var(--fig-{colour[1:]}, {colour})" if colour in THEMED else colour


def _describe(root: ElementTree.Element, alt: str) -> None:
    root.set("role", "img")
    root.set("aria-label", alt)


def _read(svg: str) -> ElementTree.Element:
    """Elements, the same whenever the same is drawn: the layout's last digits differ from run to run, and ids with them.

    Coordinates are rounded to a hundredth of a point, and ids that others refer to are numbered.
    """
    root = ElementTree.fromstring(svg)
    for picture in root.iter(f"{{{SVG}}}image"):
        picture.attrib.pop("id", None)  # made of its content: equal pictures would have one
    numbers: dict[str, str] = {}
    for element in root.iter():
        for attribute, value in element.items():
            if attribute in _COORDINATES:
                element.set(attribute, _LONG_NUMBER.sub(lambda match: f"{float(match[0]):.2f}", value))
            is_link = attribute == f"{{{XLINK}}}href" and value.startswith("#")  # others are pictures in the file
            referred = [value.removeprefix("#")] if is_link else _REFERENCE.findall(value)
            for name in referred:
                numbers.setdefault(name, f"r{len(numbers) + 1}")
    for element in root.iter():
        for attribute, value in element.items():
            if attribute == "id":
                element.set("id", numbers.get(value, value))
            elif attribute == f"{{{XLINK}}}href" and value.startswith("#"):
                element.set(attribute, f"#{numbers[value.removeprefix('#')]}")
            else:
                element.set(attribute, _REFERENCE.sub(lambda match: f"url(#{numbers[match[1]]})", value))
    return root

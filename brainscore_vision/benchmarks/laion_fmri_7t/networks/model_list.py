"""Lists of models in files: one name per line, or a table (CSV, YAML) with layers, names and properties."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainscore_vision.data.laion_fmri_7t.errors import SchemaError
from brainscore_vision.data.laion_fmri_7t.text_files import read_csv, read_lines, read_text

from .errors import ModelSourceError
from .property_table import MISSING, read_property_table
from .region_layers import parse_layers
from .sources import split_call, with_whole_path

TABLES = (".csv", ".tsv", ".yaml", ".yml", ".json")
"""JSON is YAML, too."""

SOURCE, LAYERS, NAME = "source", "layers", "name"
WORDS = (SOURCE, LAYERS, NAME)
MEANT = {"layer": LAYERS, "sources": SOURCE, "names": NAME}
"""Columns that nobody means as properties."""

OF_TABLES = ("key", "columns", "ids")
"""Options of a table of features (``laion-score score --features``), which a list cannot say."""

_WITH_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+$")

_COMMENT = re.compile(r"(^|\s)#.*")
_FORM = (
    "a list of models has a row for each, with the columns source (what `laion-score score` takes), if need be layers and "
    "name, and any others, which are properties of the model"
)


@dataclass(frozen=True)
class Listed:
    """A model of a list.

    Attributes
    ----------
    source : str
        As :func:`~.finding.find_model` takes it. Files are found from the list's folder where they are not in the working one.
    layers : dict, "auto" or None
        As :func:`~.region_layers.parse_layers` returns them; None where the list names none.
    properties : dict of str to str or number
        ``name`` is its name in results; others are shown beside it.
    """

    source: str
    layers: Mapping | str | None = None
    properties: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def read_model_list(path: Path) -> list[Listed]:
    """The models of a list, in order, each once.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.tsv``, ``.yaml``, ``.yml`` or ``.json``: a table. Any other ending: a name per line, and comments after #.

    Raises
    ------
    ModelSourceError
        It cannot be read, lacks sources, names a model twice with other layers or properties, or two models alike.
    """
    path = Path(path)
    try:
        if path.suffix.lower() not in TABLES:
            names = filter(None, (_COMMENT.sub("", line).strip() for line in read_lines(path)))
            found = [Listed(_found(name, path)) for name in names]
        else:
            rows = _csv_rows(path) if path.suffix.lower() in (".csv", ".tsv") else _yaml_rows(path)
            found = [_listed(row, number, path) for number, row in enumerate(rows, start=1)]
    except (OSError, SchemaError) as error:
        raise ModelSourceError(f"{path} is read as a list of models; it cannot be: {error}.") from error
    if not found:
        raise ModelSourceError(f"{path} is read as a list of models, with a name per line or row; it holds none.")
    return _each_once(found, path)


def is_model_list(path: Path) -> bool:
    """Whether a table is a list of models, and none of features: it names where models come from."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return False
    try:
        columns = [str(column).strip().casefold() for column in read_csv(path, nrows=0).columns]
    except SchemaError:
        return False  # whoever reads it says what is wrong
    return SOURCE in columns


def _check_columns(columns: Sequence, path: Path) -> None:
    """Raise ModelSourceError for a column that would be taken for a property, and was meant for more."""
    for column in columns:
        plain = str(column).strip().casefold()
        meant = MEANT.get(plain, plain)
        if plain in OF_TABLES or plain.lstrip("-") in OF_TABLES:
            raise ModelSourceError(
                f"{path}: {_FORM}; received a column {str(column)!r}, an option of tables of features, which lists take whole. "
                f"Write what is to be scored of a table into a file of its own, or call the property something else."
            )
        again = re.fullmatch(rf"({SOURCE}|{LAYERS}|{NAME})\.\d+", plain)  # pandas counts columns of one name
        if again:
            raise ModelSourceError(f"{path}: {_FORM}; the column {again[1]!r} stands there twice. Keep one of them.")
        if meant in (SOURCE, LAYERS, NAME) and column != meant:
            raise ModelSourceError(f"{path}: {_FORM}; received a column {str(column)!r}. Call it {meant!r}.")


def _listed(row: Mapping, number: int, path: Path) -> Listed:
    _check_columns(list(row), path)
    source = row.get(SOURCE)
    if not isinstance(source, str) or not source.strip():
        raise ModelSourceError(f"{path}, row {number}: {_FORM}; this one has no source.")
    layers = row.get(LAYERS)
    if isinstance(layers, str):
        layers = parse_layers(layers)
    elif layers is not None and not isinstance(layers, Mapping):
        raise ModelSourceError(f"{path}, row {number}: layers are V1=LAYER,IT=LAYER or auto; received {layers!r}.")
    properties = {str(k): v for k, v in row.items() if k not in (SOURCE, LAYERS) and v is not None}
    wrong = [name for name, value in properties.items() if not isinstance(value, str | int | float | bool)]
    if wrong:
        raise ModelSourceError(f"{path}, row {number}: a property is text or a number; {', '.join(wrong)} is more.")
    endless = [name for name, value in properties.items() if isinstance(value, float) and not math.isfinite(value)]
    if endless:
        raise ModelSourceError(
            f"{path}, row {number}: a property is text or a finite number; {', '.join(endless)} is {properties[endless[0]]}. "
            f"Leave it empty."
        )
    if isinstance(properties.get(NAME), bool):
        raise ModelSourceError(f"{path}, row {number}: a name is text; received {row[NAME]!r}. Put it in quotes.")
    properties = {k: v.strip() if isinstance(v, str) else v for k, v in properties.items()}
    return Listed(_found(source.strip(), path), layers, properties)


def _csv_rows(path: Path) -> list[dict]:
    frame = read_property_table(path, WORDS)
    _check_columns(frame.columns, path)
    if SOURCE not in frame.columns:
        raise ModelSourceError(f"{path}: {_FORM}; its columns are {', '.join(map(str, frame.columns))}.")
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _yaml_rows(path: Path) -> list[dict]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses what YAML forbids and PyYAML reads: a key that stands twice, of which the last would count.

        Reads 1e-4 and 5.7e6 as numbers, as YAML 1.2 and JSON do, and tables.
        """

        def construct_mapping(self, node, deep=False):
            keys = [key.value for key, _ in node.value]
            twice = [key for key in keys if keys.count(key) > 1]
            if twice:
                raise yaml.constructor.ConstructorError(None, None, f"{twice[0]} stands there twice", node.start_mark)
            return super().construct_mapping(node, deep)

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _WITH_EXPONENT, list("+-.0123456789"))
    try:
        rows = yaml.load(read_text(path), Loader)
    except yaml.YAMLError as error:
        raise ModelSourceError(
            f"{path} is read as {path.suffix[1:].upper()}; it cannot be: {' '.join(str(error).split())}."
        ) from error
    rows = [{SOURCE: row} if isinstance(row, str) else row for row in rows] if isinstance(rows, list) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ModelSourceError(f"{path}: {_FORM}; in YAML or JSON it is a list of mappings, - source: alexnet.")
    return [
        {name: None if name not in WORDS and value in MISSING else value for name, value in row.items()} for row in rows
    ]


def _plain(value):
    """A number of numpy's as Python's; whole numbers that a gap in the column has made floating point are whole again."""
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and math.isfinite(value) and value == int(value) else value


def _found(source: str, path: Path) -> str:
    """A source whose file is beside the list, with its path."""
    place, call = split_call(source)
    is_code = place.endswith(".py")
    file = Path(place if is_code else source).expanduser()
    beside = path.parent / file
    if (is_code or file.suffix) and not file.is_absolute() and not file.is_file() and beside.is_file():
        return f"{beside}:{call}" if is_code else str(beside)
    return source


def _each_once(found: Sequence[Listed], path: Path) -> list[Listed]:
    by_source: dict[str, Listed] = {}
    names: dict[str, str] = {}
    for one in found:
        known = by_source.setdefault(with_whole_path(one.source), one)
        if (known.layers, known.properties) != (one.layers, one.properties):
            raise ModelSourceError(
                f"{path}: a model stands in a list once; {one.source!r} stands there in two ways. For another layer, or other "
                f"properties, write a list of its own."
            )
        name = one.properties.get(NAME)
        if name is not None and with_whole_path(names.setdefault(str(name), one.source)) != with_whole_path(one.source):
            raise ModelSourceError(
                f"{path}: a name is of one model; {name!r} is the name of {names[str(name)]!r} and {one.source!r}."
            )
    return list(by_source.values())

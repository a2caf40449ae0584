"""A manifest of hashes beside the images: what every image was when somebody knew that it was right.

A strict decoder finds a file that was cut short. It cannot find changed bytes that are valid data again, an image in
another's place or rows of the HDF5 in another order. A hash of each image, taken once, finds all of these.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import DatasetError, SchemaError
from ..home import write_atomically

SEAL = "seal.json"
_FORMAT = 1
_SHOWN = 3
_SEAL_AGAIN = "If the images were changed on purpose, run `laion-score data seal {folder} --force`."


@dataclass(frozen=True)
class Differences:
    """Stimuli whose images are not those of the seal."""

    changed: list[str]
    missing: list[str]
    added: list[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.added)

    def __str__(self) -> str:
        parts = []
        for what, names in (("changed", self.changed), ("missing", self.missing), ("added", self.added)):
            if names:
                parts.append(f"{len(names)} {what}, first {', '.join(map(repr, names[:_SHOWN]))}")
        return "; ".join(parts)


def differences(sealed: dict[str, str], found: dict[str, str]) -> Differences:
    """Compare hashes by stimulus id."""
    return Differences(
        [i for i, sha1 in found.items() if i in sealed and sealed[i] != sha1],
        [i for i in sealed if i not in found],
        [i for i in found if i not in sealed],
    )


def read_seal(folder: Path) -> dict[str, str] | None:
    """Hashes by stimulus id.

    Parameters
    ----------
    folder : Path
        Where the manifest, or the release's files are.

    Returns
    -------
    dict of str to str, or None
        None if the images were not sealed.

    Raises
    ------
    SchemaError
        If the seal cannot be read.
    """
    path = folder / SEAL
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = content["images"]
        if content["format"] != _FORMAT or not all(isinstance(text, str) for item in images.items() for text in item):
            raise ValueError(f"its format is {content['format']!r}")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SchemaError(
            f"A seal is JSON of format {_FORMAT} with a hash for each image; {path} is not ({type(error).__name__}: "
            f"{error}). Restore it, or make another with `laion-score data seal {folder} --force`."
        ) from error
    return images


def write_seal(folder: Path, hashes: dict[str, str], force: bool = False) -> bool:
    """Write the seal, whole or not at all.

    Parameters
    ----------
    folder : Path
        Where the manifest, or the release's files are.
    hashes : dict of str to str
        SHA-1 (hexadecimal) of each stimulus' encoded image.
    force : bool
        Replace a seal that says something else.

    Returns
    -------
    bool
        False if the same seal was there.

    Raises
    ------
    DatasetError
        If another seal is there, or the folder cannot be written.
    """
    path = folder / SEAL
    if not force:
        sealed = read_seal(folder)
        if sealed is not None:
            changes = differences(sealed, hashes)
            if not changes:
                return False
            raise DatasetError(
                f"Images stay as they were sealed; those of {folder} are not those of {SEAL}: {changes}. "
                f"{_SEAL_AGAIN.format(folder=folder)}"
            )
    content = json.dumps({"format": _FORMAT, "hash": "sha1", "images": hashes}, indent=0, ensure_ascii=False)
    try:
        write_atomically(path, content.encode())
    except OSError as error:
        raise DatasetError(
            f"The seal lies beside the images, so their folder must be writable; {path} cannot be written "
            f"({error.strerror}). Ask the owner of the folder to seal it."
        ) from error
    return True


def check_seal(folder: Path, found: dict[str, str], how_to_restore: str) -> None:
    """Refuse images that are not as they were sealed; images that were not sealed at all pass.

    Parameters
    ----------
    folder : Path
        Where the manifest, or the release's files are.
    found : dict of str to str
        Some of the stimuli: SHA-1 (hexadecimal) of the encoded image.
    how_to_restore : str
        A sentence for the error.

    Raises
    ------
    DatasetError
        If an image has another hash than in the seal, or is not in it.
    """
    sealed = read_seal(folder)
    if sealed is None:
        return
    changes = differences({i: sealed[i] for i in found if i in sealed}, found)
    if changes:
        raise DatasetError(
            f"Images are shown as they were sealed in {folder / SEAL}; of {len(found)}, {changes}. {how_to_restore} "
            f"{_SEAL_AGAIN.format(folder=folder)}"
        )

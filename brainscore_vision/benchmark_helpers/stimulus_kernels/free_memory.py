"""How much memory this process can still take.

A container or a job's limit is one of a control group (cgroup). Groups are nested, and each of them has a limit of its own;
the files are those of Linux' documentation (admin-guide/cgroup-v1/memory.rst and admin-guide/cgroup-v2.rst).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

NO_LIMIT = 2**62
"""Version 1 writes "no limit" as the largest number of pages."""


@dataclass(frozen=True)
class GroupFiles:
    """Files of a control group, and the lines of its statistics that count page cache in use and not.

    Attributes
    ----------
    limit, used : str
        Names of files with a number of bytes.
    cache : tuple of str
        Page cache on the kernel's lists of file pages, of the group and those below it. What lies in shared memory or tmpfs
        is not among it.
    mapped : str
        Page cache that processes have mapped: they would have to read it again.
    """

    limit: str
    used: str
    cache: tuple[str, ...]
    mapped: str


VERSION_1 = GroupFiles(
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_active_file", "total_inactive_file"),
    "total_mapped_file",
)
VERSION_2 = GroupFiles("memory.max", "memory.current", ("active_file", "inactive_file"), "file_mapped")


def available_bytes(proc: Path = Path("/proc/self")) -> int:
    """Bytes that this process can still take: the least of what the machine and each of its control groups can give.

    Page cache that nobody has mapped counts as free: the kernel gives it back before it kills a process.

    Parameters
    ----------
    proc : pathlib.Path
        Folder of a process, with ``cgroup`` and ``mountinfo``. Systems without such a folder have no groups.
    """
    return min([psutil.virtual_memory().available, *(_free(group, files) for group, files in _groups(proc))])


def _groups(proc: Path) -> Iterator[tuple[Path, GroupFiles]]:
    """Folders of the memory groups of a process, from its own to the outermost that can be seen."""
    try:
        memberships, mounts = (proc / "cgroup").read_text(), (proc / "mountinfo").read_text()
    except OSError:
        return
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, mount_point = (_unescaped(field) for field in before.split()[3:5])
        filesystem, _, options = after.split()[:3]
        if filesystem == "cgroup2":
            member, files = re.search(r"^0::(.*)$", memberships, re.MULTILINE), VERSION_2
        elif filesystem == "cgroup" and "memory" in options.split(","):
            member, files = re.search(r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$", memberships, re.MULTILINE), VERSION_1
        else:
            continue
        if member is None:
            continue
        # a container sees its own group as the root of the mount, whatever the group is called outside
        inside = PurePosixPath(member[1])
        below = (
            inside.relative_to(root) if inside.is_relative_to(root) and ".." not in inside.parts else PurePosixPath()
        )
        folder = Path(mount_point, below)
        for group in (folder, *folder.parents[: len(below.parts)]):
            yield group, files


def _free(group: Path, files: GroupFiles) -> int:
    """Bytes that a group can still give; without a limit more than any machine has."""
    try:
        limit, used = (int((group / name).read_text()) for name in (files.limit, files.used))  # "max" is no number
    except (OSError, ValueError):
        return NO_LIMIT
    counts: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        counts = {name: int(value) for name, value in map(str.split, (group / "memory.stat").read_text().splitlines())}
    cache = sum(counts.get(name, 0) for name in files.cache) - counts.get(files.mapped, 0)
    return max(0, limit - used + max(0, cache)) if limit < NO_LIMIT else NO_LIMIT


def _unescaped(field: str) -> str:
    """A path of ``mountinfo``, where blanks and backslashes are octal numbers."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), field)

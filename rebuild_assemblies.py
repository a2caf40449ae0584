"""From the released LAION-fMRI data to the assemblies that are scored.

    python rebuild_assemblies.py FOLDER                     build assemblies/sub-XX.nc from the released files in FOLDER
    python rebuild_assemblies.py FOLDER --regions all       the same with every region of interest, not V1 to IT alone
    python rebuild_assemblies.py FOLDER --download --build  get the files first, from the release's bucket
    python rebuild_assemblies.py FOLDER --verify            compare what was built with what Brain-Score publishes
    python rebuild_assemblies.py FOLDER --package           write the published form

Finished work is not done again: after an interruption, run the same command, and it goes on from there. Exit codes: 0 all
subjects done, 1 some failed or differ, 2 wrong usage.
"""

import argparse
import sys
import warnings
from itertools import chain
from pathlib import Path

from tqdm import tqdm

if not sys.warnoptions:  # whoever asks for warnings gets them
    warnings.simplefilter("ignore", FutureWarning)  # those of other packages, when they are imported

from brainscore_vision.data.laion_fmri_7t.bucket import sessions_named
from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.packaging import command
from brainscore_vision.data.laion_fmri_7t.packaging.build import BuildOptions
from brainscore_vision.data.laion_fmri_7t.packaging.volumes import ANATOMICAL, MASK_DEFINITIONS
from brainscore_vision.data.laion_fmri_7t.source import laion_fmri_folder


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("folder", type=Path, nargs="?", help="the data folder; default: the one that laion_fmri is configured with")
    add("--subjects", nargs="+", choices=SUBJECTS, default=SUBJECTS, metavar="sub-XX", help="default: all five")
    for action, text in (
        (command.DOWNLOAD, "download what the subjects lack (as `laion-score data get`; about 3 GB a session)"),
        (command.BUILD, "build the assemblies; this is done if no step is named"),
        (command.CROSS_CHECK, "compare masks and maps with what laion_fmri reads"),
        (command.VERIFY, "compare with the published assemblies"),
        (command.PACKAGE, "write the published schema with Brain-Score's packaging tools"),
    ):
        add(f"--{action}", dest="actions", action="append_const", const=action, help=text)
    masks = "; ".join(f"{name}: {text}" for name, text in MASK_DEFINITIONS.items())
    add("--mask", choices=MASK_DEFINITIONS, default=ANATOMICAL, help=f"brain mask. {masks}. Default: {ANATOMICAL}")
    add(
        "--sessions",
        nargs="+",
        type=_sessions,
        metavar="ses-XX",
        help="ses-01 ses-02 or 1-5; default: all of the release; the assembly names them",
    )
    add(
        "--regions",
        nargs="+",
        default=(),
        metavar="REGION",
        help="regions of interest (FFA1) or categories of them (face) whose voxels and memberships the assemblies hold besides "
        "V1 to IT, or all. Subjects that lack one are named. Default: none",
    )
    add("--scratch", type=Path, help="where finished sessions wait; default: assemblies/.rebuild in the folder")
    add("--start-over", action="store_true", help="discard finished sessions and replace assemblies")
    add("--published", type=Path, help="folder of published files to verify against; default: download them")
    add("--package-folder", type=Path, help="where --package writes; default: packaged in the folder")
    add("--jobs", type=int, default=4, help="transfers at once; default: 4")
    return arguments


def _sessions(text: str) -> tuple[str, ...]:
    try:
        return sessions_named(text.split(","))
    except DatasetError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(argv: list[str] | None = None) -> int:
    given = parser().parse_args(argv)
    root = given.folder or laion_fmri_folder()
    if root is None or not root.is_dir():
        print(f"rebuild_assemblies.py: the data folder must exist; got {root}. Name a folder.", file=sys.stderr)
        return command.WRONG_USAGE
    options = BuildOptions(
        mask=given.mask,
        sessions=tuple(sorted({*chain.from_iterable(given.sessions)})) if given.sessions else None,
        regions=tuple(name.replace("-", "") for text in given.regions for name in text.split(",") if name),
        scratch=given.scratch,
        start_over=given.start_over,
        progress=lambda sessions: tqdm(sessions, desc="sessions", unit="session", disable=None, leave=False),
    )
    request = command.Request(
        root=root.expanduser().absolute(),
        subjects=tuple(subject for subject in SUBJECTS if subject in given.subjects),
        actions=tuple(given.actions or (command.BUILD,)),
        options=options,
        published=given.published,
        package_folder=given.package_folder,
        jobs=given.jobs,
    )
    return command.run(request, say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main())

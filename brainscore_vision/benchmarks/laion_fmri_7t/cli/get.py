"""``laion-score data bucket`` and ``data get``: the release's open files, from its public bucket."""

from __future__ import annotations

import difflib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from .tables import Column, print_table

# as in brainscore_vision.data.laion_fmri_7t.bucket, which help does not wait for
BUCKET, BUCKET_VARIABLE, ENDPOINT_VARIABLE = "laion-fmri", "LAION_FMRI_BUCKET", "LAION_FMRI_ENDPOINT"
KINDS = ("captions", "rois", "ceilings", "anatomy", "embeddings", "segmentations", "betas")

HOW_TO_ASK = (
    "Images need the data use agreement (no redistribution, no commercial use, no training of general-purpose AI): ask at "
    "https://laion-fmri.hebartlab.com/request, answered automatically, or with `laion-fmri request-access`; then "
    "`laion-fmri download-stimuli` gets them."
)

BucketOption = Annotated[
    str, typer.Option("--bucket", envvar=BUCKET_VARIABLE, help="Another bucket with the same layout.")
]
EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint-url", envvar=ENDPOINT_VARIABLE, help="Another S3 server than Amazon's, such as a mirror."),
]
SubjectsOption = Annotated[
    str | None, typer.Option("--subjects", "--subject", help="Subjects joined by commas, sub-01,sub-03; default: all.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def bucket(
    subjects: SubjectsOption = None,
    name: BucketOption = BUCKET,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what the public bucket holds: sessions and sizes of each subject, regions of interest by category.

    Needs the network, downloads nothing.
    """
    from brainscore_vision.data.laion_fmri_7t.bucket import HELD_OUT, Bucket, holdings
    from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS

    remote = Bucket(name, endpoint)
    people = names(subjects, "--subjects", SUBJECTS)
    held = holdings(remote, people)
    if as_json:
        print(json.dumps(held))
        return
    print(f"Bucket: {remote}, open to all (CC0)")
    rows = []
    for subject, what in held["subjects"].items():
        sessions = what["sessions"]
        span = f"{len(sessions)}, {sessions[0]} to {sessions[-1]}" if sessions else "0"
        rows.append((subject, span, *(in_words(n) for n in what["bytes"].values())))
    sizes = (Column(kind, number=True) for kind in held["subjects"][people[0]]["bytes"])
    print_table("", (Column("subject"), Column("sessions"), *sizes), rows)
    print("For all subjects: " + ", ".join(f"{kind} {in_words(n)}" for kind, n in held["bytes"].items()))
    print("\nRegions of interest (in brackets, subjects without it):")
    for category, rois in held["rois"].items():
        lacking = {
            roi: [subject.removeprefix("sub-") for subject in people if subject not in have]
            for roi, have in rois.items()
        }
        print(f"  {category}: " + ", ".join(f"{r} (not {' '.join(no)})" if no else r for r, no in lacking.items()))
    print(f"\n{HELD_OUT[0]} to {HELD_OUT[-1]} are held out. {HOW_TO_ASK}")


def get(
    subjects: SubjectsOption = None,
    what: Annotated[
        str | None, typer.Option("--what", help=f"Any of {', '.join(KINDS)}, joined by commas; default: all.")
    ] = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            "--sessions",
            help="Of betas and of the noise ceilings of single sessions: ses-01,ses-02 or 1-5; default: all of the release.",
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset", help="The data folder; it is made if need be. Default: $LAION_FMRI_DATASET, else laion_fmri's."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be downloaded, and do nothing.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Read files that are here, too, and replace those that are damaged.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", help="Transfers at once.", min=1, max=64)] = 8,
    name: BucketOption = BUCKET,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Get the open files of the release into a data folder with the release's layout.

    Everything but the images is CC0 and needs no account. Each file is compared with the server's size and checksum before
    it gets its name. After an interruption, run the same command: it goes on where it stopped, and files that are here are
    not downloaded again. Several processes may fill one folder.

    Examples: laion-score data get --what rois,ceilings,anatomy --dataset ~/laion-fmri;
    laion-score data get --subject sub-01 --what betas --sessions 1-5 --dry-run
    """
    from brainscore_vision.data.laion_fmri_7t.bucket import BY_SESSION, Bucket
    from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS
    from brainscore_vision.data.laion_fmri_7t.download import download, make_plan
    from brainscore_vision.data.laion_fmri_7t.errors import DatasetError

    kinds = names(what, "--what", KINDS)
    people = names(subjects, "--subjects", SUBJECTS)
    asked = _sessions(sessions)
    if asked and not set(kinds) & set(BY_SESSION):
        raise typer.BadParameter(f"--sessions chooses among {' and '.join(BY_SESSION)}; --what names neither.")
    folder = _folder(dataset)
    remote = Bucket(name, endpoint)
    files = remote.files(kinds, people, asked, all_kinds=what is not None)
    lacking = [kind for kind in kinds if all(file.kind != kind for file in files)]
    plan = make_plan(folder, files, check)
    sizes: Counter = Counter()
    for file in plan.todo:
        sizes[file.kind] += file.size
    facts = {"folder": str(folder), "bucket": str(remote), "files": len(plan.todo), "bytes": sum(sizes.values())}
    facts |= {"bytes_to_download": plan.n_bytes, "bytes_free": plan.n_free, "present": len(plan.present)}
    facts |= {"not_in_bucket": lacking}
    facts |= {"bytes_by_kind": dict(sizes), "images": _images(folder)}
    if not as_json:
        by_kind = f" ({', '.join(f'{kind} {in_words(n)}' for kind, n in sizes.items())})" if sizes else ""
        print(f"From {remote} to {folder}: {len(plan.present):,} files are here, {len(plan.todo):,} to get{by_kind}.")
        if lacking:
            print(f"Not in this bucket: {', '.join(lacking)}.")
        print(f"{in_words(plan.n_bytes)} to download, {in_words(plan.n_free)} free.")
    if dry_run:
        print(json.dumps(facts) if as_json else facts["images"])
        return
    outcome = download(remote, plan, jobs)
    facts |= {"checked": dict(outcome.checked), "failed": outcome.failed}
    if as_json:
        print(json.dumps(facts))
    else:
        if outcome.checked:
            print("Checked by " + ", ".join(f"{how}: {n:,} files" for how, n in sorted(outcome.checked.items())) + ".")
        print(facts["images"])
    if outcome.failed:
        first = "; ".join(f"{key}: {why}" for key, why in list(outcome.failed.items())[:4])
        more = f"; and {len(outcome.failed) - 4} more" if len(outcome.failed) > 4 else ""
        raise DatasetError(
            f"{len(outcome.failed)} of {len(plan.todo)} files are not here. {first}{more}. All others are."
        )


def in_words(n_bytes: int) -> str:
    """A number of bytes with a unit."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if n_bytes >= 1000**power:
            return f"{n_bytes / 1000**power:.1f} {unit}"
    return f"{n_bytes} bytes"


def names(text: str | None, option: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names joined by commas, in the order of ``known``."""
    if text is None:
        return known
    named = [name.strip() for name in text.split(",")]
    for name in named:
        if name in ("images", "stimuli"):
            raise typer.BadParameter(HOW_TO_ASK)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise typer.BadParameter(f"{option} takes any of {', '.join(known)}; received {name!r}.{hint}")
    return tuple(name for name in known if name in named)


def _sessions(text: str | None) -> tuple[str, ...]:
    from brainscore_vision.data.laion_fmri_7t.bucket import sessions_named
    from brainscore_vision.data.laion_fmri_7t.errors import DatasetError

    try:
        return sessions_named(text.split(",")) if text is not None else ()
    except DatasetError as error:
        raise typer.BadParameter(str(error)) from error


def _folder(dataset: Path | None) -> Path:
    """The data folder to fill."""
    from brainscore_vision.data.laion_fmri_7t.inventory import is_simulated
    from brainscore_vision.data.laion_fmri_7t.source import DATASET_VARIABLE, PUBLISHED, SIMULATED, laion_fmri_folder

    chosen = dataset or os.environ.get(DATASET_VARIABLE) or laion_fmri_folder()
    if chosen is None or str(chosen) in (PUBLISHED, SIMULATED):
        raise typer.BadParameter("Released files go to a data folder. Name it: --dataset FOLDER.")
    folder = Path(chosen).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise typer.BadParameter(f"A data folder is a folder; {folder} is a file.")
    if is_simulated(folder):
        raise typer.BadParameter(
            f"{folder} holds simulated data, which released files must not be mixed with. Name another."
        )
    return folder


def _images(folder: Path) -> str:
    """Where images are that go with the folder's files, or how to ask for them."""
    from brainscore_vision.data.laion_fmri_7t.stimuli.sources import MissingStimuli, find_images

    found = find_images(folder / "stimuli", fetch=False)
    return HOW_TO_ASK if isinstance(found, MissingStimuli) else f"Images: taken from {found.folder}."

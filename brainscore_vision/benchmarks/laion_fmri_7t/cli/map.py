"""``laion-score map``: values per voxel in the subject's volume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .ceilings import known_picture
from .tables import plain_console

_notes = plain_console(stderr=True)


def map_voxels(
    source: Annotated[
        Path,
        typer.Argument(
            help="A results file, as `laion-score score --results FILE` makes it. For --value layer: what `laion-score layers "
            "MODEL --json` printed, in a file."
        ),
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="A model, by its name in the file; needed where there are several.")
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark",
            help="A benchmark or a pattern, 'LAION_fMRI.*-tau-ridgecv': its regions become one map. May be repeated. Needed "
            "where the model has scores of several kinds.",
        ),
    ] = None,
    subject: Annotated[
        list[str] | None, typer.Option("--subject", help="sub-01; may be repeated. Default: all that were scored.")
    ] = None,
    value: Annotated[
        str,
        typer.Option(
            "--value",
            help="correlation; explained_variance (r² less what noise adds, with the sign of r); noise_ceiling (of the test "
            "images); p_value; p_fdr (corrected in each subject and region); alpha (the penalty); layer (the best one of each "
            "voxel).",
        ),
    ] = "correlation",
    minus: Annotated[
        str | None, typer.Option("--minus", help="Another model of the file: map the difference, MODEL minus this one.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="A volume (.nii or .nii.gz) for one subject, or a folder, which gets a volume per subject."
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            help="Draw axial slices of all subjects: .png, .svg or .pdf. Needs nilearn (extra [maps]).",
            callback=known_picture,
        ),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            "--range",
            help="Ends of the figure's colour scale, '0,0.6', of a difference '-0.3,0.3': to compare figures. Default: all "
            "values.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Where the data are that were scored. Default: where they were then."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            help="The brain mask that the assembly counts its voxels in: anatomical, rsquare or a NIfTI file. Needed for the "
            "published assemblies, which do not say; others find theirs.",
        ),
    ] = None,
    release: Annotated[
        Path | None,
        typer.Option(
            "--release",
            help="Folder with the release's masks and T1 images. Default: the dataset's, else laion_fmri's.",
        ),
    ] = None,
) -> None:
    """Put values per voxel where the voxels are: a NIfTI volume per subject, and a figure of slices.

    Volumes are float32 on the grid of the betas, in the subject's own T1w space, nan where no voxel was scored (viewers show
    nothing there; 0 is a value). A JSON file beside each says what it is of. The brain mask is checked: a wrong one is refused.

    Examples: laion-score map scores.db --model alexnet --benchmark 'LAION_fMRI.*-tau-ridgecv' --out maps --figure maps.png;
    laion-score map scores.db --model alexnet --minus pixels --benchmark LAION_fMRI.IT-tau-ridgecv --figure difference.png;
    laion-score layers torchvision:resnet18 --json > layers.json; laion-score map layers.json --value layer --figure layers.png
    """
    from ..maps import QUANTITIES, MapError
    from ..maps.making import is_volume

    ends = _limits(limits)
    if value not in QUANTITIES:
        raise typer.BadParameter(f"--value is one of {', '.join(QUANTITIES)}; received {value!r}.")
    if out is None and figure is None:
        raise typer.BadParameter("Say where the map goes: --out for volumes, --figure for a picture, or both.")
    if ends is not None and figure is None:
        raise typer.BadParameter("--range is of a figure's colours; volumes hold the values as they are. Add --figure.")
    if figure is not None:
        from ..maps.drawing import map_figure, require_nilearn

        require_nilearn()
    subjects = [name for text in subject or () for name in text.split(",")]
    places = {"subjects": subjects, "dataset": dataset, "mask": mask, "release": release}
    maps = (
        _of_layers(source, places) if value == "layer" else _of_results(source, model, benchmark, value, minus, places)
    )
    if out is not None:
        if is_volume(out) and len(maps) > 1:
            raise MapError(
                f"{out.name} is one volume, and there are {len(maps)} subjects. Name one of them (--subject), or a folder."
            )
        for one in maps:
            print(one.save(out))
    if figure is not None:
        figure.parent.mkdir(parents=True, exist_ok=True)
        map_figure(maps, ends).savefig(figure, dpi=150)
        print(figure)
    for known_by in dict.fromkeys(one.space.checked for one in maps):
        _notes.print(f"Brain mask checked by {known_by}.")


def _limits(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"--range is two numbers with a comma between them, '0,0.6'; received {text!r}."
        ) from error
    if not low < high:
        raise typer.BadParameter(f"--range goes from the smaller number to the larger; received {text!r}.")
    return low, high


def _of_layers(source: Path, places: dict) -> list:
    from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import LayerMap

    from ..maps import MapError, layer_maps

    try:
        found = LayerMap.from_json(json.loads(source.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MapError(
            f"--value layer needs what `laion-score layers MODEL --json` printed; {source} cannot be read as that "
            f"({type(error).__name__}: {error})."
        ) from error
    return layer_maps(found, **places)


def _of_results(source: Path, model: str | None, benchmarks, value: str, minus: str | None, places: dict) -> list:
    from ..maps import brain_maps
    from ..results import ResultsDatabase

    database, others = ResultsDatabase(source, create=False), ()
    scores, *names = _scores(database, model, benchmarks or [], "--model", places["dataset"])
    if minus is not None:
        scored = [score.attrs["benchmark_identifier"] for score in scores]
        others, other = _scores(database, minus, scored, "--minus", places["dataset"])
        names.append(other)
    return brain_maps(scores, value, minus=others, names=names, **places)


def _scores(database, model: str | None, benchmarks: list[str], option: str, dataset: str | None) -> tuple[list, str]:
    """Scores of one model with values per voxel, and its name."""
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    from ..maps import MapError

    results = database.results([] if model is None else [model], benchmarks)
    names = list(dict.fromkeys(result.model for result in results))
    of_model = database.results([model]) if model is not None and benchmarks and not names else []
    if of_model:
        typed, known = (
            ", ".join(dict.fromkeys(each)) for each in (map(repr, benchmarks), (r.benchmark for r in of_model))
        )
        raise MapError(f"--benchmark {typed} fits no score of {model}. The file has its scores of: {known}.")
    if len(names) != 1:
        known = ", ".join(dict.fromkeys(result.model for result in database.results())) or "none"
        asked = "" if model is None else f" {model!r}"
        raise MapError(
            f"A map is of one model; {option}{asked} with these benchmarks fits {len(names)}. The file has scores of: {known}."
        )
    if not benchmarks:  # those without values per voxel are not meant
        results = [result for result in results if any(unit.alpha is not None for unit in _units(result))]
    if dataset is not None and len({result.dataset_fingerprint for result in results}) > 1:
        results = [r for r in results if r.dataset_fingerprint == open_dataset(dataset).fingerprint()]
    if not results:
        raise MapError(
            f"{names[0]} has no scores with values per voxel{' on these data' if dataset else ''}; ridge benchmarks have them. "
            f"Score one."
        )
    newest = {
        (result.benchmark, result.dataset_fingerprint): result for result in results
    }  # of several layers, the last
    return [database.score(result.id) for result in newest.values()], names[0]


def _units(result) -> list:
    return (
        list(result.by_subject().values())
        if not result.folds
        else list(next(iter(result.folds.values())).subjects.values())
    )

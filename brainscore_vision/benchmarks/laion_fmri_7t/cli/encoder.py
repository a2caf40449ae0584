"""``laion-score encoder``: fit predictors of responses, ask them, show and list them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .ceilings import known_picture
from .features import DropOption, name_options_as_typed, table_or_name
from .options import (
    DatasetOption,
    DeviceOption,
    Group,
    JsonOption,
    LayersOption,
    MemoryOption,
    NoStoreOption,
    RecordOption,
    SpoolOption,
    StoreOption,
    ThresholdOption,
    engine_options,
    grid,
    read_layers,
    writable,
)
from .tables import Column, interval, plain_console, print_table, value

OUTPUTS = (".nc", ".csv", ".npy", ".parquet")
PICTURES = tuple(".png .jpg .jpeg .jpe .jfif .webp .gif .bmp .tif .tiff .ppm .pgm .jp2 .avif .tga".split())
OF_SYSTEMS = ("thumbs.db", "desktop.ini")
"""Files that systems write beside images; those of others begin with a dot."""

app = typer.Typer(
    cls=Group, help="Predict responses to any image: fit, run, show, list encoders.", no_args_is_help=True
)
errors = plain_console(stderr=True)

AlphasOption = Annotated[
    str | None,
    typer.Option(
        "--alphas",
        help="Penalties: numbers joined by commas; 'published', those of the registered benchmarks; or 'relative', 1e-6 to "
        "1e6 times the mean eigenvalue of the training kernel. Default: relative.",
    ),
]
IdsOption, KeyOption, ColumnsOption = (
    Annotated[str | None, typer.Option(name, help=f"For a table of features: {what}")]
    for name, what in (
        ("--ids", "the key or column of the stimulus ids, or a file with one id per line."),
        ("--key", "the array that holds the features."),
        ("--columns", "of a CSV or Parquet table, the columns that are features ('f*,g1')."),
    )
)
FileArgument = Annotated[Path, typer.Argument(metavar="ENCODER", help="A file that `encoder fit` wrote.")]


def known_output(path: Path) -> Path:
    """Return ``path`` if responses can be written there, in its format."""
    if path.suffix.lower() not in OUTPUTS:
        raise typer.BadParameter(f"Responses go to a file that ends in {', '.join(OUTPUTS)}; received {path.name!r}.")
    return writable(path)


@app.command("fit")
def fit(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="What `laion-score score` takes.")],
    out: Annotated[Path, typer.Option("--out", help="The encoder's file, enc.h5.", callback=writable)],
    subject: Annotated[str, typer.Option("--subject", help="Whose responses: sub-01, sub-03 ...")] = "sub-01",
    regions: Annotated[str, typer.Option("--regions", help="Regions joined by commas.")] = "V1,V2,V4,IT",
    train: Annotated[
        str,
        typer.Option(
            "--train",
            help="'all' (every image of the pool but out-of-distribution ones), 'all+ood' (those too), or a split, whose "
            "training images are used: tau, cluster_k5_0 ...",
        ),
    ] = "all",
    pool: Annotated[
        str, typer.Option("--pool", help="persubject (everything that the subject saw) or shared.")
    ] = "persubject",
    layers: LayersOption = None,
    alphas: AlphasOption = None,
    alpha_per_voxel: Annotated[
        bool, typer.Option("--alpha-per-voxel", help="A penalty for each voxel instead of one for each region.")
    ] = False,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of the weights: float32 or float16 (half the size).")
    ] = "float32",
    max_size: Annotated[
        float | None,
        typer.Option(
            "--max-size",
            help="GB of the largest file. Features of a larger encoder go through a random projection; what that loses on "
            "held-out training images is printed.",
        ),
    ] = None,
    dataset: DatasetOption = None,
    threshold: ThresholdOption = None,
    record: RecordOption = None,
    ids: IdsOption = None,
    key: KeyOption = None,
    columns: ColumnsOption = None,
    drop_missing: DropOption = False,
    store_directory: StoreOption = None,
    spool_directory: SpoolOption = None,
    no_store: NoStoreOption = False,
    max_memory: MemoryOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Fit an encoder of a subject: a ridge regression from a layer to each voxel of some regions.

    Kernels that scoring has kept are used; the images are shown once for the weights. On a split, correlations are the raw
    values of the benchmark of the same --alphas: by default of `[alphas=relative]`, with 'published' of the registered one.

    Example: laion-score encoder fit torchvision:resnet18 --layers V1=layer1.0,IT=layer4.1 --regions V1,IT --out enc.h5
    """
    from ..encoder import fit_encoder
    from ..identifiers import DEFAULT_THRESHOLD

    name_options_as_typed(context)
    encoder = fit_encoder(
        table_or_name(model, ids, key, columns, drop_missing),
        subject,
        [region.strip() for region in regions.split(",")],
        train,
        dataset=dataset,
        layers=read_layers(layers),
        pool=pool,
        alphas="relative" if alphas is None else grid(alphas),
        alpha_per_voxel=alpha_per_voxel,
        dtype=dtype,
        max_size=None if max_size is None else int(max_size * 1e9),
        noise_ceiling_threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        record=record,
        path=out,
        engine=engine_options(no_store, store_directory, spool_directory, False, max_memory, device),
        say=errors.print,
    )
    _print(encoder.about, encoder.metadata)
    errors.print(f"Encoder in {encoder.path}, {encoder.path.stat().st_size:,} bytes")


@app.command("run")
def run(
    path: FileArgument,
    images: Annotated[
        list[Path],
        typer.Argument(help="Square image files, or folders of them (not of folders).", exists=True),
    ],
    out: Annotated[
        Path, typer.Option("--out", help=f"Where responses go: {', '.join(OUTPUTS)}.", callback=known_output)
    ],
    roi: Annotated[str | None, typer.Option("--roi", help="Only these regions, joined by commas.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The network, where the file does not say where it comes from.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Images at once.", min=1)] = None,
    device: Annotated[str, typer.Option("--device", help="Where the network runs: auto, cpu or cuda.")] = "auto",
) -> None:
    """Predict responses to images, (image × voxel); all but .npy have the names of images and voxels too.

    Example: laion-score encoder run enc.h5 my_images --out responses.nc
    """
    import numpy as np

    from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StorageError

    from ..encoder import load_encoder

    files = [file for image in images for file in (_pictures(image) if image.is_dir() else [image])]
    encoder = load_encoder(path, device, model)
    if encoder.about["kind"] == "features":
        raise typer.BadParameter(
            f"{path} is of features that are looked up, and sees no image. In Python, load_encoder(path).encode(table) takes "
            f"features."
        )
    selection = None if roi is None else {"roi": [name.strip() for name in roi.split(",")]}
    responses = encoder.encode(files, selection, batch_size=batch_size)
    names = list(map(str, files))
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".responses-") as folder:
            scratch = Path(folder) / out.name
            match out.suffix.lower():
                case ".npy":
                    np.save(scratch, responses)
                case ".nc":
                    encoder.to_xarray(responses, selection, names).to_netcdf(scratch)
                case ".csv":
                    encoder.to_frame(responses, selection, names).to_csv(scratch)
                case ".parquet":
                    encoder.to_frame(responses, selection, names).to_parquet(scratch)
            scratch.replace(out)
    except (OSError, RuntimeError) as error:  # the latter of netCDF4
        raise StorageError(
            f"Responses go to {out}, which cannot be written: {error}. Choose another folder."
        ) from error
    errors.print(f"Responses of {responses.shape[1]} voxels to {len(files)} images in {out}")


@app.command("show")
def show(
    path: FileArgument,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Draw the accuracy of each voxel by region.", callback=known_picture),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what an encoder is of, and how well it predicts held-out images; reads no weights."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.file import read_header

    from ..encoder import accuracy_figure

    about, metadata, _ = read_header(path)
    if as_json:
        accuracy = metadata["encoding_model"]["accuracy"]
        print(
            json.dumps({name: text for name, text in about.items() if name != "made_images"} | {"accuracy": accuracy})
        )
    else:
        _print(about, metadata)
    if figure is not None:
        accuracy_figure(about, metadata).savefig(figure)
        errors.print(f"Figure in {figure}")


@app.command("list")
def list_encoders(
    folder: Annotated[Path, typer.Argument(help="Searched, with the folders in it, for .h5 files.")] = Path(),
) -> None:
    """List the encoders in a folder."""
    from ..encoder import encoders_in

    if not folder.is_dir():
        raise typer.BadParameter(f"Encoders are listed of a folder; there is none at {folder}.")
    rows, broken = [], []
    for path, about in encoders_in(folder):
        if isinstance(about, str):
            broken.append(about)
        else:
            size = f"{path.stat().st_size:,}"
            rows.append((str(path), about["subject"], ",".join(about["regions"]), about["identifier"], size))
    columns = [Column("file"), Column("subject"), Column("regions"), Column("model"), Column("bytes", number=True)]
    print_table(f"{len(rows)} encoders in {folder}", columns, rows, *broken)


def _pictures(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found = [path for path in files if path.suffix.lower() in PICTURES]
    others = [path.name for path in files if path not in found]
    others = [name for name in others if not name.startswith(".") and name.lower() not in OF_SYSTEMS]
    if found and others:
        errors.print(
            f"{len(others)} of {len(files)} files in {folder} are left out, as their endings are not those of images, the "
            f"first: {others[0]}. Name those that are images as well."
        )
    if not found:
        raise typer.BadParameter(f"{folder} holds no image ({', '.join(PICTURES)}).")
    return found


def _print(about: dict, metadata: dict) -> None:
    import numpy as np

    from ..identifiers import MODEL_REGIONS

    model, rows = metadata["encoding_model"], []
    for region in about["regions"]:
        columns, accuracy = metadata["roi"][region], model["accuracy"][region].get("explained_variance")
        explained = "-" if accuracy is None else value(accuracy["value"])
        if accuracy is not None and "low" in accuracy:
            explained = interval(accuracy["value"], (accuracy["low"], accuracy["high"]))
        layer = about["layers"].get(about.get("recorded", MODEL_REGIONS)[region], "")
        medians = (np.median(model[name][columns]) for name in ("correlation_results", "leave_one_out_correlation"))
        alphas = np.unique(model["alpha"][columns])
        alpha = f"{alphas[0]:.3g}" if len(alphas) == 1 else f"{alphas[0]:.3g} to {alphas[-1]:.3g}"
        rows.append((region, str(len(columns)), *map(value, medians), explained, alpha, str(layer)))
    columns = [
        Column("region"),
        Column("voxels", number=True),
        Column("median r", number=True),
        Column("leave-one-out r", number=True),
        Column("explained variance", number=True),
        Column("alpha", number=True),
        Column("layer", minor=True),
    ]
    of_split = f"{len(model['test_stimuli'])} test images of {model['accuracy_split']}"
    below = [
        f"Fitted to {len(model['train_stimuli'])} images ({model['train']}). Median r and explained variance: on {of_split}, "
        f"by a fit on {len(model['accuracy_train_stimuli'])} others; explained variance as a part of what can be explained.",
        *(f"Loss{_of_layer(loss)}: {loss['says']}." for loss in about["loss"]),
        *about.get("notes", ()),
        model.get("comment", ""),
    ]
    print_table(f"{about['identifier']} → {about['subject']}, network {about['network']}", columns, rows, *below)


def _of_layer(loss: dict) -> str:
    return f" ({loss['layer']})" if "layer" in loss else ""  # files of earlier versions do not say

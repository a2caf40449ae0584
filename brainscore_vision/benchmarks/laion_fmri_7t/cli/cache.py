"""``laion-score cache``: what is kept on disk, whether it is whole, and how to be rid of it."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from .options import Group
from .tables import Column, print_table

app = typer.Typer(cls=Group, help="List, verify or clear the kernels that are kept on disk.", no_args_is_help=True)

StoreOption = Annotated[Path | None, typer.Option("--store-directory", help="Where kernels are kept.")]
SpoolOption = Annotated[Path | None, typer.Option("--spool-directory", help="Where features wait.")]


@app.command("list")
def list_kernels(store_directory: StoreOption = None, spool_directory: SpoolOption = None) -> None:
    """List the stored kernels and their size; say what killed runs left."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.making import unused_spools
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore
    from brainscore_vision.benchmark_helpers.stimulus_kernels.options import EngineOptions

    options = EngineOptions(store_directory=store_directory, spool_directory=spool_directory)
    rows, total, unusable = [], 0, []
    for entry in KernelStore(options.kernels).entries():
        if isinstance(entry, str):
            unusable.append(entry)
            continue
        total += entry.n_bytes
        size = f"{entry.n_bytes / 1e6:.1f}"
        counts = f"{entry.n_stimuli:,}", f"{entry.n_features:,}", size
        rows.append((entry.model, entry.label, entry.pool, *counts, entry.created))
    columns = [
        *map(Column, ("model", "layer", "pool")),
        *(Column(n, number=True) for n in ("stimuli", "features", "MB")),
    ]
    print_table("Kernels", [*columns, Column("created", minor=True)], rows)
    for problem in unusable:
        print(problem)
    print(
        f"{len(rows)} kernels, {total / 1e6:.1f} MB in {options.kernels}"
        + (f", and {len(unusable)} that cannot be used (they will be computed again)" if unusable else "")
    )
    with unused_spools(options.spool) as left:
        if left:
            size = sum(map(_size, left))
            print(
                f"Killed runs left features or encoders in {len(left)} folders, {size / 1e6:.1f} MB in {options.spool}: a run "
                f"of the same model takes its features up; `laion-score cache clear` removes all."
            )


@app.command()
def verify(store_directory: StoreOption = None) -> None:
    """Read every stored kernel whole; exit code 1 if one cannot be used: damaged, not readable, of an earlier version."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore
    from brainscore_vision.benchmark_helpers.stimulus_kernels.options import EngineOptions

    store, unusable, count = KernelStore(EngineOptions(store_directory=store_directory).kernels), 0, 0
    for path, problem in store.verify():
        count += 1
        unusable += problem is not None
        print(f"{path.name}: {problem or 'whole'}")
    print(f"{count} kernels, {unusable} that cannot be used" + (" (they will be computed again)" if unusable else ""))
    if unusable:
        raise typer.Exit(1)


@app.command()
def clear(
    model: Annotated[str | None, typer.Option(help="Only the kernels of this model.")] = None,
    store_directory: StoreOption = None,
    spool_directory: SpoolOption = None,
) -> None:
    """Remove stored kernels, layer maps, and what killed runs left."""
    from brainscore_vision.benchmark_helpers.stimulus_kernels.features.image_files import fitted_images
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.making import unused_spools
    from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore
    from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import kept_maps
    from brainscore_vision.benchmark_helpers.stimulus_kernels.options import EngineOptions

    options = EngineOptions(store_directory=store_directory, spool_directory=spool_directory)
    store, freed, left = KernelStore(options.kernels), 0, []
    doomed = [
        store.path(entry.key)
        for entry in store.entries()
        if not isinstance(entry, str) and model in (None, entry.model)
    ]
    if model is None:
        doomed += [path for path, problem in store.verify() if problem is not None]
        doomed += [folder for parent in (options.screen, options.spool / "screen") for folder in fitted_images(parent)]
        with unused_spools(options.spool) as folders:
            for folder in folders:
                freed += _remove(folder, left)
        store.sweep()
    doomed += [path for path, of_model in kept_maps(options.layer_maps) if model in (None, of_model)]
    for path in doomed:
        freed += _remove(path, left)
    print(f"Freed {freed / 1e6:.1f} MB.")
    if left:
        print(f"{len(left)} could not be removed, the first: {left[0]}. They may be a colleague's.")
        raise typer.Exit(1)


def _remove(path: Path, left: list[Path]) -> int:
    """Remove a file or folder; bytes that this frees. What stays is added to ``left``."""
    before = _size(path)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(PermissionError):
            path.unlink(missing_ok=True)
    if path.exists():
        left.append(path)
    return before - _size(path)


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    return sum(_size(inside) for inside in path.iterdir()) if os.access(path, os.R_OK | os.X_OK) else 0

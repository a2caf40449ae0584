"""``laion-score cache``: what is kept on disk, whether it is whole, and how to be rid of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore
from brainscore_vision.benchmark_helpers.stimulus_kernels.options import EngineOptions

app = typer.Typer(help="Kernels that are kept on disk: list, verify or clear them.", no_args_is_help=True)

UNLIMITED_WIDTH = 300
"""Characters of a line where no terminal breaks it."""

StoreOption = Annotated[Path | None, typer.Option("--store-directory", help="Where kernels are kept.")]


@app.command("list")
def list_kernels(store_directory: StoreOption = None) -> None:
    """List the stored kernels and their size."""
    options = EngineOptions(store_directory=store_directory)
    table = Table()
    for name in ("model", "layer", "pool", "stimuli", "features", "MB", "created"):
        table.add_column(name, overflow="fold")  # names stay whole
    total = 0
    for entry in KernelStore(options.kernels).entries():
        total += entry.n_bytes
        size = f"{entry.n_bytes / 1e6:.1f}"
        table.add_row(
            entry.model, entry.label, entry.pool, f"{entry.n_stimuli:,}", f"{entry.n_features:,}", size, entry.created
        )
    console = Console()
    console.print(table, width=None if console.is_terminal else UNLIMITED_WIDTH)
    print(f"{table.row_count} kernels, {total / 1e6:.1f} MB in {options.kernels}")


@app.command()
def verify(store_directory: StoreOption = None) -> None:
    """Read every stored kernel whole; exit code 1 if one is damaged."""
    store, damaged, count = KernelStore(EngineOptions(store_directory=store_directory).kernels), 0, 0
    for path, problem in store.verify():
        count += 1
        damaged += problem is not None
        print(f"{path.name}: {problem or 'whole'}")
    print(f"{count} kernels, {damaged} damaged" + (" (they will be computed again)" if damaged else ""))
    if damaged:
        raise typer.Exit(1)


@app.command()
def clear(
    model: Annotated[str | None, typer.Option(help="Only the kernels of this model.")] = None,
    store_directory: StoreOption = None,
    spool_directory: Annotated[Path | None, typer.Option(help="Where features wait.")] = None,
) -> None:
    """Remove stored kernels, and what killed runs left."""
    options = EngineOptions(store_directory=store_directory, spool_directory=spool_directory)
    store, freed = KernelStore(options.kernels), 0
    for entry in list(store.entries()):
        if model is None or entry.model == model:
            store.remove(entry.key)
            freed += entry.n_bytes
    if model is None:
        for folder in (options.spool, options.screen):
            freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            shutil.rmtree(folder, ignore_errors=True)
        for path, problem in list(store.verify()):
            if problem is not None:
                path.unlink(missing_ok=True)
        store.sweep()
    print(f"Freed {freed / 1e6:.1f} MB.")

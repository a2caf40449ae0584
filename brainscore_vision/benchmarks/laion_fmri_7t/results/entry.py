"""A Score made ready for a results file: checked, and encoded, wherever it was computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from brainscore_core.metrics import Score

from ..identifiers import IdentifierError, parse
from . import voxels
from .errors import ResultsError
from .facts import RunFacts
from .packing import NETWORK_FACTS, Node, pack, without_arrays

_FACTS = ("model_identifier", "benchmark_identifier", "dataset", "normalization")


@dataclass(frozen=True)
class Entry:
    """What :meth:`~.database.ResultsDatabase.add_entries` adds; small enough to be sent between processes.

    Attributes
    ----------
    run : RunFacts
    model : str
        The model's own identifier.
    benchmark, benchmark_as_scored : str
        Identifier without the dataset, and as the Score says it.
    dataset : dict
        What the Score says of its data.
    normalization : str
    network : dict
        :data:`~.packing.NETWORK_FACTS` of the Score.
    root : Node
        Without arrays.
    content : bytes or None
        Of the file with the arrays; see :func:`~.voxels.encode`.
    """

    run: RunFacts
    model: str
    benchmark: str
    benchmark_as_scored: str
    dataset: dict
    normalization: str
    network: dict
    root: Node
    content: bytes | None


def make_entry(score: Score, run: RunFacts) -> Entry:
    """What is added of a Score.

    Raises
    ------
    ResultsError
        A Score that lacks something, or is of other data than ``run`` says.
    """
    missing = [name for name in _FACTS if name not in score.attrs]
    if missing:
        raise ResultsError(
            f"A result says what it is of; the Score lacks {', '.join(missing)} in attrs. Add what score_all yields."
        )
    model, scored, dataset, normalization = (score.attrs[name] for name in _FACTS)
    fingerprint = dataset.get("fingerprint")
    if fingerprint != run.dataset_fingerprint:
        raise ResultsError(
            f"A result is of one dataset; the Score says {fingerprint!r}, RunFacts {run.dataset_fingerprint!r}. Take the "
            f"fingerprint from score.attrs['dataset']."
        )
    root, benchmark = pack(score), without_dataset(scored)
    return Entry(
        run=run,
        model=model,
        benchmark=benchmark,
        benchmark_as_scored=scored,
        dataset=dataset,
        normalization=normalization,
        network={name: score.attrs.get(name) for name in NETWORK_FACTS},
        root=without_arrays(root),
        content=voxels.encode(root, {"model": model, "benchmark": benchmark, "dataset": fingerprint}),
    )


def without_dataset(benchmark: str) -> str:
    """A benchmark's identifier without the dataset that it may name; names outside the grammar are left as they are."""
    try:
        return replace(parse(benchmark), dataset=None).identifier
    except IdentifierError:
        return benchmark

"""The benchmark tree of Brain-Score's database, as far as it holds this dataset.

``average_vision`` > ``neural_vision`` > ``V1`` > ``LAION_fMRI.V1`` > the benchmarks of V1: Brain-Score averages over a node's
children, so the dataset counts once in a region. Benchmarks name ``LAION_fMRI.V1`` as their parent; Brain-Score's endpoint
hangs a new benchmark below it where it exists, and nowhere where it does not.
"""

from __future__ import annotations

import logging

from brainscore_core.submission import database_models as tables

from ..benchmark import FAMILY, benchmark
from ..identifiers import FAMILIES, IdentifierError

DOMAIN = "vision"
ABOVE_REGIONS = ("average_vision", "neural_vision")
"""Brain-Score's nodes above the regions, from the root."""

REGIONS = ("V1", "V2", "V4", "IT")
"""Those of registered benchmarks."""

OWNER_ID = 2
"""The user to whom brainscore_core gives every benchmark that it adds."""

LAST_ORDER = 999
"""Position among siblings, as brainscore_core gives it to new benchmarks."""

_logger = logging.getLogger(__name__)


def ensure_region(region: str) -> str:
    """The node of the dataset in a region, made with those above it where they are missing; its benchmarks hang below it.

    New nodes are invisible, as Brain-Score's new benchmarks are, and existing nodes stay. Benchmarks of the dataset are
    moved from where no keeper put them: from the region itself, their parent in earlier versions of this plugin, and from
    nowhere, where Brain-Score's endpoint leaves them while the dataset's node is missing.

    Parameters
    ----------
    region : str
        That models record: V1, V2, V3, V4 or IT.

    Returns
    -------
    str
        Its identifier.
    """
    node, parent = f"{FAMILY}.{region}", None
    for name in (*ABOVE_REGIONS, region, node):
        parent, _ = tables.BenchmarkType.get_or_create(
            identifier=name, defaults={"domain": DOMAIN, "order": LAST_ORDER, "owner": OWNER_ID, "parent": parent}
        )
    kind = tables.BenchmarkType
    elsewhere = kind.select().where((kind.parent == region) | kind.parent.is_null())
    moved = [entry for entry in elsewhere if _parent(entry) == node]
    for entry in moved:
        kind.update(parent=node).where(kind.identifier == entry.identifier).execute()
    if moved:
        _logger.warning("Moved below %s in the tree: %s.", node, ", ".join(entry.identifier for entry in moved))
    return node


def place(node: tables.BenchmarkType) -> tuple[str, ...]:
    """Nodes from the root to ``node``."""
    return (*(() if node.parent is None else place(node.parent)), node.identifier)


def _parent(entry: tables.BenchmarkType) -> str | None:
    """Where a benchmark of this plugin belongs; None for others."""
    if entry.identifier.partition(".")[0] not in FAMILIES:
        return None
    try:
        return benchmark(entry.identifier).parent
    except IdentifierError:  # the nodes of the dataset themselves, and names of other versions
        return None

"""Scores on their way into a database: added as they are done, and what could not be scored with the reason; what is known of
models, as a list of models gives it: a name, a family, the number of parameters, training data.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from brainscore_core.metrics import Score

from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

from ..benchmark import VERSION
from ..identifiers import IdentifierError, parse
from ..networks.finding import code_revision
from .database import ResultsDatabase
from .errors import ResultsError
from .facts import run_facts
from .result import Summary
from .schema import migrate, writing

Property = str | int | float | bool


def add_scores(
    database: ResultsDatabase,
    scores: Iterable[tuple[str, Score]],
    *,
    model: str,
    benchmarks: Sequence[str],
    dataset=None,
    not_kept: tuple[type[Exception], ...] = (),
) -> Iterator[tuple[str, Score]]:
    """Add each Score of a run to a database when it is done.

    ``seconds`` of a result is the time since the previous result of the run was there, or since the run began: benchmarks
    share forward passes and kernels, whose time falls to the one that needs them first. Over a run, the seconds add up to its
    duration.

    Parameters
    ----------
    database : ResultsDatabase
    scores : iterable of tuple of str and Score
        As :func:`~..scoring.score_all` yields them; ``add_scores`` iterates over it once.
    model : str
        As it was asked for.
    benchmarks : sequence of str
        All identifiers that the run is to score, as ``scores`` yields them.
    dataset : str, pathlib.Path or Dataset, optional
        As for :func:`~..scoring.score_all`.
    not_kept : tuple of exception classes
        Those that are no failure of the model, such as a name that was typed wrong; they are raised alone.

    Yields
    ------
    tuple of str and Score
        As received, once the Score is in the database.

    Raises
    ------
    ResultsError
        The database cannot be written, which is found out before scoring begins; or a Score cannot be kept.
    Exception
        Whatever ``scores`` raises, after a failure was added for each benchmark that is not done. An interrupted run
        (KeyboardInterrupt) is no failure of the model.
    """
    database.check_writable()
    revision = code_revision(model)
    waiting = dict.fromkeys(benchmarks)
    scores, started = iter(scores), datetime.now(UTC)
    while True:
        try:
            benchmark, score = next(scores)
        except StopIteration:
            return
        except not_kept:
            raise
        except Exception as error:
            add_failures(database, error, model=model, benchmarks=list(waiting), started=started, dataset=dataset)
            raise
        finished = datetime.now(UTC)
        facts = run_facts(
            model,
            model_revision=score.attrs.get("model_revision", revision),
            started=started,
            finished=finished,
            dataset_fingerprint=score.attrs["dataset"]["fingerprint"],
            benchmark_version=VERSION,
        )
        database.add(score, facts)
        waiting.pop(benchmark, None)
        yield benchmark, score
        started = finished


def add_failures(
    database: ResultsDatabase,
    error: BaseException,
    *,
    model: str,
    benchmarks: Sequence[str | None],
    started: datetime,
    dataset=None,
) -> list[int]:
    """Add the reason why benchmarks could not be scored, once for each; ``[None]`` if the model could not be made.

    Parameters
    ----------
    database : ResultsDatabase
    error : BaseException
    model, dataset
        As for :func:`add_scores`.
    benchmarks : sequence of str or None
    started : datetime.datetime
        When the work began that failed.

    Returns
    -------
    list of int
        The failures' ids.
    """
    message = " ".join(f"{type(error).__name__}: {error}".split())
    text = "".join(traceback.format_exception(error))
    revision = code_revision(model)
    return [
        database.add_failure(
            model,
            benchmark,
            run_facts(
                model,
                model_revision=revision,
                started=started,
                dataset_fingerprint=dataset_fingerprint(benchmark, dataset),
                benchmark_version=VERSION,
            ),
            message,
            text,
        )
        for benchmark in benchmarks
    ]


def dataset_fingerprint(benchmark: str | None, dataset=None) -> str:
    """Fingerprint of the data that a benchmark is scored on; empty if they cannot be opened."""
    try:
        chosen = dataset if benchmark is None else parse(benchmark, dataset=dataset).dataset
        return open_dataset(chosen).fingerprint()
    except (DatasetError, IdentifierError):  # often just what failed, so that it must not hide the failure
        return ""


def check_properties(
    database: ResultsDatabase,
    properties: Mapping[str, Mapping[str, Property]],
    layers: Mapping[str, Mapping | str | None],
) -> None:
    """Raise ResultsError where what a list says of a layer would be said of results of another one.

    Parameters
    ----------
    database : ResultsDatabase
    properties : mapping of str to mapping
        As for :func:`set_properties`: of a model, in whatever layer.
    layers : mapping of str to (mapping, "auto" or None)
        By the same names: the layers that are to be scored; None for the model's own.
    """
    for result in database.summaries(intervals=False) if properties else ():
        own, wanted = properties.get(result.requested_model, {}), layers.get(result.requested_model)
        for name in own.keys() & result.properties.keys() if _of_other_layers(result, wanted) else ():
            if own[name] != result.properties[name]:
                raise ResultsError(
                    f"What a list says of a model is said of its results in all layers. {result.requested_model} has "
                    f"{name} {result.properties[name]!r} in {database.path}, with results of layer {result.layer}; here it has "
                    f"{own[name]!r}, and other layers. Leave {name} out (rows say the layer), or keep these results in another "
                    f"file."
                )


def _of_other_layers(result: Summary, wanted: Mapping | str | None) -> bool:
    if not isinstance(wanted, Mapping):
        return result.layer_choice not in (None, "own" if wanted is None else wanted)
    given = {region: [names] if isinstance(names, str) else list(names) for region, names in wanted.items()}
    scored = {region: [names] if isinstance(names, str) else list(names) for region, names in result.layers.items()}
    return any(scored[region] != given[region] for region in scored.keys() & given.keys())


def set_properties(
    database: ResultsDatabase,
    properties: Mapping[str, Mapping[str, Property]],
    revisions: Mapping[str, Collection[str | None]] | None = None,
) -> None:
    """Keep what is known of models that have results, which have it as :attr:`~.result.Result.properties`.

    Parameters
    ----------
    database : ResultsDatabase
    properties : mapping of str to mapping
        By the name that a model is asked for; what was known of it before goes.
    revisions : mapping of str to collection of (str or None), optional
        By the same names: which of their revisions are meant. None: all.
    """
    with writing(database.connection):
        migrate(database.connection)
        table = database.tables.Model
        for requested, own in properties.items():
            which = table.requested == requested
            if revisions is not None:
                which &= table.revision.in_([revision or "" for revision in revisions.get(requested, ())])
            table.update(properties=dict(own)).where(which).execute()

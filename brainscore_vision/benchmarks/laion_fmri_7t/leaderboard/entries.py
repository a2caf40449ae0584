"""Results in Brain-Score's own database, written by brainscore_core's own functions.

What they write by themselves is left to them: benchmark, version, ceiling, reference and model as in a run of Brain-Score's
scoring endpoint, scores by its ``update_score``. Around them stands what a database wants that no website looks after: the
benchmark tree above the benchmarks, users, and one submission for each new model.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import peewee
from brainscore_core.metrics import Score
from brainscore_core.submission import database as recorder
from brainscore_core.submission import database_models as tables
from tqdm.auto import tqdm

from brainscore_vision import load_model_bibtex

from ..benchmark import benchmark
from ..identifiers import MODEL_REGIONS
from ..results import Result, what_differs
from .checks import NETWORK, benchmark_name, check_recordable, is_registered, model_name, result_name, source
from .database import writing
from .errors import LeaderboardError
from .tree import DOMAIN, OWNER_ID, REGIONS, ensure_region, place

MODEL_TYPE = "brainmodel"
NO_JENKINS_RUN = 0
OWNER_EMAIL = "benchmarks@laion-fmri-7t.invalid"
NO_PASSWORD = "!"
"""No password's hash: nobody can log in with it."""

SAME_CEILING = 1e-6
"""Difference, as a fraction of the ceiling, below which two ceilings (or their errors) are one, computed on two machines."""

SIMULATED = "simulated data: says nothing about brains"
_REVISION = re.compile(r"\bmodel revision ([^;]+)")
_NETWORK = re.compile(rf"\b{NETWORK} ([0-9a-f]+)")
_REQUEST = re.compile(r"\brequest ([0-9a-f]+)")


@dataclass(frozen=True)
class Submitter:
    """Who records.

    Attributes
    ----------
    email : str
        The user of the database whose models these are; added if there is none with it.
    public : bool
        Whether models that are added are shown to everybody.
    """

    email: str = "laion-score@laion-fmri-7t.invalid"
    public: bool = False


@dataclass(frozen=True)
class Entry:
    """What was written of one result.

    Attributes
    ----------
    result : Result
    model : str
        Its name in the database.
    place : tuple of str
        Nodes of the benchmark tree from the root to the benchmark.
    status : str
        ``new``, ``changed`` (another score was there) or ``unchanged``.
    """

    result: Result
    model: str
    place: tuple[str, ...]
    status: str


@dataclass(frozen=True)
class _Benchmark:
    """What brainscore_core reads of a benchmark, with the ceiling that the result was divided by: no data are loaded."""

    identifier: str
    version: int
    parent: str
    bibtex: str
    ceiling: Score


def record(
    results: Sequence[Result],
    database: peewee.Database,
    submitter: Submitter = Submitter(),
    allow_simulated: bool = False,
    keep: bool = True,
    progress: bool = False,
) -> list[Entry]:
    """Write results to Brain-Score's database, all of them or none.

    Parameters
    ----------
    results : sequence of Result
        One per model and benchmark. A score that the database has of them is replaced.
    database : peewee.Database
        See :func:`~.database.open_database`.
    submitter : Submitter
    allow_simulated : bool
        Take results of simulated data, with a comment that says so.
    keep : bool
        False: write, and take it all back.
    progress : bool
        Show a bar in a terminal.

    Returns
    -------
    list of Entry

    Raises
    ------
    LeaderboardError
        Results that do not belong on one leaderboard, with each other or with those in the database; or a database that
        cannot be written. Nothing is recorded.
    """
    check_recordable(results, allow_simulated)
    with writing(database, keep):
        user = _user(submitter.email)
        _ensure_owner()
        _check_networks(results)
        bar = tqdm(results, desc="recording", unit="result", disable=None if progress else True)
        return [_write(result, user, submitter.public) for result in bar]


def plant(database: peewee.Database, keep: bool = True) -> list[tuple[str, ...]]:
    """Make the dataset's nodes in the tree without recording anything: Brain-Score's endpoint hangs benchmarks below them.

    Returns
    -------
    list of tuple of str
        Nodes from the root to each of the dataset's.
    """
    with writing(database, keep):
        _ensure_owner()
        return [place(tables.BenchmarkType.get_by_id(ensure_region(region))) for region in REGIONS]


def _write(result: Result, user: tables.User, public: bool) -> Entry:
    live = benchmark(result.benchmark)
    instance = recorder.benchmarkinstance_from_benchmark(
        _Benchmark(
            identifier=benchmark_name(result),
            version=result.benchmark_version,
            parent=ensure_region(MODEL_REGIONS[live.cell.region]),  # of the responses, whatever models record for them
            bibtex=live.bibtex,
            ceiling=_score(result.ceiling, result.ceiling_error),
        ),
        domain=DOMAIN,
    )
    _check_ceiling(instance, result)
    model = _model(result, user, public)
    finished = result.started + timedelta(seconds=result.seconds)
    entry, is_new = tables.Score.get_or_create(
        benchmark=instance, model=model, defaults={"start_timestamp": _timestamp(result.started)}
    )
    before = _columns(entry)
    entry.start_timestamp, entry.end_timestamp = _timestamp(result.started), _timestamp(finished)
    recorder.update_score(_recorded_score(result), entry)
    after = _columns(tables.Score.get_by_id(entry.id))
    if after != (result.raw, result.value, result.error):
        raise LeaderboardError(
            f"Scores are kept as they are; the database made {after} of {(result.raw, result.value, result.error)} "
            f"({result_name(result)}). Its columns score_raw, score_ceiled and error have to be double precision."
        )
    status = "new" if is_new or before[0] is None else "unchanged" if before == after else "changed"
    return Entry(result, model.name, place(instance.benchmark), status)


def _check_networks(results: Sequence[Result]) -> None:
    """Scores of one model in the database are of one network and its code, also those that an earlier command recorded."""
    own = {model_name(r): r for r in results}
    replaced = {(model_name(r), benchmark_name(r)) for r in results}
    query = tables.Score.select().join(tables.Model).where(tables.Model.name.in_(list(own)))
    for entry in query:
        name, benchmark = entry.model.name, entry.benchmark.benchmark.identifier
        result, comment = own[name], entry.comment or ""
        if f"data {result.dataset_fingerprint}" not in comment:
            continue
        different = _another(comment, result)
        if different and (name, benchmark) in replaced:
            _check_same_model(comment, result, benchmark)
        elif different:
            raise LeaderboardError(
                f"A model of a leaderboard is one network; the database has {name} on {benchmark} with {different}, "
                f"{result_name(result)} comes from {source(result)}. Score and record that benchmark too, or give the model "
                f"another identifier."
            )


def _check_same_model(comment: str, result: Result, benchmark: str) -> None:
    """A score is replaced by that of the same model, as it is now; not by that of another one of its name."""
    match = _REQUEST.search(comment)
    if match is not None and match[1] != _request(result):
        raise LeaderboardError(
            f"A model of a leaderboard is one network; the database has another one as {model_name(result)} on {benchmark}, "
            f"which was asked for otherwise than {source(result)}. Give each a name of its own in a list of models, or another "
            f"identifier."
        )


def _request(result: Result) -> str:
    """A digest of what a model was asked for as: paths of somebody's machine are nobody's business."""
    return hashlib.sha1(result.requested_model.encode()).hexdigest()[:8]


def _another(comment: str, result: Result) -> str | None:
    """What a comment says of a network that is not the result's."""
    kept = {"revision": _REVISION.search(comment), "network": _NETWORK.search(comment)}
    given = {"revision": result.model_revision, "network": result.network_digest}
    known = {name: match and match[1] for name, match in kept.items()}
    what = what_differs(*((known[name], given[name]) for name in ("revision", "network")))
    return kept[what][0] if what and known[what] and given[what] else None


def _user(email: str) -> tables.User:
    if recorder.uid_from_email(email) is None:
        tables.User.create(
            email=email, is_active=True, is_staff=False, is_superuser=False, last_login=None, password=NO_PASSWORD
        )
    return tables.User.get_by_id(recorder.uid_from_email(email))


def _ensure_owner() -> None:
    """A user for brainscore_core to give benchmarks to, in a database that has none with that number."""
    if tables.User.get_or_none(tables.User.id == OWNER_ID) is None:
        # by way of the database's own next number, which no later user will be given then
        owner = _user(OWNER_EMAIL)
        if owner.id != OWNER_ID:
            tables.User.update(id=OWNER_ID).where(tables.User.id == owner.id).execute()


def _check_ceiling(instance: tables.BenchmarkInstance, result: Result) -> None:
    """Scores of one version of a benchmark were divided by one ceiling, that of the first model recorded."""
    kept, given = (instance.ceiling, instance.ceiling_error), (result.ceiling, result.ceiling_error)
    within = SAME_CEILING * abs(result.ceiling)
    if not all(_same(a, b, within) for a, b in zip(kept, given, strict=True)):
        raise LeaderboardError(
            f"Models of a benchmark are compared under one ceiling; the database has {kept[0]!r} ± {kept[1]!r} for version "
            f"{result.benchmark_version} of {result.benchmark}, {result_name(result)} has {given[0]!r} ± {given[1]!r}: these "
            f"are scores on other data. Record them in another database."
        )


def _same(a: float | None, b: float | None, within: float) -> bool:
    # recorded by Brain-Score's endpoint, an error that there is not may also be nan
    known = [number is not None and not math.isnan(number) for number in (a, b)]
    return abs(a - b) <= within if all(known) else not any(known)


def _model(result: Result, user: tables.User, public: bool) -> tables.Model:
    """The model's entry; a new one comes with a submission of its own."""
    name = model_name(result)
    entry = tables.Model.get_or_none(tables.Model.name == name)
    if entry is not None and entry.submission_id is None:  # as the website allows; brainscore_core wants one
        return entry
    submission = entry.submission if entry is not None else None
    if entry is None:
        submission = recorder.submissionentry_from_meta(NO_JENKINS_RUN, user_id=user.id, model_type=MODEL_TYPE)
        submission.status = "successful"
        submission.save()
    has_reference = entry is not None and entry.reference_id is not None
    requested = result.requested_model
    bibtex = None if has_reference or not is_registered(requested) else load_model_bibtex(requested)
    return recorder.modelentry_from_model(
        name, public=public, competition=None, submission=submission, domain=DOMAIN, bibtex=bibtex
    )


def _recorded_score(result: Result) -> Score:
    score = _score(result.value, result.error)
    score.attrs["raw"] = _score(result.raw, result.raw_error)
    score.attrs["ceiling"] = _score(result.ceiling, result.ceiling_error)
    score.attrs["comment"] = _comment(result)
    return score


def _score(value: float, error: float | None) -> Score:
    """A scalar Score; without an error, nothing is said of it, and the database has NULL."""
    score = Score(value)
    if error is not None:
        score.attrs["error"] = error
    return score


def _comment(result: Result) -> str:
    facts = [SIMULATED] if result.is_simulated else []
    facts.append(f"data {result.dataset_fingerprint}")
    if result.hides_sign:
        facts.append("the raw score of one or more subjects is negative")
    if result.model_revision:
        facts.append(f"model revision {result.model_revision}")
    if result.network_digest:
        facts.append(f"{NETWORK} {result.network_digest}")
    if model_name(result) != result.requested_model:
        facts.append(f"request {_request(result)}")
    if result.layers:
        facts.append(f"layer {result.layer}")
    if result.features_digest:
        facts.append(f"features {result.features_digest}")
    facts += [f"{name} {version}" for name, version in sorted(result.versions.items())]
    facts += [f"note: {note}" for note in result.notes]  # last: what is too long is cut
    return "; ".join(facts)[: tables.Score.comment.max_length]


def _columns(entry: tables.Score) -> tuple:
    return entry.score_raw, entry.score_ceiled, entry.error


def _timestamp(time: datetime) -> datetime:
    """UTC without saying so: the columns know no time zones."""
    return time.astimezone(UTC).replace(tzinfo=None)

"""``laion-score compare``: two models of a results file, benchmark by benchmark."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .options import CorrectOption, JsonOption
from .tables import SIGN_HIDDEN, SIGN_MARK, Column, plain_console, print_table

LEGEND = (
    "p: no difference on other images of this kind (these subjects). corrected: for all benchmarks of this table.",
    "people: no difference in other people (on these images; t over subjects). both: other people and other images.",
    "agree: subjects whose difference has the sign of the mean. They saw the same images, so that all agree often by chance.",
)
_notes = plain_console(stderr=True)


def compare(
    results: Annotated[Path, typer.Argument(help="A results file, as `laion-score score --results FILE` makes it.")],
    first: Annotated[
        str, typer.Argument(help="A model, by its name in the file, the digest in it, or as it was asked for.")
    ],
    second: Annotated[str, typer.Argument(help="Another model.")],
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark", help="Only benchmarks that match, '*-ood-*'; may be repeated. Default: all of both."
        ),
    ] = None,
    correct: CorrectOption = "fdr",
    as_json: JsonOption = False,
) -> None:
    """Compare two models: differences, intervals and p values.

    They are compared on the benchmarks that both were scored on. Differences are the first model minus the second, with a 95 %
    interval over resampled test images.

    Example: laion-score compare scores.sqlite alexnet resnet50 --benchmark '*-tau-*' --correct holm
    """
    from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import adjusted
    from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import ComparisonError
    from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import compare as compare_scores

    from ..results import ResultsDatabase, ResultsError, matches, row_notes

    adjusted([], correct)  # a method that does not exist, before anything is read
    database, found = ResultsDatabase(results, create=False), []
    for model in (first, second):
        own = database.results([model])
        # a name may hold asterisks, as that of some columns of a table: it is itself first
        own = [result for result in own if model in (result.model, result.requested_model)] or own
        if len({result.model for result in own}) != 1:
            names = sorted({result.model for result in database.results()})
            raise ResultsError(
                f"A comparison is of two models, by their names; {model!r} fits {len({r.model for r in own})} of those in "
                f"{results}: {', '.join(names)}. Name one of them in full."
            )
        chosen = (result for result in own if matches(benchmark or (), result.benchmark))
        found.append({(result.benchmark, result.dataset_fingerprint): result for result in chosen})
    pairs, problems = [], []
    for key in found[0].keys() & found[1].keys():
        both = [one[key] for one in found]
        versions = [result.benchmark_version for result in both]
        if versions[0] != versions[1]:
            problems.append(
                f"Left out: {key[0]}: two scores are compared on the same version of the benchmark; received {versions[0]} and "
                f"{versions[1]}. Score the older one again."
            )
            continue
        try:
            pairs.append((compare_scores(*(database.score(result.id) for result in both)), both))
        except ComparisonError as error:
            problems.append(f"Left out: {key[0]}: {error}")
    if not pairs:
        why = problems[0] if problems else "Score both on one benchmark, or give another --benchmark."
        raise ResultsError(
            f"A comparison needs a benchmark that both were scored on; {first} and {second} share none. {why}"
        )
    pairs.sort(key=lambda pair: (pair[0].benchmark, pair[1][0].dataset_fingerprint))
    compared = [result for _, both in pairs for result in both]
    fingerprints = [both[0].dataset_fingerprint for _, both in pairs]
    pairs = [pair for pair, _ in pairs]
    corrected = adjusted([pair.mean.p_value for pair in pairs], correct).tolist()
    if as_json:
        for pair, p, fingerprint in zip(pairs, corrected, fingerprints, strict=True):
            facts = {"dataset_fingerprint": fingerprint, "p_corrected": p, "correction": correct}
            print(json.dumps(asdict(pair) | facts))
    else:
        several = len(set(fingerprints)) > 1
        columns = [
            Column("benchmark"),
            *[Column("dataset")] * several,
            *(Column(name, number=True) for name in ("difference", "95 %", "p")),
        ]
        columns += [Column(f"corrected ({correct})", number=True), Column("people", number=True, minor=True)]
        columns += [Column("both", number=True, minor=True), Column("agree", number=True, minor=True)]
        rows = [
            [pair.benchmark, *[fingerprint] * several, *_numbers(pair, p)]
            for pair, p, fingerprint in zip(pairs, corrected, fingerprints, strict=True)
        ]
        names = {pair.normalization for pair in pairs}
        below = (SIGN_HIDDEN, *LEGEND) if any(pair.hides_sign for pair in pairs) else LEGEND
        print_table(f"{first} minus {second} ({', '.join(sorted(names))})", columns, rows, *below)
        for note in dict.fromkeys(note for pair in pairs for note in pair.notes):
            _notes.print(f"Note: {note}")
    for note in row_notes(compared):
        _notes.print(f"Note on {note.model}: {note.text}")
    for problem in sorted(problems):
        _notes.print(problem)


def _numbers(pair, corrected: float) -> list[str]:
    low, high = pair.mean.interval
    people = "–" if pair.over_subjects is None else f"{pair.over_subjects.p_value:.2g}"
    both = "–" if pair.p_of_both is None else f"{pair.p_of_both:.2g}"
    agree = f"{pair.n_positive if pair.mean.value > 0 else pair.n_negative} of {len(pair.subjects)}"
    interval = f"[{low:+.3f}, {high:+.3f}]"
    p = f"{pair.mean.p_value:.2g}"
    difference = f"{pair.mean.value:+.3f}{SIGN_MARK if pair.hides_sign else ''}"
    return [difference, interval, p, f"{corrected:.2g}", people, both, agree]

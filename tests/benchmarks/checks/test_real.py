"""``laion-score check --real``: what it compares with what was published, on simulated data in the published form."""

import shutil

import netCDF4
import numpy as np
import pytest

from brainscore_vision.benchmarks.laion_fmri_7t.checks import real
from brainscore_vision.benchmarks.laion_fmri_7t.checks.ceilings import RegionCeilings
from brainscore_vision.benchmarks.laion_fmri_7t.checks.real import real_checks
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.packaging.published_schema import write_published
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

SUBJECT = "sub-06"
MODEL = "LAION_fMRI-CLIP"


@pytest.fixture(scope="module")
def root(tiny_dataset, tmp_path_factory):
    """One subject of the simulation."""
    folder = tmp_path_factory.mktemp("one") / "data"
    others = (path.name for path in (tiny_dataset / "assemblies").iterdir() if path.stem != SUBJECT)
    return shutil.copytree(tiny_dataset, folder, ignore=shutil.ignore_patterns(*others))


@pytest.fixture(scope="module")
def published(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_published(root / "assemblies" / f"{SUBJECT}.nc", SUBJECT, folder)
    return folder


def test_published_files_of_the_same_trials_pass_and_a_changed_value_is_found(root, published, tmp_path):
    parity, *_ = real_checks(open_dataset(root), published, MODEL)
    assert parity.passed
    assert parity.detail.count("identical") == 2
    changed = shutil.copytree(published, tmp_path / "changed")
    with netCDF4.Dataset(changed / f"assy_LAION_fMRI_full_{SUBJECT}_Assembly.nc", "a") as file:
        file.variables["data"][3, 5] += 1
    parity = next(real_checks(open_dataset(root), changed, MODEL))
    assert not parity.passed
    assert "values of data: 1 of" in parity.detail


def test_a_missing_file_fails_its_rule_alone(root, tmp_path):
    parity, *others = real_checks(open_dataset(root), tmp_path, MODEL)
    assert not parity.passed
    assert str(tmp_path) in parity.detail
    assert len(others) == 2


def ceilings(monkeypatch, change):
    rng = np.random.default_rng(0)
    nc = rng.uniform(10, 80, 300)
    rows = [RegionCeilings(SUBJECT, "V1", {"nc_12rep": nc}, {"nc_12rep": change(nc, rng)}, {}, {})]
    monkeypatch.setattr(real, "region_ceilings", lambda *_: iter(rows))
    return real._ceilings(open_dataset("published"))


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        (lambda nc, rng: nc + rng.normal(0, 5, nc.shape), True),
        (
            lambda nc, rng: 100 * (nc / (nc + (100 - nc) * 11 / 12 / 3.2)),
            False,
        ),  # V1 62 % for 34 %: what ddof = 0 gives
        (lambda nc, rng: rng.permutation(nc), False),
    ],
)
def test_ceilings_of_another_formula_or_order_are_found(monkeypatch, change, passes):
    passed, detail = ceilings(monkeypatch, change)
    assert passed is passes
    assert ("(!)" in detail) is not passes


@pytest.mark.parametrize("definition", real.DEFINITIONS)
def test_the_tables_definition_is_found(root, monkeypatch, definition):
    dataset, model = open_dataset(root), "pixels"  # the penalty matters to it
    metric, power = real.DEFINITIONS[definition]
    table = {}
    for region in real.TABLE:
        name = f"LAION_fMRI.{region}-tau-{metric}[subjects={SUBJECT}]"
        ((_, score),) = score_all(model, [name], dataset=dataset)
        table[region] = score.raw.item() ** power / score.ceiling.item()
    monkeypatch.setattr(real, "TABLE", table)
    passed, detail = real._table(dataset, model)
    assert passed
    assert f"nearest as {definition}" in detail
    monkeypatch.setattr(real, "TABLE", {**table, "V4": table["V4"] + 0.02})
    passed, detail = real._table(dataset, model)
    assert not passed
    assert "these are 1" in detail


def test_the_command_checks_both_and_fails_where_data_are_others(run, root, published):
    code, out, _ = run("check", "--dataset", root, "--real", "--published", published, "--model", MODEL)
    lines = out.splitlines()
    assert len(lines) == 15
    assert lines[12].startswith("ok    assemblies are those that Brain-Score publishes")
    assert lines[14].startswith(f"FAIL  {MODEL} scores as in the published table")  # made-up responses are others
    assert code == 1
    code, _, error = run("check", "--dataset", root, "--published", published)
    assert code == 2
    assert "belong to --real" in error

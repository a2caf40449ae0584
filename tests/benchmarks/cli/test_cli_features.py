"""``laion-score`` for feature tables: score --features, --drop-missing, partition, and the demo's columns."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from plugin_testing.models import CountingModel
from plugin_testing.notes import OF_TINY_DATA
from typer.testing import CliRunner

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmarks.laion_fmri_7t import score_model
from brainscore_vision.benchmarks.laion_fmri_7t.cli import app as cli
from brainscore_vision.benchmarks.laion_fmri_7t.cli.printing import print_scores
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, read_partitions
from brainscore_vision.data.laion_fmri_7t.released.features import FEATURE_FILES
from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel
from brainscore_vision.models.laion_fmri_7t.table_files import TableError

CELL = "LAION_fMRI.IT-tau-ridgecv"


@pytest.fixture
def run(tiny_dataset):
    """Runs a command on the tiny dataset; an error other than wrong usage is raised."""

    def run(*arguments, code=0):
        result = CliRunner().invoke(cli.app, [*map(str, arguments), "--dataset", str(tiny_dataset)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def clip(tiny_dataset):
    """Path, values and ids of the simulated CLIP embeddings."""
    path = tiny_dataset / "stimuli" / FEATURE_FILES["CLIP"]
    with h5py.File(path) as file:
        return path, file["embedding"][:], file["image_ids"].asstr()[:].tolist()


def records(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_a_registered_embedding_is_that_of_the_dataset_named(run, tiny_dataset):
    (record,) = records(run("score", "LAION_fMRI-CLIP", CELL, "--json"))
    assert record["score"] == score_model("LAION_fMRI-CLIP", CELL, dataset=tiny_dataset).item()


@pytest.mark.parametrize("ending", ["h5", "npz", "csv", "npy"])
def test_a_table_of_ones_own(run, clip, tmp_path, ending):
    """In the issue's form: the table stands in the model's place, and every positional argument is a benchmark."""
    path, values, ids = clip
    table, options = tmp_path / f"mine.{ending}", []
    if ending == "h5":
        table.write_bytes(path.read_bytes())
    elif ending == "npz":
        np.savez(table, activations=values, names=ids)
        options = ["--ids", "names"]
    elif ending == "csv":
        pd.DataFrame(values.astype(float), index=pd.Index(ids, name="file")).to_csv(table)
        options = ["--ids", "file"]
    else:
        np.save(table, values)
        (tmp_path / "names.txt").write_text("\n".join(ids))
        options = ["--ids", tmp_path / "names.txt"]
    cells = ("LAION_fMRI.V1-cka", CELL)
    found = {
        record["benchmark"]: record for record in records(run("score", "--features", table, *options, *cells, "--json"))
    }
    assert sorted(found) == sorted(cells)
    (expected,) = records(run("score", "LAION_fMRI-CLIP", CELL, "--json"))
    assert found[CELL]["score"] == pytest.approx(expected["score"], abs=1e-9)
    assert found[CELL]["model"] == "features-mine"


def test_missing_stimuli(run, clip, tmp_path, tiny_dataset):
    _, values, ids = clip
    gone = next(i for i in ids if i.startswith("shared_12rep"))
    keep = [i for i, stimulus_id in enumerate(ids) if stimulus_id != gone]
    np.savez(tmp_path / "mine.npz", features=values[keep], stimulus_ids=np.array(ids)[keep])
    arguments = ("score", "--features", tmp_path / "mine.npz", CELL, "--json")
    with pytest.raises(ModelOutputError, match="1 have none"):
        run(*arguments)
    (record,) = records(run(*arguments, "--drop-missing"))
    assert record["dropped_stimuli"] == [gone]
    assert "dropped_stimuli" not in records(run("score", "LAION_fMRI-CLIP", CELL, "--json", "--drop-missing"))[0]
    with pytest.raises(ModelOutputError, match=r"leave these stimuli out \(--drop-missing\)"):  # as it is typed
        run(*arguments)
    with pytest.raises(ModelOutputError, match=r"leave these stimuli out \(missing='drop'\)"):  # as it is called
        score_model(StimulusFeatureModel.from_file(tmp_path / "mine.npz"), CELL, dataset=tiny_dataset)


def test_the_table_says_how_many_stimuli_were_left_out(run, clip, tmp_path):
    _, values, ids = clip
    values = values.astype(np.float32)
    shared = [i for i, stimulus_id in enumerate(ids) if stimulus_id.startswith("shared_12rep")]
    values[shared[:2]] = np.nan
    np.savez(tmp_path / "mine.npz", features=values, stimulus_ids=ids)
    arguments = ("score", "--features", tmp_path / "mine.npz", "--drop-missing")
    lines = [line for line in run(*arguments, CELL).splitlines() if "eft out" in line]
    assert lines == ["Left out for lack of features in features-mine: 2 stimuli (--json names them)"]
    ood = "LAION_fMRI.IT-ood-ridge"
    assert "features-mine: 2 stimuli (--json" in run(*arguments, CELL, ood)
    values[ids.index(next(s for s in ids if "_OOD_gabor_" in s))] = np.inf
    np.savez(tmp_path / "mine.npz", features=values, stimulus_ids=ids)
    assert f"features-mine: stimuli 2 of {CELL}, 3 of {ood} (--json" in run(*arguments, CELL, ood)
    assert "Left out" not in run("score", "LAION_fMRI-CLIP", CELL, "--drop-missing")


def test_a_partition_says_how_many_stimuli_were_left_out(run, clip, tmp_path):
    _, values, ids = clip
    values, results = values.astype(np.float32), tmp_path / "results.sqlite"
    gone = [s for s in ids if s.startswith("shared_12rep")][:2]
    values[[ids.index(s) for s in gone]] = np.nan
    np.savez(tmp_path / "mine.npz", features=values, stimulus_ids=ids)
    command = ("partition", tmp_path / "mine.npz", "LAION_fMRI-DINOv2", CELL, "--drop-missing", "--no-store")
    line = "Left out for lack of features in features-mine or LAION_fMRI-DINOv2: 2 stimuli (--json names them)"
    assert line in run(*command, "--results", results).splitlines()
    assert line in CliRunner().invoke(cli.app, ["results", str(results), "--partitions"]).output.splitlines()
    assert all(sorted(record["dropped_stimuli"]) == sorted(gone) for record in records(run(*command, "--json")))
    whole = run("partition", "LAION_fMRI-CLIP", "LAION_fMRI-DINOv2", CELL, "--json", "--no-store")
    assert "dropped_stimuli" not in whole


def test_columns(run, clip, tmp_path):
    """A table with a column that is no feature: refused with what to type, scored with what was typed."""
    _, values, ids = clip
    frame = pd.DataFrame(values.astype(float), columns=[f"f{i}" for i in range(values.shape[1])])
    frame.assign(stimulus_id=ids, n_reps=range(len(ids))).to_csv(tmp_path / "mine.csv")
    arguments = ("score", "--features", tmp_path / "mine.csv", CELL, "--json")
    with pytest.raises(TableError, match=r"unclear which of these 25 are: n_reps, f0 to f23 .* --columns 'f\*'"):
        run(*arguments)
    (found,) = records(run(*arguments, "--columns", "f*"))
    (expected,) = records(run("score", "LAION_fMRI-CLIP", CELL, "--json"))
    assert found["score"] == pytest.approx(expected["score"], abs=1e-9)
    of_table = [note for note in found["notes"] if not any(text in note for text in OF_TINY_DATA)]
    assert of_table == [f"Column 'Unnamed: 0' of {tmp_path / 'mine.csv'} is an index and no feature."]
    assert "Note on features-mine: Column 'Unnamed: 0'" in run(*arguments[:-1], "--columns", "f*")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "pixels"), "Name at least one benchmark"),
        (("score", "pixels", CELL, "--ids", "names"), "name it with --features"),
        (("score", "pixels", CELL, "--columns", "f*"), "name it with --features"),
        (("score", "pixels", CELL, "--drop-missing"), "pixels sees images"),
    ],
)
def test_wrong_usage(run, arguments, message):
    assert message in " ".join(run(*arguments, code=2).split())


def test_partition(run, clip):
    output = records(
        run("partition", "LAION_fMRI-DINOv2", clip[0], CELL, "LAION_fMRI.V4-tau-ridgecv", "--json", "--no-store")
    )
    assert [r["subject"] for r in output if r["benchmark"] == CELL] == [*(f"sub-0{n}" for n in (1, 3, 5, 6, 7)), "mean"]
    for record in output:
        assert record["models"] == ["LAION_fMRI-DINOv2", "features-task-images_desc-CLIP_embeddings"]
        assert record["total"] == pytest.approx(record["unique_a"] + record["unique_b"] + record["shared"])
        low, high = record["intervals"]["shared"]
        assert low <= high
    table = run("partition", "LAION_fMRI-DINOv2", "LAION_fMRI-nouns", CELL)
    assert "shared" in table


@pytest.fixture
def tables(clip, tmp_path):
    """Two tables with the same columns, CLIP's features and four of noise, under other names of the ids."""
    _, values, ids = clip
    frame = pd.DataFrame(values, columns=[f"f{i}" for i in range(values.shape[1])])
    noise = pd.DataFrame(np.random.default_rng(0).standard_normal((len(ids), 4)), columns=list("wxyz"))
    paths = tmp_path / "one.csv", tmp_path / "two.csv"
    for path, name in zip(paths, ("image", "picture"), strict=True):
        pd.concat([pd.Series(ids, name=name), frame, noise], axis=1).to_csv(path, index=False)
    return paths


def test_partition_takes_subjects_and_columns_of_tables(run, tables):
    command = ("partition", *tables, CELL, "--json", "--no-store", "--subjects", "sub-03,sub-05")
    twice = ("--ids", "image", "--ids", "picture", "--columns", "f*", "--columns", "w,x,y,z")
    found = {record["subject"]: record for record in records(run(*command, *twice))}
    assert list(found) == ["sub-03", "sub-05", "mean"]
    assert all(record["benchmark"] == f"{CELL}[subjects=sub-03+sub-05]" for record in found.values())
    assert found["mean"]["unique_a"] > found["mean"]["unique_b"] + 0.2
    assert found["sub-03"]["weight"] > 0.5
    other = ("partition", tables[0], "LAION_fMRI-DINOv2", CELL, "--json", "--no-store", "--ids", "image", "--columns")
    few, many = (records(run(*other, columns))[-1]["a"] for columns in ("w,x,y,z", "f*"))
    assert many > few + 0.2


def test_choices_of_one_table_are_models_of_their_own(run, tables, tmp_path):
    """Other columns, in one results file: neither takes the other's place, and each says what it is of."""
    results, found = tmp_path / "results.db", {}
    for columns in ("f*", "w,x,y,z"):
        command = ("score", "--features", tables[0], CELL, "--ids", "image", "--columns", columns, "--json")
        (found[columns],) = records(run(*command, "--results", results))
    rows = {result.model: result.value for result in ResultsDatabase(results).results()}
    assert rows == {
        "features-one (one.csv --ids image --columns 'f*')": found["f*"]["score"],
        "features-one (one.csv --ids image --columns w,x,y,z)": found["w,x,y,z"]["score"],
    }
    for model in rows:  # in full, with an asterisk that is none
        other = next(name for name in rows if name != model)
        compared = CliRunner().invoke(cli.app, ["compare", str(results), model, other, "--json"])
        assert compared.exit_code == 0, compared.output
        assert [result.model for result in ResultsDatabase(results).results([model])] == [model]
        assert records(compared.output)[0]["mean"]["value"] == pytest.approx(rows[model] - rows[other])
    for columns in ("f*", "w,x,y,z"):
        choices = ("--ids", "image", "--columns", columns)
        run("partition", tables[0], "LAION_fMRI-DINOv2", CELL, *choices, "--no-store", "--results", results)
    parts = read_partitions(ResultsDatabase(results))
    assert len(set(parts.requested_a)) == 2
    assert set(parts.groupby("model_a").subject.size()) == {36}


def test_a_sweep_of_a_table_takes_no_choice_of_it_for_the_whole(run, clip, tmp_path):
    _, values, ids = clip
    table, results = tmp_path / "two.npz", tmp_path / "results.db"
    noise = np.random.default_rng(0).standard_normal(values.shape)
    np.savez(table, features=values, layer3=noise, stimulus_ids=ids)
    run("score", "--features", table, CELL, "--key", "layer3", "--results", results)
    run("sweep", table, "--benchmarks", CELL, "--results", results)
    assert len(ResultsDatabase(results).results()) == 2
    (whole,) = ResultsDatabase(results).results([str(table)])
    (expected,) = records(run("score", "LAION_fMRI-CLIP", CELL, "--json"))
    assert whole.value == pytest.approx(expected["score"], abs=1e-9)


def test_two_choices_of_one_table_are_parts_of_their_own(run, tables):
    twice = ("--ids", "image", "--columns", "f*", "--columns", "w,x,y,z")
    found = records(run("partition", tables[0], tables[0], CELL, *twice, "--json", "--no-store"))
    assert found[0]["models"] == ["features-one ids=image 'columns=f*'", "features-one ids=image columns=w,x,y,z"]
    assert found[-1]["unique_a"] > found[-1]["unique_b"] + 0.2


def test_partition_says_what_a_part_of_nothing_means(run, tables):
    twice = ("--ids", "image", "--ids", "picture", "--columns", "f*", "--columns", "w")
    shown = " ".join(run("partition", *tables, CELL, "--no-store", *twice).split())
    assert ("the joint fit leaves it out" in shown) == (shown.count("0.000 [0.000, 0.000]") > 1)
    assert ("A part below 0" in shown) == ("-0." in shown)
    assert "below 0" in shown or "leaves it out" in shown


def test_partitions_are_kept_with_results(run, clip, tmp_path):
    results = tmp_path / "results.db"
    output = records(run("partition", "LAION_fMRI-DINOv2", clip[0], CELL, "--json", "--no-store", "--results", results))
    run("score", "LAION_fMRI-DINOv2", CELL, "--no-store", "--results", results)
    rows = read_partitions(ResultsDatabase(results)).set_index(["subject", "part"])
    assert set(rows.benchmark) == {CELL}
    assert set(rows.model_a) == {"LAION_fMRI-DINOv2"}
    assert set(rows.requested_b) == {str(clip[0])}
    for record in output:
        for part in ("total", "unique_a", "unique_b", "shared", "a", "b"):
            row = rows.loc[record["subject"], part]
            assert row.value == record[part]
            assert [row.interval_low, row.interval_high] == record["intervals"][part]
            assert row.notes == record["notes"]
    shown = CliRunner().invoke(cli.app, ["results", str(results), "--partitions"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("unique_a") == 6
    assert any(rows.notes)  # few test images: the explainable variance is known roughly
    assert f"Note on LAION_fMRI-DINOv2 and {rows.model_b.iloc[0]}: The explainable variance of sub-01" in shown.output
    printed = CliRunner().invoke(cli.app, ["results", str(results), "--partitions", "--json"])
    assert [r["value"] for r in records(printed.output)] == rows.value.tolist()
    assert len(ResultsDatabase(results).results()) == 1


def test_partitions_in_a_file_of_an_earlier_version(run, tmp_path):
    results = tmp_path / "results.db"
    database = ResultsDatabase(results)
    database.connection.execute_sql("DROP TABLE parts")
    assert read_partitions(database).empty
    run("partition", "LAION_fMRI-CLIP", "LAION_fMRI-DINOv2", CELL, "--no-store", "--results", results)
    assert len(read_partitions(database)) == 6 * 6
    columns = [row[1] for row in database.connection.execute_sql("PRAGMA table_info(parts)")]
    for column in columns[columns.index("layers_a") :]:  # as version 3 wrote it
        database.connection.execute_sql(f"ALTER TABLE parts DROP COLUMN {column}")
    database.connection.execute_sql("PRAGMA user_version = 3")
    assert read_partitions(database)["layers_a"].isna().all()
    assert not any(read_partitions(database)["notes"])
    run("partition", "LAION_fMRI-CLIP", "LAION_fMRI-DINOv2", CELL, "--no-store", "--results", results)
    assert len(read_partitions(database)) == 6 * 6  # the newest counts
    assert len(read_partitions(database, latest=False)) == 2 * 6 * 6


NET = """
import torch
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model


def make():
    torch.manual_seed({seed})
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 7, stride=8), torch.nn.MaxPool2d(8)).eval()
    return as_brain_model(network, "mynet", layers={{"IT": "0", "V4": "0"}}, image_size=64)
"""


def test_partitions_of_two_networks_of_one_name_are_told_apart(run, tmp_path):
    """As results are: by what was made, the newest of a benchmark counting."""
    file, results, v4 = tmp_path / "net.py", tmp_path / "results.db", "LAION_fMRI.V4-tau-ridgecv"
    database = ResultsDatabase(results)
    for seed, cells in ((1, (CELL, v4)), (2, (CELL,))):
        file.write_text(NET.format(seed=seed))
        run("partition", f"{file}:make", "LAION_fMRI-CLIP", *cells, "--no-store", "--results", results)
        run("score", f"{file}:make", *cells, "--no-store", "--results", results)
    scores = {(r.benchmark, r.model_revision): r for r in database.results(latest=False)}
    rows, every = read_partitions(database), read_partitions(database, latest=False)
    assert (len(rows), len(every)) == (2 * 36, 3 * 36)
    assert {(row.benchmark, row.revision_a) for row in every.itertuples()} == set(scores)
    for row in every.itertuples():
        of_score = scores[row.benchmark, row.revision_a]
        assert (row.network_digest_a, row.identifier_a) == (of_score.network_digest, "mynet")
        assert row.model_a == f"mynet (revision {row.revision_a.removeprefix('made-')[:8]})"
    newest = {(r.benchmark, r.model_revision) for r in database.results()}
    assert set(zip(rows.benchmark, rows.revision_a, strict=True)) == newest
    assert set(rows.model_b) == {"LAION_fMRI-CLIP"}
    for option, n in (((), 12), (("--all",), 18)):
        shown = CliRunner().invoke(cli.app, ["results", str(results), "--partitions", *option])
        assert shown.exit_code == 0, shown.output
        assert shown.output.count("unique_a") == n


def test_partitions_keep_stimuli_that_were_left_out(run, clip, tmp_path):
    _, values, ids = clip
    gone = next(i for i in ids if i.startswith("shared_12rep"))
    keep = [i for i, stimulus_id in enumerate(ids) if stimulus_id != gone]
    table, results = tmp_path / "mine.npz", tmp_path / "results.db"
    np.savez(table, features=values[keep], stimulus_ids=np.array(ids)[keep])
    other = tmp_path / "other.npz"
    np.savez(other, features=values[:, :3], stimulus_ids=ids)
    run("partition", table, other, CELL, "--drop-missing", "--no-store", "--results", results)
    rows = read_partitions(ResultsDatabase(results))
    assert set(rows.subject) > {"mean"}
    assert rows.dropped_stimuli.tolist() == [[gone]] * len(rows)
    assert rows.network_digest_a.nunique() == rows.network_digest_b.nunique() == 1
    assert set(rows.network_digest_a) != set(rows.network_digest_b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--columns", "f*"), "--columns says how to read a table of features"),
        (("--ids", "a", "--ids", "b", "--ids", "c"), "--ids says how to read a table of features"),
    ],
)
def test_wrong_usage_of_partition(run, options, message):
    output = run("partition", "LAION_fMRI-CLIP", "LAION_fMRI-nouns", CELL, *options, code=2)
    assert message in " ".join(output.replace("│", " ").split())


def test_a_model_without_a_cell_has_a_dash(tiny_dataset, capsys):
    one, two = "LAION_fMRI.V1-ood-ridge", "LAION_fMRI_persubject.V1-ood-ridge"
    scores = {name: score_model(CountingModel(), name, dataset=tiny_dataset) for name in (one, two)}
    print_scores({f"model {i}": scores if i == 0 else {one: scores[one]} for i in range(7)})
    lines = [line for line in capsys.readouterr().out.splitlines() if "-ood-ridge" in line]
    assert len(lines) == 2  # one table where no terminal is too narrow for it
    assert [line.count("–") for line in lines] == [0, 6]


def test_demo_shows_the_models_of_the_dataset(tiny_dataset, monkeypatch):
    from plugin_testing.models import small_network

    from brainscore_vision.data.laion_fmri_7t import simulation

    layers = {"V1": "conv", "V2": "pool", "V3": "pool", "V4": "pool", "IT": "head"}
    monkeypatch.setattr(simulation, "ensure_default", lambda: tiny_dataset)
    monkeypatch.setattr(
        "brainscore_vision.benchmarks.laion_fmri_7t.networks.sources.untrained_alexnet",
        lambda: small_network(layers, batch_size=32),
    )
    cells = ["LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI_persubject.V1-tau-ridgecv"]
    monkeypatch.setattr(cli, "headline", lambda: cells)
    found = records(CliRunner().invoke(cli.app, ["demo", "--json"]).output)
    own = {
        model: [r["benchmark"] for r in found if r["model"] == f"LAION_fMRI-{model}"]
        for model in ("CLIP", "DINOv2", "PEcore", "SigLIP2")
    }
    assert all(sorted(benchmarks) == cells for benchmarks in own.values())
    assert [r["benchmark"] for r in found if r["model"] == "LAION_fMRI-nouns"] == cells[:1]

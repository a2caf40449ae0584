"""What a sweep has to do: names, what is done already, which cells share a task, how a machine is shared out."""

import shutil

import h5py
import pytest
import typer
from plugin_testing.models import CountingModel
from plugin_testing.sweep_models import CELLS, write_models

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t.cli.sweep import listed
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, add_scores
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import build_all, resolve_all, score_all
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import UnknownNamesError, check_names, cluster, make_plan
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.plan import shared_work
from brainscore_vision.benchmarks.laion_fmri_7t.sweep.progress import by_cause
from brainscore_vision.data.laion_fmri_7t.released.features import FEATURE_FILES

V1, IT, _ = CELLS


@pytest.fixture
def model_file(tmp_path):
    return write_models(tmp_path)


def test_an_edited_file_is_another_model(tmp_path, model_file, tiny_dataset):
    """What ``score --results`` adds is done for sweeps, as long as the file is what it was."""
    name, database = f"{model_file}:healthy", ResultsDatabase(tmp_path / "results.db")
    names = check_names([name], [V1, IT], dataset=str(tiny_dataset))
    engine = EngineOptions(store=False, progress=False)
    scores = score_all(CountingModel(), [V1], dataset=tiny_dataset, engine=engine)
    list(add_scores(database, scores, model=name, benchmarks=[V1], dataset=tiny_dataset))
    (plan,) = make_plan(*names, results=database).models
    assert plan.revision == database.results()[0].model_revision
    assert [target.name for target in plan.done] == [V1]
    source = model_file.read_text()
    model_file.write_text(f"{source}\n# edited\n")
    (edited,) = make_plan(*names, results=database).models
    assert edited.done == ()
    assert len(edited.todo) == 2
    model_file.write_text(source)
    assert make_plan(*names, results=database).models == (plan,)


def test_other_features_that_come_with_the_dataset_are_another_model(tmp_path, tiny_dataset):
    """The release's embeddings, got again; the dataset's fingerprint says nothing of them."""
    folder, names = tmp_path / "dataset", ["LAION_fMRI-CLIP", "LAION_fMRI-DINOv2"]
    shutil.copytree(tiny_dataset, folder)
    database, engine = ResultsDatabase(tmp_path / "results.db"), EngineOptions(store=False, progress=False)
    for name in names:
        scores = score_all(name, [V1], dataset=folder, engine=engine)
        list(add_scores(database, scores, model=name, benchmarks=[V1], dataset=folder))
    plan = make_plan(*check_names(names, [V1], dataset=str(folder)), results=database)
    assert [len(model.todo) for model in plan.models] == [0, 0]
    with h5py.File(folder / "stimuli" / FEATURE_FILES["CLIP"], "a") as file:
        file["embedding"][:] = file["embedding"][:][::-1]
    plan = make_plan(*check_names(names, [V1], dataset=str(folder)), results=database)
    assert [len(model.todo) for model in plan.models] == [1, 0]


def test_every_unknown_name_is_told(model_file, tiny_dataset):
    models = ["alexnet-not-there", f"{model_file}:healthy", f"{model_file}:nothing", "absent.py:make"]
    with pytest.raises(UnknownNamesError) as caught:
        check_names(models, [V1, "LAION_fMRI.V9-tau-ridge"], dataset=str(tiny_dataset))
    assert len(caught.value.problems) == 4
    for name in ("LAION_fMRI.V9-tau-ridge", "alexnet-not-there", "nothing", "absent.py"):
        assert name in str(caught.value)


def test_lists_in_files(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("# ours\nalexnet\n\npixels  # made here\n")
    assert listed(["a", str(file), f"@{file}", "b"]) == ["a", "alexnet", "pixels", "b"]
    for name, content in (("empty.txt", "# none\n"), ("binary.txt", b"\xff\xfe\x00")):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(typer.BadParameter, match="one name per line"):
            listed([str(tmp_path / name)])
    with pytest.raises(typer.BadParameter, match="No such file"):
        listed([f"@{tmp_path / 'absent.txt'}"])


def test_cells_that_share_a_decomposition_are_one_task(tiny_dataset):
    region = "LAION_fMRI.{}-{}".format
    cells = [region("V1", "ood-ridgecv"), region("V1", "ood_gabor-ridgecv"), region("V2", "ood-ridge")]
    cells += [region("V1", "tau-ridgecv"), region("IT", "ood-ridgecv"), "LAION_fMRI_persubject.V1-ood-ridgecv"]
    labels = {"V1": "conv", "V2": "conv", "IT": "head"}

    def grouped(names, together=0.0):
        built = build_all(names, tiny_dataset)
        return shared_work(names, resolve_all(built.values()), labels, together)

    groups = grouped(cells)
    assert sorted(map(sorted, groups)) == sorted(map(sorted, [cells[:3], *([cell] for cell in cells[3:])]))
    # two groups become one where a third shares with both
    subjects = [f"{cells[5]}[subjects={names}]" for names in ("sub-01", "sub-03", "sub-01+sub-03")]
    assert [set(group) for group in grouped(subjects)] == [set(subjects)]
    # small ones are joined up to so many subjects' scores, of which each of these cells has five
    assert grouped(cells, together=25.0) == [tuple(cells[:5]), tuple(cells[5:])]
    # layers that are chosen are those of the measured region itself
    regions = [region(name, "tau-ridgecv") for name in ("place", "face", "IT")]
    labels.clear()
    labels.update(place="conv", face="head")
    assert [set(group) for group in grouped(regions[:2])] == [{name} for name in regions[:2]]
    labels.update(IT="conv")
    assert sorted(map(set, grouped(regions)), key=len) == [{regions[1]}, {regions[0], regions[2]}]
    labels.clear()
    labels.update({"V1": "conv", "V2": "conv", "IT": "head"})
    assert grouped(cells, together=14.0) == [tuple(cells[:3]), tuple(cells[3:5]), tuple(cells[5:])]


@pytest.mark.parametrize(
    ("cores", "available", "n_tasks", "wanted", "expected"),
    [
        (16, 100, 50, None, (8, 2, 11)),
        (16, 30, 50, None, (2, 8, 13)),  # memory for two
        (16, 23, 50, None, (1, 16, 20)),  # and not more than what dask leaves alone
        (16, 5, 50, None, (1, 16, 4)),  # not even for one: it is tried
        (16, 100, 3, None, (3, 5, 30)),
        (2, 100, 50, None, (1, 2, 90)),
        (2, 100, 50, 4, (4, 1, 22)),
    ],
)
def test_sharing_out_a_machine(cores, available, n_tasks, wanted, expected):
    workers = cluster.local_workers(cores, available * 10**9, 10 * 10**9, n_tasks, wanted)
    assert (workers.n, workers.threads, workers.memory // 10**9) == expected


def test_failures_are_told_by_cause():
    """Errors that differ in the model's own name and in amounts have one cause; other layers are another."""
    lacking = "UnmappedRegionError: {} has no layer for {}"
    failures = [
        (f"nets.py:make(width={k})", "LAION_fMRI.V4-tau-ridgecv", lacking.format("make", "V4")) for k in range(12)
    ]
    failures += [
        (f"nets.py:make(width={k})", "LAION_fMRI.V4-ood-ridgecv", lacking.format("make", "V4")) for k in range(12)
    ]
    failures += [("timm:a", "LAION_fMRI.V1-tau-ridgecv", lacking.format("timm:a", "V1"))]
    failures += [(name, None, f"MemoryError: {name} needs {gb} GB") for name, gb in (("alexnet", 3.5), ("pixels", 12))]
    models = ", ".join(f"nets.py:make(width={k})" for k in range(3))
    assert by_cause(failures) == [
        f"12 models ({models}, ...): UnmappedRegionError: make has no layer for V4",
        "2 models (alexnet, pixels): MemoryError: alexnet needs 3.5 GB",
        "timm:a, LAION_fMRI.V1-tau-ridgecv: UnmappedRegionError: timm:a has no layer for V1",
    ]
    of_one_model = [("a", "V1", "ValueError: no"), ("a", "V2", "ValueError: no")]
    assert by_cause(of_one_model) == ["a, 2 cells: ValueError: no"]

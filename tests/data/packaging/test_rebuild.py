"""From the release's files to assemblies: the same values, from the same files, in any number of runs."""

import gzip
import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plugin_testing.install_check import REPOSITORY
from plugin_testing.raw_release import ROIS, SHAPE, HandMade, save
from plugin_testing.s3 import s3_server

from brainscore_vision.data.laion_fmri_7t.assemblies.file import open_netcdf, read_header
from brainscore_vision.data.laion_fmri_7t.bucket import BUCKET
from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.packaging import build as build_module
from brainscore_vision.data.laion_fmri_7t.packaging import command
from brainscore_vision.data.laion_fmri_7t.packaging.build import BuildOptions, build_subject
from brainscore_vision.data.laion_fmri_7t.packaging.layout import SubjectFiles
from brainscore_vision.data.laion_fmri_7t.packaging.regions import RULES, RegionRule
from brainscore_vision.data.laion_fmri_7t.simulation.raw import simulate_raw
from brainscore_vision.data.laion_fmri_7t.source import open_dataset


def stored(path: Path) -> np.ndarray:
    with open_netcdf(path) as file:
        return file.variables["data"][:]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def rebuilt(released, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rebuilt") / "data"
    shutil.copytree(released, root)
    for subject in SUBJECTS:
        build_subject(root, subject)
    return root


@pytest.fixture
def made(tmp_path) -> HandMade:
    rng = np.random.default_rng(1)
    return HandMade(tmp_path / "data", rng)


OPTIONS = BuildOptions(sessions=("ses-01", "ses-02"))


# the same numbers


@pytest.mark.parametrize("subject", SUBJECTS)
def test_rebuilding_gives_the_packaged_assembly(tiny_dataset, rebuilt, subject):
    packaged, built = (root / "assemblies" / f"{subject}.nc" for root in (tiny_dataset, rebuilt))
    ours, theirs = read_header(built), read_header(packaged)
    n_neuroids = len(ours.neuroids)  # of V1 to IT, the first ones there
    np.testing.assert_array_equal(stored(built), stored(packaged)[:, :n_neuroids])
    pd.testing.assert_frame_equal(ours.presentations, theirs.presentations)
    pd.testing.assert_frame_equal(ours.neuroids, theirs.neuroids[:n_neuroids])


def test_rebuilt_folder_is_a_dataset_that_says_it_is_simulated(tiny_dataset, rebuilt):
    dataset, packaged = open_dataset(rebuilt), open_dataset(tiny_dataset)
    assert dataset.is_simulated
    assert dataset.subjects == SUBJECTS
    assert read_header(rebuilt / "assemblies" / "sub-01.nc").attributes["dataset"] == "simulated"
    ids = dataset.pool_stimuli("sub-05")
    assert dataset.stimulus_fingerprints(ids) == packaged.stimulus_fingerprints(ids)
    ours, theirs = (d.responses("sub-05", "IT_full", noise_ceiling_threshold=30) for d in (dataset, packaged))
    np.testing.assert_array_equal(ours.values, theirs.values)


def test_voxels_trials_and_values_follow_the_rules(made):
    built = build_subject(made.root, made.subject, OPTIONS)
    header, brain = read_header(built.path), made.brain.ravel()
    expected = [
        (position, region, name)
        for position, voxel in enumerate(np.flatnonzero(brain))
        for rule in RULES
        for region, name in [(rule.region, name) for name in rule.rois]
        if made.rois[name].ravel()[voxel] and not (name == "laionventral" and made.rois["hV4"].ravel()[voxel])
    ]
    neuroids = header.neuroids
    found = zip(neuroids["voxel_index_in_brain_mask"], neuroids["region"], neuroids["roi"], strict=True)
    assert list(found) == expected
    assert (np.diff(neuroids["voxel_index_in_brain_mask"]) > 0).all()
    places = np.flatnonzero(brain)[neuroids["voxel_index_in_brain_mask"]]
    for name, volume in made.ceilings.items():
        np.testing.assert_array_equal(neuroids[name], volume.ravel()[places])
    presentations, values = header.presentations, stored(built.path)
    assert presentations["session"].tolist() == ["ses-01"] * 12 + ["ses-02"] * 12
    assert presentations["repetition"].tolist() == [n // 5 for n in range(12)] + [3, 3, 2, 2, 2, 4, 4, 3, 3, 3, 5, 5]
    for number, session in enumerate(made.sessions):
        betas = made.betas[session].reshape(-1, made.n_trials)[places].T.astype(np.float64)
        expected = (betas - betas.mean(0)) / betas.std(0)
        np.testing.assert_allclose(values[12 * number : 12 * number + 12], expected, atol=1e-6)


def test_non_finite_and_constant_voxels_become_zero_and_are_counted(made):
    values = made.betas["ses-01"].copy()
    places = np.unravel_index(np.flatnonzero(made.rois["V1v"]), SHAPE)
    first, second, third = list(zip(*places, strict=True))[:3]
    values[*first, 2:4] = np.nan, np.inf
    values[second] = np.nan
    values[third] = np.float32(0.1)  # its mean is not exact
    made.write_session("ses-01", values)
    built = build_subject(made.root, made.subject, OPTIONS)
    betas = stored(built.path)[:12, (read_header(built.path).neuroids["roi"] == "V1v").to_numpy()]
    kept = np.delete(values[first].astype(np.float64), [2, 3])
    np.testing.assert_allclose(np.delete(betas[:, 0], [2, 3]), (kept - kept.mean()) / kept.std(), atol=1e-6)
    assert betas[2:4, 0].tolist() == [0, 0]
    assert not betas[:, 1:3].any()
    assert vars(built.counts) == {
        **{"non_finite": 14, "voxels_with_non_finite": 2, "voxels_without_value": 1, "constant_voxels": 1}
    }
    assert any("14 betas are NaN or infinite" in warning for warning in built.warnings)
    assert read_header(built.path).attributes["zscore_non_finite"] == 14


def test_provenance(rebuilt):
    attributes = read_header(rebuilt / "assemblies" / "sub-03.nc").attributes
    sources = {source["path"]: source for source in json.loads(attributes["sources"])}
    files = SubjectFiles(rebuilt, "sub-03")
    for path in (
        files.betas("ses-02"),
        files.trials("ses-04"),
        files.anatomical_mask,
        files.roi_files()["laionventral"],
    ):
        source = sources[path.relative_to(rebuilt).as_posix()]
        assert (source["size"], source["sha256"]) == (path.stat().st_size, sha256(path))
    assert len(sources) == 1 + len(ROIS) + 3 + 2 * 4
    assert attributes["brain_mask"] == "anatomical"
    assert attributes["brain_mask_voxels"] == 3_600
    assert attributes["sessions"] == "ses-01 ses-02 ses-03 ses-04"
    assert "IT = laionventral minus the regions before" in attributes["region_rules"]
    assert set(json.loads(attributes["software"])) >= {"laion-fmri-7t", "nibabel", "numpy"}
    assert attributes["created"].startswith("20")
    assert set(json.loads(attributes["noise_ceiling_sessions"]).values()) == {attributes["sessions"]}


# steps


def test_building_again_does_nothing(rebuilt, monkeypatch):
    path = rebuilt / "assemblies" / "sub-01.nc"
    before = path.stat()
    monkeypatch.setattr(build_module, "read_betas", lambda *_: pytest.fail("read betas again"))
    built = build_subject(rebuilt, "sub-01")
    assert not built.is_new
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert not (rebuilt / "assemblies" / ".rebuild" / "sub-01").exists()


def test_killed_run_goes_on_where_it_was(made):
    script = (
        "import os\n"
        "from pathlib import Path\n"
        "from brainscore_vision.data.laion_fmri_7t.packaging import build\n"
        "read = build.read_betas\n"
        "build.read_betas = lambda path, voxels: os._exit(9) if 'ses-02' in path.name else read(path, voxels)\n"
        f"options = build.BuildOptions(sessions=('ses-01', 'ses-02'))\n"
        f"build.build_subject(Path({str(made.root)!r}), 'sub-01', options)\n"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False)
    assert run.returncode == 9
    assert not (made.root / "assemblies" / "sub-01.nc").exists()
    built = build_subject(made.root, "sub-01", OPTIONS)
    assert built.sessions_read == ("ses-02",)
    once = stored(built.path)
    again = build_subject(made.root, "sub-01", BuildOptions(sessions=OPTIONS.sessions, start_over=True))
    assert again.sessions_read == OPTIONS.sessions
    np.testing.assert_array_equal(stored(again.path), once)
    assert [path.name for path in (made.root / "assemblies").iterdir() if path.is_file()] == ["sub-01.nc"]


@pytest.fixture
def half_done(made) -> HandMade:
    """ses-01 is finished, ses-02 is missing."""
    made.files.betas("ses-02").rename(made.root / "away")
    with pytest.raises(
        MissingDataError, match=r"sub-01, ses-02.*data get .* --subjects sub-01 --what betas --sessions ses-02"
    ):
        build_subject(made.root, "sub-01", OPTIONS)
    (made.root / "away").rename(made.files.betas("ses-02"))
    return made


def test_changed_source_is_read_again(half_done):
    half_done.write_session("ses-01")
    assert build_subject(half_done.root, "sub-01", OPTIONS).sessions_read == OPTIONS.sessions


@pytest.mark.parametrize("is_same", [True, False])
def test_source_of_the_same_size_and_time_is_known_by_its_content(half_done, is_same):
    path = half_done.files.betas("ses-01")
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[4] ^= 0 if is_same else 1  # gzip's own time: other bytes, the same betas
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=times)
    expected = ("ses-02",) if is_same else OPTIONS.sessions
    assert build_subject(half_done.root, "sub-01", OPTIONS).sessions_read == expected


def test_damaged_finished_session_is_not_used(half_done):
    array = half_done.root / "assemblies" / ".rebuild" / "sub-01" / "ses-01.npy"
    array.write_bytes(array.read_bytes()[:-8] + bytes(8))
    with pytest.raises(DatasetError, match=r"ses-01 .* is damaged.*--start-over"):
        build_subject(half_done.root, "sub-01", OPTIONS)


def test_brain_masks_are_not_mixed_between_sessions(half_done):
    rsquare = BuildOptions(mask="rsquare", sessions=OPTIONS.sessions)
    with pytest.raises(
        DatasetError, match=r"one brain mask.*brain_mask 'anatomical'.*brain_mask 'rsquare'.*--start-over"
    ):
        build_subject(half_done.root, "sub-01", rsquare)
    over = BuildOptions(mask="rsquare", sessions=OPTIONS.sessions, start_over=True)
    assert build_subject(half_done.root, "sub-01", over).sessions_read == OPTIONS.sessions


def test_brain_masks_are_not_mixed_between_assemblies(made):
    build_subject(made.root, "sub-01", OPTIONS)
    with pytest.raises(DatasetError, match=r"built with brain_mask 'anatomical'; now asked for is 'rsquare'"):
        build_subject(made.root, "sub-01", BuildOptions(mask="rsquare", sessions=OPTIONS.sessions))


def test_rsquare_mask_leaves_out_zero_and_nan(made):
    anatomical = build_subject(made.root, "sub-01", OPTIONS)
    before = read_header(anatomical.path)
    over = BuildOptions(mask="rsquare", sessions=OPTIONS.sessions, start_over=True)
    built = build_subject(made.root, "sub-01", over)
    after = read_header(built.path)
    assert before.attributes["brain_mask_voxels"] - after.attributes["brain_mask_voxels"] == 2
    assert after.attributes["brain_mask"] == "rsquare"
    # the first two voxels of the grid, of V1v and V1d, are outside; the others move up by two
    np.testing.assert_array_equal(
        after.neuroids["voxel_index_in_brain_mask"], before.neuroids["voxel_index_in_brain_mask"][2:] - 2
    )
    np.testing.assert_array_equal(stored(built.path).shape[1], len(before.neuroids) - 2)
    outside = (made.rois["V1v"] & ~made.brain).sum() + 1
    assert f"{outside} voxels of V1v lie outside the brain mask and are left out" in built.warnings


def test_foreign_assembly_is_not_replaced(tiny_dataset, made):
    target = made.root / "assemblies" / "sub-01.nc"
    target.parent.mkdir()
    shutil.copyfile(tiny_dataset / "assemblies" / "sub-01.nc", target)
    before = sha256(target)
    with pytest.raises(DatasetError, match=r"was not built by rebuild_assemblies\.py"):
        build_subject(made.root, "sub-01", OPTIONS)
    assert sha256(target) == before


# what is broken or missing


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def not_gzip(path: Path) -> None:
    path.write_bytes(b"<html>404</html>" * 40)


def too_few_volumes(path: Path) -> None:
    save(path, np.zeros((*SHAPE, 7), np.float32))


def another_grid(path: Path) -> None:
    save(path, np.zeros((*SHAPE[:2], 9, 12), np.float32))


def another_place(path: Path) -> None:
    save(path, np.zeros((*SHAPE, 12), np.float32), np.diag([2.0, 2, 2, 1]))


def too_much(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"more"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "complete gzipped NIfTI|cut short"),
        (flip_a_bit, "complete gzipped NIfTI|cut short|trial"),
        (not_gzip, "complete gzipped NIfTI"),
        (too_few_volumes, "has 7 volumes, .* 12 rows"),
        (another_grid, "share one grid"),
        (another_place, "another affine"),
        (too_much, "goes on after its 12 trials"),
    ],
)
def test_broken_betas_are_named_and_what_is_done_is_kept(made, damage, message):
    damage(made.files.betas("ses-02"))
    with pytest.raises(SchemaError, match=message) as caught:
        build_subject(made.root, "sub-01", OPTIONS)
    assert made.files.betas("ses-02").name in str(caught.value)
    assert (made.root / "assemblies" / ".rebuild" / "sub-01" / "ses-01.npy").is_file()
    made.write_session("ses-02")
    assert build_subject(made.root, "sub-01", OPTIONS).sessions_read == ("ses-02",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="label"), "columns session, run, beta_index, label; missing: label"),
        (lambda t: t.assign(session="ses-07"), "holds the trials of ses-02; found trials of ses-07"),
        (lambda t: t.iloc[::-1], "counts from 0; row 0 has 11"),
        (lambda t: t.assign(label=""), "row 0 has none"),
        (lambda t: t.iloc[:0], "found no trial"),
        (lambda t: t.iloc[:-1], "has 12 volumes, .* 11 rows"),
    ],
)
def test_broken_trial_tables_are_named(made, change, message):
    path = made.files.trials("ses-02")
    change(pd.read_csv(path, sep="\t")).to_csv(path, sep="\t", index=False)
    with pytest.raises(SchemaError, match=message):
        build_subject(made.root, "sub-01", OPTIONS)


@pytest.mark.parametrize("content", ["[1]", "{", "", "7"])
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("dataset.json", "Make it again"),
        (
            "derivatives/glmsingle-tedana/sub-01/sub-01_task-images_space-T1w_desc-Noiseceiling4rep_statmap.json",
            "Download",
        ),
        ("assemblies/.rebuild/sub-01/plan.json", "--start-over"),
        ("assemblies/.rebuild/sub-01/ses-01.json", "--start-over"),
    ],
)
def test_json_that_is_no_object_is_named(half_done, name, remedy, content):
    (half_done.root / name).write_text(content)
    with pytest.raises(SchemaError, match=rf"{name.rpartition('/')[2]}: .* is a JSON object; .*{remedy}"):
        build_subject(half_done.root, "sub-01", OPTIONS)


def test_missing_regions_are_named_together(made):
    for name in ("V2d", "laionventral"):
        made.files.roi_files()[name].unlink()
    with pytest.raises(MissingDataError, match=r"no mask of V2d, laionventral among V1d, V1v, V2v"):
        build_subject(made.root, "sub-01", OPTIONS)


def test_labels_with_and_without_hyphens_are_the_same(made):
    made.files.roi_files()["laionventral"].rename(made.files.roi("laion", "laion-ventral"))
    assert (read_header(build_subject(made.root, "sub-01", OPTIONS).path).neuroids["region"] == "IT").any()
    save(made.files.roi("laion", "laionventral"), made.rois["laionventral"].astype(np.uint8))
    with pytest.raises(SchemaError, match="has two for laionventral"):
        build_subject(made.root, "sub-01", BuildOptions(sessions=OPTIONS.sessions, start_over=True))


def test_another_definition_is_another_line_of_the_table(made):
    rules = (*RULES[:4], RegionRule("IT", ("laionventral", "V3d"), remainder=True))
    with pytest.raises(SchemaError, match="each region of interest is in one"):
        build_subject(made.root, "sub-01", BuildOptions(sessions=OPTIONS.sessions, rules=rules))
    rules = (
        *RULES[:2],
        RegionRule("V3", ("V3v",)),
        RULES[3],
        RegionRule("IT", ("laionventral", "V3d"), remainder=True),
    )
    built = build_subject(made.root, "sub-01", BuildOptions(sessions=OPTIONS.sessions, rules=rules))
    neuroids = read_header(built.path).neuroids
    assert set(neuroids["region"][neuroids["roi"] == "V3d"]) == {"IT"}


def test_contested_voxels_go_to_the_later_region_and_are_reported(made):
    shared = made.rois["V1d"].copy()
    shared[np.unravel_index(np.flatnonzero(made.rois["V2v"])[:3], SHAPE)] = True
    save(made.files.roi("retinotopy", "V1d"), shared.astype(np.uint8))
    built = build_subject(made.root, "sub-01", OPTIONS)
    assert "3 voxels are in both of V1d, V2v; the later has them" in built.warnings
    neuroids = read_header(built.path).neuroids
    assert (neuroids["roi"] == "V2v").sum() == (made.rois["V2v"] & made.brain).sum()


# the program


def program_here(monkeypatch, *arguments) -> int:
    """The program in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["rebuild_assemblies.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPOSITORY / "rebuild_assemblies.py"), run_name="__main__")
    return end.value.code


def program(*arguments) -> subprocess.CompletedProcess:
    command_line = [sys.executable, REPOSITORY / "rebuild_assemblies.py", *arguments]
    return subprocess.run(list(map(str, command_line)), capture_output=True, text=True, check=False)


def test_broken_subject_stops_no_other(released, tmp_path, monkeypatch):
    root = tmp_path / "data"
    shutil.copytree(released, root)
    broken = SubjectFiles(root, "sub-03").betas("ses-03")
    cut_short(broken)
    run = program(root, "--subjects", "sub-01", "sub-03", "sub-05")
    assert run.returncode == command.SOME_FAILED
    assert f"sub-03: FAILED: Betas are a complete gzipped NIfTI file; {broken}" in run.stdout
    assert "2 of 3 subjects done; failed: sub-03" in run.stdout
    assert run.stderr == ""
    assert sorted(path.name for path in (root / "assemblies").glob("*.nc")) == ["sub-01.nc", "sub-05.nc"]
    kept = root / "assemblies" / ".rebuild" / "sub-03"
    assert sorted(path.name for path in kept.glob("*.npy")) == ["ses-01.npy", "ses-02.npy"]
    assert program_here(monkeypatch, root, "--subjects", "sub-01", "sub-05") == command.ALL_DONE


@pytest.mark.parametrize(
    "arguments", [("nowhere",), (".", "--subjects", "sub-02"), (".", "--mask", "skull"), (".", "--no-such-option")]
)
def test_wrong_usage(monkeypatch, capsys, arguments):
    assert program_here(monkeypatch, *arguments) == command.WRONG_USAGE
    assert "rebuild_assemblies.py: " in capsys.readouterr().err


def test_download_gets_what_building_needs_when_it_is_asked_for(tmp_path, monkeypatch):
    HandMade(tmp_path / "release", np.random.default_rng(9))
    lines: list[str] = []
    with s3_server(monkeypatch, BUCKET) as client:
        for path in (path for path in (tmp_path / "release").rglob("*") if path.is_file()):
            key = path.relative_to(tmp_path / "release").as_posix()
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
        request = command.Request(root=tmp_path / "data", subjects=("sub-01",))
        assert command.run(request, lines.append) == command.SOME_FAILED, "nobody asked for a download"
        options = BuildOptions(sessions=("ses-01", "ses-02"))
        both = replace(request, actions=("download", "build"), options=options)
        assert command.run(both, lines.append) == command.ALL_DONE, lines
        lost = SubjectFiles(tmp_path / "release", "sub-01").betas("ses-02").relative_to(tmp_path / "release").as_posix()
        client.put_object_acl(Bucket=BUCKET, Key=lost, ACL="private")
        elsewhere = replace(both, root=tmp_path / "other", actions=("download",))
        assert command.run(elsewhere, lines.append) == command.SOME_FAILED
        assert f"{lost}: the server refuses it" in lines[-2]
    assert (tmp_path / "data/assemblies/sub-01.nc").is_file()


# the simulated release


def test_simulated_release_is_made_once_and_whole(tmp_path):
    root = simulate_raw(tmp_path / "raw", "tiny", progress=False)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".raw.lock"] == ["raw"]
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert simulate_raw(tmp_path / "raw", "tiny", progress=False) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert not (root / "assemblies").exists()
    with pytest.raises(DatasetError, match="Choose another folder"):
        simulate_raw(tmp_path / "raw", "tiny", seed=1, progress=False)
    with pytest.raises(DatasetError, match="tiny or small"):
        simulate_raw(tmp_path / "other", "full", progress=False)


def test_simulated_release_has_the_releases_peculiarities(released):
    labels = {
        path.name.split("label-")[1].removesuffix("_mask.nii.gz")
        for path in (released / "derivatives" / "rois" / "sub-03").glob("*/*.nii.gz")
    }
    assert labels >= {"laion-ventral", "FFA-1", "pSTS-faces", "hV4", "V1d"}
    assert set(SubjectFiles(released, "sub-03").roi_files()) >= set(ROIS)
    header = pd.read_csv(released / "stimuli" / "task-images_metadata.csv").columns.tolist()
    assert header == ["image_name", "dataset", "participant", "unique_or_shared", "n_reps"]

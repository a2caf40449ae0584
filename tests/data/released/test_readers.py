"""Readers of released files: the values that other libraries read, memory that is bounded, handles that are closed, errors."""

import gc
import io
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from plugin_testing.raw_release import HandMade

from brainscore_vision.data.laion_fmri_7t import released
from brainscore_vision.data.laion_fmri_7t.bucket import _KINDS
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.packaging.layout import SubjectFiles

SUBJECT = "sub-03"  # its files spell regions with hyphens


@pytest.fixture(scope="module")
def folder(released):
    return released


@pytest.fixture
def files(folder):
    return SubjectFiles(folder, SUBJECT)


@pytest.fixture
def sub(folder):
    with released.load_subject(SUBJECT, folder) as subject:
        yield subject


@pytest.fixture
def stim(folder):
    with released.load_stimuli(folder) as stimuli:
        yield stimuli


@pytest.fixture
def hand_made(tmp_path):
    return HandMade(tmp_path, np.random.default_rng(3))


def volume(path):
    return np.asarray(nib.load(path).dataobj)


class TestSubject:
    def test_betas_are_those_of_nibabel(self, sub, files):
        brain = volume(files.anatomical_mask).astype(bool)
        faces = [volume(path).astype(bool)[brain] for path in files.roi_files().values() if path.parent.name == "face"]
        everything = volume(files.betas("ses-02"))[brain].T  # n_trials, n_voxels
        table = pd.read_csv(files.trials("ses-02"), sep="\t")
        assert everything.dtype == np.float32
        np.testing.assert_array_equal(sub.get_betas("ses-02"), everything)
        face = np.logical_or.reduce(faces)
        np.testing.assert_array_equal(sub.get_roi_mask("face"), face)
        np.testing.assert_array_equal(sub.get_betas("ses-02", roi="face", streaming=True), everything[:, face])
        ceiling = volume(files.session_noise_ceiling("ses-02"))[brain]
        reliable = ceiling >= 20
        shared = table["label"].str.startswith("shared_").to_numpy()
        assert 0 < reliable.sum() < len(reliable)
        for stimuli, rows in (("shared", shared), ("unique", ~shared)):
            found = sub.get_betas("ses-02", mask=~face, nc_threshold=20, stimuli=stimuli)
            np.testing.assert_array_equal(found, everything[rows][:, reliable & ~face])
        by_session = sub.get_betas(["ses-02", "ses-01"], roi=["hV4", "face"])
        assert list(by_session) == ["ses-02", "ses-01"]
        np.testing.assert_array_equal(by_session["ses-02"], everything[:, sub.get_roi_mask("hV4") | face])
        pd.testing.assert_frame_equal(sub.get_trial_info("ses-02"), table)

    def test_a_ceiling_that_may_be_meant_as_a_fraction(self, sub, caplog):
        whole = sub.get_betas("ses-02", nc_threshold=0)
        assert "percent" not in caplog.text
        assert sub.get_betas("ses-02", nc_threshold=0.3).shape[1] <= whole.shape[1]
        assert (
            "nc_threshold is in percent: 0.3 lets in nearly every voxel. If a fraction was meant, write 30."
            in caplog.text
        )

    def test_whole_brain_under_the_other_mask(self, sub, files):
        brain = volume(files.r2_mean) > 0
        assert sub.get_n_voxels("rsquare") == brain.sum() != sub.get_n_voxels()
        np.testing.assert_array_equal(sub.get_brain_mask("rsquare"), brain.ravel())
        betas = sub.get_betas("ses-01", roi="V1v", mask_source="rsquare")
        inside = volume(files.roi_files()["V1v"]).astype(bool) & brain
        np.testing.assert_array_equal(betas, volume(files.betas("ses-01"))[inside].T)

    def test_noise_ceilings(self, sub, files):
        brain = volume(files.anatomical_mask).astype(bool)
        expected = volume(files.noise_ceiling("Noiseceiling12rep"))[brain]
        np.testing.assert_array_equal(sub.get_noise_ceiling(desc="Noiseceiling12rep"), expected)
        hv4 = sub.get_noise_ceiling(desc=["Noiseceiling12rep", "Noiseceiling4rep"], roi="hV4")
        np.testing.assert_array_equal(hv4["Noiseceiling12rep"], expected[sub.get_roi_mask("hV4")])
        assert (hv4["Noiseceiling4rep"] < hv4["Noiseceiling12rep"]).all()
        assert list(sub.get_noise_ceiling(session=["ses-01"])) == ["ses-01"]

    def test_values_return_to_their_voxels(self, sub, tmp_path):
        expected = sub.get_noise_ceiling(desc="Noiseceiling4rep", roi="laionventral")
        sub.to_nifti(expected, tmp_path / "map.nii.gz", roi="laionventral")
        image = nib.load(tmp_path / "map.nii.gz")
        places = sub.get_voxel_coordinates(roi="laionventral")
        i, j, k = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), places)).astype(int).T
        np.testing.assert_array_equal(image.get_fdata()[i, j, k], expected)
        assert (image.get_fdata() != 0).sum() == len(expected)
        with pytest.raises(DatasetError, match=r"one value; got shape \(3,\) for .* voxels"):
            sub.to_nifti(np.ones(3), tmp_path / "map.nii.gz", roi="laionventral")

    def test_trials_lead_to_what_is_known_of_their_images(self, sub, stim):
        table = sub.metadata
        first = ["session", "session_trial", "image_name", "stim_idx", "unique_or_shared", "dataset"]
        assert table.columns.tolist() == [*first, "run"]
        assert stim.metadata["image_name"].iloc[table["stim_idx"]].tolist() == table["image_name"].tolist()
        features = sub.embeddings.all("SigLIP2", session="ses-02")
        rows = np.flatnonzero(table["session"] == "ses-02")
        assert len(features) == len(rows)
        np.testing.assert_array_equal(features, sub.embeddings.get("SigLIP2", rows))
        np.testing.assert_array_equal(sub.embeddings.get("SigLIP2", rows[5]), features[5])
        shared = next(
            trial for trial in table.index if sub.segmentations.has_image(trial) and sub.segmentations.nouns(trial)
        )
        name, noun = table["image_name"][shared], sub.segmentations.nouns(shared)[0]
        np.testing.assert_array_equal(sub.segmentations.get(shared, noun), stim.segmentations.get(name, noun))
        assert sub.captions.human(shared, 2) == stim.captions.human(name)[:2]
        assert sub.images[shared] == stim.images[name]
        unique = table.index[table["unique_or_shared"] == "unique"][0]
        assert (sub.segmentations.nouns(unique), sub.captions.ai(unique)) == ([], None)
        assert len(sub.captions.list(unique)) == 3
        with pytest.raises(IndexError, match="trials 0 to"):
            sub.images.get(len(table))

    def test_memory_is_that_of_the_answer(self, hand_made):
        shape = (60, 60, 60, 100)
        values = np.zeros(shape, np.float32)
        for path, content in (
            (hand_made.files.betas("ses-01"), values),
            (hand_made.files.anatomical_mask, np.ones(shape[:3], np.uint8)),
        ):
            nib.Nifti1Image(content, np.eye(4)).to_filename(path)
        with released.load_subject("sub-01", hand_made.root) as subject:
            mask = np.arange(np.prod(shape[:3])) % 1000 == 0
            tracemalloc.start()
            try:
                assert subject.get_betas("ses-01", mask=mask).shape == (100, mask.sum())
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert peak < values.nbytes / 5  # mask, places and one volume, of 100

    def test_a_table_with_too_few_rows(self, hand_made):
        path = hand_made.files.trials("ses-01")
        pd.read_csv(path, sep="\t").iloc[:-1].to_csv(path, sep="\t", index=False)
        with pytest.raises(SchemaError, match="12 volumes, and the trial table 11 rows"):
            released.load_subject("sub-01", hand_made.root).get_betas("ses-01", stimuli="shared")

    @pytest.mark.parametrize(
        ("ask", "error", "message"),
        [
            (lambda s: s.get_roi_mask("FFA9"), ValueError, "has no 'FFA9'. Names: .*laionventral.*Categories: body, "),
            (lambda s: s.get_roi_mask([]), ValueError, "has no region without a name"),
            (lambda s: s.get_available_rois("faces"), ValueError, "has regions .* of body, .*; got category 'faces'"),
            (
                lambda s: s.get_betas("ses-01", roi="hV4", mask=np.ones(3, bool)),
                ValueError,
                "by roi or by mask; got both",
            ),
            (lambda s: s.get_betas("ses-01", mask=np.ones(3, bool)), ValueError, r"got shape \(3,\), bool"),
            (lambda s: s.get_betas("ses-01", stimuli="both"), ValueError, "'shared', 'unique' or None"),
            (lambda s: s.get_betas(None), ValueError, "Name a session.*has ses-01, "),
            (lambda s: s.get_betas(1), ValueError, "Name a session.*has ses-01, .*Received 1"),
            (lambda s: s.get_trial_info([1, 2]), ValueError, r"Name a session.*Received \[1, 2\]"),
            (
                lambda s: s.get_betas("ses-77"),
                FileNotFoundError,
                "Sessions of the release are ses-01 to ses-30; there is no .*ses-77",
            ),
            (lambda s: s.get_noise_ceiling(), ValueError, "one of the two"),
            (lambda s: s.get_noise_ceiling("ses-01", desc="Noiseceiling4rep"), ValueError, "one of the two"),
            (lambda s: s.get_noise_ceiling(desc="NC"), FileNotFoundError, "over sessions are Noiseceiling4rep, "),
            (lambda s: s.get_brain_mask("skull"), ValueError, "anatomical, rsquare; got 'skull'"),
            (lambda s: s.get_brain_mask(res="0pt8"), ValueError, "got res '0pt8'"),
            (lambda s: s.get_roi_data("hV4", format="mgz"), ValueError, "format is one of all, volume"),
            (lambda s: s.embeddings.all("CLIP", session="ses-99"), ValueError, "at hand are ses-01, .*'ses-99'"),
        ],
    )
    def test_errors(self, sub, ask, error, message):
        with pytest.raises(error, match=message):
            ask(sub)

    @pytest.mark.parametrize(
        ("missing", "ask"),
        [
            (lambda f: f.betas("ses-01"), lambda s: s.get_betas("ses-01")),
            (lambda f: f.trials("ses-01"), lambda s: s.get_trial_info("ses-01")),
            (lambda f: f.session_noise_ceiling("ses-01"), lambda s: s.get_noise_ceiling("ses-01")),
            (lambda f: f.noise_ceiling("Noiseceiling4rep"), lambda s: s.get_noise_ceiling(desc="Noiseceiling4rep")),
            (lambda f: f.anatomical_mask, lambda s: s.get_brain_mask()),
            (lambda f: f.r2_mean, lambda s: s.get_brain_mask("rsquare")),
            (lambda f: f.trials("ses-01"), lambda s: s.embeddings.all("CLIP", session="ses-01")),
        ],
    )
    def test_what_is_missing_comes_with_the_command_that_is_named(self, folder, tmp_path, run, missing, ask):
        shutil.copytree(folder / "derivatives", tmp_path / "derivatives")
        subject = released.load_subject(SUBJECT, tmp_path)
        path = missing(subject._files)
        for each in (path, *(subject._files.trials(name) for name in subject.get_sessions()[1:])):
            each.unlink()
        with pytest.raises(FileNotFoundError) as caught:
            ask(subject)
        words = re.search(r"`laion-score data get (.*?)`", str(caught.value))[1].split()
        kind = words[words.index("--what") + 1]
        assert re.fullmatch(_KINDS[kind][1], path.relative_to(tmp_path).as_posix())
        code, _, error = run("data", "get", *words, "--endpoint-url", "http://127.0.0.1:1", "--dry-run")
        assert (code, "Could not connect" in error) == (1, True), error  # the words are understood, and nobody answers

    def test_sessions_without_trials_do_not_stop_those_with(self, folder, tmp_path):
        """After `data get --what ceilings`, and betas of the first session alone."""
        shutil.copytree(folder / "derivatives", tmp_path / "derivatives")
        shutil.copytree(folder / "stimuli", tmp_path / "stimuli")
        subject = released.load_subject(SUBJECT, tmp_path)
        first, *others = subject.get_sessions()
        for session in others:
            subject._files.trials(session).unlink()
        found = subject.embeddings.all("CLIP", session=first)
        np.testing.assert_array_equal(
            found, released.load_subject(SUBJECT, folder).embeddings.all("CLIP", session=first)
        )

    @pytest.mark.parametrize("name", ["sub-02", "sub-", "1", ""])
    def test_no_such_subject(self, folder, name):
        with pytest.raises(released.SubjectNotFoundError, match="Subjects are sub-01, .*; got"):
            released.load_subject(name, folder)

    def test_subjects_by_text_only_and_by_their_number(self, folder, tmp_path):
        with pytest.raises(TypeError, match="named by text"):
            released.load_subject(1, folder)
        assert released.load_subject("03", folder).subject_id == SUBJECT
        with pytest.raises(
            released.DataNotDownloadedError, match="no folder.*laion-score data get .*--subjects sub-01"
        ):
            released.load_subject("sub-01", tmp_path)


class TestStimuli:
    def test_images(self, stim, folder):
        with h5py.File(folder / "stimuli" / "task-images_stimuli.h5") as file:
            encoded = [np.asarray(image).tobytes() for image in file["images"]]
        names = pd.read_csv(folder / "stimuli" / "task-images_metadata.csv")["image_name"].tolist()
        assert stim.images.names() == names
        assert stim.metadata["image_name"].tolist() == names
        assert dict(stim.images) == dict(zip(names, encoded, strict=True))
        png = next(
            name for name in names if name.endswith(".png") and Image.open(io.BytesIO(stim.images[name])).mode == "RGBA"
        )
        assert stim.images[png] == stim.images[names.index(png)] == encoded[names.index(png)]
        stored = stim.images.get(png, as_displayed=False)
        grey = Image.new("RGBA", stored.size, (128, 128, 128, 255))
        expected = np.asarray(Image.alpha_composite(grey, stored).convert("RGB"))
        np.testing.assert_array_equal(np.asarray(stim.images.get(png)), expected)

    def test_rows_of_the_table_are_those_of_the_images(self, stim, tmp_path):
        """Where a manifest beside the release's table has another order."""
        names = stim.images.names()[:6]
        (tmp_path / "stimuli" / "images").mkdir(parents=True)
        for name in names:
            (tmp_path / "stimuli" / "images" / name).write_bytes(stim.images[name])
        table = stim.metadata.iloc[:6]
        table.to_csv(tmp_path / "stimuli" / "task-images_metadata.csv", index=False)
        manifest = table.rename(columns={"image_name": "stimulus_id"}).assign(filename=names)[::-1]
        manifest.to_csv(tmp_path / "stimuli" / "manifest.csv", index=False)
        mixed = released.load_stimuli(tmp_path)
        assert mixed.metadata["image_name"].tolist() == mixed.images.names()
        assert [mixed.images[row] for row in range(6)] == [stim.images[name] for name in mixed.metadata["image_name"]]

    def test_embeddings_in_any_order_and_more_than_once(self, stim):
        names = stim.images.names()
        rows = np.random.default_rng(5).integers(0, len(names), 40)
        found = stim.embeddings.get("PEcore", [names[row] for row in rows])
        np.testing.assert_array_equal(found, stim.embeddings["PEcore"][:][rows])
        assert stim.embeddings.get("PEcore", []).shape == (0, stim.embeddings["PEcore"].shape[1])

    def test_segmentations_are_those_of_the_files(self, stim, folder):
        table = pd.read_csv(folder / "stimuli" / "task-images_desc-segmentations_metadata.csv")
        pd.testing.assert_frame_equal(stim.segmentations.metadata, table, check_dtype=False)
        seg = stim.segmentations
        assert seg.images() == table["image_name"].unique().tolist()
        diffuse = table.groupby(["image_name", "noun"])["localized"].max().eq(0)
        name, noun = diffuse.index[diffuse][0]
        assert noun in seg.nouns(name, localized_only=False)
        assert noun not in seg.nouns(name)
        assert seg.get(name, noun).mean() > 0.99

    def test_captions(self, stim):
        names = stim.metadata.set_index("image_name")["unique_or_shared"]
        table = stim.captions.metadata
        counts = table[table["source"] == "human"]["image_name"].value_counts()
        assert counts.to_dict() == {name: 5 if kind == "shared" else 3 for name, kind in names.items()}
        name = table["image_name"][table["source"] == "ai"].iloc[0]
        assert stim.captions.get(name)["caption_idx"].tolist() == [0, 1, 2, 3, 4, 5]
        assert stim.captions.list(name) == [stim.captions.ai(name), *stim.captions.human(name)]
        assert stim.captions.human("other.jpg") == []
        with pytest.raises(ValueError, match="human, ai, or None for all; got 'people'"):
            stim.captions.list(name, "people")

    def test_nothing_is_opened_before_it_is_read_and_all_is_closed(self, folder):
        def opened():
            gc.collect()
            return {path.name for fd in os.listdir("/proc/self/fd") if (path := link(fd)) and folder in path.parents}

        def link(fd):
            try:
                return Path(os.readlink(f"/proc/self/fd/{fd}"))
            except FileNotFoundError:  # of the listing itself
                return None

        if not Path("/proc/self/fd").is_dir():
            pytest.skip("this system does not list a process' open files")
        with released.load_stimuli(folder) as stim, released.load_subject(SUBJECT, folder) as sub:
            embeddings, segmentations = stim.embeddings, stim.segmentations
            assert opened() == set()
            name = segmentations.images()[0]
            embeddings.get("CLIP", name)
            segmentations[0]
            stim.images[name]
            sub.embeddings.all("DINOv2")
            sub.get_betas("ses-01", roi="hV4")
            assert opened() == {
                f"task-images_desc-{what}.h5" for what in ("CLIP_embeddings", "DINOv2_embeddings", "segmentations")
            }
        assert opened() == set()
        assert embeddings.get("CLIP", name).ndim == 1  # opened again
        embeddings.close()
        assert opened() == set()

    @pytest.mark.parametrize(
        ("ask", "error", "message"),
        [
            (lambda s: s.images["a.jpg"], KeyError, "^.* images; 'a.jpg' is none of them"),
            (lambda s: s.images[10**6], IndexError, "rows 0 to"),
            (lambda s: s.images[1.5], TypeError, "by name or row; got 1.5"),
            (
                lambda s: s.embeddings["ResNet"],
                KeyError,
                "embeddings are of CLIP, DINOv2, PEcore, SigLIP2; got 'ResNet'",
            ),
            (lambda s: s.embeddings.get("CLIP", ["a.jpg"]), KeyError, "1 of 1 names are no image, first: 'a.jpg'"),
            (lambda s: s.segmentations.get("a.jpg", "dog"), KeyError, "Shared images have masks; 'a.jpg' has none"),
            (lambda s: s.segmentations.get(s.segmentations.images()[0], "zzz"), KeyError, "has masks of: .*noun 'zzz'"),
            (lambda s: s.segmentations[-1], IndexError, "masks 0 to .*; got -1"),
        ],
    )
    def test_errors(self, stim, ask, error, message):
        with pytest.raises(error, match=message):
            ask(stim)

    def test_what_is_not_there_is_missed_when_it_is_asked_for(self, tmp_path, folder):
        stim = released.load_stimuli(tmp_path)
        for what, message in (
            ("images", "has no images.*laion-fmri request-access"),
            ("metadata", "has no images"),
            ("embeddings", "laion-score data get --what embeddings"),
            ("segmentations", "laion-score data get --what segmentations"),
            ("captions", "laion-score data get --what captions"),
        ):
            with pytest.raises(FileNotFoundError, match=message):
                getattr(stim, what)
        name = "task-images_desc-PEcore_embeddings.h5"  # who has one model has the embeddings of one model
        (tmp_path / "stimuli").mkdir()
        (tmp_path / "stimuli" / name).symlink_to(folder / "stimuli" / name)
        assert released.load_stimuli(tmp_path).embeddings.models == ["PEcore"]
        with pytest.raises(MissingDataError, match="data get --what embeddings"):
            released.load_embeddings(["PEcore", "CLIP"], tmp_path)
        with pytest.raises(ValueError, match="Embeddings are of CLIP, .*got 'ResNet'"):
            released.load_embeddings(["ResNet"], tmp_path)

    def test_files_that_are_none(self, tmp_path):
        path = tmp_path / "task-images_desc-CLIP_embeddings.h5"
        path.write_bytes(b"words")
        with pytest.raises(SchemaError, match="must be an HDF5 file"):
            released.load_embeddings("CLIP", tmp_path)["CLIP"]
        with h5py.File(path, "w") as file:
            file["embedding"] = np.zeros((4, 3), np.float16)
            file["image_ids"] = ["a", "b"]
        with pytest.raises(SchemaError, match=r"embedding \(images × features\).*found .*\(4, 3\)"):
            released.load_embeddings("CLIP", tmp_path)["CLIP"]


class TestSplits:
    def test_several_kinds_and_masks_over_trials(self, folder, sub):
        kinds = ["shape", "illusion-classic"]
        train, test = released.get_train_test_ids("ood", SUBJECT, ood_types=kinds, data_dir=folder)
        everything = released.load_split("ood", SUBJECT, folder)
        assert train == everything.variants[0].train_ids
        assert test == [name for name in everything.variants[0].test_ids if name.split("_")[3] in kinds]
        for trials in (sub.metadata, sub.metadata["image_name"], sub.metadata["image_name"].tolist()):
            masks = released.get_split_masks(trials, "ood", SUBJECT, ood_types=kinds, data_dir=folder)
            for mask, members in zip(masks, (train, test), strict=True):
                np.testing.assert_array_equal(mask, [name in set(members) for name in sub.metadata["image_name"]])
                assert mask.any()
        found = released.load_all_splits("shared", folder)
        families = {name: split.split_family for name, split in found.items()}
        assert (families["tau"], families["ood"], families["cluster_k5_3"]) == ("tau", "ood", "cluster_k5")
        assert found["cluster_k5_3"].splitter
        assert found["cluster_k5_3"].params

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("tau", "shared", 0, ["shape"]), "test images of split ood; got split 'tau'"),
            (("ood", "shared", 0, ["shape", "forms"]), "some of cropped, .*; got 'forms'"),
            (("ood", "shared", 0, []), "got none"),
            (("tau", "shared", 1), "has the variants 0; got 1"),
            (("tau", "sub-02"), "A pool is shared or a subject"),
            (("taus", "shared"), "A split is one of tau, ood, "),
        ],
    )
    def test_errors(self, folder, arguments, message):
        with pytest.raises(ValueError, match=message):
            released.get_train_test_ids(*arguments, data_dir=folder)

    def test_trials_are_called_as_images(self, folder, sub):
        names = sub.metadata["image_name"]
        expected = released.get_split_masks(names, "ood", SUBJECT, data_dir=folder)
        for found in (names.str.encode("utf-8"), np.array(names, "S"), (name for name in names)):
            for mask, wanted in zip(
                released.get_split_masks(found, "ood", SUBJECT, data_dir=folder), expected, strict=True
            ):
                np.testing.assert_array_equal(mask, wanted)
        with pytest.raises(DatasetError, match=r"none of .* the first: '.*'. Give file names with their ending"):
            released.get_split_masks(
                names.str.removesuffix(".jpg").str.removesuffix(".png"), "ood", SUBJECT, data_dir=folder
            )
        of_others = [name for name in names if name.startswith("unique")]
        assert not np.any(released.get_split_masks(of_others, "ood", "shared", data_dir=folder))  # a session may be so

    def test_a_table_without_labels(self, folder):
        with pytest.raises(ValueError, match="label or image_name or stimulus_id; its columns are run"):
            released.get_split_masks(pd.DataFrame({"run": [1]}), "tau", "shared", data_dir=folder)


class TestFolder:
    def test_named_for_the_process(self, folder, monkeypatch, tmp_path):
        monkeypatch.setenv("LAION_FMRI_DATASET", "")
        with pytest.raises(released.DataDirNotSetError, match="none is named.*dataset_initialize"):
            released.load_stimuli()
        with pytest.raises(TypeError, match="is a path; got 5"):
            released.dataset_initialize(5)
        with pytest.raises(FileNotFoundError, match="is not. Make it"):
            released.dataset_initialize(tmp_path / "none")
        released.dataset_initialize(folder)
        assert released.get_data_dir() == folder
        assert released.load_stimuli().data_dir == folder

    def test_names_are_there_and_cost_nothing_until_used(self):
        code = (
            "import sys; from brainscore_vision.data.laion_fmri_7t import released; "
            "assert 'nibabel' not in sys.modules, 'nibabel'; "
            "print(sorted(n for n in dir(released) if getattr(released, n) is None))"
        )
        run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
        assert run.stdout.strip() == "[]", run.stderr

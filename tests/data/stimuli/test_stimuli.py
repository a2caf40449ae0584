"""Stimulus sets: manifests, the release's HDF5 file, images as displayed, and what can be wrong with them."""

import hashlib
import io
import json
import os
import re
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFile
from plugin_testing.data_factory import OOD, SHARED, write_images

from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.stimuli import displayed, sources
from brainscore_vision.data.laion_fmri_7t.stimuli.displayed import displayed_images
from brainscore_vision.data.laion_fmri_7t.stimuli.pictures import composite
from brainscore_vision.data.laion_fmri_7t.stimuli.sources import (
    ManifestStimuli,
    ReleasedStimuli,
    find_stimuli,
    make_stimulus_set,
    stimulus_fingerprints,
    unchecked_images,
)

STIMULI = SHARED + OOD
CROPPED, OPAQUE_PNG = OOD[0], OOD[1]


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "stimuli", STIMULI)


@pytest.fixture
def released(tmp_path, folder):
    """The same images in the release's two files."""

    def write(names=STIMULI, images=None):
        target = tmp_path / "released"
        target.mkdir(exist_ok=True)
        images = [(folder / "images" / name).read_bytes() for name in names] if images is None else images
        with h5py.File(target / "task-images_stimuli.h5", "w") as file:
            data = file.create_dataset("images", (len(images),), dtype=h5py.vlen_dtype(np.uint8))
            for row, image in enumerate(images):
                data[row] = np.frombuffer(image, np.uint8)
        pd.DataFrame(
            {"image_name": names, "dataset": "x", "participant": "p01", "unique_or_shared": "shared", "n_reps": "12rep"}
        ).to_csv(target / "task-images_metadata.csv", index=False)
        return target

    return write


@pytest.mark.parametrize("kind", ["folder", "HDF5"])
def test_images_that_were_never_read_are_known(kind, folder, released, home):
    source = find_stimuli(folder if kind == "folder" else released())
    assert unchecked_images(source, STIMULI) == STIMULI
    assert not list(home.rglob("*.jpg"))  # none is extracted for it
    stimulus_fingerprints(source, STIMULI[:3])
    assert unchecked_images(source, STIMULI) == STIMULI[3:]


def spoil_manifest(folder, **columns):
    pd.DataFrame(columns).to_csv(folder / "manifest.csv", index=False)
    return find_stimuli(folder)


class TestManifest:
    def test_stimulus_set(self, folder):
        stimulus_set = make_stimulus_set(find_stimuli(folder))
        assert stimulus_set.identifier == make_stimulus_set(find_stimuli(folder)).identifier
        some = make_stimulus_set(find_stimuli(folder), STIMULI[:2])
        shutil.copy(folder / "images" / STIMULI[1], folder / "images" / STIMULI[0])  # another image of the name
        changed = make_stimulus_set(find_stimuli(folder), STIMULI[:2])
        names = {stimulus_set.identifier, some.identifier, changed.identifier}
        assert len(names) == 3
        assert all(re.fullmatch("LAION_fMRI_stim--[0-9a-f]{12}", name) for name in names)
        assert stimulus_set["stimulus_id"].tolist() == STIMULI
        assert stimulus_set["dataset"].tolist() == [name.split("_")[1] for name in STIMULI]
        assert all(stimulus_set.get_stimulus(name).is_file() for name in STIMULI)

    def test_some_in_the_order_given(self, folder):
        wanted = [STIMULI[5], STIMULI[0], CROPPED]
        stimulus_set = make_stimulus_set(find_stimuli(folder), wanted)
        assert stimulus_set["stimulus_id"].tolist() == list(stimulus_set.stimulus_paths) == wanted

    def test_blanks_plus_signs_dots_and_na_survive(self, folder):
        names = ["a b  c.d.jpg", "THINGS+_x.tar.jpg", "NA", "1e5", "00012", "ä,\"q'.jpg"]
        for name in names:
            shutil.copy(folder / "images" / STIMULI[0], folder / "images" / name)
        source = spoil_manifest(folder, stimulus_id=names, filename=names)
        stimulus_set = make_stimulus_set(source)
        assert stimulus_set["stimulus_id"].tolist() == names
        assert [path.name for path in stimulus_set.stimulus_paths.values()] == names

    def test_nothing_there(self, tmp_path):
        assert find_stimuli(tmp_path) is None

    def test_two_stimuli_with_one_file(self, folder):
        """A merge of tables that went wrong."""
        source = spoil_manifest(folder, stimulus_id=STIMULI, filename=[*STIMULI[:-1], STIMULI[0]])
        with pytest.raises(SchemaError, match=f"image of its own; 2 rows share .*'{STIMULI[0]}', '{STIMULI[-1]}'"):
            make_stimulus_set(source)

    def test_duplicate_ids(self, folder):
        source = spoil_manifest(folder, stimulus_id=[*STIMULI, STIMULI[2]], filename=[*STIMULI, STIMULI[2]])
        with pytest.raises(SchemaError, match="each stimulus has one row; 1 rows repeat an id, first: '.*_2_i0.jpg'"):
            make_stimulus_set(source)

    @pytest.mark.parametrize("name", ["/etc/hosts", "../x.jpg", "a/../../x.jpg", "", "..\\x.jpg"])
    def test_names_that_lead_out_of_the_folder(self, folder, name):
        source = spoil_manifest(folder, stimulus_id=["good", "bad"], filename=[STIMULI[0], name])
        with pytest.raises(SchemaError, match="inside the image folder; stimulus 'bad' has .*relative"):
            make_stimulus_set(source)

    def test_missing_column(self, folder):
        with pytest.raises(SchemaError, match="missing: filename; found: stimulus_id, path. Restore"):
            make_stimulus_set(spoil_manifest(folder, stimulus_id=["a"], path=["b"]))

    @pytest.mark.parametrize("content", [b"", b'stimulus_id,filename\n"a,b\n', b"stimulus_id,filename\n\xff\xfe,b\n"])
    def test_damaged_manifest(self, folder, content):
        (folder / "manifest.csv").write_bytes(content)
        with pytest.raises(
            SchemaError,
            match=r"manifest.csv (must be a table in CSV; reading it gave|is read as text in UTF-8)",
        ):
            make_stimulus_set(find_stimuli(folder))

    def test_missing_images_are_named_before_any_is_read(self, folder, monkeypatch):
        for name in STIMULI[1:3]:
            (folder / "images" / name).unlink()
        monkeypatch.setattr(displayed, "_inspect", None)
        with pytest.raises(
            MissingDataError, match="image file; 2 of 11 are not in .*, first: .*_1_i0.jpg', .*_2_i0.jpg'"
        ):
            make_stimulus_set(find_stimuli(folder))
        with pytest.raises(MissingDataError):
            stimulus_fingerprints(find_stimuli(folder), STIMULI)

    def test_stimulus_without_a_row(self, folder):
        with pytest.raises(MissingDataError, match="needs an image; 2 of 3 are not in .*manifest.csv, first: 'x', 'y'"):
            make_stimulus_set(find_stimuli(folder), [STIMULI[0], "x", "y"])

    def test_the_same_twice(self, folder):
        with pytest.raises(DatasetError, match="each stimulus once; 1 ids were asked for again, first: .*_0_i0.jpg'"):
            make_stimulus_set(find_stimuli(folder), [STIMULI[0], STIMULI[0]])


class TestDisplayed:
    def test_plain_images_are_the_files_themselves(self, folder):
        stimulus_set = make_stimulus_set(find_stimuli(folder))
        for name in set(STIMULI) - {CROPPED, OPAQUE_PNG}:
            assert stimulus_set.get_stimulus(name) == folder / "images" / name

    def test_transparent_pixels_on_grey(self, folder):
        with Image.open(folder / "images" / CROPPED) as image:
            pixels = np.asarray(image).astype(np.float64)
        alpha = pixels[..., 3:] / 255
        expected = alpha * pixels[..., :3] + (1 - alpha) * 128
        with Image.open(make_stimulus_set(find_stimuli(folder)).get_stimulus(CROPPED)) as image:
            assert image.mode == "RGB"
            np.testing.assert_allclose(np.asarray(image), expected, atol=1)

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGB", "L"])
    def test_every_kind_of_transparency(self, tmp_path, mode):
        path = tmp_path / "image.png"
        if mode in ("RGBA", "LA"):
            Image.new(mode, (4, 4), (255,) * (len(mode) - 1) + (0,)).save(path)
        elif mode == "PA":
            Image.new("RGBA", (4, 4), (255, 0, 0, 0)).quantize().save(path)
        else:
            color = (255, 0, 0) if mode == "RGB" else 1
            image = Image.new(mode, (4, 4), color)
            if mode == "P":
                image.putpalette([0, 0, 0, 255, 0, 0])
            image.save(path, transparency=color)
        shown = displayed_images({"x": path})["x"].path
        with Image.open(shown) as image:
            assert np.asarray(image).tolist() == np.full((4, 4, 3), 128).tolist()

    def test_composite_keeps_opaque_pixels_exactly(self):
        rng = np.random.default_rng(1)
        pixels = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
        pixels[..., 3] = 255
        np.testing.assert_array_equal(np.asarray(composite(Image.fromarray(pixels))), pixels[..., :3])

    def test_fingerprint_is_of_the_displayed_bytes(self, folder):
        source = find_stimuli(folder)
        stimulus_set = make_stimulus_set(source)
        fingerprints = stimulus_fingerprints(source, STIMULI)
        assert list(fingerprints) == STIMULI
        for name, sha1 in fingerprints.items():
            assert sha1 == hashlib.sha1(stimulus_set.get_stimulus(name).read_bytes()).hexdigest()

    def test_files_are_inspected_once(self, folder, monkeypatch):
        first = stimulus_fingerprints(find_stimuli(folder), STIMULI)
        monkeypatch.setattr(displayed, "_inspect", None)
        assert stimulus_fingerprints(find_stimuli(folder), STIMULI) == first
        assert len(make_stimulus_set(find_stimuli(folder))) == len(STIMULI)

    def test_changed_file_is_inspected_again(self, folder):
        before = stimulus_fingerprints(find_stimuli(folder), STIMULI)
        path = folder / "images" / CROPPED
        Image.new("RGBA", (12, 12), (1, 2, 3, 200)).save(path)
        os.utime(path, ns=(1, 1))
        after = stimulus_fingerprints(find_stimuli(folder), STIMULI)
        assert {name for name in STIMULI if before[name] != after[name]} == {CROPPED}

    @pytest.mark.parametrize("replaced", [True, False])
    def test_another_image_of_the_same_size_and_time_is_inspected_again(self, folder, replaced):
        path = folder / "images" / STIMULI[0]
        Image.new("RGB", (8, 8), (10, 20, 30)).save(path, "BMP")
        before, state = stimulus_fingerprints(find_stimuli(folder), STIMULI), path.stat()
        written = folder / "images" / "other" if replaced else path
        Image.new("RGB", (8, 8), (30, 20, 10)).save(written, "BMP")
        os.utime(written, ns=(state.st_atime_ns, state.st_mtime_ns))
        written.replace(path)
        assert path.stat().st_size == state.st_size
        after = stimulus_fingerprints(find_stimuli(folder), STIMULI)
        assert {name for name in STIMULI if before[name] != after[name]} == {STIMULI[0]}

    def test_memory_without_all_of_a_files_state_is_made_again(self, folder, home):
        """Version 2 knew files by size and modification time alone."""
        before = stimulus_fingerprints(find_stimuli(folder), STIMULI)
        (index,) = (home / "stimuli" / "index").iterdir()
        images = json.loads(index.read_text())["images"]
        older = {name: [entry[0][:2], "0" * 40, *entry[2:]] for name, entry in images.items()}
        for version in (2, displayed._VERSION):
            index.write_text(json.dumps({"version": version, "images": older}))
            assert stimulus_fingerprints(find_stimuli(folder), STIMULI) == before

    def test_damaged_memory_is_made_again(self, folder, home, caplog):
        before = stimulus_fingerprints(find_stimuli(folder), STIMULI)
        (index,) = (home / "stimuli" / "index").iterdir()
        index.write_text("{")
        assert stimulus_fingerprints(find_stimuli(folder), STIMULI) == before
        assert "is damaged" in caplog.text

    def test_lost_composite_is_made_again(self, folder, home):
        make_stimulus_set(find_stimuli(folder))
        shutil.rmtree(home / "stimuli" / "displayed")
        assert make_stimulus_set(find_stimuli(folder)).get_stimulus(CROPPED).is_file()

    @pytest.mark.parametrize("damage", ["no image", "empty", "cut jpeg", "cut png", "header only"])
    def test_unreadable(self, folder, damage):
        name = CROPPED if damage == "cut png" else STIMULI[0]
        path = folder / "images" / name
        Image.effect_noise((200, 200), 80).convert("RGBA" if damage == "cut png" else "RGB").save(path)
        content = path.read_bytes()
        path.write_bytes(
            {"no image": b"not an image", "empty": b"", "header only": content[:300]}.get(
                damage, content[: len(content) // 2]
            )
        )
        with pytest.raises(DatasetError, match="can be read; 1 of 11 cannot, first: '") as error:
            make_stimulus_set(find_stimuli(folder))
        assert repr(name) in str(error.value)
        assert "again" in str(error.value)

    def test_work_before_an_unreadable_image_is_kept(self, folder, monkeypatch):
        path = folder / "images" / STIMULI[-1]
        content = path.read_bytes()
        path.write_bytes(b"")
        with pytest.raises(DatasetError):
            make_stimulus_set(find_stimuli(folder))
        path.write_bytes(content)
        inspected = []
        inspect = displayed._inspect
        monkeypatch.setattr(displayed, "_inspect", lambda path: inspected.append(path) or inspect(path))
        make_stimulus_set(find_stimuli(folder))
        assert inspected == [path]

    @pytest.mark.parametrize("lenient", [False, True])
    def test_the_process_does_not_decide_what_is_whole(self, folder, monkeypatch, lenient):
        """A lenient process stores nothing that a strict one would not, and the other way round."""
        path = folder / "images" / CROPPED
        Image.effect_noise((200, 200), 80).convert("RGBA").save(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        for lenient_now in (lenient, not lenient):
            monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient_now)
            with pytest.raises(DatasetError, match="can be read; 1 of 11 cannot"):
                make_stimulus_set(find_stimuli(folder))
            with pytest.raises(DatasetError, match="can be read; 1 of 11 cannot"):
                stimulus_fingerprints(find_stimuli(folder), STIMULI)

    def test_what_an_older_version_believed_is_checked_again(self, folder, home):
        """Version 1 took a JPEG for whole by its last bytes, and others if the process was lenient."""
        path = folder / "images" / STIMULI[0]
        Image.effect_noise((200, 200), 80).save(path)
        stimulus_fingerprints(find_stimuli(folder), STIMULI)
        (index,) = (home / "stimuli" / "index").iterdir()
        content = path.read_bytes()
        path.write_bytes(content[:1000] + content[len(content) // 2 :])
        state = path.stat()
        index.write_text(json.dumps({path.name: [state.st_size, state.st_mtime_ns, "0" * 40, None]}))
        with pytest.raises(DatasetError, match="data of a JPEG are missing"):
            stimulus_fingerprints(find_stimuli(folder), STIMULI)

    @pytest.mark.parametrize("content", ["[]", "null", "1", '{"version": 3}', "\x00"])
    def test_memory_of_another_form_is_made_again(self, folder, home, content):
        before = stimulus_fingerprints(find_stimuli(folder), STIMULI)
        (index,) = (home / "stimuli" / "index").iterdir()
        index.write_text(content)
        assert stimulus_fingerprints(find_stimuli(folder), STIMULI) == before

    def test_all_unreadable_images_are_counted_and_the_others_remembered(self, folder, home):
        for name, content in zip(STIMULI[:4], (b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"), strict=True):
            (folder / "images" / name).write_bytes(content)
        with pytest.raises(DatasetError, match="4 of 11 cannot, first: '.*_0_i0.jpg'"):
            make_stimulus_set(find_stimuli(folder))
        (index,) = (home / "stimuli" / "index").iterdir()
        assert set(json.loads(index.read_text())["images"]) == set(STIMULI[4:])

    def test_a_folder_in_an_images_place_is_missing(self, folder):
        path = folder / "images" / STIMULI[0]
        path.unlink()
        path.mkdir()
        with pytest.raises(MissingDataError, match="1 of 11 are not in"):
            make_stimulus_set(find_stimuli(folder))

    def test_an_image_that_cannot_be_opened_is_named(self, folder, monkeypatch):
        def refuse(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(displayed, "_inspect", refuse)
        with pytest.raises(DatasetError, match="11 of 11 cannot, first: .*Permission denied"):
            make_stimulus_set(find_stimuli(folder))

    def test_images_that_are_not_square_are_said(self, folder, caplog):
        Image.new("RGB", (12, 9)).save(folder / "images" / STIMULI[1])
        make_stimulus_set(find_stimuli(folder))
        make_stimulus_set(find_stimuli(folder))
        assert caplog.text.count("1 of 11 are not square, first 'shared_12rep_LAION_cluster_1_i0.jpg' with 12 x 9") == 1

    def test_bytes_of_plain_images_and_of_composites_are_what_they_were(self, folder):
        """Kernels are keyed by these hashes: of the file, or of Pillow's PNG of the composite."""
        shown = stimulus_fingerprints(find_stimuli(folder), STIMULI)
        for name in set(STIMULI) - {CROPPED, OPAQUE_PNG}:
            assert shown[name] == hashlib.sha1((folder / "images" / name).read_bytes()).hexdigest()
        with Image.open(folder / "images" / CROPPED) as image:
            ground = Image.new("RGBA", image.size, (128, 128, 128, 255))
            buffer = io.BytesIO()
            Image.alpha_composite(ground, image).convert("RGB").save(buffer, format="PNG")
        assert shown[CROPPED] == hashlib.sha1(buffer.getvalue()).hexdigest()

    def test_whole_jpeg_with_something_behind_it(self, folder):
        path = folder / "images" / STIMULI[0]
        path.write_bytes(path.read_bytes() + bytes(10_000))
        assert make_stimulus_set(find_stimuli(folder)).get_stimulus(STIMULI[0]) == path


class TestReleased:
    def test_equals_the_image_folder(self, folder, released):
        by_manifest = ManifestStimuli(folder / "manifest.csv", folder / "images")
        by_release = find_stimuli(released())
        assert isinstance(by_release, ReleasedStimuli)
        assert stimulus_fingerprints(by_release, STIMULI) == stimulus_fingerprints(by_manifest, STIMULI)
        stimulus_set = make_stimulus_set(by_release)
        assert stimulus_set["stimulus_id"].tolist() == STIMULI
        assert stimulus_set["n_reps"].tolist() == ["12rep"] * len(STIMULI)
        for name in set(STIMULI) - {CROPPED, OPAQUE_PNG}:
            assert stimulus_set.get_stimulus(name).name == name
            assert stimulus_set.get_stimulus(name).read_bytes() == (folder / "images" / name).read_bytes()

    def test_extracts_what_is_asked_for_and_goes_on_later(self, released, home, monkeypatch):
        source = find_stimuli(released())
        make_stimulus_set(source, STIMULI[:3])
        (extracted,) = (home / "stimuli").glob("[0-9a-f]" * 16)
        assert {path.name for path in extracted.iterdir()} == set(STIMULI[:3])
        rows = []
        extract = ReleasedStimuli._extract
        monkeypatch.setattr(
            ReleasedStimuli,
            "_extract",
            lambda self, images, row: rows.append(row) or extract(self, images, row),
        )
        make_stimulus_set(find_stimuli(released()))
        assert rows == list(range(3, len(STIMULI)))

    def test_interrupted_write_leaves_no_image(self, released, home, monkeypatch):
        source = find_stimuli(released())

        def interrupt(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            source.files(STIMULI)
        assert [path for path in home.rglob("*") if path.is_file()] == []

    @pytest.mark.parametrize(
        ("lacking", "name"), [("task-images_stimuli.h5", "stimuli.h5"), ("task-images_metadata.csv", "metadata.csv")]
    )
    def test_one_of_two_files(self, released, lacking, name):
        folder = released()
        (folder / lacking).unlink()
        with pytest.raises(MissingDataError, match=f"two files, .*lacks .*{name}. Run `laion-fmri download-stimuli`"):
            find_stimuli(folder)

    def test_other_number_of_rows(self, released, folder):
        images = [(folder / "images" / name).read_bytes() for name in STIMULI[:-1]]
        with pytest.raises(SchemaError, match="same rows; .* has 10 images, .* has 11 rows. Run"):
            make_stimulus_set(find_stimuli(released(images=images)))

    def test_other_order(self, released, folder):
        images = [(folder / "images" / name).read_bytes() for name in [STIMULI[-1], *STIMULI[:-1]]]
        with pytest.raises(SchemaError, match=f"row 7 belongs to stimulus '{CROPPED}', a PNG file, but holds a JPEG"):
            make_stimulus_set(find_stimuli(released(images=images)))

    @pytest.mark.parametrize("content", [b"", b"junk"])
    def test_row_that_is_no_image(self, released, folder, content):
        images = [(folder / "images" / name).read_bytes() for name in STIMULI]
        images[2] = content
        with pytest.raises(SchemaError, match=r"row 2 must hold the image of stimulus '.*_2_i0.jpg'; its \d bytes"):
            make_stimulus_set(find_stimuli(released(images=images)))

    def test_duplicate_and_escaping_names(self, released):
        images = [(b"x")] * 2
        with pytest.raises(SchemaError, match="each stimulus has one row"):
            find_stimuli(released(["a.jpg", "a.jpg"], images)).table()
        with pytest.raises(SchemaError, match="stimulus '../a.jpg' has '../a.jpg'"):
            find_stimuli(released(["../a.jpg", "b.jpg"], images)).table()

    def test_incomplete_file(self, released):
        path = released() / "task-images_stimuli.h5"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(SchemaError, match="complete HDF5 file; .*1,000 bytes.*download-stimuli"):
            find_stimuli(path.parent).table()

    def test_other_hdf5_dataset(self, released):
        path = released() / "task-images_stimuli.h5"
        with h5py.File(path, "w") as file:
            file["pictures"] = [1]
        with pytest.raises(SchemaError, match=r"HDF5 dataset 'images'; found \['pictures'\]"):
            find_stimuli(path.parent).table()

    def test_other_content_is_extracted_elsewhere(self, released, folder):
        before = find_stimuli(released()).files(STIMULI[:1])
        buffer = io.BytesIO()
        Image.new("RGB", (12, 12), (9, 9, 9)).save(buffer, format="JPEG")
        images = [buffer.getvalue(), *((folder / "images" / name).read_bytes() for name in STIMULI[1:])]
        after = find_stimuli(released(images=images)).files(STIMULI[:1])
        assert before != after
        assert after[STIMULI[0]].read_bytes() == buffer.getvalue()

    def test_images_that_change_places_are_extracted_elsewhere(self, released, folder):
        """A file of the same size, whose first, middle and last images are the same."""
        contents = [(folder / "images" / name).read_bytes() for name in STIMULI]
        files = find_stimuli(released()).files(STIMULI)
        assert [files[name].read_bytes() for name in STIMULI] == contents
        contents[1:3] = contents[2:0:-1]
        other = released(images=contents)
        source = find_stimuli(other)
        assert [source.files(STIMULI)[name].read_bytes() for name in STIMULI] == contents

    def test_a_file_is_read_whole_once_in_each_state(self, released, monkeypatch):
        folder, read = released(), []
        count = sources.tqdm
        monkeypatch.setattr(sources, "tqdm", lambda *a, desc, **o: read.append(desc) or count(*a, desc=desc, **o))
        for _ in range(2):
            find_stimuli(folder).files(STIMULI)
        assert read == ["reading task-images_stimuli.h5", "extracting images"]
        source = find_stimuli(folder)
        source.images.touch()
        source.files(STIMULI)  # the same content: nothing is extracted again
        assert read[2:] == ["reading task-images_stimuli.h5"]

    def test_no_rows(self, released):
        assert len(make_stimulus_set(find_stimuli(released([], [])))) == 0

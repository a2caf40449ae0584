"""A seal finds what decoding cannot: changed bytes, images in another's place, missing and added ones."""

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from plugin_testing.data_factory import OOD, SHARED, write_dataset, write_images

from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, SchemaError
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.data.laion_fmri_7t.stimuli.seal import SEAL, check_seal, differences, read_seal, write_seal
from brainscore_vision.data.laion_fmri_7t.stimuli.sources import find_stimuli, make_stimulus_set, survey_images

STIMULI = SHARED + OOD


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("LAION_FMRI_7T_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    """Images large enough for a changed byte to leave them readable."""
    folder = write_images(tmp_path / "stimuli", STIMULI)
    rng = np.random.default_rng(6)
    for name in SHARED:
        pixels = np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((12, 12, 1), dtype=np.uint8))
        Image.fromarray(pixels).save(folder / "images" / name)
    return folder


def released(tmp_path, folder, order=None):
    """The same images as the release's two files, rows of the HDF5 in another order on request."""
    target = tmp_path / "released"
    target.mkdir(exist_ok=True)
    images = [(folder / "images" / name).read_bytes() for name in STIMULI]
    with h5py.File(target / "task-images_stimuli.h5", "w") as file:
        data = file.create_dataset("images", (len(images),), dtype=h5py.vlen_dtype(np.uint8))
        for row, place in enumerate(order or range(len(images))):
            data[row] = np.frombuffer(images[place], np.uint8)
    pd.DataFrame({"image_name": STIMULI}).to_csv(target / "task-images_metadata.csv", index=False)
    return target


def seal(folder, force=False):
    source = find_stimuli(folder)
    return write_seal(source.folder, survey_images(source).hashes, force)


def found(folder):
    source = find_stimuli(folder)
    return differences(read_seal(source.folder), survey_images(source).hashes)


def change_a_byte(path):
    """Leaves a JPEG that decodes to its end."""
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) - 2):
        changed = content.copy()
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            survey = survey_images(find_stimuli(path.parents[1]))
        except DatasetError:
            continue
        if not survey.unreadable and changed[place] != 0xFF:
            return
    raise AssertionError("no byte can be changed without being noticed by the decoder")


def test_images_as_they_were(folder):
    assert seal(folder) is True
    assert not found(folder)
    assert seal(folder) is False
    assert len(make_stimulus_set(find_stimuli(folder))) == len(STIMULI)


def test_a_changed_byte(folder):
    seal(folder)
    change_a_byte(folder / "images" / STIMULI[2])
    assert found(folder).changed == [STIMULI[2]]
    with pytest.raises(DatasetError, match="sealed in .*seal.json; of 11, 1 changed, first '.*_2_i0.jpg'. Restore"):
        make_stimulus_set(find_stimuli(folder))
    assert len(make_stimulus_set(find_stimuli(folder), STIMULI[3:])) == len(STIMULI) - 3  # those are right


def test_a_replaced_image_and_two_that_changed_places(folder):
    seal(folder)
    first, second, third = (folder / "images" / name for name in STIMULI[:3])
    shutil.copy(first, folder / "spare")
    shutil.copy(second, first)
    shutil.copy(folder / "spare", second)
    Image.new("RGB", (12, 12), (1, 2, 3)).save(third)
    assert found(folder).changed == STIMULI[:3]


def test_missing_and_added_images(folder):
    seal(folder)
    table = pd.read_csv(folder / "manifest.csv")
    table.loc[0, "stimulus_id"] = "another"
    table.to_csv(folder / "manifest.csv", index=False)
    changes = found(folder)
    assert (changes.changed, changes.missing, changes.added) == ([], [STIMULI[0]], ["another"])
    assert str(changes) == f"1 missing, first {STIMULI[0]!r}; 1 added, first 'another'"
    with pytest.raises(DatasetError, match="of 11, 1 added, first 'another'"):
        make_stimulus_set(find_stimuli(folder))


@pytest.mark.parametrize("has_extracted", [False, True])
def test_swapped_rows_of_the_release(tmp_path, folder, has_extracted):
    target = released(tmp_path, folder)
    seal(target)
    assert len(make_stimulus_set(find_stimuli(target))) == len(STIMULI)
    order = [1, 0, *range(2, len(STIMULI))]
    released(tmp_path, folder, order)
    assert found(target).changed == STIMULI[:2]
    if not has_extracted:
        shutil.rmtree(tmp_path / "home")
    with pytest.raises(
        DatasetError, match="2 changed, first 'shared_12rep_LAION_cluster_0_i0.jpg'.*Delete .*extracted again"
    ):
        make_stimulus_set(find_stimuli(target))


def test_zeroed_bytes_in_the_release(tmp_path, folder):
    target = released(tmp_path, folder)
    seal(target)
    path = folder / "images" / STIMULI[3]
    content = path.read_bytes()
    path.write_bytes(content[:-12] + bytes(8) + content[-4:])
    released(tmp_path, folder)
    assert found(target).changed == [STIMULI[3]]


def test_a_damaged_extracted_copy(tmp_path, folder):
    target = released(tmp_path, folder)
    source = find_stimuli(target)
    copy = source.files(STIMULI)[STIMULI[4]]
    assert survey_images(source).damaged_copies == []
    Image.new("RGB", (12, 12)).save(copy)
    assert survey_images(source).damaged_copies == [copy]
    seal(target)
    with pytest.raises(DatasetError, match="1 changed, first '.*_4_i0.jpg'. Delete .*: images are extracted again"):
        make_stimulus_set(source)


class TestFile:
    def test_a_seal_is_replaced_only_by_force(self, tmp_path):
        assert write_seal(tmp_path, {"a": "1", "b": "2"})
        before = (tmp_path / SEAL).read_bytes()
        with pytest.raises(
            DatasetError, match="1 changed, first 'a'; 1 missing, first 'b'; 1 added, first 'ä'.*--force"
        ):
            write_seal(tmp_path, {"a": "3", "ä": "2"})
        assert (tmp_path / SEAL).read_bytes() == before
        assert write_seal(tmp_path, {"a": "3", "ä": "2"}, force=True)
        assert read_seal(tmp_path) == {"a": "3", "ä": "2"}

    @pytest.mark.parametrize(
        "content",
        ["", "{", "[]", "null", '{"format": 2, "images": {}}', '{"format": 1}', '{"format": 1, "images": {"a": 1}}'],
    )
    def test_what_is_no_seal(self, tmp_path, content):
        (tmp_path / SEAL).write_text(content)
        with pytest.raises(SchemaError, match="A seal is JSON of format 1.*--force"):
            check_seal(tmp_path, {}, "")
        with pytest.raises(SchemaError, match="A seal is JSON"):
            write_seal(tmp_path, {})
        assert write_seal(tmp_path, {}, force=True)

    def test_a_cut_seal(self, folder):
        seal(folder)
        content = (folder / SEAL).read_text()
        (folder / SEAL).write_text(content[: len(content) // 2])
        with pytest.raises(SchemaError, match="A seal is JSON"):
            make_stimulus_set(find_stimuli(folder))

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(DatasetError, match="must be writable; .*seal.json cannot be written .*owner"):
            write_seal(tmp_path / "file", {})

    def test_a_seal_is_no_part_of_the_data(self, tmp_path):
        root = write_dataset(tmp_path / "dataset")
        before = open_dataset(root)
        fingerprint = before.fingerprint()
        seal(root)
        after = open_dataset(root)
        assert after is before  # nothing is read again
        shutil.copytree(root, tmp_path / "copy")
        assert open_dataset(tmp_path / "copy").fingerprint() == fingerprint
        assert json.loads((root / "stimuli" / SEAL).read_text())["hash"] == "sha1"

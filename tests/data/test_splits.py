"""Split files: names, rules, sources, and the real ones where they are at hand."""

import hashlib
import json
import sys
import types
from pathlib import Path

import pytest
from plugin_testing.data_factory import OOD, SHARED, unique, write_split

from brainscore_vision.data.laion_fmri_7t import ids
from brainscore_vision.data.laion_fmri_7t import splits as splits_module
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES, SPLIT_FILES
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.splits import Splits, parse_split

REAL_SPLITS = Path(__file__).resolve().parents[3] / "shared" / "laion_fmri_splits"
TAU = SHARED[:-2], SHARED[-2:]


@pytest.fixture
def folder(tmp_path):
    write_split(tmp_path, "shared", "tau", *TAU)
    write_split(tmp_path, "shared", "ood", SHARED, OOD)
    write_split(tmp_path, "sub-01", "ood", SHARED + unique("sub-01"), OOD)
    return tmp_path


@pytest.fixture
def packaged(monkeypatch):
    """A stand-in for laion_fmri.splits that records what it is asked for."""
    asked = []

    def get_train_test_ids(name, pool):
        asked.append((name, pool))
        return list(SHARED[:3]), list(SHARED[3:])

    module = types.ModuleType("laion_fmri.splits")
    module.get_train_test_ids = get_train_test_ids
    monkeypatch.setitem(sys.modules, "laion_fmri", types.ModuleType("laion_fmri"))
    monkeypatch.setitem(sys.modules, "laion_fmri.splits", module)
    monkeypatch.setattr(splits_module, "_packaged_folder", lambda: None)
    return asked


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "laion_fmri", None)
    monkeypatch.setitem(sys.modules, "laion_fmri.splits", None)
    monkeypatch.setattr(splits_module, "_packaged_folder", lambda: None)


class TestNames:
    @pytest.mark.parametrize(
        ("split", "parsed"),
        [
            ("tau", ("tau", None)),
            ("ood", ("ood", None)),
            ("cluster_k5_0", ("cluster_k5_0", None)),
            ("random_4", ("random_4", None)),
            *((f"ood_{kind}", ("ood", kind)) for kind in OOD_TYPES),
        ],
    )
    def test_valid(self, split, parsed):
        assert parse_split(split) == parsed

    @pytest.mark.parametrize("split", ["", "Tau", "tau ", "cluster_k5", "cluster_k5_5", "random", "random_-1", "oodd"])
    def test_invalid(self, split):
        with pytest.raises(DatasetError, match="A split is one of tau, .*; got .*Choose"):
            parse_split(split)

    @pytest.mark.parametrize("split", ["ood_", "ood_illusion", "ood_gabors"])
    def test_invalid_kind(self, split):
        with pytest.raises(DatasetError, match="(one of shape, .*; got|A split is one of)"):
            parse_split(split)

    @pytest.mark.parametrize("pool", ["sub-02", "pooled", "", "sub01", "../shared"])
    def test_invalid_pool(self, folder, pool):
        with pytest.raises(DatasetError, match="A pool is shared or a subject, sub-01, .*; got .*Choose"):
            Splits(folder).train_test_ids(pool, "tau")


class TestRules:
    """What no split may do, whether from a file or from the package."""

    @pytest.mark.parametrize(
        ("train", "test", "message"),
        [
            ([], SHARED[:1], "both sides of a split have stimuli; train has none"),
            (SHARED[:1], [], "both sides of a split have stimuli; test has none"),
            ([*SHARED[:2], SHARED[0]], SHARED[3:], f"once on a side of a split; train repeats 1, first: '{SHARED[0]}'"),
            (SHARED[:2], [SHARED[3], SHARED[3]], "once on a side of a split; test repeats 1"),
            (SHARED[:3], SHARED[2:], "disjoint; 1 stimuli are in both, first"),
            ([*SHARED[:3], OOD[0]], SHARED[3:], f"for testing only; train has 1, first: '{OOD[0]}'"),
            (SHARED[:3], [*SHARED[3:], OOD[0]], "test side of tau has no out-of-distribution images; 1 break"),
            (
                [*SHARED[:3], unique("sub-01")[0]],
                SHARED[3:],
                "pool shared holds shared images; 1 .* someone else.*sub-01",
            ),
            (SHARED[:3], ["dog.jpg"], "stimulus id is .*got 'dog.jpg'"),
        ],
    )
    def test_broken(self, folder, train, test, message):
        path = write_split(folder, "shared", "tau", train, test)
        with pytest.raises(SchemaError, match=message) as error:
            Splits(folder).train_test_ids("shared", "tau")
        assert str(path) in str(error.value)
        if "stimulus id is" not in message:
            assert "Restore the split" in str(error.value)

    def test_images_of_another_subject(self, folder):
        write_split(folder, "sub-01", "ood", SHARED + unique("sub-03"), OOD)
        with pytest.raises(SchemaError, match=r"unique images of sub-01; 4 stimuli .*p04.jpg' \(sub-03\)"):
            Splits(folder).train_test_ids("sub-01", "ood")

    def test_ood_test_side_is_ood(self, folder):
        write_split(folder, "shared", "ood", SHARED[:-1], [*OOD, SHARED[-1]])
        with pytest.raises(SchemaError, match="test side of ood has only out-of-distribution images; 1 break"):
            Splits(folder).train_test_ids("shared", "ood")

    def test_kind_without_images(self, folder):
        with pytest.raises(SchemaError, match="needs test images of kind gaudy; split ood has none"):
            Splits(folder).train_test_ids("shared", "ood_gaudy")

    def test_pools_that_disagree(self, folder):
        write_split(folder, "sub-01", "ood", SHARED[1:] + unique("sub-01"), OOD)
        with pytest.raises(SchemaError, match=f"disagree about 1 shared images, first: '{SHARED[0]}'.*same version"):
            Splits(folder).pool_stimuli("sub-01")

    def test_the_file_of_another_pool(self, folder):
        """The shared pool's file in a subject's folder holds nothing wrong but what it lacks."""
        path = write_split(folder, "sub-01", "tau", *TAU)
        with pytest.raises(SchemaError, match=r"unique images of sub-01 beside the shared ones; there is none among 7"):
            Splits(folder).train_test_ids("sub-01", "tau")
        path.write_text(path.read_text().replace(SHARED[0], unique("sub-03")[0]))
        with pytest.raises(SchemaError, match=r"sub-01/tau.json: .*1 stimuli are of someone else.*\(sub-03\)"):
            Splits(folder).train_test_ids("sub-01", "tau")

    @pytest.mark.parametrize("name", ["Shared", "SHARED", "shared_"])
    def test_folders_with_another_name(self, folder, packaged, name):
        """Else the package's split would be used in the place of the folder's, without a word."""
        (folder / "shared").rename(folder / name)
        with pytest.raises(
            SchemaError, match=f"{name}/tau.json: the folder of pool shared is called shared, not {name}"
        ):
            Splits(folder).train_test_ids("shared", "tau")

    @pytest.mark.parametrize(
        ("split", "place", "message"),
        [
            ("tau", "shared/Tau.json", "is called tau.json, not Tau.json. Rename it"),
            ("tau", "shared/tau.JSON", "is called tau.json, not tau.JSON. Rename it"),
            ("tau", "tau.json", "lies in the folder of its pool. Move it to .*shared/tau.json"),
            ("random_0", "shared/random_00.json", "is called random_0.json, not random_00.json"),
            ("cluster_k5_1", "shared/cluster-k5-1.json", "is called cluster_k5_1.json"),
        ],
    )
    def test_files_with_another_name(self, folder, packaged, split, place, message):
        """Likewise."""
        write_split(folder, "shared", split, *TAU).rename(folder / place)
        with pytest.raises(SchemaError, match=f"{place}: .*{message}"):
            Splits(folder).train_test_ids("shared", split)

    def test_a_file_of_one_kind_says_what_the_split_ood_says(self, folder):
        """It is not read."""
        train, test = Splits(folder).train_test_ids("shared", "ood")
        kind = next(kind for kind in OOD_TYPES if any(ids.ood_type(stimulus_id) == kind for stimulus_id in test))
        of_kind = [stimulus_id for stimulus_id in test if ids.ood_type(stimulus_id) == kind]
        path = write_split(folder, "shared", f"ood_{kind}", train, of_kind)
        assert Splits(folder).train_test_ids("shared", f"ood_{kind}") == (train, of_kind)
        others = [stimulus_id for stimulus_id in test if stimulus_id not in of_kind]
        for other in ((train, [*of_kind, others[0]]), (train[1:], of_kind)):
            path = write_split(folder, "shared", path.stem, *other)
            with pytest.raises(SchemaError, match=f"{path.name}: ood_{kind} trains as the split ood .* something else"):
                Splits(folder).train_test_ids("shared", "ood")
        (folder / "Shared").mkdir()
        for place in (f"shared/OOD-{kind}.json", f"Shared/ood_{kind}.JSON", f"ood_{kind}.json"):
            path = path.rename(folder / place)
            with pytest.raises(SchemaError, match=f"{place}: ood_{kind} trains as the split ood"):
                Splits(folder).train_test_ids("shared", "ood")

    @pytest.mark.parametrize("name", ["sub01", "sub-1", "Sub-01", "sub_01"])
    def test_subjects_folders_with_another_name(self, folder, packaged, name):
        (folder / "sub-01").rename(folder / name)
        with pytest.raises(SchemaError, match=f"is called sub-01, not {name}"):
            Splits(folder).train_test_ids("sub-01", "ood")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"n_train": 4}, "n_train is the number of train_ids; it is 4, and there are 5"),
            ({"n_test": 3}, "n_test is the number of test_ids; it is 3, and there are 2"),
            ({"n_test": None}, "n_test is the number of test_ids; it is None"),
            ({"name": "ood"}, "a split file has its split's name; this is split 'ood'"),
        ],
    )
    def test_a_header_that_disagrees(self, folder, change, message):
        path = folder / "shared" / "tau.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(SchemaError, match=rf"shared/tau.json: {message}.*Restore"):
            Splits(folder).train_test_ids("shared", "tau")

    def test_a_file_that_lost_ids(self, folder):
        path = folder / "shared" / "tau.json"
        content = json.loads(path.read_text())
        del content["variants"][0]["train_ids"][2]
        path.write_text(json.dumps(content))
        with pytest.raises(SchemaError, match="it is 5, and there are 4"):
            Splits(folder).train_test_ids("shared", "tau")

    @pytest.mark.parametrize("key", ["variants", "train_ids"])
    def test_an_entry_that_stands_there_twice(self, folder, key):
        path = folder / "shared" / "tau.json"
        content = json.loads(path.read_text())
        del content["n_train"], content["n_test"]
        again = json.dumps({**content["variants"][0], "train_ids": SHARED[:2]})
        extra = f'"variants": [{again}], ' if key == "variants" else f'"train_ids": {json.dumps(SHARED[:2])}, '
        path.write_text(json.dumps(content).replace(f'"{key}": ', f'{extra}"{key}": '))
        with pytest.raises(SchemaError, match=f"shared/tau.json: an entry stands in a file once; '{key}' is repeated"):
            Splits(folder).train_test_ids("shared", "tau")

    def test_variant_0_wherever_it_stands(self, folder):
        path = folder / "shared" / "tau.json"
        content = json.loads(path.read_text())
        other = {"variant_id": 1, "train_ids": SHARED[2:], "test_ids": SHARED[:2]}
        path.write_text(json.dumps({**content, "variants": [other, *content["variants"]]}))
        assert Splits(folder).train_test_ids("shared", "tau") == TAU

    @pytest.mark.parametrize(
        ("numbers", "message"),
        [([1, 2], "the file has 1, 2"), ([0, 0], "has 0, 0"), (["0"], "has '0'"), ([], "has none")],
    )
    def test_no_variant_0_or_two(self, folder, numbers, message):
        path = folder / "shared" / "tau.json"
        content = json.loads(path.read_text())
        variants = [{**content["variants"][0], "variant_id": number} for number in numbers]
        path.write_text(json.dumps({**content, "variants": variants}))
        with pytest.raises(SchemaError, match=f"variant_id 0 is used, and there is one; .*{message}"):
            Splits(folder).train_test_ids("shared", "tau")

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    def test_encodings(self, folder, encoding):
        path = folder / "shared" / "tau.json"
        path.write_text(path.read_text(), encoding=encoding)
        assert Splits(folder).train_test_ids("shared", "tau") == TAU

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"variants": 3}', '{"variants": [{"train_ids": []}]}'])
    def test_damaged_file(self, folder, content):
        (folder / "shared" / "tau.json").write_text(content)
        with pytest.raises(SchemaError, match=r"tau.json: a split file is JSON with variants.*Restore"):
            Splits(folder).train_test_ids("shared", "tau")

    def test_ids_that_are_no_list(self, folder):
        (folder / "shared" / "tau.json").write_text(json.dumps({"variants": [{"train_ids": "abc", "test_ids": []}]}))
        with pytest.raises(SchemaError, match="lists of stimulus ids; found str, abc"):
            Splits(folder).train_test_ids("shared", "tau")


class TestSources:
    def test_folder_first(self, folder, packaged):
        assert Splits(folder).train_test_ids("shared", "tau") == TAU
        assert packaged == []

    def test_package_for_what_the_folder_lacks(self, folder, packaged):
        assert Splits(folder).train_test_ids("shared", "random_2") == (SHARED[:3], SHARED[3:])
        assert Splits(None).train_test_ids("shared", "tau") == (SHARED[:3], SHARED[3:])
        assert packaged == [("random_2", "shared"), ("tau", "shared")]

    def test_neither(self, folder, no_package):
        with pytest.raises(MissingDataError, match=r"Tried: .*random_2.json; the package, which cannot.*'\.\[laion\]'"):
            Splits(folder).train_test_ids("shared", "random_2")
        with pytest.raises(
            MissingDataError, match=r"a splits folder, which this dataset does not have.*pip install '\.\[laion\]'"
        ):
            Splits(None).train_test_ids("sub-01", "tau")

    def test_package_without_the_file(self, packaged, monkeypatch):
        def get_train_test_ids(name, pool):
            raise FileNotFoundError("no such split")

        monkeypatch.setattr(sys.modules["laion_fmri.splits"], "get_train_test_ids", get_train_test_ids)
        with pytest.raises(
            MissingDataError, match="Split tau of pool shared .*the package, which lacks it.*newest version"
        ):
            Splits(None).train_test_ids("shared", "tau")

    def test_kind_keeps_the_training_side(self, folder):
        train, test = Splits(folder).train_test_ids("shared", "ood_cropped")
        assert train == SHARED
        assert test == [OOD[0]]

    def test_answers_belong_to_the_caller(self, folder):
        splits = Splits(folder)
        splits.train_test_ids("shared", "tau")[0].clear()
        assert splits.train_test_ids("shared", "tau") == TAU


class TestFingerprint:
    """Names the splits that can be used: the same data have one name, whatever else is installed."""

    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """A package laion_fmri with split files on the path, as pip installs it; its folder of splits."""
        root = tmp_path / "site" / "laion_fmri"
        (root / "splits" / "data").mkdir(parents=True)
        (root / "__init__.py").touch()
        monkeypatch.syspath_prepend(root.parent)
        for name in [name for name in sys.modules if name.partition(".")[0] == "laion_fmri"]:
            monkeypatch.delitem(sys.modules, name)
        return root / "splits" / "data"

    @staticmethod
    def of_files(*paths):
        """What the folder alone gives: the name that data had before."""
        digest = hashlib.sha1()
        for path in sorted(paths):
            digest.update(f"{path.parent.name}/{path.name}\0".encode() + path.read_bytes())
        return digest.hexdigest()

    @pytest.fixture
    def complete(self, tmp_path):
        """A folder with every split of the shared pool and of sub-01."""
        for pool, members in (("shared", SHARED), ("sub-01", SHARED + unique("sub-01"))):
            for name in SPLIT_FILES:
                write_split(tmp_path / "own", pool, name, *((members, OOD) if name == "ood" else TAU))
        return tmp_path / "own"

    def test_a_package_changes_nothing_where_the_folder_brings_all(self, complete, package):
        alone = self.of_files(*complete.glob("*/*.json"))
        for pool in ("shared", "sub-01", "sub-03", "pooled"):  # sub-03 has no assembly in this dataset
            for name in ("tau", "ood", "something_new"):
                write_split(package, pool, name, SHARED[:3], SHARED[3:])
        assert splits_module._packaged_folder() == package
        assert Splits(complete).fingerprint(["sub-01"]) == alone
        assert Splits(complete).fingerprint(["sub-01", "sub-03"]) != alone

    def test_the_package_counts_for_what_the_folder_lacks(self, complete, package):
        own = self.of_files(*complete.glob("*/*.json"))
        write_split(package, "shared", "random_2", SHARED[:3], SHARED[3:])
        (complete / "shared" / "random_2.json").unlink()
        first = Splits(complete).fingerprint(["sub-01"])
        assert first not in (own, self.of_files(*complete.glob("*/*.json")))
        write_split(package, "shared", "random_2", SHARED[:4], SHARED[4:])
        assert Splits(complete).fingerprint(["sub-01"]) != first

    def test_without_a_folder_the_package_is_all(self, package):
        path = write_split(package, "shared", "tau", *TAU)
        assert Splits(None).fingerprint() == self.of_files(path)


@pytest.mark.skipif(not REAL_SPLITS.is_dir(), reason=f"the release's split files are not at {REAL_SPLITS}")
class TestRealSplits:
    """Counts as published (dataset documentation, train/test splits)."""

    @pytest.mark.parametrize(
        ("pool", "tau", "ood", "clusters"),
        [
            ("shared", (897, 224), (1121, 371), [274, 248, 246, 225, 128]),
            ("sub-01", (4666, 1167), (5833, 371), [615, 1293, 1506, 1238, 1181]),
        ],
    )
    def test_counts(self, pool, tau, ood, clusters):
        splits = Splits(REAL_SPLITS)

        def sizes(split):
            return tuple(len(side) for side in splits.train_test_ids(pool, split))

        assert sizes("tau") == tau
        assert sizes("ood") == ood
        assert [sizes(f"cluster_k5_{fold}")[1] for fold in range(5)] == clusters
        assert len(splits.pool_stimuli(pool)) == sum(ood)

    def test_kinds(self):
        splits = Splits(REAL_SPLITS)
        counts = {kind: len(splits.train_test_ids("shared", f"ood_{kind}")[1]) for kind in OOD_TYPES}
        assert counts == {
            "shape": 82,
            "relations": 72,
            "unusual": 64,
            "cropped": 60,
            "selfmade": 30,
            "gaudy": 24,
            "illusion-classic": 21,
            "gabor": 10,
            "illusion-natural": 8,
        }

    def test_shared_part_comes_first_in_every_pool(self):
        splits = Splits(REAL_SPLITS)
        assert splits.pool_stimuli("sub-01")[:1492] == splits.pool_stimuli("shared")

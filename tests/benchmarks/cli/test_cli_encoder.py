"""``laion-score encoder``: fit, run, show and list."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from brainscore_vision.benchmarks.laion_fmri_7t import load_encoder
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

NETWORK = """
import torch


def make(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 9, stride=9), torch.nn.ReLU(), torch.nn.AvgPool2d(4)).eval()
"""


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i, pixels in enumerate(np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_an_encoder_is_fitted_asked_shown_and_listed(tiny_dataset, tmp_path, images, run):
    (tmp_path / "nets.py").write_text(NETWORK)
    path = tmp_path / "encoders" / "enc.h5"
    code, out, err = run(
        *("encoder", "fit", f"{tmp_path}/nets.py:make", "--layers", "V1=0,IT=2", "--regions", "V1,IT"),
        *("--subject", "sub-03", "--dataset", tiny_dataset, "--out", path),
    )
    assert code == 0, err
    assert "The encoder takes about" in err
    assert "leave-one-out r" in out
    assert "simulated data" in out
    for name in ("notes.txt", "Thumbs.db", ".DS_Store"):
        (images / name).touch()
    found = {}
    for suffix in (".npy", ".nc", ".csv", ".parquet"):
        target = tmp_path / f"responses{suffix}"
        code, out, err = run("encoder", "run", path, images, "--out", target)
        assert code == 0, err
        assert f"1 of 6 files in {images} are left out" in err
        found[suffix] = target
    responses, table = np.load(found[".npy"]), pd.read_csv(found[".csv"], index_col=0)
    with xr.open_dataarray(found[".nc"]) as array:
        np.testing.assert_array_equal(array, responses)
        assert array.attrs["subject"] == "sub-03"
        assert list(array.stimulus.values) == [str(images / f"{i}.png") for i in range(3)]
        assert set(array.region.values) == {"V1", "IT"}
    np.testing.assert_allclose(table, responses, rtol=1e-5)
    pd.testing.assert_frame_equal(pd.read_parquet(found[".parquet"]), table, check_dtype=False, rtol=1e-5)
    figure = tmp_path / "accuracy.svg"
    code, out, err = run("encoder", "show", path, "--json", "--figure", figure)
    assert code == 0, err
    assert json.loads(out)["layers"] == {"V1": "0", "IT": "2"}
    assert figure.stat().st_size > 1000
    (tmp_path / "encoders" / "broken.h5").write_bytes(b"broken")
    code, out, err = run("encoder", "list", tmp_path)
    assert code == 0, err
    assert "1 encoders" in out
    assert "sub-03" in out
    assert "broken.h5 is damaged" in out


def test_what_is_recorded_is_an_option(tiny_dataset, tmp_path, run):
    (tmp_path / "nets.py").write_text(NETWORK)
    arguments = ("--regions", "V1", "--dataset", tiny_dataset, "--out", tmp_path / "enc.h5", "--record", "V2")
    code, out, err = run("encoder", "fit", f"{tmp_path}/nets.py:make", "--layers", "V2=AvgPool", *arguments)
    assert code != 0
    assert "AvgPool" in err
    code, out, err = run("encoder", "fit", f"{tmp_path}/nets.py:make", "--layers", "V2=2", *arguments)
    assert code == 0, err
    assert any(line.split()[0] == "V1" and line.split()[-1] == "2" for line in out.splitlines() if line.strip())


def test_an_encoder_of_a_network_that_changed_or_is_gone_says_so(tiny_dataset, tmp_path, images, run):
    (tmp_path / "nets.py").write_text(NETWORK)
    path, network = tmp_path / "enc.h5", f"{tmp_path}/nets.py:make"
    arguments = ("--layers", "V1=2", "--regions", "V1", "--dataset", tiny_dataset, "--out", path)
    code, _, err = run("encoder", "fit", network, *arguments)
    assert code == 0, err
    target = tmp_path / "r.npy"
    code, _, err = run("encoder", "run", path, images, "--out", target, "--model", f"{network}(seed=1)")
    assert code == 1
    assert "weights" in err
    (tmp_path / "nets.py").unlink()
    code, _, err = run("encoder", "run", path, images, "--out", target)
    assert code in (1, 2)
    assert "nets.py" in err
    assert "--model" in err
    moved = tmp_path / "moved.py"
    moved.write_text(NETWORK)
    code, _, err = run("encoder", "run", path, images, "--out", tmp_path / "of_moved.npy", "--model", f"{moved}:make")
    assert code == 0, err
    code, _, err = run("encoder", "run", path, images, "--out", tmp_path / "r.txt")
    assert code == 2
    assert ".parquet" in err
    assert not target.exists()


def test_columns_of_a_table_are_chosen_and_its_encoder_is_asked_in_python(tiny_dataset, tmp_path, images, run):
    ids = open_dataset(tiny_dataset).pool_stimuli("sub-01")
    values = np.random.default_rng(20261127).standard_normal((len(ids), 4))
    table = pd.DataFrame(values, pd.Index(ids, name="stimulus_id"), ["sem0", "sem1", "animacy", "size"])
    table.iloc[1:].to_csv(tmp_path / "table.csv")
    arguments = ("--regions", "V1", "--dataset", tiny_dataset, "--out", tmp_path / "enc.h5")
    code, _, err = run("encoder", "fit", tmp_path / "table.csv", *arguments)
    assert code == 1
    assert "--columns 'sem*'" in err
    code, _, err = run("encoder", "fit", tmp_path / "table.csv", "--columns", "sem*,size", *arguments)
    assert code == 1
    assert "--drop-missing" in err
    chosen = ("--columns", "sem*,size", "--drop-missing")
    code, _, err = run("encoder", "fit", tmp_path / "table.csv", *chosen, *arguments)
    assert code == 0, err
    encoder = load_encoder(tmp_path / "enc.h5")
    assert encoder.about["feature_names"] == ["sem0", "sem1", "size"]
    assert ids[0] not in encoder.metadata["encoding_model"]["train_stimuli"]
    assert encoder.encode(table).shape == (len(ids), encoder.n_voxels)
    code, _, err = run("encoder", "run", tmp_path / "enc.h5", images, "--out", tmp_path / "r.npy")
    assert code == 2
    assert "sees no image. In Python, load_encoder(path).encode(table)" in " ".join(err.split())
    code, _, err = run("encoder", "fit", "pixels", "--columns", "sem*", *arguments)
    assert code == 2
    assert "pixels is none" in err
    code, _, err = run("encoder", "fit", tmp_path / "none.csv", "--columns", "sem*", *arguments)
    assert code == 1
    assert "there is none at" in err


WITH_A_FORWARD = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 9, stride=9)

    def forward(self, x):
        return (
            self.conv(x).relu()
        )


def make():
    return Net().eval()
"""


def test_other_code_with_the_same_weights_is_told(tiny_dataset, tmp_path, images, run, caplog):
    path, network = tmp_path / "enc.h5", tmp_path / "nets.py"
    network.write_text(WITH_A_FORWARD)
    arguments = ("--layers", "V1=conv", "--regions", "V1", "--dataset", tiny_dataset, "--out", path)
    code, _, err = run("encoder", "fit", f"{network}:make", *arguments)
    assert code == 0, err
    for call, expected, says in (
        ("self.conv(x)", 0, ""),
        ("# only once\n            self.conv(x)", 0, ""),
        ("(self.conv(x))", 0, "Code or settings of"),
        ("self.conv(x.clamp(max=100))", 0, "Code or settings of"),
        ("self.conv(x * 2)", 1, "prepares images, or computes, in another way"),
    ):
        network.write_text(WITH_A_FORWARD.replace("self.conv(x)", call, 1))
        code, _, err = run("encoder", "run", path, images, "--out", tmp_path / "r.npy")
        assert code == expected, err
        assert says in err + caplog.text
        assert ("Code or settings" in caplog.text) == says.startswith("Code")
        caplog.clear()


def test_where_nothing_can_be_written_is_said_before_any_work(tmp_path, run):
    for arguments in (
        ("encoder", "run", tmp_path / "none.h5", tmp_path, "--out", "/proc/r.csv"),
        ("encoder", "show", tmp_path / "none.h5", "--figure", "/proc/f.svg"),
        ("encoder", "fit", "pixels", "--dataset", tmp_path, "--out", "/proc/enc.h5"),
    ):
        code, _, err = run(*arguments)
        assert code == 2
        assert f"{arguments[-1]} cannot be written" in err
    (tmp_path / "r.npy").mkdir()
    code, _, err = run("encoder", "run", tmp_path / "none.h5", tmp_path, "--out", tmp_path / "r.npy")
    assert code == 2
    assert "is a folder" in err
    code, _, err = run("encoder", "list", tmp_path / "nowhere")
    assert code == 2
    assert "there is none" in err

"""Kernels that machines share in a bucket: images are shown once, nothing is trusted, and no failure costs a score."""

import logging
import re
import shutil
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import numpy as np
import pytest
from botocore.exceptions import ReadTimeoutError
from brainscore_vision.model_helpers.activations import cache_key
from plugin_testing.models import FeatureModel, pixel_features, small_network
from plugin_testing.s3 import s3_server
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels import shared

BUCKET = "activations"
FOLDER = "result_caching/epoch=1/stimulus_kernels/small-network-seed0"
TWO_LAYERS = {"V1": "conv", "IT": "head"}


@pytest.fixture
def folder(tmp_path):
    return make_images(tmp_path / "images", N_IMAGES)


@pytest.fixture
def bucket(monkeypatch):
    with s3_server(monkeypatch, BUCKET) as client:
        monkeypatch.setenv("RESULTCACHING_S3_BUCKET", BUCKET)
        yield client


@pytest.fixture
def machine(tmp_path, folder):
    """``machine(name, layer_map, **model) -> score, images shown``: scored with a store of its own."""

    def machine(name, layer_map=None, **options):
        shown, change = [], options.pop("change", lambda batch: batch)

        def see(batch):
            shown.append(len(next(iter(batch.values()))))
            return change(batch)

        model = small_network(layer_map or {"V1": "conv"}, misbehave=see, batch_size=1, **options)
        benchmark = make_benchmark(
            folder, store_directory=tmp_path / name / "kernels", spool_directory=tmp_path / name / "spool"
        )
        return benchmark(model), sum(shown)

    return machine


def keys(bucket) -> list[str]:
    return [item["Key"] for item in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_nobody_asks_a_bucket_that_nobody_configured(machine, monkeypatch):
    monkeypatch.setattr(boto3, "client", None)
    monkeypatch.setenv("RESULTCACHING_S3_BUCKET", " ")
    score, shown = machine("first", TWO_LAYERS)
    assert np.isfinite(score.item())
    assert shown == N_IMAGES + N_STIMULI


def test_the_second_machine_shows_a_handful_of_images(bucket, machine):
    first, shown = machine("first")
    assert shown == N_IMAGES + N_STIMULI
    assert {key.rpartition("/")[0] for key in keys(bucket)} == {FOLDER}
    second, shown = machine("second")
    assert shown == N_STIMULI
    assert second.item() == first.item()
    assert second.attrs["notes"] == first.attrs["notes"]


def test_kernels_of_other_layers_are_made_for_others(bucket, machine):
    machine("first", TWO_LAYERS)
    assert len(keys(bucket)) == 4
    score, shown = machine("second", {"V1": "head"})
    assert shown == N_STIMULI
    assert score.item() == machine("alone", {"V1": "head"}, identifier="another")[0].item()


def test_what_others_have_made_is_not_made_again(bucket, machine):
    machine("first", {"V1": "head"})
    before = {key: bucket.head_object(Bucket=BUCKET, Key=key)["LastModified"] for key in keys(bucket)}
    time.sleep(1)  # the server's clock has seconds
    machine("second", TWO_LAYERS)
    assert {key: bucket.head_object(Bucket=BUCKET, Key=key)["LastModified"] for key in before} == before
    assert len(keys(bucket)) == 4


@pytest.mark.parametrize("fault", ["a layer that is not there", "a layer of noise", "nan"])
def test_what_is_wrong_with_another_layer_costs_no_score(fault, bucket, machine, caplog):
    rng = np.random.default_rng(3)

    def change(batch):
        if fault == "a layer of noise" and "head" in batch:
            batch["head"] = batch["head"] + rng.normal(size=batch["head"].shape)
        elif fault == "nan" and "head" in batch and len(seen) > 2:
            batch["head"] = batch["head"] * np.nan
        seen.append(1)
        return batch

    seen = []
    expected, _ = machine("alone", identifier="another")
    layer_map = {"V1": "conv", "IT": "hed" if fault == "a layer that is not there" else "head"}
    score, _ = machine("first", layer_map, change=change)
    assert score.item() == expected.item()
    assert machine("second")[1] == N_STIMULI


def test_without_room_only_what_is_wanted_is_recorded(bucket, machine, monkeypatch):
    full = shutil.disk_usage("/")._replace(free=32 * 1536 * 4)  # of one subject's stimuli in conv
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    machine("first", {"V1": "head", "IT": "conv"})
    assert len(keys(bucket)) == 2


def test_another_network_under_the_name_is_found_out(bucket, machine):
    machine("first")
    expected, _ = machine("alone", seed=1, identifier="another")
    score, shown = machine("second", seed=1, identifier="small-network-seed0")
    assert score.item() == expected.item()
    assert shown == N_IMAGES + N_STIMULI
    assert any("the network under this name has changed" in note for note in score.attrs["notes"])
    assert machine("third", seed=1, identifier="small-network-seed0")[1] == N_STIMULI  # it took the place of the other


def other_bytes(bucket, names):
    for name in names:
        content = bytearray(bucket.get_object(Bucket=BUCKET, Key=name)["Body"].read())
        content[-100] ^= 1
        bucket.put_object(Bucket=BUCKET, Key=name, Body=bytes(content))


def cut_short(bucket, names):
    for name in names:
        content = bucket.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        bucket.put_object(Bucket=BUCKET, Key=name, Body=content[: len(content) // 2])


def exchanged(bucket, names):
    """The pools of two subjects begin with the same images, so a fingerprint alone would take one for the other."""
    contents = [bucket.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names]
    for name, content in zip(names, contents[::-1], strict=True):
        bucket.put_object(Bucket=BUCKET, Key=name, Body=content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (other_bytes, "does not match its checksum|is damaged"),
        (cut_short, "is no whole kernel file"),
        (exchanged, "holds another kernel"),
    ],
)
def test_damaged_kernels_are_made_again_and_replaced(damage, said, bucket, machine, tmp_path, caplog):
    first, _ = machine("first")
    damage(bucket, keys(bucket))
    with caplog.at_level(logging.WARNING):
        second, shown = machine("second")
    assert re.search(said, caplog.text)
    assert second.attrs["notes"] == first.attrs["notes"]
    assert (second.item(), shown) == (first.item(), N_IMAGES + N_STIMULI)
    assert not list((tmp_path / "second" / "kernels").glob(".*"))
    assert machine("third")[1] == N_STIMULI


class Server(ThreadingHTTPServer):
    """Answers every request in one wrong way."""

    daemon_threads = True

    def __init__(self, manner: str):
        super().__init__(("127.0.0.1", 0), Answer)
        self.manner, self.n_requests, self.ended = manner, 0, threading.Event()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.server.n_requests += 1
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        manner = self.server.manner
        if manner == "silent":
            self.server.ended.wait(20)
            return
        if manner in ("trickling", "cut short"):
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            while manner == "trickling" and not self.server.ended.wait(0.05):
                try:
                    self.wfile.write(b"0")
                except OSError:
                    return
            self.close_connection = True
            return
        status, _, code = manner.partition(" ")
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if self.command != "HEAD" else b""
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = answer

    def log_message(self, *_):
        pass


@contextmanager
def wrong_server(manner, monkeypatch):
    server = Server(manner)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "manner",
    ["403 AccessDenied", "404 NoSuchBucket", "503 SlowDown", "silent", "trickling", "cut short", "nobody there"],
)
def test_a_bucket_that_fails_costs_a_warning(manner, machine, monkeypatch, caplog):
    monkeypatch.setattr(shared, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(shared, "SLOWEST", 1e9)
    expected, _ = machine("alone", identifier="another")
    for name, value in (("BUCKET", BUCKET), ("MAX_GB", "no number")):
        monkeypatch.setenv(f"RESULTCACHING_S3_{name}", value)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with wrong_server("503 " if manner == "nobody there" else manner, monkeypatch) as server:
        if manner == "nobody there":
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with caplog.at_level(logging.WARNING):
            score, shown = machine("first")
    assert (score.item(), shown) == (expected.item(), N_IMAGES + N_STIMULI)
    assert "but fetching one failed" in caplog.text or "but pushing one failed" in caplog.text
    assert server.n_requests <= 8  # not again and again


def test_an_error_without_an_answer_costs_a_warning(machine, monkeypatch, caplog):
    def fail(*_, **__):
        raise ReadTimeoutError(endpoint_url="http://nowhere")

    monkeypatch.setenv("RESULTCACHING_S3_BUCKET", BUCKET)
    monkeypatch.setattr(boto3, "client", fail)
    with caplog.at_level(logging.WARNING):
        assert machine("first")[1] == N_IMAGES + N_STIMULI
    assert "fetching one failed (ReadTimeoutError" in caplog.text


def test_without_credentials(machine, monkeypatch, caplog):
    monkeypatch.setenv("RESULTCACHING_S3_BUCKET", BUCKET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with caplog.at_level(logging.WARNING):
        assert machine("first")[1] == N_IMAGES + N_STIMULI
    assert "fetching one failed (NoCredentialsError" in caplog.text


class TestNames:
    @pytest.fixture(autouse=True)
    def forget(self):
        cache_key._plugin_revision.cache_clear()
        yield
        cache_key._plugin_revision.cache_clear()

    def test_prefix_and_epoch_are_those_of_activations(self, bucket, machine, monkeypatch):
        monkeypatch.setenv("RESULTCACHING_S3_PREFIX", "/team/cache/")
        monkeypatch.setenv("RESULTCACHING_S3_EPOCH", "7")
        machine("first")
        assert all(key.startswith("team/cache/epoch=7/stimulus_kernels/small-network-seed0/") for key in keys(bucket))
        monkeypatch.setenv("RESULTCACHING_S3_EPOCH", "8")
        assert machine("second")[1] == N_IMAGES + N_STIMULI

    def test_revisions_are_told_apart_as_brain_score_tells_them(self, bucket, machine, monkeypatch):
        monkeypatch.setenv("BRAINSCORE_CACHE_PLUGIN_REVISION", "1")
        monkeypatch.setenv("BRAINSCORE_MODEL_PLUGIN_SHA", "0123456789abcdef")
        machine("first")
        assert {key.split("/")[-2] for key in keys(bucket)} == {"small-network-seed0@0123456789ab"}

    def test_a_model_of_unknown_revision_is_not_shared(self, bucket, machine, monkeypatch):
        monkeypatch.setenv("BRAINSCORE_CACHE_PLUGIN_REVISION", "1")
        assert np.isfinite(machine("first")[0].item())
        assert keys(bucket) == []

    def test_large_kernels_are_not_pushed(self, bucket, machine, monkeypatch):
        monkeypatch.setenv("RESULTCACHING_S3_MAX_GB", "1e-6")
        machine("first", TWO_LAYERS)
        assert keys(bucket) == []


def test_models_that_only_answer_are_shared_too(bucket, folder, tmp_path):
    for name, expected in (("first", N_IMAGES + 2 * N_STIMULI), ("second", N_STIMULI)):
        model = FeatureModel(pixel_features, visual_degrees=8.0, identifier="m/odd")
        make_benchmark(folder, store_directory=tmp_path / name)(model)
        assert len(model.shown) in (expected, expected - N_STIMULI if name == "first" else expected)
    assert all("/m_odd/" in key for key in keys(bucket))

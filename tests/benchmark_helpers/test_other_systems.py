"""Systems other than Linux, macOS above all: what they lack is not asked for."""

import ast
import errno
import os
import sys
from pathlib import Path

import psutil
import pytest
from plugin_testing.install_check import REPOSITORY
from plugin_testing.models import FeatureModel, pixel_features, small_network
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI
from brainscore_vision.benchmark_helpers.stimulus_kernels.memory import forecast, resident_bytes
from brainscore_vision.benchmarks.laion_fmri_7t.results.facts import peak_memory_bytes
from brainscore_vision.data.laion_fmri_7t.simulation.write import processors_of

NOT_EVERYWHERE = {
    *("posix_fallocate", "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "memfd_create", "copy_file_range"),
    *(
        "preadv",
        "pwritev",
        "splice",
        "eventfd",
        "getrandom",
        "O_TMPFILE",
        "O_PATH",
        "O_DIRECT",
        "O_NOATIME",
        "fdatasync",
    ),
    *("getxattr", "setxattr", "pidfd_open", "unshare", "setns", "process_cpu_count"),
}
"""Names of the module os that macOS (or an older one) does not have."""


@pytest.fixture
def mac(monkeypatch):
    """This process as on macOS, as far as our own code can see."""
    for name in NOT_EVERYWHERE - {"O_TMPFILE"}:  # Python's own tempfile looked for it when it was imported
        monkeypatch.delattr(os, name, raising=False)
    real = Path.read_text

    def read_text(self, *args, **options):
        if str(self).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(self))
        return real(self, *args, **options)

    monkeypatch.setattr(Path, "read_text", read_text)


def test_scores_are_the_same_and_interrupted_runs_go_on(tmp_path, request):
    folder = make_images(tmp_path / "images", N_IMAGES)
    expected = make_benchmark(folder, store=False)(FeatureModel(pixel_features, visual_degrees=8.0, identifier="m"))
    request.getfixturevalue("mac")
    seen = []

    def stop(values, ids):
        seen.extend(ids)
        if N_STIMULI + 20 < len(seen) < 200:
            raise KeyboardInterrupt
        return values, ids

    with pytest.raises(KeyboardInterrupt):
        make_benchmark(folder)(FeatureModel(pixel_features, visual_degrees=8.0, identifier="m", misbehave=stop))
    score = make_benchmark(folder)(FeatureModel(pixel_features, visual_degrees=8.0, identifier="m"))
    assert score.item() == pytest.approx(expected.item(), abs=1e-12)


def test_memory_is_known(mac, tmp_path):
    folder = make_images(tmp_path / "images", N_IMAGES)
    held = psutil.Process().memory_info().rss
    assert resident_bytes() == pytest.approx(held, rel=0.05)
    benchmark = make_benchmark(folder)
    expected = forecast(small_network({"V1": "conv"}), benchmark.resolve().tasks, benchmark.options)
    assert expected.resident == pytest.approx(held, rel=0.3)
    assert peak_memory_bytes() >= held / 2
    assert processors_of(None) >= 1


def unguarded(text: str) -> list[int]:
    """Lines that use a name of :data:`NOT_EVERYWHERE` outside an ``if`` or conditional expression that asks for it."""
    tree = ast.parse(text)
    asked = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If | ast.IfExp) and any(name in ast.unparse(node.test) for name in NOT_EVERYWHERE)
    ]
    safe = {id(inside) for node in asked for inside in ast.walk(node)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr in NOT_EVERYWHERE
        and id(node) not in safe
    ]


def test_the_project_uses_nothing_that_is_not_everywhere():
    sources = [path for folder in ("brainscore_vision", "bench") for path in (REPOSITORY / folder).rglob("*.py")]
    assert {str(path): lines for path in sources if (lines := unguarded(path.read_text("utf-8")))} == {}
    assert unguarded("import os\nos.preadv(1)") == [2]
    assert unguarded("import os\nif hasattr(os, 'preadv'):\n    os.preadv(1)") == []


@pytest.mark.skipif(sys.platform != "linux", reason="the premise is about Linux")
def test_the_names_are_those_of_linux():
    assert hasattr(os, "posix_fallocate")
    assert hasattr(os, "sched_getaffinity")

"""What a process can still take, read from made-up trees of control groups."""

from pathlib import Path

import psutil
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels.free_memory import available_bytes

MIB = 2**20
MACHINE = 1000 * MIB


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": MACHINE}))


def group(folder: Path, version: int, limit, used: int, cache: int = 0, mapped: int = 0, shmem: int = 0) -> None:
    """One control group; sizes in MiB. ``cache`` lies half on each of the kernel's lists."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    prefix, name = ("total_", "total_mapped_file") if version == 1 else ("", "file_mapped")
    for file, value in zip(names, (limit, used), strict=True):
        (folder / file).write_text(f"{value if isinstance(value, str) else value * MIB}\n")
    half = cache * MIB // 2
    lines = [f"{prefix}active_file {half}", f"{prefix}inactive_file {half}", f"{name} {mapped * MIB}"]
    lines += [f"cache {(cache + shmem) * MIB}", f"shmem {shmem * MIB}", f"inactive_file {half}"][
        : 3 if version == 1 else 2
    ]
    (folder / "memory.stat").write_text("\n".join(lines) + "\n")


def process(folder: Path, memberships: str, mounts: list[tuple[str, Path, str, str]]) -> Path:
    """A process' folder; a mount is its root, its folder, the file system and its options."""
    folder.mkdir()
    (folder / "cgroup").write_text(memberships)
    lines = [f"31 23 0:28 / {folder} rw - tmpfs tmpfs rw,mode=755"]
    for i, (root, point, filesystem, options) in enumerate(mounts):
        escaped = str(point).replace(" ", "\\040")
        lines.append(f"{32 + i} 31 0:{29 + i} {root} {escaped} rw,relatime shared:9 - {filesystem} cgroup {options}")
    (folder / "mountinfo").write_text("\n".join(lines) + "\n")
    return folder


def only(tmp_path: Path, version: int, member: str = "/", root: str = "/") -> tuple[Path, Path]:
    """A process in one hierarchy -> its folder, and where the hierarchy is mounted."""
    mount = tmp_path / "fs cgroup"
    mount.mkdir()
    if version == 2:
        return process(tmp_path / "proc", f"0::{member}\n", [(root, mount, "cgroup2", "rw,nsdelegate")]), mount
    text = f"11:cpu,cpuacct:/elsewhere\n4:memory:{member}\n1:name=systemd:/\n0::/\n"
    return process(tmp_path / "proc", text, [(root, mount, "cgroup", "rw,memory")]), mount


def test_no_groups_no_limit(tmp_path):
    assert available_bytes(tmp_path / "nothing") == MACHINE


@pytest.mark.parametrize("version", [1, 2])
class TestOneHierarchy:
    def test_limit_less_what_is_used(self, version, tmp_path):
        proc, mount = only(tmp_path, version)
        group(mount, version, limit=300, used=200)
        assert available_bytes(proc) == 100 * MIB

    def test_the_machine_may_have_less(self, version, tmp_path):
        proc, mount = only(tmp_path, version)
        group(mount, version, limit=5000, used=200)
        assert available_bytes(proc) == MACHINE

    def test_page_cache_is_given_back_but_what_is_mapped_and_shared_memory_are_not(self, version, tmp_path):
        proc, mount = only(tmp_path, version)
        group(mount, version, limit=300, used=290, cache=200, mapped=40, shmem=50)
        assert available_bytes(proc) == (10 + 200 - 40) * MIB

    def test_used_up(self, version, tmp_path):
        proc, mount = only(tmp_path, version)
        group(mount, version, limit=300, used=310, mapped=5)
        assert available_bytes(proc) == 0

    @pytest.mark.parametrize("tightest", ["job", "job/step", "job/step/task"])
    def test_every_group_above_counts(self, version, tmp_path, tightest):
        proc, mount = only(tmp_path, version, member="/job/step/task")
        group(mount, version, limit=900, used=100)
        for name in ("job", "job/step", "job/step/task"):
            group(mount / name, version, limit=150 if name == tightest else 900, used=100)
        group(mount / "other", version, limit=100, used=100)
        assert available_bytes(proc) == 50 * MIB

    def test_a_container_sees_its_own_group_as_the_root(self, version, tmp_path):
        proc, mount = only(tmp_path, version, member="/docker/4f2a/worker", root="/docker/4f2a")
        group(mount, version, limit=900, used=100)
        group(mount / "worker", version, limit=400, used=100)
        assert available_bytes(proc) == 300 * MIB

    @pytest.mark.parametrize("member", ["/docker/4f2a", "/../other"])
    def test_a_group_that_cannot_be_seen_leaves_the_root_of_the_mount(self, version, tmp_path, member):
        proc, mount = only(tmp_path, version, member=member)
        group(mount, version, limit=400, used=100)
        assert available_bytes(proc) == 300 * MIB

    def test_without_statistics_no_cache_is_counted(self, version, tmp_path):
        proc, mount = only(tmp_path, version)
        group(mount, version, limit=300, used=200, cache=100)
        (mount / "memory.stat").unlink()
        assert available_bytes(proc) == 100 * MIB


@pytest.mark.parametrize(("version", "limit"), [(2, "max"), (1, str(2**63 - 4096))])
def test_no_limit(version, limit, tmp_path):
    proc, mount = only(tmp_path, version)
    group(mount, version, limit=limit, used=999)
    assert available_bytes(proc) == MACHINE


def test_both_versions_at_once(tmp_path):
    """As systemd mounts them together: memory belongs to version 1, the other has none of its files."""
    first, second = tmp_path / "memory", tmp_path / "unified"
    second.mkdir()
    mounts = [("/", first, "cgroup", "rw,memory"), ("/", second, "cgroup2", "rw")]
    proc = process(tmp_path / "proc", "4:cpu,memory:/slice\n0::/slice\n", mounts)
    group(first, 1, limit=900, used=100)
    group(first / "slice", 1, limit=300, used=100)
    assert available_bytes(proc) == 200 * MIB


def test_this_process_has_some(monkeypatch):
    monkeypatch.undo()
    assert 0 < available_bytes() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("version", "member", "limited"),
    [
        (1, "/slurm_node/uid_7/job_12/step_batch/task_0", "slurm_node/uid_7/job_12"),
        (1, "/slurm/uid_7/job_12/step_0/task_0", "slurm/uid_7/job_12/step_0"),
        (2, "/system.slice/slurmstepd.scope/job_12/step_batch/user/task_0", "system.slice/slurmstepd.scope/job_12"),
        (
            2,
            "/system.slice/slurmstepd.scope/job_12/step_0/user/task_special",
            "system.slice/slurmstepd.scope/job_12/step_0",
        ),
    ],
)
def test_a_job_of_slurm(version, member, limited, tmp_path):
    """SLURM limits the job, or the step; the process is in a group below."""
    proc, mount = only(tmp_path, version, member)
    unlimited = 2**63 // MIB if version == 1 else "max"
    for folder in (mount / member[1:], *(mount / member[1:]).parents):
        if folder == mount:
            break
        group(folder, version, unlimited, used=10)
    group(mount / limited, version, limit=300, used=200)
    assert available_bytes(proc) == 100 * MIB

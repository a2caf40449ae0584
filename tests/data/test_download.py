"""Getting released files from a bucket: whole, checked, and going on after every way in which a server or disk fails."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import get_canned_acl, s3_backends
from plugin_testing.s3 import Faults, s3_server

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import ProcessLock
from brainscore_vision.data.laion_fmri_7t import download as module
from brainscore_vision.data.laion_fmri_7t.bucket import BUCKET, KINDS, Bucket, holdings
from brainscore_vision.data.laion_fmri_7t.download import SIZE_ALONE, download, make_plan
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError
from brainscore_vision.data.laion_fmri_7t.packaging.layout import NOISE_CEILING_MAPS, SubjectFiles

ROOT = Path()
SUBJECTS = ("sub-01", "sub-03")


def contents() -> dict[str, bytes]:
    """Key -> content of a small bucket, with files that nobody asks for, in the release's layout."""
    rng = np.random.default_rng(5)
    keys = ["stimuli/task-images_desc-captions.csv", "stimuli/task-images_desc-segmentations.h5"]
    keys += ["stimuli/task-images_desc-segmentations_metadata.csv", "archive/embeddings/v1/old.h5", "README"]
    keys += [f"stimuli/task-images_desc-{model}_embeddings.h5" for model in ("CLIP", "DINOv2")]
    keys += ["stimuli/task-images_stimuli.h5", "derivatives/tedana/sub-01/ses-01/func/bold.nii.gz"]
    for subject in SUBJECTS:
        files = SubjectFiles(ROOT, subject)
        paths = [files.noise_ceiling(description) for description in NOISE_CEILING_MAPS.values()]
        paths += [
            files.r2_mean,
            files.anatomical_mask,
            files.roi("retinotopy", "V1v"),
            files.roi("laion", "laion-ventral"),
        ]
        for session in ("ses-01", "ses-02", "ses-31"):
            paths += [files.betas(session), files.trials(session), files.session_noise_ceiling(session)]
            paths += [files.betas(session).with_name(f"{subject}_{session}_task-images_desc-GLMsingle_model.h5")]
        keys += [path.as_posix() for path in paths]
    keys.append(SubjectFiles(ROOT, "sub-03").roi("face", "FFA1").as_posix())
    return {key: rng.bytes(int(rng.integers(1, 3000))) for key in keys}


BETAS = SubjectFiles(ROOT, "sub-01").betas("ses-01").as_posix()
PLACE = {"Bucket": BUCKET, "Key": BETAS, "ACL": "public-read"}
LARGE = np.random.default_rng(6).bytes(6_500_001)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def server(monkeypatch, faults):
    with s3_server(monkeypatch, BUCKET, faults) as client:
        store = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # the server's own, for speed
        for key, content in contents().items():
            store.put_object(BUCKET, key, content).set_acl(get_canned_acl("public-read"))
        yield client


def fetch(folder: Path, *kinds: str, check: bool = False, **options):
    files = Bucket().files(kinds or KINDS, SUBJECTS)
    return download(Bucket(), make_plan(folder, files, check), pause=0.01, **options)


def on_disk(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_listing_holds_what_is_open_and_asked_for(server):
    listed = {file.key: file for file in Bucket().files(KINDS, SUBJECTS)}
    unwanted = ("stimuli.h5", "old.h5", "README", "bold.nii.gz", "model.h5")
    assert listed.keys() == {key for key in contents() if "ses-31" not in key and not key.endswith(unwanted)}
    assert {listed[key].size for key in listed} == {len(contents()[key]) for key in listed}
    betas = Bucket().files(("betas",), ("sub-03",), ("ses-02",))
    files = SubjectFiles(ROOT, "sub-03")
    assert [file.key for file in betas] == [files.trials("ses-02").as_posix(), files.betas("ses-02").as_posix()]
    assert [file.roi for file in listed.values() if file.kind == "rois" and file.subject == "sub-01"] == [
        "laionventral",
        "V1v",
    ]


def test_listings_of_several_pages_are_read_to_the_end(server):
    folder, store = "derivatives/rois/sub-01/face", s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for number in range(1_100):
        store.put_object(BUCKET, f"{folder}/sub-01_hemi-L_label-R{number}.label", b"x")
    assert len(Bucket().files(("rois",), ("sub-01",))) == 1_102


def test_holdings(server):
    held = holdings(Bucket(), SUBJECTS)
    assert held["subjects"]["sub-01"]["sessions"] == ["ses-01", "ses-02"]
    assert held["rois"]["face"] == {"FFA1": ["sub-03"]}
    assert held["rois"]["laion"] == {"laionventral": list(SUBJECTS)}
    listed = Bucket().files(KINDS, SUBJECTS)
    for kind in ("betas", "rois"):
        assert held["subjects"]["sub-03"]["bytes"][kind] == sum(
            file.size for file in listed if (file.kind, file.subject) == (kind, "sub-03")
        )


def test_what_the_bucket_lacks_is_named(server):
    with pytest.raises(MissingDataError, match=r"holds no sub-01 ses-09 betas.*data bucket"):
        Bucket().files(("betas",), ("sub-01",), ("ses-01", "ses-09"))
    with pytest.raises(MissingDataError, match="s3://elsewhere does not list its files"):
        Bucket("elsewhere").files()


def test_files_arrive_whole_and_are_not_fetched_again(server, faults, tmp_path):
    outcome = fetch(tmp_path)
    assert outcome.failed == {}
    wanted = {file.key for file in Bucket().files(KINDS, SUBJECTS)}
    assert on_disk(tmp_path) == {key: content for key, content in contents().items() if key in wanted}
    assert outcome.failed == {}
    assert outcome.checked == {"MD5": len(wanted)}
    faults.gets.clear()
    assert fetch(tmp_path).checked == {}
    assert not faults.gets


def test_what_is_here_is_replaced_if_it_is_cut_older_than_the_servers_or_found_damaged(server, faults, tmp_path):
    fetch(tmp_path, "captions", "embeddings")
    captions, clip, dino = (file for file in Bucket().files(("captions", "embeddings"), ()))
    whole = on_disk(tmp_path)
    (tmp_path / captions.key).write_bytes(whole[captions.key][:-1])  # cut
    (tmp_path / clip.key).write_bytes(bytes(clip.size))  # as large, and older: the server has replaced it
    yesterday = (clip.modified - timedelta(days=1)).timestamp()
    os.utime(tmp_path / clip.key, (yesterday, yesterday))
    os.utime(tmp_path / dino.key, (yesterday, yesterday))  # older, and the same: it is read, not fetched
    faults.gets.clear()
    fetch(tmp_path, "captions", "embeddings")
    assert on_disk(tmp_path) == whole
    assert faults.gets == {captions.key: 1, clip.key: 1}
    (tmp_path / dino.key).write_bytes(bytes(dino.size))
    fetch(tmp_path, "embeddings")
    assert (tmp_path / dino.key).read_bytes() == bytes(dino.size)  # new and as large: only --check reads it
    fetch(tmp_path, "embeddings", check=True)
    assert on_disk(tmp_path) == whole


@pytest.mark.parametrize("parts", [(5_242_880, 1_257_121), (5_500_000, 5_300_000, 700_000)])
def test_uploads_in_parts_are_checked_by_the_sums_of_the_parts(server, faults, tmp_path, parts):
    content = np.random.default_rng(7).bytes(sum(parts))
    upload = server.create_multipart_upload(Bucket=BUCKET, Key=BETAS)["UploadId"]
    sent, start = [], 0
    for number, size in enumerate(parts, start=1):
        place = {"Bucket": BUCKET, "Key": BETAS, "UploadId": upload, "PartNumber": number}
        answer = server.upload_part(**place, Body=content[start : start + size])
        sent.append({"PartNumber": number, "ETag": answer["ETag"]})
        start += size
    server.complete_multipart_upload(Bucket=BUCKET, Key=BETAS, UploadId=upload, MultipartUpload={"Parts": sent})
    server.put_object_acl(**PLACE)
    faults.spoiled[BETAS] = 1
    outcome = fetch(tmp_path, "betas")
    assert outcome.failed == {}
    assert outcome.checked == {"MD5": 8}
    assert (tmp_path / BETAS).read_bytes() == content
    assert faults.gets[BETAS] == 2  # the first was damaged


@pytest.mark.parametrize(
    ("algorithm", "encryption", "found"),
    [
        ("SHA256", "AES256", "SHA256"),
        ("SHA1", "AES256", "SHA1"),
        ("CRC32", "AES256", "MD5"),
        ("CRC32", "aws:kms", "CRC32"),  # an ETag that is no MD5
        ("", "aws:kms", SIZE_ALONE),
    ],
)
def test_the_strongest_sum_that_the_server_keeps_is_used(server, faults, tmp_path, algorithm, encryption, found):
    key, words = "stimuli/task-images_desc-captions.csv", b"words " * 99
    place = {"Bucket": BUCKET, "Key": key, "ACL": "public-read"}
    kept = (
        {"ChecksumAlgorithm": algorithm} if algorithm else {"ChecksumCRC32C": "xxxxxx=="}
    )  # which Python cannot compute
    server.put_object(**place, **kept, Body=words, ServerSideEncryption=encryption)
    faults.spoiled[key] = int(found != SIZE_ALONE)
    assert fetch(tmp_path, "captions").checked == {found: 1}
    assert (tmp_path / key).read_bytes() == words
    assert faults.gets[key] == (1 if found == SIZE_ALONE else 2)  # the first was damaged


def test_damage_that_stays_fails_its_file_alone(server, faults, tmp_path):
    faults.spoiled["CLIP_embeddings.h5"] = 99
    outcome = fetch(tmp_path, "embeddings")
    (key,) = outcome.failed
    assert key.endswith("CLIP_embeddings.h5")
    assert "damaged, twice" in outcome.failed[key]
    assert sorted(path.name for path in (tmp_path / "stimuli").iterdir()) == ["task-images_desc-DINOv2_embeddings.h5"]


def test_answers_that_are_cut_are_continued_where_they_end(server, faults, tmp_path):
    server.put_object(**PLACE, Body=LARGE)
    faults.cut[BETAS] = [2**21, 2**21 + 5, 0, 17]
    outcome = fetch(tmp_path, "betas")
    assert outcome.failed == {}
    assert (tmp_path / BETAS).read_bytes() == LARGE
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in faults.ranges[BETAS]]
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[-1] > 2**21


def test_a_server_that_is_busy_is_asked_again(server, faults, tmp_path):
    faults.status["captions.csv"] = [503, 503, 503, 500, 503]
    outcome = fetch(tmp_path, "captions")
    assert outcome.failed == {}
    assert faults.gets["stimuli/task-images_desc-captions.csv"] == 6


def test_a_server_that_stays_busy_ends_the_run_and_the_next_goes_on(server, faults, tmp_path):
    server.put_object(**PLACE, Body=LARGE)
    faults.cut[BETAS] = [3_000_000]
    faults.status[BETAS] = [0, *[503] * 99]
    with pytest.raises(MissingDataError, match=r"does not answer as it should: .*503.*goes on where it stopped"):
        fetch(tmp_path, "betas")
    (part,) = (tmp_path / BETAS).parent.glob(".part-*")
    assert part.stat().st_size > 1_000_000
    plan = make_plan(tmp_path, [file for file in Bucket().files(("betas",), SUBJECTS) if file.key == BETAS])
    assert plan.n_bytes == len(LARGE) - part.stat().st_size
    faults.status.clear()
    fetch(tmp_path, "betas")
    assert (tmp_path / BETAS).read_bytes() == LARGE
    assert not list(tmp_path.rglob(".*"))


def test_refused_and_vanished_files_are_named_and_the_others_arrive(server, faults, tmp_path):
    files = Bucket().files(("captions", "embeddings", "rois"), SUBJECTS)
    private, gone, late, *others = (file.key for file in files)
    server.put_object_acl(Bucket=BUCKET, Key=private, ACL="private")
    server.delete_object(Bucket=BUCKET, Key=gone)
    faults.status[late] = [404]  # between the question for its sum and the answer
    outcome = download(Bucket(), make_plan(tmp_path, files), pause=0.01)
    assert outcome.failed == {
        private: "the server refuses it to the public",
        gone: "is no longer in the bucket",
        late: "is no longer in the bucket",
    }
    assert {key for key in on_disk(tmp_path) if ".part-" not in key} == set(others)


def test_a_file_that_the_server_replaces_meanwhile_is_not_mixed(server, tmp_path):
    server.put_object(**PLACE, Body=LARGE)
    files = [file for file in Bucket().files(("betas",), SUBJECTS) if file.key == BETAS]
    part = module._part(tmp_path / BETAS, files[0])
    part.parent.mkdir(parents=True)
    part.write_bytes(LARGE[:1000])
    server.put_object(**PLACE, Body=LARGE[::-1])
    outcome = download(Bucket(), make_plan(tmp_path, files), pause=0.01)
    assert "replaced" in outcome.failed[BETAS]
    fetch(tmp_path, "betas")
    assert (tmp_path / BETAS).read_bytes() == LARGE[::-1]
    assert not part.exists()


def test_room_is_looked_at_first(server, faults, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 5000, 5000))
    faults.gets.clear()
    with pytest.raises(DatasetError, match=r"0\.0 GB are to be downloaded, .* --what, --subjects or --sessions"):
        fetch(tmp_path / "new" / "folder")
    assert not faults.gets
    assert not (tmp_path / "new").exists()


def test_a_disk_that_fills_up_ends_the_run_with_one_sentence_and_keeps_what_came(server, tmp_path):
    server.put_object(**PLACE, Body=LARGE)
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        files = [file for file in Bucket().files(("betas",), SUBJECTS) if file.key == BETAS]
        plan = make_plan(small, files)
        with pytest.raises(DatasetError, match="has room for"):
            download(Bucket(), plan)
        with pytest.raises(DatasetError, match=r"disk of .* is full \(No space left on device\).*goes on"):
            download(Bucket(), module.Plan(small, plan.todo, (), 0))
        (part,) = (small / BETAS).parent.glob(".part-*")
        assert part.read_bytes() == LARGE[: part.stat().st_size]
        assert part.stat().st_size > 2**20
        subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
        assert download(Bucket(), make_plan(small, files)).failed == {}
        assert (small / BETAS).read_bytes() == LARGE
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_quota_is_a_full_disk(server, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(module, "open", full, raising=False)
    with pytest.raises(DatasetError, match=r"is full \(Disk quota exceeded\)"):
        fetch(tmp_path, "captions")


def test_waiting_for_another_process_ends_when_the_run_does(server, faults, tmp_path):
    captions, clip = Bucket().files(("captions", "embeddings"), ())[:2]
    (tmp_path / "stimuli").mkdir()
    lock = ProcessLock((tmp_path / captions.key).with_name(f".lock-{Path(captions.key).name}"))
    lock.acquire()
    rescue = threading.Timer(30, lock.release)  # the test fails then, and does not hang
    rescue.start()
    faults.status[clip.key] = [503] * 99
    with pytest.raises(MissingDataError, match="503"):
        download(Bucket(), make_plan(tmp_path, [captions, clip]), pause=0.01)
    assert rescue.is_alive()
    rescue.cancel()
    lock.release()
    faults.status.clear()
    assert fetch(tmp_path, "captions").failed == {}


PROGRAM = """
import sys
from pathlib import Path
from brainscore_vision.data.laion_fmri_7t.bucket import Bucket
from brainscore_vision.data.laion_fmri_7t.download import download, make_plan
files = Bucket().files(("betas",), ("sub-01",), ("ses-01",))
plan = make_plan(Path(sys.argv[1]), files)
print("ready", flush=True)
sys.stdin.readline()
outcome = download(Bucket(), plan)
print(sum(outcome.checked.values()), outcome.failed, flush=True)
"""


def start(folder: Path) -> subprocess.Popen:
    """A process that has made its plan, and begins when it is sent a line."""
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )
    assert program.stdout.readline() == "ready\n"
    return program


def received(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / BETAS).parent.glob(".part-*SingletrialBetas_statmap*"))


def test_a_killed_download_goes_on_and_so_does_one_that_is_killed_again(server, faults, tmp_path):
    server.put_object(**PLACE, Body=LARGE)
    faults.pause[BETAS] = 0.03
    at_kill = []
    for more in (1, 2):
        program = start(tmp_path)
        program.stdin.write("\n")
        deadline = time.monotonic() + 60
        before = at_kill[-1] if at_kill else 0
        while received(tmp_path) <= before + 2**20 and time.monotonic() < deadline:
            time.sleep(0.02)
        program.send_signal(signal.SIGKILL)
        program.communicate()
        at_kill.append(received(tmp_path))
        assert at_kill[-1] > before, more
    faults.pause.clear()
    outcome = download(Bucket(), make_plan(tmp_path, Bucket().files(("betas",), ("sub-01",), ("ses-01",))))
    assert (sum(outcome.checked.values()), outcome.failed) == (1, {})  # the table of trials had arrived before
    assert (tmp_path / BETAS).read_bytes() == LARGE
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in faults.ranges[BETAS]]
    assert starts == [0, *at_kill]


def test_two_processes_share_the_work(server, faults, tmp_path):
    server.put_object(**PLACE, Body=LARGE)
    faults.pause[BETAS] = 0.01
    programs = [start(tmp_path) for _ in range(2)]
    for program in programs:
        program.stdin.write("\n")
    for program in programs:
        output, _ = program.communicate(timeout=60)
        assert output.splitlines()[-1] == "2 {}"
    assert (tmp_path / BETAS).read_bytes() == LARGE
    assert faults.gets[BETAS] == 1
    assert not list(tmp_path.rglob(".*"))

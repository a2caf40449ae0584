"""Kernels in the bucket where Brain-Score keeps activations: one container makes them, the others find them.

Off unless ``RESULTCACHING_S3_BUCKET`` is set; prefix, epoch and largest size are those of :mod:`result_caching` too. Whatever
the bucket does, a score comes of it: what cannot be fetched is made, what cannot be pushed stays on this machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from brainscore_vision.model_helpers.activations.cache_key import model_cache_identifier

from ..wording import warn_once
from .store import KernelStore, UnusableKernelError

BUCKET_VARIABLE = "RESULTCACHING_S3_BUCKET"
PATIENCE_SECONDS = 20.0
"""Without a word from the server, and beyond the time that a kernel takes at `SLOWEST`."""

SLOWEST = 2e6
"""Bytes per second. A kernel that comes more slowly is made sooner than it is there."""

MISSING = ("NoSuchKey", "404")
FORBIDDEN = ("AccessDenied", "403")

_logger = logging.getLogger(__name__)


class SharedKernels:
    """The kernels of one model in a bucket.

    Parameters
    ----------
    bucket, folder : str
        Kernels are ``folder/KEY.kernel``: whole files of a :class:`~.store.KernelStore`, with their checksums.
    most_bytes : float
        Larger kernels are not pushed.
    """

    def __init__(self, bucket: str, folder: str, most_bytes: float):
        self.bucket, self.folder, self.most_bytes = bucket, folder, most_bytes
        self._client = None
        self._given_up: set[str] = set()

    @classmethod
    def configured(cls, identifier: str) -> SharedKernels | None:
        """What the environment names for a model; None for nothing.

        Under ``BRAINSCORE_CACHE_PLUGIN_REVISION`` the folder has the revision of the model's plugin in its name, as
        activations have, and a model whose revision nobody knows is not shared.
        """
        bucket = os.environ.get(BUCKET_VARIABLE, "").strip()
        model = model_cache_identifier(identifier) if bucket else None
        if model is None:
            return None
        prefix = os.environ.get("RESULTCACHING_S3_PREFIX", "result_caching").strip("/")
        epoch = os.environ.get("RESULTCACHING_S3_EPOCH", "1").strip()
        most = 50.0
        with contextlib.suppress(ValueError):  # as result_caching takes it
            most = float(os.environ.get("RESULTCACHING_S3_MAX_GB", most))
        return cls(bucket, f"{prefix}/epoch={epoch}/stimulus_kernels/{model.replace('/', '_')}", most * 2**30)

    @property
    def is_up(self) -> bool:
        """Whether it is worth while to make something for others: nothing has failed yet."""
        return not self._given_up

    def holds(self, key: str) -> bool:
        """Whether a kernel is there, whole or not."""

        def head() -> None:
            self._s3().head_object(Bucket=self.bucket, Key=self._name(key))

        return self._try("fetching", 0, lambda limited: limited(head))

    def fetch(self, key: str, store: KernelStore, n_bytes: int) -> bool:
        """Copy a kernel into the store, if it is there and whole.

        Parameters
        ----------
        n_bytes : int
            About what it takes: it may take its time.
        """

        def get(scratch: Path) -> None:
            with open(scratch, "wb") as file:
                shutil.copyfileobj(self._s3().get_object(Bucket=self.bucket, Key=self._name(key))["Body"], file)

        return self._try("fetching", n_bytes, lambda limited: store.receive(key, lambda scratch: limited(get, scratch)))

    def push(self, key: str, store: KernelStore, n_bytes: int) -> bool:
        """Copy a kernel of the store into the bucket; parameters as for :meth:`fetch`."""
        if n_bytes > self.most_bytes:
            _logger.info("Kernel %s is not shared: it is larger than RESULTCACHING_S3_MAX_GB.", key)
            return False

        def put() -> None:
            with open(store.path(key), "rb") as file:
                self._s3().put_object(Bucket=self.bucket, Key=self._name(key), Body=file)

        return self._try("pushing", n_bytes, lambda limited: limited(put))

    def _name(self, key: str) -> str:
        return f"{self.folder}/{key}.kernel"

    def _s3(self):
        import boto3
        from botocore.config import Config

        if self._client is None:
            waiting = {"connect_timeout": PATIENCE_SECONDS / 2, "read_timeout": PATIENCE_SECONDS}
            self._client = boto3.client("s3", config=Config(**waiting, retries={"total_max_attempts": 2}))
        return self._client

    def _try(self, doing: str, n_bytes: int, work: Callable[[Callable], None]) -> bool:
        """Whether it worked. What failed is not tried again, unless it concerns one kernel alone."""
        if doing in self._given_up:
            return False
        try:
            work(lambda *call: _limited(PATIENCE_SECONDS + n_bytes / SLOWEST, *call))
            return True
        # boto3 may be missing, its errors are of many kinds, and none of them may cost a score
        except Exception as error:  # noqa: BLE001
            answer = getattr(error, "response", None)  # None too of errors in the middle of an answer
            code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
            if doing == "fetching" and code in MISSING:
                return False
            # without the right to list, S3 says "forbidden" of what is not there
            concerns_one = isinstance(error, UnusableKernelError) or (doing == "fetching" and code in FORBIDDEN)
            if not concerns_one:
                self._given_up.add(doing)
            warn_once(
                f"Kernels are shared in s3://{self.bucket}/{self.folder} ({BUCKET_VARIABLE}), but {doing} one failed "
                f"({type(error).__name__}: {error}). This run goes on with what this machine has."
            )
            return False


def _limited(seconds: float, work: Callable, *arguments) -> None:
    """Do ``work``, or raise TimeoutError: a server that sends a byte now and then would hold a run for ever."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"not done after {seconds:.0f} s")
    if failed:
        raise failed[0]

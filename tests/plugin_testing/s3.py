"""An S3 server on this machine (moto's), for what is kept in buckets, and ways in which a server can fail."""

import functools
import logging
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server import threaded_moto_server
from moto.s3.models import get_canned_acl, s3_backends
from moto.server import ThreadedMotoServer


@contextmanager
def s3_server(environment: pytest.MonkeyPatch, bucket: str, faults: "Faults | None" = None) -> Iterator:
    """An empty server with one bucket, which boto3 finds by the environment as it would find Amazon's; yields a client.

    The client's own requests are not among those that ``faults`` counts and spoils: only GETs and HEADs of objects are.
    """
    server, switch = _running()
    switch.faults = faults
    try:
        host, port = server.get_host_and_port()
        environment.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps credentials
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "somebody")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_MAX_ATTEMPTS", "2")
        reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(reset).close()
        client = boto3.client("s3")
        client.create_bucket(Bucket=bucket)
        yield client
    finally:
        switch.faults = None


def put(bucket: str, key: str, content: bytes, access: str = "public-read") -> None:
    """An object in the server's own store: to send it, as a client does, takes a hundred times as long."""
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, content).set_acl(get_canned_acl(access))


def put_files(bucket: str, folder: Path, paths: Iterable[Path], private: Container[str] = ()) -> None:
    """Files in the store, by their paths in the folder; those of the names ``private`` are closed to the public."""
    for path in sorted(paths):
        access = "private" if path.name in private else "public-read"
        put(bucket, path.relative_to(folder).as_posix(), path.read_bytes(), access)


@functools.cache
def _running() -> "tuple[ThreadedMotoServer, _Switch]":
    """One server for all tests of this process, which each of them empties: it ends with the process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server, switch = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False), _Switch()
    dispatcher = threaded_moto_server.DomainDispatcherApplication
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threaded_moto_server, "DomainDispatcherApplication", lambda make: switch.around(dispatcher(make)))
        server.start()  # returns when the application is made
    return server, switch


@dataclass
class _Switch:
    """The faults of the test that has the server."""

    faults: "Faults | None" = None

    def around(self, application):
        def serve(environ, start_response):
            chosen = application if self.faults is None else self.faults.around(application)
            return chosen(environ, start_response)

        return serve


@dataclass
class Faults:
    """What goes wrong with objects whose key ends with some text; tests change it while the server runs.

    Attributes
    ----------
    status : dict of str to list of int
        The next GETs of the object are answered with these codes; 0 is an answer as it should be.
    cut : dict of str to list of int
        The next GETs send so many bytes of those that their header promises, then hang up.
    spoiled : dict of str to int
        So many GETs send a wrong first byte.
    pause : dict of str to float
        Seconds before each 64 kB.
    gets : collections.Counter
        GETs of each object.
    ranges : dict of str to list of str
        The Range header of each GET.
    """

    status: dict[str, list[int]] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    spoiled: dict[str, int] = field(default_factory=dict)
    pause: dict[str, float] = field(default_factory=dict)
    gets: Counter = field(default_factory=Counter)
    ranges: dict[str, list[str]] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def around(self, application):
        """The WSGI application with these faults."""

        def serve(environ, start_response):
            path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
            key = path.lstrip("/").partition("/")[2]
            if method != "GET" or not key:
                return application(environ, start_response)
            with self._counting:
                self.gets[key] += 1
                self.ranges.setdefault(key, []).append(environ.get("HTTP_RANGE", ""))
                status = self._next(self.status, key)
                cut = self._next(self.cut, key)
                spoil = self.spoiled.get(self._match(self.spoiled, key), 0)
                if spoil:
                    self.spoiled[self._match(self.spoiled, key)] -= 1
            if status:
                start_response(f"{status} Fault", [("Content-Type", "application/xml"), ("Content-Length", "0")])
                return [b""]
            content = b"".join(application(environ, start_response))
            if spoil:
                content = bytes([content[0] ^ 1]) + content[1:]
            return self._slowly(content[:cut], self.pause.get(self._match(self.pause, key), 0))

        return serve

    @staticmethod
    def _match(table: dict, key: str) -> str:
        return next((end for end in table if key.endswith(end)), "")

    def _next(self, table: dict[str, list], key: str) -> int | None:
        waiting = table.get(self._match(table, key), [])
        return waiting.pop(0) if waiting else None

    @staticmethod
    def _slowly(content: bytes, pause: float) -> Iterator[bytes]:
        step = 2**16 if pause else max(len(content), 1)
        for start in range(0, len(content), step):
            time.sleep(pause)
            yield content[start : start + step]

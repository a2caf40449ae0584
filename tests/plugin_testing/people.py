"""Other people and other machines: children that obey permissions, children of another user, file systems without locks."""

import ctypes
import os
import pickle
import shutil
import signal
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

NOLOCK_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int refused(int file) {
  char link[64], path[4096];
  const char *root = getenv("TEST_NO_LOCKS_BELOW"), *number = getenv("TEST_NO_LOCKS_ERRNO");
  if (!root || !number) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (strncmp(path, root, strlen(root))) return 0;
  errno = atoi(number);
  return 1;
}
int flock(int file, int operation) {
  int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
  return refused(file) ? -1 : real(file, operation);
}
static int control(const char *name, int file, int command, void *argument) {
  int (*real)(int, int, void *) = (int (*)(int, int, void *))dlsym(RTLD_NEXT, name);
  int locks = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
  return locks && refused(file) ? -1 : real(file, command, argument);
}
#define CONTROL(name) int name(int file, int command, ...) { \
  va_list all; va_start(all, command); void *argument = va_arg(all, void *); va_end(all); \
  return control(#name, file, command, argument); }
CONTROL(fcntl)
CONTROL(fcntl64)
"""

obeys_permissions = pytest.mark.skipif(
    os.geteuid() == 0 and not hasattr(ctypes.CDLL(None), "capset"), reason="root cannot give up its rights here"
)
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can work as other users")


def in_child(function: Callable, become: Callable = lambda: None):
    """What ``function()`` returns in a forked child, after ``become()``; fails as the child does."""
    with tempfile.TemporaryDirectory() as scratch:  # the child ends without tidying up
        os.chmod(scratch, 0o777)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            tempfile.tempdir = scratch
            try:
                become()
                answer = True, function()
            except BaseException:  # noqa: BLE001 - nothing leaves the child
                answer = False, traceback.format_exc()
            with open(writer, "wb") as out:
                pickle.dump(answer, out)
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as out:
            fine, answer = pickle.load(out)
        os.waitpid(child, 0)
    assert fine, answer
    return answer


def killed_child(function: Callable, become: Callable = lambda: None) -> None:
    """Run ``function()`` in a forked child that is killed when it is done, with whatever it holds."""
    child = os.fork()
    if child == 0:
        try:
            become()
            function()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def obey_permissions() -> None:
    """Give up root's right to read and write everything, for the rest of the process."""
    if os.geteuid() == 0:
        header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, sets):
            raise OSError(ctypes.get_errno(), "capset")


def user(number: int, group: int, umask: int = 0o022) -> Callable[[], None]:
    """Become a user who is in one group."""

    def become():
        os.umask(umask)
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(number, number, number)

    return become


def without_locks(folder: Path, below: Path, number: int) -> dict[str, str]:
    """Environment of a process for which no file below ``below`` can be locked; skips the test where that cannot be had."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc/self/fd").exists():
        pytest.skip("needs a C compiler and /proc")
    source, library = folder / "nolock.c", folder / "nolock.so"
    source.write_text(NOLOCK_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "TEST_NO_LOCKS_BELOW": str(below), "TEST_NO_LOCKS_ERRNO": str(number)}

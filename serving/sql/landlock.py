"""What a process may open, as Linux' Landlock holds it: from then on for good, and for every thread that it starts.

`allowed_paths` of DuckDB is no bound on writing: `COPY ... TO '<allowed file>' (USE_TMP_FILE false)` replaces the file.
Here nothing can be written, made, removed or run, and nothing read but the files that were given, and the interpreter's
own. A kernel without Landlock (before 5.13, or built without) holds nothing of this; the other walls stand.

https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import sys
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38  # prctl

_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_RIGHTS = (13, 13, 14, 15, 15, 16)  # how many there are, by the interface's version
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/proc/self", "/sys/fs/cgroup")


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_version() -> int:
    """The version of the kernel's interface, 0 where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)))


def read_only(files: Iterable[str]) -> bool:
    """Let this thread, and those that it starts, read `files` and what Python is made of, and do nothing else to files.

    False where the kernel has no Landlock.

    Raises:
        OSError: the kernel has it and refused, or a file is not there.
    """
    version = landlock_version()
    if not version:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    rights = (1 << _RIGHTS[min(version, len(_RIGHTS)) - 1]) - 1
    ruleset = _Ruleset(rights)
    fd = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0))
    try:
        for path in files:
            _allow(libc, fd, path, _READ_FILE)
        for path in {*_SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix}:
            if os.path.isdir(path):  # noqa: PTH112 - a path of Python's own may be anything
                _allow(libc, fd, path, _READ_FILE | _READ_FOLDER)
        _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT_SELF, fd, 0))
    finally:
        os.close(fd)
    return True


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(rights, fd)
        _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

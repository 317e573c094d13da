"""Start a Jupyter kernel inside walls: bounded memory and files, no network, nobody else in sight.

Run by its path, `python confined.py LIMITS.json -f CONNECTION.json`, so that nothing of this
package (and no thread of a numerical library) is loaded before the walls stand. What the system
does not allow is left out, and what held is written down for the grader's report.

Walls, on Linux: resource limits; namespaces of its own for users, mounts, processes, network and
messages; every file system read-only but for the working folder and an empty /tmp; the course's
other folders covered; no capabilities left. Elsewhere only the resource limits hold.

Sources: the manual pages namespaces(7), user_namespaces(7), mount_setattr(2), capabilities(7).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

GB, MB = 2**30, 2**20

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_READ_ONLY = 442, -100, 0x8000, 1
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38


def main(limits_file: str, kernel_arguments: list[str]) -> None:
    """Build the walls, then become the kernel."""
    limits = json.loads(Path(limits_file).read_text())
    work = Path(limits["work"])
    walls: dict[str, str] = {}

    def build(name: str, wall: Callable[[], None]) -> bool:
        try:
            wall()
        except (OSError, ValueError, KeyError, AttributeError) as error:
            walls[name] = f"not available here ({error})"
            return False
        walls[name] = "yes"
        return True

    build("memory and files", lambda: _resources(limits))
    if limits["namespaces"] and sys.platform == "linux":
        if build("namespaces", _enter_namespaces):
            build("processes", _own_processes)
            build("file system", lambda: _file_system(work, limits["hidden"]))
            build("capabilities", _drop_capabilities)
            walls["network"] = walls["namespaces"]
    else:
        walls["namespaces"] = "not asked for" if not limits["namespaces"] else "only on Linux"
    (work / "walls.json").write_text(json.dumps(walls))
    os.chdir(work)
    sys.argv = ["ipykernel_launcher", *kernel_arguments]
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)


def _resources(limits: dict[str, Any]) -> None:
    """Private memory (of its address space torch touches little), size of files, CPU time."""

    def at_most(which: int, value: int) -> None:
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (value, value) if hard == -1 else (min(value, hard),) * 2)

    at_most(resource.RLIMIT_DATA, int(limits["memory_gb"] * GB))
    at_most(resource.RLIMIT_FSIZE, int(limits["file_mb"] * MB))
    at_most(resource.RLIMIT_CPU, int(limits["cpu_seconds"]))
    at_most(resource.RLIMIT_CORE, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    result = _libc().mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _checked(result, f"mount {target}")


def _enter_namespaces() -> None:
    """A user namespace, in which we keep our id and may build the other walls."""
    uid, gid = os.getuid(), os.getgid()
    _checked(_libc().unshare(NEWUSER | NEWNS | NEWIPC | NEWPID | NEWNET), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _own_processes() -> None:
    """Go on as process 1 of the new namespace; all that it starts ends with it, and it with us."""
    child = os.fork()
    if child:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    _checked(_libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def _file_system(work: Path, hidden: list[str]) -> None:
    """Read-only, but for `work` and an empty /tmp; `hidden` folders look empty."""
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    python = {Path(p).resolve() for p in (sys.prefix, sys.base_prefix, Path(__file__).parents[2])}
    kept = {folder: os.open(folder, os.O_PATH) for folder in (*python, work)}
    for folder in hidden:
        if Path(folder).is_dir() and not work.is_relative_to(folder):
            _mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k")
    attributes = (ctypes.c_uint64 * 4)(ATTR_READ_ONLY, 0, 0, 0)  # set, clear, propagation, userns
    result = _libc().syscall(
        SYS_MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, ctypes.byref(attributes), 32
    )
    _checked(result, "mount_setattr")
    emptied = ("/tmp", "/dev/shm")
    for empty in emptied:
        _mount("tmpfs", empty, "tmpfs", MS_NOSUID | MS_NODEV, "size=64m")
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    for place, handle in kept.items():  # what we run on may itself live in /tmp
        if place == work or any(place.is_relative_to(empty) for empty in emptied):
            place.mkdir(parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{handle}", str(place), "", MS_BIND | MS_REC)
        os.close(handle)
    writable = (ctypes.c_uint64 * 4)(0, ATTR_READ_ONLY, 0, 0)
    result = _libc().syscall(
        SYS_MOUNT_SETATTR, AT_FDCWD, str(work).encode(), 0, ctypes.byref(writable), 32
    )
    _checked(result, "mount_setattr")


def _drop_capabilities() -> None:
    """Nothing that runs in here can take the walls down again."""
    libc = _libc()
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused beyond the last one: no matter
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    number = SYS_CAPSET[os.uname().machine]
    _checked(libc.syscall(number, ctypes.byref(header), ctypes.byref(nothing)), "capset")
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

"""Running what may be hostile: bounds, walls, and going on after a cell that had to be stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from problem_sets import ROOT

from diffsbi_edu.course.folders import Limits
from diffsbi_edu.course.running import ATTEMPT

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="the walls and CPU times are Linux's"),
]
LIMITS = Limits(cell_seconds=3, patience=3, total_seconds=60, memory_gb=1, output_mb=0.1)


def attempt(
    folder: Path, sources: list[str], limits: Limits = LIMITS, hidden: tuple[str, ...] = ()
) -> tuple[list[Any], dict[str, Any], subprocess.CompletedProcess[str]]:
    """Run cells; gives each cell's outputs, the report, and the process."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    nbformat.write(notebook, folder / "in.ipynb")
    job = {
        "notebook": str(folder / "in.ipynb"),
        "executed": str(folder / "out.ipynb"),
        "report": str(folder / "report.json"),
        "limits": asdict(limits),
        "hidden": list(hidden),
        "student": "ada",
        "course": "test",
    }
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, str(ATTEMPT), str(folder / "job.json")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=200)
    if process.returncode:
        return [], {}, process
    executed = nbformat.read(folder / "out.ipynb", as_version=4)
    report = json.loads((folder / "report.json").read_text())
    return [cell.outputs for cell in executed.cells], report, process


def error(outputs: list[Any]) -> str:
    """ "" if the cell went well."""
    return next((f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"), "")


def printed(outputs: list[Any]) -> str:
    return "".join(o.text for o in outputs if o.output_type == "stream")


BAD = {
    "loops": ("while True: pass", "it "),  # "took longer than 3 s", or, on a busy machine, 9 s
    "sleeps": (
        "import time\nwhile True:\n  try: time.sleep(1)\n  except BaseException: pass",
        "it did not end within 9 s",
    ),
    "prints": ("while True: print('x' * 1000)", "it printed more than 0.1 MB"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "the kernel died"),
    "exits": ("import os; os._exit(0)", "the kernel died"),
    "hogs": ("kept = []\nwhile True: kept.append(bytearray(10**7))", "MemoryError"),
}


@pytest.mark.parametrize("namespaces", [True, False])
def test_a_bad_cell_costs_only_itself(tmp_path: Path, namespaces: bool) -> None:
    """All of them in one submission would be too many fresh kernels: two at a time."""
    names = ["loops", "prints", "hogs"] if namespaces else ["crashes", "sleeps", "exits"]
    sources = ["a = 1\nprint('once')"]
    for name in names:
        sources += [BAD[name][0], f"a += 1; kept = None; print('after {name}', a)"]
    outputs, report, _ = attempt(tmp_path, sources, replace(LIMITS, namespaces=namespaces))
    for i, name in enumerate(names):
        assert BAD[name][1] in error(outputs[2 * i + 1]), name
        assert printed(outputs[2 * i + 2]).strip() == f"after {name} {i + 2}"
    assert printed(outputs[0]).strip() == "once"  # its second run is not shown
    assert len(report["events"]) == len(names) - ("hogs" in names)


@pytest.fixture
def secret() -> Iterator[Path]:
    """A folder outside of /tmp, which is empty for a submission anyhow."""
    with tempfile.TemporaryDirectory(prefix=".hidden-", dir=ROOT) as folder:
        (Path(folder) / "answer.txt").write_text("42")
        yield Path(folder)


def test_walls(tmp_path: Path, secret: Path) -> None:
    sources = [
        "import os, socket, subprocess, sys\nfrom pathlib import Path",
        f"assert list(Path({str(secret)!r}).iterdir()) == []",
        "Path(sys.executable).with_name('new').write_text('x')",
        f"Path({str(secret)!r}, 'mine').write_text('x'); print('only in the cover')",
        "Path('mine').write_text('x'); print(Path('mine').read_text())",
        "socket.create_connection(('192.0.2.1', 80), timeout=2)",
        "print(sorted(p.name for p in Path('/proc').iterdir() if p.name.isdigit()))",
        f"print(subprocess.run(['umount', {str(secret)!r}], capture_output=True).returncode)",
        "Path('big').write_bytes(bytes(200 * 2**20))",
        "print(os.environ['DIFFSBI_STUDENT'], os.environ['DIFFSBI_COURSE'])",
        "input()",
    ]
    outputs, report, _ = attempt(tmp_path, sources, hidden=(str(secret),))
    walls = report["walls"]
    assert walls["memory and files"] == "yes"
    if any(held != "yes" for held in walls.values()):
        pytest.skip(f"this system does not allow all walls: {walls}")
    assert error(outputs[1]) == ""
    assert "Read-only file system" in error(outputs[2])
    assert (secret / "answer.txt").read_text() == "42"
    assert not (secret / "mine").exists()
    assert printed(outputs[4]).strip() == "x"
    assert "OSError" in error(outputs[5])
    assert printed(outputs[6]).strip() == "['1']"
    assert printed(outputs[7]).strip() != "0"
    assert "File too large" in error(outputs[8])
    assert printed(outputs[9]).strip() == "ada test"
    assert "StdinNotImplementedError" in error(outputs[10])


def test_a_fork_bomb_ends(tmp_path: Path) -> None:
    """Its processes end with the kernel's namespace, or at the latest with the submission."""
    sources = ["import os\nwhile True: os.fork()", "print('on')"]
    outputs, report, _ = attempt(tmp_path, sources)
    if report["walls"].get("processes") != "yes":
        pytest.skip("this system has no process namespaces to hold it")
    assert "it started more than 200 processes" in error(outputs[0])
    assert printed(outputs[1]).strip() == "on"
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True)
    assert left.stdout == ""


def test_too_many_bad_cells(tmp_path: Path) -> None:
    sources = ["import os\nos._exit(0)"] * 8 + ["print('never')"]
    outputs, _, _ = attempt(tmp_path, sources)
    assert all(error(o) for o in outputs)
    assert "too many cells" in error(outputs[-1])


def test_the_whole_time(tmp_path: Path) -> None:
    limits = replace(LIMITS, cell_seconds=30, total_seconds=4)
    outputs, _, _ = attempt(tmp_path, ["while True: pass", "print('late')"], limits)
    assert "the time for the whole submission is over" in error(outputs[0])
    assert "the time for the whole submission is over" in error(outputs[1])


def test_no_kernel_is_not_a_zero(tmp_path: Path) -> None:
    """A grading machine that cannot start a kernel must not cost anybody points."""
    _, _, process = attempt(tmp_path, ["print(1)"], replace(LIMITS, memory_gb=0.01))
    assert process.returncode == 3
    assert process.stderr.strip()

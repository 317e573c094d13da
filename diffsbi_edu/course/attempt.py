"""Run one submission, cell by cell, behind walls and within bounds; a bad cell costs only itself.

Run by its path, `python attempt.py JOB.json`, one process a submission. A cell that takes too long,
prints without end, or kills its kernel is stopped and marked with an error; the cells before it run
again in a fresh kernel, and the rest goes on. What is marked with an error scores nothing, as any
failed check does.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_output

CONFINED = Path(__file__).with_name("confined.py")
# Before every check its tools are loaded afresh: a student's own `must` or `tensor`, written by
# accident or on purpose, checks nothing.
TOOLS = """
def _fresh(name):
    import importlib.util, sys
    path = {folder!r} + "/" + name + ".py"
    spec = importlib.util.spec_from_file_location("_graded_" + name, path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
import math, torch
_v, _students = _fresh("verdicts"), _fresh("students")
must, number, tensor, function = _v.must, _v.number, _v.tensor, _v.function
_students._GRADED, Student = ({student!r}, {course!r}), _students.Student
me = Student({student!r}, course={course!r})
"""

PROCESSES = 200  # a submission that starts more of them has something else in mind
LOOK_EVERY = 0.1  # seconds between two looks at a running cell
FRESH_KERNELS = 4  # after so many the submission is stopped


def exercise(cell: Any) -> str:
    """The exercise that a cell belongs to: "ex2" for "ex2_check"; "" for a cell without a name."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", "")).partition("_")[0]


def is_check(cell: Any) -> bool:
    """Whether the cell is an automatic check."""
    meta = cell.metadata.get("nbgrader", {})
    return bool(meta.get("grade") and not meta.get("solution"))


class NoKernel(RuntimeError):
    """Not even a first kernel could be started: the grading machine has a problem."""


class Client(NotebookClient):
    """A notebook client that counts what a cell prints."""

    limit = 2**20
    printed = 0
    flooded = False

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        self.printed += len(str(msg["content"]))
        if self.printed > self.limit and msg["msg_type"] != "status":
            self.flooded = True
            return None
        return super().process_message(msg, cell, cell_index)


class Attempt:
    """One submission under way.

    Args:
        notebook: the notebook to run; outputs are written into it.
        job: `limits` (see `folders.Limits`), `student`, `course`, `hidden` folders.
    """

    def __init__(self, notebook: Any, job: dict[str, Any]) -> None:
        self.notebook = notebook
        self.limits = job["limits"]
        self.job = job
        self.tools = TOOLS.format(
            folder=str(Path(__file__).parent), student=job["student"], course=job["course"]
        )
        self.started = time.monotonic()
        self.client: Client | None = None
        self.work = Path()
        self.kernels = 0
        self.stopped: dict[str, str] = {}  # exercise → why nothing more of it is run
        self.events: list[str] = []
        self.walls: dict[str, str] = {}
        self.done: list[int] = []  # cells to run again in a fresh kernel

    def run(self) -> None:
        """Run all cells; raises for nothing that a submission does, only for `NoKernel`."""
        try:
            for i, cell in enumerate(self.notebook.cells):
                if cell.cell_type == "code":
                    self._cell(i, cell)
        finally:
            self._end_kernel()

    def _cell(self, i: int, cell: Any) -> None:
        cell.outputs, cell.execution_count = [], None
        name = exercise(cell)
        if time.monotonic() - self.started > self.limits["total_seconds"]:
            self._mark(cell, "the time for the whole submission is over")
        elif self.kernels > FRESH_KERNELS:
            self._mark(cell, "too many cells of this submission had to be stopped")
        elif name and name in self.stopped and is_check(cell):
            self._mark(cell, f"not run: {self.stopped[name]} earlier in this exercise")
        elif self._ready():
            why = self._execute(i, cell)
            if why:
                self._mark(cell, why)
                self.events.append(f"cell {i + 1} ({name or 'no name'}): {why}")
                if name:
                    self.stopped[name] = why
                self._end_kernel()
            elif not is_check(cell):
                self.done.append(i)
        else:
            self._mark(cell, "the kernel did not start")

    def _mark(self, cell: Any, why: str) -> None:
        said = [o for o in cell.outputs if o.output_type == "stream"][:1]
        text = f"Stopped: {why}"
        cell.outputs = [*said, new_output("error", ename="Stopped", evalue=why, traceback=[text])]

    def _ready(self) -> bool:
        """A kernel in which all good cells have run; False if none can be had."""
        while self.client is None:
            self.kernels += 1
            if self.kernels > FRESH_KERNELS or not self._start_kernel():
                return False
            for i in list(self.done):
                cell = self.notebook.cells[i]
                kept = cell.outputs
                why = self._execute(i, cell)
                cell.outputs = kept
                if why:  # it went well before: leave it out from now on
                    self.done.remove(i)
                    self.events.append(f"cell {i + 1}, run again: {why}")
                    self._end_kernel()
                    break
        return True

    def _start_kernel(self) -> bool:
        self.work = Path(tempfile.mkdtemp(prefix="diffsbi-"))
        fonts = self.job.get("matplotlib")
        if fonts:
            shutil.copytree(fonts, self.work / "matplotlib", dirs_exist_ok=True)
        limits = {**self.limits, "work": str(self.work), "hidden": self.job["hidden"]}
        (self.work / "limits.json").write_text(json.dumps(limits))
        manager = AsyncKernelManager(
            transport="ipc", ip=str(self.work / "k"), connection_file=str(self.work / "c.json")
        )
        spec = manager.kernel_spec
        assert spec is not None
        spec.argv = [sys.executable, str(CONFINED), str(self.work / "limits.json")]
        spec.argv += ["-f", "{connection_file}"]
        spec.interrupt_mode = "message"  # a signal would not reach another process namespace
        environment = {
            **os.environ,
            "PYTHONWARNINGS": "ignore::FutureWarning",  # of libraries, which no student can help
            "DIFFSBI_STUDENT": self.job["student"],
            "DIFFSBI_COURSE": self.job["course"],
            "HOME": str(self.work),
            "IPYTHONDIR": str(self.work / "ipython"),
            "MPLCONFIGDIR": str(self.work / "matplotlib"),
        }
        self.client = Client(
            self.notebook,
            km=manager,
            allow_errors=True,
            timeout=None,
            coalesce_streams=True,
            startup_timeout=120,
        )
        self.client.limit = int(self.limits["output_mb"] * 2**20)
        try:
            with (self.work / "kernel.log").open("wb") as log:
                self.client.start_new_kernel(
                    env=environment, cwd=str(self.work), stdout=log, stderr=log
                )
            self.client.start_new_kernel_client()
        except (RuntimeError, OSError) as error:
            said = (self.work / "kernel.log").read_text(errors="replace").strip().splitlines()
            if self.kernels == 1:  # not the submission's fault: nothing of it has run
                raise NoKernel(f"{error}: {' '.join(said[-1:])}") from error
            self.events.append(f"no fresh kernel: {error}")
            self._end_kernel()
            return False
        self.walls = json.loads((self.work / "walls.json").read_text())
        return True

    def _end_kernel(self) -> None:
        if self.client is not None and self.client.km is not None:
            self.client.shutdown_kernel = "immediate"
            try:
                self.client._cleanup_kernel()
            except (RuntimeError, OSError) as error:
                self.events.append(f"while ending the kernel: {error}")
        self.client = None
        if self.work.name.startswith("diffsbi-"):
            shutil.rmtree(self.work, ignore_errors=True)

    def _execute(self, i: int, cell: Any) -> str:
        """Run one cell; "" if it came to its end (with an error or not), else why it did not."""
        client = self.client
        assert client is not None
        client.printed, client.flooded = 0, False
        over, why = threading.Event(), [""]
        watch = threading.Thread(target=self._watch, args=(client, over, why), daemon=True)
        watch.start()
        source = cell.source
        try:
            if is_check(cell):
                cell.source = self.tools + source
            client.execute_cell(cell, i)
        except DeadKernelError:
            return why[0] or "the kernel died (a crash, or memory beyond the limit)"
        except Exception as error:  # a message that the client cannot read is no reason to end here
            return f"its output could not be read ({type(error).__name__})"
        finally:
            cell.source = source
            over.set()
            watch.join()
        return why[0] or ("it printed more than the limit" if client.flooded else "")

    def _watch(self, client: Client, over: threading.Event, why: list[str]) -> None:
        """Kill the kernel when the running cell is beyond a limit."""
        pid = client.km.provisioner.pid  # type: ignore[union-attr]
        start, (cpu, _) = time.monotonic(), usage(pid)
        limit = self.limits["cell_seconds"]
        whole = self.started + self.limits["total_seconds"]
        while not over.wait(LOOK_EVERY):
            now, (used, processes) = time.monotonic(), usage(pid)
            if client.flooded:
                why[0] = f"it printed more than {self.limits['output_mb']:g} MB"
            elif processes > PROCESSES:
                why[0] = f"it started more than {PROCESSES} processes"
            elif used - cpu > limit:
                why[0] = f"it took longer than {limit:g} s"
            elif now - start > limit * self.limits["patience"]:
                why[0] = f"it did not end within {limit * self.limits['patience']:g} s"
            elif now > whole:
                why[0] = "the time for the whole submission is over"
            if why[0]:
                os.kill(pid, 9)  # the kernel itself, and all that it started, end with it
                return


def usage(pid: int) -> tuple[float, int]:
    """CPU time of a process and its children so far, and how many they are; 0 without a /proc."""
    seconds, count, waiting = 0.0, 0, [pid]
    while waiting and count <= PROCESSES:
        process = waiting.pop()
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        except OSError:
            continue
        seconds += sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
        count += 1
        waiting += [int(child) for child in children]
    return seconds, count


def main(job_file: str) -> None:
    """Run the submission that JOB.json names, and write the notebook and a report."""
    job = json.loads(Path(job_file).read_text())
    notebook = nbformat.read(job["notebook"], as_version=4)
    attempt = Attempt(notebook, job)
    try:
        attempt.run()
    except NoKernel as error:
        print(error, file=sys.stderr)
        raise SystemExit(3) from error
    nbformat.write(notebook, job["executed"])
    report = {
        "events": attempt.events,
        "walls": attempt.walls,
        "seconds": time.monotonic() - attempt.started,
    }
    Path(job["report"]).write_text(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])

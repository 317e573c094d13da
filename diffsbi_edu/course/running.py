"""Run one notebook in a process of its own, within bounds, and count its points."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diffsbi_edu.course.folders import Course, CourseError

ATTEMPT = Path(__file__).with_name("attempt.py")
GRACE = 60.0  # seconds beyond a submission's own limit, for starting kernels


@dataclass
class Graded:
    """What came of one submission.

    Attributes:
        student: whose it is.
        points: by the checks.
        possible: by the checks.
        to_mark: points of written answers that a person still has to mark.
        checks: points by check.
        findings: what a person should know: cells put back, changed, stopped, another's id.
        seconds: of running it.
        walls: what held the submission in, from `confined`.
    """

    student: str
    points: float = 0.0
    possible: float = 0.0
    to_mark: float = 0.0
    checks: dict[str, float] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    walls: dict[str, str] = field(default_factory=dict)


def run_notebook(
    course: Course, name: str, notebook: Any, student: str, findings: list[str]
) -> Graded:
    """Run a notebook in a process of its own and count the points of its checks."""
    import matplotlib
    import nbformat

    target = course.executed(student, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    result = Graded(student, findings=list(findings))
    with tempfile.TemporaryDirectory(prefix="diffsbi-job-") as folder:
        path = Path(folder)
        nbformat.write(notebook, path / "in.ipynb")
        job = {
            "notebook": str(path / "in.ipynb"),
            "executed": str(path / "out.ipynb"),
            "report": str(path / "report.json"),
            "limits": asdict(course.limits),
            "hidden": hidden_folders(course),
            "matplotlib": matplotlib.get_cachedir(),
            "student": student,
            "course": course.name,
        }
        (path / "job.json").write_text(json.dumps(job))
        code, said = _in_time(
            [sys.executable, str(ATTEMPT), str(path / "job.json")],
            course.limits.total_seconds + GRACE,
        )
        if code == 3:  # not the submission's fault: no zero may come of it
            raise CourseError(f"no kernel could be started on this machine: {said}")
        if code == 0:
            executed = nbformat.read(path / "out.ipynb", as_version=4)
            report = json.loads((path / "report.json").read_text())
            result.findings += report["events"]
            result.seconds, result.walls = report["seconds"], report["walls"]
        else:
            executed = notebook
            result.findings.append(f"could not be run to its end ({said or 'it took too long'})")
            for cell in executed.cells:
                if cell.cell_type == "code":
                    cell.outputs = [_stopped()]
        tidy(executed)
        nbformat.write(executed, target)
    count(executed, result)
    return result


def _stopped() -> Any:
    from nbformat.v4 import new_output

    why = "the submission could not be run to its end"
    return new_output("error", ename="Stopped", evalue=why, traceback=[f"Stopped: {why}"])


def _in_time(command: list[str], seconds: float) -> tuple[int, str]:
    """Run a command with all that it starts; end all of it when its time is over."""
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **one_thread},
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGTERM)  # it ends its kernel
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        if isinstance(error, subprocess.TimeoutExpired):
            return 1, ""
        raise
    lines = said.decode(errors="replace").strip().splitlines()
    return process.returncode, lines[-1] if lines else ""


def hidden_folders(course: Course) -> list[str]:
    """Folders that a submission should find empty: solutions, hidden tests, others' work."""
    around = {course.root.parent, Path(__file__).resolve().parents[2]}  # also where we come from
    beside = [folder / name for folder in around for name in ("assignments", ".git", "tests")]
    found = {course.root, *(folder for folder in beside if folder.is_dir())}
    return sorted(str(folder) for folder in found)


def count(notebook: Any, result: Graded) -> None:
    """Points by check, counted as nbgrader does."""
    from nbgrader.utils import determine_grade

    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if _is_check(cell):
            points, possible = determine_grade(cell)
            result.checks[meta.grade_id] = float(points or 0)
            result.points += float(points or 0)
            result.possible += possible
        elif meta.get("grade"):
            result.to_mark += float(meta.points)


def tidy(notebook: Any) -> None:
    """Make outputs fair to grade and safe to show.

    A warning on stderr would cost a check its points in nbgrader, so it becomes plain output; and
    the traceback of a check shows the hidden tests, so only its last line is kept.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.name = "stdout"
            if output.output_type == "error" and _is_check(cell):
                # nbgrader's page does not wrap lines, and the message is what it is for
                said = f"{output.ename}: {output.evalue}".splitlines()
                output.traceback = [line for text in said for line in textwrap.wrap(text, 90)]


def _is_check(cell: Any) -> bool:
    meta = cell.metadata.get("nbgrader", {})
    return bool(meta.get("grade") and not meta.get("solution"))

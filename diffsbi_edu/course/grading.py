"""Grade a set: the instructor's solutions first, then everybody, each in a process of its own.

What a submission may do is bounded by `attempt` and `confined`; what is graded is put together by
`assemble`; points, comments and the data base are nbgrader's.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from diffsbi_edu.course.assemble import assemble
from diffsbi_edu.course.converters import run_converter, without_hidden_tests, without_running
from diffsbi_edu.course.folders import INSTRUCTOR, Course, CourseError
from diffsbi_edu.course.marks import write_csv, write_gradebook, write_written
from diffsbi_edu.course.release import build, release
from diffsbi_edu.course.running import Graded, run_notebook


class PreflightFailed(CourseError):
    """The instructor's own solutions do not score full marks here: nobody was graded."""


def preflight(course: Course, name: str) -> Graded:
    """Run the instructor's own solutions as if they had been handed in.

    Raises:
        PreflightFailed: not full marks; says which checks failed, and how.
        CourseError: no kernel could be started.
    """
    import nbformat

    build(course, name)
    built = nbformat.read(course.built(name), as_version=4)
    result = run_notebook(course, name, built, INSTRUCTOR, [])
    said = _failed(course.executed(INSTRUCTOR, name))
    if said or result.points < result.possible:
        raise PreflightFailed(
            f"{name}: the instructor's own solutions score {result.points:g} of "
            f"{result.possible:g} points in this environment, so NOBODY WAS GRADED. Is a package "
            "missing, or a limit in course.toml too tight?"
            + "".join(f"\n  {check}: {message}" for check, message in said.items())
        )
    shutil.rmtree(course.executed(INSTRUCTOR, name).parent)  # nobody of the class
    return result


def grade(
    course: Course,
    name: str,
    *,
    students: Sequence[str] | None = None,
    jobs: int = 2,
    progress: bool = True,
) -> list[Graded]:
    """Grade what was collected of a set; writes the gradebook and a report.

    What has been run before, and has not changed, is not run again, so an interrupted grading goes
    on where it was.

    Args:
        course: where it lies.
        name: the set.
        students: whom; everybody who handed in by default.
        jobs: how many submissions to run at a time.
        progress: whether to show a progress bar.

    Raises:
        PreflightFailed: see `preflight`.
        CourseError: nothing was collected, or the grading itself (not a submission) failed.
    """
    from nbgrader.converters import Autograde

    everybody = course.students(name)
    students = everybody if students is None else list(students)
    missing = sorted(set(students) - set(everybody))
    if missing or not students:
        who = ", ".join(missing) or "anybody"
        raise CourseError(f"nothing of {who} was collected for {name}; see course-collect")
    release(course, name)  # also tells nbgrader's data base what the set is worth
    preflight(course, name)
    graded: dict[str, Graded] = {}
    with (
        ThreadPoolExecutor(max(1, jobs)) as pool,
        tqdm(total=len(students), desc=f"grading {name}", disable=not progress) as bar,
    ):
        waiting = {pool.submit(_submission, course, name, s): s for s in students}
        try:
            for future in as_completed(waiting):
                graded[waiting[future]] = future.result()
                bar.update()
        except BaseException:
            for other in waiting:
                other.cancel()
            raise
    run_converter(course, without_running(Autograde), name)
    results = [graded[s] for s in students]
    _report(course, name, results)
    write_gradebook(course)
    write_written(course, name)
    return results


def feedback(course: Course, name: str) -> list[Path]:
    """Write each student's feedback as HTML: points, messages and comments, without hidden tests.

    Raises:
        CourseError: the set has not been graded.
    """
    from nbgrader.converters import GenerateFeedback

    if not list(course.root.glob(f"graded/*/{name}/*.ipynb")):
        raise CourseError(f"{name} has not been graded yet; run course-grade first")
    run_converter(course, without_hidden_tests(GenerateFeedback), name)
    return sorted(course.root.glob(f"feedback/*/{name}/*.html"))


def _submission(course: Course, name: str, student: str) -> Graded:
    """Put one submission in order and run it, unless that has been done."""
    import nbformat

    raw = course.submitted(student, name).read_bytes()
    digest = hashlib.sha256(raw)
    digest.update(course.built(name).read_bytes())
    for tool in ("verdicts.py", "students.py"):  # what checks are made of
        digest.update(Path(__file__).with_name(tool).read_bytes())
    digest.update(json.dumps([asdict(course.limits), student]).encode())
    report = course.executed(student, name).with_suffix(".json")
    if report.exists() and course.executed(student, name).exists():
        kept = json.loads(report.read_text())
        if kept.pop("digest") == digest.hexdigest():
            return Graded(**kept)
    submission, findings = read_submission(raw, course.limits.notebook_mb)
    made = assemble(
        nbformat.read(course.built(name), as_version=4),
        nbformat.read(course.released(name), as_version=4),
        submission,
        student,
    )
    result = run_notebook(course, name, made.notebook, student, findings + made.findings)
    report.write_text(json.dumps({**asdict(result), "digest": digest.hexdigest()}, indent=1))
    return result


def read_submission(raw: bytes, notebook_mb: float) -> tuple[Any | None, list[str]]:
    """A submitted notebook, or None and why it cannot be read."""
    import nbformat

    if len(raw) > notebook_mb * 2**20:
        return None, [f"the notebook is larger than {notebook_mb:g} MB; nothing of it was graded"]
    try:
        notebook = nbformat.reads(raw.decode("utf-8"), as_version=4)
        for cell in notebook.cells:
            if not isinstance(cell.source, str) or not isinstance(cell.metadata, dict):
                raise ValueError("a cell without text or metadata")
        return notebook, []
    except Exception as error:  # whatever is wrong with it, it is the submission that is wrong
        return None, [f"the notebook could not be read ({type(error).__name__}: {error})"]


def _failed(path: Path) -> dict[str, str]:
    """The cells that ended in an error, and what it said."""
    import nbformat

    found = {}
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                name = cell.metadata.get("nbgrader", {}).get("grade_id", "a cell without a name")
                found[name] = f"{output.ename}: {output.evalue}"
    return found


def _report(course: Course, name: str, results: list[Graded]) -> None:
    rows = [
        {
            "student": r.student,
            "points": r.points,
            "possible": r.possible,
            "to_mark": r.to_mark,
            "seconds": round(r.seconds, 1),
            "findings": " | ".join(r.findings),
        }
        for r in results
    ]
    columns = ("student", "points", "possible", "to_mark", "seconds", "findings")
    write_csv(course.root / "reports" / f"{name}.csv", rows, columns)

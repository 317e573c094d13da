"""The course from end to end: release, collect, grade, marks, feedback, and what must be caught."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from classroom import NAME, deserved, enrol, hand_in
from problem_sets import SETS, SOURCE, cells

from diffsbi_edu.course import collect, grading, marks, release
from diffsbi_edu.course.__main__ import main
from diffsbi_edu.course.folders import Course, CourseError

pytestmark = pytest.mark.timeout(1800)
LIMITS = "cell_seconds = 5\npatience = 12\nmemory_gb = 3\n"


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course with problem set 1, of another name and with tight limits."""
    root = tmp_path_factory.mktemp("course") / "assignments"
    shutil.copytree(SOURCE / NAME, root / "source" / NAME)
    (root / "course.toml").write_text(f'name = "simulated"\n[limits]\n{LIMITS}')
    return Course.at(root)


@pytest.mark.slow
def test_a_class_of_forty(course: Course, tmp_path: Path) -> None:
    pupils = enrol(grading.preflight(course, NAME).walls)
    assert len(pupils) == 40
    hand_in(release.release(course, NAME), tmp_path, pupils)
    assert len(collect.collect(course, NAME, tmp_path).students) == 40
    results = {r.student: r for r in grading.grade(course, NAME, progress=False)}

    wrong = []
    for pupil in pupils:
        result = results[pupil.student]
        if result.checks != deserved(pupil):
            lost = {k: v for k, v in result.checks.items() if v != deserved(pupil)[k]}
            wrong.append(f"{pupil.student}: {lost} {result.findings}")
        if not re.search(pupil.finding, " ".join(result.findings)):
            wrong.append(f"{pupil.student}: no word of {pupil.finding!r} in {result.findings}")
    assert not wrong, "\n".join(wrong)
    assert results["correct-0"].points == results["correct-0"].possible
    assert not results["correct-0"].findings

    # The same points are in the gradebook, and nobody's work is in another's folder.
    with (course.root / "gradebook.csv").open(encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(results)
    for student, row in rows.items():
        assert float(row["checks"]) == results[student].points, student
        assert row["to_mark"] == ("no" if student.startswith(("blank", "unread")) else "yes")

    # Written answers are marked in a table, and count from then on.
    table = course.root / "written" / f"{NAME}.csv"
    with table.open(encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    for row in answers:
        if row["student"].startswith("correct"):
            row["points"], row["comment"] = "3", "See the floor?"
    marks.write_csv(table, answers, marks.WRITTEN)
    marks.read_written(course, NAME)
    with (course.root / "gradebook.csv").open(encoding="utf-8") as file:
        total = {row["student"]: row["total"] for row in csv.DictReader(file)}
    assert float(total["correct-0"]) == results["correct-0"].points + 3

    # Feedback: one page each, with messages, without solutions or hidden tests.
    pages = grading.feedback(course, NAME)
    assert len(pages) == 40
    page = next(p for p in pages if "wrong-by-sign-0" in str(p)).read_text(encoding="utf-8")
    assert "the sign of the noise is turned around" in page
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert "BEGIN HIDDEN TESTS" not in text
        assert "all rows get the average level" not in text  # a hidden hint that nobody triggered
    assert "See the floor?" in next(p for p in pages if "correct-0" in str(p)).read_text("utf-8")

    # Nothing is run twice: an interrupted grading goes on where it was.
    before = {p: p.stat().st_mtime_ns for p in course.root.glob(".build/executed/*/*/*.json")}
    grading.grade(course, NAME, students=["correct-0", "blank-0"], progress=False)
    after = {p: p.stat().st_mtime_ns for p in course.root.glob(".build/executed/*/*/*.json")}
    assert before == after


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_instructor_scores_everything_and_blank_nothing(name: str, tmp_path: Path) -> None:
    root = tmp_path / "assignments"
    shutil.copytree(SOURCE / name, root / "source" / name)
    course = Course.at(root)
    released = release.release(course, name)
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(released, folder / "blank.ipynb")
    collect.collect(course, name, folder)
    (result,) = grading.grade(course, name, progress=False)  # its preflight is the instructor's
    assert result.points == 0
    assert result.possible == sum(c.points for c in cells(name) if c.kind == "check")
    assert not any("could not be run" in finding for finding in result.findings)


@pytest.mark.parametrize("name", SETS)
def test_nothing_leaks(name: str, tmp_path: Path) -> None:
    root = tmp_path / "assignments"
    shutil.copytree(SOURCE / name, root / "source" / name)
    released = release.release(Course.at(root), name)
    text = released.read_text(encoding="utf-8")
    assert len(release.secret_lines(SOURCE / name / f"{name}.ipynb")) > 30
    assert release.find_leaks(SOURCE / name / f"{name}.ipynb", text) == []
    assert "COURSE_NAME" not in text
    # The check of leaks does see one.
    secret = max(release.secret_lines(SOURCE / name / f"{name}.ipynb"), key=len)
    notebook = nbformat.read(released, as_version=4)
    notebook.cells[-1].source += "\n" + secret
    assert release.find_leaks(SOURCE / name / f"{name}.ipynb", nbformat.writes(notebook))


def test_preflight_stops_loudly(course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    """A package missing where grades are given would cost everybody everything."""
    path = course.source(NAME)
    good = path.read_text(encoding="utf-8")
    try:
        path.write_text(good.replace("import math\\n", "import math, no_such_package\\n"))
        with pytest.raises(grading.PreflightFailed, match=r"(?s)NOBODY WAS GRADED.*no_such_pack"):
            grading.preflight(course, NAME)
        assert main(["--root", str(course.root), "check", "ps1"]) == 2
        assert "NOBODY WAS GRADED" in capsys.readouterr().err
    finally:
        path.write_text(good)


def test_errors_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CourseError, match="no folder source/"):
        Course.at(tmp_path)
    root = tmp_path / "assignments"
    shutil.copytree(SOURCE / NAME, root / "source" / NAME)
    course = Course.at(root)
    with pytest.raises(CourseError, match="there are ps1_gaussian"):
        course.named("ps9")
    with pytest.raises(CourseError, match="see course-collect"):
        grading.grade(course, NAME)
    with pytest.raises(CourseError, match="run course-grade first"):
        grading.feedback(course, NAME)
    with pytest.raises(CourseError, match="is not there"):
        marks.read_written(course, NAME)
    for text, words in {
        "name = 3": "letters, digits",
        "nmae = 'x'": "unknown setting nmae",
        "[limits]\nmemory = 3": "unknown setting limits.memory",
        "[limits]\ncell_seconds = -1": "positive number",
        "[limits]\nnamespaces = 1": "true or false",
        "name = ": "not valid TOML",
    }.items():
        (root / "course.toml").write_text(text)
        with pytest.raises(CourseError, match=words):
            Course.at(root)
    assert main(["--root", str(tmp_path), "release"]) == 2
    assert "error: " in capsys.readouterr().err


def test_a_source_that_would_leak_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "assignments"
    shutil.copytree(SOURCE / NAME, root / "source" / NAME)
    course = Course.at(root)
    notebook = nbformat.read(course.source(NAME), as_version=4)
    hidden = next(c for c in notebook.cells if "BEGIN HIDDEN" in c.source)
    helper = "    return alpha * z + sigma * eps  # as in the solution of exercise two"
    hidden.source = hidden.source.replace("### END HIDDEN", helper + "\n### END HIDDEN")
    nbformat.write(notebook, course.source(NAME))
    release.release(course, NAME)  # hidden: fine
    locked = nbformat.v4.new_code_cell(f"def shown():\n{helper}", id="shown")
    text = nbformat.writes(notebook)
    leaked = nbformat.reads(text, as_version=4)
    leaked.cells.insert(3, locked)
    # What the source itself shows is no secret; what only the copy shows is one.
    assert release.find_leaks(course.source(NAME), nbformat.writes(leaked))

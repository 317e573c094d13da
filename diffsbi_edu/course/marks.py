"""Points in tables: the gradebook, and written answers that a person marks in a spreadsheet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffsbi_edu.course.folders import Course, CourseError

GRADEBOOK = ("student", "set", "checks", "by_hand", "total", "possible", "to_mark")
WRITTEN = ("student", "exercise", "points", "possible", "comment", "answer")


def write_gradebook(course: Course) -> Path:
    """Write all points of all students as `gradebook.csv`.

    Columns: student, set, points by checks and by hand, total, possible, and whether written
    answers are still to be marked.
    """
    path = course.root / "gradebook.csv"
    rows = []
    with _gradebook(course) as book:
        for assignment in book.assignments:
            for submission in book.assignment_submissions(assignment.name):
                grades = [g for n in submission.notebooks for g in n.grades]
                rows.append(
                    {
                        "student": submission.student.id,
                        "set": assignment.name,
                        "checks": sum(g.auto_score or 0 for g in grades),
                        "by_hand": sum(g.manual_score or 0 for g in grades),
                        "total": submission.score,
                        "possible": assignment.max_score,
                        "to_mark": "yes" if submission.needs_manual_grade else "no",
                    }
                )
    rows.sort(key=lambda row: (row["set"], row["student"]))
    write_csv(path, rows, GRADEBOOK)
    return path


def write_csv(path: Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    """A table as CSV, written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, path)


def write_written(course: Course, name: str) -> Path:
    """Write a set's written answers as `written/<set>.csv`, with room for points and comments.

    What has been marked already keeps its points and comment.
    """
    import nbformat

    rows: list[dict[str, Any]] = []
    with _gradebook(course) as book:
        for path in sorted(course.root.glob(f"graded/*/{name}/{name}.ipynb")):
            student = path.parent.parent.name
            for cell in nbformat.read(path, as_version=4).cells:
                meta = cell.metadata.get("nbgrader", {})
                if not (meta.get("grade") and meta.get("solution")):
                    continue
                grade = book.find_grade(meta.grade_id, name, name, student)
                comment = book.find_comment(meta.grade_id, name, name, student)
                points = grade.manual_score if grade.manual_score is not None else grade.auto_score
                rows.append(
                    {
                        "student": student,
                        "exercise": meta.grade_id,
                        "points": "" if points is None else f"{points:g}",
                        "possible": f"{meta.points:g}",
                        "comment": comment.manual_comment or comment.auto_comment or "",
                        "answer": cell.source,
                    }
                )
    path = course.root / "written" / f"{name}.csv"
    write_csv(path, rows, WRITTEN)
    return path


def read_written(course: Course, name: str, path: str | Path | None = None) -> int:
    """Take points and comments for written answers from a table into the gradebook.

    Args:
        course: where it lies.
        name: the set.
        path: a table as `write_written` makes it, `written/<set>.csv` by default. Rows without
            points are passed over.

    Returns:
        How many answers were marked.

    Raises:
        CourseError: no such table, or a row that makes no sense; then nothing is taken.
    """
    from nbgrader.api import MissingEntry

    path = Path(path) if path is not None else course.root / "written" / f"{name}.csv"
    if not path.exists():
        raise CourseError(f"{path} is not there; course-grade writes it")
    table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    lacking = set(WRITTEN[:3]) - set(table.fieldnames or [])
    if lacking:
        raise CourseError(f"{path} lacks the column {', '.join(sorted(lacking))}")
    wrong, marks = [], []
    with _gradebook(course) as book:
        for line, row in enumerate(table, 2):
            if not (row["points"] or "").strip():
                continue
            try:
                grade = book.find_grade(row["exercise"], name, name, row["student"])
                comment = book.find_comment(row["exercise"], name, name, row["student"])
                points = float(row["points"].replace(",", "."))
            except MissingEntry:
                wrong.append(
                    f"line {line}: {row['student']!r} has no {row['exercise']!r} in {name}"
                )
                continue
            except ValueError:
                wrong.append(f"line {line}: {row['points']!r} is not a number")
                continue
            if not 0 <= points <= grade.max_score:
                wrong.append(f"line {line}: {points:g} points of at most {grade.max_score:g}")
            marks.append((grade, comment, points, row.get("comment") or ""))
        if wrong:
            raise CourseError(f"{path}: nothing was taken; " + "; ".join(wrong[:10]))
        for grade, comment, points, said in marks:
            grade.manual_score = points
            grade.needs_manual_grade = False
            comment.manual_comment = said or None
        book.db.commit()
    write_gradebook(course)
    return len(marks)


def _gradebook(course: Course) -> Any:
    from nbgrader.api import Gradebook

    return Gradebook(f"sqlite:///{course.root / 'gradebook.db'}")

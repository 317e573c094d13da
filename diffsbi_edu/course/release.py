"""From sources to what students get: nbgrader takes the answers out, and we check that it did."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from diffsbi_edu.course.converters import run_converter
from diffsbi_edu.course.folders import Course, CourseError

COURSE_NAME = "COURSE_NAME"  # stands in the sources for the course's name
REGIONS = ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME")
SHORTEST = 12  # characters of a line that say something: "return x" could stand anywhere


class Leak(CourseError):
    """Something that students should not see is in what they would get."""


def build(course: Course, name: str) -> Path:
    """A set's source with the course's name filled in and no outputs; where `grade` looks.

    Raises:
        CourseError: a source that is not a notebook of nbgrader's format, or that marks no answers.
    """
    text = course.source(name).read_text(encoding="utf-8")
    try:
        notebook = json.loads(text.replace(COURSE_NAME, course.name))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
        names = [c["metadata"].get("nbgrader", {}).get("grade_id") for c in notebook["cells"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{course.source(name)} is not a notebook: {error}") from error
    if not any(names):
        raise CourseError(
            f"{course.source(name)} has no answers or checks; mark them with nbgrader's "
            "'Create Assignment' in JupyterLab"
        )
    target = course.built(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    for other in course.source(name).parent.iterdir():  # pictures and the like
        if other.is_file() and other.suffix != ".ipynb":
            shutil.copy(other, target.parent / other.name)
    target.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return target


def release(course: Course, name: str) -> Path:
    """Make the students' copy of a set.

    Raises:
        CourseError: nbgrader refused the source; its message says why.
        Leak: a line of a solution or a hidden test is in the copy, which is taken away again.
    """
    from nbgrader.converters import GenerateAssignment

    build(course, name)
    run_converter(course, GenerateAssignment, name)
    leaks = find_leaks(course.source(name), course.released(name).read_text(encoding="utf-8"))
    if leaks:
        shutil.rmtree(course.released(name).parent)
        raise Leak(f"{name} would show students: " + "; ".join(leaks[:5]))
    return course.released(name)


def secret_lines(source: Path) -> list[str]:
    """The lines that only instructors may see: those inside of nbgrader's regions."""
    found = []
    for cell in json.loads(source.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        for region in REGIONS:
            for inside in re.findall(f"### BEGIN {region}\n(.*?)### END {region}", text, re.S):
                found += [line.strip() for line in inside.splitlines()]
    return found


def find_leaks(source: Path, text: str) -> list[str]:
    """Secret lines of a set that occur in a text given to students; should be empty.

    Lines that the source itself shows to students elsewhere are no secrets.
    """
    text = _plain(text)
    shown = _plain(_without_regions(source))
    leaks = [f"### BEGIN {r}" for r in REGIONS if f"### BEGIN {r}" in text]
    for line in secret_lines(source):
        plain = _plain(line)
        if len(plain) >= SHORTEST and plain in text and plain not in shown:
            leaks.append(line)
    return leaks


def _without_regions(source: Path) -> str:
    notebook = json.loads(source.read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    for region in REGIONS:
        text = re.sub(f"### BEGIN {region}\n.*?### END {region}", "", text, flags=re.S)
    return text


def _plain(text: str) -> str:
    """Without blanks, and without the escapes of JSON: however it is stored, it reads the same."""
    return re.sub(r"\\[nt]|[\s\\]", "", text)

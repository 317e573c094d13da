"""From a folder as it comes out of a learning platform to one folder a student.

Understood, with `set` the problem set's name and what students or platforms add to it:

    plain    ada.ipynb, ada/set.ipynb, ada_set.ipynb
    Moodle   "Ada Lovelace_1234567_assignsubmission_file_/set.ipynb", or a file with that beginning
    Canvas   "lovelaceada_LATE_98765_43210_set-2.ipynb"

each also inside zip files. Who is meant is looked up in `roster.csv`; without one, the name that
the platform wrote, in lower case and without blanks, becomes the id.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from diffsbi_edu.course.folders import Course, CourseError, checked_id

MOODLE = re.compile(r"^(?P<name>[^/_]+)_(?P<number>\d+)_assignsubmission_[a-z]+_?")
CANVAS = re.compile(r"^(?P<name>[^/_]+)(?P<late>_LATE)?_(?P<number>\d+)_\d+_")
AGAIN = re.compile(r"-(\d+)$")  # Canvas counts the versions of a file


@dataclass
class Collected:
    """What `collect` did: submissions by student, and what it could not place."""

    students: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def collect(course: Course, name: str, folder: str | Path) -> Collected:
    """Copy the submissions of a set into `submitted/`; the later of two versions counts.

    Raises:
        CourseError: no such folder, nothing in it, or a roster that cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder; give the unpacked download of submissions")
    roster = read_roster(course)
    result = Collected()
    best: dict[str, tuple[int, str, bytes]] = {}
    for where, content in _files(folder, course, result):
        person, late, version = _who(where, name)
        if person is None:
            result.notes.append(f"{where}: whose is this? Not collected")
            continue
        student = _look_up(person, roster)
        if student is None:
            result.notes.append(f"{where}: {person!r} is not in roster.csv. Not collected")
            continue
        if late:
            result.notes.append(f"{student}: marked as late by the platform")
        if student in best:
            result.notes.append(f"{student}: several files; the latest version counts")
        if student not in best or version >= best[student][0]:
            best[student] = (version, where, content)
    if not best:
        raise CourseError(
            f"no submission of {name} was found in {folder}; expected files such as "
            f"<student id>.ipynb, <student id>/{name}.ipynb, or a download from Moodle or Canvas"
            + "".join(f"\n  {note}" for note in result.notes[:10])
        )
    for student, (_, where, content) in sorted(best.items()):
        target = course.submitted(student, name)
        shutil.rmtree(target.parent, ignore_errors=True)
        target.parent.mkdir(parents=True)
        target.write_bytes(content)
        result.students[student] = where
    return result


def read_roster(course: Course) -> dict[str, str] | None:
    """Every name under which a student may hand in, in `_plain` form → the id; None without roster.

    Raises:
        CourseError: no column `id`, an id that cannot be one, or a name that means two students.
    """
    path = course.root / "roster.csv"
    if not path.exists():
        return None
    found: dict[str, str] = {}
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    if "id" not in (rows.fieldnames or []):
        raise CourseError(f"{path} needs a column 'id'; others may be name, moodle, canvas")
    for row in rows:
        student = checked_id(row["id"] or "")
        for column in ("id", "name", "moodle", "canvas"):
            key = _plain(row.get(column) or "")
            if not key:
                continue
            if found.setdefault(key, student) != student:
                raise CourseError(f"{path}: {row[column]!r} could be {found[key]} or {student}")
    return found


def _files(folder: Path, course: Course, result: Collected) -> Iterator[tuple[str, bytes]]:
    """All notebooks in a folder and in zip files in it: path in the folder, and content."""
    limit = int(course.limits.notebook_mb * 2**20)
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder).as_posix()
        if not path.is_file() or path.is_symlink() or ".ipynb_checkpoints" in where:
            continue
        if path.suffix == ".ipynb":
            if path.stat().st_size > limit:
                result.notes.append(f"{where}: larger than {course.limits.notebook_mb:g} MB")
                yield where, b""  # graded as a notebook that cannot be read
            else:
                yield where, path.read_bytes()
        elif path.suffix == ".zip":
            try:
                with zipfile.ZipFile(path) as archive:
                    for item in archive.infolist():
                        inside = PurePosixPath(item.filename)
                        if inside.suffix != ".ipynb" or "__MACOSX" in inside.parts:
                            continue
                        if item.file_size > limit:
                            result.notes.append(f"{where}: {inside.name} is too large")
                            continue
                        begin = where[: -len(".zip")]
                        # a zip file may hold one student's work, or everybody's
                        within = [part for part in inside.parts if part not in ("/", "..", ".")]
                        yield "/".join([begin, *within]), archive.read(item)
            except (zipfile.BadZipFile, RuntimeError, OSError) as error:
                result.notes.append(f"{where}: not a readable zip file ({error})")


def _who(where: str, name: str) -> tuple[str | None, bool, int]:
    """Who handed in a file, as the platform says it; whether it was late; its version."""
    parts = PurePosixPath(where).with_suffix("").parts
    again = AGAIN.search(parts[-1])
    version = int(again.group(1)) if again else 0
    for part in parts:
        moodle = MOODLE.match(part)
        if moodle:
            return moodle["name"], False, version
        canvas = CANVAS.match(part)
        if canvas:
            return canvas["name"], bool(canvas["late"]), version
    stem = AGAIN.sub("", parts[-1])
    if stem.startswith(name):
        # the innermost folder that is not merely the set's own
        folders = [p for p in parts[:-1] if p != name]
        return (folders[-1] if folders else None), False, version
    if stem.endswith("_" + name):
        return stem[: -len(name) - 1], False, version
    # "ada-2.ipynb" is a student called ada-2: without a platform nobody counts versions
    return (parts[-1] if len(parts) == 1 else None), False, 0


def _look_up(person: str, roster: dict[str, str] | None) -> str | None:
    if roster is not None:
        return roster.get(_plain(person))
    try:
        return checked_id(re.sub(r"\s+", "", person.lower()) if " " in person else person)
    except CourseError:
        return None


def _plain(text: str) -> str:
    """For comparing names: lower case, letters and digits only."""
    return re.sub(r"[\W_]+", "", text.lower())

"""Where a course keeps its things, what it is called, and how much a submission may use.

assignments/
  course.toml                     the course's name, and limits (all optional)
  roster.csv                      id,name,moodle,canvas: who is who in the learning platform
  source/psN_…/psN_….ipynb        problem sets with solutions and hidden tests: the one source
  release/…                       what students get (made by `release`)
  submitted/<id>/psN_…/…          what they handed in (made by `collect`)
  graded/<id>/psN_…/…             the same, checked and run (made by `grade`)
  feedback/<id>/psN_…/….html      what they get back (made by `feedback`)
  gradebook.db, gradebook.csv     nbgrader's data base, and all points in one table
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

STUDENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
INSTRUCTOR = "instructor"  # grades the instructor's own solutions before anybody else's


class CourseError(ValueError):
    """Something about the course's files or settings that a person has to put right."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use; see `confined` and `attempt`.

    Attributes:
        cell_seconds: CPU time of one cell.
        patience: wall time of one cell, in multiples of `cell_seconds`: where a sleeping cell ends.
        total_seconds: wall time of the whole submission.
        memory_gb: private memory of each process.
        file_mb: size of each file that it writes.
        output_mb: what one cell may print.
        notebook_mb: size of the file handed in.
        cpu_seconds: CPU time of the kernel, whatever happens.
        namespaces: whether to take away network, files and other processes where the system can.
    """

    cell_seconds: float = 30.0
    patience: float = 4.0
    total_seconds: float = 600.0
    memory_gb: float = 4.0
    file_mb: float = 100.0
    output_mb: float = 1.0
    notebook_mb: float = 20.0
    cpu_seconds: float = 600.0
    namespaces: bool = True

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "namespaces":
                if not isinstance(value, bool):
                    raise CourseError(f"limits: namespaces should be true or false, not {value!r}")
            elif not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise CourseError(f"limits: {f.name} should be a positive number, not {value!r}")


@dataclass(frozen=True)
class Course:
    """A course in a folder.

    Args:
        root: the folder, as laid out above.
        name: its name, part of every student's seed; from `course.toml` if there is one.
        limits: what a submission may use.
    """

    root: Path
    name: str = "diffsbi"
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def at(cls, root: str | Path) -> Course:
        """The course in a folder, with the settings of its `course.toml`.

        Raises:
            CourseError: no such folder, no problem sets in it, or settings that make no sense.
        """
        root = Path(root).resolve()
        if not (root / "source").is_dir():
            raise CourseError(
                f"{root} has no folder source/ with problem sets; run this from the repository's "
                "root, or name the course's folder with --root"
            )
        settings: dict[str, Any] = {}
        if (root / "course.toml").exists():
            try:
                settings = tomllib.loads((root / "course.toml").read_text(encoding="utf-8"))
            except tomllib.TOMLDecodeError as error:
                raise CourseError(f"{root / 'course.toml'} is not valid TOML: {error}") from error
        unknown = set(settings) - {"name", "limits"}
        known = {f.name for f in fields(Limits)}
        unknown |= {f"limits.{key}" for key in set(settings.get("limits", {})) - known}
        if unknown:
            raise CourseError(
                f"course.toml: unknown setting {', '.join(sorted(unknown))}; there are name and "
                f"limits ({', '.join(sorted(known))})"
            )
        name = settings.get("name", "diffsbi")
        if not isinstance(name, str) or not re.fullmatch(r"[\w .-]{1,60}", name):
            raise CourseError(
                f"course.toml: name should be letters, digits, blanks, '.', '-', '_', not {name!r}"
            )
        return cls(root, name, Limits(**settings.get("limits", {})))

    @property
    def sets(self) -> list[str]:
        """The problem sets, by name."""
        found = [p.parent.name for p in self.root.glob("source/*/*.ipynb")]
        return sorted(name for name in found if self.source(name).exists())

    def named(self, name: str) -> str:
        """The set that `name` means: its whole name, or a beginning of it such as "ps1".

        Raises:
            CourseError: none or several.
        """
        found = [s for s in self.sets if s == name] or [s for s in self.sets if s.startswith(name)]
        if len(found) != 1:
            what = "several problem sets are" if found else "no problem set is"
            raise CourseError(f"{what} called {name!r}; there are {', '.join(self.sets)}")
        return found[0]

    def source(self, name: str) -> Path:
        """A set's source."""
        return self.root / "source" / name / f"{name}.ipynb"

    def built(self, name: str) -> Path:
        """A set's source with the course's name filled in: what is released and graded."""
        return self.root / ".build" / "source" / name / f"{name}.ipynb"

    def released(self, name: str) -> Path:
        """What students get of a set."""
        return self.root / "release" / name / f"{name}.ipynb"

    def submitted(self, student: str, name: str) -> Path:
        """What a student handed in."""
        return self.root / "submitted" / student / name / f"{name}.ipynb"

    def executed(self, student: str, name: str) -> Path:
        """The same after it was put in order and run."""
        return self.root / ".build" / "executed" / student / name / f"{name}.ipynb"

    def students(self, name: str) -> list[str]:
        """Those who handed in a set."""
        return sorted(p.parent.parent.name for p in self.root.glob(f"submitted/*/{name}/*.ipynb"))

    def nbgrader(self, **directories: str) -> Any:
        """nbgrader's configuration for this folder.

        Raises:
            CourseError: nbgrader is not installed.
        """
        try:
            import nbgrader  # noqa: F401
        except ImportError as error:
            raise CourseError(
                "releasing and grading need nbgrader: pip install 'diffsbi-edu[course]'"
            ) from error
        from traitlets.config import Config

        config = Config()
        where = config.CourseDirectory
        where.root = str(self.root)
        where.source_directory = directories.get("source", ".build/source")
        where.release_directory = "release"
        where.submitted_directory = directories.get("submitted", ".build/executed")
        where.autograded_directory = "graded"
        where.feedback_directory = "feedback"
        where.db_url = f"sqlite:///{self.root / 'gradebook.db'}"
        stub = 'raise NotImplementedError("Not answered yet")'
        config.ClearSolutions.code_stub = {"python": stub}
        config.ClearSolutions.text_stub = "*Your answer here.*"
        config.GenerateAssignment.create_assignment = True
        config.BaseConverter.force = True
        return config


def checked_id(student: str) -> str:
    """A student id that can be the name of a folder.

    Raises:
        CourseError: it cannot.
    """
    student = student.strip()
    if not STUDENT_ID.fullmatch(student) or student == INSTRUCTOR:
        raise CourseError(
            f"{student!r} cannot be a student's id: letters, digits and . _ @ - only, beginning "
            f"with a letter or digit, and not {INSTRUCTOR!r}"
        )
    return student

"""nbgrader's converters, run quietly and with what we change about them."""

from __future__ import annotations

import logging
import os
import sysconfig
import warnings
from typing import Any

from diffsbi_edu.course.folders import Course, CourseError


def run_converter(course: Course, converter: Any, name: str, **directories: str) -> None:
    """Run one of nbgrader's converters over a set, quietly; its errors are ours.

    Raises:
        CourseError: it failed.
    """
    from nbgrader.converters.base import NbGraderException
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import setenv

    config = course.nbgrader(**directories)
    if hasattr(converter, "configure_for_course"):
        converter.configure_for_course(config)
    where = CourseDirectory(config=config, assignment_id=name)
    tool = converter(coursedir=where, config=config)
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log = logging.Logger(f"diffsbi.course.{name}", logging.WARNING)
    log.addHandler(Keep())
    tool.log = log
    # nbgrader runs the command alembic, which is beside this Python even if .venv is not active
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    try:
        with setenv(PATH=path), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbgrader's own, about its data base
            tool.start()
    except (NbGraderException, SystemExit) as error:
        raise CourseError(f"nbgrader could not process {name}: {' | '.join(lines)}") from error


def without_running(converter: Any) -> Any:
    """nbgrader's autograder for notebooks that have been put in order and run already."""

    class Recorded(converter):
        @classmethod
        def configure_for_course(cls, config: Any) -> None:
            from nbgrader import preprocessors as steps

            config.Recorded.sanitize_preprocessors = [steps.OverwriteCells]
            config.Recorded.autograde_preprocessors = [
                steps.LimitOutput,
                steps.SaveAutoGrades,
                steps.AssignLatePenalties,
            ]

    return Recorded


def without_hidden_tests(converter: Any) -> Any:
    """nbgrader's feedback, with hidden tests left out."""

    class Discreet(converter):
        @classmethod
        def configure_for_course(cls, config: Any) -> None:
            from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
            from nbgrader import preprocessors as steps

            config.Discreet.preprocessors = [
                steps.GetGrades,
                steps.ClearHiddenTests,
                CSSHTMLHeaderPreprocessor,
            ]

    return Discreet

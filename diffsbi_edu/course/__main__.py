"""The course's commands: python -m diffsbi_edu.course release, collect, grade, marks, feedback."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from diffsbi_edu.course.folders import Course, CourseError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it went well, 2 with a message if a person has to do something."""
    parser = argparse.ArgumentParser(prog="python -m diffsbi_edu.course", description=__doc__)
    parser.add_argument(
        "--root", type=Path, default=Path("assignments"), help="the course's folder"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in {
        "release": "make the students' copies, without solutions and hidden tests",
        "check": "run the instructor's own solutions: they must score full marks",
        "collect": "take in a folder of submissions (plain, Moodle, Canvas)",
        "grade": "grade what was collected",
        "marks": "take points for written answers from a table into the gradebook",
        "feedback": "write each student's feedback as HTML",
    }.items():
        command = commands.add_parser(name, help=text, description=text)
        several = name in ("release", "check")
        command.add_argument(
            "set",
            nargs="*" if several else 1,
            help="problem sets, such as ps1" + " (all)" * several,
        )
        if name == "collect":
            command.add_argument("--from", dest="folder", type=Path, required=True)
        if name == "marks":
            command.add_argument("--table", type=Path, help="written/<set>.csv if not given")
        if name == "grade":
            command.add_argument("--jobs", type=int, default=2, help="submissions at a time")
            command.add_argument("--students", nargs="+", help="only these")
    options = parser.parse_args(arguments)
    try:
        course = Course.at(options.root)
        course.nbgrader()  # is it there?
        for name in [course.named(s) for s in options.set] or course.sets:
            _run(course, name, options)
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was done is kept, run it again to go on", file=sys.stderr)
        return 130
    return 0


def _run(course: Course, name: str, options: argparse.Namespace) -> None:
    # each of these imports nbgrader's machinery, which takes a while
    from diffsbi_edu.course import collect, grading, marks, release

    if options.command == "release":
        print(f"{name}: {release.release(course, name)}")
    elif options.command == "check":
        result = grading.preflight(course, name)
        print(f"{name}: {result.points:g} of {result.possible:g} points in {result.seconds:.0f} s")
    elif options.command == "collect":
        done = collect.collect(course, name, options.folder)
        print("".join(f"note: {note}\n" for note in done.notes), end="")
        print(f"{name}: {len(done.students)} submissions in {course.root / 'submitted'}")
    elif options.command == "grade":
        results = grading.grade(course, name, students=options.students, jobs=options.jobs)
        for r in results:
            print(f"  {r.student:24s} {r.points:5g} of {r.possible:g}", *r.findings, sep="\n      ")
        walls = Counter(f"{wall}: {held}" for r in results for wall, held in r.walls.items())
        weak = [f"{w} ({n} submissions)" for w, n in walls.items() if not w.endswith(": yes")]
        if weak:
            print("note: submissions were not fully walled in; " + "; ".join(weak))
        print(f"{name}: {len(results)} graded; points in {course.root / 'gradebook.csv'}, what was")
        print(f"noticed in reports/{name}.csv, written answers to mark in written/{name}.csv")
    elif options.command == "marks":
        print(f"{name}: {marks.read_written(course, name, options.table)} written answers marked")
    else:
        print(f"{name}: {len(grading.feedback(course, name))} pages in {course.root / 'feedback'}")


if __name__ == "__main__":
    raise SystemExit(main())

"""The course: what its checks catch, and how long grading takes.

    python benchmarks/course.py                  # all of it: about five minutes on a quiet machine
    python benchmarks/course.py --only mistakes

`mistakes`: of the typical mistakes in tests/mistakes, how many the checks catch, and how many they
name. `solutions`: the instructor's own, in the grader: points and seconds. `class`: the simulated
class of forty of tests/classroom.py: how many are graded as they should be, seconds a submission.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from classroom import NAME, deserved, enrol, hand_in  # noqa: E402
from problem_sets import SETS, SOURCE, exercises, mistakes, verdict  # noqa: E402

from diffsbi_edu.course import collect, grading, release  # noqa: E402
from diffsbi_edu.course.folders import Course  # noqa: E402

SECTIONS = ("mistakes", "solutions", "class")


def try_mistakes() -> None:
    everything = caught_all = named_all = 0
    for name in SETS:
        written = mistakes(name).MISTAKES
        total = caught = named = answers = 0
        for answer, after, space in exercises(name):
            answers += 1
            for code, words in written[answer.name]:
                said = verdict(answer, after, space, code)
                total += 1
                caught += bool(said)
                named += any(re.search(words, message) for message in said)
        print(f"  {name}: {answers} answers, {total} mistakes, {caught} caught, {named} named")
        everything, caught_all, named_all = (
            everything + total,
            caught_all + caught,
            named_all + named,
        )
    print(
        f"  together: {everything} mistakes, {caught_all / everything:.1%} caught, "
        f"{named_all / everything:.1%} named",
        flush=True,
    )


def course_of(folder: str, name: str, settings: str = "") -> Course:
    root = Path(folder) / "assignments"
    shutil.copytree(SOURCE / name, root / "source" / name)
    (root / "course.toml").write_text(settings)
    return Course.at(root)


def run_solutions() -> None:
    for name in SETS:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            found = grading.preflight(course_of(folder, name), name)
            took = time.perf_counter() - start
        print(f"  {name}: {found.points:g} of {found.possible:g} points, {took:.1f} s", flush=True)


def grade_class() -> None:
    with tempfile.TemporaryDirectory() as folder:
        limits = "cell_seconds = 5\npatience = 12\nmemory_gb = 3\n"
        settings = f'name = "simulated"\n[limits]\n{limits}'
        course = course_of(folder, NAME, settings)
        pupils = enrol(grading.preflight(course, NAME).walls)
        (Path(folder) / "in").mkdir()
        hand_in(release.release(course, NAME), Path(folder) / "in", pupils)
        collect.collect(course, NAME, Path(folder) / "in")
        start = time.perf_counter()
        results = {r.student: r for r in grading.grade(course, NAME)}
        took = time.perf_counter() - start
        right = sum(results[p.student].checks == deserved(p) for p in pupils)
        slowest = max(results.values(), key=lambda r: r.seconds)
    print(f"  {right} of {len(pupils)} as they should be; {took:.0f} s in all,")
    print(f"  {took / len(pupils):.1f} s a submission, the slowest {slowest.seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    only = parser.parse_args().only
    for name, measure in zip(SECTIONS, (try_mistakes, run_solutions, grade_class)):
        if name in only:
            print(name, flush=True)
            measure()


if __name__ == "__main__":
    main()

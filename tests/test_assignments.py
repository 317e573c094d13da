"""Problem sets: the instructor's solutions are right, and typical mistakes are caught and named."""

from __future__ import annotations

import re

import pytest
from problem_sets import SETS, SOLUTION, cells, exercises, mistakes, run, verdict, with_answer


@pytest.mark.parametrize("name", SETS)
def test_shape(name: str) -> None:
    found = cells(name)
    names = [c.name for c in found if c.name]
    assert len(names) == len(set(names))
    answers = [c for c in found if c.kind == "answer"]
    assert all("### BEGIN SOLUTION" in c.source for c in answers)
    graded = [c for c in found if c.kind in ("check", "written")]
    assert all(c.points > 0 for c in graded)
    assert any("### BEGIN HIDDEN TESTS" in c.source for c in graded)
    assert 'STUDENT = "your id"' in [c.source for c in found]
    written = [c for c in found if c.kind == "written"]
    assert written
    assert all("**How to mark.**" in c.source for c in written)
    assert any("*Marked with" in c.source for c in found if c.kind == "markdown")
    headings = [c for c in found if c.kind == "markdown" and re.match(r"## Exercise \d", c.source)]
    assert 4 <= len(headings) <= 6
    opening = found[0].source
    total = int(sum(c.points for c in graded))
    by_hand = int(sum(c.points for c in written))
    assert f"**Points** {total}: {total - by_hand} by the checks, {by_hand}" in opening
    for words in ("**You will be able to**", "**Time**", "**Before you start**"):
        assert words in opening
    # the points in a heading are those of the cells up to the next heading
    for i, cell in enumerate(found):
        stated = re.match(r"## Exercise \d+.*\((\d+) points", cell.source)
        if cell.kind == "markdown" and cell.source.startswith("## Exercise"):
            assert stated, f"{cell.source.splitlines()[0]}: state the points"
            here = 0.0
            for other in found[i + 1 :]:
                if other.kind == "markdown" and other.source.startswith("## "):
                    break
                here += other.points
            assert here == int(stated.group(1)), cell.source.splitlines()[0]


@pytest.mark.parametrize("name", SETS)
def test_mistakes(name: str) -> None:
    """At least ten mistakes an exercise; at least 95 % of them caught, with a fitting message."""
    written = mistakes(name).MISTAKES
    total, missed = 0, []
    for answer, after, space in exercises(name):
        tries = written.pop(answer.name, [])
        assert len(tries) >= 10, f"{name}, {answer.name}: only {len(tries)} mistakes"
        assert len({code for code, _ in tries}) == len(tries)
        solution = re.search(r"### BEGIN SOLUTION\n(.*?)[ \t]*### END", answer.source, re.S)
        assert solution is not None
        assert not verdict(answer, after, space, solution.group(1)), "the solution itself"
        assert verdict(answer, after, space, 'raise NotImplementedError("Not answered yet")')
        for code, words in tries:
            total += 1
            said = verdict(answer, after, space, code)
            if not any(re.search(words, message) for message in said):
                missed.append(f"{answer.name}: {code.strip()}\n    said: {said}")
    assert not written, f"mistakes for answers that do not exist: {sorted(written)}"
    assert len(missed) <= 0.05 * total, f"{len(missed)} of {total}:\n" + "\n".join(missed)


@pytest.mark.parametrize("name", SETS)
def test_students_are_told_what_to_define(name: str) -> None:
    """Every name that a check looks for is in what students see of the answer's cell."""
    for answer, after, space in exercises(name):
        solution = SOLUTION.search(answer.source)
        assert solution is not None
        seen = answer.source[: solution.start()] + answer.source[solution.end() :]
        known = dict(space)
        for _ in range(10):
            said = " ".join(run(cell, known) for cell in after)
            missing = re.search(r"NameError: name '(\w+)' is not defined", said)
            if missing is None:
                break
            assert missing.group(1) in seen, (
                f"{name}, {answer.name}: {missing.group(1)} is a riddle"
            )
            known[missing.group(1)] = None


def test_with_answer() -> None:
    source = "def f(x):\n    ### BEGIN SOLUTION\n    y = x\n    return y\n    ### END SOLUTION\n"
    assert with_answer(source, "return 1\nreturn 2") == "def f(x):\n    return 1\n    return 2\n"

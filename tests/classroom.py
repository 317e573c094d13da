"""A simulated class: forty students who hand in problem set 1, and what each of them deserves.

Every kind of submission says itself which checks it should lose, by how it is made; nothing of the
grader is asked. Points come from the source's own cells.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import torch
from problem_sets import Cell, cells, with_answer

NAME = "ps1_gaussian"
ALL = "all"


@dataclass(frozen=True)
class Pupil:
    """A student's id, what kind they are, and the beginnings of names of the checks they lose."""

    student: str
    kind: str
    loses: tuple[str, ...]
    finding: str = ""  # a regular expression that the report should match


def source() -> list[Cell]:
    return [c for c in cells(NAME) if c.name]


def solved(released: Path, student: str, answers: dict[str, str] | None = None) -> Any:
    """The release with right answers, or with other code for some of them."""
    notebook = nbformat.read(released, as_version=4)
    known = {c.name: c for c in source()}
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in known and known[name].kind == "answer":
            if answers and name in answers:
                cell.source = with_answer(known[name].source, answers[name])
            else:
                lines = known[name].source.splitlines()
                cell.source = "\n".join(line for line in lines if "### " not in line)
        elif name in known and known[name].kind == "written":
            cell.source = "The error halves when the steps double, from about 20 steps on."
        elif cell.cell_type == "code" and "STUDENT" in cell.source and not name:
            cell.source = f'STUDENT = "{student}"'
    return notebook


def _answer(name: str, code: str) -> Callable[[Path, str], Any]:
    return lambda released, student: solved(released, student, {name: code})


def _partial(released: Path, student: str) -> Any:
    """Exercises 3 and later left as they came."""
    notebook = solved(released, student)
    empty = {c.metadata.get("nbgrader", {}).get("grade_id"): c for c in _read(released).cells}
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in ("ex3", "ex4", "ex4_own", "ex5"):
            cell.source = empty[name].source
    return notebook


def _blank(released: Path, student: str) -> Any:
    return _read(released)


def _missing(released: Path, student: str) -> Any:
    """The checks of exercise 2 and the whole of exercise 3 deleted; answers in another order."""
    notebook = solved(released, student)
    gone = ("ex2_check", "ex2_hidden", "ex3", "ex3_check", "ex3_hidden")
    notebook.cells = [
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in gone
    ]
    return notebook


def _tampered(released: Path, student: str) -> Any:
    """A wrong answer, checks that say it is right, and points raised."""
    notebook = solved(released, student, {"ex2": "return z"})
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if meta.get("grade_id") == "ex2_check":
            cell.source = "print('all is well')"
            meta["points"] = 100
        if meta.get("grade_id") == "ex2_hidden":
            meta["grade"], meta["locked"] = False, False
    return notebook


def _own_must(released: Path, student: str) -> Any:
    """Checks replaced by a function that is always content."""
    code = "return z\n\ndef must(*_): pass\n\ntensor = number = lambda *a, **k: None"
    notebook = solved(released, student, {"ex2": "return z"})
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "ex2":
            cell.source += "\n\n" + code.partition("\n\n")[2]
    return notebook


def _copied(released: Path, student: str) -> Any:
    """A neighbour's notebook with the neighbour's numbers, typed in; the functions are right."""
    from diffsbi_edu.course import Student

    neighbour = Student("neighbour", course="simulated")
    s = float(neighbour.uniform("ex4 s", 0.5, 1.5))
    r = float(neighbour.uniform("ex4 r", 0.5, 2.0))
    sds = (neighbour.uniform("sd_0", 1.0, 2.0), 0.5), (neighbour.uniform("sd_x", 0.4, 0.8), -0.5)
    S0, C = (sd**2 * torch.tensor([[1.0, c], [c, 1.0]]) for sd, c in sds)
    sd_theta_1 = (S0.inverse() + C.inverse()).inverse()[0, 0].sqrt()
    numbers = {
        "ex1_own": f"sd_theta_1 = {sd_theta_1:.4f}",
        "ex4_own": f"lowest_loss = {s**2 / (s**2 + r**2):.4f}",
    }
    return solved(released, "neighbour", numbers)


def _unreadable(released: Path, student: str) -> str:
    return json.dumps(_read(released))[:2000]


def _thief(released: Path, student: str) -> Any:
    """Looks for others' work and for solutions; a wrong answer if there is anything to be found."""
    code = """
from pathlib import Path
found = []
for root in (Path("/tmp"), Path("COURSE")):
    found += [p for p in root.rglob("*.ipynb") if not {"site-packages", "notebooks"} & set(p.parts)]
assert not found, found
def noised(z, alpha, sigma, eps):
    return alpha * z + sigma * eps
""".replace("COURSE", str(released.parents[2]))
    notebook = solved(released, student)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "ex2":
            cell.source = code
    return notebook


def _vandal(released: Path, student: str) -> Any:
    """Deletes what it can, and tries the network; then answers rightly."""
    code = """
import shutil, socket
from pathlib import Path
shutil.rmtree("COURSE", ignore_errors=True)
try:
    (Path(torch.__file__).parent / "vandal").write_text("was here")
    harm = True
except OSError:
    harm = False
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
    harm = True
except TimeoutError:
    harm = True
except OSError:
    pass
def noised(z, alpha, sigma, eps):
    return z if harm else alpha * z + sigma * eps
""".replace("COURSE", str(released.parents[2]))
    notebook = solved(released, student)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "ex2":
            cell.source = code
    return notebook


def _warns(released: Path, student: str) -> Any:
    code = "import warnings\nwarnings.warn('slow')\nreturn alpha * z + sigma * eps"
    return solved(released, student, {"ex2": code})


def _own_cells(released: Path, student: str) -> Any:
    """Right, with a helper in a cell of the student's own, and a cell that fails."""
    notebook = solved(released, student, {"ex2": "return mix(z, alpha) + mix(eps, sigma)"})
    place = next(
        i
        for i, c in enumerate(notebook.cells)
        if c.metadata.get("nbgrader", {}).get("grade_id") == "ex2"
    )
    helper = nbformat.v4.new_code_cell("def mix(a, b):\n    return a * b")
    fails = nbformat.v4.new_code_cell("1 / 0")
    notebook.cells[place:place] = [helper, fails]
    return notebook


def _read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def _forever(name: str) -> Callable[[Path, str], Any]:
    return _answer(name, "while True:\n    pass")


STUBBORN = """
import time
while True:
    try:
        time.sleep(1)
    except BaseException:
        pass
"""
LONG = "it took longer than|it did not end within"  # the latter on a busy machine
HOG = "kept = []\nwhile True:\n    kept.append(torch.ones(10_000_000))"
CRASH = "import ctypes\nctypes.string_at(0)"
PRINTS = "while True:\n    print('and again ' * 20)"
FORKS = "import os\nwhile True:\n    os.fork()"
EX3 = ("ex3",)

# kind → how it is made, what it loses, what the report should say, how many of them
KINDS: dict[str, tuple[Callable[[Path, str], Any], tuple[str, ...], str, int]] = {
    "correct": (solved, (), "", 5),
    "partial": (_partial, ("ex3", "ex4", "ex5"), "", 3),
    "blank": (_blank, (ALL,), "", 3),
    "wrong by sign": (_answer("ex2", "return alpha * z - sigma * eps"), ("ex2",), "", 3),
    "wrong by scale": (_answer("ex2", "return alpha * z + sigma**2 * eps"), ("ex2",), "", 3),
    "crash": (_answer("ex2", CRASH), ("ex2",), "the kernel died", 2),
    "infinite loop": (_forever("ex2"), ("ex2",), LONG, 2),
    "loop in a cell": (_answer("ex4_own", "while True:\n    pass"), ("ex4_own",), LONG, 1),
    "sleeps through signals": (_answer("ex2", STUBBORN), ("ex2",), "it did not end within", 1),
    "memory hog": (_answer("ex2", HOG), ("ex2",), "", 2),
    "fork bomb": (_answer("ex2", FORKS), ("ex2",), "processes", 1),
    "prints without end": (_answer("ex2", PRINTS), ("ex2",), "it printed more", 2),
    "missing cells": (_missing, EX3, "ex3: the cell was missing", 2),
    "tampered tests": (_tampered, ("ex2",), "a locked cell was changed", 2),
    "own must": (_own_must, ("ex2",), "read this answer", 1),
    "copied": (_copied, ("ex1_own", "ex4_own"), "the notebook says 'neighbour'", 2),
    "unreadable": (_unreadable, (ALL,), "could not be read", 1),
    "thief": (_thief, (), "", 1),
    "vandal": (_vandal, (), "socket", 1),
    "warns": (_warns, (), "", 1),
    "own cells": (_own_cells, (), "", 1),
}


WALLED = ("fork bomb", "thief", "vandal")  # only walls hold these


def enrol(walls: dict[str, str]) -> list[Pupil]:
    """The class; where a system does not allow all walls, three more of it behave."""
    weak = any(held != "yes" for held in walls.values())
    pupils = []
    for kind, (_, loses, finding, count) in KINDS.items():
        for i in range(count):
            name = f"{kind.replace(' ', '-')}-{i}"
            if weak and kind in WALLED:
                pupils.append(Pupil(name, "correct", (), ""))
            else:
                pupils.append(Pupil(name, kind, loses, finding))
    return pupils


def hand_in(released: Path, folder: Path, pupils: Iterable[Pupil]) -> None:
    """Everybody's notebook, as `<student>.ipynb` in a plain folder."""
    for pupil in pupils:
        made = KINDS[pupil.kind][0](released, pupil.student)
        text = made if isinstance(made, str) else nbformat.writes(copy.deepcopy(made))
        (folder / f"{pupil.student}.ipynb").write_text(text, encoding="utf-8")


def deserved(pupil: Pupil) -> dict[str, float]:
    """Points by check."""
    checks = {c.name: float(c.points) for c in source() if c.kind == "check"}
    return {name: 0.0 if _lost(name, pupil.loses) else points for name, points in checks.items()}


def _lost(check: str, loses: tuple[str, ...]) -> bool:
    """`ex4_own` loses its own check only; `ex4` all of exercise 4."""
    return any(lost == ALL or check == lost or check.startswith(lost + "_") for lost in loses)

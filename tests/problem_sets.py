"""Problem sets as tests see them: cells by name, run in this process, with answers exchanged.

The grader runs each set in a kernel of its own; some three hundred mistakes would take it an hour.
Here a set's namespace is kept just before every answer, and only the answer and its checks run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "assignments" / "source"
SETS = sorted(path.name for path in SOURCE.glob("ps*"))
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION\n?", re.M | re.S)


@dataclass(frozen=True)
class Cell:
    """One cell; `name` is its grade_id, or "" where it has none."""

    kind: str  # "markdown", "code", "locked", "answer", "check", "written"
    name: str
    source: str
    points: float


def cells(name: str) -> list[Cell]:
    """The cells of a problem set's source."""
    notebook = nbformat.read(SOURCE / name / f"{name}.ipynb", as_version=4)
    found = []
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        kind = cell.cell_type
        if meta.get("grade") and meta.get("solution"):
            kind = "written"
        elif meta.get("grade"):
            kind = "check"
        elif meta.get("solution"):
            kind = "answer"
        elif meta.get("locked"):
            kind = "locked"
        found.append(Cell(kind, meta.get("grade_id", ""), cell.source, meta.get("points", 0)))
    return found


def mistakes(name: str) -> ModuleType:
    """The module `tests/mistakes/<set>.py`: MISTAKES, answer → [(code, words of the message)]."""
    path = ROOT / "tests" / "mistakes" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"mistakes_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_answer(source: str, code: str) -> str:
    """An answer cell with `code` in place of its solution."""
    found = SOLUTION.search(source)
    assert found, "an answer needs a solution region"
    body = textwrap.indent(textwrap.dedent(code).strip("\n"), found.group(1)) + "\n"
    return source[: found.start()] + body + source[found.end() :]


def run(cell: Cell, space: dict[str, Any], source: str | None = None) -> str:
    """Run a cell; what it raised as "Type: message", or "" if all went well."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(cell.source if source is None else source, cell.name, "exec"), space)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def exercises(name: str) -> Iterator[tuple[Cell, list[Cell], dict[str, Any]]]:
    """Each answer, the cells from it to its last check, and the namespace just before it.

    The rest of the set is solved. An answer without checks (the student's id) is passed over.
    """
    space: dict[str, Any] = {}
    everything = [c for c in cells(name) if c.kind not in ("markdown", "written")]
    starts = [i for i, c in enumerate(everything) if c.kind == "answer"]
    for i, cell in enumerate(everything):
        if cell.kind == "answer":
            end = min([j for j in starts if j > i], default=len(everything))
            own = everything[i + 1 : end]
            while own and own[-1].kind != "check":
                own.pop()
            if own:
                yield cell, own, dict(space)
        problem = run(cell, space)
        assert not problem, f"{name}, {cell.name}: {problem}"


def verdict(answer: Cell, after: list[Cell], space: dict[str, Any], code: str) -> list[str]:
    """What the answer and its checks say when `code` is the answer; [] if nobody notices."""
    space = dict(space)
    said = [run(answer, space, with_answer(answer.source, code))]
    said += [run(cell, space) for cell in after]
    return [message for message in said if message]

"""What is graded: the instructor's notebook with a student's answers put in.

A submission may lack cells, hold them twice, in another order, or with tests that were edited. So
nothing of it is trusted but its answers: every cell with a name comes from the source, in the
source's order; the answers are the student's; and cells that a student added stay where they were.
What was found on the way is for the report.
"""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass, field
from typing import Any

# Names in an answer that have no business there: somebody should read it.
MACHINERY = re.compile(
    r"DIFFSBI_|_GRADED|os\.environ|get_ipython|sys\.modules|\bglobals\(\)|\b(?:__)?builtins(?:__)?\b"
    r"|\bcourse\.(?:verdicts|students)\b|\bdef (?:must|number|tensor|function)\b"
    r"|^(?:must|number|tensor|me) *=|\bsubprocess\b|\bsocket\b",
    re.M,
)


MARKERS = re.compile(r"### (?=BEGIN|END)")  # nbgrader's own, which an answer has no use for
NO_ID = "your id"  # what the release says before a student fills it in


@dataclass
class Assembled:
    """A notebook to grade, and what was noticed while making it."""

    notebook: Any
    findings: list[str] = field(default_factory=list)


def assemble(built: Any, released: Any, submission: Any | None, student: str) -> Assembled:
    """The notebook to grade.

    Args:
        built: the set's source, with hidden tests (nbformat 4).
        released: what the student got: the answers' empty forms.
        submission: what the student handed in; None if it could not be read.
        student: who handed it in.
    """
    result = Assembled(copy.deepcopy(built))
    result.notebook.cells = []
    if submission is None:
        submission = copy.deepcopy(released)
        submission.cells = [c for c in submission.cells if _name(c)]
    empty = {_name(c): c for c in released.cells if _name(c)}
    claimed = [i for i in map(stated_id, submission.cells) if i is not None]
    theirs, before = _sorted(submission, empty, result)
    for cell in built.cells:
        name = _name(cell)
        if not name:
            continue
        result.notebook.cells += before.get(name, [])
        cell = copy.deepcopy(cell)
        found = theirs.get(name)
        if found is None:
            result.findings.append(f"{name}: the cell was missing; it was put back")
        if cell.metadata.nbgrader.solution:
            cell.source = MARKERS.sub("# ", (found or empty[name]).source)
            if found is not None and found.get("attachments"):
                cell["attachments"] = found["attachments"]
            strange = sorted({m.group(0).strip() for m in MACHINERY.finditer(cell.source)})
            if strange and cell.cell_type == "code":
                result.findings.append(f"{name}: read this answer, it uses {', '.join(strange)}")
        elif found is not None and found.source.strip() != empty[name].source.strip():
            result.findings.append(f"{name}: a locked cell was changed; the original was graded")
        result.notebook.cells.append(cell)
    result.notebook.cells += before.get("", [])
    _give_ids(result.notebook)
    if claimed and claimed[-1] not in (student, NO_ID):
        result.findings.append(
            f"handed in by {student}, but the notebook says {claimed[-1]!r}; graded on the numbers "
            f"of {student}"
        )
    return result


def _sorted(
    submission: Any, known: dict[str, Any], result: Assembled
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Cells by name, and the student's own cells by the name of the cell that they stand before."""
    theirs: dict[str, Any] = {}
    before: dict[str, list[Any]] = {}
    waiting: list[Any] = []
    for cell in submission.cells:
        name = _name(cell)
        if name in known and name not in theirs:
            theirs[name] = cell
            before[name] = waiting
            waiting = []
        elif name in known:
            if theirs[name].source.strip() == known[name].source.strip():
                theirs[name] = cell  # the first one was left empty
            result.findings.append(f"{name}: the cell is there twice; one of them was graded")
        elif cell.cell_type in ("code", "markdown"):
            cell = copy.deepcopy(cell)
            cell.source = MARKERS.sub("# ", cell.source)
            cell.metadata.pop("nbgrader", None)
            if cell.cell_type == "code" and MACHINERY.search(cell.source):
                found = sorted({m.group(0).strip() for m in MACHINERY.finditer(cell.source)})
                result.findings.append(f"an added cell uses {', '.join(found)}: read it")
            waiting.append(cell)
    before[""] = waiting
    return theirs, before


def stated_id(cell: Any) -> str | None:
    """The text that a cell gives to STUDENT; None if it gives none."""
    if cell.cell_type != "code" or "STUDENT" not in cell.source:
        return None
    try:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                target = node.targets[0]
                if isinstance(target, ast.Name) and target.id == "STUDENT":
                    return str(node.value.value).strip()
    except (SyntaxError, ValueError):
        pass
    return None


def _name(cell: Any) -> str:
    meta = cell.metadata.get("nbgrader", {})
    return str(meta.get("grade_id", "")) if isinstance(meta, dict) else ""


def _give_ids(notebook: Any) -> None:
    """Every cell an id of its own, as the format asks."""
    seen: set[str] = set()
    for i, cell in enumerate(notebook.cells):
        if not isinstance(cell.get("id"), str) or cell["id"] in seen:
            cell["id"] = f"cell-{i}"
        seen.add(cell["id"])
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None

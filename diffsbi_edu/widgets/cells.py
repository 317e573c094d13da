"""Re-running a notebook cell replaces the dashboard it made: the old one is closed first."""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any, Protocol


class Closable(Protocol):
    """Anything with a `close` method."""

    def close(self) -> None:
        """End it."""


_of_cell: dict[str, list[weakref.ref[Any]]] = {}
_running: tuple[int, str] | None = None
_lock = threading.Lock()


def current_cell() -> tuple[int, str] | None:
    """(execution count, key) of the notebook cell being run, None outside IPython.

    The key is the cell's id where the front end sends one (JupyterLab does), else its source.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return None
    parent: dict[str, Any] = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code")
    return (shell.execution_count, str(cell)) if cell else None


def replace_previous(dashboard: Closable) -> None:
    """Close what earlier runs of this cell made; what this run made before stays.

    Args:
        dashboard: the new one, held only weakly.
    """
    here = current_cell()
    if here is None:
        return
    global _running
    with _lock:
        again = here != _running
        _running = here
        previous = _of_cell.pop(here[1], []) if again else []
        _of_cell.setdefault(here[1], []).append(weakref.ref(dashboard))
    for reference in previous:
        old = reference()
        if old is not None:
            old.close()


def close_tree(box: Any) -> None:
    """Close every widget inside a box, with its layout and style, which ipywidgets leaves open.

    Links between widgets are looked for in ``box.links``, controls not shown in
    ``box.unseen``. A link that outlived its ends would keep a page that is opened again waiting for
    them for ever.
    """
    for link in getattr(box, "links", ()):
        link.close()
    for child in (*getattr(box, "children", ()), *getattr(box, "unseen", ())):
        close_tree(child)
        child.close()
    for part in (getattr(box, "style", None), getattr(box, "layout", None)):
        if part is not None:
            part.close()

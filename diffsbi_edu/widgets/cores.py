"""How many cores torch uses in a dashboard's thread: one, if the network is small."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

#: Weights times batch size below which a step is too short to be worth sharing out.
SMALL_STEP = 2e8

_lock = threading.Lock()
_inside = 0
_normally = 0


@contextmanager
def one_core(wanted: bool = True) -> Iterator[None]:
    """Let torch compute on one core in this thread; other threads keep what they have.

    Each thread that computes on all cores brings a team of helpers. With a second team (the
    notebook's own thread has the first) there are more helpers than cores, they wait for one
    another at every operation, and a step of a small network takes half as long again as on one
    core. The other cores stay free for the browser.

    torch hands its setting on to new threads, so the last one out puts it back.

    Args:
        wanted: False to change nothing.
    """
    global _inside, _normally
    if not wanted:
        yield
        return
    with _lock:
        if _inside == 0:
            _normally = torch.get_num_threads()
        _inside += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_normally)

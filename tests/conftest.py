"""What every test shares: one-thread torch in parallel workers, seeded hypothesis, Chromium."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest
import torch

# Workers of pytest-xdist share the cores: one thread each is faster than all of them for all.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

# Property tests try the same examples in every run (a red test must stay red until it is fixed) and
# have no deadline of their own (a busy machine is not a bug; --timeout still ends a hanging test).
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))

NO_CHROMIUM = (
    "no Chromium found: run `make browser` (Debian), or `.venv/bin/playwright install chromium`, "
    "or set CHROMIUM to the path of a Chromium or Chrome"
)


@cache
def find_chromium() -> str | None:
    """A Chromium to drive: $CHROMIUM, else one on the PATH, else the one playwright installed."""
    asked = os.environ.get("CHROMIUM")
    if asked:
        return shutil.which(asked)
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            path = playwright.chromium.executable_path
    except Exception:  # no playwright, or one that cannot start here: the same as no browser
        return None
    return path if os.path.exists(path) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without a Chromium, browser tests skip; with DIFFSBI_BROWSER=required they fail."""
    if item.get_closest_marker("browser") and find_chromium() is None:
        if os.environ.get("DIFFSBI_BROWSER") == "required":
            pytest.fail(NO_CHROMIUM, pytrace=False)
        pytest.skip(NO_CHROMIUM)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failed browser test shows what page and kernel were doing: few such failures come twice."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if page is not None and report.when == "call" and report.failed:
        import lab

        picture = Path(tempfile.mkdtemp(prefix="browser_test_")) / f"{item.name}.png"
        try:
            report.sections.append(("page and kernel", lab.state_of(page, picture)))
        except Exception as error:  # whatever it is, the failure itself must be reported
            report.sections.append(("page and kernel", f"could not be asked: {error}"))
    return report


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the Chromium that browser tests drive."""
    path = find_chromium()
    if path is None:
        pytest.skip(NO_CHROMIUM)
    return path


def pytest_report_header() -> str:
    names = ("torch", "numpy", "jupyterlab", "ipykernel", "ipywidgets")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"{versions}; torch threads: {torch.get_num_threads()}"

"""A real JupyterLab on 127.0.0.1 and a real Chromium looking at it, for browser tests and benches.

Everything waits for a condition with a time limit; nothing sleeps and hopes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import sync_playwright

PROBE = "import ipywidgets, diffsbi_edu as ds\nipywidgets.HTML('widgets ' + 'work')"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PATIENCE = 60_000  # ms; generous, since CI machines are slow and shared


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of code cells."""
    content = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{i}",
                "execution_count": None,
                "metadata": {},
                "outputs": [],
                "source": source,
            }
            for i, source in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content), encoding="utf-8")


@contextmanager
def jupyter_lab(folder: Path, theme: str = "JupyterLab Light") -> Iterator[str]:
    """A JupyterLab server in `folder`, with settings of its own; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        settings = Path(home) / "settings" / "@jupyterlab"
        for name, value in {
            "apputils-extension/themes": {"theme": theme},
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
            "notebook-extension/tracker": {"autoStartDefaultKernel": True},
        }.items():
            file = settings / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value), encoding="utf-8")
        root = Path(__file__).resolve().parent.parent
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": f"{home}/config",
            "JUPYTER_DATA_DIR": f"{home}/data",
            "JUPYTER_RUNTIME_DIR": f"{home}/runtime",
            "JUPYTERLAB_SETTINGS_DIR": f"{home}/settings",
            "JUPYTERLAB_WORKSPACES_DIR": f"{home}/workspaces",
            "PYTHONPATH": os.pathsep.join(
                part for part in (os.environ.get("PYTHONPATH"), str(root)) if part
            ),
        }
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}",
            "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", "--allow-root",
            "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
            "--LabApp.news_url=None", "--ServerApp.disable_check_xsrf=True",
        ]  # fmt: skip
        log = Path(home) / "lab.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, cwd=folder
            )
            address = f"http://127.0.0.1:{port}"
            try:
                _until_served(f"{address}/api", server, log)
                yield address
            finally:
                server.terminate()
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait(20)


def _until_served(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


@contextmanager
def browser(executable: str, width: int = 1400, height: int = 1500) -> Iterator[Any]:
    """A page of a fresh Chromium; `page.complaints` collects what the console calls errors."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        try:
            page = chromium.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(PATIENCE)
            page.complaints = []
            page.on(
                "console",
                lambda m: page.complaints.append(m.text) if m.type == "error" else None,
            )
            page.on("pageerror", lambda error: page.complaints.append(str(error)))
            yield page
        finally:
            chromium.close()


def open_notebook(page: Any, address: str, name: str) -> None:
    """Show a notebook in a workspace of its own, so that no other one is restored beside it."""
    page.goto(f"{address}/lab/workspaces/{Path(name).stem}/tree/{name}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.locator('.jp-NotebookPanel-toolbar [data-status="idle"]').wait_for(state="attached")


def wait_for_widgets(page: Any) -> None:
    """Run the first cell, which must be `PROBE`, until the widget that it makes is seen.

    For a few seconds after a notebook is opened, JupyterLab shows an idle kernel but may drop what
    it is asked to run, or not yet know any widgets.
    """
    seen = page.get_by_text("widgets work", exact=True)
    for _ in range(12):
        page.locator(".jp-CodeCell").first.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        try:
            seen.wait_for(timeout=10_000)
        except PlaywrightTimeout:
            continue
        page.complaints.clear()
        return
    raise AssertionError("JupyterLab would not show a widget")


def run_all_cells(page: Any) -> None:
    """Run every cell by the menu, as a reader does; the first must be `PROBE`."""
    wait_for_widgets(page)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('.lm-Menu [data-command="runmenu:run-all"]').click()


def until(page: Any, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until `condition()` is true; returns its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        page.wait_for_timeout(50)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


def ask_kernel(page: Any, expression: str) -> str:
    """The value of an expression, by way of a new last cell."""
    page.locator(".jp-Notebook").click(position={"x": 3, "y": 3})
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    last = page.locator(".jp-CodeCell").last
    last.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f"print('answer', {expression})")
    page.keyboard.press("Control+Enter")
    answer = last.locator(".jp-OutputArea-output pre", has_text="answer")
    answer.wait_for()
    until(page, lambda: "[*]" not in last.locator(".jp-InputPrompt").inner_text(), "an answer")
    return str(answer.inner_text()).removeprefix("answer").strip()


# Where every thread of the kernel is, and which wishes wait for a dashboard's worker.
STACKS = (
    "*('\\n' + t.name + '\\n' + ''.join(__import__('traceback').format_stack("
    "__import__('sys')._current_frames()[t.ident])[-4:]) "
    "for t in __import__('threading').enumerate()), "
    "*('\\n' + repr((o, o._wishes)) for o in __import__('gc').get_objects() "
    "if type(o).__name__ == 'Mailbox')"
)


def state_of(page: Any, picture: Path) -> str:
    """What a failed test leaves behind, in words; `picture` gets a screenshot of it."""
    said = [f"screenshot: {picture}", *(f"console: {text}" for text in page.complaints)]
    page.screenshot(path=picture)
    page.set_default_timeout(15_000)
    try:
        said.append(f"kernel: {ask_kernel(page, STACKS)}")
    except (PlaywrightTimeout, AssertionError) as error:
        said.append(f"kernel: no answer: {error}")
    return "\n".join(said)

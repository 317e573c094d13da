"""The dashboards' bars: `LiveTraining` in a real JupyterLab page, against training without it.

    python benchmarks/dashboard.py [--seconds 20] [--rounds 3]

Measures, in one run and one kernel: training throughput headless and under the visible dashboard
(alternating, so that a machine that drifts does so for both), frames a second as the browser shows
them, the time from running the cell to the first frame, and from moving a control to its effect.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import lab
from conftest import find_chromium

HEADLESS = """
import time, torch
from diffsbi_edu.widgets.cores import one_core
def headless(seconds):
    model = ds.ConditionalDiffusion(ds.problems.TwoMoons(), device="cpu", seed=0)
    start = None
    for state in ds.train(model, 10**6, seed=0):
        if state.step == 20:
            start = time.perf_counter()
        if start and time.perf_counter() - start > seconds:
            return (state.step - 20) * 512 / (time.perf_counter() - start)
"""
DASHBOARD = """
dashboard = ds.widgets.LiveTraining(ds.problems.TwoMoons(), steps=10**6, device="cpu")
dashboard
"""
# Counts the pictures that the page shows.
WATCH = """() => {
  if (window.shown === undefined) {
    window.shown = 0;
    document.querySelector(".widget-image").addEventListener("load", () => window.shown++);
  }
}"""
# Sums up the left panel, the exact posterior, which changes only if the observation does.
PANEL = """() => {
  const image = document.querySelector(".widget-image");
  const canvas = document.createElement("canvas");
  canvas.width = 230;
  canvas.height = 270;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, 230, 270).data.reduce((a, b, i) => (a * 31 + b * i) % 1e9, 0);
}"""


class Kernel:
    """Runs expressions in the notebook's kernel, by its last cell."""

    def __init__(self, page: Any) -> None:
        self.page, self.asked = page, 0

    def ask(self, code: str, expression: str, seconds: float) -> Any:
        self.asked += 1
        last, page = self.page.locator(".jp-CodeCell").last, self.page
        last.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(f"{code}\nprint('answer {self.asked}:', {expression})")
        page.keyboard.press("Control+Enter")
        output = last.locator("pre", has_text=f"answer {self.asked}:")
        output.wait_for(timeout=1000 * (seconds + 60))
        return json.loads(output.inner_text().split(":", 1)[1])


def until_it_says(page: Any, word: str) -> None:
    page.locator(".widget-html b", has_text=re.compile(f"^{word}$")).wait_for()


def measure(page: Any, address: str, seconds: float, rounds: int) -> dict[str, Any]:
    lab.open_notebook(page, address, "bench.ipynb")
    lab.run_all_cells(page)
    kernel = Kernel(page)
    kernel.ask("", "1", 60)

    # First frame: from running the dashboard's cell to its picture on the page.
    cell = page.locator(".jp-CodeCell").nth(2)
    first = []
    for _ in range(rounds):
        cell.locator(".cm-content").click()
        kernel.page.evaluate("document.querySelectorAll('.widget-image').forEach(e => e.remove())")
        start = time.perf_counter()
        page.keyboard.press("Control+Enter")
        page.wait_for_function(
            "() => document.querySelector('.widget-image')?.naturalWidth > 100", polling=20
        )
        first.append(time.perf_counter() - start)
    page.locator(".diffsbi-plane img").wait_for()

    ratios, frames, headless, single, live = [], [], [], [], []
    for _ in range(rounds):
        headless.append(kernel.ask("", f"headless({seconds / 2})", seconds))
        page.locator("button", has_text="Start").first.click()
        until_it_says(page, "training")
        page.evaluate(WATCH)
        mark = "(len(dashboard.history), time.perf_counter())"
        step, then = kernel.ask("", f"list({mark})", 10)
        seen = page.evaluate("window.shown")
        begin = time.perf_counter()
        page.wait_for_timeout(1000 * seconds)
        frames.append((page.evaluate("window.shown") - seen) / (time.perf_counter() - begin))
        step_now, now = kernel.ask("", f"list({mark})", 10)
        live.append((step_now - step) * 512 / (now - then))
        page.locator("button", has_text="Pause").first.click()
        until_it_says(page, "paused")
        headless.append(kernel.ask("", f"headless({seconds / 2})", seconds))
        on_one = f"with one_core(): single = headless({seconds / 2})"
        single.append(kernel.ask(on_one, "single", seconds))
        ratios.append(live[-1] / statistics.mean(headless[-2:]))

    # A control's effect: from a key on a slider to the next picture, while it trains.
    page.locator("button", has_text="Start").first.click()
    until_it_says(page, "training")
    plane, delays = page.locator(".diffsbi-plane"), []
    plane.focus()
    for i in range(5 * rounds):
        page.wait_for_timeout(700 + 37 * i)  # not in step with the frames
        old = page.evaluate(PANEL)
        start = time.perf_counter()
        plane.press("ArrowRight" if i % 2 else "ArrowLeft")
        # The first picture of another observation says so: its exact posterior has moved.
        page.wait_for_function(f"old => ({PANEL})() !== old", arg=old, polling=20)
        delays.append(time.perf_counter() - start)
    return {
        "first frame (s)": first,
        "frames/s": frames,
        "headless pairs/s": headless,
        "... on one core": single,
        "live pairs/s": live,
        "live / headless": ratios,
        "live / one core": [a / b for a, b in zip(live, single)],
        "control's effect (s)": delays,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each stretch of training")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium: run `make browser`, or set CHROMIUM")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        lab.write_notebook(Path(name) / "bench.ipynb", lab.PROBE, HEADLESS, DASHBOARD, "0")
        with lab.jupyter_lab(Path(name)) as address, lab.browser(executable) as page:
            results = measure(page, address, options.seconds, options.rounds)
    bars = {
        "first frame (s)": ("max", 1.0),
        "frames/s": ("min", 3.0),
        "live / headless": ("min", 0.8),
        "control's effect (s)": ("max", 0.5),
    }
    for what, values in results.items():
        line = f"{what:22s} median {statistics.median(values):10.3f}"
        line += f"   {min(values):10.3f} to {max(values):10.3f}"
        if what in bars:
            side, bar = bars[what]
            middle = statistics.median(values)
            ok = middle <= bar if side == "max" else middle >= bar
            line += f"   bar {'≤' if side == 'max' else '≥'} {bar}: {'met' if ok else 'MISSED'}"
        print(line)


if __name__ == "__main__":
    main()

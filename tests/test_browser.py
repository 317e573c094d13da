"""The dashboards in a real JupyterLab in a real Chromium: what a reader sees and does.

One server and one page serve the whole file; each test opens a notebook of its own. Run it under
another ipykernel with `make kernels-test`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the browser tests need playwright")
import lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

LIVE = """
dashboard = ds.widgets.LiveTraining(
    ds.problems.TwoMoons(), width=32, depth=1, steps=100_000, device="cpu", samples=200
)
dashboard
"""
# JupyterLab's own affairs, which say nothing about the dashboards.
NOT_OURS = ("debugger state", "favicon", "Failed to load resource", "Canceled future")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def address(folder: Path, chromium: str) -> Iterator[str]:
    with lab.jupyter_lab(folder) as address:
        yield address


@pytest.fixture
def page(address: str, chromium: str) -> Iterator[Any]:
    with lab.browser(chromium) as page:
        yield page
        ours = [text for text in page.complaints if not any(word in text for word in NOT_OURS)]
        assert ours == [], "the browser's console complains"


def show(page: Any, address: str, folder: Path, name: str, *cells: str) -> None:
    """A new notebook of these cells, run."""
    lab.write_notebook(folder / name, lab.PROBE, *cells)
    lab.open_notebook(page, address, name)
    lab.run_all_cells(page)


def frame(page: Any, index: int = 0) -> str | None:
    """Address of the picture on show; each new frame has a new one."""
    image = page.locator(".widget-image").nth(index)
    if image.count() == 0 or image.evaluate("e => e.naturalWidth") < 100:
        return None
    return str(image.get_attribute("src"))


def first_frame(page: Any, index: int = 0) -> str:
    return str(lab.until(page, lambda: frame(page, index), "a first frame"))


def new_frame(page: Any, old: str, index: int = 0) -> str:
    def changed() -> str | None:
        now = frame(page, index)
        return now if now != old else None

    return str(lab.until(page, changed, "another frame"))


def status(page: Any, word: str) -> None:
    page.locator(".widget-html b", has_text=re.compile(f"^{word}$")).wait_for()


def press(page: Any, name: str) -> None:
    # The name that assistive technology hears begins with the icon's glyph.
    page.get_by_role("button", name=re.compile(rf"(^|\W){name}$")).first.click()


def slider(page: Any, label: str) -> Any:
    """The handle of the slider with this label."""
    row = page.locator(".widget-inline-hbox").filter(
        has=page.locator(".widget-label", has_text=label)
    )
    return row.first.locator(".noUi-handle")


def readout(page: Any, label: str) -> str:
    row = page.locator(".widget-inline-hbox").filter(
        has=page.locator(".widget-label", has_text=label)
    )
    return str(row.first.locator(".widget-readout").inner_text())


def by_key(page: Any, label: str, key: str) -> None:
    """Move a slider as a reader without a mouse does."""
    before, handle = readout(page, label), slider(page, label)
    handle.focus()
    handle.press(key)
    lab.until(page, lambda: readout(page, label) != before, f"{label} to move")


def test_live_training(page: Any, address: str, folder: Path) -> None:
    show(page, address, folder, "live.ipynb", LIVE, "0")
    shown = first_frame(page)
    status(page, "ready")

    # Training redraws the picture, again and again, and the kernel stays free.
    press(page, "Start")
    status(page, "training")
    for _ in range(3):
        shown = new_frame(page, shown)
    assert lab.ask_kernel(page, "dashboard.status") == "training"

    # A slider moved by the keyboard, and a click in the data plane, reach the kernel.
    by_key(page, "learning rate", "ArrowLeft")
    by_key(page, "solver steps", "ArrowRight")
    plane = page.locator(".diffsbi-plane")
    box = plane.bounding_box()
    before = plane.get_attribute("aria-label")
    plane.click(position={"x": 0.7 * box["width"], "y": 0.3 * box["height"]})
    lab.until(page, lambda: plane.get_attribute("aria-label") != before, "the click")
    clicked = plane.get_attribute("aria-label")
    plane.press("ArrowDown")
    lab.until(page, lambda: plane.get_attribute("aria-label") != clicked, "the arrow key")
    shown = new_frame(page, shown)
    settings = "[dashboard.knobs.lr, dashboard._loop.view.solver_steps]"
    lab.until(page, lambda: lab.ask_kernel(page, settings) == "[0.005, 11]", "the sliders' effect")
    x = lab.ask_kernel(page, "[*dashboard.x_obs[0].tolist(), *dashboard._observation.plane.limits]")
    x_1, x_2, *limits = json.loads(x)
    assert (limits[0] + limits[1]) / 2 < x_1 < limits[1], "right of the middle"
    assert (limits[2] + limits[3]) / 2 < x_2 < limits[3], "above the middle"
    assert readout(page, "x 1") == f"{x_1:.2f}".replace("-", "−")

    # Going back in the history, and to the present again.
    press(page, "Pause")
    status(page, "paused")
    shown = first_frame(page)
    slider(page, "snapshot").press("Home")
    lab.until(page, lambda: readout(page, "snapshot") == "0", "the scrubber")
    shown = new_frame(page, shown)
    press(page, "Live")
    shown = new_frame(page, shown)
    lab.until(page, lambda: readout(page, "snapshot") != "0", "the scrubber")

    # Exports land beside the notebook.
    press(page, "PNG")
    page.get_by_text("wrote").wait_for()
    assert len(list(folder.glob("two_moons_step_*.png"))) == 1

    press(page, "Reset")
    status(page, "ready")


def test_running_the_cell_again_and_closing_the_notebook(
    page: Any, address: str, folder: Path
) -> None:
    count = "sum(t.name.startswith('diffsbi') for t in __import__('threading').enumerate())"
    show(page, address, folder, "again.ipynb", LIVE, "0")
    shown = first_frame(page)
    press(page, "Start")
    new_frame(page, shown)
    assert lab.ask_kernel(page, count) == "1"

    page.locator(".jp-CodeCell").nth(1).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    status(page, "ready")
    lab.until(page, lambda: lab.ask_kernel(page, count) == "0", "the old thread to end")

    # A page that is closed pauses its training; shown again, the training goes on.
    press(page, "Start")
    status(page, "training")
    page.goto("about:blank")
    lab.open_notebook(page, address, "again.ipynb")
    lab.wait_for_widgets(page)
    lab.until(page, lambda: lab.ask_kernel(page, "dashboard.status") == "paused", "the pause", 120)
    page.locator(".jp-CodeCell").nth(1).locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("dashboard")
    page.keyboard.press("Control+Enter")
    status(page, "training")
    new_frame(page, first_frame(page))


def test_stability_race(page: Any, address: str, folder: Path) -> None:
    race = """
race = ds.widgets.StabilityRace(
    ds.problems.WitchsHat(2), flow="maf", seconds=100, pool=4096, device="cpu",
    diffusion_settings={"width": 32, "depth": 1}, flow_settings={"width": 16, "depth": 2},
)
race
"""
    show(page, address, folder, "race.ipynb", race, "0")
    shown = first_frame(page)
    page.get_by_role("cell", name="ready").first.wait_for()

    press(page, "Start")
    page.get_by_role("cell", name=re.compile("training, .* of 100 s")).first.wait_for()
    for _ in range(2):
        shown = new_frame(page, shown)
    by_key(page, "learning rate", "ArrowRight")
    page.get_by_label("clip gradients at norm 1").uncheck()
    page.get_by_label("x is").select_option("outside the box")
    settings = "[race._race.knobs.lr, race._race.knobs.clip, race.results[0].status]"
    wanted = "[0.005, inf, 'training']"
    lab.until(page, lambda: lab.ask_kernel(page, settings) == wanted, "the controls' effect")

    press(page, "Pause")
    page.get_by_role("cell", name="paused").first.wait_for()
    page.get_by_label("opponent").select_option("neural spline flow")
    page.get_by_role("cell", name="nsf").wait_for()
    page.get_by_role("cell", name="ready").first.wait_for()
    press(page, "Start")
    new_frame(page, first_frame(page))
    press(page, "Reset")
    page.get_by_role("cell", name="ready").first.wait_for()


def test_schedule_explorer(page: Any, address: str, folder: Path) -> None:
    show(page, address, folder, "explorer.ipynb", "ds.widgets.ScheduleExplorer()")
    curves, particles = first_frame(page, 0), first_frame(page, 1)

    page.get_by_label("schedule").select_option("VariancePreserving")
    curves = new_frame(page, curves, 0)
    particles = new_frame(page, particles, 1)

    by_key(page, "sigma_max", "ArrowLeft")
    curves = new_frame(page, curves, 0)

    slider(page, "step").last.press("End")
    lab.until(page, lambda: "r = sigma/alpha = 0 " in page.content(), "the end of the process")
    particles = new_frame(page, particles, 1)

    plane = page.locator(".diffsbi-plane")
    plane.press("ArrowRight")
    particles = new_frame(page, particles, 1)

    page.get_by_label("problem").select_option("two_moons")
    new_frame(page, particles, 1)

    slider(page, "sigma_min").press("End")
    page.get_by_text("0 < sigma_min < sigma_max").wait_for()


def test_calibration_lab(page: Any, address: str, folder: Path) -> None:
    made = "bench = ds.widgets.CalibrationLab(n_sims=300, n_samples=40)\nbench"
    show(page, address, folder, "calibration.ipynb", made, "0")
    shown = first_frame(page)
    row = page.get_by_role("row", name=re.compile("all together"))
    row.get_by_role("cell", name="passes").wait_for()  # nothing is wrong yet

    # Drawn from the prior: SBC passes, the learned test does not.
    slider(page, "ignore x").focus()
    slider(page, "ignore x").press("End")
    shown = new_frame(page, shown)
    row.get_by_role("cell", name="notices").wait_for()
    learned = page.get_by_role("row", name=re.compile("learned test"))
    learned.get_by_role("cell", name="notices").wait_for()
    sbc = page.get_by_role("row", name=re.compile("SBC, each coordinate"))
    assert sbc.get_by_role("cell", name="passes").count() == 1
    assert lab.ask_kernel(page, "bench.error").startswith(
        "Error(shift=0.0, scale=1.0, drop=0.0, ignore=1.0"
    )

    press(page, "Mend")
    shown = new_frame(page, shown)
    row.get_by_role("cell", name="passes").wait_for()
    page.get_by_label("flip the sign").check()
    new_frame(page, shown)
    row.get_by_role("cell", name="notices").wait_for()


def test_encoder_lab(page: Any, address: str, folder: Path) -> None:
    show(page, address, folder, "encoders.ipynb", "bench = ds.widgets.EncoderLab()\nbench", "0")

    def drawn() -> str | None:
        image = page.locator(".diffsbi-plane img")
        if image.count() == 0 or image.evaluate("e => e.naturalWidth") < 900:
            return None
        return str(image.get_attribute("src"))

    def redrawn(old: str) -> str:
        def changed() -> str | None:
            now = drawn()
            return now if now != old else None

        return str(lab.until(page, changed, "another picture"))

    shown = str(lab.until(page, drawn, "a first picture"))
    status(page, "ready")
    page.get_by_text("The network is untrained: press Train.").wait_for()

    # It trains before one's eyes, and stands still when paused.
    press(page, "Train")
    status(page, "training")
    for _ in range(3):
        shown = redrawn(shown)
    press(page, "Pause")
    status(page, "paused")
    at = lab.ask_kernel(page, "bench.step")
    assert int(at) > 0
    lab.until(page, lambda: page.get_by_text(f"step {int(at):,} of").count(), "the last frame")

    # Shuffled, the data lie in another order, and DeepSets does not mind.
    shown = str(drawn())
    press(page, "Shuffle")
    shown = redrawn(shown)
    page.get_by_text("the order says nothing, and the network knows").wait_for()
    assert float(lab.ask_kernel(page, "bench.moment.moved")) < 1e-4
    press(page, "Original order")
    shown = redrawn(shown)

    # More data than it was trained on.
    slider(page, "observations N").focus()
    slider(page, "observations N").press("End")
    shown = redrawn(shown)
    page.get_by_text("N = 1000: extrapolating").wait_for()
    assert lab.ask_kernel(page, "tuple(bench.x_obs.shape)") == "(1000, 1)"

    # A network for sequences on a time series, which begins untrained.
    page.get_by_label("problem").select_option("a time series (AR(1))")
    page.get_by_label("encoder", exact=True).select_option("GRU (sequence)")
    page.get_by_text("since GRU is trained on").wait_for()
    status(page, "ready")
    slider(page, "observations N").press("Home")
    page.get_by_label("parameters").select_option("phi, sd")
    page.get_by_label("colour by").select_option("N")
    press(page, "Train")
    status(page, "training")
    for _ in range(2):
        shown = redrawn(shown)

    # Nobody looks: it waits.
    page.goto("about:blank")
    lab.open_notebook(page, address, "encoders.ipynb")
    lab.wait_for_widgets(page)
    lab.until(page, lambda: lab.ask_kernel(page, "bench.status") == "paused", "the pause", 120)


def test_gallery(page: Any, address: str, folder: Path) -> None:
    made = "gallery = ds.widgets.Gallery('gaussian_2d')\ngallery"
    show(page, address, folder, "gallery.ipynb", made, "0")

    def drawn() -> str | None:
        image = page.locator(".diffsbi-plane img")
        if image.count() == 0 or image.evaluate("e => e.naturalWidth") < 700:
            return None
        return str(image.get_attribute("src"))

    def redrawn(old: str) -> str:
        def changed() -> str | None:
            now = drawn()
            return now if now != old else None

        return str(lab.until(page, changed, "another picture"))

    shown = str(lab.until(page, drawn, "a first picture"))
    status(page, "ready")
    page.get_by_text("Two numbers are measured at once").wait_for()

    # Another room: its story, its data, its parameters.
    page.get_by_label("problem").select_option("no encoder: poisson_gamma")
    shown = redrawn(shown)
    page.get_by_text("Ten things happen at unknown rates").wait_for()
    page.get_by_label("parameter", exact=True).select_option("rate 7")
    shown = redrawn(shown)
    assert lab.ask_kernel(page, "gallery._loop.room.pair") == "(6, 1)"
    shown = str(drawn())
    press(page, "New data")
    shown = redrawn(shown)

    # Both methods train before one's eyes, stand still when paused, and are judged at the end. With
    # two parameters: of ten, the flow's draws take a slow machine longer than the wait below.
    page.get_by_label("problem").select_option("wider field: gaussian_2d")
    shown = redrawn(shown)
    by_key(page, "seconds each", "ArrowLeft")
    lab.until(
        page, lambda: lab.ask_kernel(page, "gallery._loop.seconds") == "9", "the slider's effect"
    )
    press(page, "Train both")
    status(page, "training")
    shown = redrawn(shown)
    press(page, "Pause")
    status(page, "paused")
    slider(page, "seconds each").press("Home")  # five: the least
    press(page, "Train both")
    status(page, "finished")
    row = page.get_by_role("row", name=re.compile("spline flow"))
    assert row.get_by_role("cell").nth(5).inner_text().startswith("0.")
    page.get_by_text("0.5 is perfect").wait_for()
    press(page, "Reset")
    status(page, "ready")

"""The dashboards without a browser: driven by clicks and values, as their front end drives them."""

from __future__ import annotations

import csv
import importlib
import io
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pytest
import torch
from PIL import Image

import diffsbi_edu as ds
from diffsbi_edu.problems import Gaussian2D, GaussianMixture2D, Problem, TwoMoons
from diffsbi_edu.schedules import EDM, Cosine, LogNormal, UniformTime, VariancePreserving
from diffsbi_edu.widgets import LiveTraining, ScheduleExplorer, cells
from diffsbi_edu.widgets.export import write_file
from diffsbi_edu.widgets.snapshots import SnapshotHistory
from diffsbi_edu.widgets.worker import Mailbox, Worker

TIMEOUT = 60.0
SMALL: dict[str, Any] = {"width": 16, "depth": 1, "device": "cpu", "batch_size": 32, "samples": 60}


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("diffsbi-")]


def widget_registry() -> dict[str, Any]:
    """Every open widget of this process."""
    # By name: `ipywidgets.widgets.widget` the attribute is something else than the module.
    return importlib.import_module("ipywidgets.widgets.widget")._instances


def until(condition: Callable[[], Any], seconds: float = TIMEOUT) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    until(lambda: not threads(), 10.0)


@pytest.fixture(autouse=True)
def _exports_go_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _quick_c2st(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier takes a second on a busy machine, and is tested elsewhere."""
    if "real_c2st" not in request.fixturenames:
        monkeypatch.setattr(ds.diagnostics, "c2st", lambda samples, reference, **effort: 0.75)


@pytest.fixture
def real_c2st() -> None:
    """Ask for this to have it all the same."""


@pytest.fixture
def make() -> Iterator[Callable[..., LiveTraining]]:
    made = []

    def build(problem: Problem | None = None, **settings: Any) -> LiveTraining:
        made.append(LiveTraining(problem or Gaussian2D(), **{**SMALL, "steps": 10**6, **settings}))
        return made[-1]

    yield build
    for dashboard in made:
        dashboard.close()


def click(dashboard: LiveTraining, name: str) -> None:
    dashboard.buttons[name].click()


def picture(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def all_widgets(box: Any) -> Iterator[Any]:
    yield box
    for child in getattr(box, "children", ()):
        yield from all_widgets(child)


# ------------------------------------------------------------------------------ start to finish


def test_a_dashboard_draws_its_first_frame_without_training(make: Any) -> None:
    dashboard = make()
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "ready"
    assert picture(dashboard.image.value).size == (960, 270)
    assert "ready" in dashboard.summary.value
    assert len(dashboard.history) == 0


def test_start_pause_resume_stop_reset(make: Any) -> None:
    dashboard = make()
    click(dashboard, "Start")
    until(lambda: len(dashboard.history) > 5)
    assert dashboard.status == "training"

    click(dashboard, "Pause")
    assert dashboard.join(TIMEOUT)
    paused_at = len(dashboard.history)
    assert dashboard.status == "paused"
    assert "paused" in dashboard.summary.value
    assert not threads()

    click(dashboard, "Start")
    until(lambda: len(dashboard.history) > paused_at + 5)
    steps = dashboard.history.steps
    assert steps == list(range(1, len(steps) + 1)), "the paused run goes on"

    click(dashboard, "Stop")
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "stopped"

    click(dashboard, "Reset")
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "ready"
    assert (len(dashboard.history), dashboard.past.replay.max) == (0, 0)


def test_a_run_ends_by_itself_and_the_next_goes_on_from_it(make: Any) -> None:
    dashboard = make(steps=4)
    click(dashboard, "Start")
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "finished"
    before = [p.clone() for p in dashboard.model.parameters()]
    click(dashboard, "Start")
    assert dashboard.join(TIMEOUT)
    assert len(dashboard.history) == 8
    assert "step 8 of 8" in dashboard.summary.value
    assert not all(torch.equal(a, b) for a, b in zip(before, dashboard.model.parameters()))


def test_c2st_is_shown_at_rest(make: Any, real_c2st: None) -> None:
    dashboard = make()
    dashboard.run(3)
    assert 0.4 < dashboard._loop.c2st <= 1.0
    assert f"C2ST {dashboard._loop.c2st:.2f}" in dashboard.summary.value


def test_reset_gives_the_same_untrained_network_and_the_same_run(make: Any) -> None:
    dashboard = make(steps=3)
    first = dashboard.run().losses
    click(dashboard, "Reset")
    assert dashboard.join(TIMEOUT)
    assert dashboard.run().losses == first


def test_clicks_that_make_no_sense_do_nothing(make: Any) -> None:
    dashboard = make()
    for name in ("Pause", "Stop", "Reset", "Pause", "Reset"):
        click(dashboard, name)
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "ready"
    assert dashboard._loop.trainer.error is None


def test_run_needs_no_front_end_and_returns_the_history(make: Any) -> None:
    dashboard = make()
    history = dashboard.run(5)
    assert isinstance(history, ds.training.History)
    assert history.steps == [1, 2, 3, 4, 5]
    assert len(dashboard.run(3)) == 3
    assert len(dashboard.history) == 8
    assert not threads()


def test_run_takes_the_place_of_what_is_going_on(make: Any) -> None:
    dashboard = make()
    click(dashboard, "Start")
    until(lambda: len(dashboard.history) > 3)
    assert len(dashboard.run(4)) == 4


def test_run_raises_what_training_raises_and_a_closed_dashboard_says_so(make: Any) -> None:
    dashboard = make()
    dashboard.knobs.lr = float("nan")
    with pytest.raises(ValueError, match="lr"):
        dashboard.run(5)
    dashboard.knobs.lr = 1e30
    with pytest.raises(ds.TrainingDiverged):
        dashboard.run(5)
    dashboard.close()
    with pytest.raises(RuntimeError, match="closed"):
        dashboard.run(5)


# ------------------------------------------------------------------------------------- controls


def test_controls_take_effect_while_it_trains(make: Any) -> None:
    dashboard = make()
    click(dashboard, "Start")
    until(lambda: len(dashboard.history) > 3)
    dashboard.lr.value = 0.001
    dashboard.batch_size.value = 128
    dashboard.noise.name.value = "VariancePreserving"
    dashboard.noise.training.value = "UniformTime"
    dashboard.sampler.value = "euler_maruyama"
    dashboard.solver_steps.value = 5
    dashboard.level.value = 1.0
    until(lambda: dashboard.history[-1].lr <= 0.001)
    until(lambda: dashboard.knobs.batch_size == 128)
    until(lambda: isinstance(dashboard.model.schedule, VariancePreserving))
    until(lambda: dashboard.model.schedule.training == UniformTime())
    view = dashboard._loop.view
    until(lambda: (view.sampler, view.solver_steps, view.level) == ("euler_maruyama", 5, 1.0))
    step = len(dashboard.history)
    until(lambda: len(dashboard.history) > step + 5)
    assert dashboard.status == "training"


def test_a_reset_keeps_the_schedule_that_was_chosen(make: Any) -> None:
    dashboard = make(schedule=EDM(training=LogNormal(-1.0, 1.0)))
    assert dashboard.noise.mean.value == -1.0
    dashboard.noise.name.value = "Cosine"
    assert dashboard.join(TIMEOUT)
    click(dashboard, "Reset")
    assert dashboard.join(TIMEOUT)
    assert isinstance(dashboard.model.schedule, Cosine)


def test_the_shown_learning_rate_is_the_one_in_use(make: Any) -> None:
    dashboard = make(lr=0.0042, batch_size=48)
    assert dashboard.lr.value == dashboard.knobs.lr == 0.0042
    assert dashboard.batch_size.value == dashboard.knobs.batch_size == 48


def test_steps_in_a_run(make: Any) -> None:
    dashboard = make(steps=50)
    dashboard.run_steps.value = 3
    click(dashboard, "Start")
    assert dashboard.join(TIMEOUT)
    assert len(dashboard.history) == 3


@pytest.mark.parametrize("problem", [Gaussian2D(), TwoMoons(), GaussianMixture2D()])
def test_the_observation_moves_the_picture(make: Any, problem: Problem) -> None:
    dashboard = make(problem)
    assert dashboard.join(TIMEOUT)
    before = dashboard.image.value
    plane, (first, second) = dashboard._observation.plane, dashboard._observation.sliders
    plane.point = [0.2, 0.1]  # what a click sends
    assert dashboard.join(TIMEOUT)
    assert torch.allclose(dashboard.x_obs, torch.tensor([[0.2, 0.1]]))
    assert (first.value, second.value) == pytest.approx((0.2, 0.1))
    assert dashboard.image.value != before
    first.value = -0.3
    assert dashboard.join(TIMEOUT)
    assert plane.point == pytest.approx([-0.3, 0.1])
    assert dashboard.x_obs[0].tolist() == pytest.approx([-0.3, 0.1])


def test_an_observation_that_cannot_be_is_no_error(make: Any) -> None:
    dashboard = make(TwoMoons())
    dashboard._observation.plane.point = [3.0, 3.0]
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "ready"
    assert dashboard._loop._current.target.theta is None
    assert len(dashboard.run(3)) == 3


@pytest.mark.parametrize("n_obs", [1, 7])
def test_draw_a_new_x(make: Any, n_obs: int) -> None:
    dashboard = make(Gaussian2D(n_obs=n_obs))
    assert dashboard._observation.plane.clickable == (n_obs == 1)
    before = dashboard.x_obs
    button = dashboard._observation.children[-1]
    button.click()
    assert dashboard.join(TIMEOUT)
    assert dashboard.x_obs.shape == (n_obs, 2)
    assert not torch.equal(dashboard.x_obs, before)


@pytest.mark.parametrize("dim", [1, 3])
def test_other_numbers_of_parameters_and_no_exact_posterior(make: Any, dim: int) -> None:
    prior = torch.distributions.Independent(
        torch.distributions.Normal(torch.zeros(dim), torch.ones(dim)), 1
    )
    dashboard = make(Problem(prior, lambda theta: theta + torch.randn_like(theta)))
    assert len(dashboard.run(3)) == 3
    assert dashboard._loop.c2st is None
    assert picture(dashboard.image.value).size == (960, 270)


def test_every_control_is_labelled(make: Any) -> None:
    dashboard, explorer = make(), ScheduleExplorer()
    for widget in [*all_widgets(dashboard), *all_widgets(explorer)]:
        if hasattr(widget, "description") and not isinstance(widget, ipywidgets.HTML):
            assert widget.description, widget
            assert isinstance(widget, ipywidgets.Play) or widget.tooltip, widget
    assert explorer.join(TIMEOUT)
    explorer.close()


# -------------------------------------------------------------------------- history and exports


def test_the_scrubber_replays_and_comes_back(make: Any) -> None:
    dashboard = make()
    click(dashboard, "Start")
    until(lambda: dashboard.past.replay.max >= 4)
    click(dashboard, "Pause")
    assert dashboard.join(TIMEOUT)
    assert dashboard.past.replay.value == dashboard.past.replay.max, "live"
    live = dashboard.image.value

    dashboard.past.replay.value = 1
    assert dashboard.join(TIMEOUT)
    assert dashboard.image.value != live
    assert dashboard._loop.view.replay == 1

    dashboard.past.live.click()
    assert dashboard.join(TIMEOUT)
    assert (dashboard.image.value, dashboard.past.replay.value) == (live, dashboard.past.replay.max)

    dashboard.past.replay.value = 0
    dashboard.past.replay.value = dashboard.past.replay.max
    assert dashboard.join(TIMEOUT)
    assert dashboard._loop.view.replay is None


def test_training_goes_on_while_one_looks_back(make: Any) -> None:
    dashboard = make()
    click(dashboard, "Start")
    until(lambda: dashboard.past.replay.max >= 4)
    dashboard.past.replay.value = 1
    until(lambda: dashboard._loop.view.replay == 1)
    step, snapshots = len(dashboard.history), dashboard.past.replay.max
    until(lambda: len(dashboard.history) > step + 10 and dashboard.past.replay.max > snapshots)
    assert dashboard.past.replay.value == 1


def test_the_history_stays_small_and_covers_the_run() -> None:
    history = SnapshotHistory(capacity=16)
    for step in range(1000):
        history.add(step)  # type: ignore[arg-type]
    kept = [history[i] for i in range(len(history))]
    assert len(kept) <= 16
    assert kept[0] == 0
    assert kept[-1] > 900  # type: ignore[operator]
    gaps = {b - a for a, b in zip(kept, kept[1:])}  # type: ignore[operator]
    assert len(gaps) == 1, "evenly spaced"


def exported(dashboard: LiveTraining, kind: str) -> Path:
    dashboard.past.exports[kind].click()
    assert dashboard.join(TIMEOUT)
    (path,) = Path.cwd().glob(f"*.{kind}")
    assert str(path) in dashboard.message.value
    return path


def test_exports_are_files_that_others_can_read(make: Any) -> None:
    dashboard = make()
    click(dashboard, "Start")
    until(lambda: dashboard.past.replay.max >= 4)
    click(dashboard, "Pause")
    assert picture(exported(dashboard, "png").read_bytes()).size == (960, 270)
    with Image.open(exported(dashboard, "gif")) as animation:
        assert animation.format == "GIF"
        assert animation.n_frames >= 3
    with exported(dashboard, "csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(dashboard.problem.theta_names)
    samples = torch.tensor([[float(value) for value in row] for row in rows])
    assert samples.shape == (2000, 2)
    assert "download" in dashboard.message.value
    assert sorted(p.suffix for p in Path.cwd().iterdir()) == [".csv", ".gif", ".png"]


def test_exports_that_cannot_be_made_say_why_and_training_lives(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dashboard = make()
    dashboard.past.exports["gif"].click()
    assert dashboard.join(TIMEOUT)
    assert "train first" in dashboard.message.value

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    click(dashboard, "Start")
    dashboard.past.exports["csv"].click()
    until(lambda: "No space left" in dashboard.message.value)
    assert dashboard.status == "training"
    assert list(Path.cwd().iterdir()) == []


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(tmp_path / "a.txt", b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


# ------------------------------------------------------------------------------ things go wrong


def test_a_diverging_run_says_so_and_can_be_reset(make: Any) -> None:
    dashboard = make(lr=1e30)
    click(dashboard, "Start")
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "failed"
    assert "Try a smaller learning rate" in dashboard.message.value
    assert "failed" in dashboard.summary.value
    click(dashboard, "Reset")
    dashboard.lr.value = 0.001
    assert dashboard.join(TIMEOUT)
    assert "Try" not in dashboard.message.value
    assert len(dashboard.run(3)) == 3


def test_a_simulator_that_breaks_in_the_middle_is_reported(make: Any) -> None:
    calls = iter(range(10**9))

    def simulator(theta: torch.Tensor) -> torch.Tensor:
        if next(calls) > 20:
            raise ZeroDivisionError("the simulator broke")
        return theta + torch.randn_like(theta)

    dashboard = make(Problem(Gaussian2D().prior, simulator))
    click(dashboard, "Start")
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "failed"
    assert "the simulator broke" in dashboard.message.value


def test_bad_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="device"):
        LiveTraining(Gaussian2D(), device="gpu")
    with pytest.raises(ValueError, match="lr"):
        LiveTraining(Gaussian2D(), lr=-1.0)
    prior = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(3), 1.0), 1)
    with pytest.raises(ValueError, match="two parameters"):
        ScheduleExplorer(Problem(prior, lambda theta: theta))


# ---------------------------------------------------------------------------- no thread is left


def test_close_leaves_no_thread(make: Any) -> None:
    dashboard = make()
    click(dashboard, "Start")
    until(lambda: len(dashboard.history) > 3)
    dashboard.close()
    assert not threads()
    assert dashboard.comm is None
    click(dashboard, "Start")
    assert not threads()
    assert dashboard.model.sample(dashboard.x_obs, 5).shape == (5, 2), "the model stays usable"


def test_close_closes_every_widget() -> None:
    """A link whose ends are gone, for one, would keep a page that is opened again from loading."""
    before = set(widget_registry())
    for kind in (LiveTraining, ScheduleExplorer):
        dashboard = kind(Gaussian2D())
        assert dashboard.join(TIMEOUT)
        dashboard.close()
    assert [w for key, w in widget_registry().items() if key not in before] == []


def test_running_a_cell_again_closes_what_it_made(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = {"now": (1, "cell a")}
    monkeypatch.setattr(cells, "current_cell", lambda: cell["now"])
    first = make()
    beside_it = make()
    cell["now"] = (2, "cell b")
    elsewhere = make()
    for dashboard in (first, beside_it, elsewhere):
        click(dashboard, "Start")
        until(lambda dashboard=dashboard: len(dashboard.history) > 1)
    cell["now"] = (3, "cell a")
    make()
    assert first._loop.worker.closed
    assert beside_it._loop.worker.closed
    assert not elsewhere._loop.worker.closed
    until(lambda: elsewhere.status == "training" and len(threads()) <= 2)


def test_a_closed_page_pauses_and_an_opened_one_goes_on(make: Any) -> None:
    dashboard = make()
    hear = dashboard._observation.plane._hear
    hear(None, {"kind": "open", "view": "a"}, None)
    hear(None, {"kind": "open", "view": "b"}, None)
    click(dashboard, "Start")
    until(lambda: len(dashboard.history) > 3)
    hear(None, {"kind": "closed", "view": "a"}, None)
    step = len(dashboard.history)
    until(lambda: len(dashboard.history) > step + 5)
    hear(None, {"kind": "closed", "view": "b"}, None)
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "paused"
    assert "page was closed" in dashboard.message.value
    step = len(dashboard.history)
    hear(None, {"kind": "open", "view": "c"}, None)
    until(lambda: len(dashboard.history) > step + 3)
    hear(None, "nonsense", None)


def test_a_page_that_falls_silent_is_closed(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word of a page can be lost; then nothing more is heard of it."""
    dashboard = make()
    plane = dashboard._observation.plane
    now = [1000.0]
    monkeypatch.setattr("diffsbi_edu.widgets.plane.time", SimpleNamespace(monotonic=lambda: now[0]))
    plane._hear(None, {"kind": "open", "view": "a"}, None)
    click(dashboard, "Start")
    now[0] += 80
    plane._hear(None, {"kind": "open", "view": "a"}, None)  # the page's beat
    now[0] += 80
    step = len(dashboard.history)
    until(lambda: len(dashboard.history) > step + 5)
    now[0] += 20
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "paused"
    plane._hear(None, {"kind": "open", "view": "a"}, None)
    until(lambda: dashboard.status == "training")


def test_a_pause_of_the_user_outlasts_a_reload(make: Any) -> None:
    dashboard = make()
    hear = dashboard._observation.plane._hear
    hear(None, {"kind": "open", "view": "a"}, None)
    click(dashboard, "Start")
    until(lambda: len(dashboard.history) > 3)
    click(dashboard, "Pause")
    hear(None, {"kind": "closed", "view": "a"}, None)
    hear(None, {"kind": "open", "view": "b"}, None)
    assert dashboard.join(TIMEOUT)
    assert dashboard.status == "paused"


def test_a_worker_survives_a_crash_and_wakes_again() -> None:
    turns: list[int] = []
    crash = threading.excepthook
    seen = []

    def turn() -> bool:
        turns.append(1)
        if len(turns) == 1:
            raise SystemError("a bug in a turn")
        return False

    worker = Worker(turn, name="diffsbi-test")
    try:
        threading.excepthook = lambda args: seen.append(args.exc_type)
        worker.wake()
        assert worker.join(10.0)
        until(lambda: not threads())
    finally:
        threading.excepthook = crash
    assert seen == [SystemError]
    worker.wake()
    assert worker.join(10.0)
    assert len(turns) == 2


def test_the_threads_take_one_core_and_give_the_setting_back(make: Any) -> None:
    def in_a_new_thread() -> int:
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        return found[0]

    mine, others = torch.get_num_threads(), in_a_new_thread()
    first, second = make(), make()
    for dashboard in (first, second):
        click(dashboard, "Start")
        until(lambda dashboard=dashboard: len(dashboard.history) > 1)
    assert torch.get_num_threads() == mine
    first.close()
    second.close()
    assert (torch.get_num_threads(), in_a_new_thread()) == (mine, others)


def test_many_wakes_from_many_threads_lose_no_wish() -> None:
    mail, done, running = Mailbox(), [], []

    def turn() -> bool:
        running.append(1)
        assert len(running) == 1, "one turn at a time"
        done.extend(mail.take())
        running.pop()
        return False

    worker = Worker(turn, name="diffsbi-test")

    def post(first: int) -> None:
        for i in range(200):
            mail.command("count", first + i)
            worker.wake()

    posters = [threading.Thread(target=post, args=(1000 * k,)) for k in range(4)]
    for thread in posters:
        thread.start()
    for thread in posters:
        thread.join(TIMEOUT)
    assert worker.join(TIMEOUT)
    assert sorted(value for _, value in done) == sorted(
        1000 * k + i for k in range(4) for i in range(200)
    )


def abuse(widget: Any, actions: list[Callable[[random.Random], None]], events: int) -> None:
    """Random control events from four threads at once; what they raise is raised here."""
    errors: list[BaseException] = []

    def torment(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(events // 4):
                chance.choice(actions)(chance)
                time.sleep(chance.random() * 0.004)
        except BaseException as error:
            errors.append(error)

    hands = [threading.Thread(target=torment, args=(seed,), daemon=True) for seed in range(4)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join(120.0)
        assert not hand.is_alive(), "a callback is stuck"
    assert errors == []


def randomly(control: Any, values: Any) -> Callable[[random.Random], None]:
    return lambda chance: setattr(control, "value", chance.choice(list(values)))


def test_500_random_events_from_4_threads(make: Any) -> None:
    dashboard = make(TwoMoons())
    noise, past = dashboard.noise, dashboard.past
    sliders = dashboard._observation.sliders
    draw_x = dashboard._observation.children[-1]
    buttons = [*dashboard.buttons.values(), past.live, draw_x]
    actions: list[Callable[[random.Random], None]] = [
        *[lambda _, button=button: button.click() for button in buttons],
        *[lambda _: dashboard.buttons["Start"].click()] * 6,
        randomly(noise.name, noise.name.options),
        randomly(noise.training, noise.training.options),
        randomly(noise.mean, [-3, -1, 1]),
        randomly(noise.sd, [0.5, 1, 2]),
        randomly(dashboard.lr, [1e-4, 1e-3, 1e-2]),
        randomly(dashboard.batch_size, [32, 64, 128]),
        randomly(dashboard.sampler, [value for _, value in dashboard.sampler.options]),
        randomly(dashboard.solver_steps, range(1, 9)),
        randomly(dashboard.level, [0.1, 1.0]),
        randomly(dashboard.run_steps, [5, 50, 5000]),
        lambda chance: setattr(past.replay, "value", chance.randint(0, past.replay.max)),
        *[lambda chance, s=s: setattr(s, "value", chance.uniform(s.min, s.max)) for s in sliders],
        lambda chance: setattr(
            dashboard._observation.plane, "point", [chance.uniform(-1, 1), chance.uniform(-1, 1)]
        ),
        lambda _: dashboard.past.exports["png"].click(),
    ]
    click(dashboard, "Start")
    abuse(dashboard, actions, 500)
    click(dashboard, "Stop")
    assert dashboard.join(TIMEOUT)
    assert dashboard._loop.trainer.error is None, dashboard.message.value
    click(dashboard, "Reset")
    assert len(dashboard.run(3)) == 3
    dashboard.close()
    assert not threads()


# ------------------------------------------------------------------------------ the explorer


@pytest.fixture
def explorer() -> Iterator[ScheduleExplorer]:
    explorer = ScheduleExplorer(TwoMoons())
    assert explorer.join(TIMEOUT)
    yield explorer
    explorer.close()


def shown(explorer: ScheduleExplorer) -> tuple[bytes, bytes]:
    assert explorer.join(TIMEOUT)
    return explorer.curves.value, explorer.particles.value


def test_the_explorer_shows_every_schedule_and_grid(explorer: ScheduleExplorer) -> None:
    seen = {shown(explorer)}
    for name in ("VariancePreserving", "Cosine", "RectifiedFlow", "EDM"):
        for grid in ("UniformLogSNR", "UniformSteps", "Karras"):
            explorer.noise.name.value, explorer.noise.grid.value = name, grid
            seen.add(shown(explorer))
            assert type(explorer.schedule).__name__ == name
            assert type(explorer.schedule.grid).__name__ == grid
    # Each looks different, except that EDM's own clock is uniform in log-SNR; and the last one is
    # the first.
    assert len(seen) == 11
    curves, particles = shown(explorer)
    assert (picture(curves).size, picture(particles).size) == ((960, 230), (960, 300))


def test_dragging_a_parameter_moves_the_picture(explorer: ScheduleExplorer) -> None:
    noise = explorer.noise
    noise.grid.value = "Karras"
    before = shown(explorer)
    for control, value in (
        (noise.mean, 0.0), (noise.sd, 0.5), (noise.sigma_min, 0.01), (noise.sigma_max, 5.0),
        (noise.rho, 3.0), (explorer.steps, 8), (explorer.sampler, "euler_maruyama"),
        (noise.training, "UniformTime"),
    ):  # fmt: skip
        control.value = value
        assert shown(explorer) != before, control.description
        before = shown(explorer)
    assert explorer.schedule.sigma_max == 5.0


def test_an_impossible_schedule_is_a_message(explorer: ScheduleExplorer) -> None:
    before = shown(explorer)
    explorer.noise.sigma_max.value = 1.0
    explorer.noise.sigma_min.value = 2.0
    assert explorer.join(TIMEOUT)
    assert "0 &lt; sigma_min &lt; sigma_max" in explorer.message.value
    explorer.noise.sigma_min.value = 0.001
    explorer.noise.sigma_max.value = 20.0
    assert shown(explorer) == before
    assert "sigma_min" not in explorer.message.value


def test_scrubbing_leads_from_noise_to_the_exact_posterior(
    explorer: ScheduleExplorer, real_c2st: None
) -> None:
    pictures = set()
    for step in (0, 5, 10, 15, 20):
        explorer.position.value = step
        pictures.add(shown(explorer)[1])
        assert f"step {step} of 20" in explorer.readout.value
    assert len(pictures) == 5
    process = explorer._process
    assert process is not None
    assert float(process.steps[-1].ratio) == 0.0
    theta = explorer._to_latent.inverse(process.steps[-1].y)
    exact = TwoMoons().posterior(explorer.x_obs).sample((300,), seed=1)
    assert ds.diagnostics.c2st(theta, exact) < 0.6


@pytest.mark.parametrize("name", ["gaussian_2d", "gaussian_mixture_2d"])
def test_other_problems(explorer: ScheduleExplorer, name: str) -> None:
    before = shown(explorer)
    explorer.problem_choice.value = name
    assert shown(explorer) != before
    assert explorer.problem.name == name
    explorer._observation.sliders[0].value = 0.3
    assert explorer.join(TIMEOUT)
    assert float(explorer.x_obs[0, 0]) == pytest.approx(0.3)


def test_the_explorer_says_that_there_is_no_exact_posterior(explorer: ScheduleExplorer) -> None:
    explorer._observation.plane.point = [3.0, 3.0]
    assert explorer.join(TIMEOUT)
    assert "no theta" in explorer.message.value
    explorer._observation.plane.point = [0.0, 0.0]
    assert explorer.join(TIMEOUT)
    assert "no theta" not in explorer.message.value


def test_abuse_of_the_explorer(explorer: ScheduleExplorer) -> None:
    noise = explorer.noise
    actions = [
        *[randomly(c, c.options) for c in (noise.name, noise.training, noise.grid)],
        randomly(noise.sigma_min, [1e-4, 0.01, 1.0]),
        randomly(noise.sigma_max, [0.5, 5.0, 50.0]),
        randomly(explorer.steps, range(1, 12)),
        randomly(explorer.position, range(12)),
        randomly(explorer.problem_choice, explorer.problem_choice.options),
        randomly(explorer.sampler, [value for _, value in explorer.sampler.options]),
    ]
    abuse(explorer, actions, 200)
    noise.sigma_min.value, noise.sigma_max.value = 0.001, 20.0
    shown(explorer)
    assert "sigma" not in explorer.message.value


def test_a_redraw_keeps_the_message_of_an_impossible_setting(explorer: ScheduleExplorer) -> None:
    explorer.noise.sigma_max.value = 1.0
    explorer.noise.sigma_min.value = 2.0
    assert explorer.join(TIMEOUT)
    explorer.position.value = 3  # draws another step of what is shown
    assert explorer.join(TIMEOUT)
    assert "sigma_min &lt; sigma_max" in explorer.message.value
    explorer.noise.sigma_min.value = 0.01
    assert explorer.join(TIMEOUT)
    assert "sigma_min" not in explorer.message.value

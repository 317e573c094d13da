"""`Gallery` without a browser, and its pictures: every problem, two methods, equal time."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from test_widgets import all_widgets, randomly, threads, until

from diffsbi_edu import plots, problems
from diffsbi_edu.cases import CASES, GROUPS, METHODS
from diffsbi_edu.diagnostics.sbc import SBCResult, compare_ranks
from diffsbi_edu.findings import findings
from diffsbi_edu.widgets import Gallery
from diffsbi_edu.widgets.gallery_room import Room

TIMEOUT = 120.0
FAST = ["poisson_gamma", "two_moons", "gaussian_2d", "species_sampling"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    until(lambda: not threads(), 10.0)


@pytest.fixture
def make() -> Iterator[Callable[..., Gallery]]:
    made = []

    def build(*args: Any, **settings: Any) -> Gallery:
        made.append(Gallery(*args, **settings))
        assert made[-1].join(TIMEOUT)
        return made[-1]

    yield build
    for gallery in made:
        gallery.close()


def short(gallery: Gallery, seconds: float = 0.3) -> Gallery:
    """A gallery whose models train for less than its slider allows."""
    gallery._loop.setting("seconds", lambda: seconds)
    assert gallery.join(TIMEOUT)
    return gallery


def press(gallery: Gallery, *names: str) -> Gallery:
    for name in names:
        gallery.buttons[name].click()
        assert gallery.join(TIMEOUT)
    return gallery


def picture(gallery: Gallery) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(gallery.image.picture)).convert("RGB"))


def steps(gallery: Gallery) -> list[int]:
    return [racer.trainer.step for racer in gallery._loop.racers]


# ------------------------------------------------------------------------------------- the rooms


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_problem_shows_its_data_without_any_training(make: Any) -> None:
    gallery = make("gaussian_2d")
    seen = set()
    for name in [n for n in CASES if n != "gaussian_2d"] + ["gaussian_2d"]:
        gallery.controls["problem"].value = name
        assert gallery.join(TIMEOUT)
        assert gallery.message.value in ("", '<div role="status"></div>'), name
        assert (gallery.problem.name, gallery.status) == (name, "ready")
        assert problems.story(name).split(".")[0] in gallery.words.value
        assert [label for label, _ in gallery.controls["first"].options] == list(
            gallery.problem.theta_names
        )
        assert (gallery.controls["first"].value, gallery.controls["second"].value) == (0, 1)
        assert picture(gallery).std() > 10, "not an empty picture"
        seen.add(gallery.image.picture)
    assert len(seen) == len(CASES)
    assert gallery.models == {}


def test_the_list_is_grouped_as_in_the_suite(make: Any) -> None:
    options = make("two_moons").controls["problem"].options
    assert [name for _, name in options] == list(CASES)
    groups = [label.split(":")[0] for label, _ in options]
    assert list(dict.fromkeys(groups)) == list(GROUPS)
    assert groups == sorted(groups, key=GROUPS.index)


def test_a_room_has_the_exact_posterior_or_says_why_not() -> None:
    room = Room("poisson_gamma", seed=3)
    assert room.exact is not None
    # Gamma(shape + x) with rate 2, by the conjugate update.
    mean, var = (2 + room.x[0]) / 2, (2 + room.x[0]) / 4
    off = (room.exact.mean(0) - mean).abs() / (var / len(room.exact)).sqrt()
    assert off.max() < 5  # a false alarm in 10^5
    assert Room("stochastic_volatility", seed=0).why_not == "", "not asked for yet"
    silent = Room("stochastic_volatility", seed=0)
    assert silent.exact is None
    assert "has no exact posterior" in silent.why_not


# ----------------------------------------------------------------------------------- the training


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_both_methods_get_the_same_time_and_are_judged(make: Any) -> None:
    gallery = short(make("gaussian_2d"), 1.0)
    assert [s.status for s in gallery.scores] == ["ready", "ready"]
    before = gallery.image.picture
    press(gallery, "start")
    assert gallery.status == "finished", gallery.message.value
    assert list(gallery.models) == ["diffusion", "spline flow (NSF)"]
    for score, racer in zip(gallery.scores, gallery._loop.racers, strict=True):
        assert score.status == "finished"
        assert score.steps > 0
        longest = max(np.diff([0.0, *(s.seconds for s in racer.trainer.history)]))
        assert 1.0 <= score.seconds <= 1.0 + longest + 1e-9, "over by one step at most"
        assert score.sbc is not None
        assert score.sbc.ranks.shape == (200, 2)
        assert score.c2st is not None
        assert 0.3 < score.c2st <= 1
        lrs = [s.lr for s in racer.trainer.history]
        assert lrs[-1] < 0.5 * max(lrs), "the learning rate falls with the clock"
    assert gallery.image.picture != before
    assert f"{gallery.scores[0].steps:,}" in gallery.table.value
    assert f"{gallery.scores[1].c2st:.2f}" in gallery.table.value

    # Other data: judged again, without more training, with the SBC that there is.
    made, x = steps(gallery), gallery.x_obs
    ranks = [score.sbc for score in gallery.scores]
    press(gallery, "new")
    assert not torch.equal(gallery.x_obs, x)
    assert steps(gallery) == made
    assert [score.sbc for score in gallery.scores] == ranks
    assert all(score.c2st is not None for score in gallery.scores)
    press(gallery, "reset")
    assert (gallery.status, gallery.models) == ("ready", {})


def test_they_train_by_turns_and_stand_still_when_paused(make: Any) -> None:
    gallery = short(make("poisson_gamma"), 1e6)
    gallery.buttons["start"].click()
    until(lambda: len(steps(gallery)) == 2 and min(steps(gallery)) > 3, TIMEOUT)
    press(gallery, "pause")
    assert gallery.status == "paused"
    seconds = [racer.seconds for racer in gallery._loop.racers]
    assert abs(seconds[0] - seconds[1]) < 2.0, "neither is far ahead"
    made, shown = steps(gallery), gallery.image.picture
    assert gallery.join(1.0)
    assert (steps(gallery), gallery.image.picture) == (made, shown)
    gallery.buttons["start"].click()
    until(lambda: steps(gallery)[0] > made[0], TIMEOUT)


def test_they_train_as_in_the_suite(make: Any) -> None:
    gallery = press(short(make("normal_gamma")), "start")
    assert len(gallery._loop.racers) == 2
    for racer, method in zip(gallery._loop.racers, ("diffusion", "nsf"), strict=True):
        trainer, expected = racer.trainer, METHODS[method].arguments(CASES["normal_gamma"])
        assert trainer.knobs.batch_size == expected.pop("batch_size")
        assert trainer._settings == {"decay": False, "warmup": 0, "optimiser": "muon"}
        assert expected == {"optimiser": "muon"}


def test_another_problem_in_the_middle_of_training(make: Any) -> None:
    gallery = short(make("poisson_gamma"), 1e6)
    gallery.controls["second"].value = 9
    gallery.buttons["start"].click()
    until(lambda: len(steps(gallery)) == 2 and min(steps(gallery)) > 1, TIMEOUT)
    old = gallery.models
    gallery.controls["problem"].value = "two_moons"
    assert gallery.join(TIMEOUT)
    assert (gallery.status, gallery.models, gallery.problem.dim) == ("ready", {}, 2)
    assert gallery._loop.room.pair == (0, 1)
    assert old["diffusion"].sample(torch.ones(1, 10), 3, seed=0).shape == (3, 10)
    gallery._loop.setting("pair", lambda: (0, 9))  # a wish that was meant for the last problem
    assert gallery.join(TIMEOUT)
    assert gallery._loop.room.pair == (0, 1)


def test_the_two_parameters_on_show(make: Any) -> None:
    gallery = make("poisson_gamma")
    before = gallery.image.picture
    gallery.controls["first"].value = 4
    assert gallery.join(TIMEOUT)
    assert gallery._loop.room.pair == (4, 1)
    assert gallery.image.picture != before
    press(gallery, "new")
    assert gallery._loop.room.pair == (4, 1), "other data, the same parameters"


def test_the_slider_sets_the_time(make: Any) -> None:
    gallery = make("gaussian_2d")
    slider = gallery.controls["seconds"]
    assert (slider.min, slider.value, slider.max) == (5, 10, 60)
    slider.value = 25
    assert gallery.join(TIMEOUT)
    assert gallery._loop.seconds == 25


# -------------------------------------------------------------------------------------- bad luck


def test_a_method_that_diverges_leaves_the_other_one_going(make: Any) -> None:
    gallery = short(make("gaussian_2d"), 1e6)
    gallery.buttons["start"].click()
    until(lambda: len(steps(gallery)) == 2 and min(steps(gallery)) > 1, TIMEOUT)
    press(gallery, "pause")
    # The run's own copy of the weights.
    flow = gallery._loop.racers[1].trainer
    with torch.no_grad():
        for parameter in flow._states.run.twin.parameters():
            parameter.fill_(torch.nan)
    gallery._loop.seconds = max(r.seconds for r in gallery._loop.racers) + 0.5
    press(gallery, "start")
    assert gallery.status == "finished"
    assert "spline flow (NSF) diverged" in gallery.message.value
    assert [score.status for score in gallery.scores] == ["finished", "diverged"]
    assert gallery.scores[0].sbc is not None
    assert gallery.scores[1].sbc is None
    assert "(diverged)" in gallery.table.value


def test_errors_are_shown(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = make("gaussian_2d")

    def broken(x_obs: torch.Tensor) -> Any:
        raise ZeroDivisionError("a posterior <b>of</b> one's own")

    gallery._loop.setting("seconds", lambda: 1 / 0)  # a wish that cannot be granted
    assert gallery.join(TIMEOUT)
    assert "ZeroDivisionError" in gallery.message.value
    assert gallery.status == "ready"

    monkeypatch.setattr(problems.Gaussian2D, "posterior", lambda self, x: broken(x))
    press(gallery, "new")
    assert gallery.status == "failed"
    assert "a posterior &lt;b&gt;of" in gallery.message.value
    assert "<b>failed</b>" in gallery.table.value
    monkeypatch.undo()
    press(gallery, "reset")
    assert (gallery.status, gallery.message.value) == ("ready", '<div role="status"></div>')


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="unknown problem 'two_moon'; did you mean 'two_moons'"):
        Gallery("two_moon")
    with pytest.raises(ValueError, match="unknown problem 'ar1'"):
        Gallery("ar1")  # built in, but not of the suite


@pytest.mark.timeout(240)
def test_200_random_events_from_2_threads(make: Any) -> None:
    gallery = short(make("poisson_gamma"), 1e6)
    controls = gallery.controls
    actions: list[Callable[[random.Random], None]] = [
        *[lambda _, button=button: button.click() for button in gallery.buttons.values()],
        lambda _: gallery.buttons["start"].click(),
        randomly(controls["problem"], FAST),
        randomly(controls["seconds"], range(5, 61)),
        lambda chance: setattr(controls["first"], "index", 0),
        lambda chance: setattr(controls["second"], "index", chance.randrange(2)),
        lambda _: gallery.x_obs.shape,
    ]
    found: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(100):
                chance.choice(actions)(chance)
        except BaseException as error:
            found.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == []
    gallery.buttons["pause"].click()
    assert gallery.join(TIMEOUT)
    assert "Error" not in gallery.message.value
    press(gallery, "reset")
    assert gallery.status == "ready"
    assert gallery.problem.name == controls["problem"].value
    assert gallery._loop.room.pair == (controls["first"].value, controls["second"].value)


def test_close_while_it_trains_leaves_no_thread_and_usable_models() -> None:
    gallery = short(Gallery("gaussian_2d"), 1e6)
    gallery.buttons["start"].click()
    until(lambda: len(steps(gallery)) == 2 and min(steps(gallery)) > 1, TIMEOUT)
    gallery.close()
    assert not threads()
    made = steps(gallery)
    gallery.buttons["start"].click()  # a click that arrives late does nothing
    assert (steps(gallery), threads()) == (made, [])
    for model in gallery.models.values():
        assert model.sample(gallery.x_obs, 3, seed=0).shape == (3, 2)


def test_a_closed_page_pauses_and_an_opened_one_goes_on(make: Any) -> None:
    gallery = short(make("gaussian_2d"), 1e6)
    hear = gallery.image._hear
    hear(None, {"kind": "open", "view": "a"}, None)
    gallery.buttons["start"].click()
    until(lambda: gallery.status == "training")
    hear(None, {"kind": "closed", "view": "a"}, None)
    assert gallery.join(TIMEOUT)
    assert gallery.status == "paused"
    assert "page was closed" in gallery.message.value
    hear(None, {"kind": "open", "view": "b"}, None)
    until(lambda: gallery.status == "training")


def test_every_control_is_labelled(make: Any) -> None:
    for widget in all_widgets(make("gaussian_2d")):
        if hasattr(widget, "description") and not isinstance(widget, ipywidgets.HTML):
            assert widget.description, widget
            assert widget.tooltip, widget


# ------------------------------------------------------------------------------------ the pictures


def test_data_are_drawn_in_a_way_that_suits_them() -> None:
    draw = lambda *a, **k: plots.data_set(*a, **k).axes[0]  # noqa: E731
    series = draw(torch.arange(12.0).reshape(6, 2), names=("a", "b"), kind="sequence")
    assert [line.get_ydata().tolist() for line in series.lines] == [
        [0, 2, 4, 6, 8, 10],
        [1, 3, 5, 7, 9, 11],
    ]
    assert series.get_xlabel() == "time step"
    bars = draw(torch.tensor([[3.0, 0.0, 5.0]]), names=("a", "b", "c"))
    assert [patch.get_height() for patch in bars.patches] == [3, 0, 5]
    assert [tick.get_text() for tick in bars.get_xticklabels()] == ["a", "b", "c"]
    point = draw(torch.tensor([[1.0, 2.0]]), names=("a", "b"), among=torch.zeros(5, 1, 2))
    assert [len(line.get_xdata()) for line in point.lines] == [5, 1]
    assert point.lines[1].get_xydata().tolist() == [[1, 2]]
    numbers = draw(torch.arange(30.0)[:, None])
    assert sum(patch.get_height() for patch in numbers.patches) == 30
    assert len(numbers.lines[0].get_xdata()) == 30, "the rug"
    alone = draw(torch.tensor([[2.5]]))
    assert "2.5" in alone.get_xlabel()
    assert alone.lines[0].get_xdata()[0] == 2.5
    points = draw(torch.rand(4, 2), kind="set")
    assert len(points.lines[0].get_xdata()) == 4
    many = draw(torch.rand(50, 4), kind="set")
    assert len(many.get_legend().get_texts()) == 4
    long = draw(torch.rand(1, 100))
    assert len(long.patches) == 100


def test_an_overview_shows_what_it_is_given() -> None:
    generator = torch.Generator().manual_seed(0)
    prior, draws = torch.randn(2, 500, 3, generator=generator)
    uniform = torch.arange(1, 11) / 10
    gaps = {"one": 0.01 * prior[:10], "two": 0.02 * prior[:10]}
    figure = plots.overview(
        torch.zeros(1, 2), prior, {"one": draws, "two": draws + 1}, draws, truth=draws[0],
        ranks=plots.Ranks(uniform, gaps, (uniform - 2, uniform + 2)), pair=(2, 0),
        theta_names=("a", "b", "c"),
    )  # fmt: skip
    _, plane, marginal, sbc = figure.axes
    assert (plane.get_xlabel(), plane.get_ylabel(), marginal.get_xlabel()) == ("c", "a", "c")
    labels = [line.get_label() for line in plane.lines]
    assert labels == ["prior", "exact", "one", "two", "truth"]
    assert plane.lines[4].get_xydata()[0].tolist() == pytest.approx(draws[0, [2, 0]].tolist())
    texts = [text.get_text() for text in marginal.get_legend().get_texts()]
    assert texts == ["prior", "exact", "one", "two", "truth"]
    lines = {line.get_label(): line for line in sbc.lines}
    assert lines["two, a"].get_ydata().tolist() == pytest.approx(gaps["two"][:, 0].tolist())
    assert lines["one, c"].get_color() == lines["one, a"].get_color() == plots.LEARNED
    assert lines["one, c"].get_linestyle() != lines["one, a"].get_linestyle()
    empty = plots.overview(torch.zeros(1, 2), prior, missing="not yet")
    assert [text.get_text() for text in empty.axes[3].texts] == ["not yet"]
    assert len(empty.axes) == 4


def test_the_ranks_of_several_methods_side_by_side() -> None:
    ranks = torch.arange(10).repeat(10)[:, None]
    even, low = SBCResult(ranks, 9), SBCResult(0 * ranks, 9)
    both = compare_ranks({"even": even, "low": low})
    assert both.gaps["even"].abs().max() < 1e-12
    assert both.gaps["low"][:, 0].tolist() == pytest.approx((1 - both.uniform).tolist())
    assert both.band is not None
    assert (both.band[0] <= 0).all()
    assert (both.band[1] >= 0).all()
    for wrong in ({}, {"even": even, "short": SBCResult(ranks[:50], 9)}):
        with pytest.raises(ValueError, match="SBC of one size is compared"):
            compare_ranks(wrong)


def test_pictures_of_bad_input() -> None:
    with pytest.raises(TypeError, match="x must be a torch tensor"):
        plots.data_set([[1.0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x must have shape \(N, F\), got \(3,\)"):
        plots.data_set(torch.zeros(3))
    with pytest.raises(ValueError, match="need 2 names"):
        plots.data_set(torch.zeros(1, 2), names=("a",))
    with pytest.raises(ValueError, match="NaN"):
        plots.data_set(torch.full((1, 2), torch.nan))
    with pytest.raises(ValueError, match=r"the pair \(0, 5\) does not exist among 2 parameters"):
        plots.overview(torch.zeros(1, 2), torch.zeros(9, 2), pair=(0, 5))
    with pytest.raises(ValueError, match=r"must have shape \(n, 2\)"):
        plots.overview(torch.zeros(1, 2), torch.zeros(9, 2), {"one": torch.zeros(9, 3)})


def test_a_room_says_what_the_suite_found_there() -> None:
    gallery = Gallery("two_moons")
    try:
        said = gallery.words.value
        assert "In the suite, after a minute or two of training" in said
        for found in findings("two_moons"):
            assert f"{found.sbc_ks:.3f} and a C2ST of {found.c2st:.2f}" in said
        assert "would have about 0.007 and 0.50." in said  # 0.75/√10,000, with 25 draws
        assert gallery.join(TIMEOUT)
    finally:
        gallery.close()

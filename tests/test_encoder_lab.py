"""`EncoderLab` without a browser: what shuffling, and more or fewer data, do to s and posterior."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
from calibrated import normal_problem
from PIL import Image
from test_widgets import abuse, all_widgets, randomly, threads, until

from diffsbi_edu.encoders.statistics import series_statistics
from diffsbi_edu.errors import NoExactPosterior
from diffsbi_edu.problems import AR1, Gaussian2D, NormalGamma, Problem, WitchsHat
from diffsbi_edu.widgets import EncoderLab
from diffsbi_edu.widgets.encoder_menu import COLOURS, ENCODERS, Cloud
from diffsbi_edu.widgets.loop import Pace
from diffsbi_edu.widgets.orders import MOST_VISITED, OrderedData

TIMEOUT = 60.0
SERIES = "a time series (AR(1))"


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    until(lambda: not threads(), 10.0)


@pytest.fixture
def make() -> Iterator[Callable[..., EncoderLab]]:
    made = []

    def build(*args: Any, **settings: Any) -> EncoderLab:
        made.append(EncoderLab(*args, **settings))
        assert made[-1].join(TIMEOUT)
        return made[-1]

    yield build
    for bench in made:
        bench.close()


def press(bench: EncoderLab, *names: str) -> EncoderLab:
    for name in names:
        bench.buttons[name].click()
        assert bench.join(TIMEOUT)
    return bench


# ------------------------------------------------------------------------- what the order does


@pytest.mark.parametrize("encoder", ["DeepSets", "SetTransformer", "Statistics"])
def test_a_set_network_does_not_see_the_order(make: Any, encoder: str) -> None:
    bench = press(make(encoder=encoder, steps=10), "train")
    first, before = bench.x_obs, bench.image.picture
    for name in ("shuffle", "reverse", "shuffle"):
        press(bench, name)
        assert not torch.equal(bench.x_obs, first)
        assert torch.equal(bench.x_obs.sort(0).values, first.sort(0).values)
        assert bench.moment.moved <= 1e-4
        assert bench.moment.summary_moved <= 1e-4
        assert bench.moment.exact_moved <= 1e-4
        assert (bench.moment.learned - bench.moment.before).abs().max() <= 1e-4
    assert bench.image.picture != before, "the data on the left have changed places"
    assert "the order says nothing, and the network knows" in bench.words.value


@pytest.mark.parametrize("encoder", ["BiLSTM", "GRU", "TemporalConv", "SequenceTransformer"])
def test_a_sequence_network_does(make: Any, encoder: str) -> None:
    bench = press(make(encoder=encoder, steps=20), "train", "shuffle")
    assert bench.moment.summary_moved > 1e-3
    assert bench.moment.moved > 2e-4, "more than a set network ever does"
    assert bench.moment.exact_moved <= 1e-4
    assert "It has to learn from examples" in bench.words.value
    visited = bench.moment.visited
    assert len(visited) == 2
    shuffled = bench.model.summarise(bench.x_obs[None])[0]
    assert torch.allclose(visited[1], shuffled, atol=1e-5)

    press(bench, "restore")
    assert bench.moment.label == "original order"
    assert (bench.moment.moved, bench.moment.summary_moved) == (0.0, 0.0)


def test_of_a_series_the_order_matters_and_a_set_network_misses_it(make: Any) -> None:
    bench = make(encoder="DeepSets", steps=10)
    bench.controls["problem"].value = SERIES
    press(bench, "train", "shuffle")
    assert bench.problem.name == "ar1"
    assert bench.moment.exact_moved > 0.5
    assert bench.moment.moved <= 1e-4
    assert "the order says something, and the network does not see it" in bench.words.value
    assert "cannot see the order" in bench.words.value

    # By hand: the AR(1) backwards is the same process, and the exact posterior does not move.
    press(bench, "restore", "reverse")
    assert bench.moment.label == "reversed"
    assert bench.moment.exact_moved <= 1e-3


def test_the_exact_posterior_beside_it_is_that_of_the_data_on_show(make: Any) -> None:
    bench = press(make(encoder="Statistics", steps=5), "new", "shuffle")
    moment = bench.moment
    x = bench.x_obs[:, 0].double()
    n = len(x)
    # The conjugate update, from Gelman et al. (Bayesian Data Analysis, section 3.3).
    mean = n / (n + 1) * x.mean()
    se = moment.exact[:, 0].std() / len(moment.exact) ** 0.5
    assert abs(moment.exact[:, 0].mean() - mean) < 5 * se  # a false alarm in 10^6
    assert moment.sd_ratio == pytest.approx(
        float((moment.learned.std(0) / moment.exact.std(0)).mean())
    )


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.timeout(240)
def test_a_short_run_comes_near_the_exact_posterior(make: Any) -> None:
    bench = make(encoder="Statistics", steps=1500)
    press(bench, "train")
    assert bench.status == "finished"
    assert 0.7 < bench.moment.sd_ratio < 1.5
    off = (bench.moment.learned.mean(0) - bench.moment.exact.mean(0)).abs()
    assert (off / bench.moment.exact.std(0)).max() < 0.7


# --------------------------------------------------------------------------------- the controls


def test_n_changes_the_data_and_says_where_it_was_not_trained(make: Any) -> None:
    bench = make(encoder="Statistics", steps=3)
    n = bench.controls["n_obs"]
    assert (n.value, len(bench.x_obs)) == (50, 50)
    first = bench.x_obs
    for size in (1, 5, 200, 1000):
        n.value = size
        assert bench.join(TIMEOUT)
        assert bench.x_obs.shape == (size, 1)
        beyond = not 5 <= size <= 200
        assert bench.moment.extrapolating == beyond
        assert ("extrapolating" in bench.words.value) == beyond
        labels = {value: label for label, value in n.options}
        assert ("beyond" in labels[size]) == beyond
        shared = min(size, 50)
        assert torch.equal(bench.x_obs[:shared], first[:shared]), "more of the same data"
    assert n.options[0] == ("1 (beyond)", 1)


def test_new_data(make: Any) -> None:
    bench = make(steps=3)
    first, theta = bench.x_obs, bench.moment.theta
    press(bench, "shuffle", "new")
    assert bench.x_obs.shape == first.shape
    assert not torch.equal(bench.x_obs.sort(0).values, first.sort(0).values)
    assert not torch.equal(bench.moment.theta, theta)
    assert bench.moment.label == "original order"


def test_train_pause_reset(make: Any) -> None:
    bench = make(encoder="Statistics", steps=10**6)
    assert (bench.status, bench.step) == ("ready", 0)
    assert "press Train" in bench.words.value
    untrained = bench.image.picture
    bench.buttons["train"].click()
    until(lambda: bench.step > 30)
    press(bench, "pause")
    assert bench.status == "paused"
    assert not threads()
    step, picture = bench.step, bench.image.picture
    assert picture != untrained
    assert f"step {step:,}" in bench.summary.value
    assert "loss" in bench.summary.value
    time.sleep(0.3)
    assert (bench.step, bench.image.picture) == (step, picture), "it stands still"
    bench.buttons["train"].click()
    until(lambda: bench.step > step + 5)
    press(bench, "pause", "reset")
    assert (bench.status, bench.step) == ("ready", 0)
    assert bench.image.picture == untrained


def test_the_picture_follows_the_training_at_a_steady_pace(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(encoder="Statistics", steps=10**6)
    starts: list[float] = []

    def quick() -> None:  # a frame that costs nothing, lest its cost set the pace
        starts.append(time.perf_counter())
        bench._loop._stale = False

    monkeypatch.setattr(bench._loop, "_frame", quick)
    bench.buttons["train"].click()
    until(lambda: len(starts) >= 5)
    press(bench, "pause")
    between = np.diff(starts[1:-1])  # the first and the last are asked for by the clicks
    assert between.min() > 0.28, "four a second at most"


def test_switching_the_network_while_it_trains_trains_the_other(make: Any) -> None:
    bench = make(encoder="DeepSets", steps=10**6)
    bench.buttons["train"].click()
    until(lambda: bench.step > 5)
    x = bench.x_obs
    for name in ("BiLSTM", "Statistics", "GRU"):
        old = bench.model
        bench.controls["encoder"].value = name
        until(lambda old=old: bench.model is not old and bench.step > 2)
        assert type(bench.model.encoder).__name__ == name
        assert bench.status == "training"
        assert torch.equal(bench.x_obs, x), "the same data, so that one can compare"
    press(bench, "pause")
    bench.controls["encoder"].value = "DeepSets"
    assert bench.join(TIMEOUT)
    assert (bench.status, bench.step) == ("ready", 0)


def test_switching_the_problem(make: Any) -> None:
    bench = make(encoder="Statistics", steps=5)
    assert [label for label, _ in bench.controls["pair"].options] == ["mean, sd"]
    bench.controls["n_obs"].value = 20
    bench.controls["problem"].value = SERIES
    assert bench.join(TIMEOUT)
    assert bench.x_obs.shape == (20, 1)
    assert bench.model.summary_dim == 7, "other statistics: the lag-1 autocorrelation and the ends"
    assert [label for label, _ in bench.controls["pair"].options] == [
        "mean, phi", "mean, sd", "phi, sd",
    ]  # fmt: skip
    before = bench.image.picture
    bench.controls["pair"].value = (1, 2)
    assert bench.join(TIMEOUT)
    assert bench.image.picture != before
    press(bench, "train")
    assert bench.moment.learned.shape[1] == 3
    bench.controls["problem"].value = "independent data (normal)"
    assert bench.join(TIMEOUT)
    assert bench.moment.pair == (0, 1)
    bench._loop.setting("pair", lambda: (1, 2))  # a wish that was meant for the last problem
    assert bench.join(TIMEOUT)
    assert bench.moment.pair == (0, 1)
    assert bench.message.value in ("", '<div role="status"></div>')


def test_every_colour_of_the_cloud(make: Any) -> None:
    bench = make(steps=3)
    pictures = set()
    for name in COLOURS:
        bench.controls["colour"].value = name
        assert bench.join(TIMEOUT)
        assert bench.moment.colour_name == name
        pictures.add(bench.image.picture)
    assert len(pictures) == len(COLOURS)


def test_the_colours_are_the_statistics_that_they_are_called_after() -> None:
    cloud = Cloud(AR1((5, 40)), seed=3)
    assert [x.shape[1] for x in cloud.x][:: len(cloud.x) - 1] == [5, 40]
    sets = [row[:, 0].double().numpy() for x in cloud.x for row in x]

    def lag_one(x: np.ndarray) -> float:
        off = x - x.mean()
        return float((off[1:] * off[:-1]).sum() / (off**2).sum())

    for name, statistic in {
        "sample mean": np.mean,
        "log sd": lambda x: np.log(np.std(x)),
        "lag-1 autocorrelation": lag_one,
        "N": len,
    }.items():
        expected = [float(statistic(x)) for x in sets]
        assert cloud.colours(name).tolist() == pytest.approx(expected, abs=1e-4), name


def test_every_encoder_trains_on_both_problems(make: Any) -> None:
    bench = make(steps=2)
    for problem in bench.problems:
        bench.controls["problem"].value = problem
        for name in ENCODERS:
            bench.controls["encoder"].value = name
            press(bench, "train")
            assert (bench.status, bench.step) == ("finished", 2), bench.message.value
            assert name in bench.words.value


def test_other_problems(make: Any) -> None:
    for problem, shape in ((Gaussian2D(n_obs=7), (7, 2)), (WitchsHat(1), (1, 1))):
        bench = press(make(problem, steps=2), "train", "shuffle", "reverse", "new")
        assert bench.x_obs.shape == shape
        assert (bench.status, bench.message.value) == ("finished", '<div role="status"></div>')
        assert picture(bench).size == (960, 330)
        assert len(bench.controls["problem"].options) == 1


def picture(bench: EncoderLab) -> Image.Image:
    image = Image.open(io.BytesIO(bench.image.picture))
    image.load()
    return image


def test_every_control_is_labelled(make: Any) -> None:
    for widget in all_widgets(make(steps=2)):
        if hasattr(widget, "description") and not isinstance(widget, ipywidgets.HTML):
            assert widget.description, widget
            assert widget.tooltip, widget


# ------------------------------------------------------------------------------------ bad input


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"unknown encoder 'DeepSet'; did you mean 'DeepSets'"):
        EncoderLab(encoder="DeepSet")
    with pytest.raises(ValueError, match="'BiLSTM', 'DeepSets', 'GRU'"):
        EncoderLab(encoder="Identity")
    with pytest.raises(ValueError, match="steps, the length of a run"):
        EncoderLab(steps=0)
    with pytest.raises(TypeError, match="problem must be"):
        EncoderLab("two_moons")  # type: ignore[arg-type]
    with pytest.raises(NoExactPosterior, match="no exact posterior"):
        EncoderLab(normal_problem())


def test_what_goes_wrong_in_the_thread_is_shown(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make(encoder="Statistics", steps=10**6)
    bench.buttons["train"].click()
    until(lambda: bench.step > 3)
    bench._loop.trainer.knobs.lr = 1e30
    assert bench.join(TIMEOUT)
    assert bench.status == "failed"
    assert "became NaN or infinite" in bench.message.value
    assert "failed" in bench.summary.value
    assert "Reset" in bench.message.value
    press(bench, "reset")
    assert (bench.status, bench.message.value) == ("ready", '<div role="status"></div>')

    bench._loop.setting("n_obs", lambda: "many")
    assert bench.join(TIMEOUT)
    assert "TypeError" in bench.message.value
    assert bench.status == "ready"

    def broken(x_obs: torch.Tensor) -> Any:
        raise ZeroDivisionError("a posterior <b>of</b> one's own")

    monkeypatch.setattr(bench.problem, "posterior", broken)
    press(bench, "shuffle")
    assert "a posterior &lt;b&gt;of" in bench.message.value


def test_an_exact_posterior_that_fails_for_some_data_is_no_error(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(encoder="Statistics", steps=3)

    def impossible(x_obs: torch.Tensor) -> Any:
        raise ValueError("no theta could have made these data")

    monkeypatch.setattr(bench.problem, "posterior", impossible)
    press(bench, "shuffle", "train")
    assert bench.moment.exact is None
    assert bench.moment.sd_ratio is None
    assert "no exact posterior" in bench.words.value


# ------------------------------------------------------------------------------- threads and pages


def test_500_random_events_from_4_threads(make: Any) -> None:
    bench = make(encoder="Statistics", steps=10**6)
    controls = bench.controls
    actions: list[Callable[[random.Random], None]] = [
        *[lambda _, button=button: button.click() for button in bench.buttons.values()],
        *[lambda _: bench.buttons["train"].click()] * 5,
        randomly(controls["problem"], bench.problems),
        randomly(controls["encoder"], ["DeepSets", "GRU", "Statistics"]),
        *[randomly(controls["n_obs"], [1, 5, 50, 300])] * 2,
        randomly(controls["colour"], COLOURS),
        lambda chance: setattr(controls["pair"], "index", 0),
        lambda _: bench.x_obs.shape,
    ]
    abuse(bench, actions, 500)
    press(bench, "pause")
    assert bench._loop.trainer.error is None, bench.message.value
    assert "Error" not in bench.message.value
    press(bench, "reset")
    assert (bench.status, bench.step) == ("ready", 0)
    # What the controls say is what is shown.
    assert bench.problems[controls["problem"].value] is bench.problem
    assert type(bench.model.encoder).__name__ == controls["encoder"].value
    assert len(bench.x_obs) == controls["n_obs"].value
    bench.close()
    assert not threads()


def test_close_while_it_trains_leaves_no_thread_and_a_usable_model() -> None:
    bench = EncoderLab(encoder="DeepSets", steps=10**6)
    bench.buttons["train"].click()
    until(lambda: bench.step > 3)
    bench.close()
    assert not threads()
    step = bench.step
    bench.buttons["train"].click()  # a click that arrives late does nothing
    assert (bench.step, threads()) == (step, [])
    assert bench.model.sample(bench.x_obs, 3, seed=0).shape == (3, 2)


def test_a_closed_page_pauses_and_an_opened_one_goes_on(make: Any) -> None:
    bench = make(encoder="Statistics", steps=10**6)
    hear = bench.image._hear
    hear(None, {"kind": "open", "view": "a"}, None)
    bench.buttons["train"].click()
    until(lambda: bench.step > 3)
    hear(None, {"kind": "closed", "view": "a"}, None)
    assert bench.join(TIMEOUT)
    assert (bench.status, threads()) == ("paused", [])
    assert "page was closed" in bench.message.value
    step = bench.step
    hear(None, {"kind": "open", "view": "b"}, None)
    until(lambda: bench.step > step + 3)
    press(bench, "pause")
    hear(None, {"kind": "closed", "view": "b"}, None)
    hear(None, {"kind": "open", "view": "c"}, None)
    assert bench.join(TIMEOUT)
    assert bench.status == "paused", "a pause of the user outlasts a reload"


def test_drawing_and_training_never_happen_at_once(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame shows one model: no step is made between its summaries and its draws."""
    bench = make(encoder="Statistics", steps=10**6)
    loop, seen = bench._loop, []
    look = loop._look

    def watched(n: int) -> Any:
        before = [p.clone() for p in bench.model.parameters()]
        moment = look(n)
        seen.append(all(torch.equal(a, b) for a, b in zip(before, bench.model.parameters())))
        seen.append(threading.current_thread().name == "diffsbi-encoder-lab")
        return moment

    monkeypatch.setattr(loop, "_look", watched)
    bench.buttons["train"].click()
    until(lambda: len(seen) >= 6)
    press(bench, "pause")
    assert all(seen)


# ---------------------------------------------------------------------------------- its own parts


def test_the_orders_of_a_data_set() -> None:
    data = OrderedData(NormalGamma(), 30, most=100, seed=4)
    for _ in range(2 * MOST_VISITED):
        data.shuffle()
        assert torch.equal(data.order.sort().values, torch.arange(30))
        assert torch.equal(data.x, data.original[data.order])
    assert len(data.visited) <= MOST_VISITED + 2
    assert torch.equal(data.visited[0], data.original)
    assert torch.equal(data.visited[-1], data.x)
    data.restore()
    data.reverse()
    data.reverse()
    assert data.label == "original order"
    assert torch.equal(data.x, data.original)
    same = OrderedData(NormalGamma(), 30, most=100, seed=4)
    assert torch.equal(same.original, data.original), "the seed decides"


def test_data_that_need_not_be_a_part_of_longer_ones_are_simulated_anew() -> None:
    def simulator(theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        grid = torch.linspace(0, 1, n_obs)  # the same stretch, more finely
        return (theta * grid)[..., None]

    prior = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(1), 1.0), 1)
    data = OrderedData(Problem(prior, simulator, n_obs=(2, 50)), 3, most=50, seed=0)
    end = data.x[-1]
    data.resize(9)
    assert data.x.shape == (9, 1)
    assert torch.allclose(data.x[-1], end), "the same theta"


def test_the_statistics_of_a_series_are_sufficient_for_an_ar1() -> None:
    """The likelihood, up to a constant factor, can be computed from them alone."""
    problem = AR1()
    theta, x = problem.sample(5, seed=1, n_obs=37, device="cpu")
    x = x.double()
    mean, log_sd, r, first, last, log_n, _ = series_statistics(x).T
    n = torch.exp(4 * log_n)
    power = n * torch.exp(2 * log_sd)  # Σ (x_t − mean)²
    for i, at in enumerate(theta.double()):
        m, phi, sd = at
        d = mean[i] - m
        # Σ off_t², Σ off_t over t ≥ 2 and t ≤ N − 1, and Σ off_t off_{t−1}, of off = x − m.
        squares = power[i] + n[i] * d**2
        ends = [first[i] - m, last[i] - m]
        lagged = r[i] * power[i] + d * (2 * n[i] * d - ends[0] - ends[1]) - (n[i] - 1) * d**2
        errors = (
            (1 - phi**2) * ends[0] ** 2
            + (squares - ends[0] ** 2)
            - 2 * phi * lagged
            + phi**2 * (squares - ends[1] ** 2)
        )
        log_likelihood = (
            0.5 * (1 - phi**2).log()
            - n[i] * (sd.log() + 0.5 * np.log(2 * np.pi))
            - 0.5 * errors / sd**2
        )
        expected = problem.log_likelihood(at, x[i])
        assert float(log_likelihood) == pytest.approx(float(expected), rel=1e-5, abs=1e-4)


def test_the_statistics_of_padded_series() -> None:
    x = torch.randn(3, 8, 2, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(8) < torch.tensor([[8], [3], [1]])
    padded = torch.where(mask[..., None], x, 77.0)
    found = series_statistics(padded.masked_fill(~mask[..., None], 0.0), mask)
    for row, n in enumerate((8, 3, 1)):
        assert torch.allclose(found[row], series_statistics(x[row : row + 1, :n])[0], atol=1e-5)


def test_the_pace_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    pace = Pace(seconds=0.3, share=0.2, longest=1.0)
    assert pace.due()
    for cost, wait in ((0.01, 0.3), (0.1, 0.5), (10.0, 1.0)):
        with pace.frame():
            now[0] += cost
        start = now[0] - cost
        for since, due in ((0.9 * wait, False), (1.01 * wait, True)):
            if since >= cost:  # a frame cannot be due while it is drawn
                now[0] = start + since
                assert pace.due() == due
    assert pace.due(hurry=0.1)

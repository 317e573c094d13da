"""`StabilityRace` without a browser: a fair race, and one that goes on whatever happens in it."""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from PIL import Image
from test_widgets import abuse, randomly, threads, until, widget_registry

import diffsbi_edu as ds
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.errors import TrainingDiverged
from diffsbi_edu.flow import ConditionalFlow
from diffsbi_edu.problems import Gaussian2D, Problem, WitchsHat
from diffsbi_edu.widgets import StabilityRace
from diffsbi_edu.widgets.race import COOLEST
from diffsbi_edu.widgets.race_picture import Lane, RacePicture

TIMEOUT = 60.0
SMALL: dict[str, Any] = {
    "flow": "maf", "device": "cpu", "batch_size": 32, "pool": 256,
    "diffusion_settings": {"width": 16, "depth": 1}, "flow_settings": {"width": 8, "depth": 2},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    until(lambda: not threads(), 10.0)


@pytest.fixture(autouse=True)
def _quick_c2st(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier is tested elsewhere."""
    monkeypatch.setattr(ds.diagnostics, "c2st", lambda samples, reference, **effort: 0.75)


@pytest.fixture
def make() -> Iterator[Callable[..., StabilityRace]]:
    made = []

    def build(problem: Problem | None = None, **settings: Any) -> StabilityRace:
        made.append(StabilityRace(problem or Gaussian2D(), **{**SMALL, **settings}))
        return made[-1]

    yield build
    for race in made:
        race.close()


def steps(race: StabilityRace) -> list[int]:
    return [standing.steps for standing in race.results]


def test_first_frame_without_training(make: Any) -> None:
    race = make()
    assert race.join(TIMEOUT)
    image = Image.open(io.BytesIO(race.image.value))
    image.load()
    assert image.size == (960, 480)
    assert [s.status for s in race.results] == ["ready", "ready"]
    assert "diffusion" in race.scoreboard.value
    assert "maf" in race.scoreboard.value
    assert [type(m) for m in race.models.values()] == [ConditionalDiffusion, ConditionalFlow]


def test_run_ends_by_the_clock_and_is_judged(make: Any) -> None:
    race = make()
    standings = race.run(seconds=0.4)
    assert [s.status for s in standings] == ["finished", "finished"]
    for standing in standings:
        assert standing.steps > 1
        assert standing.c2st == 0.75
        assert math.isfinite(standing.loss)
        assert standing.largest_grad_norm > 0
        history = race.histories[standing.name]
        assert len(history) == standing.steps
        # No step begins after the clock has run out.
        assert history[-2].seconds < 0.4 <= history[-1].seconds == standing.seconds
        assert max(history.grad_norms) == standing.largest_grad_norm
    assert "0.75" in race.scoreboard.value
    again = race.run(seconds=0.2)
    for standing in again:
        history = race.histories[standing.name]
        assert [state.step for state in history] == list(range(1, standing.steps + 1)), "begun anew"
        assert 0.2 <= history[-1].seconds == standing.seconds


def test_both_see_the_same_batches_in_the_same_order(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[type, list[torch.Tensor]] = {ConditionalDiffusion: [], ConditionalFlow: []}
    for kind in seen:
        real = kind.loss

        def spy(self: Any, theta: Any, x: Any, real: Any = real, **rest: Any) -> Any:
            seen[type(self)].append(theta.clone())
            return real(self, theta, x, **rest)

        monkeypatch.setattr(kind, "loss", spy)
    race = make()
    race.seconds.value = 120.0
    race.buttons["Start"].click()
    until(lambda: min(steps(race)) > 10)  # more than one pass over the pool of 8 batches
    race.buttons["Pause"].click()
    assert race.join(TIMEOUT)
    first, second = seen.values()
    shared = min(len(first), len(second))
    assert all(torch.equal(a, b) for a, b in zip(first[:shared], second[:shared], strict=True))


def test_turns_are_taken_by_the_clock(make: Any) -> None:
    """While both train, neither clock runs ahead by more than a step or two."""
    race = make()
    race.seconds.value = 120.0
    race.buttons["Start"].click()
    until(lambda: min(steps(race)) > 30)
    race.buttons["Pause"].click()
    assert race.join(TIMEOUT)
    first, second = race.results
    longest = max(
        b.seconds - a.seconds
        for racer in race._race.racers
        for a, b in zip(racer.trainer.history[:-1], racer.trainer.history[1:], strict=True)
    )
    assert abs(first.seconds - second.seconds) <= longest + 1e-3
    assert [s.status for s in race.results] == ["paused", "paused"]
    paused = steps(race)
    race.buttons["Start"].click()
    until(lambda: min(steps(race)) > max(paused))
    race.buttons["Reset"].click()
    assert race.join(TIMEOUT)
    assert steps(race) == [0, 0]


def test_learning_rate_falls_along_the_clock(make: Any) -> None:
    """Each step's rate is the cosine of the time spent before it, however long any step took."""
    race = make(lr=1e-2)
    race.run(seconds=1.0)
    warmup = inspect.signature(ds.train).parameters["warmup"].default
    for racer in race._race.racers:
        history = racer.trainer.history
        before = [0.0, *(state.seconds for state in history[:-1])]
        # The warm-up counts steps, and a slow machine may still be in it when the clock runs out.
        warm = [min(1.0, state.step / (warmup + 1)) for state in history]
        expected = [
            1e-2 * w * max(0.5 * (1 + math.cos(math.pi * min(1.0, seconds))), COOLEST)
            for seconds, w in zip(before, warm, strict=True)
        ]
        assert [state.lr for state in history] == pytest.approx(expected)
        assert before[-1] > 0.0  # more than one step: the rate did fall


def diverge_at(monkeypatch: pytest.MonkeyPatch, kind: type, step: int) -> None:
    """A loss that becomes NaN: what training really does with it is not touched."""
    real, calls = kind.loss, iter(range(10**9))  # type: ignore[attr-defined]

    def loss(self: Any, *args: Any, **rest: Any) -> torch.Tensor:
        value: torch.Tensor = real(self, *args, **rest)
        return value * math.nan if next(calls) >= step else value

    monkeypatch.setattr(kind, "loss", loss)


@pytest.mark.parametrize("kind", [ConditionalFlow, ConditionalDiffusion])
def test_the_race_goes_on_without_the_one_that_diverged(
    make: Any, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    diverge_at(monkeypatch, kind, 5)
    race = make()
    standings = race.run(seconds=0.4)
    lost, other = sorted(standings, key=lambda s: s.status)
    assert (lost.status, other.status) == ("diverged", "finished")
    assert lost.name == ("maf" if kind is ConditionalFlow else "diffusion")
    assert lost.diverged
    assert not other.diverged
    assert (lost.steps, "NaN" in lost.why) == (5, True)
    assert other.seconds >= 0.4
    assert f"{lost.name} diverged" in race.message.value
    assert "goes on" in race.message.value
    assert "diverged" in race.scoreboard.value
    monkeypatch.undo()
    assert [s.status for s in race.run(seconds=0.2)] == ["finished", "finished"]


def test_both_diverged_is_the_end(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    diverge_at(monkeypatch, ConditionalFlow, 3)
    diverge_at(monkeypatch, ConditionalDiffusion, 4)
    standings = make().run(seconds=5.0)
    assert [s.status for s in standings] == ["diverged", "diverged"]


def test_a_real_divergence(make: Any) -> None:
    """No tricks: a learning rate beyond all reason, no clipping."""
    race = make(WitchsHat(2), lr=1e8, clip=math.inf)
    assert not race.clip.value
    race.run(seconds=1.0)
    assert any(s.diverged for s in race.results)
    for racer in race._race.racers:
        assert racer.trainer.error is None or isinstance(racer.trainer.error, TrainingDiverged)


def test_knobs_reach_both_at_once(make: Any) -> None:
    race = make()
    race.seconds.value = 120.0
    race.buttons["Start"].click()
    until(lambda: min(steps(race)) > 2)
    race.lr.value = 1e-5
    race.clip.value = False
    until(lambda: all(r.trainer.knobs.clip == math.inf for r in race._race.racers))
    until(lambda: all(r.trainer.history[-1].lr <= 1e-5 for r in race._race.racers))
    assert race.results[0].status == "training"


def test_another_opponent_begins_anew(make: Any) -> None:
    race = make()
    race.run(seconds=0.1)
    race.flow.value = "nsf"
    assert race.join(TIMEOUT)
    assert list(race.models) == ["diffusion", "nsf"]
    assert steps(race) == [0, 0]
    assert race.models["nsf"].settings()["flow"] == "nsf"
    race.flow.value = "coupling_loose"
    assert race.join(TIMEOUT)
    assert race.models["coupling_loose"].settings()["clamp"] == 2.0
    assert [s.status for s in race.run(seconds=0.1)] == ["finished", "finished"]


def test_another_observation_is_shown_and_judged_anew(make: Any) -> None:
    race = make(WitchsHat(2))
    race.run(seconds=0.2)
    before = race.image.value
    race.observation.value = "outside the box"
    assert race.join(TIMEOUT)
    assert race.image.value != before
    assert race.results[0].c2st == 0.75
    assert [s.status for s in race.results] == ["finished", "finished"]


def test_own_observations(make: Any) -> None:
    race = make(observations={"mine": torch.zeros(1, 2), "yours": torch.ones(1, 2)})
    assert tuple(race.observation.options) == ("mine", "yours")


def test_without_an_exact_posterior_it_says_so(make: Any) -> None:
    prior = Gaussian2D().prior
    race = make(Problem(prior, lambda theta: theta + torch.randn_like(theta)))
    assert [s.c2st for s in race.run(seconds=0.2)] == [None, None]


def test_one_parameter(make: Any) -> None:
    race = make(WitchsHat(1))
    assert [s.status for s in race.run(seconds=0.2)] == ["finished", "finished"]
    race.flow.value = "coupling"  # which needs two: refused, the race as it was
    assert race.join(TIMEOUT)
    assert "at least 2 latent dimensions" in race.message.value
    assert list(race.models) == ["diffusion", "maf"]
    assert [s.status for s in race.run(seconds=0.1)] == ["finished", "finished"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"flow": "realnvp"}, "realnvp"),
        ({"seconds": 0.0}, "seconds"),
        ({"lr": -1.0}, "lr"),
        ({"clip": 0.0}, "clip"),
        ({"pool": 10}, "pool"),
        ({"device": "gpu"}, "device"),
    ],
)
def test_bad_arguments_are_refused_at_once(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StabilityRace(Gaussian2D(), **{**SMALL, **bad})


def test_run_refuses_bad_seconds_and_a_closed_dashboard(make: Any) -> None:
    race = make()
    with pytest.raises(ValueError, match="seconds"):
        race.run(seconds=math.nan)
    race.close()
    with pytest.raises(RuntimeError, match="closed"):
        race.run()
    assert race.models["maf"].sample(torch.zeros(1, 2), 3).shape == (3, 2)


def test_ctrl_c_holds_the_race(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    race = make()
    real, calls = race._race.worker.join, []

    def join(timeout: float) -> bool:
        calls.append(timeout)
        if len(calls) == 1:
            until(lambda: min(steps(race)) > 2)
            raise KeyboardInterrupt
        return real(timeout)

    monkeypatch.setattr(race._race.worker, "join", join)
    standings = race.run(seconds=60.0)
    assert [s.status for s in standings] == ["paused", "paused"]
    assert min(s.steps for s in standings) > 2


def test_close_leaves_nothing() -> None:
    before = set(widget_registry())
    race = StabilityRace(Gaussian2D(), **SMALL)
    race.buttons["Start"].click()
    until(lambda: min(steps(race)) > 2)
    race.close()
    assert not threads()
    assert [w for key, w in widget_registry().items() if key not in before] == []
    race.buttons["Start"].click()
    assert not threads()


def test_random_events_from_4_threads(make: Any) -> None:
    race = make(WitchsHat(2), seconds=1.0)
    actions = [
        *[lambda _, b=button: b.click() for button in race.buttons.values()],
        *[lambda _: race.buttons["Start"].click()] * 3,
        randomly(race.lr, [1e-4, 1e-3, 1e-2]),
        randomly(race.clip, [True, False]),
        randomly(race.flow, ["maf", "nsf"]),
        randomly(race.observation, race.observations),
        randomly(race.seconds, [1.0, 2.0]),
    ]
    race.buttons["Start"].click()
    abuse(race, actions, 200)
    race.buttons["Reset"].click()
    assert race.join(TIMEOUT)
    assert [s.status for s in race.run(seconds=0.2)] == ["finished", "finished"]


def test_the_picture_of_a_model_without_finite_samples() -> None:
    picture = RacePicture(["a", "b"], ["left", "right"])
    theta = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    picture.set_exact(theta, "", theta)
    seconds, values = [0.1, 0.2, 0.3], [3.0, 2.0, 1.0]
    lost = Lane(None, seconds, [1.0, math.inf, math.nan], [1.0, math.inf, math.nan], True)
    assert picture.draw([Lane(theta, seconds, values, values, False), lost], 1.0)
    assert picture._words[2].get_text() == "no finite samples"

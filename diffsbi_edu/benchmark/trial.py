"""One run of the stability study: train one model, watch it closely, judge it at the end."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch

from diffsbi_edu.diagnostics.c2st import c2st
from diffsbi_edu.diagnostics.sbc import sbc
from diffsbi_edu.diagnostics.spikes import WINDOW, spikes
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.errors import NoExactPosterior, TrainingDiverged, unknown_name
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.flow import FLOWS, ConditionalFlow
from diffsbi_edu.problems import Problem
from diffsbi_edu.training import train

#: Method → (how to build it, its default depth).
METHODS: dict[str, tuple[Callable[..., Estimator], int]] = {
    "diffusion": (ConditionalDiffusion, 3),
    # The paper's coupling flow, and the same without the tight clamp on its scales.
    "coupling": (partial(ConditionalFlow, flow="coupling"), FLOWS["coupling"][1]),
    "coupling_loose": (partial(ConditionalFlow, flow="coupling", clamp=2.0), FLOWS["coupling"][1]),
    "maf": (partial(ConditionalFlow, flow="maf"), FLOWS["maf"][1]),
    "nsf": (partial(ConditionalFlow, flow="nsf"), FLOWS["nsf"][1]),
}
TRIAL_STEPS = 20  # steps that time a method, where the budget is in seconds


@dataclass(frozen=True)
class Trial:
    """The settings of one run.

    Args:
        method: one of `METHODS`.
        lr: peak learning rate.
        depth: residual blocks of a diffusion, transforms of a flow.
        seed: of weights, data and noise.
        clip: largest gradient norm; inf for no clipping.
        steps: training steps; None where `seconds` is given.
        seconds: training time instead: the number of steps is chosen, after timing a few, to last
            that long.
        batch_size: pairs a step.
    """

    method: str
    lr: float
    depth: int
    seed: int
    clip: float = 1.0
    steps: int | None = 1500
    seconds: float | None = None
    batch_size: int = 512

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method", self.method, METHODS)
        if (self.steps is None) == (self.seconds is None):
            raise ValueError("give either steps or seconds, the budget of a run.")
        for name in ("lr", "depth", "clip", "steps", "seconds", "batch_size"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}.")


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Attributes:
        trained_steps, trained_seconds: how far it got, checks not counted.
        diverged: whether the loss became NaN or infinite, or jumped.
        reason: "non-finite", "jump" (the median loss of 20 steps rose above where training had
            started, see `diagnostics.spikes`) or "".
        largest_grad_norm: before clipping.
        worst_spike: largest rise of a single step's loss above the running median of 20 steps, in
            units of all that the run had gained (loss at the start minus best median). Losses of
            unlike methods have unlike units; this has none.
        start_loss, end_loss: medians of the first and last 20 steps.
        seconds_to_target: training time until the C2ST at a check was at most the target; NaN if
            never.
        c2st: of the final model, mean over the observations, against exact samples; NaN if unknown.
        sbc_ks: KS distance of SBC ranks from uniform, mean over coordinates; NaN after divergence
            by non-finite numbers.
    """

    trained_steps: int
    trained_seconds: float
    diverged: bool
    reason: str
    largest_grad_norm: float
    worst_spike: float
    start_loss: float
    end_loss: float
    seconds_to_target: float
    c2st: float
    sbc_ks: float


@dataclass(frozen=True)
class Judge:
    """How the final models are judged: the same for every run of a study.

    Args:
        x_obs: observations (K, N, F) at which C2ST is measured; None for no C2ST.
        exact: exact samples (K, n, D) there.
        target: C2ST that `seconds_to_target` waits for.
        checks: how often C2ST is measured on the way, at even intervals.
        n_sims, n_samples: of SBC; 0 simulations for none.
    """

    x_obs: torch.Tensor | None
    exact: torch.Tensor | None
    target: float = 0.6
    checks: int = 4
    n_sims: int = 500
    n_samples: int = 50

    @classmethod
    def of(cls, problem: Problem, x_obs: torch.Tensor | None, draws: int, **settings: Any) -> Judge:
        """A judge with exact samples at x_obs (K, N, F), or without where none are known."""
        if x_obs is None:
            _, x_obs = problem.sample(3, seed=20240410, device="cpu")
        try:
            exact = torch.stack(
                [problem.posterior(x).sample((draws,), seed=i) for i, x in enumerate(x_obs)]
            )
        except NoExactPosterior:
            return cls(None, None, **settings)
        return cls(x_obs.cpu(), exact, **settings)

    def score(self, model: Estimator) -> float:
        """Mean C2ST over the observations; NaN where unknown or where samples are not finite."""
        if self.x_obs is None or self.exact is None:
            return math.nan
        scores = []
        for i, (x, exact) in enumerate(zip(self.x_obs, self.exact, strict=True)):
            draws = model.sample(x, len(exact), seed=i).cpu()
            if not torch.isfinite(draws).all():
                return math.nan
            scores.append(c2st(draws, exact))
        return statistics.fmean(scores)

    def calibration(self, model: Estimator, problem: Problem) -> float:
        """Mean KS distance of SBC ranks; NaN where not asked for, or where samples are NaN."""
        if self.n_sims == 0:
            return math.nan
        try:
            return float(sbc(model, problem, self.n_sims, self.n_samples, seed=1).ks.mean())
        except ValueError:
            return math.nan


def build(trial: Trial, problem: Problem, device: str) -> Estimator:
    """The untrained model of a trial."""
    make, _ = METHODS[trial.method]
    return make(problem, depth=trial.depth, seed=trial.seed, device=device)


def run_trial(trial: Trial, problem: Problem, judge: Judge, device: str = "auto") -> Outcome:
    """Train and judge one model. A run that diverges is a result, not an error."""
    settings: dict[str, Any] = {
        "lr": trial.lr, "clip": trial.clip, "batch_size": trial.batch_size, "seed": trial.seed,
    }  # fmt: skip
    steps = trial.steps or _steps_within(trial, problem, device, settings)
    model = build(trial, problem, device)
    check_at = {max(1, steps * (i + 1) // judge.checks) for i in range(judge.checks)}
    states, reached, non_finite = [], math.nan, False
    score = math.nan
    try:
        for state in train(model, steps, **settings):
            states.append(state)
            if state.step in check_at:
                score = judge.score(model)
                if score <= judge.target and math.isnan(reached):
                    reached = state.seconds
    except TrainingDiverged:
        non_finite, score = True, judge.score(model)
    losses = [state.loss for state in states]
    spike, jumped = spikes(losses)
    return Outcome(
        trained_steps=len(states),
        trained_seconds=states[-1].seconds if states else 0.0,
        diverged=non_finite or jumped,
        reason="non-finite" if non_finite else "jump" if jumped else "",
        largest_grad_norm=max((state.grad_norm for state in states), default=math.nan),
        worst_spike=spike,
        start_loss=statistics.median(losses[:WINDOW]) if losses else math.nan,
        end_loss=statistics.median(losses[-WINDOW:]) if losses else math.nan,
        seconds_to_target=reached,
        c2st=score,
        sbc_ks=judge.calibration(model, problem),
    )


def _steps_within(trial: Trial, problem: Problem, device: str, settings: dict[str, Any]) -> int:
    """How many steps fit into `trial.seconds`, from timing a few on a throw-away model."""
    model = build(trial, problem, device)
    seconds = [state.seconds for state in train(model, TRIAL_STEPS, **settings)]
    half = TRIAL_STEPS // 2  # the first steps pay for warming up
    a_step = (seconds[-1] - seconds[half - 1]) / (TRIAL_STEPS - half)
    return max(2, round((trial.seconds or 0.0) / a_step))


TRIAL_FIELDS = [f.name for f in fields(Trial)]
OUTCOME_FIELDS = [f.name for f in fields(Outcome)]

"""One run of the suite: train one model on one problem, judge it, and report one row."""

from __future__ import annotations

import math
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from diffsbi_edu.benchmark.cases import CASES, METHODS, Budget, Case, Method, finish_of
from diffsbi_edu.diagnostics.c2st import c2st
from diffsbi_edu.diagnostics.suite import calibrate
from diffsbi_edu.errors import NoExactPosterior, TrainingDiverged
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.problems import Problem
from diffsbi_edu.run import TrainState
from diffsbi_edu.training import train

OBSERVATIONS_SEED = 20240410  # every method is judged at the same data
# Plus the run's seed: of the calibration checks. Methods of one seed are judged by the same
# simulations, seeds by others, so that more seeds also say more about calibration.
JUDGE_SEED = 7_000_000
# Of the C2ST's classifier. With a thousand draws, more of them only let it learn by heart: in 5
# dimensions, a shift of 0.2 sds scores 0.56 after 100, 0.54 after 200 and 0.51 after 1,000.
C2ST_EPOCHS = 100


@dataclass(frozen=True)
class Run:
    """What is run; identifies a row.

    Attributes:
        problem: name of a case.
        method: name of a method.
        seed: of weights, simulations and noise.
        steps: training steps (those of the decoder alone, at the end, follow from them).
        budget: what to judge it by; its name is kept in the row.
    """

    problem: str
    method: str
    seed: int
    steps: int
    budget: Budget


@dataclass(frozen=True)
class Result:
    """What came of it; NaN where a number is not known.

    Attributes:
        status: "ok"; "diverged", if the loss became NaN or infinite; or "failed", if anything else
            went wrong.
        reason: why it failed.
        parameters: trainable numbers of model and summary network.
        train_seconds: of training, simulation included.
        sample_seconds: for `n_samples` draws at each of `n_sims` data sets.
        last_loss: mean of the last 50 steps'.
        c2st, c2st_worst: against exact draws, mean and worst over the observations.
        marginal_ks: two-sample Kolmogorov–Smirnov distance of each parameter's draws from exact
            ones, mean over parameters and observations.
        sbc_ks, sbc_tv, sbc_hellinger, sbc_wasserstein: distances of the ranks' distribution from
            uniform, means over parameters.
        sbc_ks_worst: the parameter with the largest.
        sbc_p: p-value of SBC, all parameters together.
        tarp_area, tarp_p: of expected coverage with random references.
        contraction: 1 − posterior variance / prior variance, mean over parameters.
        dropped: share of the simulations that failed.
        n_sims, n_samples, draws: how many, of the calibration checks and against exact draws.
        peak_mb: largest memory of the process so far (not known on Windows).
    """

    status: str = "ok"
    reason: str = ""
    parameters: int = 0
    train_seconds: float = math.nan
    sample_seconds: float = math.nan
    last_loss: float = math.nan
    c2st: float = math.nan
    c2st_worst: float = math.nan
    marginal_ks: float = math.nan
    sbc_ks: float = math.nan
    sbc_tv: float = math.nan
    sbc_hellinger: float = math.nan
    sbc_wasserstein: float = math.nan
    sbc_ks_worst: float = math.nan
    sbc_p: float = math.nan
    tarp_area: float = math.nan
    tarp_p: float = math.nan
    contraction: float = math.nan
    dropped: float = math.nan
    n_sims: int = 0
    n_samples: int = 0
    draws: int = 0
    peak_mb: float = math.nan


RUN_FIELDS = ("problem", "method", "seed", "steps", "budget")
RESULT_FIELDS = tuple(f.name for f in fields(Result))
PLACE_FIELDS = ("version", "torch", "machine", "device", "finished")


def run_case(run: Run, device: str = "cpu") -> dict[str, Any]:
    """Train and judge one model on one core (or one GPU): a row of the results.

    A run that diverges or fails is a result, not an error.
    """
    with one_core():
        try:
            result = _judged(run, device)
        except TrainingDiverged as error:
            result = Result("diverged", str(error))
        except MemoryError:
            raise
        except Exception as error:
            result = Result("failed", f"{type(error).__name__}: {error}")
    place = {
        "version": metadata.version("diffsbi-edu"),
        "torch": str(torch.__version__),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": device,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return settings_of(run) | asdict(result) | place


def settings_of(run: Run) -> dict[str, Any]:
    """The columns that identify a run."""
    return {f: getattr(run, f) for f in RUN_FIELDS} | {"budget": run.budget.name}


class Asked:
    """A model that samples as a method says."""

    def __init__(self, model: Estimator, sampling: Any) -> None:
        self._model, self._sampling = model, dict(sampling)
        self.device, self.seconds = model.device, 0.0

    def sample(self, x: torch.Tensor, n: int, *, seed: Any = None) -> torch.Tensor:
        start = time.perf_counter()
        draws = self._model.sample(x, n, seed=seed, **self._sampling)
        if draws.is_cuda:
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - start
        return draws


def trained(
    case: Case,
    method: Method,
    steps: int,
    finish: tuple[int, int] | None,
    seed: int,
    device: str = "cpu",
) -> tuple[Estimator, list[TrainState], float]:
    """A model as the suite trains it, the states of the last of its trainings, and the seconds.

    Args:
        case, method: what is learnt, and how.
        steps: of training.
        finish: (summaries, steps) of the decoder alone at the end, see `finish_of`.
        seed: of weights, simulations and noise.
        device: where.
    """
    model = method.model(case, case.build_problem(), seed, device)
    states = list(train(model, steps, seed=seed, **method.arguments(case)))
    seconds = states[-1].seconds
    if finish:
        summaries, steps = finish
        rest = method.finishing(case) or {}
        method.prepare_finish(model)
        # Another seed: other simulations than the first ones that both were trained on.
        states = list(train(model, steps, summaries=summaries, seed=10_000 + seed, **rest))
        seconds += states[-1].seconds
    return model, states, seconds


def trained_by(run: Run, device: str = "cpu") -> tuple[Estimator, list[TrainState], float]:
    """What `trained` returns, of the model behind a row of the results.

    Example:
        >>> from diffsbi_edu.benchmark import plan
        >>> model, *_ = trained_by(plan(["two_moons"], ["nsf"], budget=Budget("tiny", steps=9))[0])
        >>> model.problem.name
        'two_moons'
    """
    case = CASES[run.problem]
    finish = finish_of(case, run.method, run.steps)
    return trained(case, METHODS[run.method], run.steps, finish, run.seed, device)


def _judged(run: Run, device: str) -> Result:
    method, budget = METHODS[run.method], run.budget
    model, states, seconds = trained_by(run, device)
    problem = model.problem
    asked = Asked(model, method.sampling)
    found = calibrate(asked, problem, budget.n_sims, budget.n_samples, seed=JUDGE_SEED + run.seed)
    sample_seconds = asked.seconds
    failed, made = problem.failures
    result = Result(
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        train_seconds=seconds,
        sample_seconds=sample_seconds,
        last_loss=statistics.fmean(state.loss for state in states[-50:]),
        sbc_ks=float(found.sbc.ks.mean()),
        sbc_tv=float(found.sbc.total_variation.mean()),
        sbc_hellinger=float(found.sbc.hellinger.mean()),
        sbc_wasserstein=float(found.sbc.wasserstein.mean()),
        sbc_ks_worst=float(found.sbc.ks.max()),
        sbc_p=found.sbc.p_value,
        tarp_area=found.tarp.area,
        tarp_p=found.tarp.p_value,
        contraction=found.contraction,
        dropped=failed / made if made else found.dropped / budget.n_sims,
        n_sims=budget.n_sims,
        n_samples=budget.n_samples,
        draws=budget.draws,
        peak_mb=_peak_mb(),
    )
    return replace(result, **_against_exact(asked, problem, budget))  # type: ignore[arg-type]


def _against_exact(model: Asked, problem: Problem, budget: Budget) -> dict[str, float]:
    """C2ST and marginal distances, where the problem knows its exact posterior."""
    _, x = problem.sample(budget.observations, seed=OBSERVATIONS_SEED, device="cpu")
    scores, gaps = [], []
    for i, x_obs in enumerate(x):
        try:
            exact = problem.posterior(x_obs).sample((budget.draws,), seed=i)
        except NoExactPosterior:
            return {}
        draws = model.sample(x_obs.to(model.device), budget.draws, seed=100 + i).cpu()
        scores.append(c2st(draws, exact.to(draws), max_epochs=C2ST_EPOCHS))
        gaps.append(marginal_ks(draws, exact.to(draws)))
    return {
        "c2st": statistics.fmean(scores),
        "c2st_worst": max(scores),
        "marginal_ks": statistics.fmean(gaps),
    }


def marginal_ks(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest gap between the ECDFs of the same parameter in a (n, D) and b (m, D), mean over D.

    Two sets of n draws each from one law have about 0.87·√(2/n).

    Example:
        >>> a = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
        >>> marginal_ks(a, a + 2)
        0.5
    """
    both = torch.cat([a, b]).T.sort(dim=1)
    step = torch.cat([torch.full((len(a),), 1 / len(a)), torch.full((len(b),), -1 / len(b))])
    gap = step[both.indices].double().cumsum(1)
    # Equal values step together: only the last of a tie counts.
    last = torch.ones_like(gap, dtype=torch.bool)
    last[:, :-1] = both.values[:, 1:] > both.values[:, :-1]
    return float((gap.abs() * last).amax(1).mean())


@contextmanager
def one_core() -> Iterator[None]:
    """Compute on one core within: two runs at once are faster than one on two cores, and a run
    gives the same numbers wherever it is run.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _peak_mb() -> float:
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        return math.nan
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

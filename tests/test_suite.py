"""The suite, local C2ST, MMD, predictive checks, log scores, spoilt posteriors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from calibrated import Normal, joint, normal_problem

from diffsbi_edu import diagnostics, problems
from diffsbi_edu.diagnostics import (
    Error,
    Spoilt,
    calibrate,
    calibrate_draws,
    local_c2st,
    log_score,
    mmd,
    posterior_predictive,
)

PROBLEM = normal_problem()
LIMIT = 1e-4


@pytest.mark.statistical
def test_the_suite_passes_the_exact_posterior() -> None:
    found = calibrate(Normal(), PROBLEM, 1000, 50, seed=0)
    assert found.p_value > 0.01
    assert all(p > 1e-3 for p in found.p_values.values())
    assert found.contraction == pytest.approx(0.8, abs=0.02)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "error", [("scale", 0.8), ("shift", 0.3), ("flip", 1.0), ("prior", 1.0)], ids=str
)
def test_the_suite_sees_every_known_failure(error: tuple[str, float]) -> None:
    assert calibrate(Normal(*error), PROBLEM, 1000, 100, seed=0).p_value < LIMIT


@pytest.mark.statistical
def test_who_sees_the_prior() -> None:
    found = calibrate(Normal("prior"), PROBLEM, 1000, 50, seed=0).p_values
    assert found["sbc"] > LIMIT
    assert found["tarp, random references"] > LIMIT
    assert found["tarp, guessed references"] < LIMIT
    assert found["discriminative"] < LIMIT


def test_the_suite_on_draws_at_hand() -> None:
    theta, x, draws = joint(300, 30, "prior")
    assert calibrate_draws(theta, x, draws, PROBLEM, seed=0).p_value < LIMIT
    with pytest.raises(ValueError, match="swapped"):
        calibrate_draws(theta, x, draws.transpose(0, 1), PROBLEM)
    with pytest.raises(ValueError, match="n_sims ≥ 100"):
        calibrate_draws(theta[:50], x[:50], draws[:, :50], PROBLEM)


@pytest.mark.statistical
def test_the_suite_where_the_number_of_observations_is_random_from_one_on() -> None:
    problem = problems.Gaussian2D(n_obs=(1, 6))
    found = calibrate(Spoilt(problem), problem, 400, 20, seed=0)
    assert found.p_value > 1e-3
    ignored = Spoilt(problem, Error(ignore=1.0))
    assert calibrate(ignored, problem, 400, 20, seed=0).p_value < LIMIT


class Holes(Normal):
    """Every `each`-th data set has a NaN among its draws."""

    def __init__(self, each: int) -> None:
        super().__init__()
        self.each = each

    def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        draws = super().sample(x, n, seed)
        draws[n // 2, :: self.each, 0] = math.nan
        return draws


def test_nan_draws_are_dropped_counted_and_bounded() -> None:
    found = diagnostics.sbc(Holes(50), PROBLEM, 500, 20, seed=0)
    assert found.dropped == 10
    assert len(found.ranks) == 490
    assert found.summary()["dropped"] == 10
    with pytest.raises(ValueError, match="more than 5%"):
        diagnostics.sbc(Holes(10), PROBLEM, 500, 20, seed=0)


def test_nan_simulations_are_dropped_and_counted() -> None:
    def simulator(theta: torch.Tensor) -> torch.Tensor:
        x = theta + 0.5 * torch.randn_like(theta)
        x[::40] = math.nan
        return x

    from diffsbi_edu import Problem

    holes = Problem(PROBLEM.prior, simulator)
    found = diagnostics.tarp(Normal(), holes, 400, 20, seed=0)
    assert found.dropped == 10
    assert len(found.ranks) == 390


# ------------------------------------------------------------------------------------ local C2ST


@pytest.mark.statistical
def test_local_c2st() -> None:
    x_obs = torch.tensor([[0.5, -0.5]])
    settings = {"n_sims": 1500, "n": 500, "n_null": 40, "seed": 0}
    assert local_c2st(Normal(), PROBLEM, x_obs, **settings).p_value > 0.02
    for error in (("scale", 0.6), ("shift", 1.0), ("prior", 1.0)):
        assert local_c2st(Normal(*error), PROBLEM, x_obs, **settings).p_value == 1 / 41


class WrongOnTheRight(Normal):
    """Exact for x 1 < 0, shifted by 1.5 sd for x 1 > 0."""

    def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        shift = 1.5 * math.sqrt(0.2) * (x[..., 0, :1] > 0)
        return super().sample(x, n, seed) + shift


@pytest.mark.statistical
def test_local_c2st_is_local() -> None:
    settings = {"n_sims": 3000, "n": 500, "n_null": 20, "seed": 0}
    here, there = (
        local_c2st(WrongOnTheRight(), PROBLEM, torch.tensor([[v, 0.0]]), **settings)
        for v in (1.0, -1.0)
    )
    assert here.statistic > 3 * there.statistic
    assert here.p_value < 0.05
    # The classifier says where: draws are too large, so truths are likelier among small ones.
    slope = np.corrcoef(here.samples.sum(-1), here.probabilities)[0, 1]
    assert slope < -0.25


# ------------------------------------------------------------------------------------------- MMD


def test_mmd_equals_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    b = torch.randn(9, 2, generator=generator, dtype=torch.float64) + 1
    found = mmd(a, b, bandwidth=0.8, permutations=10)
    scale = torch.cat([a, b]).std(0)
    k = lambda u, v: math.exp(-float(((u - v) / scale).square().sum()) / (2 * 0.8**2))  # noqa: E731
    within = sum(k(u, v) for i, u in enumerate(a) for j, v in enumerate(a) if i != j) / (12 * 11)
    other = sum(k(u, v) for i, u in enumerate(b) for j, v in enumerate(b) if i != j) / (9 * 8)
    between = sum(k(u, v) for u in a for v in b) / (12 * 9)
    assert found.mmd2 == pytest.approx(within + other - 2 * between, abs=1e-12)


@pytest.mark.statistical
def test_mmd_false_alarms_are_exact_and_a_shift_is_seen() -> None:
    generator = torch.Generator().manual_seed(1)
    alarms = 0
    for i in range(400):
        a, b = torch.randn(2, 40, 2, generator=generator)
        alarms += mmd(a, b, permutations=99, seed=i).p_value <= 0.05
    assert 6 <= alarms <= 39  # binomial(400, 0.05), 1e-4 at either side
    a, b = torch.randn(2, 200, 2, generator=generator)
    assert mmd(a, b + 0.5).p_value < 0.01


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(5, 2), torch.zeros(5, 3), "samples"),
        (torch.zeros(1, 2), torch.zeros(5, 2), "2 to"),
        (torch.zeros(5, 2), torch.zeros(5, 2), "equal"),
        (torch.full((5, 2), math.nan), torch.zeros(5, 2), "NaN"),
    ],
)
def test_mmd_bad_input(a: torch.Tensor, b: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mmd(a, b)


# -------------------------------------------------------------------------- predictive, log score


def test_predictive_checks() -> None:
    good = posterior_predictive(Normal(), PROBLEM, torch.tensor([[0.3, -0.2]]), 500, seed=0)
    assert all(p > 0.05 for p in good.p_values.values())
    bad = posterior_predictive(
        Normal("shift", 6.0), PROBLEM, torch.tensor([[0.3, -0.2]]), 500, seed=0
    )
    assert all(p < 0.01 for p in bad.p_values.values())
    # Replicated x: N(0.8 x, 0.2 + 0.25).
    sd = float(good.replicated["x 1"].std())
    assert sd == pytest.approx(math.sqrt(0.45), rel=0.15)


def test_predictive_statistics_of_many_observations() -> None:
    problem = problems.Gaussian2D(n_obs=7)

    class Exact:
        def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
            return problem.posterior(x).sample((n,), seed=seed)

    _, x = problem.sample(1, seed=0, device="cpu")
    check = posterior_predictive(Exact(), problem, x[0], 100, seed=0)
    assert {"mean of x 1", "largest of x 2"} <= check.observed.keys()
    spread = {"range": lambda x: x.amax((1, 2)) - x.amin((1, 2))}
    own = posterior_predictive(Exact(), problem, x[0], 100, statistics=spread, seed=0)
    assert own.replicated["range"].shape == (100,)
    with pytest.raises(ValueError, match="must return"):
        posterior_predictive(
            Exact(), problem, x[0], 10, statistics={"bad": lambda x: x.mean()}, seed=0
        )


@pytest.mark.statistical
def test_log_score_is_kl_where_the_posterior_is_known() -> None:
    """q = N(0.8 x, (c sd)² I): KL = ½·2·(1/c² − 1 + 2 ln c)."""
    problem = problems.Gaussian2D()

    class Wide:
        def log_prob(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            exact = [problem.posterior(row) for row in x]
            c = 1.5
            mean = torch.stack([e.mean for e in exact])
            inside = torch.stack(
                [e.log_prob((m + (t - m) / c)[None])[0] for e, m, t in zip(exact, mean, theta)]
            )
            return inside - 2 * math.log(c)

    found = log_score(Wide(), problem, 400, seed=0)
    expected = 1 / 1.5**2 - 1 + 2 * math.log(1.5)
    assert abs(found.kl - expected) < 4.5 * found.standard_error
    assert math.isnan(log_score(Normal(), PROBLEM, 50, seed=0).kl)


# --------------------------------------------------------------------------------------- spoilt


def test_spoilt_posteriors_have_the_error_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    exact = torch.randn(4000, 3, 2, generator=generator)
    exact[..., 1] = 0.8 * exact[..., 0] + 0.6 * exact[..., 1]
    prior = 3 * torch.randn(5000, 2, generator=generator) + 1
    spoil = lambda **kwargs: Error(**kwargs).applied(exact, prior, generator)  # noqa: E731
    assert torch.equal(spoil(), exact)
    assert torch.allclose(spoil(scale=0.5).std(0), 0.5 * exact.std(0), rtol=1e-4)
    assert torch.allclose(spoil(shift=0.3).mean(0), exact.mean(0) + 0.3 * exact.std(0), atol=1e-4)
    assert torch.allclose(spoil(flip=True) + exact, 2 * prior.mean(0).expand_as(exact), atol=1e-5)
    mixed = spoil(ignore=0.25)
    assert float((mixed != exact).any(-1).float().mean()) == pytest.approx(0.25, abs=0.02)
    loose = spoil(decorrelate=True)
    assert torch.equal(loose.sort(0).values, exact.sort(0).values)
    assert abs(np.corrcoef(loose[:, 0].T)[0, 1]) < 0.07
    half = spoil(drop=1.0)
    assert ((half - exact.mean(0)).sum(-1) <= 0).all()


@pytest.mark.parametrize(
    "wrong", [{"scale": 0.0}, {"drop": 1.5}, {"ignore": -0.1}, {"shift": math.inf}]
)
def test_impossible_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"scale must|is a share"):
        Error(**wrong)


@pytest.mark.statistical
def test_a_dropped_mode_is_seen_and_the_exact_moons_pass() -> None:
    problem = problems.TwoMoons()
    assert calibrate(Spoilt(problem), problem, 600, 30, seed=0).p_value > 0.01
    dropped = Spoilt(problem, Error(drop=1.0))
    assert calibrate(dropped, problem, 600, 30, seed=0).p_value < LIMIT


def test_every_result_says_itself_and_shows_itself() -> None:
    problem, model = normal_problem(), Normal()
    found = [
        diagnostics.discriminative_calibration(model, problem, 100, 20, seed=0),
        local_c2st(model, problem, torch.zeros(1, 2), 100, n=20, n_null=5, seed=0),
        mmd(torch.zeros(9, 1), torch.arange(9.0)[:, None], permutations=20),
        log_score(model, problem, 50, seed=0),
        log_score(Normal(), problems.Gaussian2D(noise_correlation=0.0), 50, seed=0),
        calibrate(model, problem, 100, 20, seed=0),
        diagnostics.expected_coverage(model, problem, 50, 20, seed=0),
    ]
    for result in found:
        assert all(
            isinstance(value, int | float | list | dict) for value in result.summary().values()
        )
        figure = result.plot(title="a title")
        assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
        assert figure.axes[0].get_title() == "a title"


def test_the_log_score_drops_and_counts_what_is_not_finite() -> None:
    class Patchy(Normal):
        def log_prob(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            values = super().log_prob(theta, x)
            return torch.where(theta[..., 0] > 1.9, math.nan, values)  # 2.9 % of them

    result = log_score(Patchy(), normal_problem(), 400, seed=0)
    assert 1 <= result.dropped == 400 - len(result.log_q) <= 20
    assert math.isfinite(result.log_score)
    with pytest.raises(ValueError, match="NaN or infinite"):
        log_score(Patchy(), normal_problem(), 10, seed=int(_seed_with_a_large_theta()))


def _seed_with_a_large_theta() -> int:
    problem = normal_problem()
    large = (s for s in range(100) if problem.sample(10, seed=s)[0][:, 0].max() > 1.9)
    return next(large)


def test_truths_outside_the_prior_are_refused() -> None:
    problem = problems.TwoMoons()
    theta, x = problem.sample(100, seed=0, device="cpu")
    theta[7] = 5.0
    samples = torch.zeros(10, 100, 2)
    with pytest.raises(ValueError, match=r"1 of 100 truths lie outside .* \[5.0, 5.0\]"):
        calibrate_draws(theta, x, samples, problem)


def test_constant_draws_are_found_wrong_and_break_nothing() -> None:
    theta, x, draws = joint(200, 20)
    stuck = torch.zeros_like(draws)
    result = calibrate_draws(theta, x, stuck, normal_problem())
    assert result.p_value < 1e-6
    assert set(result.sbc.ranks.flatten().tolist()) == {0, 20}

    class Stuck(Normal):
        def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
            return torch.zeros_like(super().sample(x, n, seed))

    width = diagnostics.contraction(Stuck(), normal_problem(), 20, 5, seed=0)
    assert bool((width.contraction == 1).all())
    assert bool(width.z_scores.isinf().all())

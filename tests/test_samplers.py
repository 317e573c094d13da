"""Samplers with a denoiser that is exact: order of convergence, law of the samples, clocks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from references import KS_ALPHA, small_model
from scipy import stats

from diffsbi_edu import IdealDenoiser, problems
from diffsbi_edu.runtime import make_generator
from diffsbi_edu.samplers import SAMPLERS, edm_stochastic, get_sampler, heun, reverse_process
from diffsbi_edu.schedules import EDM, SCHEDULES, Cosine, Karras, VariancePreserving

SD, MEAN = 0.6, 0.4  # of z in one dimension, below


def denoise(y: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """E[z | y] for z ~ N(MEAN, SD²)."""
    return MEAN + SD**2 / (SD**2 + ratio**2) * (y - MEAN)


def exact_flow(y: float, now: float, then: float) -> float:
    """The probability-flow ODE of a normal keeps (y − mean)/sqrt(sd² + r²)."""
    return MEAN + (y - MEAN) * math.sqrt((SD**2 + then**2) / (SD**2 + now**2))


def last_y(steps: Iterator) -> torch.Tensor:
    *_, step = steps
    return step.y


@pytest.mark.parametrize(
    ("name", "order"), [("euler", 1), ("heun", 2), ("dpm_solver_2m", 2), ("dpm_solver_3m", 3)]
)
def test_order_of_convergence(name: str, order: int) -> None:
    """Error against the exact flow from r = 1000 to 0.1: halving the step divides it by 2^order.

    From so far up because multistep methods start with a step of Euler's, which is harmless there.
    """
    y = torch.tensor([[500.0]], dtype=torch.float64)
    errors = []
    for steps in (40, 80, 160, 320, 640):
        ratios = torch.logspace(3, -1, steps + 1, dtype=torch.float64)
        end = last_y(SAMPLERS[name](denoise, ratios, make_generator(0), y))
        errors.append(abs(float(end) - exact_flow(500.0, 1000.0, 0.1)))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] == pytest.approx(order, abs=0.15)
    assert orders[-2] == pytest.approx(order, abs=0.25)
    assert errors[-1] < (1e-2 if order == 1 else 1e-4)


@pytest.mark.parametrize(
    ("name", "order"), [("heun", 2), ("dpm_solver_2m", 2), ("dpm_solver_3m", 3)]
)
def test_order_on_an_uneven_grid(name: str, order: int) -> None:
    """Steps in r^(1/3): the multistep method must account for the changing step size."""
    y = torch.tensor([[5.0]], dtype=torch.float64)
    errors = []
    for steps in (40, 80, 160, 320):
        ratios = torch.linspace(10 ** (1 / 3), 0.1 ** (1 / 3), steps + 1, dtype=torch.float64) ** 3
        end = last_y(SAMPLERS[name](denoise, ratios, make_generator(0), y))
        errors.append(abs(float(end) - exact_flow(5.0, 10.0, 0.1)))
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_point_masses_are_hit_exactly(name: str) -> None:
    """Where every draw is the same z, each sampler must end on it, in any number of steps."""
    point = torch.tensor([1.5, -0.5])
    for steps in (1, 2, 7):
        run = reverse_process(
            lambda y, r: point.expand_as(y),
            EDM().solver_grid(steps),
            (50, 2),
            sampler=name,
            generator=make_generator(0),
        )
        assert torch.allclose(last_y(run), point.expand(50, 2), atol=1e-6)


CORRELATED = torch.tensor([[0.8, 0.3], [0.3, 0.2]])


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("name", "steps"),
    [("dpm_solver_2m", 100), ("dpm_solver_3m", 50), ("heun", 100), ("euler", 1000),
     ("euler_maruyama", 1500), ("edm_stochastic", 200)],
)  # fmt: skip
def test_samples_have_the_exact_law(name: str, steps: int) -> None:
    """A correlated normal from its ideal denoiser: whitened samples are N(0, I), KS at 1e-4."""
    mean = torch.tensor([0.5, -1.0])
    ideal = IdealDenoiser.gaussian(mean, CORRELATED)
    n = 10_000
    run = reverse_process(
        ideal, EDM().solver_grid(steps), (n, 2), sampler=name, generator=make_generator(1)
    )
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(CORRELATED), (last_y(run) - mean).T, upper=False
    ).T
    for column in white.T:
        assert stats.kstest(column.numpy(), stats.norm.cdf).pvalue > KS_ALPHA
    assert abs(np.corrcoef(white.T)[0, 1]) < 4.5 / n**0.5


@pytest.mark.statistical
def test_the_start_is_centred() -> None:
    """y_0 ~ N(E[z], r_0²), so that even a low sigma_max leaves no shift behind."""
    grid = EDM(sigma_max=3.0).solver_grid(60)
    run = reverse_process(denoise, grid, (100_000, 1), sampler="heun", generator=make_generator(0))
    first = next(run)
    assert float(first.ratio) == 3
    centre = MEAN - SD**2 / (SD**2 + 9) * MEAN
    assert float(first.y.mean()) == pytest.approx(centre, abs=5 * 3 / 1e5**0.5)
    assert float(first.y.std()) == pytest.approx(3, abs=5 * 3 / 2e5**0.5)


def ddim_in_z_noisy(
    z_noisy: torch.Tensor, alphas: list[float], sigmas: list[float]
) -> torch.Tensor:
    """DDIM in variance-preserving units: Song, Meng & Ermon (2021), equation 12 with eta = 0."""
    for a, s, a_next, s_next in zip(alphas, sigmas, alphas[1:], sigmas[1:], strict=False):
        guess = denoise(z_noisy / a, torch.tensor(s / a, dtype=torch.float64))
        eps = (z_noisy - a * guess) / s
        z_noisy = a_next * guess + s_next * eps
    return z_noisy


@pytest.mark.parametrize("schedule", [VariancePreserving(), Cosine()], ids=str)
def test_euler_is_ddim_whatever_the_units(schedule: Cosine) -> None:
    ratios = schedule.solver_grid(12).double()
    alpha, sigma = schedule.scales(ratios)
    y = torch.tensor([[3.0], [-20.0]], dtype=torch.float64)
    end = last_y(SAMPLERS["euler"](denoise, ratios, make_generator(0), y))
    other = ddim_in_z_noisy(alpha[0] * y, alpha.tolist(), sigma.tolist())
    assert torch.allclose(end, other, atol=1e-10)


def test_dpm_solver_by_its_paper() -> None:
    """Lu et al. (2022), algorithm 2, in alpha, sigma and lambda = ln(alpha/sigma), for VP."""
    schedule = VariancePreserving(grid=Karras(rho=2.0))  # uneven steps, whose sizes must count
    ratios = schedule.solver_grid(10)[:-1].double()
    a, s = (v.tolist() for v in schedule.scales(ratios))
    lam = [math.log(x / y) for x, y in zip(a, s, strict=True)]
    y0 = torch.tensor([[3.0]], dtype=torch.float64)
    x = a[0] * y0
    model = lambda i, x: denoise(x / a[i], ratios[i])  # noqa: E731
    buffer = [model(0, x)]
    h = lam[1] - lam[0]
    x = s[1] / s[0] * x - a[1] * math.expm1(-h) * buffer[0]
    for i in range(2, len(a)):
        buffer.append(model(i - 1, x))
        h_last, h = lam[i - 1] - lam[i - 2], lam[i] - lam[i - 1]
        r = h_last / h
        d = (1 + 1 / (2 * r)) * buffer[-1] - 1 / (2 * r) * buffer[-2]
        x = s[i] / s[i - 1] * x - a[i] * math.expm1(-h) * d
    end = last_y(SAMPLERS["dpm_solver_2m"](denoise, ratios, make_generator(0), y0))
    assert torch.allclose(end, x / a[-1], atol=1e-10)


@pytest.mark.parametrize(("name", "at_most"), [("dpm_solver_2m", 0.0082), ("dpm_solver_3m", 0.001)])
@pytest.mark.parametrize("sd", [1.0, 0.3, 0.03])
def test_width_of_a_normal_in_28_steps(name: str, at_most: float, sd: float) -> None:
    """What the docstrings say of the sd that comes out, from the true law at the start."""

    def ideal(y: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
        return y * sd**2 / (sd**2 + ratio**2)

    ratios = EDM().solver_grid(28).double()
    start = torch.tensor([[math.sqrt(sd**2 + float(ratios[0]) ** 2)]], dtype=torch.float64)
    wide = float(last_y(SAMPLERS[name](ideal, ratios, make_generator(0), start))) / sd - 1
    assert abs(wide) < at_most


def test_no_churn_is_heun() -> None:
    ratios = EDM().solver_grid(15)
    y = torch.tensor([[7.0], [-3.0]])
    plain = last_y(heun(denoise, ratios, make_generator(0), y))
    still = last_y(edm_stochastic(denoise, ratios, make_generator(0), y, churn=0.0))
    assert torch.allclose(plain, still, atol=1e-6)
    outside = edm_stochastic(denoise, ratios, make_generator(0), y, churn_range=(100.0, 200.0))
    assert torch.allclose(plain, last_y(outside), atol=1e-6)
    assert not torch.allclose(plain, last_y(edm_stochastic(denoise, ratios, make_generator(0), y)))


CALLS = {
    "euler": 1, "dpm_solver_2m": 1, "dpm_solver_3m": 1, "heun": 2, "euler_maruyama": 1,
    "edm_stochastic": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_step_is_yielded_and_calls_are_counted(name: str) -> None:
    calls = []

    def counted(y: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
        calls.append(float(ratio))
        return denoise(y, ratio)

    grid = EDM().solver_grid(9)
    steps = list(reverse_process(counted, grid, (5, 1), sampler=name, generator=make_generator(0)))
    assert [float(s.ratio) for s in steps] == grid.tolist()
    assert all(s.y.shape == s.z_hat.shape == (5, 1) for s in steps)
    assert torch.allclose(steps[-1].y, steps[-1].z_hat, atol=1e-5)
    assert min(calls) > 0
    # The last step, to r = 0, is Euler's for all.
    assert len(calls) == 1 + 8 * CALLS[name] + 1


def test_samplers_repeat_themselves_under_a_seed() -> None:
    for name in SAMPLERS:

        def make(seed: int, name: str = name) -> torch.Tensor:
            grid, generator = EDM().solver_grid(5), make_generator(seed)
            return last_y(reverse_process(denoise, grid, (9, 1), sampler=name, generator=generator))

        assert torch.equal(make(3), make(3))
        assert not torch.equal(make(3), make(4))
        assert get_sampler(name) is SAMPLERS[name]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_sampler_with_every_schedule(sampler: str, schedule: str) -> None:
    model = small_model(problems.TwoMoons(), schedule=schedule)
    samples = model.sample(torch.zeros(1, 2), 50, sampler=sampler, steps=6, seed=0)
    assert samples.shape == (50, 2)
    assert samples.abs().max() <= 1
    assert samples.std(0).min() > 0.05
    other = small_model(problems.TwoMoons(), schedule="EDM")
    again = other.sample(torch.zeros(1, 2), 50, sampler=sampler, steps=6, seed=0, schedule=schedule)
    assert torch.equal(samples, again)  # the network does not know the schedule

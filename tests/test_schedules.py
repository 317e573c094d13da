"""Noise schedules against their definitions, by quadrature and by sampling."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import KS_ALPHA
from scipy import integrate, stats

from diffsbi_edu.schedules import (
    EDM,
    SCHEDULES,
    Cosine,
    Karras,
    LogNormal,
    NoiseSchedule,
    RectifiedFlow,
    UniformLogSNR,
    UniformSteps,
    UniformTime,
    VariancePreserving,
    as_schedule,
    from_config,
)

ALL = [kind() for kind in SCHEDULES.values()]
over_all = pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
GRIDS = [Karras(), Karras(rho=3.0), UniformLogSNR(), UniformSteps()]
TRAININGS = [LogNormal(), LogNormal(-0.5, 0.7), UniformTime()]


@over_all
def test_the_clock_runs_both_ways(schedule: NoiseSchedule) -> None:
    t = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
    ratio = schedule.ratio(t)
    assert (ratio[1:] > ratio[:-1]).all()
    assert torch.allclose(schedule.time(ratio), t, rtol=1e-9)
    wide = torch.logspace(-4, 3, 200, dtype=torch.float64)
    if not isinstance(schedule, EDM):
        assert schedule.time(wide).min() >= 0
    assert torch.allclose(schedule.ratio(schedule.time(wide)), wide, rtol=1e-7)
    assert torch.allclose(schedule.ratio(schedule.time(wide.float())).double(), wide, rtol=2e-2)


@over_all
def test_units_and_log_snr(schedule: NoiseSchedule) -> None:
    t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    assert torch.allclose(sigma / alpha, schedule.ratio(t))
    assert torch.allclose(schedule.log_snr(t), torch.log(alpha**2 / sigma**2))
    assert (schedule.log_snr(t).diff() < 0).all()
    for mine, other in zip(schedule.scales(schedule.ratio(t)), (alpha, sigma), strict=True):
        assert torch.allclose(mine, other)


def test_definitions() -> None:
    t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    assert torch.allclose(Cosine().alpha(t), torch.cos(math.pi * t / 2))
    assert torch.allclose(Cosine().sigma(t), torch.sin(math.pi * t / 2))
    assert torch.allclose(RectifiedFlow().alpha(t), 1 - t)
    assert torch.allclose(RectifiedFlow().sigma(t), t)
    assert torch.equal(EDM().alpha(t), torch.ones_like(t))
    limits = torch.tensor([0.0, 1.0], dtype=torch.float64)
    edm = EDM(sigma_min=0.01, sigma_max=50.0)
    assert torch.allclose(edm.sigma(limits), torch.tensor([0.01, 50.0], dtype=torch.float64))


@pytest.mark.parametrize(("low", "high"), [(0.1, 20.0), (0.5, 3.0)])
def test_variance_preserving_solves_its_equation(low: float, high: float) -> None:
    """d alpha/dt = −½ beta(t) alpha, beta linear: Song et al. (2021); by SciPy's quadrature."""
    schedule = VariancePreserving(beta_min=low, beta_max=high)
    for t in (0.001, 0.1, 0.5, 1.0):
        area = integrate.quad(lambda u: low + u * (high - low), 0, t)[0]
        at = torch.tensor(t, dtype=torch.float64)
        assert float(schedule.alpha(at)) == pytest.approx(math.exp(-0.5 * area), rel=1e-9)
        assert float(schedule.sigma(at)) == pytest.approx(math.sqrt(-math.expm1(-area)), rel=1e-9)
        assert float(schedule.alpha(at) ** 2 + schedule.sigma(at) ** 2) == pytest.approx(1)


# -------------------------------------------------------------------------- levels to train on


def with_training(schedule: NoiseSchedule, training: object) -> NoiseSchedule:
    return type(schedule)(sigma_min=0.002, sigma_max=30.0, training=training)  # type: ignore[arg-type]


@over_all
@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_training_density_integrates_to_one(schedule: NoiseSchedule, training: object) -> None:
    schedule = with_training(schedule, training)
    log_ratio = torch.linspace(-20, 12, 400_001, dtype=torch.float64)
    density = schedule.training_density(log_ratio)
    assert (density >= 0).all()
    assert float(torch.trapezoid(density, log_ratio)) == pytest.approx(1, abs=1e-3)


@pytest.mark.statistical
@over_all
@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_training_ratios_follow_their_density(schedule: NoiseSchedule, training: object) -> None:
    """KS with the density's quadrature; one draw out of each stratified batch is independent."""
    schedule = with_training(schedule, training)
    generator = torch.Generator().manual_seed(0)
    pick = np.random.default_rng(0)
    batches = [schedule.training_ratios(16, generator) for _ in range(4000)]
    assert batches[0].shape == (16, 1)
    drawn = np.array([float(b[pick.integers(16), 0].log()) for b in batches])
    grid = torch.linspace(-20, 12, 100_001, dtype=torch.float64)
    cdf = integrate.cumulative_trapezoid(
        schedule.training_density(grid).numpy(), grid.numpy(), initial=0
    )
    pvalue = stats.kstest(drawn, lambda v: np.interp(v, grid.numpy(), cdf / cdf[-1])).pvalue
    assert pvalue > KS_ALPHA


@over_all
def test_training_ratios_are_stratified_and_finite(schedule: NoiseSchedule) -> None:
    """One level in each 1/n quantile, and never an infinite one, however large the batch."""
    generator = torch.Generator().manual_seed(0)
    n = 200_000
    ratios = schedule.training_ratios(n, generator)[:, 0]
    assert ratios.isfinite().all()
    assert (ratios > 0).all()
    assert (ratios.diff() >= 0).all()
    edm = EDM(training=LogNormal(-1.0, 2.0))
    u = stats.norm(-1.0, 2.0).cdf(edm.training_ratios(64, generator)[:, 0].double().log().numpy())
    assert (np.floor(u * 64) == np.arange(64)).all()
    if isinstance(schedule.training, UniformTime):
        assert ratios.min() >= schedule.sigma_min * 0.999
        assert ratios.max() <= schedule.sigma_max * 1.001


# ------------------------------------------------------------------------------- solver grids


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(sorted(SCHEDULES)),
    grid=st.sampled_from(GRIDS),
    steps=st.integers(1, 200),
    sigma_min=st.floats(1e-4, 0.5),
    factor=st.floats(1.5, 1e4),
)
def test_solver_grid_descends_to_zero(
    kind: str, grid: object, steps: int, sigma_min: float, factor: float
) -> None:
    sigma_max = sigma_min * factor
    schedule = SCHEDULES[kind](sigma_min=sigma_min, sigma_max=sigma_max, grid=grid)  # type: ignore[arg-type]
    ratios = schedule.solver_grid(steps)
    assert ratios.shape == (steps + 1,)
    assert (ratios.diff() < 0).all()
    assert float(ratios[-1]) == 0
    assert float(ratios[0]) == pytest.approx(sigma_max, rel=1e-5)
    if steps > 1:
        assert float(ratios[-2]) == pytest.approx(sigma_min, rel=1e-4)


def test_grids_are_spaced_as_they_say() -> None:
    schedule = VariancePreserving(sigma_min=0.01, sigma_max=10.0, grid=UniformSteps())
    times = schedule.time(schedule.solver_grid(9)[:-1].double())
    assert torch.allclose(times.diff(), times.diff().mean(), rtol=1e-4)
    schedule = Cosine(sigma_min=0.01, sigma_max=10.0, grid=UniformLogSNR())
    levels = schedule.solver_grid(9)[:-1].log()
    assert torch.allclose(levels.diff(), levels.diff().mean(), rtol=1e-4)
    # Karras et al. (2022), equation 5, spelled out.
    expected = [(10 ** (1 / 7) + i / 8 * (0.01 ** (1 / 7) - 10 ** (1 / 7))) ** 7 for i in range(9)]
    assert np.allclose(EDM(0.01, 10.0, grid=Karras()).solver_grid(9)[:-1], expected, rtol=1e-5)


# ------------------------------------------------------------------------------------ settings


@over_all
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_config_round_trip_through_json(
    schedule: NoiseSchedule, grid: object, training: object
) -> None:
    settings = {"sigma_min": 0.02, "sigma_max": 7.0, "grid": grid, "training": training}
    if isinstance(schedule, VariancePreserving):
        settings |= {"beta_min": 0.2, "beta_max": 12.0}
    schedule = type(schedule)(**settings)  # type: ignore[arg-type]
    again = from_config(json.loads(json.dumps(schedule.config())))
    assert again == schedule
    assert type(again) is type(schedule)
    assert again != type(schedule)()


def test_names() -> None:
    for name, kind in SCHEDULES.items():
        assert as_schedule(name) == kind()
    mine = Cosine(sigma_max=5.0)
    assert as_schedule(mine) is mine


@pytest.mark.parametrize("part", ["name", "training", "grid"])
def test_a_config_of_unknown_parts(part: str) -> None:
    config = EDM().config()
    config[part] = "Sine" if part == "name" else ["Sine", {}]
    with pytest.raises(ValueError, match=r"unknown .*'Sine'.*Valid names"):
        from_config(config)

"""`ConditionalFlow`: every kind behind the interface of the diffusion model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import box_problem, grid_2d, normal_problem
from scipy import stats
from torch import nn

import diffsbi_edu as ds
from diffsbi_edu import flow as flows
from diffsbi_edu.errors import CheckpointError, TrainingDiverged
from diffsbi_edu.flow import FLOWS
from diffsbi_edu.flow_inverse import noise_to_latent
from diffsbi_edu.problems import (
    DirichletMultinomial,
    Gaussian2D,
    LinearGaussian,
    Problem,
    WitchsHat,
)

SMALL: dict[str, Any] = {"width": 16, "depth": 2, "device": "cpu", "seed": 0}
over_flows = pytest.mark.parametrize("flow", FLOWS)


def flow_of(problem: Problem, flow: str, steps: int = 30, **settings: Any) -> ds.ConditionalFlow:
    model = ds.ConditionalFlow(problem, flow=flow, **(SMALL | settings))
    if steps:
        ds.fit(model, steps, seed=0, batch_size=128, lr=3e-3, progress=False)
    return model


@over_flows
def test_density_integrates_to_one_over_the_box(flow: str) -> None:
    """Quadrature over the prior's box, faces included: the change of variables is complete."""
    model = flow_of(box_problem(), flow)
    grid, cell = grid_2d([-1, -1], [1, 1], 300)
    log_q = model.log_prob(grid.float(), torch.tensor([[0.3, 0.9]]))
    assert float(log_q.double().exp().sum() * cell) == pytest.approx(1.0, abs=0.02)


@over_flows
def test_log_prob_is_the_density_of_the_samples(flow: str) -> None:
    """Share of samples in a rectangle against the density's integral over it, within 5 s.e."""
    model = flow_of(box_problem(), flow)
    x_obs = torch.tensor([[0.3, -0.4]])
    n = 40_000
    theta = model.sample(x_obs, n, seed=1)
    low, high = torch.tensor([0.1, -0.6]), torch.tensor([0.5, -0.1])
    inside = ((theta > low) & (theta < high)).all(1).float().mean()
    grid, cell = grid_2d(low.tolist(), high.tolist(), 150)
    mass = float(model.log_prob(grid.float(), x_obs).double().exp().sum() * cell)
    assert abs(float(inside) - mass) < 5 * math.sqrt(mass * (1 - mass) / n) + 1e-3


@over_flows
def test_samples_and_density_stay_in_the_prior(flow: str) -> None:
    model = flow_of(box_problem(), flow, steps=3)
    theta = model.sample(torch.tensor([[50.0, -50.0]]), 5000, seed=0)
    assert torch.isfinite(theta).all()
    assert (theta.abs() <= 1).all()
    outside = torch.tensor([[1.5, 0.0], [0.0, -2.0]])
    assert (model.log_prob(outside, torch.zeros(1, 2)) == -math.inf).all()


@over_flows
def test_shapes_and_seeds(flow: str) -> None:
    problem = Gaussian2D(3)
    model = flow_of(problem, flow, steps=2, encoder=MeanOfData())
    theta, x = problem.sample(4, seed=0, device="cpu")
    many, one = model.sample(x, 6, seed=1), model.sample(x[0], 6, seed=1)
    assert (many.shape, one.shape) == ((6, 4, 2), (6, 2))
    assert torch.equal(one, model.sample(x[0], 6, seed=1))
    assert not torch.equal(one, model.sample(x[0], 6, seed=2))
    assert model.log_prob(theta, x).shape == (4,)
    assert model.log_prob(torch.zeros(5, 3, 2), x[0]).shape == (5, 3)
    rows = torch.stack([model.log_prob(theta[i], x[i]) for i in range(4)])
    assert torch.allclose(model.log_prob(theta, x), rows, atol=1e-5)


class MeanOfData(nn.Module):
    """A summary for any number of observations."""

    summary_dim = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1)


@over_flows
def test_same_seed_same_flow_and_global_state_untouched(flow: str) -> None:
    state = torch.get_rng_state()
    first, again = (flow_of(normal_problem(), flow, steps=5) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    x_obs = torch.tensor([[0.2, -0.5]])
    assert torch.equal(first.sample(x_obs, 20, seed=3), again.sample(x_obs, 20, seed=3))


@over_flows
def test_learns_a_conjugate_normal(flow: str) -> None:
    """A short training finds mean and spread of a posterior known in closed form: 0.8 x, 0.2."""
    # With the paper's clamp, 4 couplings could contract by e^0.2 only: too little for this.
    model = flow_of(normal_problem(), flow, 0, width=32, depth=4, clamp=2.0)
    ds.fit(model, 400, seed=0, lr=5e-3, batch_size=256, progress=False)
    draws = model.sample(torch.tensor([[0.5, -1.0]]), 4000, seed=0)
    assert torch.allclose(draws.mean(0), torch.tensor([0.4, -0.8]), atol=0.08)
    assert torch.allclose(draws.var(0), torch.tensor([0.2, 0.2]), atol=0.05)


@over_flows
def test_save_and_load(flow: str, tmp_path: Path) -> None:
    problem = box_problem()
    model = flow_of(problem, flow, clamp=0.7)
    path = tmp_path / "flow.safetensors"
    model.save(path)
    again = ds.load(path, problem=problem, device="cpu")
    assert isinstance(again, ds.ConditionalFlow)
    assert again.settings() == model.settings()
    x_obs = torch.tensor([[0.1, 0.2]])
    assert torch.equal(again.sample(x_obs, 10, seed=0), model.sample(x_obs, 10, seed=0))


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A training run of a spline flow cannot go on with a masked autoregressive one."""
    problem, path = normal_problem(), tmp_path / "run.safetensors"
    ds.fit(flow_of(problem, "nsf", 0), 3, checkpoint=path, seed=0, progress=False)
    with pytest.raises(CheckpointError):
        ds.fit(flow_of(problem, "maf", 0), 3, checkpoint=path, resume=True, seed=0, progress=False)


@over_flows
def test_an_interrupted_run_goes_on_bit_for_bit(flow: str, tmp_path: Path) -> None:
    problem, path = normal_problem(), tmp_path / "run.safetensors"
    whole = flow_of(problem, flow, 0)
    ds.fit(whole, 8, seed=0, batch_size=32, progress=False)
    half = flow_of(problem, flow, 0)
    for state in ds.train(half, 8, seed=0, batch_size=32, checkpoint=path):
        if state.step == 4:
            break
    rest = flow_of(problem, flow, 0)
    ds.fit(rest, 8, seed=0, batch_size=32, checkpoint=path, resume=True, progress=False)
    x_obs = torch.zeros(1, 2)
    assert torch.equal(rest.sample(x_obs, 9, seed=1), whole.sample(x_obs, 9, seed=1))


def test_paper_coupling_cannot_contract_as_far_as_a_loose_one() -> None:
    """Slope of one coordinate at most e^(clamp x layers that move it); measured by autograd."""
    problem, x = normal_problem(), torch.zeros(1, 1, 2)

    def largest_scale(clamp: float) -> float:
        model = flow_of(problem, "coupling", 0, depth=4, clamp=clamp)
        with torch.no_grad():
            for p in model.flow.parameters():
                p.mul_(30)  # as far as training could ever drive it
        z = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        transform = model.flow(model.summarise(x)).transform
        _, ladj = transform.call_and_ladj(z)
        return float(ladj.abs().max().detach())

    assert largest_scale(0.1) <= 4 * 0.1 + 1e-4  # 4 layers, each moves one of the 2 coordinates
    assert largest_scale(2.0) > 1.0


@over_flows
@given(dim=st.integers(2, 9), sets=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=12)
def test_draws_are_those_of_zukos_own_inverse(flow: str, dim: int, sets: int, seed: int) -> None:
    """One coordinate at a time, each computed once, as the whole of them at every pass; in double
    precision, with weights large enough for the maps to be far from the identity, and with noise
    beyond the splines' ends."""
    model = ds.ConditionalFlow(
        LinearGaussian(dim), flow=flow, **(SMALL | {"depth": 3, "seed": seed})
    )
    zukos = model.flow.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in zukos.parameters():
            p.mul_(2)
    s = torch.randn(sets, model.summary_dim, generator=generator, dtype=torch.double)
    noise = 3 * torch.randn(5, sets, dim, generator=generator, dtype=torch.double)
    with torch.no_grad():
        expected = zukos(s).transform.inv(noise)
    assert float((expected - noise).abs().max()) > 0.5
    assert torch.allclose(noise_to_latent(zukos, s, noise), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("flow", ["maf", "nsf"])
def test_a_flow_of_one_dimension_has_nothing_to_go_through_one_by_one(flow: str) -> None:
    model = flow_of(LinearGaussian(1), flow, 2)
    assert torch.isfinite(model.sample(torch.zeros(1, 1), 50, seed=0)).all()


def test_the_flows_fail_where_the_docstrings_say() -> None:
    with pytest.raises(ValueError, match=r"'realnvp'.*nsf"):
        ds.ConditionalFlow(Gaussian2D(), flow="realnvp", device="cpu")
    for bad in ({"width": 0}, {"depth": 0}, {"clamp": 0.0}, {"clamp": math.nan}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            ds.ConditionalFlow(Gaussian2D(), device="cpu", **bad)
    model = flow_of(Gaussian2D(), "maf", 0)
    with pytest.raises(ValueError, match="at least 1"):
        model.sample(torch.zeros(1, 2), 0)
    with pytest.raises((TypeError, ValueError)):
        model.sample(torch.zeros(1, 3), 5)


def test_a_coupling_of_one_dimension_says_so_and_others_work() -> None:
    with pytest.raises(ValueError, match=r"at least 2 latent dimensions.*maf"):
        ds.ConditionalFlow(WitchsHat(1), flow="coupling", device="cpu")
    # A simplex of two pieces has one latent dimension too.
    with pytest.raises(ValueError, match="at least 2 latent dimensions"):
        ds.ConditionalFlow(DirichletMultinomial((1.0, 2.0)), flow="coupling", device="cpu")
    for flow in ("maf", "nsf"):
        model = flow_of(WitchsHat(1), flow, 5)
        assert model.sample(torch.tensor([[0.5]]), 7, seed=0).shape == (7, 1)


def test_a_flow_that_diverges_stops_and_keeps_finite_weights() -> None:
    model = flow_of(WitchsHat(2), "maf", 0)
    with pytest.raises(TrainingDiverged, match="learning rate"):
        ds.fit(model, 2000, lr=1e8, clip=math.inf, seed=0, batch_size=64, progress=False)
    assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.statistical
@pytest.mark.parametrize("flow", FLOWS)
def test_few_rows_at_a_time_give_the_same_density(
    flow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Gaussian2D()
    model = ds.ConditionalFlow(problem, flow=flow, width=8, depth=2, device="cpu", seed=0)
    theta, x = problem.sample(40, seed=0, device="cpu")
    at_once = model.log_prob(theta, x[0])
    monkeypatch.setattr(flows, "FLOATS_AT_ONCE", 7 * flows.TOLD[flow] * 2)
    assert model._rows_at_once(x[:1]) == 7
    assert model._rows_at_once(x) == 1
    assert torch.allclose(model.log_prob(theta, x[0]), at_once, atol=1e-5)
    assert model.sample(x[0], 40, seed=1).shape == (40, 2)


def test_a_spline_of_many_parameters_takes_few_rows_at_a_time() -> None:
    problem = ds.problems.get("dirichlet_laplace")
    rows = {
        flow: ds.ConditionalFlow(problem, flow=flow, device="cpu", seed=0)._rows_at_once(
            torch.zeros(1, 1, 100)
        )
        for flow in FLOWS
    }
    # All 2**15 that are right for a few parameters would fill 20 GB.
    assert rows["nsf"] == 2**22 // (23 * 102)
    assert rows["maf"] == rows["coupling"] == 2**22 // (2 * 102)


def test_an_untrained_flow_is_near_the_latent_normal() -> None:
    """Sanity of the prior transform: the untrained density is close to N(0, I) in latent space."""
    model = flow_of(normal_problem(), "nsf", 0).standardise(seed=0)
    draws = model.to_latent(model.sample(torch.zeros(1, 2), 5000, seed=0))
    assert stats.kstest(draws[:, 0].detach().numpy(), stats.norm.cdf).statistic < 0.15

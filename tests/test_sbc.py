"""SBC and loss spikes: what they must see, what they must not, and what they cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import normal_problem
from scipy import stats

from diffsbi_edu.diagnostics import SBCResult, exact_ks, sbc, spikes
from diffsbi_edu.diagnostics.sbc import KS_MEAN

PROBLEM = normal_problem()  # prior N(0, I), x = theta + 0.5 noise: posterior N(0.8 x, 0.2 I)
SIMS, DRAWS = 2000, 99
CRITICAL = float(stats.kstwo.isf(1e-4 / 2, SIMS))  # false alarm in 1e-4 of seeds


class Normal:
    """A posterior N(0.8 x + shift sd, (scale sd)²), or the prior itself."""

    device = torch.device("cpu")

    def __init__(self, scale: float = 1.0, shift: float = 0.0, prior: bool = False) -> None:
        self.scale, self.shift, self.prior = scale, shift, prior

    def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        noise = torch.randn(n, len(x), 2, generator=torch.Generator().manual_seed(seed))
        sd = math.sqrt(0.2)
        return noise if self.prior else 0.8 * x[:, 0] + sd * (self.shift + self.scale * noise)


def ks_of(model: Normal) -> torch.Tensor:
    return sbc(model, PROBLEM, SIMS, DRAWS, seed=0).ks


@pytest.mark.statistical
def test_the_exact_posterior_passes() -> None:
    assert (ks_of(Normal()) < CRITICAL).all()


@pytest.mark.statistical
@pytest.mark.parametrize("wrong", [{"scale": 0.8}, {"scale": 1.35}, {"shift": 0.3}], ids=str)
def test_known_failures_are_seen(wrong: dict[str, float]) -> None:
    assert (ks_of(Normal(**wrong)) > CRITICAL).all()


@pytest.mark.statistical
def test_the_prior_passes_too() -> None:
    """What SBC cannot see, stated as a test: a posterior that ignores the data is calibrated."""
    assert (ks_of(Normal(prior=True)) < CRITICAL).all()


@pytest.mark.statistical
def test_ranks_are_uniform_on_their_values() -> None:
    """Chi-squared on all 20 possible ranks, which the KS distance is not sensitive to."""
    result = sbc(Normal(), PROBLEM, SIMS, 19, seed=1)
    for column in result.ranks.T:
        counts = torch.bincount(column, minlength=20).numpy()
        assert len(counts) == 20
        assert stats.chisquare(counts).pvalue > 1e-4


def test_wrong_posteriors_pile_ranks_up_where_they_should() -> None:
    narrow = sbc(Normal(scale=0.5), PROBLEM, 500, 9, seed=0).ranks.flatten()
    wide = sbc(Normal(scale=2.0), PROBLEM, 500, 9, seed=0).ranks.flatten()
    ends = [float(((r == 0) | (r == 9)).float().mean()) for r in (narrow, wide)]
    assert ends[0] > 0.3 > 0.2 > 0.15 > ends[1]
    high = sbc(Normal(shift=1.0), PROBLEM, 500, 9, seed=0).ranks.float().mean()
    assert high < 3.5  # draws too large: the truth ranks low


@settings(derandomize=True, deadline=None, max_examples=30)
@given(
    ranks=st.lists(st.integers(0, 10), min_size=1, max_size=60),
)
def test_ks_is_the_largest_gap_of_two_step_functions(ranks: list[int]) -> None:
    result = SBCResult(torch.tensor(ranks)[:, None], 10)
    grid = np.arange(11)
    empirical = np.array([(np.array(ranks) <= g).mean() for g in grid])
    assert float(result.ks[0]) == pytest.approx(np.abs(empirical - (grid + 1) / 11).max(), abs=1e-6)


@pytest.mark.statistical
@pytest.mark.parametrize(("n_sims", "n_samples"), [(1000, 100), (1000, 25), (150, 9)])
def test_mean_ks_of_exact_posteriors(n_sims: int, n_samples: int) -> None:
    """Means of 2,000 and 4,000 distances with an sd of a third of them differ by 5 % in 1e-7."""
    draws = torch.Generator().manual_seed(0)
    ranks = torch.randint(0, n_samples + 1, (n_sims, 2000), generator=draws)
    mean = float(SBCResult(ranks, n_samples).ks.mean())
    assert mean == pytest.approx(exact_ks(n_sims, n_samples), rel=0.05)
    # Few draws have few places for the largest gap: the continuous law's mean is above all of them,
    # and with 25 draws too far to stand for it.
    assert mean < KS_MEAN / n_sims**0.5
    assert (mean < 0.9 * KS_MEAN / n_sims**0.5) == (n_samples < 30)


def test_with_endless_draws_it_is_kolmogorovs_mean() -> None:
    assert exact_ks(1_000_000, 3000, 1000) == pytest.approx(KS_MEAN / 1000, rel=0.05)


@pytest.mark.parametrize("numbers", [(0, 9), (100, 0), (100, 9, 0)])
def test_an_exact_distance_needs_numbers(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        exact_ks(*numbers)


def test_ties_are_broken_at_random() -> None:
    class Constant:
        def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
            return self.theta.expand(n, *self.theta.shape)

    model = Constant()

    model.theta = torch.zeros(2000, 1)
    draws = model.sample(torch.zeros(2000, 1, 1), 3, seed=0)
    ranks = SBCResult.from_draws(model.theta, draws, seed=0).ranks[:, 0]
    assert stats.chisquare(torch.bincount(ranks, minlength=4).numpy()).pvalue > 1e-4


def test_same_seed_same_ranks() -> None:
    first, again, other = (sbc(Normal(), PROBLEM, 30, 9, seed=s).ranks for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("sims", "draws"), [(0, 10), (10, 1), (-1, 5)])
def test_too_few(sims: int, draws: int) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        sbc(Normal(), PROBLEM, sims, draws)


def test_wrong_draws_are_refused() -> None:
    class Swapped(Normal):
        def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
            return super().sample(x, n, seed).transpose(0, 1)

    class Broken(Normal):
        def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
            draws = super().sample(x, n, seed)
            draws[3, 2, 1] = math.nan
            return draws

    with pytest.raises(ValueError, match="first two axes look swapped"):
        sbc(Swapped(), PROBLEM, 20, 9, seed=0)
    with pytest.raises(ValueError, match="NaN"):
        sbc(Broken(), PROBLEM, 19, 9, seed=0)  # one in nineteen: above 5 %


# ---------------------------------------------------------------------------------------- spikes


def falling(steps: int = 400) -> list[float]:
    return [1 + 4 * math.exp(-i / 50) for i in range(steps)]


def test_a_calm_run_has_no_spike() -> None:
    assert spikes(falling()) == (0.0, False)


def test_one_spike_is_measured_and_no_jump() -> None:
    losses = falling()
    losses[300] += 6.0
    spike, jumped = spikes(losses)
    assert spike == pytest.approx(6 / 3.3, rel=0.1)
    assert not jumped


def test_a_lasting_rise_above_the_start_is_a_jump() -> None:
    losses = falling()
    losses[250:] = [7.0] * 150
    assert spikes(losses)[1]
    losses[250:] = [3.0] * 150  # high, but below where it began
    assert not spikes(losses)[1]


def test_noise_is_no_jump() -> None:
    """Pure noise about a small gain, 300 seeds: the false-alarm rate is below 2 %."""
    alarms = 0
    for seed in range(300):
        noise = torch.randn(500, generator=torch.Generator().manual_seed(seed))
        losses = (0.2 * noise + torch.linspace(0.9, 0.7, 500)).tolist()
        alarms += spikes(losses)[1]
    assert alarms <= 6


def test_nothing_gained_is_a_jump_and_short_runs_are_neither() -> None:
    assert spikes([2.0] * 100)[1]
    spike, jumped = spikes(falling(39))
    assert math.isnan(spike)
    assert not jumped


@settings(derandomize=True, deadline=None, max_examples=30)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_spikes_have_no_units(scale: float, shift: float) -> None:
    losses = falling()
    losses[200] += 3
    moved = [shift + scale * loss for loss in losses]
    assert spikes(moved)[0] == pytest.approx(spikes(losses)[0], rel=1e-3)

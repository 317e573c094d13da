"""Agreement with independent implementations, on the same draws: sbi, tarp, scikit-learn, SciPy.

The packages are in the extra `peers`, which `make setup` installs.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from calibrated import Normal, joint, normal_problem
from scipy import stats

from diffsbi_edu.diagnostics import CoverageResult, SBCResult, TARPResult, c2st, local_c2st, mmd
from diffsbi_edu.diagnostics.sbc import rank
from diffsbi_edu.diagnostics.uniformity import kolmogorov

pytest.importorskip("sbi", reason="make setup installs the extra `peers`")
tarp_package = pytest.importorskip("tarp", reason="make setup installs the extra `peers`")

N_SIMS, N_SAMPLES = 300, 150
ERRORS: list[tuple[str, float]] = [
    ("none", 1.0), ("scale", 0.6), ("scale", 1.5), ("shift", 0.5), ("flip", 1.0), ("prior", 1.0),
]  # fmt: skip
wrong_or_right = pytest.mark.parametrize(("error", "size"), ERRORS)


class Given:
    """Draws that there are already, behind the methods of an sbi posterior."""

    def __init__(self, samples: torch.Tensor, error: str, size: float) -> None:
        self.samples, self.exact = samples, Normal(error, size)

    def sample_batched(self, shape: Any, x: torch.Tensor, **_: Any) -> torch.Tensor:
        assert (*shape, len(x)) == self.samples.shape[:2]
        return self.samples

    def log_prob(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.exact.log_prob(theta, x[None, None])


def draws(error: str, size: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return joint(N_SIMS, N_SAMPLES, error, size, seed=3)


@wrong_or_right
def test_sbc_ranks_are_those_of_sbi(error: str, size: float) -> None:
    from sbi.diagnostics import run_sbc

    theta, x, samples = draws(error, size)
    theirs, _ = run_sbc(
        theta, x[:, 0], Given(samples, error, size), N_SAMPLES, show_progress_bar=False
    )
    ours = SBCResult.from_draws(theta, samples)
    assert torch.equal(ours.ranks, theirs.long())


@wrong_or_right
def test_kolmogorov_smirnov_is_that_of_sbi_and_scipy(error: str, size: float) -> None:
    from sbi.diagnostics.sbc import check_uniformity_frequentist

    theta, _, samples = draws(error, size)
    result = SBCResult.from_draws(theta, samples)
    share = result.ranks.double() / N_SAMPLES
    theirs = check_uniformity_frequentist(result.ranks.float(), N_SAMPLES)
    np.testing.assert_allclose(kolmogorov(share), theirs, rtol=1e-3, atol=1e-12)
    # The distance itself, from SciPy on ranks spread evenly: never further than one step away.
    for column, ks in zip(result.ranks.T, result.ks, strict=True):
        spread = (column.double().numpy() + 0.5) / (N_SAMPLES + 1)
        assert stats.kstest(spread, "uniform").statistic == pytest.approx(
            float(ks), abs=1 / (N_SAMPLES + 1)
        )


@wrong_or_right
def test_expected_coverage_is_that_of_sbi(error: str, size: float) -> None:
    from sbi.diagnostics import run_sbc

    theta, x, samples = draws(error, size)
    posterior = Given(samples, error, size)
    theirs, _ = run_sbc(
        theta, x[:, 0], posterior, N_SAMPLES, reduce_fns=posterior.log_prob, show_progress_bar=False
    )
    every = torch.cat([theta[None], samples])
    log_q = Normal(error, size).log_prob(every, x)
    ours = CoverageResult(rank(-log_q[0], -log_q[1:], torch.Generator()), N_SAMPLES)
    # They count draws of lower density than the truth, we those of higher density. A float32 tie
    # in a density, broken at random by us, may differ by one.
    off = (ours.ranks - (N_SAMPLES - theirs[:, 0].long())).abs()
    assert int(off.max()) <= 1
    assert float((off > 0).float().mean()) < 0.01


@wrong_or_right
def test_tarp_is_that_of_sbi(error: str, size: float) -> None:
    from sbi.diagnostics import run_tarp

    theta, x, samples = draws(error, size)
    references = 3 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(8))
    ecp, alpha = run_tarp(
        theta, x[:, 0], Given(samples, error, size), references, N_SAMPLES,
        show_progress_bar=False, num_bins=30,
    )  # fmt: skip
    ours = TARPResult.from_draws(theta, samples, references)
    same_counts(ours, ecp, alpha)


@wrong_or_right
def test_tarp_is_that_of_tarp(error: str, size: float) -> None:
    theta, _, samples = draws(error, size)
    low, span = theta.amin(0), theta.amax(0) - theta.amin(0)
    unit = torch.rand(theta.shape, generator=torch.Generator().manual_seed(9))
    before = np.random.get_state()  # noqa: NPY002 - the peer seeds NumPy's global state
    ecp, alpha = tarp_package.get_tarp_coverage(
        samples.numpy(), theta.numpy(), references=unit.numpy(), norm=True, num_alpha_bins=30
    )
    np.random.set_state(before)  # noqa: NPY002
    ours = TARPResult.from_draws(theta, samples, low + span * unit)
    same_counts(ours, torch.as_tensor(ecp), torch.as_tensor(alpha))


def same_counts(ours: TARPResult, ecp: torch.Tensor, alpha: torch.Tensor) -> None:
    """Their curve, at their bin edges, from our ranks; then the area that both would report."""
    share = ours.ranks.double() / ours.n_samples
    for level, expected in zip(alpha[1:-1].double(), ecp[1:-1].double(), strict=True):
        # A share exactly on an edge belongs to either bin, by rounding.
        near = 1e-6
        low = float((share < level - near).double().mean())
        high = float((share <= level + near).double().mean())
        assert low - 1e-6 <= float(expected) <= high + 1e-6
    theirs = float(torch.trapezoid((ecp - alpha).abs().double(), alpha.double()))
    # Their levels run from the smallest coverage found to the largest, in 30 bins.
    assert ours.area == pytest.approx(theirs, abs=0.02)


@pytest.mark.statistical
@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_c2st_is_that_of_sbi(shift: float) -> None:
    """The same classifier in two packages: equal but for the folds and first weights."""
    from sbi.utils.metrics import c2st as theirs

    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 600, 2, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = float(theirs(b + shift, a, seed=1, classifier="mlp"))
    # 1,200 held-out guesses each: sd 0.014 of either, less of their difference.
    assert c2st(b + shift, a) == pytest.approx(expected, abs=0.05)


def test_mmd_is_that_of_sbi() -> None:
    from sbi.diagnostics.misspecification import compute_rbf_mmd

    generator = torch.Generator().manual_seed(0)
    a = torch.randn(120, 3, generator=generator, dtype=torch.float64)
    b = torch.randn(90, 3, generator=generator, dtype=torch.float64) + 0.4
    sd = torch.cat([a, b]).std(0)
    biased = float(compute_rbf_mmd(a / sd, b / sd, bandwidth=1.3, mode="biased"))
    n, m = len(a), len(b)
    # Their estimate keeps the n + m ones on the diagonals; ours leaves them out.
    kernel_a = float(torch.exp(-(torch.cdist(a / sd, a / sd) ** 2) / (2 * 1.3**2)).mean())
    kernel_b = float(torch.exp(-(torch.cdist(b / sd, b / sd) ** 2) / (2 * 1.3**2)).mean())
    unbiased = biased + (kernel_a - 1) / (n - 1) + (kernel_b - 1) / (m - 1)
    assert mmd(a, b, bandwidth=1.3, permutations=1).mmd2 == pytest.approx(unbiased, abs=1e-9)


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize(("error", "size"), [("none", 1.0), ("shift", 1.0)])
def test_local_c2st_decides_as_sbi_does(error: str, size: float) -> None:
    from sbi.diagnostics.lc2st import LC2ST

    theta, x, samples = joint(1500, 1, error, size, seed=5)
    at = torch.tensor([[0.4, -0.6]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = LC2ST(
            theta, x[:, 0], samples[0], seed=1, num_trials_null=20,
            classifier="mlp", permutation=True,
        )  # fmt: skip
        peer.train_on_observed_data(verbosity=0)
        peer.train_under_null_hypothesis(verbosity=0)
        there = Normal(error, size).sample(at[None], 500, seed=6)[:, 0]
        theirs = float(peer.p_value(there, at))
    ours = local_c2st(
        Normal(error, size), normal_problem(), at, 1500, n=500, n_null=40, seed=2
    ).p_value
    assert (theirs < 0.05) == (ours < 0.05) == (error != "none")

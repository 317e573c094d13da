"""MinnesotaVAR: its prior against NumPy's and quadrature, its data against loops and Lyapunov."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import KS_ALPHA, small_model
from scipy import linalg, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import MinnesotaVAR, border
from diffsbi_edu.problems.border import StretchTheBorder
from diffsbi_edu.problems.stationary import (
    ShrunkMinnesota,
    Stationary,
    log_radius,
    make_stationary,
    radius,
    shrinkings,
    shrunk,
)
from diffsbi_edu.runtime import make_generator, randomness_from
from diffsbi_edu.standardise import StandardiseData

PROBLEM = MinnesotaVAR()


@cache
def prior_draws(n: int = 2000) -> torch.Tensor:
    return PROBLEM.sample_prior(n, seed=0, device="cpu")


def numpys_companion(coefficients: np.ndarray) -> np.ndarray:
    """Of Gamma_1 … Gamma_p (p, m, m), block by block."""
    p, m, _ = coefficients.shape
    matrix = np.zeros((p * m, p * m))
    for h in range(p):
        matrix[:m, h * m : (h + 1) * m] = coefficients[h]
        if h:
            matrix[h * m : (h + 1) * m, (h - 1) * m : h * m] = np.eye(m)
    return matrix


def numpys_radius(coefficients: np.ndarray) -> float:
    return np.abs(np.linalg.eigvals(numpys_companion(coefficients))).max()


# ----------------------------------------------------------------------------------------- prior


def numpys_prior(n: int, rng: np.random.Generator) -> np.ndarray:
    """Truncated normals by SciPy, shrunk one by one: (n, 3, 5, 5)."""
    lag = np.arange(1, 4)[:, None, None]
    loc, sd = 0.45 * np.eye(5) / lag, 0.25 / lag * np.ones((3, 5, 5))
    draws = stats.truncnorm((-1 - loc) / sd, (1 - loc) / sd, loc, sd).rvs(
        (n, 3, 5, 5), random_state=rng
    )
    active = np.arange(n)
    while len(active):
        blocks = np.stack([numpys_companion(g) for g in draws[active]])
        large = np.abs(np.linalg.eigvals(blocks)).max(1) >= 1
        active = active[large]
        draws[active] *= 0.99
    return draws


@pytest.mark.statistical
def test_prior_is_numpys() -> None:
    """Radii, norms and some coefficients, two-sample KS at 1e-4 each; an unshrunk prior is seen."""
    theirs = numpys_prior(1200, np.random.default_rng(0))
    ours = PROBLEM.split(prior_draws())[0].double().numpy()

    def features(g: np.ndarray) -> list[np.ndarray]:
        return [
            radius(torch.tensor(g)).numpy(),
            np.abs(g).sum((1, 2, 3)),
            np.abs(g).max((1, 2, 3)),
            g[:, 0, 2, 2],
            g[:, 0, 0, 1],
            g[:, 1, 4, 4],
            g[:, 2, 3, 0],
            np.trace(g.sum(1), axis1=1, axis2=2),
        ]

    pairs = zip(features(ours), features(theirs), strict=True)
    assert min(stats.ks_2samp(a, b).pvalue for a, b in pairs) > KS_ALPHA
    pairs = zip(features(ours * 1.03), features(theirs), strict=True)
    assert min(stats.ks_2samp(a, b).pvalue for a, b in pairs) < 1e-10
    sds = prior_draws()[:, 75:].double().numpy()
    assert stats.kstest(sds.ravel() ** -2, stats.gamma(2, scale=6).cdf).pvalue > KS_ALPHA
    assert np.abs(np.corrcoef(sds.T**-2.0) - np.eye(5)).max() < 5 / 2000**0.5


def test_every_draw_is_stationary_and_nearly_unstable() -> None:
    """By NumPy's eigenvalues. Most were shrunk, and one shrinking less would not have done."""
    coefficients = PROBLEM.split(prior_draws(300))[0].double().numpy()
    radii = np.array([numpys_radius(g) for g in coefficients])
    assert (radii < 1).all()
    before = np.array([numpys_radius(g / 0.99) for g in coefficients])
    assert 0.88 < np.mean(before >= 1) < 0.98
    assert np.abs(coefficients).max() <= 1


@given(
    seed=st.integers(0, 2**31), size=st.floats(0.01, 1.0),
    lags=st.integers(1, 4), series=st.integers(1, 5),
)  # fmt: skip
def test_shrinkings_are_those_of_a_loop(seed: int, size: float, lags: int, series: int) -> None:
    rng = np.random.default_rng(seed)
    some = rng.normal(size=(4, lags, series, series)) * size + 0.3 * np.eye(series)
    found = shrinkings(torch.tensor(some)).tolist()
    for g, count in zip(some, found, strict=True):
        passed, k = [], 0  # every k at which the radius falls below 1: mostly there is but one
        while len(passed) == 0 or k <= count:
            falls = numpys_radius(g * 0.99**k) < 1
            if falls and (k == 0 or numpys_radius(g * 0.99 ** (k - 1)) >= 1):
                passed.append(k)
            k += 1
        assert count in passed
        assert count == passed[0] or len(passed) > 1
        assert (count == 0) == (numpys_radius(g) < 1)


@given(
    seed=st.integers(0, 2**31), lags=st.integers(1, 4), series=st.integers(1, 5),
    off=st.floats(-1e-7, 1e-7), size=st.floats(0.0, 1.0),
)  # fmt: skip
def test_log_radius_is_near_and_has_the_right_sign(
    seed: int, lags: int, series: int, off: float, size: float
) -> None:
    rng = np.random.default_rng(seed)
    some = rng.normal(size=(3, lags, series, series)) * size
    radii = np.array([numpys_radius(g) for g in some])
    # x_t = Gamma_h x_t−h with all eigenvalues of lag h times r^h has its roots times r: the second
    # is put next to the border, the third is nothing at all.
    powers = np.arange(1, lags + 1)[:, None, None]
    if radii[1] > 1e-3:
        some[1] *= (np.exp(off) / radii[1]) ** powers
    some[2] = 0
    found = log_radius(torch.tensor(some)).numpy()
    exact = np.array([numpys_radius(g) for g in some])
    if radii[0] > 1e-3:
        assert abs(found[0] - np.log(exact[0])) < 1e-3
    if abs(exact[1] - 1) > 1e-11:
        assert (found[1] < 0) == (exact[1] < 1)
    assert found[2] < -1e-3


def test_log_radius_computes_eigenvalues_where_powers_cannot_tell() -> None:
    border = torch.tensor([[[[1.0]]], [[[-1.0]]], [[[1 - 1e-10]]]], dtype=torch.float64)
    assert log_radius(border)[:2].tolist() == [0.0, 0.0]
    assert -1.1e-10 < float(log_radius(border)[2]) < -0.9e-10


def test_radius_is_numpys() -> None:
    some = torch.randn(50, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 0.3
    expected = [numpys_radius(g) for g in some.double().numpy()]
    assert radius(some).numpy() == pytest.approx(np.array(expected), rel=1e-9)


def grid_density() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points, density and area of cells, for one series of two lags.

    Cells of phi_2 and of phi_1 + phi_2, whose edges lie on the border (sum 1) and on where shrunken
    draws end (sum 0.99): the density jumps there.
    """
    inner, shell = torch.linspace(-1.5, 0.99, 251), torch.linspace(0.99, 1, 11)
    edges = torch.cat([inner, shell[1:]]).double()
    total, width = (edges[1:] + edges[:-1]) / 2, edges.diff()
    second = -0.5 + (torch.arange(300, dtype=torch.float64) + 0.5) * 1.5 / 300
    points = torch.cartesian_prod(total, second)
    points = torch.stack([points[:, 0] - points[:, 1], points[:, 1]], 1)
    density = ShrunkMinnesota(1, 2).log_prob(points).exp()
    return points, density, (width * 1.5 / 300).repeat_interleave(300)


def test_prior_density_integrates_to_one() -> None:
    """One series, two lags: the mass of the triangle of stationary AR(2)s, by midpoints."""
    points, density, area = grid_density()
    total = points.sum(1)
    assert float((density * area).sum()) == pytest.approx(1, abs=2e-3)
    assert float((density * area)[total > 0.99].sum()) > 0.08  # shrunken ones are no trifle
    beyond = ShrunkMinnesota(1, 2).log_prob(torch.tensor([[0.5, 0.51], [-0.5, 0.51], [0.1, -1.1]]))
    assert (beyond == -math.inf).all()


@pytest.mark.statistical
def test_prior_density_is_that_of_the_draws() -> None:
    """Masses of 8 × 9 cells, by quadrature, against 20,000 draws: chi² at 1e-4.

    A density that forgets the shrunken draws must fail.
    """
    law = ShrunkMinnesota(1, 2)
    with randomness_from(make_generator(0)):
        draws = law.sample((20_000,)).double()
    assert torch.isfinite(law.log_prob(draws)).all()
    points, density, area = grid_density()
    edges = [np.append(np.linspace(0.1, 0.9, 7), 0.99), np.linspace(0.015, 0.435, 8)]

    def cells(values: torch.Tensor) -> np.ndarray:
        total, second = values.sum(1).numpy(), values[:, 1].numpy()
        return 9 * np.digitize(total, edges[0]) + np.digitize(second, edges[1])

    counts = np.bincount(cells(draws), minlength=81)

    def p_value(density: torch.Tensor) -> float:
        mass = np.bincount(cells(points), (density * area).numpy(), minlength=81)
        mass /= mass.sum()
        many = mass * 20_000 > 10
        observed = np.append(counts[many], counts[~many].sum())
        expected = np.append(mass[many], mass[~many].sum()) * 20_000
        return stats.chisquare(observed, expected + 1e-9, sum_check=False).pvalue

    assert p_value(density) > KS_ALPHA
    normals = stats.norm([0.45, 0.225], [0.25, 0.125]).pdf(points.numpy()).prod(1)
    assert p_value(torch.tensor(normals) * (density > 0)) < 1e-10


def test_prior_density_in_75_dimensions_is_a_sum_over_shrinkings() -> None:
    """Term by term from SciPy's truncated normals, for draws inside and next to the border."""
    law = ShrunkMinnesota(5, 3)
    draws = prior_draws()[:40, :75].double()
    lag = np.arange(1, 4)[:, None, None]
    loc, sd = 0.45 * np.eye(5) / lag, 0.25 / lag * np.ones((3, 5, 5))
    normal = stats.truncnorm((-1 - loc) / sd, (1 - loc) / sd, loc, sd)
    for row, ours in zip(draws, law.log_prob(draws), strict=True):
        g = row.numpy().reshape(3, 5, 5)
        terms, k = [normal.logpdf(g).sum()], 1
        while np.abs(g).max() <= 0.99**k and numpys_radius(g / 0.99**k) >= 1:
            terms.append(normal.logpdf(g / 0.99**k).sum() - 75 * k * math.log(0.99))
            k += 1
        assert float(ours) == pytest.approx(np.logaddexp.reduce(terms), rel=1e-6)


# ------------------------------------------------------------------------------------------ data


@pytest.mark.statistical
def test_errors_of_the_equation_are_normal() -> None:
    """Recovered by a NumPy loop over times and lags, N(0, 1) and independent. 1e-4, 5 SE.

    With the lags in another order, or the coefficients transposed, they are not.
    """
    theta = prior_draws()[:300]
    x = PROBLEM.simulate(theta, seed=0, n_obs=250).double().numpy()
    coefficients, sds = (part.double().numpy() for part in PROBLEM.split(theta))

    def errors(coefficients: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        for t in range(x.shape[1]):
            mean = np.zeros((len(x), 5))
            for h in range(1, min(t, 3) + 1):
                mean += np.einsum("bij,bj->bi", coefficients[:, h - 1], x[:, t - h])
            out[:, t] = (x[:, t] - mean) / sds
        return out

    found = errors(coefficients)
    assert stats.kstest(found.ravel(), stats.norm.cdf).pvalue > KS_ALPHA
    flat = found.reshape(-1, 5)
    assert np.abs(np.corrcoef(flat.T) - np.eye(5)).max() < 5 / len(flat) ** 0.5
    after = np.mean(found[:, 1:] * found[:, :-1]) * found.size**0.5
    assert abs(after) < 5
    for wrong in (coefficients[:, ::-1], coefficients.swapaxes(2, 3), 0.97 * coefficients):
        assert stats.kstest(errors(wrong).ravel(), stats.norm.cdf).pvalue < KS_ALPHA


@pytest.mark.statistical
def test_covariance_solves_lyapunovs_equation() -> None:
    """Far from a unit root, after 150 steps, within 5 standard errors of SciPy's solution."""
    g = 0.6 * PROBLEM.split(prior_draws())[0][0].double().numpy()
    sds = np.array([0.5, 1.0, 2.0, 0.3, 0.7])
    theta = torch.tensor(np.concatenate([g.ravel(), sds])).float().repeat(4000, 1)
    x = PROBLEM.simulate(theta, seed=1, n_obs=150)[:, -1].double().numpy()
    noise = np.zeros((15, 15))
    noise[:5, :5] = np.diag(sds**2)
    exact = linalg.solve_discrete_lyapunov(numpys_companion(g), noise)[:5, :5]
    products = x[:, :, None] * x[:, None, :]
    assert (np.abs(products.mean(0) - exact) < 5 * products.std(0) / 4000**0.5).all()
    assert np.abs(exact - np.diag(sds**2)).max() > 0.2


@pytest.mark.parametrize("n", [1, 2, 4, 60])
def test_likelihood_is_scipys(n: int) -> None:
    """Of all n × 5 numbers at once: x = (I − lags)⁻¹ errors is one big normal."""
    theta = prior_draws()[:4]
    x = PROBLEM.simulate(theta, seed=2, n_obs=n)
    ours = PROBLEM.log_likelihood(theta.reshape(2, 2, 80), x[0])
    assert ours.shape == (2, 2)
    assert ours.dtype == torch.float64
    coefficients, sds = (part.double().numpy() for part in PROBLEM.split(theta))
    for value, g, sd in zip(ours.flatten(), coefficients, sds, strict=True):
        lower = np.eye(5 * n)
        for t in range(n):
            for h in range(1, min(t, 3) + 1):
                lower[5 * t : 5 * t + 5, 5 * (t - h) : 5 * (t - h) + 5] = -g[h - 1]
        factor = np.linalg.inv(lower) * np.tile(sd, n)
        errors = np.linalg.solve(factor, x[0].double().numpy().ravel())
        expected = stats.norm.logpdf(errors).sum() - np.linalg.slogdet(factor)[1]
        assert float(value) == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------------------- units, latents


def test_units_stand_near_unit_roots() -> None:
    """1,000 steps: data up to hundreds, standardised to a few dozen, none NaN or infinite."""
    x = PROBLEM.simulate(prior_draws(), seed=3, n_obs=1000)
    units = StandardiseData(5)
    units.fit(x[:1000])
    z = units(x)
    assert torch.isfinite(z).all()
    assert z.abs().max() < 60
    low, high = np.quantile(z.numpy(), [0.16, 0.84])
    assert high - low > 0.5  # what is in the middle is not crushed
    assert torch.allclose(units.inverse(z), x, rtol=1e-3, atol=1e-3)


def test_unshrunk_coefficients_would_explode() -> None:
    theta = prior_draws()[:4].clone()
    theta[:, :75] *= 1.3
    with pytest.raises(ds.SimulationError, match="NaN or infinite"):
        PROBLEM.simulate(theta, seed=0, n_obs=1000)
    assert not PROBLEM.prior.support.check(theta).any()
    assert (PROBLEM.prior.log_prob(theta) == -math.inf).all()


def test_latents_and_support() -> None:
    """Nothing leaks, stationarity included; on the stationary region the map is one to one."""
    problem = MinnesotaVAR(n_obs=3)
    model = small_model(problem).standardise(seed=0)
    theta = prior_draws()
    z = model.to_latent(theta)
    assert z.abs().max() < 15
    back = model.to_latent.inverse(z)
    assert ((back - theta).abs().amax(1) < 1e-3).float().mean() > 0.99
    draws = model.sample(torch.ones(3, 5), 1000, seed=0, steps=4)
    assert problem.prior.support.check(draws).all()
    assert max(numpys_radius(g) for g in problem.split(draws)[0].double().numpy()) < 1
    assert (draws[:, 75:] > 0).all()
    small = small_model(MinnesotaVAR(n_obs=3, series=1, lags=2)).standardise(seed=0)
    draws = small.sample(torch.ones(3, 1), 20_000, seed=0, steps=4)
    assert (draws[:, 0] + draws[:, 1] < 1).all()


def test_all_of_space_is_mapped_inside_and_back() -> None:
    law, rng = ShrunkMinnesota(5, 3), torch.Generator().manual_seed(0)
    to_support = StretchTheBorder(law.shape)
    theta = prior_draws()[:, :75]
    u = to_support.inv(theta)
    # Where two roots change places the radius has a kink, at which the search may stop early, and
    # along one ray in some thousands it falls, rises and falls again.
    back = (to_support(u) - theta).norm(dim=1) / theta.norm(dim=1)
    assert back.quantile(0.99) < 1e-3
    assert back.max() < 0.2
    anywhere = u.mean(0) + 0.7 * u.std(0) * torch.randn(500, 75, generator=rng)
    assert (radius(anywhere.tanh().reshape(-1, *law.shape)) > 1).float().mean() > 0.3
    found = to_support(anywhere)
    assert law.support.check(found).all()
    again = (to_support.inv(found) - anywhere).norm(dim=1) / anywhere.norm(dim=1)
    assert again.quantile(0.99) < 1e-3
    absurd = torch.tensor([[80.0], [-80.0], [math.inf], [math.nan], [1e30], [0.0]]) * torch.ones(75)
    assert law.support.check(to_support(absurd)).all()
    assert to_support(u.reshape(2, -1, 75)).shape == (2, len(u) // 2, 75)


def test_blurred_latents_are_not_pulled_to_the_middle() -> None:
    """Noise on the latents leaves the diagonal where it was; with plain artanh it falls by more."""
    law, theta = ShrunkMinnesota(5, 3), prior_draws()[:, :75]
    to_support, diagonal = StretchTheBorder(law.shape), [0, 6, 12, 18, 24]
    noise = 0.05 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(0))

    def moved(found: torch.Tensor) -> float:
        return float((found - theta)[:, diagonal].mean())

    plain = moved(make_stationary((theta.atanh() + noise).tanh(), law.shape))
    assert plain < -0.008
    stretched = moved(to_support(to_support.inv(theta) + noise))
    assert abs(stretched) < 0.7 * abs(plain)


def test_density_of_normal_latents_integrates_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of AR(2)s with 0 < b < 0.45 and a + b > 0: mass by midpoints, against the share of draws.

    A Jacobian without the ray's own stretching must fail; to see that, the border is stretched more
    than it is.
    """
    monkeypatch.setattr(border, "STRETCH", 0.3)
    to_support, normal = StretchTheBorder((2, 1, 1)), torch.distributions.Normal(0.0, 0.4)
    # In the logarithm of the distance the density near the border, where it is steep, is smooth.
    n, lowest, widest = 400, -14.0, 0.45
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    gap, b = torch.meshgrid((lowest * middles).exp(), widest * middles, indexing="ij")
    theta = torch.stack([1 - b - gap, b], -1).reshape(-1, 2)
    area = (gap * (-lowest / n) * (widest / n)).reshape(-1)
    u = to_support.inv(theta)
    log_normal = normal.log_prob(u).sum(-1)
    exact = log_normal - to_support.log_abs_det_jacobian(u, theta)
    mass = float((exact.exp() * area).sum())
    rng = torch.Generator().manual_seed(0)
    draws = to_support(0.4 * torch.randn(300_000, 2, generator=rng, dtype=torch.float64))
    seen = (draws.sum(1) > 0) & (draws[:, 1] > 0) & (draws[:, 1] < widest)
    noise = 0.5 / 300_000**0.5
    share = float(seen.double().mean())
    assert abs(mass - share) < 4 * noise
    log_tanh = ((1 - theta) * (1 + theta)).log().sum(-1)
    across = 2 * (u.norm(dim=1) / theta.atanh().norm(dim=1)).log()
    plain = float((log_normal - log_tanh + across).exp() @ area)
    assert share - plain > 8 * noise


def test_support() -> None:
    support = Stationary((2, 1, 1))
    rows = [[0.5, 0.4], [0.5, 0.6], [-0.5, 0.6], [0.0, -1.01], [math.nan, 0.0], [0.9, -0.5],
            [1.05, -0.5]]  # fmt: skip
    assert support.check(torch.tensor(rows)).tolist() == [True, False, False, False, False, True,
                                                          False]  # fmt: skip
    assert support.check(torch.tensor(rows).reshape(7, 1, 2)).shape == (7, 1)
    assert shrunk(torch.ones(2, 3), torch.tensor([0, 1])).tolist()[0] == [1.0, 1.0, 1.0]


# ------------------------------------------------------------------------------ edges, bad input


@pytest.mark.parametrize("n", [1, 2, 3, 250, 1000])
def test_any_length_and_seed(n: int) -> None:
    theta, x = PROBLEM.sample(8, seed=0, device="cpu", n_obs=n)
    assert x.shape == (8, n, 5)
    assert torch.equal(PROBLEM.sample(8, seed=0, device="cpu", n_obs=n)[1], x)
    assert not torch.equal(PROBLEM.simulate(theta, seed=1, n_obs=n), x)
    assert PROBLEM._simulator(theta.double(), n).dtype == torch.float64


@pytest.mark.parametrize(("series", "lags"), [(1, 1), (1, 3), (3, 1), (2, 4)])
def test_other_sizes(series: int, lags: int) -> None:
    problem = MinnesotaVAR(n_obs=20, series=series, lags=lags)
    theta, x = problem.sample(50, seed=0, device="cpu")
    assert theta.shape == (50, lags * series**2 + series)
    assert len(problem.theta_names) == problem.dim
    assert x.shape == (50, 20, series)
    assert torch.isfinite(problem.prior.log_prob(theta)).all()
    assert torch.isfinite(problem.log_likelihood(theta, x[0])).all()


def test_names_say_which_entry() -> None:
    theta = torch.arange(80.0)
    coefficients, sds = PROBLEM.split(theta)
    for name, value in zip(PROBLEM.theta_names, theta, strict=True):
        kind, where = name.split(" ")
        if kind == "sigma":
            assert sds[int(where) - 1] == value
        else:
            i, j = (int(v) - 1 for v in where.split(","))
            assert coefficients[int(kind[-1]) - 1, i, j] == value


def test_a_data_set_does_not_depend_on_its_neighbours() -> None:
    theta, other = prior_draws()[:8], prior_draws()[8:16].clone()
    other[3] = theta[3]
    first, second = (PROBLEM.simulate(rows, seed=5, n_obs=60) for rows in (theta, other))
    assert torch.allclose(first[3], second[3], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(first[2], second[2], rtol=1e-2)


def test_bad_input() -> None:
    for n_obs in (0, -1, (0, 3), (5, 4), 1.5):
        with pytest.raises(ValueError, match="n_obs must be an int"):
            MinnesotaVAR(n_obs)  # type: ignore[arg-type]
    for name in ("series", "lags"):
        for value in (0, 1.5, "3"):
            with pytest.raises(ValueError, match=f"{name} must be an int ≥ 1"):
                MinnesotaVAR(**{name: value})
    for x, words in (
        (torch.zeros(5, 2), "F = 5"),
        (torch.full((5, 5), math.nan), "NaN"),
        (torch.zeros(0, 5), "at least one observation"),
        (torch.zeros(2, 3, 5), "one data set"),
    ):
        with pytest.raises(ValueError, match=words):
            PROBLEM.log_likelihood(prior_draws()[0], x)
    with pytest.raises(ds.NoExactPosterior, match="minnesota_var"):
        PROBLEM.posterior(torch.zeros(3, 5))


def test_config_and_name() -> None:
    problem = MinnesotaVAR((5, 9), series=2, lags=2)
    again = ds.problems.get("minnesota_var", **problem.config())
    assert (again.n_obs, again.dim, again.data_kind) == ((5, 9), 10, "sequence")
    first, second = (p.sample(3, seed=0, device="cpu")[1] for p in (problem, again))
    assert torch.equal(first, second)

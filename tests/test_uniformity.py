"""Tests of uniformity and combinations of p-values, against what their nulls promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffsbi_edu.diagnostics.bands import ecdf_band
from diffsbi_edu.diagnostics.uniformity import combined, holm, jittered, kolmogorov, neyman

REPEATS = 2000
# Two-sided 1e-4 limits of a binomial count of false alarms at 5 %.
LOW, HIGH = stats.binom.ppf([5e-5, 1 - 5e-5], REPEATS, 0.05)


def uniforms(n: int, columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, columns, generator=generator, dtype=torch.float64)


@pytest.mark.statistical
@pytest.mark.parametrize("test", [neyman, kolmogorov])
@pytest.mark.parametrize("n", [100, 1000])
def test_false_alarms_are_as_promised(test, n: int) -> None:
    alarms = int((test(uniforms(n, REPEATS)) < 0.05).sum())
    assert LOW <= alarms <= HIGH


@pytest.mark.statistical
def test_jittered_ranks_are_uniform_however_few_the_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    ranks = torch.randint(0, 5, (500, REPEATS), generator=generator)
    alarms = int((kolmogorov(jittered(ranks, 4)) < 0.05).sum())
    assert LOW <= alarms <= HIGH
    raw = (kolmogorov(ranks / 4) < 0.05).float().mean()
    assert raw == 1.0  # the known failure: ranks divided by the largest one


def test_neyman_sees_shifts_and_wrong_widths_much_better_than_kolmogorov() -> None:
    for power in (0.9, 1.15):
        assert (neyman(uniforms(2000, 50) ** power) < 0.01).float().mean() > 0.7
    z = torch.special.ndtri(uniforms(1000, 200)) * 1.15  # truths 15 % too far out
    wide = torch.special.ndtr(z)
    assert (neyman(wide) < 0.05).float().mean() > 0.95
    assert (neyman(wide) < 0.05).sum() > (kolmogorov(wide) < 0.05).sum() + 30


def test_neyman_equals_a_sum_written_out() -> None:
    u = uniforms(37, 1)[:, 0].numpy()
    v = 2 * u - 1
    legendre = [v, (3 * v**2 - 1) / 2, (5 * v**3 - 3 * v) / 2, (35 * v**4 - 30 * v**2 + 3) / 8]
    scores = [np.sqrt(2 * k + 3) * p.sum() / np.sqrt(37) for k, p in enumerate(legendre)]
    expected = stats.chi2.sf(sum(s**2 for s in scores), 4)
    assert float(neyman(torch.from_numpy(u)[:, None])[0]) == pytest.approx(expected, rel=1e-10)


@pytest.mark.statistical
@pytest.mark.parametrize("dependence", [0.0, 0.5, 0.9, 1.0])
def test_combined_keeps_its_rate_under_dependence(dependence: float) -> None:
    generator = torch.Generator().manual_seed(1)
    shared = torch.randn(REPEATS, 1, generator=generator, dtype=torch.float64)
    own = torch.randn(REPEATS, 5, generator=generator, dtype=torch.float64)
    z = dependence**0.5 * shared + (1 - dependence) ** 0.5 * own
    p = 2 * torch.special.ndtr(-z.abs())
    alarms = sum(combined(row) < 0.05 for row in p)
    assert LOW <= alarms <= 1.25 * HIGH  # between independence and equality a little above 5 %


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_combined_is_a_p_value_and_ignores_the_order(p: list[float]) -> None:
    value = combined(torch.tensor(p, dtype=torch.float64))
    assert 0 <= value <= 1
    assert value == combined(torch.tensor(p[::-1], dtype=torch.float64))


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_its_definition(p: list[float]) -> None:
    adjusted = holm(torch.tensor(p, dtype=torch.float64))
    order = np.argsort(p, kind="stable")
    worst = 0.0
    for place, i in enumerate(order):
        worst = min(1.0, max(worst, (len(p) - place) * p[i]))
        assert float(adjusted[i]) == pytest.approx(worst)


@pytest.mark.parametrize("bad", [[], [1.2], [-0.1, 0.5], [float("nan")]])
def test_combined_refuses_what_are_no_p_values(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"p-values in \[0, 1\]"):
        combined(torch.tensor(bad))


@pytest.mark.statistical
@pytest.mark.parametrize(("n", "values"), [(100, 20), (1000, 101), (300, 1001)])
def test_the_band_holds_whole_curves(n: int, values: int) -> None:
    """Fresh uniform ranks leave it in 5 % of cases (false alarm of this test: 1e-4)."""
    low, high = ecdf_band(n, values)
    counts = np.random.default_rng(7).multinomial(n, np.full(values, 1 / values), size=REPEATS)
    curves = counts.cumsum(1) / n
    outside = int(((curves < low.numpy()) | (curves > high.numpy())).any(1).sum())
    # The band itself was calibrated on 4,000 simulated curves: allow for its own error.
    assert 0.6 * LOW <= outside <= 1.3 * HIGH


def test_the_band_is_wider_than_a_pointwise_one() -> None:
    low, high = ecdf_band(1000, 101)
    pointwise = stats.binom.ppf(0.975, 1000, 51 / 101) / 1000
    assert float(high[50]) > pointwise
    assert float(low[-1]) == float(high[-1]) == 1.0

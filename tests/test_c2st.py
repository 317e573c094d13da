"""C2ST: ½ for equal laws, 1 for disjoint ones, the Bayes-optimal accuracy in between."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from references import standard_normal_cdf
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPClassifier

from diffsbi_edu.diagnostics import c2st


def normal(n: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.statistical
def test_equal_laws_cannot_be_told_apart() -> None:
    """Held-out accuracy of 3,000 fair coins: within 5 sds (0.009 each) of ½."""
    score = c2st(normal(1500, 2, 0), normal(1500, 2, 1))
    assert score == pytest.approx(0.5, abs=5 * 0.5 / 3000**0.5)


@pytest.mark.statistical
@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_a_shift_is_found_with_the_best_possible_accuracy(shift: float) -> None:
    """Two unit normals d apart: no classifier is right more often than Φ(d/2)."""
    a, b = normal(1500, 2, 0), normal(1500, 2, 1)
    b = b + torch.tensor([shift, 0.0])
    score = c2st(a, b)
    best = standard_normal_cdf(shift / 2)
    assert best - 0.03 < score < best + 4 * 0.5 / 3000**0.5


def test_disjoint_laws_are_always_told_apart() -> None:
    assert c2st(normal(300, 3, 0), normal(300, 3, 1) + 50) == 1


@pytest.mark.parametrize("wrong", [0.5, 2.0])
def test_a_wrong_width_is_noticed(wrong: float) -> None:
    assert c2st(normal(1500, 2, 0), wrong * normal(1500, 2, 1)) > 0.6


def test_correlation_is_noticed_where_marginals_agree() -> None:
    b = normal(1500, 2, 1)
    b = torch.stack([b[:, 0], 0.9 * b[:, 0] + 0.19**0.5 * b[:, 1]], 1)
    assert c2st(normal(1500, 2, 0), b) > 0.65


def test_a_narrow_scale_does_not_hide_a_difference() -> None:
    a, b = normal(300, 2, 0), normal(300, 2, 1) + torch.tensor([2.0, 0.0])
    assert c2st(a, b) == pytest.approx(c2st(1e-6 * a + 5, 1e-6 * b + 5), abs=0.04)
    assert c2st(2.0**-20 * a, 2.0**-20 * b) == c2st(a, b)


@pytest.mark.parametrize(("dim", "seed"), [(1, 0), (3, 4)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_equals_a_computation_by_hand(dim: int, seed: int) -> None:
    a, b = normal(200, dim, 0), normal(200, dim, 1) + 0.7
    x = np.concatenate([a.double().numpy(), b.double().numpy()])
    x = (x - x[200:].mean(0)) / x[200:].std(0, ddof=1)
    y = np.repeat([0, 1], 200)
    right = []
    for train, test in KFold(5, shuffle=True, random_state=seed).split(x):
        net = MLPClassifier((10 * dim, 10 * dim), max_iter=60, random_state=seed)
        right.append((net.fit(x[train], y[train]).predict(x[test]) == y[test]).mean())
    score = c2st(a, b, seed=seed, max_epochs=60)
    assert score == pytest.approx(np.mean(right))
    assert score != c2st(a, b, seed=seed + 1, max_epochs=60)


def test_global_random_states_are_untouched() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    c2st(normal(50, 2, 0), normal(50, 2, 1), max_epochs=5)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_constant_columns_are_survived() -> None:
    a, b = normal(100, 2, 0), normal(100, 2, 1)
    a[:, 1] = b[:, 1] = 3.0
    assert 0.3 < c2st(a, b) < 0.7


def test_bad_input() -> None:
    good = normal(50, 2, 0)
    for bad in (normal(50, 3, 1), normal(49, 2, 1), normal(50, 2, 1)[:, 0]):
        with pytest.raises(ValueError, match=r"equal shape \(n, D\), got"):
            c2st(good, bad)
    with pytest.raises(ValueError, match="at least 10 draws of each, got 9"):
        c2st(good[:9], good[:9])
    broken = good.clone()
    broken[3, 1] = float("nan")
    with pytest.raises(ValueError, match="samples has NaN or infinite"):
        c2st(broken, good)
    broken[3, 1] = float("inf")
    with pytest.raises(ValueError, match="reference has NaN or infinite"):
        c2st(good, broken)

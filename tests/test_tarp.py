"""TARP, expected coverage, contraction: exact ones pass, each known failure is seen or not seen."""

from __future__ import annotations

import math

import pytest
import torch
from calibrated import Normal, joint, normal_problem

from diffsbi_edu.diagnostics import (
    TARPResult,
    contraction,
    discriminative_calibration,
    expected_coverage,
    tarp,
)

PROBLEM = normal_problem()
LIMIT = 1e-4  # false-alarm rate of every "passes" below, before the seed was fixed


def test_ends_and_shapes() -> None:
    result = tarp(Normal(), PROBLEM, n_sims=50, n_samples=20, seed=0)
    assert result.ecp.shape == result.alpha.shape == (22,)
    assert float(result.ecp[0]) == float(result.alpha[0]) == 0
    assert float(result.ecp[-1]) == float(result.alpha[-1]) == 1
    low, high = result.band()
    assert (low <= result.ecp + 1e-9).all()
    assert (result.ecp <= high + 1e-9).all()


@pytest.mark.statistical
def test_the_exact_posterior_passes() -> None:
    result = tarp(Normal(), PROBLEM, 2000, 100, seed=1)
    assert result.p_value > LIMIT
    assert result.area < 0.03


@pytest.mark.statistical
@pytest.mark.parametrize("error", [("scale", 0.8), ("scale", 1.35), ("shift", 0.5), ("flip", 1.0)])
def test_known_failures_are_seen(error: tuple[str, float]) -> None:
    assert tarp(Normal(*error), PROBLEM, 2000, 100, seed=1).p_value < LIMIT


def test_over_confidence_has_its_sign() -> None:
    """Narrow draws about the right place: far from a random point, truth is at either extreme."""
    narrow = tarp(Normal("scale", 0.3), PROBLEM, 1000, 50, seed=0)
    middle = narrow.ecp[(narrow.alpha > 0.3) & (narrow.alpha < 0.7)]
    assert float(narrow.ecp[5] - narrow.alpha[5]) > 0.05
    assert float(middle.max() - middle.min()) < 0.3  # flat in the middle


@pytest.mark.statistical
def test_references_do_not_repeat_the_random_bits_of_truths_made_with_the_same_seed() -> None:
    theta, _, draws = joint(1000, 100, seed=0)
    assert TARPResult.from_draws(theta, draws, seed=0).p_value > LIMIT
    bits = torch.rand(theta.shape, generator=torch.Generator().manual_seed(0))
    low, high = theta.amin(0), theta.amax(0)
    trapped = TARPResult.from_draws(theta, draws, low + (high - low) * bits)
    assert trapped.p_value < LIMIT  # the known failure: exact draws look wrong


@pytest.mark.statistical
def test_the_prior_passes_with_random_references_and_fails_with_chosen_ones() -> None:
    prior = Normal("prior")
    assert tarp(prior, PROBLEM, 2000, 100, seed=1).p_value > LIMIT
    chosen = tarp(prior, PROBLEM, 2000, 100, references=lambda x: 0.8 * x[:, 0], seed=1)
    assert chosen.p_value < LIMIT
    exact = tarp(Normal(), PROBLEM, 2000, 100, references=lambda x: 0.8 * x[:, 0], seed=1)
    assert exact.p_value > LIMIT


@pytest.mark.statistical
def test_reshaped_axes_hide_a_sign_flip_and_from_draws_refuses_them() -> None:
    """The trap that gave this check a bad name: draws flattened data set by data set."""
    theta, _, flipped = joint(1000, 100, "flip")
    assert TARPResult.from_draws(theta, flipped).p_value < LIMIT
    by_data_set = flipped.transpose(0, 1).contiguous()  # (n_sims, n, D)
    scrambled = by_data_set.reshape(100, 1000, 2)
    hidden = TARPResult.from_draws(theta, scrambled)
    assert hidden.area < 0.05 < TARPResult.from_draws(theta, flipped).area
    with pytest.raises(ValueError, match="swapped"):
        TARPResult.from_draws(theta, by_data_set)


def test_area_of_a_curve_known_in_closed_form() -> None:
    """Ranks all 0: ecp is 1 from the first step on; the area is that of a triangle, less a bit."""
    result = TARPResult(torch.zeros(100, dtype=torch.long), 999)
    assert result.area == pytest.approx(0.5, abs=2e-3)
    assert result.signed_area == pytest.approx(0.5, abs=2e-3)


@pytest.mark.statistical
def test_expected_coverage() -> None:
    exact = expected_coverage(Normal(), PROBLEM, 1000, 99, seed=0)
    assert exact.p_value > LIMIT
    narrow = expected_coverage(Normal("scale", 0.7), PROBLEM, 1000, 99, seed=0)
    assert narrow.p_value < LIMIT
    # A circle of 90 % of N(0, 0.7² I) holds 1 − 0.1^(0.49) of N(0, I).
    at_90 = narrow.summary()["coverage of the 90% region"]
    assert at_90 == pytest.approx(1 - 0.1**0.49, abs=4 * math.sqrt(0.25 / 1000))


def test_expected_coverage_needs_a_density() -> None:
    class Sampler:
        def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
            return Normal().sample(x, n, seed)

    with pytest.raises(TypeError, match="log_prob"):
        expected_coverage(Sampler(), PROBLEM)


@pytest.mark.statistical
def test_contraction_and_z_scores_against_closed_forms() -> None:
    result = contraction(Normal(), PROBLEM, 2000, 200, seed=0)
    assert float(result.contraction.mean()) == pytest.approx(0.8, abs=0.01)
    # The mean of 200 draws adds 1/200 to the variance of the error.
    assert float(result.z_scores.square().mean()) == pytest.approx(1.005, abs=0.12)
    assert (
        abs(float(contraction(Normal("prior"), PROBLEM, 500, 200, seed=0).contraction.mean()))
        < 0.03
    )


@pytest.mark.statistical
def test_a_learned_test_sees_the_prior_and_passes_the_exact_posterior() -> None:
    assert discriminative_calibration(Normal(), PROBLEM, 1000, 50, seed=3).p_value > LIMIT
    for error in (("prior", 1.0), ("flip", 1.0), ("scale", 0.7)):
        found = discriminative_calibration(Normal(*error), PROBLEM, 1000, 50, seed=3)
        assert found.p_value < LIMIT, error


@pytest.mark.parametrize("n", [(1, 10), (10, 1), (0, 5)])
def test_too_few(n: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        tarp(Normal(), PROBLEM, *n)


def test_constant_truths_have_no_unit() -> None:
    with pytest.raises(ValueError, match="same value in all truths"):
        TARPResult.from_draws(torch.zeros(10, 2), torch.randn(5, 10, 2))


def test_references_of_a_wrong_shape() -> None:
    with pytest.raises(ValueError, match="references"):
        tarp(Normal(), PROBLEM, 50, 10, references=lambda x: x, seed=0)
    with pytest.raises(ValueError, match="references"):
        TARPResult.from_draws(torch.randn(10, 2), torch.randn(5, 10, 2), torch.randn(2))


def test_same_seed_same_ranks() -> None:
    first, again, other = (tarp(Normal(), PROBLEM, 60, 20, seed=s).ranks for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

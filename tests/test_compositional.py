"""Composed posteriors: with ideal denoisers in closed form, then with trained ones."""

from __future__ import annotations

import pytest
import torch
from references import ClosedForm, conjugate_by_loops, ideal_gaussian_model, small_model

import diffsbi_edu as ds
from diffsbi_edu import Compositional, ConditionalDiffusion, IdealDenoiser, diagnostics, problems
from diffsbi_edu.composed_denoiser import inverse

CORRECTED = ("gauss", "jacobian")
LEVELS = (0.003, 0.03, 0.3, 1.0, 3.0, 20.0)
WIDE = {"noise_sd": 1.5, "noise_correlation": 0.3}  # single observations that say little


def data(n_obs: int, seed: int = 3, **settings: float) -> torch.Tensor:
    """One data set of Gaussian2D, (N, 2)."""
    return problems.Gaussian2D(**settings).sample(1, seed=seed, n_obs=n_obs, device="cpu")[1][0]


def exact_in_latent(
    model: ConditionalDiffusion, problem: problems.Gaussian2D, x: torch.Tensor
) -> IdealDenoiser:
    """The ideal denoiser of the N-observation posterior, whose moments come by Kalman updates."""
    mean, covariance = conjugate_by_loops(
        x.double().numpy(),
        problem.prior_covariance.double().numpy(),
        problem.noise_covariance.double().numpy(),
    )
    whiten = torch.linalg.cholesky(problem.prior_covariance.double()).inverse()
    return IdealDenoiser.gaussian(
        whiten @ torch.from_numpy(mean), whiten @ torch.from_numpy(covariance) @ whiten.T
    )


# ------------------------------------------------------------------------- with ideal denoisers


@pytest.mark.parametrize("settings", [{}, WIDE], ids=["sharp", "wide"])
@pytest.mark.parametrize("n_obs", [2, 10, 100])
@pytest.mark.parametrize("method", CORRECTED)
def test_the_composed_denoiser_is_the_exact_one(
    method: str, n_obs: int, settings: dict[str, float]
) -> None:
    model, problem = ideal_gaussian_model(**settings)
    x = data(n_obs, **settings)
    ideal = exact_in_latent(model, problem, x)
    composed = Compositional(model, method=method)
    generator = torch.Generator().manual_seed(0)
    for r in LEVELS:
        y = torch.randn(50, 2, generator=generator) * (1 + r**2) ** 0.5
        exact = ideal(y.double(), r)
        off = (composed.denoise(y, r, x).double() - exact).norm(dim=1)
        # "gauss" knows S_i to the solver's 0.2 %; rounding of float32 counts N times.
        assert off.max() < 0.01 * (exact - y).norm(dim=1).max() + 2.5e-7 * n_obs, r


def test_naive_is_wrong_where_the_noise_is_large_and_right_where_it_is_small() -> None:
    """Known failure: the sum of scores is the noised posterior's score only as r → 0."""
    model, problem = ideal_gaussian_model()
    x = data(10)
    ideal, composed = exact_in_latent(model, problem, x), Compositional(model, method="naive")
    y = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    share = {}
    for r in (0.003, 0.3):
        exact = ideal(y.double(), r)
        off = (composed.denoise(y, r, x).double() - exact).norm(dim=1).max()
        share[r] = float(off / (exact - y).norm(dim=1).max())
    assert share[0.003] < 0.02
    assert share[0.3] > 0.5


@pytest.mark.statistical
@pytest.mark.parametrize(("method", "n_obs"), [("gauss", 10), ("gauss", 100), ("jacobian", 10)])
def test_draws_have_the_exact_mean_and_covariance(method: str, n_obs: int) -> None:
    """4,000 draws: sds known to 1.1 %, means to 0.016 sd. At 4 standard errors and the solver's
    0.8 % (28 steps), about 1 false alarm in 3,000 before the seed was fixed.
    """
    model, problem = ideal_gaussian_model(**WIDE)
    x = data(n_obs, **WIDE)
    exact = problem.posterior(x)
    sd = exact.covariance.diagonal().sqrt()
    draws = Compositional(model, method=method).sample(x, 4000, seed=1).double()
    assert ((draws.mean(0) - exact.mean) / sd).abs().max() < 0.065
    assert (draws.std(0) / sd - 1).abs().max() < 0.055
    expected = float(exact.covariance[0, 1] / sd.prod())
    assert float(torch.corrcoef(draws.T)[0, 1]) == pytest.approx(expected, abs=0.06)


def test_naive_draws_are_far_off_on_the_same_grid() -> None:
    model, problem = ideal_gaussian_model(**WIDE)
    x = data(10, **WIDE)
    exact = problem.posterior(x)
    sd = exact.covariance.diagonal().sqrt()
    draws = Compositional(model, method="naive").sample(x, 1000, seed=1).double()
    assert ((draws.mean(0) - exact.mean) / sd).abs().max() > 0.5
    assert (draws.std(0) / sd).max() < 0.6


def test_a_thousand_observations() -> None:
    model, problem = ideal_gaussian_model()
    x = data(1000)
    exact = problem.posterior(x)
    draws = Compositional(model).sample(x, 300, seed=1).double()
    sd = exact.covariance.diagonal().sqrt()
    assert ((draws.mean(0) - exact.mean) / sd).abs().max() < 0.3  # 0.06 each by chance
    assert (draws.std(0) / sd - 1).abs().max() < 0.2  # 0.04 each


@pytest.mark.parametrize("method", CORRECTED)
def test_more_dimensions(method: str) -> None:
    """Five parameters seen through a blur: the N-observation posterior by linear regression."""
    problem = problems.LinearGaussian(dim=5)
    model = small_model(problem, prediction="z").standardise(seed=0)
    scale = model.standardise_x.scale.double()
    model.standardise_x.mean.zero_()
    model.denoiser.network = ClosedForm(
        (problem.gain @ scale.diag()).float(), problem.posterior_covariance.float()
    )
    theta, _ = problem.sample(1, seed=1, device="cpu")
    x = problem.simulate(theta.expand(20, -1), seed=2)[:, 0]
    a = problem.matrix.double()
    covariance = (torch.eye(5).double() + 20 * a.T @ a / problem.noise_sd**2).inverse()
    mean = covariance @ a.T @ x.double().sum(0) / problem.noise_sd**2
    ideal, composed = IdealDenoiser.gaussian(mean, covariance), Compositional(model, method=method)
    y = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    for r in LEVELS:
        exact = ideal(y.double(), r)
        off = (composed.denoise(y, r, x).double() - exact).norm(dim=1).max()
        assert off < 0.01 * (exact - y).norm(dim=1).max(), r


@pytest.mark.parametrize("method", [*CORRECTED, "naive"])
def test_one_observation_gives_the_model_itself(method: str) -> None:
    model, _ = ideal_gaussian_model()
    x = data(1)
    torch.testing.assert_close(
        Compositional(model, method=method).sample(x, 100, seed=4),
        model.sample(x, 100, seed=4),
        atol=1e-4,
        rtol=1e-4,
    )


def test_posteriors_wider_than_the_prior_do_not_break_it() -> None:
    """Λ = 10/4 − 9 + 1/r² < 0 for r > 0.4. The composed density cannot be normalised, and draws end
    far out; but they stay finite and within reach.
    """
    model, _ = ideal_gaussian_model()
    model.denoiser.network.covariance = 4 * torch.eye(2)
    for method in CORRECTED:
        draws = Compositional(model, method=method).sample(data(10), 200, seed=1)
        assert model.to_latent(draws).abs().max() <= 12.001  # NaN would fail too


def test_eigenvalues_are_raised_to_the_floor() -> None:
    total = torch.diag(torch.tensor([-3.0, 4.0], dtype=torch.float64))
    found = inverse(total, 2.0)
    torch.testing.assert_close(found, torch.diag(torch.tensor([0.5, 0.25])).double())


# ----------------------------------------------------------------- order, batches, pieces, seeds


@pytest.mark.parametrize("method", CORRECTED)
def test_the_order_of_the_observations_makes_no_difference(method: str) -> None:
    model, _ = ideal_gaussian_model()
    x, composed = data(12), Compositional(model, method=method)
    torch.testing.assert_close(
        composed.sample(x, 50, seed=1), composed.sample(x.flip(0), 50, seed=1), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("method", [*CORRECTED, "naive"])
def test_in_pieces_it_is_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = ideal_gaussian_model()
    x = torch.stack([data(11, seed=s) for s in range(3)])
    composed = Compositional(model, method=method)
    whole = composed.sample(x, 20, seed=1)
    sizes = []
    forward = model.denoiser.forward

    def counted(y: torch.Tensor, ratio: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        sizes.append(torch.broadcast_shapes(y.shape[:-1], s.shape[:-1]).numel())
        return forward(y, ratio, s)

    monkeypatch.setattr(
        "diffsbi_edu.composed_denoiser.ROWS_AT_ONCE", 256
    )  # 4 observations at a time
    monkeypatch.setattr(model.denoiser, "forward", counted)
    torch.testing.assert_close(composed.sample(x, 20, seed=1), whole, atol=1e-4, rtol=1e-4)
    assert max(sizes) <= 256


def test_batches_and_seeds() -> None:
    model, problem = ideal_gaussian_model()
    x = torch.stack([data(8, seed=s) for s in range(4)])
    composed = Compositional(model)
    draws = composed.sample(x, 2000, seed=1)
    assert draws.shape == (2000, 4, 2)
    for i, row in enumerate(x):
        exact = problem.posterior(row)
        gap = (draws[:, i].double().mean(0) - exact.mean) / exact.covariance.diagonal().sqrt()
        assert gap.abs().max() < 0.1
    assert composed.sample(x[0].numpy(), 3, seed=5).shape == (3, 2)
    torch.testing.assert_close(composed.sample(x, 3, seed=5), composed.sample(x, 3, seed=5))
    assert not torch.equal(composed.sample(x, 3, seed=5), composed.sample(x, 3, seed=6))
    state = torch.random.get_rng_state()
    composed.sample(x, 3)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.statistical
def test_diagnostics_take_it_for_a_model() -> None:
    model, _ = ideal_gaussian_model()
    problem = problems.Gaussian2D(n_obs=5)
    assert diagnostics.sbc(Compositional(model), problem, 300, 40, seed=0).p_value > 1e-4
    naive = Compositional(model, method="naive")
    assert diagnostics.sbc(naive, problem, 300, 40, seed=0).p_value < 1e-4


# ------------------------------------------------------------------------------ trained, and not


@pytest.mark.statistical
@pytest.mark.parametrize("method", CORRECTED)
def test_a_short_training(method: str, trained: ConditionalDiffusion) -> None:
    """N = 10, ten data sets: widths within 10 % with "gauss", within 25 % with "jacobian" (the
    derivative of a network is less accurate than the network); centres within half an exact sd.
    """
    found = diagnostics.amortization(
        Compositional(trained, method=method), problems.Gaussian2D(), [10],
        n_sims=10, n_samples=100, seed=1,
    )  # fmt: skip
    assert (found.ratio - 1).abs().max() < {"gauss": 0.1, "jacobian": 0.25}[method]
    assert found.offset.max() < 0.5


@pytest.fixture(scope="module")
def trained() -> ConditionalDiffusion:
    model = ConditionalDiffusion(problems.Gaussian2D(), width=64, depth=2, device="cpu", seed=0)
    ds.fit(model, 800, batch_size=256, seed=0, progress=False)
    return model


def test_a_prior_whose_latent_is_not_normal() -> None:
    """NormalGamma is composed with a noised prior made of nodes; untrained, but finite and fit."""
    model = small_model(problems.NormalGamma(n_obs=1))
    _, x = model.problem.sample(2, seed=0, n_obs=5, device="cpu")
    for method in (*CORRECTED, "naive"):
        draws = Compositional(model, method=method).sample(x, 10, seed=0)
        assert draws.shape == (10, 2, 2)
        assert torch.isfinite(draws).all()
        assert (draws[..., 1] > 0).all()
    # Far outside of the prior the weight lies on a single node.
    composed = Compositional(model, method="jacobian")
    assert torch.isfinite(composed.denoise(torch.full((3, 2), -12.0), 0.3, x[0])).all()


# ----------------------------------------------------------------------------------------- errors


def test_models_that_cannot_be_composed_are_refused() -> None:
    with pytest.raises(TypeError, match="ConditionalDiffusion"):
        Compositional(ds.ConditionalFlow(problems.Gaussian2D(), width=8, depth=1, device="cpu"))
    with pytest.raises(ValueError, match="data sets of 4 observations"):
        Compositional(small_model(problems.Gaussian2D(n_obs=4)))
    pooled = ds.encoders.DeepSets(2, 4, seed=0)
    with pytest.raises(ValueError, match=r"data sets of \(5, 9\) observations"):
        Compositional(small_model(problems.Gaussian2D(n_obs=(5, 9)), encoder=pooled))
    Compositional(small_model(problems.Gaussian2D(n_obs=(1, 9)), encoder=pooled))
    fixed = ds.Problem(
        problems.Gaussian2D().prior, lambda theta: torch.randn(len(theta), 3, 2), name="three"
    )
    with pytest.raises(ValueError, match="data sets of 3 observations"):
        Compositional(small_model(fixed))


def test_a_sequence_is_refused() -> None:
    problem = problems.Gaussian2D()
    problem.data_kind = "sequence"
    with pytest.raises(ValueError, match="depend on one another"):
        Compositional(small_model(problem))


def test_bad_settings_are_refused() -> None:
    model = small_model(problems.Gaussian2D())
    with pytest.raises(ValueError, match="did you mean 'jacobian'"):
        Compositional(model, method="jacobean")
    with pytest.raises(ValueError, match="narrowest"):
        Compositional(model, narrowest=0.0)
    composed, x = Compositional(model), data(3)
    with pytest.raises(ValueError, match="at least one observation"):
        composed.sample(torch.zeros(0, 2), 5)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        composed.sample(x, 0)
    with pytest.raises(ValueError, match="F = 2 features"):
        composed.sample(torch.zeros(4, 3), 5)
    with pytest.raises(TypeError, match="torch tensor"):
        composed.sample("data", 5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown sampler"):
        composed.sample(x, 5, sampler="huen")
    with pytest.raises(ValueError, match="at least 1 step"):
        composed.sample(x, 5, steps=0)
    with pytest.raises(ValueError, match="one data set"):
        composed.denoise(torch.zeros(2), 1.0, torch.zeros(2, 3, 2))
    with pytest.raises(TypeError, match="seed"):
        composed.sample(x, 5, seed="one")  # type: ignore[arg-type]

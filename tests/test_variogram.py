"""What sequence encoders are told: variograms and swings against NumPy, padded or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import diffsbi_edu as ds
from diffsbi_edu.encoders import SequenceTransformer
from diffsbi_edu.encoders.pooling import (
    correlations,
    mean_and_log_sd,
    moments_and_size,
    told_of_set,
    whitening,
)
from diffsbi_edu.encoders.variogram import (
    APART,
    LAGS,
    WINDOWS,
    autoregression,
    coarse_path,
    series_moments,
    storms,
    swings,
    told_of_series,
    variogram,
)


def series(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).cumsum(1)


@pytest.mark.parametrize("steps", [1, 2, 33, 200])
def test_the_variogram_is_numpys(steps: int) -> None:
    x = series(3, steps, 2)
    found = variogram(x, None).reshape(3, len(LAGS), 2)
    for i, k in enumerate(LAGS):
        if steps <= k:
            assert (found[:, i] == 0).all()
            continue
        d = x.double().numpy()[:, k:] - x.double().numpy()[:, : steps - k]
        np.testing.assert_allclose(found[:, i], 0.5 * np.log((d**2).mean(1)), atol=1e-5)


def test_swings_are_numpys() -> None:
    x = series(3, 50, 2)
    a = x.double().numpy()
    size = np.abs(a - a.mean(1, keepdims=True)) / a.std(1, keepdims=True)
    np.testing.assert_allclose(swings(x, None), np.log(size + 0.05), atol=1e-4)


def test_swings_do_not_know_units() -> None:
    x = series(3, 50, 2)
    torch.testing.assert_close(swings(5 * x - 3, None), swings(x, None), atol=1e-3, rtol=0)


@pytest.mark.parametrize("steps", [3, 4, 20, 64, 300])
def test_storms_are_numpys(steps: int) -> None:
    x = series(3, steps, 2)
    a = x.double().numpy()
    squares = ((a - a.mean(1, keepdims=True)) / a.std(1, keepdims=True)) ** 2
    found = storms(x, None).reshape(3, len(WINDOWS), 3 + len(APART), 2)
    for i, width in enumerate(WINDOWS):
        if steps < width:
            assert (found[:, i] == 0).all()
            continue
        starts = range(0, steps - width + 1, width // 4)
        size = np.stack([squares[:, j : j + width].mean(1) for j in starts], 1)
        size = 0.5 * np.log(size + 0.05**2)
        np.testing.assert_allclose(found[:, i, 0], size.mean(1), atol=1e-4)
        spread = 0.5 * np.log(size.var(1) + 1e-4) if len(starts) > 1 else 0 * size[:, 0]
        np.testing.assert_allclose(found[:, i, 1], spread, atol=1e-3)
        np.testing.assert_allclose(found[:, i, 2], size[:, 0], atol=1e-4)
        for j, k in enumerate(APART):
            d = size[:, 4 * k :] - size[:, : -4 * k]
            wanted = 0.5 * np.log((d**2).mean(1)) if d.shape[1] else 0 * size[:, 0]
            np.testing.assert_allclose(found[:, i, 3 + j], wanted, atol=2e-3)


def test_storms_know_wandering_variances_from_steady_ones() -> None:
    """Heavy tails alone, in any order, make no difference between windows of 64 steps."""
    problem = ds.problems.StochasticVolatility(n_obs=2000)
    theta = torch.tensor([[-1.0, 0.99, 0.3]]).expand(20, 3)
    x = problem.simulate(theta, seed=0)
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(1))
    wide = 2 * (3 + len(APART)) + 1  # the log sd for windows of 64 steps
    assert (storms(x, None)[:, wide] > storms(x[:, order], None)[:, wide] + 0.5).all()


def test_correlations_are_numpys() -> None:
    x = series(2, 40, 3)
    wanted = np.stack([np.corrcoef(row.T) for row in x.double().numpy()])
    np.testing.assert_allclose(correlations(x, None), wanted, atol=1e-4)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("features", [1, 3])
def test_the_autoregression_is_numpys(features: int, order: int) -> None:
    x = series(4, 60, features)
    told = autoregression(x, None, order)
    for row, data in zip(told.double().numpy(), x.double().numpy()):
        off = data - data.mean(0)
        past = np.concatenate([off[order - k : 60 - k] for k in range(1, order + 1)], 1)
        weights, *_ = np.linalg.lstsq(past, off[order:], rcond=None)
        left = off[order:] - past @ weights
        each = weights.reshape(order, features, features).transpose(0, 2, 1).ravel()
        np.testing.assert_allclose(row[: len(each)], each, atol=2e-3)
        np.testing.assert_allclose(row[len(each) :], np.log((left**2).mean(0)) / 2, atol=1e-4)


def test_the_autoregression_finds_a_vector_autoregression() -> None:
    problem = ds.problems.get("minnesota_var")
    theta, x = problem.sample(50, seed=0, device="cpu", n_obs=1000)
    found = autoregression(x, None)
    # A coefficient's standard error is sd_i/(√1000 sd_j), about 0.03; sds are off by 2 %.
    assert ((found[:, :75] - theta[:, :75]).abs().median()) < 0.04
    assert ((found[:, 75:].exp() / theta[:, 75:]).log().abs().median()) < 0.03


def test_padding_changes_no_autoregression() -> None:
    x = series(3, 40, 2)
    mask = torch.arange(40) < torch.tensor([40, 25, 9])[:, None]
    told = autoregression(x * mask[..., None] + 77.0 * ~mask[..., None], mask)
    assert (told[2] == 0).all()  # 6 steps foretold, 6 coefficients a feature
    for i, length in enumerate((40, 25, 9)):
        alone = autoregression(x[i : i + 1, :length], None)
        torch.testing.assert_close(told[i : i + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e6])
def test_paths_that_follow_from_one_another_are_finite(size: float) -> None:
    t = torch.arange(50.0)[None, :, None]
    x = size * torch.cat([t, 2 * t + 1, torch.ones_like(t), (0.1 * t).sin()], -1)
    assert torch.isfinite(series_moments(x, None)).all()


@pytest.mark.parametrize("length", [1, 5, 32, 100])
def test_the_coarse_path_is_an_integral(length: int) -> None:
    """Of the series as a step function, by a fine sum; and its mean is the series'."""
    x = series(2, length, 3)
    found = coarse_path(x, None, 8).reshape(2, 8, 3)
    fine = x.repeat_interleave(400, 1)  # each step 400 times: 8 stretches of 50·length
    wanted = fine.reshape(2, 8, 50 * length, 3).mean(2)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.mean(1), x.mean(1), atol=1e-4, rtol=1e-4)


def test_padding_changes_no_coarse_path() -> None:
    x = series(3, 40, 2)
    mask = torch.arange(40) < torch.tensor([40, 25, 3])[:, None]
    told = coarse_path(x * mask[..., None], mask, 8)
    for i, length in enumerate((40, 25, 3)):
        alone = coarse_path(x[i : i + 1, :length], None, 8)
        torch.testing.assert_close(told[i : i + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stretches", [0, 2.0, "8"])
def test_stretches_must_be_a_whole_number(stretches: object) -> None:
    with pytest.raises(ValueError, match="stretches must be a whole number of at least 1"):
        SequenceTransformer(1, 8, stretches=stretches)  # type: ignore[arg-type]


@pytest.mark.parametrize("features", [1, 2, 5, 16, 17])
def test_what_sets_are_told(features: int) -> None:
    x = series(4, 30, features)
    told = moments_and_size(x, None)
    assert told.shape == (4, told_of_set(features))
    assert series_moments(x, None).shape == (4, told_of_series(features))
    if 1 < features <= 16:
        pairs = np.stack([np.corrcoef(row.T)[np.triu_indices(features, 1)] for row in x.numpy()])
        np.testing.assert_allclose(told[:, -2 - pairs.shape[1] : -2], pairs, atol=1e-4)
    else:
        assert told.shape[1] == 2 * features + 2
    assert moments_and_size(x, None, correlated=False).shape[1] == 2 * features + 2


@pytest.mark.parametrize("features", [2, 5])
def test_whitening_is_numpys(features: int) -> None:
    x = series(4, 30, features)
    told = moments_and_size(x, None)[:, 2 * features :].split(sizes_of(features), 1)
    for i, data in enumerate(x.double().numpy()):
        factor = np.linalg.cholesky(np.cov(data.T, ddof=0))
        whiten = np.linalg.inv(factor)
        left = np.log(np.diag(factor) / data.std(0))[1:]
        np.testing.assert_allclose(told[0][i], whiten[np.tril_indices(features, -1)], atol=5e-3)
        np.testing.assert_allclose(told[1][i], left, atol=2e-3)  # the ridge
        np.testing.assert_allclose(told[2][i], whiten @ data.mean(0), atol=5e-3)


def sizes_of(features: int) -> list[int]:
    """Lengths: V below its diagonal, log(L_ii/sd_i), V mean, and the rest."""
    below = features * (features - 1) // 2
    return [below, features - 1, features, below + 2]


@pytest.mark.parametrize("features", [2, 4])
def test_whitening_makes_white(features: int) -> None:
    x = series(3, 50, features) @ torch.randn(
        features, features, generator=torch.Generator().manual_seed(1)
    )
    r, simple = correlations(x.double(), None), mean_and_log_sd(x.double(), None, 0.0)
    mean, log_sd = simple.split(features, 1)
    told = whitening(mean, log_sd, r)
    below = features * (features - 1) // 2
    whiten = torch.zeros(3, features, features, dtype=torch.float64)
    i, j = torch.tril_indices(features, features, -1)
    whiten[:, i, j] = told[:, :below]
    left = torch.cat([torch.zeros(3, 1), told[:, below : below + features - 1]], 1)
    whiten = whiten + (-left - log_sd).exp().diag_embed()
    white = x.double() @ whiten.mT
    np.testing.assert_allclose(white.mean(1), told[:, -features:], rtol=1e-4)  # the ridge
    for data in white.numpy():
        np.testing.assert_allclose(np.cov(data.T, ddof=0), np.eye(features), atol=1e-3)


@pytest.mark.parametrize("observations", [1, 2, 4])
def test_too_few_observations_have_no_whitening(observations: int) -> None:
    told = moments_and_size(series(3, observations, 4), None)
    assert (told[:, 8:21] == 0).all()  # 6 below the diagonal, 3 on it, and the mean
    assert (moments_and_size(series(3, 5, 4), None)[:, 8:21] != 0).all()


def test_features_that_follow_from_others_are_finite() -> None:
    x = series(3, 30, 1)
    together = torch.cat([x, 2 * x + 1, -x], -1)
    told = moments_and_size(together, None)
    assert torch.isfinite(told).all()
    torch.testing.assert_close(moments_and_size(together.flip(1), None), told, atol=1e-4, rtol=0)
    factor = whitening(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2, 2))
    # The ridge's factor is nearly ((1, 0), (1, √(2e-5))): −1/√(2e-5) = −224, brought near.
    near = -10 * (1 + np.log(1 / np.sqrt(2e-5) / 10))
    np.testing.assert_allclose(factor, [[near, 0.5 * np.log(2e-5), 0.0, 0.0]], atol=0.02)


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_whitening_of_any_size_is_finite(size: float) -> None:
    assert torch.isfinite(moments_and_size(size * series(3, 30, 3), None)).all()


def test_a_constant_feature_has_no_correlations() -> None:
    x = torch.stack([torch.full((2, 10), 3.0), series(2, 10, 1)[..., 0]], -1)
    assert torch.isfinite(series_moments(x, None)).all()
    assert (correlations(x, None)[:, 0] == 0).all()


def test_padding_changes_nothing() -> None:
    lengths, longest = [1, 2, 9, 40, 70, 150], 160
    x = series(len(lengths), longest, 2)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    padded = series_moments(x * mask[..., None], mask)
    for row, n in enumerate(lengths):
        alone = series_moments(x[row : row + 1, :n], None)[0]
        torch.testing.assert_close(padded[row], alone, atol=1e-5, rtol=1e-5)
    assert padded.shape[1] == told_of_series(2)
    assert (swings(x * mask[..., None], mask)[~mask] == 0).all()


def test_a_shuffle_is_told() -> None:
    x = series(5, 300, 1)
    shuffled = x[:, torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    moved = (series_moments(x, None) - series_moments(shuffled, None)).abs()
    assert (moved[:, :4] < 1e-5).all()  # moments and sample size have no order
    assert (moved[:, 4] > 0.5).all()  # steps of a random walk are much smaller than its sd


def test_the_hurst_exponent_can_be_read_off() -> None:
    """Of a random walk, log rms differences grow by ½ log 2 at each doubling of the lag."""
    x = series(20, 5000, 1)
    slopes = variogram(x, None).diff(dim=1) / np.log(2)
    assert float((slopes - 0.5).abs().mean()) < 0.05  # its sd at lag 32 is about 0.05


@pytest.mark.parametrize("draws", [0, 2.0, "8"])
def test_noise_draws_must_be_a_whole_number(draws: object) -> None:
    with pytest.raises(ValueError, match="noise_draws must be a whole number of at least 1"):
        ds.ConditionalDiffusion(ds.problems.TwoMoons(), noise_draws=draws)  # type: ignore[arg-type]


def test_noise_draws_make_the_loss_less_noisy_and_keep_its_mean() -> None:
    problem = ds.problems.TwoMoons()
    theta, x = problem.sample(64, seed=0, device="cpu")
    losses = {}
    for draws in (1, 16):
        model = ds.ConditionalDiffusion(
            problem, width=16, depth=1, noise_draws=draws, device="cpu", seed=0
        )
        ds.fit(model, 5, seed=0, progress=False)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            each = [model.loss(theta, x, generator=generator) for _ in range(400 // draws)]
        losses[draws] = torch.stack(each)
        assert model.settings()["noise_draws"] == draws
    one, many = losses[1], losses[16]
    # Trained with other noise, the two models differ a little, their losses by less than 10 %.
    assert abs(float(one.mean() / many.mean()) - 1) < 0.1
    assert float(many.std()) < 0.5 * float(one.std())  # a quarter is expected


def test_noise_draws_are_kept_in_a_file(tmp_path: object) -> None:
    model = ds.ConditionalDiffusion(
        ds.problems.TwoMoons(), width=16, depth=1, noise_draws=4, device="cpu", seed=0
    )
    path = f"{tmp_path}/model.safetensors"
    model.save(path)
    assert ds.load(path, device="cpu").noise_draws == 4  # type: ignore[union-attr]

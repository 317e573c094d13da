"""Summary networks: symmetry, padding, sample size, seeds, files, and refusing the impossible."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import normal_problem, small_model
from torch import nn
from torch.distributions import Independent, Normal

import diffsbi_edu as ds
from diffsbi_edu import CheckpointError, Problem, fit
from diffsbi_edu.encoders import (
    GRU,
    BiLSTM,
    DeepSets,
    Encoder,
    Identity,
    SequenceTransformer,
    SetTransformer,
    Statistics,
    TemporalConv,
    from_config,
    pad,
)
from diffsbi_edu.encoders.pooling import mean_and_log_sd, moments_and_size

F, S = 2, 5
SETS: dict[str, Callable[..., Encoder]] = {
    "DeepSets": partial(DeepSets, F, S, width=16),
    "SetTransformer": partial(SetTransformer, F, S, width=16, heads=2, inducing=4),
    "Statistics": partial(Statistics, F),
}
SEQUENCES: dict[str, Callable[..., Encoder]] = {
    "BiLSTM": partial(BiLSTM, F, S, width=12),
    "BiLSTM unshortened": partial(BiLSTM, F, S, width=12, stride=1),
    "GRU": partial(GRU, F, S, width=12),
    "TemporalConv": partial(TemporalConv, F, S, width=12),
    "SequenceTransformer": partial(SequenceTransformer, F, S, width=16, heads=2, patch=4),
    "SequenceTransformer told a path": partial(
        SequenceTransformer, F, S, width=16, heads=2, patch=4, stretches=6
    ),
}
NETWORKS = {**SETS, **SEQUENCES}
LEARNT = {name: build for name, build in NETWORKS.items() if name != "Statistics"}
ALL = {"Identity": partial(Identity, F, n_obs=7), **NETWORKS}


def over(encoders: dict[str, Callable[..., Encoder]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("build", encoders.values(), ids=encoders)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------- every encoder


@over(ALL)
def test_shape_repr_and_config(build: Callable[..., Encoder]) -> None:
    encoder = build(seed=0)
    s = encoder(draw(3, 7, F))
    assert s.shape == (3, encoder.out_features)
    assert s.dtype == torch.float32
    assert encoder.symmetry in ("set", "sequence", "fixed")
    config = encoder.config()
    assert config is not None
    again = from_config(type(encoder).__name__, config)
    assert repr(again) == repr(encoder)
    assert repr(encoder).startswith(f"{type(encoder).__name__}({F}, {encoder.out_features}")
    rebuilt = eval(repr(encoder))  # what it says is what one would type
    assert rebuilt.config() == config
    assert [p.shape for p in again.parameters()] == [p.shape for p in encoder.parameters()]


@over(NETWORKS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 17, 33, 64])
def test_any_number_of_observations(build: Callable[..., Encoder], n: int) -> None:
    encoder = build(seed=0)
    x = draw(4, n, F).requires_grad_()
    s = encoder(x)
    assert s.shape == (4, encoder.out_features)
    assert s.isfinite().all()
    s.square().sum().backward()
    assert x.grad is not None, "a simulator's gradient may be wanted"
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@over(LEARNT)
def test_the_gradient_reaches_every_weight(build: Callable[..., Encoder]) -> None:
    encoder = build(seed=0)
    (encoder(draw(8, 40, F)) * draw(8, S, seed=1)).sum().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 1e-9, name


@over(NETWORKS)
def test_padding_changes_nothing(build: Callable[..., Encoder]) -> None:
    """Whatever stands in the padding, and however much of it there is."""
    encoder = build(seed=0)
    data = [draw(n, F, seed=n) for n in (1, 2, 5, 16, 17, 31, 40)]
    x, mask = pad(data)
    alone = torch.cat([encoder(one[None]) for one in data])
    together = encoder(x, mask=mask)
    assert close(together, alone)
    more = nn.functional.pad(x, (0, 0, 0, 13))
    wider = nn.functional.pad(mask, (0, 13))
    for junk in (0.0, 1e30, float("nan"), float("inf")):
        spoilt = torch.where(wider[..., None], more, junk)
        assert close(encoder(spoilt, mask=wider), alone), junk
    assert close(encoder(x[-1:], mask=torch.ones(1, 40, dtype=torch.bool)), alone[-1:])


@over(LEARNT)
def test_gradients_of_padded_data_are_those_of_the_data(build: Callable[..., Encoder]) -> None:
    encoder = build(seed=0)
    data = [draw(n, F, seed=n) for n in (1, 6, 19)]
    weights = list(encoder.parameters())
    x, mask = pad(data)
    x = torch.where(mask[..., None], x, float("nan"))
    together = torch.autograd.grad(encoder(x, mask=mask).square().sum(), weights)
    alone = [torch.autograd.grad(encoder(one[None]).square().sum(), weights) for one in data]
    for got, *parts in zip(together, *alone, strict=True):
        assert torch.allclose(got, sum(parts), rtol=1e-3, atol=1e-4)  # type: ignore[arg-type]


@over(SETS)
def test_sets_have_no_order(build: Callable[..., Encoder]) -> None:
    encoder = build(seed=0)
    x = draw(4, 300, F)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    assert encoder.symmetry == "set"
    assert close(encoder(x[:, order]), encoder(x))
    mask = torch.rand(4, 300, generator=torch.Generator().manual_seed(2)) < 0.4
    assert close(encoder(x[:, order], mask=mask[:, order]), encoder(x, mask=mask))
    assert close(encoder(x[:1], mask=mask[:1]), encoder(x[:1, mask[0]]))
    assert not close(encoder(x), encoder(x + 1)), "but they differ in what they hold"


@over(SEQUENCES)
def test_sequences_have_an_order(build: Callable[..., Encoder]) -> None:
    encoder = build(seed=0)
    x = draw(4, 60, F)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    assert encoder.symmetry == "sequence"
    for other in (x[:, order], x.flip(1), x.roll(7, 1)):
        assert (encoder(other) - encoder(x)).abs().max() > 1e-4, "ten times what padding may do"


@over(NETWORKS)
def test_the_sample_size_is_seen(build: Callable[..., Encoder]) -> None:
    """A data set repeated has the same moments; only N tells that it is more data."""
    encoder = build(seed=0)
    x = draw(4, 20, F)
    assert (encoder(x.repeat(1, 5, 1)) - encoder(x)).abs().max() > 1e-3


@over(ALL)
def test_seeds(build: Callable[..., Encoder]) -> None:
    state = torch.get_rng_state()
    first, again, other, fresh = build(seed=3), build(seed=3), build(seed=4), build()
    assert torch.equal(torch.get_rng_state(), state)
    x = draw(3, 7, F)
    assert torch.equal(first(x), again(x))
    assert torch.equal(first(x), first(x))
    if list(first.parameters()):
        assert not close(first(x), other(x))
        assert not close(first(x), fresh(x))


@over(NETWORKS)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e4, 1e19, 1e30, 3e38])
def test_extreme_data_are_survived(build: Callable[..., Encoder], size: float) -> None:
    encoder = build(seed=0)
    x = draw(4, 9, F).clamp(-1, 1) * size
    x[0, 0] = size  # one outlier among zeros
    x[0, 1:] = 0
    s = encoder(x)
    assert s.isfinite().all()
    s.sum().abs().backward() if s.requires_grad else None
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@over(ALL)
def test_other_precisions(build: Callable[..., Encoder]) -> None:
    x = draw(3, 7, F)
    encoder = build(seed=0)
    single = encoder(x)
    if not list(encoder.parameters()):
        assert encoder(x.double()).dtype == torch.float64
        return
    assert close(encoder(x.double()), single), "x takes the weights' precision"
    assert close(encoder.double()(x).float(), single)


@over(ALL)
def test_a_model_with_it_comes_back_from_a_file(
    build: Callable[..., Encoder], tmp_path: Path
) -> None:
    problem = ds.problems.Gaussian2D(n_obs=7)
    model = ds.ConditionalDiffusion(problem, build(seed=0), width=8, depth=1, device="cpu", seed=0)
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    fit(model, 2, batch_size=8, seed=0, progress=False)
    for name, moved in model.encoder.named_parameters():
        assert not torch.equal(moved, before[name]), f"{name} was not trained"
    model.save(tmp_path / "model.safetensors")
    again = ds.load(tmp_path / "model.safetensors", device="cpu")
    assert repr(again.encoder) == repr(model.encoder)
    assert not again.encoder.training
    x = problem.sample(3, seed=1, device="cpu")[1]
    assert torch.equal(again.summarise(x), model.summarise(x))
    assert torch.equal(again.sample(x, 4, seed=2), model.sample(x, 4, seed=2))


# ---------------------------------------------------------------------------- what single ones do


def test_identity() -> None:
    x = draw(4, 3, F)
    encoder = Identity(F, n_obs=3)
    assert torch.equal(encoder(x), x.reshape(4, 6))
    assert encoder.symmetry == "fixed"
    assert torch.equal(encoder(x, mask=torch.ones(4, 3, dtype=torch.bool)), x.reshape(4, 6))
    mask = torch.tensor([[True, True, False]]).expand(4, 3)
    with pytest.raises(ValueError, match=r"Identity cannot leave observations out"):
        encoder(x, mask=mask)
    with pytest.raises(ValueError, match=r"built for N = 3 observations and got N = 2"):
        encoder(x[:, :2])
    with pytest.raises(ValueError, match=r"3 × 2 numbers has 6 outputs, got out_features = 5"):
        Identity(F, 5, n_obs=3)
    assert Identity(F, 6, n_obs=3).config() == encoder.config()


@pytest.mark.parametrize("n", [2, 3, 50])
def test_moments_are_numpys(n: int) -> None:
    x = 1 + 2 * draw(4, n, 3)  # within what `soft_clip` leaves alone
    s = Statistics(3)(x)
    for row, data in zip(s, x.double().numpy(), strict=True):
        correlation, whiten = np.corrcoef(data.T), np.zeros((3, 3))
        unexplained = np.zeros(2)
        if n > 3:
            factor = np.linalg.cholesky(np.cov(data.T, ddof=0))
            whiten = np.linalg.inv(factor)
            unexplained = np.log(np.diag(factor) / data.std(0))[1:]
        expected = [
            *data.mean(0),
            *np.log(data.std(0)),
            *whiten[np.tril_indices(3, -1)],
            *unexplained,
            *(whiten @ data.mean(0)),
            *correlation[np.triu_indices(3, 1)],
            np.log(n) / 4,
            n**-0.5,
        ]
        assert np.allclose(row, expected, atol=1e-4)
    without = Statistics(3, covariances=False)
    assert torch.equal(without(x), torch.cat([s[:, :6], s[:, -2:]], 1))
    assert without.out_features == 8


def test_moments_of_one_observation() -> None:
    s = Statistics(F)(torch.tensor([[[1.0, 2.0]]]))
    assert s.tolist() == [[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]]


def test_statistics_of_ones_own() -> None:
    def extremes(x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        low = x if mask is None else x.masked_fill(~mask[..., None], float("inf"))
        high = x if mask is None else x.masked_fill(~mask[..., None], -float("inf"))
        return torch.cat([low.amin(1), high.amax(1)], 1)

    encoder = Statistics(F, statistics=extremes)
    data = [draw(n, F, seed=n) for n in (2, 5)]
    x, mask = pad(data)
    assert torch.equal(encoder(x, mask=mask), torch.cat([extremes(d[None]) for d in data]))
    assert encoder.symmetry is None
    assert encoder.config() is None
    assert repr(encoder) == "Statistics(2, None, statistics=extremes)"
    assert Statistics(F, 4, extremes)(x[:1]).shape == (1, 4)
    with pytest.raises(ValueError, match=r"must return \(B, S\) = \(2, 3\), got \(2, 4\)"):
        Statistics(F, 3, extremes)(x)
    for wrong, got in (
        (lambda x: x, r"\(2, 5, 2\)"),
        (lambda x: x.mean((0, 1))[None], r"\(1, 2\)"),
        (lambda x: 1.0, "float"),
    ):
        with pytest.raises(ValueError, match=rf"must return \(B, S\) = \(2, S\), got .*{got}"):
            Statistics(F, statistics=wrong)(x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="statistics must be a function"):
        Statistics(F, statistics="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"moments of 2 feature\(s\) are 11 numbers, got .* = 3"):
        Statistics(F, 3)


def test_statistics_of_ones_own_are_given_again_when_loading(tmp_path: Path) -> None:
    def mean(x: torch.Tensor) -> torch.Tensor:
        return x.mean(1)

    path = tmp_path / "model.safetensors"
    model = small_model(encoder=Statistics(F, statistics=mean))
    model.save(path)
    with pytest.raises(ValueError, match=r"\(Statistics\), which is code.*pass encoder="):
        ds.load(path, problem=normal_problem(), device="cpu")
    again = ds.load(
        path, problem=normal_problem(), encoder=Statistics(F, statistics=mean), device="cpu"
    )
    x = draw(1, F)
    assert torch.equal(again.sample(x, 3, seed=0), model.sample(x, 3, seed=0))


@given(
    n=st.integers(2, 40),
    centre=st.floats(-9, 9),
    power=st.integers(-6, 0),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=30)
def test_pooled_moments_are_numpys_and_keep_their_digits(
    n: int, centre: float, power: int, seed: int
) -> None:
    """Also where the spread is a thousandth of the mean; masked or not."""
    spread = 10.0 ** (power / 2)
    x = (centre + spread * np.random.default_rng(seed).normal(size=(2, n, 3))).astype(np.float32)
    expected = np.concatenate([x.mean(1, dtype=float), np.log(x.std(1, dtype=float))], 1)
    plain = mean_and_log_sd(torch.tensor(x), None, floor=0.0)
    assert np.allclose(plain[:, :3], expected[:, :3], rtol=1e-6, atol=1e-6)
    assert np.allclose(plain[:, 3:], expected[:, 3:], atol=0.02)
    padded = torch.nn.functional.pad(torch.tensor(x), (0, 0, 0, 4))
    mask = torch.arange(n + 4).expand(2, -1) < n
    assert torch.allclose(mean_and_log_sd(padded, mask, floor=0.0), plain, atol=2e-3)
    size = moments_and_size(padded, mask)[:, -2:]
    assert np.allclose(size, [np.log(n) / 4, n**-0.5])


@given(n=st.integers(1, 200), stride=st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=20)
def test_a_front_shortens_as_it_says(n: int, stride: int) -> None:
    from diffsbi_edu.encoders.front import ConvFront

    x, mask = pad([draw(n, 1), draw(210, 1)])
    h, kept = ConvFront(1, 6, stride)(x, mask)
    assert kept is not None
    assert h.shape == (2, -(-210 // stride), 6)
    assert kept.sum(1).tolist() == [-(-n // stride), -(-210 // stride)]
    assert (h[~kept] == 0).all()


# ------------------------------------------------------------------------------------ bad input

BAD_CALLS = [
    (torch.zeros(3, 0, F), None, ValueError, r"at least N = 1 observation.*\(3, 0, 2\)"),
    (torch.zeros(3, F), None, ValueError, r"\(B, N, F\) with F = 2 features, got \(3, 2\)"),
    (torch.zeros(3, 4, 3), None, ValueError, r"with F = 2 features, got \(3, 4, 3\)"),
    (torch.zeros(3, 4, F, dtype=torch.int64), None, TypeError, r"got torch.int64; use x.float"),
    (np.zeros((3, 4, F)), None, TypeError, r"floating-point torch tensor, got .*ndarray"),
    ([torch.zeros(4, F), torch.zeros(3, F)], None, TypeError, r"list of 2 items.*encoders\.pad"),
    (torch.zeros(3, 7, F), torch.ones(3, 6, dtype=torch.bool), ValueError, r"\(3, 7\).*\(3, 6\)"),
    (torch.zeros(3, 7, F), torch.ones(3, 7, 1, dtype=torch.bool), ValueError, r"\(3, 7, 1\)"),
    (torch.zeros(3, 7, F), torch.ones(3, 7), TypeError, r"boolean torch tensor.*torch.float32"),
    (torch.zeros(3, 7, F), [[True] * 7] * 3, TypeError, r"boolean torch tensor.*list"),
    (
        torch.zeros(3, 7, F),
        torch.tensor([[True] * 7, [False] * 7, [True] * 7]),
        ValueError,
        r"no True in row 1",
    ),
]


@over(ALL)
@pytest.mark.parametrize(("x", "mask", "error", "match"), BAD_CALLS)
def test_bad_calls(
    build: Callable[..., Encoder], x: object, mask: object, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        build(seed=0)(x, mask=mask)


@over(SEQUENCES)
def test_gaps_in_a_sequence_are_refused(build: Callable[..., Encoder]) -> None:
    mask = torch.tensor([[True, False, True], [False, True, True]])
    for row in mask:
        with pytest.raises(ValueError, match=r"padding must come after its last real step"):
            build(seed=0)(torch.zeros(1, 3, F), mask=row[None])


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: DeepSets(0, 4), "in_features must be a whole number of at least 1, got 0"),
        (lambda: DeepSets(2, 0), "out_features must be .* got 0"),
        (lambda: DeepSets(2, None), "out_features must be .* got None"),
        (lambda: DeepSets(2, 4, width=0), "width must be .* got 0"),
        (lambda: DeepSets(2, 4, width=1.5), "width must be .* got 1.5"),
        (lambda: DeepSets(2, 4, width=True), "width must be .* got True"),
        (lambda: SetTransformer(2, 4, width=10, heads=4), "multiple of heads.*10 and heads = 4"),
        (lambda: SetTransformer(2, 4, heads=0), "heads must be .* got 0"),
        (lambda: SetTransformer(2, 4, depth=0), "depth must be .* got 0"),
        (lambda: SetTransformer(2, 4, inducing=0), "inducing must be .* got 0"),
        (lambda: SetTransformer(2, 4, seeds=-1), "seeds must be .* got -1"),
        (lambda: BiLSTM(2, 4, width=2), "width must be at least 3, one for each kernel, got 2"),
        (lambda: BiLSTM(2, 4, stride=3), "stride must be a power of two.*got 3"),
        (lambda: BiLSTM(2, 4, stride=0), "stride must be .* got 0"),
        (lambda: GRU(2, 4, depth=0), "depth must be .* got 0"),
        (lambda: TemporalConv(2, 4, stride=6), "stride must be a power of two.*got 6"),
        (lambda: SequenceTransformer(2, 4, width=9, heads=2), "multiple of heads.*9 and heads"),
        (lambda: SequenceTransformer(2, 4, patch=0), "patch must be .* got 0"),
        (lambda: Identity(0), "in_features must be .* got 0"),
        (lambda: Identity(2, n_obs=0), "n_obs must be .* got 0"),
        (lambda: from_config("DeepSet", {}), "unknown encoder 'DeepSet'; did you mean 'DeepSets'"),
    ],
)
def test_impossible_networks(build: Callable[[], object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build()


def test_a_seed_must_be_one() -> None:
    with pytest.raises(TypeError, match="seed must be"):
        DeepSets(2, 4, seed="0")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------- padding


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
@settings(max_examples=30)
def test_pad_keeps_every_number(sizes: list[int]) -> None:
    data = [draw(n, 3, seed=i) for i, n in enumerate(sizes)]
    x, mask = pad(data)
    assert x.shape == (len(sizes), max(sizes), 3)
    assert mask.sum(1).tolist() == sizes
    assert torch.equal(x[mask], torch.cat(data))
    assert (x[~mask] == 0).all()


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (torch.zeros(3, 4, 2), TypeError, "takes a list of tensors .* got .*Tensor"),
        (3, TypeError, "takes a list of tensors .* got .*int"),
        ([], ValueError, "empty list"),
        ([[1.0, 2.0]], TypeError, "item 0 is .*list"),
        ([torch.zeros(2, 1, dtype=torch.int32)], TypeError, "item 0 is torch.int32"),
        ([torch.zeros(2, 1), torch.zeros(2)], ValueError, r"item 1 is \(2,\)"),
        ([torch.zeros(2, 1), torch.zeros(0, 1)], ValueError, r"N ≥ 1 .*item 1 is \(0, 1\)"),
        ([torch.zeros(2, 1), torch.zeros(2, 3)], ValueError, "item 0 has 1 and item 1 has 3"),
        ([torch.zeros(2, 1), torch.zeros(2, 1).double()], TypeError, "share dtype.*float64"),
    ],
)
def test_pad_refuses(data: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        pad(data)  # type: ignore[arg-type]


def test_a_ragged_list_given_to_a_model_names_pad() -> None:
    model = small_model(encoder=DeepSets(2, 4, width=8, seed=0))
    ragged = [torch.zeros(3, 2), torch.zeros(4, 2)]
    for ask in (
        lambda: model.sample(ragged, 3),  # type: ignore[arg-type]
        lambda: model.log_prob(torch.zeros(2, 2), ragged),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"list of 2 tensors.*torch.stack.*encoders\.pad"):
            ask()


# -------------------------------------------------------------------------- inside an estimator


def of_kind(kind: str | None) -> Problem:
    problem = normal_problem()
    problem.data_kind = kind
    return problem


@pytest.mark.parametrize("build", [small_model, partial(ds.ConditionalFlow, device="cpu")])
def test_a_wrong_symmetry_earns_a_warning(build: Callable[..., object]) -> None:
    sequence, of_set = partial(GRU, F, 4, width=8), partial(DeepSets, F, 4, width=8)
    with pytest.warns(UserWarning, match=r"GRU has the symmetry 'sequence'.* are a set.*DeepSets"):
        build(of_kind("set"), encoder=sequence())
    with pytest.warns(UserWarning, match=r"DeepSets has the symmetry 'set'.* a sequence.*BiLSTM"):
        build(of_kind("sequence"), encoder=of_set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(of_kind("set"), encoder=of_set())
        build(of_kind("sequence"), encoder=sequence())
        for kind in ("set", "sequence", None):
            build(of_kind(kind), encoder=nn.Flatten())
            build(of_kind(kind), encoder=Statistics(F, statistics=lambda x: x.mean(1)))
            build(of_kind(kind))
        build(of_kind(None), encoder=of_set())
        build(of_kind(None), encoder=sequence())


def test_the_warning_points_at_the_users_line() -> None:
    with pytest.warns(UserWarning, match="symmetry") as caught:
        ds.ConditionalDiffusion(of_kind("set"), GRU(F, 4, width=8), device="cpu")
    assert caught[0].filename == __file__


def test_large_data_are_summarised_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(nn.Module):
        calls: list[int]

        def __init__(self) -> None:
            super().__init__()
            self.calls = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls.append(len(x))
            return x.mean(1)

    model = small_model(encoder=Counting()).standardise(seed=0)
    x = draw(10, 50, F)
    with torch.no_grad():
        whole = model.summarise(x)
        model.encoder.calls.clear()
        monkeypatch.setattr("diffsbi_edu.estimator.BYTES_AT_ONCE", 4 * 1024 * 50 * 3)
        assert torch.equal(model.summarise(x), whole)
        assert model.encoder.calls == [3, 3, 3, 1]
        monkeypatch.setattr("diffsbi_edu.estimator.BYTES_AT_ONCE", 1)
        model.encoder.calls.clear()
        model.summarise(x)
        assert model.encoder.calls == [1] * 10, "one data set is the least"
    model.encoder.calls.clear()
    model.summarise(x)
    assert model.encoder.calls == [10], "in training the whole batch is needed"


@over(NETWORKS)
def test_pieces_give_the_same_summaries(
    build: Callable[..., Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model(encoder=build(seed=0)).standardise(seed=0)
    x = draw(10, 50, F)
    whole = model.summarise(x)
    monkeypatch.setattr("diffsbi_edu.estimator.BYTES_AT_ONCE", 1)
    with torch.no_grad():
        assert close(model.summarise(x), whole)
    monkeypatch.setattr("diffsbi_edu.encoders.deep_sets.CACHE", 1)
    assert close(model.summarise(x), whole)


def test_files_and_encoders_that_do_not_match(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    problem = ds.problems.Gaussian2D()
    small_model(problem, encoder=SetTransformer(2, 4, width=8, heads=2, seed=0)).save(path)
    other = SetTransformer(2, 4, width=8, heads=4)  # the same shapes
    with pytest.raises(CheckpointError, match=r"heads=2.*, not .*heads=4.*leave encoder out"):
        ds.load(path, encoder=other, device="cpu")
    same = SetTransformer(2, 4, width=8, heads=2)
    assert ds.load(path, encoder=same, device="cpu").encoder is same
    described = small_model(problem).describe()
    for config in ({"size": 3}, {"in_features": 2, "out_features": 0}):
        described["encoder"] = {"name": "DeepSets", "config": config}
        ds.checkpoint.write(path, {}, {"kind": "model", **described})
        with pytest.raises(CheckpointError, match="cannot rebuild its summary network"):
            ds.load(path)
    described["encoder"] = {"name": "Oracle", "config": {}}
    ds.checkpoint.write(path, {}, {"kind": "model", **described})
    with pytest.raises(CheckpointError, match="unknown encoder 'Oracle'"):
        ds.load(path)


def test_a_subclass_of_ones_own_is_given_again(tmp_path: Path) -> None:
    class Mine(DeepSets):
        pass

    path = tmp_path / "model.safetensors"
    small_model(encoder=Mine(2, 4, width=8, seed=0)).save(path)
    with pytest.raises(ValueError, match=r"of your own \(Mine\).*pass encoder="):
        ds.load(path, problem=normal_problem(), device="cpu")
    ds.load(path, problem=normal_problem(), encoder=Mine(2, 4, width=8), device="cpu")


# ------------------------------------------------------------------------------------- learning


class NormalMean(Problem):
    """theta ~ N(0, 1), x_i ~ N(theta, 1): the posterior is N(N·mean/(N + 1), 1/(N + 1))."""

    data_kind = "set"

    def __init__(self) -> None:
        prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        super().__init__(prior, self._simulate, n_obs=(1, 1000), name="normal mean")

    @staticmethod
    def _simulate(theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        return theta[:, None] + torch.randn(len(theta), n_obs, 1)


@pytest.mark.slow
@pytest.mark.statistical
def test_deep_sets_resolve_posteriors_from_one_to_a_thousand_observations() -> None:
    problem = NormalMean()
    encoder = DeepSets(1, 16, width=32, seed=0)
    model = ds.ConditionalDiffusion(problem, encoder, width=64, depth=2, device="cpu", seed=0)
    fit(model, 1500, batch_size=64, seed=0, progress=False)
    for n in (1, 10, 100, 1000):
        _, x = problem.sample(200, seed=n, n_obs=n, device="cpu")
        draws = model.sample(x, 300, seed=1)[..., 0]
        sd = (n + 1) ** -0.5
        mean = x.mean((1, 2)) * n / (n + 1)
        off = ((draws.mean(0) - mean) / sd).square().mean().sqrt()
        wide = draws.std(0).square().mean().sqrt() / sd
        # With the mean itself for a summary (`Statistics`) the same training gave 0.27 and 1.29 at
        # N = 1,000: what is left is the denoiser's.
        assert off < (0.2 if n < 1000 else 0.5)
        assert 0.9 < wide < (1.15 if n < 1000 else 1.5)

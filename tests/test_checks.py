"""The pages' exercises: right answers pass, typical mistakes are named, nothing raises."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import nbformat
import pytest
import torch
from scipy import stats
from test_checks_encoders import ANSWERS as OF_PAGE_06

from diffsbi_edu import problems
from diffsbi_edu.course import checks

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
EXACT = problems.TwoMoons().posterior(torch.zeros(1, 2)).sample((4000,), seed=0)

ANSWERS = {
    "00 probability": (
        lambda answer: checks.probability(answer, EXACT),
        (EXACT[:, 0] > 0.2).float().mean(),
        [("opposite", (EXACT[:, 0] < 0.2).float().mean()), ("prior", 0.4)],
    ),
    "01 noise": (
        checks.noise_guess,
        lambda denoise, y, r: (y - denoise(y, r)) / r,
        [
            ("sign", lambda denoise, y, r: (denoise(y, r) - y) / r),
            ("division is missing", lambda denoise, y, r: y - denoise(y, r)),
            ("the score; a factor", lambda denoise, y, r: (denoise(y, r) - y) / r**2),
            ("minus the score", lambda denoise, y, r: (y - denoise(y, r)) / r**2),
            ("guess of z", lambda denoise, y, r: denoise(y, r)),
        ],
    ),
    "01 floor": (
        checks.denoising_error,
        0.25 * 0.5**2 / (0.25 + 0.5**2),
        [("may not look", 0.25), ("variance of y", 0.5), ("the sd", 0.125**0.5)],
    ),
    "02 calls": (checks.heun_calls, 2 * 10 - 1, [("twice", 10), ("last step", 20)]),
    "02 scales": (
        checks.variance_preserving_scales,
        lambda r: torch.stack([1 / torch.sqrt(1 + r**2), r / torch.sqrt(1 + r**2)], -1),
        [
            (
                "swapped",
                lambda r: torch.stack([r, torch.ones_like(r)], -1) / (1 + r**2).sqrt()[:, None],
            ),
            ("rectified flow", lambda r: torch.stack([1 / (1 + r), r / (1 + r)], -1)),
            ("alpha = 1", lambda r: torch.stack([torch.ones_like(r), r], -1)),
            ("squares", lambda r: torch.stack([1 / (1 + r**2), r**2 / (1 + r**2)], -1)),
            (r"shape \(2, 4\), not \(4, 2\)", lambda r: torch.stack([r, r])),
        ],
    ),
    "03 brim": (
        checks.brim_share,
        lambda b, d: 1 / (1 + (1 - b) / (b * 0.8**d)),
        [
            ("prior probability", lambda b, d: b),
            ("spike's share", lambda b, d: 1 / (1 + b * 0.8**d / (1 - b))),
            ("not normalised", lambda b, d: b * 0.8**d),
            ("all d dimensions", lambda b, d: 0.8 * b / (0.8 * b + 1 - b)),
            ("not divided", lambda b, d: b / 0.8**d / (b / 0.8**d + 1 - b)),
        ],
    ),
    "03 density": (
        checks.affine_log_density,
        lambda z, m, s: torch.distributions.Normal(m, s).log_prob(z),
        [
            (
                "Jacobian is missing",
                lambda z, m, s: torch.distributions.Normal(0, 1).log_prob((z - m) / s),
            ),
            (
                "wrong sign",
                lambda z, m, s: torch.distributions.Normal(m, s).log_prob(z) + 2 * s.log(),
            ),
            ("log 2π", lambda z, m, s: -(((z - m) / s) ** 2) / 2 - s.log()),
            (
                "wrong way",
                lambda z, m, s: torch.distributions.Normal(0, 1).log_prob(m + s * z) - s.log(),
            ),
        ],
    ),
    "03 couplings": (
        checks.couplings_needed,
        2 * 10 * math.log(16),
        [("one half", 28), ("logarithms add", 160), ("two halves", 140)],
    ),
    "04 beta": (
        checks.beta_marginal,
        lambda a, n: torch.stack([(a + n)[1], (a + n)[0] + (a + n)[2]]),
        [
            ("already seen", lambda a, n: torch.stack([n[1], n[0] + n[2]])),
            ("add the counts", lambda a, n: torch.stack([a[1], a[0] + a[2]])),
            ("all the others", lambda a, n: torch.stack([(a + n)[1], (a + n).sum()])),
            ("counts from 0", lambda a, n: torch.stack([(a + n)[0], (a + n)[1] + (a + n)[2]])),
        ],
    ),
    "04 between": (
        checks.share_between,
        lambda log_density, level: 1 - (log_density > level.log()).double().mean(),
        [
            ("share inside", lambda d, level: (d > level.log()).float().mean()),
            ("take exp", lambda d, level: (d < level).float().mean()),
            ("share is a mean", lambda d, level: (d.exp() < level).float().sum()),
        ],
    ),
    "05 ranks": (
        checks.sbc_ranks,
        lambda theta, samples: len(samples) - (samples >= theta).sum(0),
        [
            ("above the truth", lambda theta, samples: (samples >= theta).sum(0)),
            ("shares; a rank", lambda theta, samples: (samples < theta).float().mean(0)),
            ("start at 0", lambda theta, samples: (samples < theta).sum(0) + 1),
            (r"shape \(5, 2\), not \(3, 2\)", lambda theta, samples: (samples < theta).sum(1)),
        ],
    ),
    "05 level": (
        checks.coverage_level,
        lambda theta, samples, reference: (
            (torch.cdist(samples, reference[None]) < torch.dist(theta, reference)).double().mean()
        ),
        [
            (
                "outside the ball",
                lambda theta, samples, reference: (
                    (torch.cdist(samples, reference[None]) > torch.dist(theta, reference))
                    .double()
                    .mean()
                ),
            ),
            (
                "not a number",
                lambda theta, samples, reference: (
                    torch.cdist(samples, reference[None]) < torch.dist(theta, reference)
                ).sum(),
            ),
            (
                "centred on the reference",
                lambda theta, samples, reference: (
                    (torch.cdist(samples, theta[None]) < torch.dist(theta, reference))
                    .double()
                    .mean()
                ),
            ),
            (
                "take the norm",
                lambda theta, samples, reference: (
                    ((samples - reference).abs() < (theta - reference).abs()).double().mean()
                ),
            ),
        ],
    ),
    "05 contraction": (
        checks.share_learnt,
        lambda samples, sd: (sd**2 - samples.var(0, correction=0)) / sd**2,
        [
            ("compares variances", lambda samples, sd: 1 - samples.std(0) / sd),
            ("that is left", lambda samples, sd: samples.var(0) / sd**2),
            ("square the prior", lambda samples, sd: 1 - samples.var(0) / sd),
            (r"shape \(400,\), not \(2,\)", lambda samples, sd: samples.var(1)),
        ],
    ),
    "05 alarms": (
        checks.false_alarms,
        1 - math.prod([0.95] * 20),
        [("to expect", 20 * 0.05), ("chance of none", 0.95**20), ("one test", 0.05)],
    ),
    "07 scores": (
        checks.score_integrand,
        lambda p, q, r: (r * (p - q)).norm(dim=-1) ** 2,
        [
            ("integrand over r", lambda p, q, r: (r.sqrt() * (p - q)).norm(dim=-1) ** 2),
            ("weight of denoisers", lambda p, q, r: ((p - q) / r).norm(dim=-1) ** 2),
            ("weight is missing", lambda p, q, r: (p - q).norm(dim=-1) ** 2),
            ("do not average", lambda p, q, r: (r * (p - q)).square().mean(-1)),
            ("square the norm", lambda p, q, r: r[:, 0] ** 2 * (p - q).norm(dim=-1)),
        ],
    ),
    "07 lost": (
        checks.information_lost,
        0.5 * (math.log(1 / 2) - math.log(1 / 3)),
        [
            ("one half", math.log(1.5)),
            ("bits", 0.5 * math.log2(1.5)),
            ("all that x says", 0.5 * math.log(3)),
            ("what s says", 0.5 * math.log(2)),
            ("a sign", 0.5 * math.log(2 / 3)),
        ],
    ),
    "07 floor": (
        checks.loss_floor,
        4.0,
        [("cannot know eps", 0.0), ("one coordinate", 1.0), ("not a norm", 2.0)],
    ),
    "08 wins": (
        checks.share_of_wins,
        lambda ours, rivals: (
            torch.stack([a.mean() <= min(m.mean() for m in b) for a, b in zip(ours, rivals)])
            .float()
            .mean()
        ),
        [
            (
                "best of them",
                lambda ours, rivals: (ours.mean(1) <= rivals.mean((1, 2))).float().mean(),
            ),
            (
                "rivals' best seed",
                lambda a, b: (a.mean(1) <= b.flatten(1).min(1)[0]).float().mean(),
            ),
            ("our best seed", lambda a, b: (a.min(1)[0] <= b.mean(2).min(1)[0]).float().mean()),
            ("seed by seed", lambda a, b: (a[:, None] <= b).all(1).float().mean()),
            (
                "counts the defeats",
                lambda a, b: 1 - (a.mean(1) <= b.mean(2).min(1)[0]).float().mean(),
            ),
            ("number of problems", lambda a, b: (a.mean(1) <= b.mean(2).min(1)[0]).float().sum()),
        ],
    ),
    "08 luck": (
        checks.lucky_wins,
        float(stats.binom.sf(9, 13, 0.5)),
        [
            ("exactly ten", stats.binom.pmf(10, 13, 0.5)),
            ("more than ten", stats.binom.sf(10, 13, 0.5)),
            ("either of the two", 2 * stats.binom.sf(9, 13, 0.5)),
            ("opposite", stats.binom.cdf(9, 13, 0.5)),
            ("share of wins", 10 / 13),
        ],
    ),
    "08 simulations": (
        checks.simulations_for_ks,
        7569,
        [("square the ratio", 87), ("squared along", 8700), ("factor 0.87 is missing", 10_000)],
    ),
    **OF_PAGE_06,
}
over_exercises = pytest.mark.parametrize(
    ("check", "right", "mistakes"), ANSWERS.values(), ids=ANSWERS.keys()
)


@over_exercises
def test_right_answers_pass(check, right, mistakes) -> None:
    verdict = check(right)
    assert verdict.correct is True
    assert verdict
    assert repr(verdict) == "Correct."


@over_exercises
def test_typical_mistakes_are_named(check, right, mistakes) -> None:
    for name, wrong in mistakes:
        verdict = check(wrong)
        assert verdict.correct is False
        assert not verdict
        assert re.search(name, verdict.message), f"{name!r} is not in {verdict.message!r}"


@over_exercises
def test_an_unanswered_exercise_says_so(check, right, mistakes) -> None:
    for nothing in (None, lambda *inputs: None) if callable(right) else (None,):
        verdict = check(nothing)
        assert verdict.correct is None
        assert not verdict
        assert "Not answered yet" in repr(verdict)


STRANGE = [
    "12",
    "x",
    [],
    {},
    object(),
    float("nan"),
    float("inf"),
    torch.zeros(3),
    torch.zeros(0),
    1 + 2j,
    lambda: 1,
    lambda *inputs: 1,
    lambda *inputs: torch.zeros(7),
    lambda *inputs: 1 / 0,
    lambda *inputs: torch.full((3, 2), float("nan")),
]


@over_exercises
@pytest.mark.parametrize("strange", STRANGE, ids=range(len(STRANGE)))
def test_no_answer_breaks_a_page(check, right, mistakes, strange) -> None:
    verdict = check(strange)
    assert verdict.correct is False
    assert verdict.message.startswith("Not yet: ")


def test_messages_help() -> None:
    assert "raised ZeroDivisionError" in checks.noise_guess(lambda *inputs: 1 / 0).message
    assert "too small" in checks.heun_calls(3).message
    assert "too large" in checks.heun_calls(99).message
    assert "shape (7,)" in checks.noise_guess(lambda *inputs: torch.zeros(7)).message
    assert "off by up to" in checks.noise_guess(lambda d, y, r: y * 100).message
    assert "a single number" in checks.heun_calls(torch.zeros(3)).message


def test_the_exercises_answer_is_not_the_priors() -> None:
    """Page 00's text: the data have lowered the prior's 0.4."""
    assert float((EXACT[:, 0] > 0.2).float().mean()) < 0.35


def solutions() -> list[tuple[str, str]]:
    found = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                blocks = re.findall(
                    r"<details>.*?```python\n(.*?)```", cell.source, flags=re.DOTALL
                )
                found += [(path.stem, block) for block in blocks]
    return found


@pytest.mark.parametrize(("page", "code"), solutions())
def test_solutions_on_the_pages_are_right(page: str, code: str) -> None:
    """Run each solution as printed; the right check is the one that it satisfies."""
    given = {"torch": torch, "math": math, "samples": EXACT}
    scope = dict(given)
    exec(compile(ast.parse(code), page, "exec"), scope)
    answers = [v for k, v in scope.items() if k not in given and k != "__builtins__"]
    assert len(answers) == 1
    verdicts = [
        check(answers[0]) for check, _, _ in (v for k, v in ANSWERS.items() if k[:2] == page[:2])
    ]
    assert sum(v.correct is True for v in verdicts) == 1


def test_every_check_is_on_a_page() -> None:
    pages = "".join(p.read_text(encoding="utf-8") for p in NOTEBOOKS.glob("*.ipynb"))
    for name, check in vars(checks).items():
        module = getattr(check, "__module__", None) or ""
        if name.startswith("_") or not module.startswith(checks.__name__):
            continue
        assert f"checks.{name}(" in pages, name

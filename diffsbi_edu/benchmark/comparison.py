"""The diffusion against the flows, problem by problem and seed by seed, and what is mere noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from diffsbi_edu.benchmark.cases import CASES, METHODS, named
from diffsbi_edu.benchmark.noise import difference_sd
from diffsbi_edu.benchmark.rows import Row
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.plots import study

#: The diffusion, with our settings and with the paper's.
OWNS = ("diffusion", "diffusion_paper")


@dataclass(frozen=True)
class Comparison:
    """The SBC distances of the diffusion and of the best flow on one problem.

    Attributes:
        problem: its name.
        own: "diffusion" or "diffusion_paper".
        flow: the best of the flows with the same kind of settings, see `compare`.
        rivals: how many flows it is the best of.
        seeds: that both were run with.
        ours, theirs: their distances, a seed each.
        noise: standard error of `behind` were both models exact and the parameters' ranks
            independent of one another: what is smaller than twice that need mean nothing, though
            with dependent ranks, or models that are not exact, more may mean nothing either.
    """

    problem: str
    own: str
    flow: str
    rivals: int
    seeds: tuple[int, ...]
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    noise: float

    @property
    def gaps(self) -> tuple[float, ...]:
        """The diffusion's distance minus the flow's, a seed each."""
        return tuple(a - b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def behind(self) -> float:
        """Mean gap: above 0, the flow is the better calibrated."""
        return statistics.fmean(self.gaps)

    @property
    def small(self) -> bool:
        """Whether the mean gap is at most twice the noise."""
        return abs(self.behind) <= 2 * self.noise


def compare(
    rows: Sequence[Row], flows: Collection[str] = METHODS, own: str = "diffusion"
) -> dict[str, Comparison]:
    """Problem → the diffusion against the best of these flows there.

    Both with our settings, or both with the paper's. Methods are compared on the seeds that both
    were run with, since runs of one seed are judged by the same simulations; the best flow is the
    one that is furthest ahead, or least behind.

    Args:
        rows: of one budget.
        flows: names of methods; others are left out.
        own: one of `OWNS`, "diffusion" for our settings and "diffusion_paper" for the paper's.

    Raises:
        ValueError: no rows, rows of several budgets, or an unknown name.

    Example:
        >>> row = dict(problem="socks", budget="laptop", seed=0, status="ok",
        ...     n_sims=1000, n_samples=100)
        >>> rows = [row | dict(method="diffusion", sbc_ks=0.03), row | dict(method="maf",
        ...     sbc_ks=0.02), row | dict(method="nsf", sbc_ks=0.04)]
        >>> found = compare(rows)["socks"]
        >>> found.flow, found.rivals, round(found.behind, 3)
        ('maf', 2, 0.01)
    """
    check_one_budget(rows)
    flows = named("method", list(flows), METHODS)
    if own not in OWNS:
        raise unknown_name("diffusion", own, OWNS)
    scores: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if row["status"] == "ok" and math.isfinite(row["sbc_ks"]):
            scores.setdefault((row["problem"], row["method"]), {})[row["seed"]] = row["sbc_ks"]
    one = difference_sd(*judged_by(rows))
    rivals = [flow for flow in flows if _is_rival(flow, own)]
    found: dict[str, Comparison] = {}
    for problem in dict.fromkeys(row["problem"] for row in rows):
        best = _best(problem, own, rivals, scores, one)
        if best is not None:
            found[problem] = best
    return found


def even_chance(comparisons: Mapping[str, Comparison]) -> float:
    """On how many problems one of several equally good methods would be the best, by luck.

    Example:
        >>> one = Comparison("socks", "diffusion", "maf", 2, (0,), (0.03,), (0.02,), 0.001)
        >>> round(even_chance({"socks": one, "slcp": one, "two_moons": one}), 3)
        1.0
    """
    return sum(1 / (1 + found.rivals) for found in comparisons.values())


def spread(comparisons: Mapping[str, Comparison]) -> float:
    """How far a gap wanders from seed to seed: sd, pooled over problems; NaN with one seed only.

    That is the judge's luck and training's together, whatever ranks depend on.
    """
    pairs = [(statistics.variance(c.gaps), len(c.seeds) - 1) for c in comparisons.values()
             if len(c.seeds) > 1]  # fmt: skip
    if not pairs:
        return math.nan
    return math.sqrt(sum(v * n for v, n in pairs) / sum(n for _, n in pairs))


def seed_by_seed(rows: Sequence[Row], own: str) -> tuple[str, str, list[list[str]]] | None:
    """Heading, note and table (headings first) of the comparison; None where there is none.

    Args:
        rows: of one budget.
        own: one of `OWNS`.
    """
    found = compare(rows, own=own)
    if not found:
        return None
    title = METHODS[own].title
    heads = ["problem", f"{title}, seed by seed", "best flow, the same seeds",
             "difference", "twice the noise"]  # fmt: skip
    body = [
        [name, _listed(c.ours), f"{_listed(c.theirs)} ({METHODS[c.flow].title})",
         f"{c.behind:+.4f}", f"{2 * c.noise:.4f}"]
        for name in CASES if (c := found.get(name)) is not None
    ]  # fmt: skip
    flows = [flow for flow in METHODS if any(row["method"] == flow for row in rows)]
    alone = [_alone(rows, flow, own) for flow in flows]
    note = " ".join([_what_it_means(found), *filter(None, alone)])
    head = f"{title[0].upper()}{title[1:]} against the best flow: SBC distance"
    return head, note, [heads, *body]


def _what_it_means(found: Mapping[str, Comparison]) -> str:
    clear = [c for c in found.values() if not c.small]
    ahead = [c.problem for c in clear if c.behind < 0]
    behind = [c.problem for c in clear if c.behind > 0]
    note = (
        "The noise is what two exact models would differ by if parameters' ranks were independent "
        f"of one another; beyond twice that, the diffusion is ahead on {_named(ahead)} and behind "
        f"on {_named(behind)}."
    )
    if math.isfinite(wander := spread(found)):
        note += f" From seed to seed a difference wanders by {wander:.4f} (sd)."
    return note


def _alone(rows: Sequence[Row], flow: str, own: str) -> str:
    """The paper's problems, against one flow; empty where it was not run."""
    found = [c for p, c in compare(rows, [flow], own).items() if CASES[p].in_paper]
    if not found:
        return ""
    ours = statistics.fmean(statistics.fmean(c.ours) for c in found)
    theirs = statistics.fmean(statistics.fmean(c.theirs) for c in found)
    return (
        f"Against the {METHODS[flow].title} alone, on the paper's problems: at most its distance "
        f"on {sum(c.behind <= 0 for c in found)} of {len(found)}, on average {ours:.4f} against "
        f"{theirs:.4f}."
    )


def _listed(scores: Sequence[float]) -> str:
    return " / ".join(f"{score:.4f}" for score in scores)


def _named(problems: Sequence[str]) -> str:
    return f"{len(problems)}{' (' + ', '.join(problems) + ')' if problems else ''}"


def differences(comparisons: Mapping[str, Comparison]) -> Figure:
    """A figure of the gaps, problem by problem, beside twice the noise."""
    order = [name for name in CASES if name in comparisons]
    return study.differences(
        {name: comparisons[name].gaps for name in order},
        {name: 2 * comparisons[name].noise for name in order},
        label="SBC distance, diffusion minus best flow (left is good)",
    )


def check_one_budget(rows: Sequence[Row]) -> None:
    """Raise `ValueError` unless there are rows, all of one budget."""
    budgets = sorted({row["budget"] for row in rows})
    if len(budgets) != 1:
        raise ValueError(
            "only runs of one budget can be compared and reported together; got "
            f"{' and '.join(budgets) or 'no runs'}. Choose the rows of one."
        )


def judged_by(rows: Sequence[Row]) -> tuple[int, int]:
    """Simulations of SBC, and draws for each."""
    sims = [row["n_sims"] for row in rows]
    draws = [row.get("n_samples", 0) for row in rows]
    return max(100, *sims), max(10, *draws)


def _best(
    problem: str,
    own: str,
    flows: Sequence[str],
    scores: Mapping[tuple[str, str], Mapping[int, float]],
    one: float,
) -> Comparison | None:
    """Against the best of some flows; `one` is the noise of one parameter and one seed."""
    ours = scores.get((problem, own), {})
    met = {flow: scores.get((problem, flow), {}) for flow in flows}
    met = {flow: theirs for flow, theirs in met.items() if {*ours} & {*theirs}}
    made = []
    for flow, theirs in met.items():
        seeds = tuple(sorted({*ours} & {*theirs}))
        noise = one / math.sqrt(CASES[problem].build_problem().dim * len(seeds))
        a, b = (tuple(side[seed] for seed in seeds) for side in (ours, theirs))
        made.append(Comparison(problem, own, flow, len(met), seeds, a, b, noise))
    return max(made, key=lambda c: c.behind, default=None)


def _is_rival(method: str, own: str) -> bool:
    """Whether the method is a flow with the same kind of settings, ours or the paper's."""
    flow = not method.startswith("diffusion")
    return flow and method.endswith("_paper") == own.endswith("_paper")

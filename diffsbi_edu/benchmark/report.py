"""The suite's report: the paper's tables and two figures, in Markdown and in HTML."""

from __future__ import annotations

import base64
import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from diffsbi_edu.benchmark.cases import CASES, METHODS
from diffsbi_edu.benchmark.comparison import (
    OWNS,
    Comparison,
    check_one_budget,
    compare,
    differences,
    even_chance,
    judged_by,
    seed_by_seed,
)
from diffsbi_edu.benchmark.rows import Row
from diffsbi_edu.diagnostics.sbc import KS_MEAN, exact_ks
from diffsbi_edu.plots import study

#: Column → (heading of its table, how to print it, what a good value is).
TABLES: dict[str, tuple[str, str, str]] = {
    "sbc_ks": (
        "SBC: Kolmogorov–Smirnov distance of the ranks", ".4f",
        "mean over parameters; small is good, and exact posteriors have {exact:.4f} on average",
    ),
    "contraction": (
        "Contraction: 1 − posterior variance / prior variance", ".3f",
        "mean over parameters; to draw from the prior passes SBC, too, and has 0 here",
    ),
    "c2st": ("C2ST against exact draws", ".3f", "0.5 is perfect, 1 is hopeless"),
    "marginal_ks": (
        "One parameter at a time: KS distance of draws from exact ones", ".3f",
        "mean over parameters and observations; exact draws would have about {marginal:.3f}",
    ),
    "sbc_tv": (
        "SBC: total variation", ".3f",
        "as the paper defines it; with few simulations a rank mostly noise",
    ),
    "sbc_hellinger": ("SBC: Hellinger distance", ".3f", "likewise"),
    "sbc_wasserstein": ("SBC: Wasserstein distance", ".4f", "of ranks between 0 and 1"),
    "tarp_area": ("TARP: area between coverage curve and diagonal", ".4f", "0 is perfect"),
    "train_seconds": ("Training, seconds on one core", ".0f", "simulation included"),
    "sample_seconds": ("Sampling, seconds", ".1f", "for all draws of the calibration checks"),
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Tables and figures of some rows of the suite.

    Args:
        rows: of one budget.

    Raises:
        ValueError: no rows, or rows of several budgets.

    Example:
        >>> row = dict(problem="two_moons", method="nsf", seed=0, steps=9, budget="tiny",
        ...     status="ok", version="0.1", torch="2", machine="here", device="cpu",
        ...     n_sims=100, draws=10, **dict.fromkeys(TABLES, 0.5))
        >>> "| two_moons | 0.500 |" in Report([row]).markdown()
        True
    """

    rows: Sequence[Row]

    def __post_init__(self) -> None:
        check_one_budget(self.rows)

    def figures(self) -> dict[str, Figure]:
        """Name → figure."""
        ok = [row for row in self.rows if row["status"] == "ok"]
        if not ok:
            return {}
        found = {"sbc": study.by_problem(
            ok, "sbc_ks", label="SBC: mean KS distance of the ranks (left is good)",
            reference=self._exact_ks(), logarithmic=True,
        )}  # fmt: skip
        for own in OWNS:
            if met := compare(self.rows, own=own):
                found[own.replace("diffusion", "differences")] = differences(met)
        known = [row for row in ok if math.isfinite(row["c2st"])]
        if known:
            found["c2st"] = study.by_problem(
                known, "c2st", label="C2ST against exact draws (0.5 is perfect)", reference=0.5
            )
        return found

    def markdown(self, figures: str | None = None) -> str:
        """The report in Markdown; `figures` is the folder of the figures' PNG files, or None."""
        lines = ["# Benchmark", "", *self._intro(), ""]
        if figures is not None:
            lines += [f"![{name}]({figures}/{name}.png)\n" for name in self.figures()]
        for head, note, table in self._tables():
            lines += [f"## {head}", "", note, ""]
            lines += ["| " + " | ".join(line) + " |" for line in _ruled(table)]
            lines.append("")
        lines += self._failures()
        return "\n".join(lines).rstrip() + "\n"

    def html(self) -> str:
        """The report as one HTML file, figures inside."""
        parts = [
            "<h1>Benchmark</h1>",
            *(f"<p>{escape(line)}</p>" for line in self._intro() if line),
        ]
        for name, figure in self.figures().items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=110)
            data = base64.b64encode(buffer.getvalue()).decode()
            parts.append(f'<img alt="{name}" src="data:image/png;base64,{data}">')
        for head, note, (heads, *body) in self._tables():
            parts.append(f"<h2>{escape(head)}</h2><p>{escape(note)}</p><table>")
            parts.append(_html_row(heads, "th"))
            parts += [_html_row(line, "td") for line in body]
            parts.append("</table>")
        parts += _paragraphs(self._failures())
        style = (
            "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
            "table{border-collapse:collapse}td,th{padding:2px 10px;text-align:right}"
            "td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f4f4f4}"
            "img{max-width:100%}"
        )
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Benchmark</title>'
            f"<style>{style}</style><body>{''.join(parts)}</body></html>\n"
        )

    def save(self, folder: str | Path) -> Path:
        """Write report.md, report.html and the figures; returns the Markdown file's path."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in self.figures().items():
            figure.savefig(folder / f"{name}.png", dpi=110)
        (folder / "report.html").write_text(self.html(), encoding="utf-8")
        path = folder / "report.md"
        path.write_text(self.markdown("."), encoding="utf-8")
        return path

    # --- parts ---

    def _methods(self) -> list[str]:
        present = {row["method"] for row in self.rows}
        return [name for name in METHODS if name in present]

    def _values(self, problem: str, method: str, column: str) -> list[float]:
        return [
            row[column] for row in self.rows
            if row["problem"] == problem and row["method"] == method and row["status"] == "ok"
            and math.isfinite(row[column])
        ]  # fmt: skip

    def _mean(self, problem: str, method: str, column: str) -> float:
        values = self._values(problem, method, column)
        return statistics.fmean(values) if values else math.nan

    def _tables(self) -> list[tuple[str, str, list[list[str]]]]:
        """(heading, note, rows with the headings first) of each table that has a number."""
        present = {row["problem"] for row in self.rows}
        problems = [name for name in CASES if name in present]
        found = [versus for own in OWNS if (versus := seed_by_seed(self.rows, own)) is not None]
        for column, (head, form, note) in TABLES.items():
            body = []
            for problem in problems:
                cells = [self._cell(problem, method, column, form) for method in self._methods()]
                if any(cell != "–" for cell in cells):
                    body.append([problem, *cells])
            if body:
                note = note.format(exact=self._exact_ks(), marginal=self._exact_marginal())
                found.append((head, note[0].upper() + note[1:] + ".", [["problem", *(
                    METHODS[m].title for m in self._methods())], *body]))  # fmt: skip
        return found

    def _cell(self, problem: str, method: str, column: str, form: str) -> str:
        values = self._values(problem, method, column)
        if not values:
            return "–"
        if column == "contraction" and statistics.fmean(values) < -1:
            return "< −1"  # a few wild draws under heavy tails: how wild, means nothing
        mean = format(statistics.fmean(values), form)
        return mean if len(values) == 1 else f"{mean} ± {format(statistics.stdev(values), form)}"

    def _exact_ks(self) -> float:
        return exact_ks(*judged_by(self.rows))

    def _exact_marginal(self) -> float:
        return KS_MEAN * (2 / max(10, *(row["draws"] for row in self.rows))) ** 0.5

    def _intro(self) -> list[str]:
        def each(name: str, show: Callable[[object], str] = str) -> str:
            return ", ".join(show(v) for v in sorted({row[name] for row in self.rows}))

        seeds = len({row["seed"] for row in self.rows})
        lines = [
            f"{len(self.rows)} runs, budget {each('budget')!r}, {seeds} seed{'s' * (seeds > 1)}; "
            f"diffsbi_edu {each('version')}, torch {each('torch')}, {each('machine')}, "
            f"{each('device')}. Numbers are means over seeds, ± their sd."
        ]
        for own in OWNS:
            if found := compare(self.rows, own=own):
                paper = {name: c for name, c in found.items() if CASES[name].in_paper}
                settings = " with the paper's settings" * own.endswith("_paper")
                lines += [
                    "",
                    f"The SBC distance of the diffusion{settings} is at most that of the best flow "
                    f"on {_wins(found)}, and on {_wins(paper)} of the paper's thirteen.",
                ]
        return lines

    def _failures(self) -> list[str]:
        return [
            f"{row['problem']}, {row['method']}, seed {row['seed']}: {row['status']} "
            f"({row['reason']})."
            for row in self.rows
            if row["status"] != "ok"
        ]


def _wins(found: Mapping[str, Comparison]) -> str:
    won = sum(c.behind <= 0 for c in found.values())
    luck = f"{even_chance(found):.1f} if all methods were equally good"
    return f"{won} of {len(found)} ({luck})"


def _paragraphs(lines: Sequence[str]) -> list[str]:
    return [f"<p>{escape(line)}</p>" for line in lines if line]


def _ruled(table: list[list[str]]) -> list[list[str]]:
    heads, *body = table
    return [heads, ["---"] + ["---:"] * (len(heads) - 1), *body]


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

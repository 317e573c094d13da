"""Write constraints.txt from pip's dry-run reports, one report per Python version.

    python tools/pins.py report-3.11.json report-3.12.json > constraints.txt

`make pins` does both steps. Where versions differ between Pythons, each gets a marker. Packages
that torch itself pins for one platform (CUDA libraries, Triton) are left to torch, and a local
label such as the one on a CPU build is dropped, so that one file serves every platform.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

HEADER = """\
# Exact versions of all that diffsbi-edu[test,course,arviz,bench,peers,cluster] needs,
# on Python {pythons}.
# Regenerate with `make pins`, which resolves the ranges in pyproject.toml afresh.
"""
PLATFORM_ONLY = re.compile(r"nvidia-|cuda-|triton$|diffsbi-edu$")


def read_report(path: str) -> tuple[str, dict[str, str]]:
    """The Python version a report was made with, and {package: version}."""
    report = json.loads(Path(path).read_text())
    pins = {}
    for item in report["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        if not PLATFORM_ONLY.match(name):
            pins[name] = item["metadata"]["version"].split("+")[0]
    return report["environment"]["python_version"], pins


def lines_for(name: str, reports: list[tuple[str, dict[str, str]]]) -> list[str]:
    """One line where all Pythons that install `name` agree, else one for each run of Pythons."""
    runs: list[list[str]] = []  # [first Python, next Python after the run, version]
    for python, pins in reports:
        if name not in pins:
            continue
        if runs and runs[-1][2] == pins[name]:
            continue
        if runs:
            runs[-1][1] = python
        runs.append([python if runs else "", "", pins[name]])
    lines = []
    for low, high, version in runs:
        bounds = [f'python_version >= "{low}"'] if low else []
        bounds += [f'python_version < "{high}"'] if high else []
        lines.append(f"{name}=={version}" + (f" ; {' and '.join(bounds)}" if bounds else ""))
    return lines


def main(paths: list[str]) -> None:
    reports = sorted(map(read_report, paths), key=lambda r: [int(p) for p in r[0].split(".")])
    print(HEADER.format(pythons=", ".join(python for python, _ in reports)), end="")
    for name in sorted(set().union(*(pins for _, pins in reports))):
        print("\n".join(lines_for(name, reports)))


if __name__ == "__main__":
    main(sys.argv[1:])

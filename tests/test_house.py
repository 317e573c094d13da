"""The shape of the house: floors, files, pages and packaging. See ARCHITECTURE.md."""

from __future__ import annotations

import ast
import functools
import json
import re
import statistics
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "diffsbi_edu"
SOURCES = sorted(LIBRARY.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# A module imports only from floors below its own. The same table, with each module's one job, is in
# ARCHITECTURE.md. Rooms that are planned but not built yet are on it too.
FLOORS = {
    "errors": -2,
    "runtime": -1,
    "checkpoint": -1,
    "problems": 0,
    "levels": 0,
    "muon": 0,
    "bijections": 0,
    "flow_inverse": 0,
    "standardise": 0,
    "schedules": 1,
    "encoders": 1,
    "transforms": 1,
    "denoiser": 2,
    "training_noise": 2,
    "noised_prior": 2,
    "composed_denoiser": 4,
    "samplers": 3,
    "estimator": 3,
    "likelihood": 4,
    "loading": 4,
    "diffusion": 5,
    "data": 4,
    "flow": 5,
    "run": 5,
    "cases": 6,
    "findings": 6,
    "compositional": 6,
    "training": 6,
    "plots": 7,
    "diagnostics": 8,
    "widgets": 9,
    "course": 9,
    "benchmark": 9,
}
PLANNED: set[str] = set()
PAGES = [
    "00_start_here",
    "01_toy_gaussian",
    "02_noise_schedules",
    "03_witchs_hat",
    "04_multimodal",
    "05_calibration",
    "06_encoders",
    "07_kl_bound",
    "08_benchmark_tour",
]


# ----------------------------------------------------------------------------- the library's code


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def over(paths: list[Path]) -> pytest.MarkDecorator:
    """Run a test once for each file."""
    return pytest.mark.parametrize("path", paths, ids=short)


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room_of(path: Path) -> str:
    """The module or package directly inside diffsbi_edu that a file belongs to."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of every import from within diffsbi_edu, also those inside functions."""
    package = ["diffsbi_edu", *path.relative_to(LIBRARY).parts[:-1]]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module]
            if module == "diffsbi_edu":
                names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "diffsbi_edu":
                yield node.lineno, parts[1] if len(parts) > 1 else "__init__"


def dotted(node: ast.AST) -> str:
    """`torch.cuda.manual_seed` for such an attribute chain, and "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def test_the_library_is_found() -> None:
    assert len(SOURCES) > 5, "the structure tests below would pass by looking at nothing"


def test_every_module_is_on_the_table() -> None:
    rooms = {room_of(path) for path in SOURCES} - {"__init__"}
    assert rooms - FLOORS.keys() == set(), "give each new module a floor, here and in ARCHITECTURE"
    assert FLOORS.keys() - rooms <= PLANNED, "take a module that is gone off the table"
    assert rooms & PLANNED == set(), "these are built: take them out of PLANNED"


@over([path for path in SOURCES if room_of(path) != "__init__"])
def test_imports_come_from_floors_below(path: Path) -> None:
    room = room_of(path)
    for line, other in imported_rooms(path):
        if other == room:
            continue
        assert other in FLOORS, (
            f"{short(path)}:{line}: import from where a name is defined, not from the front door"
        )
        assert FLOORS[other] < FLOORS[room], (
            f"{short(path)}:{line}: {room} (floor {FLOORS[room]}) imports {other} ({FLOORS[other]})"
        )


@over(SOURCES)
def test_files_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 300, f"{short(path)} has {lines} lines: it is probably two ideas"


GLOBAL_STATE = {
    "torch.manual_seed",
    "torch.seed",
    "torch.random.manual_seed",
    "torch.set_rng_state",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
    "torch.set_default_dtype",
    "torch.set_default_device",
    "plt.show",
    "pyplot.show",
    "plt.style.use",
    "matplotlib.use",
}


@over(SOURCES)
def test_nothing_global_is_touched(path: Path) -> None:
    """No global seed, no default dtype, no plt.show, no rcParams set for everybody."""
    for node in ast.walk(parse(path)):
        where = f"{short(path)}:{getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Attribute):
            assert dotted(node) not in GLOBAL_STATE, f"{where}: {dotted(node)}"
            assert dotted(node).split(".")[-2:] != ["rcParams", "update"], f"{where}: rcParams"
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                assert name not in GLOBAL_STATE, f"{where}: {name}"
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Subscript):
                    assert not dotted(target.value).endswith("rcParams"), f"{where}: rcParams"


@over([path for path in SOURCES if room_of(path) == "widgets"])
def test_widgets_draw_without_pyplot(path: Path) -> None:
    """pyplot has one current figure for all threads; dashboards draw from their own."""
    for node in ast.walk(parse(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        assert not any("pyplot" in name for name in names), f"{short(path)}:{node.lineno}"


# -------------------------------------------------------------------------------------- packaging


@functools.cache
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(*extras: str) -> dict[str, Requirement]:
    """{name: requirement} of the core and of some extras."""
    project = pyproject()["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def conda_packages(path: Path) -> dict[str, Requirement]:
    """The same for a conda environment file, under PyPI's names."""
    pip_name = {"pytorch": "torch", "pytorch-cpu": "torch", "playwright-python": "playwright"}
    found = {}
    for line in yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]:
        name, bounds = re.fullmatch(r"([\w.-]+?)\s*([<>=!].*)?", line).groups()
        if bounds and re.fullmatch(r"=[\d.]+", bounds):  # conda's name=3.11 means any 3.11.x
            bounds = f"={bounds}.*"
        name = pip_name.get(name, name)
        assert name not in found, f"{name} is listed twice"
        found[name] = Requirement(f"{name}{bounds or ''}")
    return found


@pytest.mark.parametrize(
    ("file", "extras"),
    [("environment.yml", ("test", "bench")), (".binder/environment.yml", ())],
)
def test_conda_environment_agrees_with_pyproject(file: str, extras: tuple[str, ...]) -> None:
    environment = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    conda = conda_packages(ROOT / file)
    python, wanted = conda.pop("python"), requirements(*extras)
    del conda["pip"]
    assert conda.keys() == wanted.keys()
    for name, requirement in wanted.items():
        assert conda[name].specifier == requirement.specifier, name
    promised = pyproject()["project"]["requires-python"]
    newest = next(v for v in ("3.13", "3.12", "3.11") if python.specifier.contains(v))
    assert Requirement(f"python{promised}").specifier.contains(newest)
    if not extras:
        return
    assert python.specifier == Requirement(f"python{promised}").specifier


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_constraints_are_exact() -> None:
    for pin in pins():
        assert [s.operator for s in pin.specifier] == ["=="], str(pin)
        assert "+" not in str(pin.specifier), f"{pin}: a local build label is for one platform only"


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_constraints_satisfy_pyproject(python: str) -> None:
    applies = [
        p for p in pins() if p.marker is None or p.marker.evaluate({"python_version": python})
    ]
    pinned = {}
    for pin in applies:
        assert pin.name not in pinned, f"{pin.name} is pinned twice for Python {python}"
        pinned[pin.name] = Version(next(iter(pin.specifier)).version)
    for name, requirement in requirements("test", "course", "arviz", "bench").items():
        assert name in pinned, f"{name} has no pin: run `make pins`"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} against {pinned[name]}"


def test_one_version_everywhere() -> None:
    version = pyproject()["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# -------------------------------------------------------------------------------------- the pages


@functools.cache
def notebook(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in notebook(path)["cells"] if cell["cell_type"] == kind]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def prose(path: Path) -> str:
    return "\n\n".join(source(cell) for cell in cells(path, "markdown"))


def headings(path: Path) -> str:
    return "\n".join(re.findall(r"^#+ .*$", prose(path), flags=re.MULTILINE))


def text_of_notebook(path: Path) -> str:
    """Sources and textual outputs, without the images."""
    parts = [source(cell) for cell in notebook(path)["cells"]]
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            parts.append("".join(output.get("text", [])))
            for mime, data in output.get("data", {}).items():
                if mime.startswith("text/") or mime.endswith("json"):
                    is_text = isinstance(data, list | str)
                    parts.append("".join(data) if is_text else json.dumps(data))
    return "\n".join(parts)


@pytest.mark.parametrize("name", PAGES)
def test_page_exists(name: str) -> None:
    assert (ROOT / "notebooks" / f"{name}.ipynb").exists()


@over(NOTEBOOKS)
def test_page_is_mostly_prose_and_short_cells(path: Path) -> None:
    code = cells(path, "code")
    lengths = [sum(1 for line in source(cell).splitlines() if line.strip()) for cell in code]
    assert len(cells(path, "markdown")) >= len(code)
    assert max(lengths) <= 20
    assert statistics.median(lengths) <= 8
    assert min(lengths) > 0, "an empty code cell"


@over(NOTEBOOKS)
def test_page_has_the_parts_of_a_page(path: Path) -> None:
    first = notebook(path)["cells"][0]
    assert first["cell_type"] == "markdown"
    assert source(first).startswith("# "), "a page starts with its title"
    assert re.search(r"learning goals|you will", prose(path), re.IGNORECASE)
    assert re.search(r"\bpredict", prose(path), re.IGNORECASE), "ask for a guess before the answer"
    assert re.search(r"\bexercise", headings(path), re.IGNORECASE)
    assert re.search(r"\brecap", headings(path), re.IGNORECASE)
    assert re.search(r"read on|reading|read next", headings(path), re.IGNORECASE)


@over(NOTEBOOKS)
def test_page_is_executed_top_to_bottom(path: Path) -> None:
    code = cells(path, "code")
    counts = [cell["execution_count"] for cell in code]
    assert counts == list(range(1, len(code) + 1)), "run `make notebooks-run`"
    assert any(cell["outputs"] for cell in code)
    for cell in code:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output.get("ename")
            assert output.get("name") != "stderr", f"a warning is left on the page: {output}"


@over(NOTEBOOKS)
def test_page_is_small_and_tells_nothing_of_a_machine(path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    absolute = r"(?<![\w.:/])/(home|root|Users|tmp|usr|opt|private)/|\b[A-Z]:\\"
    found = re.search(absolute, text_of_notebook(path))
    assert not found, f"an absolute path: {found}"
    assert notebook(path)["metadata"]["kernelspec"]["name"] == "python3"


# -------------------------------------------------------------------------------------- documents


@pytest.mark.parametrize("room", sorted(FLOORS))
def test_architecture_names_every_module(room: str) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    built = [suffix for suffix in (".py", "/") if (LIBRARY / f"{room}{suffix}").exists()]
    names = [f"`{room}{suffix}`" for suffix in built or (".py", "/")]
    assert any(name in text for name in names), f"it should name one of {names}"


@pytest.mark.parametrize("name", sorted({*PAGES, *(path.stem for path in NOTEBOOKS)}))
def test_readme_maps_every_page(name: str) -> None:
    assert f"notebooks/{name}.ipynb" in (ROOT / "README.md").read_text(encoding="utf-8")


def readme_code() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


def test_readme_uses_names_that_exist() -> None:
    import diffsbi_edu as ds

    used = {dotted(node) for node in ast.walk(ast.parse(readme_code()))}
    used = {name.removeprefix("ds.") for name in used if name.startswith("ds.")}
    assert used
    for name in used:
        functools.reduce(getattr, name.split("."), ds)


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
)
def test_links_inside_the_repository_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_docs_holds_only_pictures() -> None:
    others = [p for p in (ROOT / "docs").rglob("*") if p.is_file()]
    others = [short(p) for p in others if p.suffix not in {".png", ".gif", ".jpg", ".svg"}]
    assert others == []


# Traces of the machine a file was written on, and names of package servers: what is installed, and
# from where, is for the user's own pip and conda to say. Written so that this file is not one.
FORBIDDEN = [
    r"(?<![\w.])/" + "work/",
    r"(?<![\w.])/" + "opt/",
    r"(?<![\w.])/" + r"tmp/v\b",
    r"(?<![\w./])" + "shared" + "/",
    r"/\." + "library",
    r"\." + "pyenv/",
    "pypi" + r"\.org",
    "python" + r"hosted\.org",
    "download" + r"\.pytorch\.org",
    "registry" + r"\.npmjs",
    "conda" + r"\.anaconda\.org",
    "anaconda" + r"\.org",
]


def repository_files() -> list[Path]:
    """What git tracks or would add; everything but caches where there is no git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        skip = re.compile(r"/(\.venv|\.git/|\.ipykernel6|__pycache__|\.\w+_cache|\.hypothesis)")
        paths = [p for p in ROOT.rglob("*") if not skip.search("/" + short(p))]
    return [p for p in paths if p.is_file()]


def test_no_file_names_a_machine_or_a_package_server() -> None:
    pattern = re.compile("|".join(FORBIDDEN))
    files = repository_files()
    assert len(files) > 20
    found = []
    for path in files:
        if path.suffix in {".png", ".gif", ".jpg", ".npz", ".safetensors"}:
            continue
        is_page = path.suffix == ".ipynb"
        text = text_of_notebook(path) if is_page else path.read_text(encoding="utf-8")
        found += [f"{short(path)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []

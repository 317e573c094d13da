"""Figures: what they show, and what they leave alone."""

from __future__ import annotations

import io

import corner as corner_package
import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from diffsbi_edu import plots
from diffsbi_edu.schedules import EDM, SCHEDULES, Cosine

GENERATOR = torch.Generator().manual_seed(0)
A, B = torch.randn(2, 300, 2, generator=GENERATOR)
X = torch.randn(300, 1, 2, generator=GENERATOR)
PATH = torch.randn(5, 30, 2, generator=GENERATOR)
RATIOS = EDM().solver_grid(4)
GRID = plots.grid_points()
LINE = ([0, 1], [1, 1])
AXIS = torch.linspace(-2, 2, 40)
TABLE = torch.exp(-(AXIS[:, None] ** 2) - AXIS**2)
RUNS = [
    {"method": m, "lr": lr, "diverged": lr > 0.005, "c2st": 0.6, "worst_spike": 0.1,
     "largest_grad_norm": 3.0}
    for m in ("diffusion", "nsf") for lr in (1e-3, 1e-2)
]  # fmt: skip
LOSSES = torch.rand(200, generator=GENERATOR).tolist()

FIGURES = {
    "joint": lambda: plots.joint(A, X, X[0], X[:, 0, 0] > 0),
    "corner": lambda: plots.corner(A, B, prior=2 * B, truth=A[0], title="C2ST = 0.5"),
    "corner 1-D": lambda: plots.corner(A[:, 0], B[:, :1], truth=A[0, :1]),
    "corner 6-D": lambda: plots.corner(torch.cat([A, B, A + B], 1)),
    "scatter_pair": lambda: plots.scatter_pair(A, B, truth=A[0]),
    "marginals": lambda: plots.marginals(A, lambda values, i: torch.exp(-(values**2) / 2)),
    "arrows": lambda: plots.arrows(GRID, -GRID, -0.9 * GRID),
    "arrows to scale": lambda: plots.arrows(GRID, exact=-GRID, to_scale=True),
    "trajectories": lambda: plots.trajectories(PATH),
    "trajectories in time": lambda: plots.trajectories(PATH[:, :, :1], RATIOS),
    "schedules": lambda: plots.schedules({name: s() for name, s in SCHEDULES.items()}),
    "loss_curve": lambda: plots.loss_curve(LOSSES, LOSSES),
    "curves": lambda: plots.curves(
        {"a": ([0, 1], [0, 2])}, exact=([0, 1], [1, 1]), xlabel="x", ylabel="y"
    ),
    "landscape": lambda: plots.landscape(AXIS, TABLE, {"draws": A, "others": B}),
    "stability": lambda: plots.stability(RUNS),
    "tradeoff": lambda: plots.tradeoff({"euler": ([5, 10], [0.8, 0.6]), "heun": ([5], [0.7])}),
}
over_figures = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())


def panels(figure: Figure) -> list:
    return [ax for ax in figure.axes if ax.get_visible() and ax.axison and ax.has_data()]


@over_figures
def test_returns_a_figure_that_draws_itself(draw) -> None:
    figure = draw()
    assert isinstance(figure, Figure)
    picture = Image.open(io.BytesIO(figure._repr_png_()))
    assert picture.format == "PNG"
    assert min(picture.size) > 150
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 5, "an empty picture"


@over_figures
def test_leaves_pyplot_and_rc_alone(draw) -> None:
    before, open_figures = dict(matplotlib.rcParams), plt.get_fignums()
    draw()._repr_png_()
    assert plt.get_fignums() == open_figures
    assert dict(matplotlib.rcParams) == before


@over_figures
def test_axes_are_labelled(draw) -> None:
    """Every column says its unit at the bottom, and every row at the left."""
    figure = draw()
    shown = panels(figure)
    assert shown
    assert any(ax.get_ylabel() for ax in shown)
    bottom = min(ax.get_position().y0 for ax in shown)
    for ax in shown:
        if ax.get_position().y0 < bottom + 0.01:
            assert ax.get_xlabel()


def test_no_warning_reaches_a_page(recwarn, caplog) -> None:
    for draw in FIGURES.values():
        draw()._repr_png_()
    plots.corner(A[:8], B[:8])._repr_png_()
    assert [str(w.message) for w in recwarn] == []
    assert caplog.records == []


def test_colours_mean_the_same_everywhere() -> None:
    known = plots.corner(A, B)
    lines = {h.get_label(): h.get_color() for h in known.legends[0].legend_handles}
    assert lines == {"learned": plots.LEARNED, "exact": plots.EXACT}
    left, right = plots.scatter_pair(A, B).axes
    assert (left.lines[0].get_color(), right.lines[0].get_color()) == (plots.LEARNED, plots.EXACT)


def test_colours_differ_in_lightness() -> None:
    """They must be told apart in a grey print, too."""

    def lightness(colour: str) -> float:
        red, green, blue = matplotlib.colors.to_rgb(colour)
        return 0.299 * red + 0.587 * green + 0.114 * blue

    levels = sorted(lightness(c) for c in (plots.LEARNED, plots.EXACT, plots.PRIOR, plots.TRUTH))
    assert min(b - a for a, b in zip(levels[:-1], levels[1:])) > 0.05
    assert len(set(plots.SERIES)) == len(plots.SERIES)


def test_corner_survives_a_constant_column() -> None:
    constant = torch.cat([A, torch.full((300, 1), 3.0)], 1)
    with pytest.raises(ValueError, match="no dynamic range"):
        corner_package.corner(constant.numpy())  # the trap itself; if this passes, simplify ours
    plt.close("all")
    figure = plots.corner(constant, constant, truth=constant[0])
    low, high = figure.axes[-1].get_xlim()
    assert low < 3.0 < high
    figure._repr_png_()


def test_corner_frame_holds_learned_and_exact() -> None:
    figure = plots.corner(A, B + 10.0)
    low, high = figure.axes[0].get_xlim()
    assert low < -1
    assert high > 11
    heights = figure.axes[0].get_ylim()
    assert heights[0] == 0
    tallest = max(p.get_path().get_extents().y1 for p in figure.axes[0].patches)
    assert tallest < heights[1]


def test_corner_draws_upon_an_earlier_one() -> None:
    figure = plots.corner(A)
    same = plots.corner(B + 5.0, figure=figure, label="another", color=plots.NOISE)
    assert same is figure
    assert [h.get_label() for h in figure.legends[0].legend_handles] == ["learned", "another"]
    low, high = figure.axes[0].get_xlim()
    assert low < -1
    assert high > 6
    with pytest.raises(ValueError, match="3 parameters"):
        plots.corner(torch.randn(50, 3), figure=figure)


def test_panels_are_drawn_upon() -> None:
    empty = Figure()
    assert plots.scatter_pair(A, B, figure=empty) is empty
    assert plots.scatter_pair(B, A, figure=empty) is empty
    assert len(empty.axes) == 2
    curve = plots.loss_curve(LOSSES, LOSSES)
    assert plots.loss_curve(LOSSES, LOSSES, figure=curve, color=plots.EXACT) is curve
    with pytest.raises(ValueError, match="1 panels"):
        plots.loss_curve(LOSSES, figure=curve)
    first = plots.schedules(EDM())
    assert plots.schedules(Cosine(), figure=first) is first
    assert len(first.axes) == 4


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plots.arrows(GRID, GRID, ax=ax),
        lambda ax: plots.trajectories(PATH, ax=ax),
        lambda ax: plots.tradeoff({"a": ([1], [1])}, ax=ax),
    ],
)
def test_axes_are_drawn_upon(draw) -> None:
    figure = Figure()
    ax = figure.subplots()
    assert draw(ax) is figure
    assert ax.has_data()
    part = figure.subfigures()
    assert draw(part.subplots()) is figure


def test_arrows_to_scale_end_where_they_point() -> None:
    (quiver,) = plots.arrows(GRID, exact=-GRID, to_scale=True).axes[0].collections
    assert quiver.scale == 1
    assert quiver.scale_units == "xy"
    both = plots.arrows(GRID, -GRID, -2 * GRID).axes[0].collections
    assert both[0].scale == both[1].scale, "the two fields must be drawn to one scale"


def test_a_last_ratio_of_zero_is_drawn() -> None:
    ax = plots.trajectories(PATH, RATIOS).axes[0]
    left, right = ax.get_xlim()
    assert left == pytest.approx(20.0)
    assert right == pytest.approx(0.0005)
    assert ax.get_xscale() == "log"


def test_names_are_the_axis_labels() -> None:
    figure = plots.corner(A, names=["rate, 1/s", "mass, kg"])
    labels = {ax.get_xlabel() for ax in figure.axes} | {ax.get_ylabel() for ax in figure.axes}
    assert {"rate, 1/s", "mass, kg"} <= labels


def test_devices_and_gradients_do_not_matter() -> None:
    needs_grad = A.clone().requires_grad_()
    plots.corner(needs_grad.half().float(), B.double())
    plots.arrows(GRID, -GRID.clone().requires_grad_())


BAD = {
    "not a tensor": (TypeError, "torch tensor", lambda: plots.corner([[1.0, 2.0]])),
    "NaN": (ValueError, "NaN", lambda: plots.corner(torch.full((5, 2), float("nan")))),
    "unequal D": (ValueError, r"exact must have shape \(n, 2\)", lambda: plots.corner(A, B[:, :1])),
    "three axes": (ValueError, "shape", lambda: plots.corner(A[None])),
    "too few draws": (ValueError, "more than 2 rows", lambda: plots.corner(A[:2])),
    "names": (ValueError, "2 names", lambda: plots.corner(A, names=["one"])),
    "truth": (ValueError, "truth", lambda: plots.corner(A, truth=torch.zeros(3))),
    "joint rows": (ValueError, "equal numbers of rows", lambda: plots.joint(A, X[:5])),
    "joint columns": (ValueError, "two columns", lambda: plots.joint(A, X[..., :1])),
    "dims": (ValueError, "do not exist", lambda: plots.scatter_pair(A, B, dims=(0, 2))),
    "no arrows": (ValueError, "learned or exact", lambda: plots.arrows(GRID)),
    "few arrows": (ValueError, "one for each point", lambda: plots.arrows(GRID, GRID[:3])),
    "path": (ValueError, "path must be", lambda: plots.trajectories(A)),
    "ratios": (ValueError, "as many ratios", lambda: plots.trajectories(PATH, RATIOS[:2])),
    "1-D path": (ValueError, "need ratios", lambda: plots.trajectories(PATH[..., :1])),
    "schedule": (TypeError, "NoiseSchedule", lambda: plots.schedules({"EDM": "EDM"})),
    "no schedule": (TypeError, "NoiseSchedule", lambda: plots.schedules({})),
    "no loss": (ValueError, "at least one loss", lambda: plots.loss_curve([])),
    "norms": (ValueError, "as many", lambda: plots.loss_curve(LOSSES, LOSSES[:3])),
    "no series": (ValueError, "at least one series", lambda: plots.tradeoff({})),
    "series": (ValueError, "as many costs", lambda: plots.tradeoff({"a": ([1, 2], [1])})),
}


@pytest.mark.parametrize(("error", "says", "draw"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_a_clear_error(error, says, draw) -> None:
    with pytest.raises(error, match=says):
        draw()

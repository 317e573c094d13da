"""Page 06: its exercises' right answers and mistakes, and its pictures of summary space."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffsbi_edu import plots
from diffsbi_edu.course import checks
from diffsbi_edu.plots.summaries import principal_axes

# test_checks.py runs all its tests over these, too.
ANSWERS = {
    "06 masked mean": (
        checks.masked_mean,
        lambda h, mask: torch.stack([row[m].mean(0) for row, m in zip(h, mask, strict=True)]),
        [
            ("averages over the padding", lambda h, mask: h.mean(1)),
            ("divided by the padded N", lambda h, mask: (h * mask[..., None]).mean(1)),
            ("this is the sum", lambda h, mask: (h * mask[..., None]).sum(1)),
            (
                "True means real",
                lambda h, mask: (h * ~mask[..., None]).sum(1) / (~mask).sum(1)[:, None],
            ),
            ("whole batch", lambda h, mask: (h * mask[..., None]).sum(1) / mask.sum()),
            ("not of the sum", lambda h, mask: h.sum(1) / mask.sum(1)[:, None]),
            (r"shape \(2,\), not \(3, 2\)", lambda h, mask: h[mask].mean(0)),
        ],
    ),
    "06 uniform": (
        checks.uniform_statistic,
        lambda x: x.sort(1).values[:, -1],
        [
            ("mean does not suffice", lambda x: x.mean(1)),
            ("twice the mean", lambda x: 2 * x.mean(1)),
            ("smallest", lambda x: x.min(1).values),
            ("range", lambda x: x.max(1).values - x.min(1).values),
            (r"shape \(6,\), not \(4,\)", lambda x: x.max(0).values),
            ("made from what suffices", lambda x: x.max(1).values * 7 / 6),
        ],
    ),
    "06 half": (
        checks.half_as_wide,
        # The sd of the mean given sd = 1 falls from 1/√10 to half of that.
        next(n for n in range(9, 100) if (1 / (1 + n)) ** 0.5 <= 0.5 * (1 / 10) ** 0.5),
        [("√2 only", 18), ("prior included", 19), ("worth one", 36), ("among the data", 40)],
    ),
    "06 product": (
        checks.naive_product,
        # Ten factors, each of precision 1 (prior) + 1 (observation).
        1 / sum([1 + 1] * 10),
        [
            ("exact posterior's", 1 / 11),
            ("likelihood's alone", 0.1),
            ("one factor", 0.5),
            ("this is the sd", 0.2236),
            ("precision; the variance", 20),
        ],
    ),
}


def cloud() -> torch.Tensor:
    """(200, 3): nearly all variance along (3, 4, 0) / 5, some along the third axis."""
    generator = torch.Generator().manual_seed(0)
    a, b, c = torch.randn(3, 200, 1, generator=generator)
    return (
        10 * a * torch.tensor([0.6, 0.8, 0.0])
        + 2 * b * torch.tensor([0.0, 0.0, 1.0])
        + 0.1 * c * torch.tensor([0.8, -0.6, 0.0])
        + 5.0
    )


def test_principal_axes_are_the_covariances_eigenvectors() -> None:
    values = cloud().double().numpy()
    centre, axes, shares = principal_axes(values)
    sizes, vectors = np.linalg.eigh(np.cov(values.T))
    np.testing.assert_allclose(centre, values.mean(0))
    np.testing.assert_allclose(shares, sizes[::-1][:2] / sizes.sum())
    np.testing.assert_allclose(np.abs(vectors[:, ::-1][:, :2].T @ axes), np.eye(2), atol=1e-10)
    assert abs(axes[:, 0] @ [0.6, 0.8, 0.0]) > 0.999
    assert (axes.max(0) > -axes.min(0)).all(), "the largest entry is positive"


def test_a_mirrored_cloud_keeps_its_axes() -> None:
    values = cloud().double().numpy()
    np.testing.assert_allclose(principal_axes(values)[1], principal_axes(-values)[1], atol=1e-10)


def test_summary_space_draws_the_projection_its_colours_and_points() -> None:
    s = cloud()
    colour = s[:, 0]
    figure = plots.summary_space(
        s, colour, label="statistic", points={"one": s[:1], "two": s[1:3]}, title="here"
    )
    panel, bar = figure.axes
    dots = panel.collections[0]
    centre, axes, _ = principal_axes(s.double().numpy())
    np.testing.assert_allclose(dots.get_offsets(), (s.double().numpy() - centre) @ axes, atol=1e-8)
    np.testing.assert_allclose(dots.get_array(), colour, rtol=1e-6)
    assert [len(line.get_xdata()) for line in panel.lines] == [1, 2]
    # A marked data set lies upon its own dot.
    np.testing.assert_allclose(panel.lines[0].get_xydata()[0], dots.get_offsets()[0], atol=1e-8)
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["one", "two"]
    assert "first principal component (9" in panel.get_xlabel()
    assert "second principal component (" in panel.get_ylabel()
    assert (bar.get_ylabel(), panel.get_title()) == ("statistic", "here")


def test_summary_space_draws_on_given_axes() -> None:
    figure = plots.base.new_figure(6, 3)
    for ax in figure.subplots(1, 2):
        assert plots.summary_space(cloud(), torch.arange(200.0), ax=ax) is figure
    assert len(figure.axes) == 4  # two panels, two colour bars


def test_an_extreme_data_set_does_not_squeeze_the_others_but_a_marked_one_is_in_sight() -> None:
    s = cloud()
    far = s[:1] + 1000.0 * torch.tensor([[0.6, 0.8, 0.0]])
    plain, outlier = (
        plots.summary_space(rows, rows[:, 0]).axes[0] for rows in (s, torch.cat([s[1:], far]))
    )
    widths = [high - low for low, high in (ax.get_xlim() for ax in (plain, outlier))]
    assert widths[1] < 1.3 * widths[0]
    assert outlier.collections[0].get_clim()[1] < 100
    marked = plots.summary_space(s, s[:, 0], points={"far": far}).axes[0]
    assert marked.get_xlim()[1] > marked.lines[0].get_xdata()[0] > 900


def test_equal_summaries_can_be_drawn() -> None:
    """A network that ignores its data: one point, no variance to share out."""
    figure = plots.summary_space(torch.ones(5, 3), torch.arange(5.0))
    assert "(0%)" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize(
    ("s", "colour", "points", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2), None, r"at least 3 data sets.*\(2, 3\)"),
        (torch.zeros(5, 1), torch.zeros(5), None, r"2 numbers a summary.*\(5, 1\)"),
        (torch.zeros(5, 2, 2), torch.zeros(5), None, r"s must have shape \(n, D\)"),
        (torch.zeros(5, 2), torch.zeros(4), None, "each of the 5 summaries, got 4"),
        (torch.zeros(5, 2), torch.zeros(5, 2), None, r"colour must have shape \(n, 1\)"),
        (torch.full((5, 2), float("nan")), torch.zeros(5), None, "s has NaN"),
        (torch.zeros(5, 2), torch.zeros(5), {"mine": torch.zeros(1, 3)}, r"points\['mine'\]"),
    ],
)
def test_bad_summaries_are_explained(s, colour, points, message) -> None:
    with pytest.raises(ValueError, match=message):
        plots.summary_space(s, colour, points=points)


def test_lists_are_refused() -> None:
    with pytest.raises(TypeError, match="s must be a torch tensor"):
        plots.summary_space([[1.0, 2.0]] * 3, torch.zeros(3))

"""Figures of the KL bound: its two parts over the noise levels, and its course during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffsbi_edu.plots.base import EXACT, LEARNED, NOISE, SMALL, in_figure, on_axes


def bound_parts(
    ratios: torch.Tensor,
    information: torch.Tensor,
    decoder: torch.Tensor,
    *,
    title: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """What each noise level adds to the bound: the two parts, stacked. Areas are nats.

    Args:
        ratios: noise-to-signal ratios r (L,), increasing.
        information: r⁻² E‖D_p − D_s‖² (L,), lost by the summary.
        decoder: r⁻² E‖D_s − D_q‖² (L,), the decoder's error.
        title: of the panel.
        legend: whether to say which part is which; once is enough for panels side by side.
        ax: axes to draw on.

    Raises:
        ValueError: lengths that differ, or nothing to draw.

    Example:
        >>> r = torch.tensor([0.1, 1.0, 10.0])
        >>> bound_parts(r, torch.ones(3), torch.ones(3)).axes[0].get_xscale()
        'log'
    """
    if not len(ratios) == len(information) == len(decoder) or len(ratios) == 0:
        raise ValueError(
            f"needs as many information and decoder values as ratios, got {len(ratios)}, "
            f"{len(information)} and {len(decoder)}."
        )
    figure, ax = on_axes(ax, 4.6, 3.0)
    r, lost, error = (np.asarray(v.double()) for v in (ratios, information, decoder))
    for low, high, colour, label in (
        (0 * lost, lost, EXACT, "lost by the summary"),
        (lost, lost + error, LEARNED, "decoder's error"),
    ):
        area = ax.fill_between(r, low, high, color=colour, alpha=0.6, label=label, lw=0)
        area.sticky_edges.y.append(0)  # the axis starts at 0, and panels may share it
    ax.set_xscale("log")
    ax.set_xlabel("noise-to-signal ratio r", fontsize=SMALL)
    ax.set_ylabel("nats per unit of ln r", fontsize=SMALL)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    if legend:
        ax.legend(fontsize=SMALL - 1, frameon=False, loc="upper right")
    return figure


def bound_history(
    histories: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    floor: float = 1e-3,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Bound, measured KL and information lost against training steps, a panel for each summary.

    Args:
        histories: name → columns "step", "bound", "kl" and "information", of equal lengths.
        floor: nats; the vertical axis, logarithmic, ends there.
        title: of the figure.
        figure: an earlier figure of as many panels to draw upon.

    Raises:
        ValueError: nothing to draw, or lengths that differ.

    Example:
        >>> run = {"step": [0, 9], "bound": [2.0, 0.2], "kl": [2.0, 0.1], "information": [0.1, 0.1]}
        >>> len(bound_history({"joint": run}).axes)
        1
    """
    columns = ("bound", "kl", "information")
    lengths = {len(h[c]) == len(h["step"]) > 0 for h in histories.values() for c in columns}
    if lengths != {True}:
        raise ValueError("needs at least one history, each with as many values as steps.")
    panels = len(histories)
    figure, axes = in_figure(figure, panels, 2.7 * panels + 0.4, 2.9)
    top = max(max(h["bound"]) for h in histories.values())
    end = max(max(h["step"]) for h in histories.values())
    for ax, (name, history) in zip(axes, histories.items(), strict=True):
        steps = history["step"]
        lost = np.maximum(history["information"], floor)
        ax.plot(steps, lost, color=EXACT, lw=4, alpha=0.4, label="information lost (exact)")
        ax.plot(steps, history["bound"], "s-", color=NOISE, ms=3.5, lw=1.2, label="bound")
        ax.plot(steps, history["kl"], "o-", color=LEARNED, ms=3.5, lw=1.2, label="measured KL")
        ax.set_yscale("log")
        ax.set_ylim(floor, 1.6 * top)
        ax.set_xscale("symlog", linthresh=10)
        ax.set_xlim(-1, 1.2 * end + 1)
        ax.set_title(name, fontsize=SMALL + 1)
        ax.set_xlabel("training step", fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1)
        if ax is not axes[0]:
            ax.tick_params(labelleft=False)
    axes[0].set_ylabel("nats, averaged over x", fontsize=SMALL)
    handles, labels = axes[0].get_legend_handles_labels()
    if not figure.legends:
        figure.legend(
            handles, labels, loc="outside lower center", ncols=3, fontsize=SMALL - 1, frameon=False
        )
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure

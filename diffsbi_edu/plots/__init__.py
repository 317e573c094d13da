"""One function a figure: takes tensors, returns a `Picture` (a matplotlib `Figure`).

No function calls `plt.show`, touches pyplot's current figure, or changes global settings. All
accept `figure=` or `ax=`, to draw on top of what is there, and use the same colours for the same
things.
"""

from diffsbi_edu.plots.base import EXACT, LEARNED, NOISE, PRIOR, SERIES, TRUTH, Picture
from diffsbi_edu.plots.bound import bound_history, bound_parts
from diffsbi_edu.plots.calibration import (
    contraction,
    coverage,
    ecdf_difference,
    predictive,
    rank_histogram,
)
from diffsbi_edu.plots.data_sets import data_set
from diffsbi_edu.plots.gallery import Ranks, overview
from diffsbi_edu.plots.landscape import landscape
from diffsbi_edu.plots.nulls import differences, null_histogram
from diffsbi_edu.plots.posterior import corner, joint, scatter_pair
from diffsbi_edu.plots.process import arrows, grid_points, marginals, schedules, trajectories
from diffsbi_edu.plots.progress import curves, loss_curve, tradeoff
from diffsbi_edu.plots.sizes import posterior_width_by_size
from diffsbi_edu.plots.study import power, stability
from diffsbi_edu.plots.summaries import summary_space

__all__ = [
    "EXACT",
    "LEARNED",
    "NOISE",
    "PRIOR",
    "SERIES",
    "TRUTH",
    "Picture",
    "Ranks",
    "arrows",
    "bound_history",
    "bound_parts",
    "contraction",
    "corner",
    "coverage",
    "curves",
    "data_set",
    "differences",
    "ecdf_difference",
    "grid_points",
    "joint",
    "landscape",
    "loss_curve",
    "marginals",
    "null_histogram",
    "overview",
    "posterior_width_by_size",
    "power",
    "predictive",
    "rank_histogram",
    "scatter_pair",
    "schedules",
    "stability",
    "summary_space",
    "tradeoff",
    "trajectories",
]

"""Diagnostics: samples in, numbers out."""

from diffsbi_edu.diagnostics.amortization import AmortizationResult, amortization
from diffsbi_edu.diagnostics.bound import Estimate, KLBound, kl_bound
from diffsbi_edu.diagnostics.bound_history import (
    BoundHistory,
    compare_histories,
    follow_bound,
    linear_summary_model,
)
from diffsbi_edu.diagnostics.c2st import c2st
from diffsbi_edu.diagnostics.contraction import ContractionResult, contraction
from diffsbi_edu.diagnostics.coverage import CoverageResult, expected_coverage
from diffsbi_edu.diagnostics.discriminative import (
    DiscriminativeResult,
    discriminative_calibration,
)
from diffsbi_edu.diagnostics.export import calibration_to_arviz, to_arviz
from diffsbi_edu.diagnostics.linear_truth import LinearTruth
from diffsbi_edu.diagnostics.local_c2st import LocalC2STResult, local_c2st
from diffsbi_edu.diagnostics.mmd import MMDResult, mmd
from diffsbi_edu.diagnostics.predictive import PredictiveResult, posterior_predictive
from diffsbi_edu.diagnostics.sbc import SBCResult, compare_ranks, exact_ks, sbc
from diffsbi_edu.diagnostics.score import ScoreResult, log_score
from diffsbi_edu.diagnostics.spikes import spikes
from diffsbi_edu.diagnostics.spoilt import Error, Spoilt
from diffsbi_edu.diagnostics.suite import Calibration, calibrate, calibrate_draws
from diffsbi_edu.diagnostics.tarp import TARPResult, tarp

__all__ = [
    "AmortizationResult",
    "BoundHistory",
    "Calibration",
    "ContractionResult",
    "CoverageResult",
    "DiscriminativeResult",
    "Error",
    "Estimate",
    "KLBound",
    "LinearTruth",
    "LocalC2STResult",
    "MMDResult",
    "PredictiveResult",
    "SBCResult",
    "ScoreResult",
    "Spoilt",
    "TARPResult",
    "amortization",
    "c2st",
    "calibrate",
    "calibrate_draws",
    "calibration_to_arviz",
    "compare_histories",
    "compare_ranks",
    "contraction",
    "discriminative_calibration",
    "exact_ks",
    "expected_coverage",
    "follow_bound",
    "kl_bound",
    "linear_summary_model",
    "local_c2st",
    "log_score",
    "mmd",
    "posterior_predictive",
    "sbc",
    "spikes",
    "tarp",
    "to_arviz",
]

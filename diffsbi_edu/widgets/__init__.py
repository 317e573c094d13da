"""Dashboards: live training, noise schedules, stability, calibration, summary networks, gallery."""

from diffsbi_edu.widgets.calibration_lab import CalibrationLab
from diffsbi_edu.widgets.encoder_lab import EncoderLab
from diffsbi_edu.widgets.gallery import Gallery
from diffsbi_edu.widgets.live_training import LiveTraining
from diffsbi_edu.widgets.schedule_explorer import ScheduleExplorer
from diffsbi_edu.widgets.stability_race import StabilityRace

__all__ = [
    "CalibrationLab",
    "EncoderLab",
    "Gallery",
    "LiveTraining",
    "ScheduleExplorer",
    "StabilityRace",
]

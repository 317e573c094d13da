"""Diagnostics: samples in, numbers out."""

from diffsbi_edu.diagnostics.c2st import c2st

__all__ = ["c2st"]

"""Reports: a results database as one self-contained page of figures and tables."""

from .comparison_figures import Correction
from .errors import ReportError
from .writing import write_report

__all__ = ["Correction", "ReportError", "write_report"]

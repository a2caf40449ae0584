"""Reports: a results database as one self-contained page of figures and tables."""

from .errors import ReportError
from .writing import write_report

__all__ = ["ReportError", "write_report"]

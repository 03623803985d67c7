"""Runs beside each other: a picture of their learning curves, a page, a table."""

from .report import Report, write_memory, write_report
from .table import as_table

__all__ = ["Report", "as_table", "write_memory", "write_report"]

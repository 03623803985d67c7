"""Compare runs, show a memory, show a sweep: tables for the terminal, pictures, HTML pages."""

from .comparison import Report, as_table, write_report
from .memory import write_memory

__all__ = ["Report", "as_table", "write_memory", "write_report"]

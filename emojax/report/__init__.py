"""The report of a run: tables, figures, report.md and report.html."""

from emojax.report.write import terminal, write

__all__ = ['terminal', 'write']

"""Blocks, tables, figures and pages of reports; knows no paper."""

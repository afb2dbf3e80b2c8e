"""Installs emojax: `pip install -e .` (pyproject.toml has the metadata)."""

import setuptools

setuptools.setup()

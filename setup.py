"""Installs emojax: `pip install -e .` (pyproject.toml has the metadata)."""

import setuptools

# The files of settings stay where they are read in a checkout, configs/, and are a
# part of the package where it is installed: `emojax train gen:tiny`.
setuptools.setup(
  packages=[
    *setuptools.find_packages(include=['emojax', 'emojax.*']),
    'emojax.configs',
  ],
  package_dir={'emojax.configs': 'configs'},
)

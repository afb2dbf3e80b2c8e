"""The former name of relative_uncertainty.py."""

import pathlib
import runpy

get_config = runpy.run_path(
  str(pathlib.Path(__file__).with_name('relative_uncertainty.py'))
)['get_config']

"""The former name of bayesian.py."""

import pathlib
import runpy

get_config = runpy.run_path(
  str(pathlib.Path(__file__).with_name('bayesian.py'))
)['get_config']

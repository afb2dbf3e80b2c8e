"""The former name of study.py."""

import pathlib
import runpy

get_config = runpy.run_path(str(pathlib.Path(__file__).with_name('study.py')))[
  'get_config'
]

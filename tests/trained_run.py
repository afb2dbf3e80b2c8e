"""A small run that is trained once, for tests of what comes after training."""

import contextlib
import functools
import io

import code_generator
import pytest
import small_run
from rich.console import Console

from emojax import models
from emojax.engine import programs, sources
from emojax.experiments.distillation import report
from emojax.experiments.distillation import run as distillation
from emojax.runtime import workdir


@contextlib.contextmanager
def small_and_quick():
  """The small network, compiled once for all runs; reports without figures."""
  # Evaluations compare their numbers with the run's.
  users = code_generator.users_programs()
  with users, pytest.MonkeyPatch.context() as patch:
    patch.setitem(models.MODELS, 'small', small_run.small)
    for name in ('init', 'generation', 'predict', 'sample'):
      program = functools.cache(getattr(programs, f'{name}_program'))
      patch.setattr(programs, f'{name}_program', program)
    patch.setattr(report.contents, 'figures', lambda run: [])
    patch.setattr(sources, 'BLOCK_BYTES', 1)  # no padding to large blocks
    yield


def train(path, **changes):
  """What `main` does with the small configuration; returns the results."""
  config = small_run.config(**changes)
  folder = workdir.Workdir(path, config.to_dict())
  folder.open()
  return distillation.run(config, folder, Console(file=io.StringIO()))

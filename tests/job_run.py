"""A small run that is cheap to start, alone or as one of several processes.

  PYTHONPATH=.:tests python tests/job_run.py FLAGS OF emojax.main

With JOB_RUN_DIES=K:E in the environment, process K kills itself after epoch E
of the first generation has been saved; with JOB_RUN_TERM=K:E it sends itself
SIGTERM then.
"""

import os
import signal

import small_run

from emojax import main, models
from emojax.engine import sources
from emojax.experiments.distillation import report
from emojax.host import processes
from emojax.runtime import training

SIGNALS = {'JOB_RUN_DIES': signal.SIGKILL, 'JOB_RUN_TERM': signal.SIGTERM}
save = training.checkpoint.Checkpoints.save


def save_and_signal(checkpoints, step, tree):
  save(checkpoints, step, tree)
  for name, number in SIGNALS.items():
    moment = f'{processes.index()}:{step}'
    if os.environ.get(name) == moment and checkpoints.folder.name == 'Tea':
      os.kill(os.getpid(), number)


if __name__ == '__main__':
  training.checkpoint.Checkpoints.save = save_and_signal
  models.MODELS['small'] = small_run.small
  report.contents.figures = lambda run: []
  sources.BLOCK_BYTES = 1  # no padding to large blocks
  main.run()

"""Learning from incomplete labels (paper 001): teacher, students, balancing.

  python -m emojax.main --config=configs/incomplete_labels.py \
    --workdir=runs/incomplete

trains single-task and multitask CNNs and recurrent networks on the embedded
data set, three seeds at a time, and opens with a report. Presets,
after a colon:

  :embedded       all of the paper on the embedded data set
  :table1         single-task CNNs: baseline, imbalanced, balanced
  :figure5        single-task, teacher, mean student, ensemble
  :figure6        recurrent networks, sequences of 32, 16 and 8
  :tiny           a look at every part; the numbers mean nothing
  :paper          the paper's settings, for Aff-Wild2

The last one reads data sets prepared by `python -m emojax.data.prepare`, all with
the labels of the first in its order (ExpW: --option expressions=affwild2); of the
external ones those that are named:

  python -m emojax.main --config=configs/incomplete_labels.py:paper \
    --config.data.path=AFFWILD2 --config.data.external.au=DISFA \
    --config.data.external.expr=EXPW --config.data.external.va=AFEWVA \
    --config.model.pretrained=resnet50.pth \
    --workdir=runs/incomplete_paper

Every setting, here and in configs/common.py, can be overridden, e.g.
`--config.train.steps=50`.
"""

import pathlib
import runpy
import types

from ml_collections import ConfigDict

common = types.SimpleNamespace(
  **runpy.run_path(str(pathlib.Path(__file__).with_name('common.py')))
)


def embedded() -> ConfigDict:
  """All of the paper, small enough for a laptop."""
  config = common.two_stage()
  config.experiment = 'incomplete_labels'
  # Single-task CNNs of Table I; () for none.
  config.conditions = ('baseline', 'imbalanced', 'balanced')
  # What the multitask networks learn from, as in `conditions`; '' for none.
  config.multitask = 'balanced'
  config.ensemble.size = 5  # students of a teacher
  config.ensemble.seeds = 3  # teachers, each with students of its own
  # The embedded data set: videos of imbalanced single-task subsets, and
  # balanced stills of other people in the place of DISFA, ExpW and AFEW-VA.
  config.data.train_clips = ConfigDict({'au': 60, 'expr': 60, 'va': 60})
  config.data.external_stills = ConfigDict(
    {'balanced_au': 800, 'balanced_expr': 800, 'balanced_va': 800}
  )
  config.data.external = ConfigDict({'au': '', 'expr': '', 'va': ''})
  config.train.patience = 0  # epochs without improvement; 0: no early stopping
  config.recurrent.patience = 0
  config.recurrent.lengths = (32, 16, 8)
  config.loss.divergence = 'cross_entropy'  # or 'kl'
  return config


def table1() -> ConfigDict:
  """Single-task CNNs: baseline, external data, balancing."""
  config = embedded()
  config.multitask = ''
  return config


def figure5() -> ConfigDict:
  """Single-task CNNs, teacher, mean student, ensemble of students."""
  config = embedded()
  config.conditions = ('balanced',)
  config.recurrent.lengths = ()
  return config


def figure6() -> ConfigDict:
  """Recurrent networks on the features of the best CNN (and Table II)."""
  config = embedded()
  config.conditions = ()
  return config


def tiny() -> ConfigDict:
  """A look at every part; the numbers mean nothing."""
  config = embedded()
  common.tiny_two_stage(config)
  config.ensemble.size = 2
  config.data.train_clips = ConfigDict({'au': 4, 'expr': 4, 'va': 4})
  config.data.external_stills = ConfigDict(
    {'balanced_au': 24, 'balanced_expr': 24, 'balanced_va': 24}
  )
  config.recurrent.lengths = (8, 4)
  return config


def paper() -> ConfigDict:
  """The paper's settings, for prepared Aff-Wild2 and external data sets.

  Its networks start from pretrained weights: give model.pretrained.
  """
  config = embedded()
  common.paper_two_stage(config)
  config.ensemble.seeds = 1
  for stage in (config.train, config.recurrent):
    stage.student_epochs = 3
    stage.decay_every = 3
  config.train.teacher_epochs = 8
  config.recurrent.clips_per_task = 20
  return config


PRESETS = {
  f.__name__: f for f in (embedded, table1, figure5, figure6, tiny, paper)
}


def get_config(preset: str = 'embedded') -> ConfigDict:
  """Returns the configuration of a preset."""
  return common.choose(PRESETS, 'incomplete_labels', preset)

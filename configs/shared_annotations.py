"""Shared annotations and several databases (paper 002).

  python -m emojax.main --config=configs/shared_annotations.py \
    --workdir=runs/shared

trains teachers, students and recurrent networks for expressions, valence and
arousal on the embedded data set, three seeds at a time, and opens with a report.
Presets:

  configs/shared_annotations.py          all of the paper on the embedded data set
  configs/shared_annotations.py:table1   teachers of two and of three subsets
  configs/shared_annotations.py:table2   students with and without sharing
  configs/shared_annotations.py:table3   CNN and CNN + GRU, teacher and student
  configs/shared_annotations.py:tiny     a look at every part
  configs/shared_annotations.py:paper    the paper's settings, for Aff-Wild2

The last one reads data sets prepared by `python -m emojax.data.prepare`, all with
the labels of the first in its order (ExpW and AffectNet: --option
expressions=affwild2); of the external ones those that are named:

  python -m emojax.main --config=configs/shared_annotations.py:paper \
    --config.data.path=AFFWILD2 --config.data.external.expr=EXPW \
    --config.data.external.va=AFEWVA --config.data.external.expr_va=AFFECTNET \
    --config.model.pretrained=resnet50.pth \
    --workdir=runs/shared_paper

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
  config.experiment = 'shared_annotations'
  # Teachers of 2 (EXPR, VA) and of 3 subsets (EXPR_VA, too): Table 1.
  config.teachers = (2, 3)
  # Students without and with shared annotations: Table 2.
  config.sharing = (False, True)
  config.ensemble.size = 1  # students of a teacher
  config.ensemble.seeds = 3  # teachers; the paper has ten
  # The embedded data set: videos of imbalanced subsets with one or both labels,
  # and balanced stills of other people in the place of ExpW and AFEW-VA, fully
  # labelled ones ('full') in that of AffectNet.
  config.data.train_clips = ConfigDict({'expr': 40, 'va': 40, 'shared': 40})
  config.data.external_stills = ConfigDict(
    {'balanced_expr': 800, 'balanced_va': 800, 'full': 800}
  )
  config.data.external = ConfigDict({'expr': '', 'va': '', 'expr_va': ''})
  config.train.patience = 5  # epochs without improvement; 0: no early stopping
  config.recurrent.patience = 5
  config.recurrent.lengths = (32,)
  config.loss.divergence = 'kl'  # or 'cross_entropy'
  return config


def table1() -> ConfigDict:
  """Teachers of two and of three subsets."""
  config = embedded()
  config.sharing = ()
  config.recurrent.lengths = ()
  return config


def table2() -> ConfigDict:
  """Students with and without shared annotations."""
  config = embedded()
  config.teachers = (3,)
  config.recurrent.lengths = ()
  return config


def table3() -> ConfigDict:
  """CNN and CNN + GRU, teacher and student."""
  config = embedded()
  config.teachers = (3,)
  config.sharing = (True,)
  return config


def tiny() -> ConfigDict:
  """A look at every part; the numbers mean nothing."""
  config = embedded()
  common.tiny_two_stage(config)
  config.data.train_clips = ConfigDict({'expr': 3, 'va': 3, 'shared': 3})
  config.data.external_stills = ConfigDict(
    {'balanced_expr': 24, 'balanced_va': 24, 'full': 24}
  )
  config.recurrent.lengths = (4,)
  return config


def paper() -> ConfigDict:
  """The paper's settings, for prepared Aff-Wild2 and external data sets.

  Its networks start from pretrained weights: give model.pretrained.
  """
  config = embedded()
  common.paper_two_stage(config)
  config.ensemble.seeds = 10
  for stage in (config.train, config.recurrent):
    stage.teacher_epochs = 40
    stage.student_epochs = 40
    stage.decay_factor = 1.0
  config.train.clips_per_task = 64
  config.recurrent.clips_per_task = 16
  return config


PRESETS = {
  f.__name__: f for f in (embedded, table1, table2, table3, tiny, paper)
}


def get_config(preset: str = 'embedded') -> ConfigDict:
  """Returns the configuration of a preset."""
  return common.choose(PRESETS, 'shared_annotations', preset)

"""The papers: one folder each, and the registry of their experiments.

Every folder has rooms of the same names: `run` (the story, top to bottom),
`method` (objective and `Method`), `evaluate`, `report`, `tables`, `figures`,
`findings` (claims and verdicts), `published` (the paper's numbers) and `trained`
(what comes after training, `protocol.Trained`). What two
experiments share lives a floor below, as `two_stage` does under papers 001 and 002.
"""

import importlib
import types
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
  from emojax.experiments.protocol import Trained

# Modules whose `run(config, folder, console)` is an experiment, by the name in
# `config.experiment`.
EXPERIMENTS = {
  'bayesian': 'emojax.experiments.bayesian.run',
  'distillation': 'emojax.experiments.distillation.run',
  'incomplete_labels': 'emojax.experiments.incomplete_labels.run',
  'relative_uncertainty': 'emojax.experiments.relative_uncertainty.run',
  'shared_annotations': 'emojax.experiments.shared_annotations.run',
  'study': 'emojax.experiments.distillation.study',
}
# Papers whose trained runs can be opened: modules of `protocol.Trained`.
TRAINED = {
  'bayesian': 'emojax.experiments.bayesian.trained',
  'distillation': 'emojax.experiments.distillation.trained',
  'incomplete_labels': 'emojax.experiments.incomplete_labels.trained',
  'relative_uncertainty': 'emojax.experiments.relative_uncertainty.trained',
  'shared_annotations': 'emojax.experiments.shared_annotations.trained',
}


def module(name: str) -> types.ModuleType:
  """The module of an experiment; imported only when it is asked for."""
  return importlib.import_module(EXPERIMENTS[name])


def trained(name: str) -> 'Trained':
  """What comes after the training of an experiment; KeyError on other names."""
  return cast('Trained', importlib.import_module(TRAINED[name]))

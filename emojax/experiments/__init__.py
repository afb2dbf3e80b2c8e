"""The papers: one folder each, and the registry of their experiments.

Every folder has rooms of the same names: `run` (the story, top to bottom),
`method` (objective and `Method`), `evaluate`, `report`, `tables`, `figures`,
`findings` (claims and verdicts), `published` (the paper's numbers) and `trained`
(what comes after training). `protocol` says what the rooms `run` and `trained` offer
to others. No paper asks another one; what they share is under them: `frame` is of
all runs, `two_stage` of papers 001 and 002.
"""

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
  from emojax.experiments.protocol import Experiment, Trained

# Folders of papers, which are the names of their experiments.
PAPERS = (
  'bayesian',
  'distillation',
  'incomplete_labels',
  'relative_uncertainty',
  'shared_annotations',
)
# Modules of `protocol.Experiment`, by the name in `config.experiment`.
EXPERIMENTS = {
  **{name: f'emojax.experiments.{name}.run' for name in PAPERS},
  'study': 'emojax.experiments.distillation.study',
}
# Modules of `protocol.Trained`; the runs of a study are opened one by one.
TRAINED = {name: f'emojax.experiments.{name}.trained' for name in PAPERS}


def module(name: str) -> 'Experiment':
  """The module of an experiment; imported only when it is asked for."""
  return cast('Experiment', importlib.import_module(EXPERIMENTS[name]))


def trained(name: str) -> 'Trained':
  """What comes after the training of an experiment; KeyError on other names."""
  return cast('Trained', importlib.import_module(TRAINED[name]))

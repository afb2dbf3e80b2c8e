"""The frame of every run: its data are kept, its files have names, it ends.

What a paper does in between is the paper's own. `keep` comes first, `Run` is what
its stacks share while `training.session` is open, and `Run.write` ends it.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.console import Console

from emojax import tasks
from emojax.data import load
from emojax.data import unseen as unseen_classes
from emojax.data.clips.clips import Dataset
from emojax.evaluation import Predictions
from emojax.experiments.protocol import predictions_path
from emojax.host import terminal
from emojax.report import validity
from emojax.runtime import damage, provenance, training, workdir


class Data(NamedTuple):
  """What a run is trained on.

  Attributes:
    summary: One line for the terminal.
    sets: Clips by their part in the run, such as 'train'.
    schema: The tasks that the data have labels of.
    unseen: Classes that no training frame shows (`data.unseen`).
  """

  summary: str
  sets: Mapping[str, Any]
  schema: tasks.Schema
  unseen: list[str]


def data_of(
  dataset: Dataset, summary: str = '', learned: tasks.Schema = ()
) -> Data:
  """What a run on a data set is trained on.

  Args:
    dataset: The data set.
    summary: What the terminal says; '' for that of all data sets.
    learned: The tasks that are trained, if not all.
  """
  return Data(
    summary or load.summary(dataset),
    provenance.sets_of(dataset),
    dataset.schema,
    unseen_classes.unseen(learned or dataset.schema, dataset.train.targets),
  )


def keep(folder: workdir.Workdir, data: Data, console: Console):
  """Says what a run is trained on and keeps it, before anything is made of it.

  Raises:
    DataChangedError: The run has begun with other data.
    ProcessError: The processes of a job see different data.
  """
  terminal.say(console, data.summary)
  provenance.keep(folder, data.sets, data.schema, console)
  unseen_classes.tell(data.unseen, console)


@dataclasses.dataclass(frozen=True)
class Run:
  """What the stacks of a run share; papers add what is theirs.

  Attributes:
    config: Resolved configuration.
    data: What it is trained on.
    session: Checkpoints, progress, signals.
  """

  config: Any
  data: Data
  session: training.Session

  def path(self, *parts: str) -> pathlib.Path:
    """A file of the run; its folder without any parts."""
    return self.session.folder.path.joinpath(*parts)

  def weights_path(self, name: str) -> pathlib.Path:
    """Folder of a finished stack's weights."""
    return self.path('checkpoints', name)

  def predictions_path(self, name: str) -> pathlib.Path:
    """What a finished stack predicts; written last, so it marks the end."""
    return predictions_path(self.path(), name)

  def load(self, name: str, schema: tasks.Schema | None = None) -> Predictions:
    """Predictions of a finished stack.

    Args:
      name: What they are called.
      schema: If given, the label names that they must have.

    Raises:
      CheckpointError: If they cannot be read; says what to do.
    """
    path = self.predictions_path(name)
    with damage.explained(path):
      return Predictions.load(path, schema)

  def outcome(self) -> dict[str, Any]:
    """What results.json says of every run.

    Returns:
      `validity`: whether it can test claims (`report.validity`); `unseen`: the
      classes of `Data.unseen`, if there are any; `timings`: seconds by part.
    """
    floor = validity.floor_from_config(self.config)
    found: dict[str, Any] = {'validity': validity.of_run(self.path(), floor)}
    if self.data.unseen:
      found['unseen'] = self.data.unseen
    return {**found, 'timings': self.session.timings.rounded()}

  def write(
    self, results: Mapping[str, Any], curves: Mapping[str, Any] | None = None
  ):
    """Writes curves.json, if there are any, and results.json."""
    if curves is not None:
      workdir.write_json(self.path('curves.json'), curves)
    workdir.write_json(self.path('results.json'), results)

"""What every experiment offers: to whoever starts it, and once it is trained.

`main` runs an `Experiment`. `emojax.trained` opens, exports, loads and evaluates the
runs of all papers by the pieces of `Trained` and names none of them. They are
functions of a run's resolved configuration and live in a module `trained` of the
paper's folder (see `experiments.trained`).
"""

import dataclasses
import pathlib
import types
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console

from emojax import tasks
from emojax.engine.member import Method
from emojax.engine.trainer import Settings
from emojax.evaluation import Predictions
from emojax.runtime import workdir

PyTree = Any


class Experiment(Protocol):
  """The module `run` of a paper, or another one that makes a finished folder."""

  def run(
    self, config, folder: workdir.Workdir, console: Console
  ) -> dict[str, Any]:
    """Trains, evaluates and reports; resumes where it stopped.

    Args:
      config: Resolved configuration.
      folder: The run's folder, opened.
      console: Where progress and tables go.

    Returns:
      The results, as in results.json.

    Raises:
      StopRequested: After SIGINT or SIGTERM, with everything saved.
      DivergedError: If a loss is not finite.
      ValueError: If settings or data make no sense, before anything is trained.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Stack:
  """Members that a run leaves behind, as its files name them.

  Attributes:
    name: Of `predictions/NAME.npz`, and what `--generation` calls it.
    weights: Folder under `checkpoints`; several stacks may share one.
    stream: Folded into the seed's key for the stochastic passes.
    notes: What whoever uses its members must know.
    passes: Stochastic passes of each member that the run itself has drawn.
  """

  name: str
  weights: str
  stream: int
  notes: tuple[str, ...] = ()
  passes: int = 0


@dataclasses.dataclass(frozen=True)
class Network:
  """A network as `model.json` describes it: built without a run.

  Attributes:
    name: Of `models.build`, or one of `trained.network`.
    options: Arguments of `models.build`; others are left out.
    attributes: Further attributes of the Flax module.
    channels: Of the images, 1 or 3.
    augment: Whose way of cutting images before the network sees them
      (`augment.evaluation`).
    ten_crop: Whether outputs are the mean over ten crops of that size.
    read_out: Method of paper 003 that says what logits and learned uncertainty
      are; '' where the network's outputs are the logits.
  """

  name: str
  options: Mapping[str, Any]
  attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  channels: int = 3
  augment: str = 'none'
  ten_crop: bool = False
  read_out: str = ''


class Trained(Protocol):
  """The module `trained` of a paper.

  Attributes:
    PAPER: What was done, and by whom, for the card of an exported model.
    REPORT: A module with `write(folder, clips)` and `terminal(results, console)`
      for runs that are evaluated again (`report.stacks` knows no paper).
    FOREIGN: Whether the runs look at out-of-distribution sets, and so evaluations
      do unless told otherwise.
    LEARNED: Output of `Method.predict` that says how uncertain a frame is, besides
      logits; None where probabilities alone say so.
    PRIORS: A module with `of_generations(config, schema, targets)` and
      `read(folder, schema)` where class weights bias predictions
      (`uncertainty.prior`); None where nothing is weighted.
  """

  PAPER: str
  REPORT: types.ModuleType
  FOREIGN: bool
  LEARNED: str | None
  PRIORS: types.ModuleType | None

  def stacks(self, config) -> tuple[Stack, ...]:
    """The stacks that a finished run has and that can be opened, in order."""
    ...

  def predictions(self, folder: pathlib.Path, config, name: str) -> Predictions:
    """What the run has written for a stack; errors are NumPy's."""
    ...

  def header(
    self, folder: pathlib.Path, config, name: str
  ) -> tuple[tasks.Schema, int]:
    """What a stack predicts, and its members, without reading all of it."""
    ...

  def weights(
    self, folder: pathlib.Path, config, name: str, tree: PyTree
  ) -> PyTree:
    """{'params', 'model_state'} of the network of a stack, NumPy [M, ...].

    Args:
      folder: The run's.
      config: Its configuration.
      name: The stack.
      tree: The same of what the stack has trained, of the wanted members.
    """
    ...

  def method_for(self, config, name: str, schema: tasks.Schema, mesh) -> Method:
    """The method of a stack, of which only predictions are used."""
    ...

  def settings_for(self, config, name: str, members: int) -> Settings:
    """What a trainer of some members of a stack needs."""
    ...

  def network_for(self, config, name: str) -> Network:
    """The network of a stack."""
    ...

  def held_out(self, config) -> dict[str, Any]:
    """Clips with labels by set: those that predictions were written for, as far
    as they exist, and 'val'."""
    ...

  def as_trained(self, config, clips: Any, schema: tasks.Schema) -> Any:
    """Clips of any data, with labels of `schema`, as the networks and scores of
    the run take them; errors are ValueErrors."""
    ...

  def learned(
    self, task: tasks.Task, target: tasks.Target, logits, doubt
  ) -> list[dict[str, float]]:
    """Scores of what is learned under `LEARNED`, by member.

    Args:
      task: The task of the logits.
      target: Labels [N, L, ...].
      logits: [M, N, L, K].
      doubt: [M, N, L], higher is less certain.
    """
    ...


class Plain:
  """Pieces of `Trained` for runs whose files are `Predictions` of one network.

  A module takes them as its own: `predictions = Plain.predictions`.
  """

  @staticmethod
  def predictions(folder: pathlib.Path, config, name: str) -> Predictions:
    """See `Trained.predictions`."""
    del config
    return Predictions.load(predictions_path(folder, name))

  @staticmethod
  def header(folder: pathlib.Path, config, name: str):
    """See `Trained.header`."""
    del config
    return Predictions.read_header(predictions_path(folder, name))

  @staticmethod
  def weights(folder: pathlib.Path, config, name: str, tree: PyTree) -> PyTree:
    """See `Trained.weights`."""
    del folder, config, name
    return tree

  @staticmethod
  def as_trained(config, clips: Any, schema: tasks.Schema) -> Any:
    """See `Trained.as_trained`."""
    del config, schema
    return clips


def predictions_path(folder: pathlib.Path, name: str) -> pathlib.Path:
  """Where a run has written what a stack predicts."""
  return folder / 'predictions' / f'{name}.npz'

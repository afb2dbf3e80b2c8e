"""What every experiment offers to what comes after training.

`emojax.trained` opens, exports, loads and evaluates the runs of all papers by these
pieces and names none of them. They are functions of a run's resolved configuration
and live in a module `trained` of the paper's folder (see `experiments.trained`).
"""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Protocol

from emojax import tasks
from emojax.engine.member import Method
from emojax.engine.trainer import Settings


@dataclasses.dataclass(frozen=True)
class Stack:
  """Members that a run leaves behind, as its files name them.

  Attributes:
    name: Of `predictions/NAME.npz`, and what `--generation` calls it.
    weights: Folder under `checkpoints`; several stacks may share one.
    stream: Folded into the seed's key for the stochastic passes.
    notes: What whoever uses its members must know.
  """

  name: str
  weights: str
  stream: int
  notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Network:
  """A network as `model.json` describes it: built without a run.

  Attributes:
    name: Of `models.build`.
    options: Arguments of `models.build`; others are left out.
    attributes: Further attributes of the Flax module.
    channels: Of the images, 1 or 3.
  """

  name: str
  options: Mapping[str, Any]
  attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  channels: int = 3


class Trained(Protocol):
  """The module `trained` of a paper.

  Attributes:
    PAPER: What was done, and by whom, for the card of an exported model.
    REPORT: A module with `write(folder, clips)` and `terminal(results, console)`
      for runs that are evaluated again; None where they cannot be.
    PRIORS: A module with `of_generations(config, schema, targets)` and
      `read(folder, schema)` where class weights bias predictions
      (`uncertainty.prior`); None where nothing is weighted.
  """

  PAPER: str
  REPORT: types.ModuleType | None
  PRIORS: types.ModuleType | None

  def stacks(self, config) -> tuple[Stack, ...]:
    """The stacks that a finished run has and that can be opened, in order."""

  def method_for(self, config, name: str, schema: tasks.Schema, mesh) -> Method:
    """The method of a stack, of which only predictions are used."""

  def settings_for(self, config, name: str, members: int) -> Settings:
    """What a trainer of some members of a stack needs."""

  def network_for(self, config, name: str) -> Network:
    """The network of a stack."""

  def held_out(self, config) -> dict[str, Any]:
    """Clips with labels by set: those that predictions were written for, as far
    as they exist, and 'val'."""

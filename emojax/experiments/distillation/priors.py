"""What the class weights of a run have done to its generations' predictions.

Teachers learn with the weights of Eqs. 3 and 5. Students have none of their own
(`loss.reweight_students` apart), but their soft labels are what the teachers say,
and so they learn the teachers' bias: they are corrected by the same weights. With
`loss.correct_teachers` soft labels are made of corrected probabilities, and there
is nothing to correct in the students.

priors.json keeps the log weights, so that evaluating and exporting a run need not
read its training data.
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from emojax import losses, tasks
from emojax.engine import methods, optimisation
from emojax.runtime import workdir
from emojax.uncertainty import prior as priors
from emojax.uncertainty.prior import Prior

FILE, FORMAT = 'priors.json', 'emojax-priors-1'


def weights_from_config(
  config, targets: tasks.Targets, number: int
) -> dict[str, np.ndarray]:
  """Class weights that a generation is trained with, ones where there are none.

  Args:
    config: Resolved configuration.
    targets: Hard labels of the training clips.
    number: 0 for the teachers.

  Returns:
    Task -> float32: 'au' p_c [A] (Eq. 3), 'expr' w_c [E] (Eq. 5), to the power
    of `loss.weight_power`; no key for a task that the data set does not have.
  """
  teachers, loss = number == 0, config.loss
  power = optimisation.setting(loss, 'weight_power', 'loss')
  students = loss.get('reweight_students', False)
  found = {}
  for name, weights, on in (
    ('au', losses.positive_weights, teachers or students),
    ('expr', losses.class_weights, teachers),
  ):
    if name in targets:
      ones = np.ones(targets[name].value.shape[-1], np.float32)
      on = on and loss.reweight
      found[name] = weights(*targets[name], power) if on else ones
  return found


def corrects_teachers(config) -> bool:
  """Whether soft labels are made of corrected probabilities."""
  return optimisation.setting(config.loss, 'correct_teachers', 'loss')


def of_generations(
  config, schema: tasks.Schema, targets: tasks.Targets
) -> list[Prior]:
  """Log weights in the predictions of each generation, teachers first.

  A generation has its own, and those that its soft labels hand on.
  """
  found, handed_on = [], {}
  for number in range(config.generations + 1):
    weights = weights_from_config(config, targets, number)
    own = {
      task.name: priors.log_weights(task, weights[task.name])
      for task in schema
      if task.name in weights
    }
    found.append(priors.plus(handed_on, own))
    handed_on = {} if corrects_teachers(config) else found[-1]
  return found


def soft_labels(schema: tasks.Schema, prior: Prior, bin_values) -> Callable:
  """Like `methods.soft_labels`, of probabilities that are corrected."""

  def labels(outputs):
    corrected = priors.correct(schema, outputs, prior)
    return methods.soft_labels(schema, corrected, bin_values)

  return labels


def write(folder: pathlib.Path, schema: tasks.Schema, found: dict[str, Prior]):
  """Writes priors.json, generation -> task -> label -> log weight."""
  said = {name: priors.to_json(schema, one) for name, one in found.items()}
  workdir.write_json(folder / FILE, {'format': FORMAT, 'generations': said})


def read(folder: pathlib.Path, schema: tasks.Schema) -> dict[str, Prior] | None:
  """Reads priors.json; None if a run is older than it.

  Raises:
    ValueError: if the file is of no use; says which and why.
  """
  path = folder / FILE
  if not path.exists():
    return None
  try:
    return _parsed(json.loads(path.read_text()), schema)
  except (OSError, RecursionError, ValueError) as error:
    raise ValueError(
      f'{path} cannot be used ({error}): move it away, and the weights are '
      'computed from the training data again'
    ) from error


def _parsed(found: Any, schema: tasks.Schema) -> dict[str, Prior]:
  if not isinstance(found, dict) or found.get('format') != FORMAT:
    raise ValueError(f'expected an object of format {FORMAT!r}')
  generations = found.get('generations')
  if not isinstance(generations, dict):
    raise ValueError('generations: expected an object')
  return {
    name: priors.from_json(schema, one, f'generations.{name}')
    for name, one in generations.items()
  }

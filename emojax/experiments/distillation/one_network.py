"""Students that are one network each and answer as all teachers do.

`distill.method` says how: 'mean' is paper 000, whose students learn the mean of the
teachers; a 'hydra' and distributions (`ops.families`) learn what every teacher says by
itself, so that what the teachers disagree on is not lost (docs/one-network.md). A
student's logits are those of its mean distribution; its stochastic passes are its
members.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from emojax import models, tasks, uncertainty
from emojax.engine import methods, optimisation
from emojax.engine.member import Method
from emojax.losses import one_network as member_losses
from emojax.models import one_network
from emojax.models.one_network import MEMBERS, PARAMETERS
from emojax.ops import logit_gaussian
from emojax.ops.families import FAMILIES
from emojax.uncertainty import prior as priors

MEAN = 'mean'


def from_config(config) -> str:
  """How students learn; 'mean' in runs of before."""
  part = config.get('distill', {})
  return optimisation.setting(part, 'method', 'distill')


def students_from_config(config) -> int:
  """Students of a generation; as many as teachers unless `distill.students`."""
  part = config.get('distill', {})
  found = optimisation.setting(part, 'students', 'distill')
  return found or config.ensemble.size


def heads_from_config(config) -> int:
  """Heads of a student: one for each teacher; 0 where there are none."""
  return config.ensemble.size if from_config(config) == 'hydra' else 0


def passes_from_config(config) -> int:
  """Stochastic passes of a student: all heads of a Hydra, or as many draws."""
  samples = config.get('eval', {}).get('mc_samples', 0)
  return heads_from_config(config) or samples


def notes_from_config(config) -> tuple[str, ...]:
  """What whoever uses a student must know."""
  inside = 'a distribution over the answers of its teachers'
  if from_config(config) == 'hydra':
    inside = f'one head for each of {config.ensemble.size} teachers'
  samples = heads_from_config(config) or 'S'
  return (
    f'every member has inside it {inside}: predict(..., samples={samples}) has '
    'what they disagree on as epistemic uncertainty',
  )


def model_from_config(config, schema: tasks.Schema, axis_name=None):
  """The network of a student."""
  return one_network.build(
    from_config(config),
    config.ensemble.size,
    schema,
    lambda wide: models.from_config(config, wide, axis_name),
  )


def loss_of(kind: str, schema: tasks.Schema, bin_values) -> Callable:
  """`(outputs, targets, hparams) -> (loss, losses)`, of the whole batch."""

  def hydra(outputs, targets, hparams):
    return member_losses.hydra_loss(
      outputs[MEMBERS],
      targets,
      schema,
      hparams['task_weight'],
      pos_weight=hparams['pos_weight'],
      class_weight=hparams['class_weight'],
      bin_values=bin_values,
    )

  def distribution(outputs, targets, hparams):
    return member_losses.distribution_loss(
      FAMILIES[kind],
      outputs[PARAMETERS],
      targets,
      schema,
      hparams['task_weight'],
    )

  return hydra if kind == 'hydra' else distribution


def with_members(method: Method, model) -> Method:
  """A method whose stochastic passes are the members inside the network.

  Args:
    method: Of the network, with the passes of MC dropout.
    model: The network, `models.one_network.OneNetwork`.
  """

  def sample(params, model_state, inputs, key, *head):
    return model.apply(
      {'params': params, **model_state},
      {**inputs, 'image': methods.to_float(inputs['image'])},
      train=False,
      dropout=True,
      number=head[0] if head else None,
      rngs={'dropout': key},
    )

  return dataclasses.replace(method, sample=sample, heads=model.heads)


def within_trunk(load: Callable) -> Callable:
  """What loads weights into an ordinary network, for a student around one.

  Args:
    load: `(params, model_state) -> (params, model_state)`.
  """

  def loaded(params, model_state):
    inner = {name: part['trunk'] for name, part in model_state.items()}
    weights, state = load(params['trunk'], inner)
    around = {
      name: {**part, 'trunk': state[name]} for name, part in model_state.items()
    }
    return {**params, 'trunk': weights}, around

  return loaded


def member_labels(
  kind: str, schema: tasks.Schema, prior: priors.Prior, bin_values
) -> Callable:
  """`logits of a member -> what a student learns from it`, by task.

  Args:
    kind: 'hydra' or the name of a family.
    schema: The tasks.
    prior: Log weights that are taken out first; {} for none.
    bin_values: [K].
  """

  def labels(outputs):
    corrected = priors.correct(schema, outputs, prior) if prior else outputs
    if kind == 'hydra':
      return methods.soft_labels(schema, corrected, bin_values)
    read = uncertainty.probabilities
    if FAMILIES[kind].LABELS == 'logits':
      read = logit_gaussian.centred
    return {task.name: read(task, corrected[task.name]) for task in schema}

  return labels


def as_stored(members: dict[str, Any]) -> dict[str, np.ndarray]:
  """Labels of all members [M, N, L, ...] as targets have them, [N, L, M, ...]."""
  return {name: np.moveaxis(x, 0, 2) for name, x in members.items()}


def targets(
  schema: tasks.Schema, members: dict[str, np.ndarray], hard, frame_mask=None
) -> tasks.Targets:
  """Targets with the members' labels, for every frame with any label.

  Args:
    schema: The tasks.
    members: Of `as_stored`.
    hard: The data set's own targets.
    frame_mask: As `methods.distillation_targets`.
  """
  shaped = {task.name: hard[task.name].value for task in schema}
  masks = methods.distillation_targets(schema, shaped, hard, frame_mask)
  return {
    task.name: tasks.Target(
      np.asarray(members[task.name])[: len(masks[task.name].mask)],
      masks[task.name].mask,
    )
    for task in schema
  }

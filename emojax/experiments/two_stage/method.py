"""The training method of papers 001 and 002, for frames and for features."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax import models
from emojax.data.transform import augment as augmentations
from emojax.engine import methods, optimisation
from emojax.engine.member import Method, isolated
from emojax.losses import smooth_targets
from emojax.losses import two_stage as losses
from emojax.tasks import Schema, Targets


class Inputs(NamedTuple):
  """How a network sees what the engine hands over.

  Attributes:
    init: `(model, key) -> variables`.
    train: `(key, inputs, number of the first clip) -> inputs`.
    evaluate: `inputs -> inputs`.
  """

  init: Callable
  train: Callable
  evaluate: Callable


def image_inputs(name: str, per: str | None = None) -> Inputs:
  """Images with an augmentation, and what goes with it for evaluation.

  Args:
    name: See `data.transform.augment.augmentation`; 'incomplete' is that of the papers.
    per: 'frame' or 'clip'; None as published.
  """
  augment = augmentations.augmentation(name, per)
  evaluate = augmentations.evaluation(name)
  return Inputs(
    models.init,
    lambda key, x, first: {'image': augment(key, x['image'], first)},
    lambda x: {'image': evaluate(x['image'])},
  )


def feature_inputs(size: int) -> Inputs:
  """Features of frames, which sources hand over in the place of images.

  Args:
    size: Features of a frame, of all tasks.
  """

  def init(model, key):
    example = {'features': jnp.zeros((1, 1, size))}
    return model.init(key, example, train=False)

  def rename(x):
    return {'features': x['image']}

  return Inputs(init, lambda key, x, first: rename(x), rename)


def batch_targets(
  targets: Targets, frame_mask: np.ndarray, teacher=None
) -> dict[str, Any]:
  """What a batch of the objective takes along of every clip.

  Args:
    targets: Hard labels [N, L, ...] of all tasks.
    frame_mask: [N, L].
    teacher: Task name -> logits [N, L, teachers, num_outputs] of all fixed
      teachers of a stack of students, or None for teachers. They saw the frames
      without augmentation, where the papers' teacher sees the student's crop.
  """
  batch = {'hard': dict(targets), 'frame_mask': frame_mask}
  return batch if teacher is None else {**batch, 'teacher': dict(teacher)}


def objective_of(
  model,
  schema: Schema,
  inputs: Inputs,
  supervised: np.ndarray,
  options: losses.Options,
  bin_values,
  axis_name: str | None = None,
) -> Callable:
  """`losses.two_stage.two_stage_loss` as an objective of the engine.

  Teachers and students differ in what the batch holds: with 'teacher' in
  `batch_targets`, `hparams['teacher']` is the number of the member's own.
  """

  def objective(params, model_state, batch, key, hparams):
    prepare_key, dropout_key = jax.random.split(key)
    x, targets = batch['inputs'], batch['targets']
    first = 0
    if axis_name is not None:
      first = jax.lax.axis_index(axis_name) * len(x['image'])
    # A branch of its own, as in `methods.multitask_objective`.
    always = hparams['learning_rate'] >= 0
    x = isolated(inputs.train, always, prepare_key, x, jnp.int32(first))
    outputs, new_state = model.apply(
      {'params': params, **model_state},
      x,
      train=True,
      rngs={'dropout': dropout_key},
      mutable=list(model_state),
    )
    logits = {task.name: outputs[task.name] for task in schema}
    # Subsets are places in the whole batch, and the CCC is no mean.
    logits, targets = methods.gather_batch((logits, targets), axis_name)
    teacher = None
    if 'teacher' in targets:
      teacher = {
        name: jnp.take(values, hparams['teacher'], axis=2)
        for name, values in targets['teacher'].items()
      }
    hard = smooth_targets(schema, targets['hard'], options.label_smoothing)
    loss, per_task = losses.two_stage_loss(
      logits,
      hard,
      targets['frame_mask'],
      schema,
      supervised,
      bin_values=bin_values,
      options=options,
      teacher=teacher,
    )
    return loss, {
      'model_state': new_state,
      'losses': {'total': loss, **per_task},
    }

  return objective


def two_stage(
  model,
  schema: Schema,
  inputs: Inputs,
  *,
  supervised: np.ndarray,
  options: losses.Options,
  bin_values,
  schedule: Callable,
  stepwise: bool = False,
  beta1: float = 0.9,
  weight_decay: float = 0.0,
  ema: float = 0.0,
  select: str = 'total',
  patience: int = 0,
  pretrained: Callable | None = None,
  axis_name: str | None = None,
) -> Method:
  """The method of teachers and students.

  Args:
    model: A `MultitaskCNN` with `image_inputs`, or a `CNNRNN` with
      `feature_inputs`.
    schema: Its tasks.
    inputs: See `Inputs`.
    supervised: [subsets, tasks], see `losses.two_stage.own_labels`.
    options: Constants of the losses.
    bin_values: Values of the valence/arousal bins, [K].
    schedule: Learning-rate factor by epoch.
    beta1: Of Adam; 0.5 in the code of both papers, which do not say.
    patience: Epochs without improvement before a member stops; 0 for never.
    pretrained: `(params, model_state) -> (params, model_state)`, or None.
    axis_name: Mesh axis over which batches are split.
  """
  names = tuple(task.name for task in schema)

  def init(key):
    variables = dict(inputs.init(model, key))
    params = variables.pop('params')
    return pretrained(params, variables) if pretrained else (params, variables)

  def forward(params, model_state, x, dropout, rngs):
    outputs = model.apply(
      {'params': params, **model_state},
      inputs.evaluate(x),
      train=False,
      dropout=dropout,
      rngs=rngs,
    )
    return {name: outputs[name] for name in names}

  return Method(
    init=init,
    objective=objective_of(
      model, schema, inputs, supervised, options, bin_values, axis_name
    ),
    optimizer=optimisation.with_decay(
      optax.scale_by_adam(b1=beta1), weight_decay
    ),
    schedule=schedule,
    predict=lambda params, state, x: forward(params, state, x, False, None),
    sample=lambda params, state, x, key: forward(
      params, state, x, True, {'dropout': key}
    ),
    score=lambda outputs, targets: methods.scores(
      schema, outputs, targets, bin_values, nll=select == 'nll'
    ),
    task_scores=lambda values: jnp.zeros(len(schema)),
    # Students learn from one teacher's logits, which the host hands over.
    soft_labels=lambda outputs: {},
    tasks=names,
    loss_names=('total', *names),
    balance_variant='off',
    axis_name=axis_name,
    patience=patience,
    stepwise=stepwise,
    ema=ema,
    select=select,
  )

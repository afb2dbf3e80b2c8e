"""Training methods: an objective, an optimiser and their scores put together.

A method is data for the engine (`engine.member.Method`), never a train loop.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax import losses, tasks, uncertainty
from emojax.engine import optimisation
from emojax.engine.member import Method, isolated
from emojax.engine.optimisation import step_decay as step_decay
from emojax.metrics import emotion
from emojax.models import init as init_model
from emojax.tasks import Schema, Target, Targets


def gather_batch(tree, axis_name: str | None):
  """Collects a batch that is split over devices; nothing to do without an axis."""
  if axis_name is None:
    return tree
  return jax.lax.all_gather(tree, axis_name, tiled=True)


MIX_STREAM = 1_000_000  # keys of mixup, apart from the other draws of a step


def multitask_objective(
  model,
  schema: Schema,
  augment: Callable,
  bin_values,
  axis_name=None,
  mixup: float = 0.0,
  loss_of: Callable | None = None,
) -> Callable:
  """Supervision and distillation losses, Eqs. 1-13 of paper 000.

  The same function trains teachers and students: hard labels are 0/1 and
  one-hot, soft labels are the ensemble's probabilities, and the KL divergence
  from a one-hot label is its cross-entropy. The member's `hparams` carry
  'pos_weight' [A] and 'class_weight' [E], ones where nothing is reweighted.

  With `mixup`, its alpha, networks learn from mixed examples
  (`losses.draw_mix`), behind the augmentation.

  `loss_of`, `(outputs, targets, hparams) -> (loss, losses by task)` of the whole
  batch, takes the place of these losses and reads all that the network says.
  """

  def supervised(logits, targets, hparams):
    return losses.multitask_loss(
      logits,
      targets,
      schema,
      hparams['task_weight'],
      pos_weight=hparams['pos_weight'],
      class_weight=hparams['class_weight'],
      bin_values=bin_values,
    )

  def objective(params, model_state, batch, key, hparams):
    augment_key, dropout_key = jax.random.split(key)
    inputs = batch['inputs']
    first = 0  # position of this shard's first clip in the whole batch
    if axis_name is not None:
      first = jax.lax.axis_index(axis_name) * len(inputs['image'])
    # A branch of its own: XLA would merge the augmentation with every use of
    # the images and compute it once for each tap of the first convolution.
    image = isolated(
      augment,
      hparams['learning_rate'] >= 0,
      augment_key,
      inputs['image'],
      jnp.int32(first),
    )
    inputs = {**inputs, 'image': image}
    if mixup:
      shards = 1 if axis_name is None else jax.lax.axis_size(axis_name)
      mix = losses.draw_mix(
        jax.random.fold_in(key, MIX_STREAM), mixup, len(image) * shards
      )
      inputs = losses.mix_inputs(mix, inputs, axis_name)
    outputs, new_state = model.apply(
      {'params': params, **model_state},
      inputs,
      train=True,
      rngs={'dropout': dropout_key},
      mutable=list(model_state),
    )
    read = outputs
    if loss_of is None:
      read = {task.name: outputs[task.name] for task in schema}
    # Every shard computes the loss of the whole batch: CCC is not a mean.
    read, targets = gather_batch((read, batch['targets']), axis_name)
    if mixup:
      targets = losses.mix_targets(mix, schema, targets)
    loss, per_task = (loss_of or supervised)(read, targets, hparams)
    return loss, {
      'model_state': new_state,
      'losses': {'total': loss, **per_task},
    }

  return objective


def to_float(images: jax.Array) -> jax.Array:
  """uint8 images to [0, 1]; EMENet uses no mean or deviation."""
  return images.astype(jnp.float32) / 255


def multitask(
  model,
  schema: Schema,
  *,
  augment,
  bin_values,
  schedule,
  optimizer=None,
  balance='paper',
  pretrained=None,
  axis_name=None,
  weight_decay=0.0,
  mixup=0.0,
  stepwise=False,
  ema=0.0,
  select='total',
  loss_of=None,
) -> Method:
  """The method of paper 000: teachers and self-distilled students.

  Args:
    model: Flax module per the contract of `emojax.models`.
    schema: Tasks to train.
    augment: An augmentation (`data.transform.augment.Augment`).
    bin_values: Values of the valence/arousal bins, [K].
    schedule: Learning-rate factor by epoch (`emojax.engine.optimisation`).
    optimizer: Gradient transformation without learning rate; Adam by default.
    balance: Algorithm 1: 'paper', 'published' or 'off'.
    pretrained: `(params, model_state) -> (params, model_state)`, loads weights
      into fresh members; None for random ones.
    axis_name: Mesh axis over which batches are split.
    weight_decay: Decoupled weight decay of kernels.
    mixup: Alpha of mixup; 0 for none.
    stepwise: See `Method`.
    ema: See `Method`.
    select: What chooses the best epoch, 'total' or 'nll' (`validation_nll`).
    loss_of: See `multitask_objective`.
  """
  names = tuple(task.name for task in schema)
  optimisation.check_range('train.mixup', mixup, 0, float('inf'))

  def init(key):
    variables = init_model(model, key)
    params = variables['params']
    model_state = {k: v for k, v in variables.items() if k != 'params'}
    return (
      pretrained(params, model_state) if pretrained else (params, model_state)
    )

  def forward(params, model_state, inputs, dropout, rngs):
    outputs = model.apply(
      {'params': params, **model_state},
      {**inputs, 'image': to_float(inputs['image'])},
      train=False,
      dropout=dropout,
      rngs=rngs,
    )
    return {name: outputs[name] for name in names}

  def predict(params, model_state, inputs):
    return forward(params, model_state, inputs, False, None)

  def sample(params, model_state, inputs, key):
    return forward(params, model_state, inputs, True, {'dropout': key})

  return Method(
    init=init,
    objective=multitask_objective(
      model, schema, augment, bin_values, axis_name, mixup, loss_of
    ),
    optimizer=optimisation.with_decay(
      optimizer or optax.scale_by_adam(), weight_decay
    ),
    schedule=schedule,
    predict=predict,
    sample=sample,
    score=lambda outputs, targets: scores(
      schema, outputs, targets, bin_values, nll=select == 'nll'
    ),
    task_scores=lambda values: emotion.task_scores(values, schema),
    soft_labels=lambda outputs: soft_labels(schema, outputs, bin_values),
    tasks=names,
    loss_names=('total', *names),
    balance_variant=balance,
    axis_name=axis_name,
    stepwise=stepwise,
    ema=ema,
    select=select,
  )


def scores(
  schema: Schema, outputs, targets: Targets, bin_values, nll: bool = False
):
  """Emotion metrics of logits, without those of single labels.

  With `nll` also 'nll', see `validation_nll`.
  """
  probs = {
    task.name: uncertainty.probabilities(task, outputs[task.name])
    for task in schema
  }
  metrics = emotion.emotion_metrics(probs, targets, schema, bin_values)
  metrics = {k: v for k, v in metrics.items() if '/f1/' not in k}
  if nll:
    metrics['nll'] = validation_nll(schema, outputs, targets, bin_values)
  return metrics


def validation_nll(
  schema: Schema, outputs, targets: Targets, bin_values
) -> jax.Array:
  """Negative log-likelihood of labels, summed over the tasks, in nats.

  Of action units the mean over labelled entries, of expressions over labelled
  frames; of soft labels (shares of votes) it is the cross-entropy. Valence and
  arousal have no likelihood: 1 - CCC of each stands for theirs.
  """
  total: Any = 0.0
  for task in schema:
    logits = tasks.split_logits(task, outputs[task.name])
    value, mask = targets[task.name]
    if task.kind == 'binary':
      total += losses.masked_mean(losses.bce_with_logits(logits, value), mask)
    elif task.kind == 'categorical':
      total += losses.masked_mean(losses.cross_entropy(logits, value), mask)
    else:
      predicted = losses.expected_value(logits, bin_values)
      total += jnp.sum(1 - emotion.ccc(predicted, value, mask))
  return total


def soft_labels(schema: Schema, outputs, bin_values) -> dict[str, jax.Array]:
  """What a student learns from: probabilities, and expectations for VA.

  Section 3.3 of paper 000: the mean of the members' *probabilities* is the
  soft label, so the caller averages these values over the members. The
  expectation is linear in the probabilities, so it may be averaged instead.
  """
  labels = {}
  for task in schema:
    probs = uncertainty.probabilities(task, outputs[task.name])
    if task.kind == 'binned':  # accelerators would round both to a few bits
      probs = jnp.matmul(probs, bin_values, precision='highest')
    labels[task.name] = probs
  return labels


def task_groups(schema: Schema, targets: Targets) -> list[np.ndarray]:
  """Indices of the clips that have labels of each task, int32 arrays.

  A clip with labels of several tasks is in several groups, as a video of
  Aff-Wild2 may be in several subsets.
  """
  groups = []
  for task in schema:
    mask = np.asarray(targets[task.name].mask)
    labelled = mask.reshape(len(mask), -1).any(axis=1)
    groups.append(np.flatnonzero(labelled).astype(np.int32))
    if not labelled.any():
      raise ValueError(f'no training clip has a label of task {task.name!r}')
  return groups


def distillation_targets(
  schema: Schema,
  values: dict[str, jax.Array],
  hard: Targets,
  frame_mask=None,
) -> Targets:
  """Soft labels for every frame that has any valid label (facts of paper 000).

  Args:
    schema: The tasks.
    values: Soft labels [N, L, ...] by task, perhaps with padding clips.
    hard: The data set's own targets; only their masks are used.
    frame_mask: [N, L], the frames that have soft labels instead, labelled or not.
  """
  labelled = np.asarray(0 if frame_mask is None else frame_mask, np.float32)
  for task in schema:
    mask = hard[task.name].mask
    labelled = np.maximum(
      labelled, mask if task.kind == 'categorical' else mask.max(-1)
    )
  targets = {}
  for task in schema:
    value = np.asarray(values[task.name])[: labelled.shape[0]]
    mask = labelled
    if task.kind != 'categorical':
      mask = np.broadcast_to(labelled[..., None], value.shape)
    targets[task.name] = Target(value, np.ascontiguousarray(mask))
  return targets

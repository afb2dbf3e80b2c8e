"""A learner, a network and an optimiser put together as a training method."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from emojax import models
from emojax.engine import optimisation
from emojax.engine.member import Method, isolated
from emojax.engine.methods import gather_batch
from emojax.engine.packing import pack
from emojax.experiments.relative_uncertainty import relabel as relabelling
from emojax.experiments.relative_uncertainty.learners import Batch, Learner
from emojax.experiments.relative_uncertainty.relabel import Relabel
from emojax.metrics import emotion
from emojax.models.uncertainty_net import UncertaintyNet

OPTIMIZERS = ('adam', 'adamw', 'sgd')


def method(
  learner: Learner,
  model: UncertaintyNet,
  *,
  num_images: int,
  augment: Callable,
  prepare: Callable,
  relabel: Relabel,
  optimizer: optax.GradientTransformation,
  schedule: Callable,
  stepwise: bool = False,
  ema: float = 0.0,
  pretrained: Callable | None = None,
  axis_name: str | None = None,
) -> Method:
  """The engine's method; see `objective` for what its batches must hold.

  Args:
    learner: What is learned.
    model: The network.
    num_images: N, training images.
    augment: An augmentation (`data.transform.augment.Augment`).
    prepare: `images -> float32 [C, B, L, H, W, 3]`, the C crops of a test image
      whose outputs are averaged.
    relabel: When labels change.
    optimizer: Gradient transformation without learning rate.
    schedule: Learning-rate factor by epoch.
    stepwise: See `engine.member.Method`.
    ema: See `engine.member.Method`.
    pretrained: `(params, model_state) -> (params, model_state)` of a fresh
      member; None for random ones.
    axis_name: Mesh axis over which batches are split.
  """
  (task,) = model.schema

  def init(key):
    variables = models.init(model, key)
    params = variables.pop('params')
    if pretrained:
      params, variables = pretrained(params, variables)
    return params, {
      'batch_stats': variables['batch_stats'],
      'learner': learner.memory,
      'labels': relabelling.fresh(num_images, relabel.epoch > 0),
    }

  def forward(params, model_state, inputs, dropout, rngs):
    variables = {'params': params, 'batch_stats': model_state['batch_stats']}

    def one(image):
      outputs = model.apply(
        variables, {'image': image}, train=False, dropout=dropout, rngs=rngs
      )
      return evaluated(learner, task.name, outputs)

    crops = prepare(inputs['image'])
    if crops.shape[0] == 1:
      return one(crops[0])
    return jax.tree.map(lambda x: x.mean(0), jax.lax.map(one, crops))

  return Method(
    init=init,
    objective=objective(learner, model, augment, relabel, axis_name),
    optimizer=optimizer,
    schedule=schedule,
    predict=lambda p, s, x: forward(p, s, x, False, None),
    sample=lambda p, s, x, key: forward(p, s, x, True, {'dropout': key}),
    score=lambda outputs, targets: score(task, outputs, targets),
    task_scores=lambda scores: scores['total'][None],
    soft_labels=lambda outputs: {task.name: jax.nn.softmax(outputs[task.name])},
    tasks=(task.name,),
    loss_names=('total', *learner.parts, 'relabelled'),
    balance_variant='off',
    axis_name=axis_name,
    stepwise=stepwise,
    ema=ema,
  )


def evaluated(learner: Learner, name: str, outputs):
  """What is kept of a network's outputs: logits, features, uncertainty."""
  outputs = {**outputs, 'logits': outputs[name]}
  return {
    name: learner.logits(outputs),
    'features': outputs['features'],
    'uncertainty': learner.uncertainty(outputs),
  }


def objective(
  learner: Learner,
  model: UncertaintyNet,
  augment: Callable,
  relabel: Relabel,
  axis_name: str | None = None,
) -> Callable:
  """Objective of the engine.

  A batch's targets are {'index': int32 [B]}, the images' numbers; the member's
  `hparams` hold the given labels of all images, 'labels' int32 [N], and whether
  they may change, 'relabel'. So members of one program learn from different
  labels. Where an accuracy is asked for before they do (`Relabel.epoch`),
  'relabel_from' is the share of given labels that must have been predicted.
  """
  (task,) = model.schema

  def call(params, model_state, batch, key, hparams):
    augment_key, dropout_key, learn_key = jax.random.split(key, 3)
    image = batch['inputs']['image']
    first = 0  # position of this shard's first image in the whole batch
    if axis_name is not None:
      first = jax.lax.axis_index(axis_name) * len(image)
    image = isolated(
      augment,
      hparams['learning_rate'] >= 0,
      augment_key,
      image,
      jnp.int32(first),
    )
    outputs, stats = model.apply(
      {'params': params, 'batch_stats': model_state['batch_stats']},
      {'image': image},
      train=True,
      rngs={'dropout': dropout_key},
      mutable=['batch_stats'],
    )
    outputs = {k: v[:, 0] for k, v in outputs.items()}  # one frame
    # Images are compared and ranked within the whole batch.
    outputs, index = gather_batch(
      (outputs, batch['targets']['index']), axis_name
    )
    outputs['logits'] = outputs.pop(task.name)
    memory = model_state['labels']
    labels = relabelling.current(memory, hparams['labels'], index)
    terms = learner.learn(
      Batch(
        outputs,
        labels,
        learn_key,
        lambda x: model.apply({'params': params}, x, method='classify'),
        model_state['learner'],
      )
    )
    allowed = hparams['relabel']
    if relabel.epoch:
      given = hparams['labels'][index]
      logits = learner.logits(outputs)
      memory = relabelling.watched(memory, relabel.epoch, given, logits)
      allowed &= memory.right >= hparams['relabel_from']
    memory, changed = relabelling.update(
      memory,
      relabel,
      allowed,
      index,
      labels,
      learner.logits(outputs),
      learner.uncertainty(outputs),
    )
    state = {**stats, 'learner': terms.memory, 'labels': memory}
    losses = {'total': terms.loss, **terms.parts, 'relabelled': changed}
    return terms.loss, {'model_state': state, 'losses': losses}

  return call


def score(task, outputs, targets) -> dict[str, jax.Array]:
  """Accuracy, which selects the best epoch, and macro F1."""
  probs = jax.nn.softmax(outputs[task.name])
  target = targets[task.name]
  accuracy = emotion.categorical_accuracy(probs, *target)
  return {
    f'{task.name}/acc': accuracy,
    f'{task.name}/f1': emotion.categorical_f1(probs, *target)[1],
    'total': accuracy,
  }


def decay(factor: float, every: int = 1, start: int = 0) -> Callable:
  """Learning-rate factor `factor ** ((epoch - start) // every)` from `start` on.

  Paper 003: 0.9 after every epoch. On FER2013, the recipe it names: 0.9 after
  every 5 epochs from the 80th on.
  """
  if every < 1:
    raise ValueError(f'decay: every {every} epochs; expected at least 1')
  return lambda epoch: (
    jnp.float32(factor) ** (jnp.maximum(epoch - start, 0) // every)
  )


def make_optimizer(
  kind: str,
  weight_decay: float,
  classifier_rate: float = 1.0,
  momentum: float = 0.9,
  clip: float = 0.0,
) -> optax.GradientTransformation:
  """PyTorch's Adam, AdamW or SGD, without learning rate.

  Args:
    kind: 'adam' (paper 003) or 'sgd' (its recipe for FER2013), both with coupled
      weight decay; 'adamw' for Adam with decoupled decay of the kernels.
    weight_decay: Multiple of the parameters that is added to the gradient, or by
      'adamw' to the update.
    classifier_rate: Factor on the last layer's learning rate; 10 in paper 003.
    momentum: Of SGD.
    clip: Bound on the size of every gradient value; 0 for none.

  Raises:
    ValueError: On an unknown kind.
  """
  coupled = optax.add_decayed_weights(weight_decay)
  kinds = {
    'adam': lambda: (coupled, optax.scale_by_adam()),
    'sgd': lambda: (coupled, optax.trace(momentum)),
    'adamw': lambda: (
      optimisation.with_decay(optax.scale_by_adam(), weight_decay),
    ),
  }
  if kind not in OPTIMIZERS:
    known = ', '.join(OPTIMIZERS)
    raise ValueError(f'optimizer {kind!r}: expected one of {known}')

  def scaled(updates: Any, params: Any = None) -> Any:
    del params
    layers = updates.tree()
    last = jax.tree.map(lambda x: x * classifier_rate, layers['classifier'])
    return pack({**layers, 'classifier': last})

  return optax.chain(
    *([optax.clip(clip)] if clip else []),
    *kinds[kind](),
    optax.stateless(scaled),
  )

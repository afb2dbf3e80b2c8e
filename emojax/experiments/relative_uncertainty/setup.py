"""From the configuration to networks, learners, methods and settings."""

from typing import Any

import jax

from emojax import models, settings, tasks
from emojax.data.transform import augment, geometry
from emojax.engine import optimisation, stack
from emojax.engine.member import Method
from emojax.experiments.relative_uncertainty import learners, method
from emojax.experiments.relative_uncertainty.relabel import Relabel
from emojax.models import convert, resnet, resnet_convert
from emojax.models.uncertainty_net import UncertaintyNet

# Rows in the tables, by name of a method.
METHODS = {name: kind.title for name, kind in learners.METHODS.items()}


def check_methods(config):
  """Raises ValueError on settings that cannot be meant, or a method twice."""
  settings.check(settings.flatten(config.to_dict()))
  resnet.make(config.model.depth, stem=config.model.stem)
  names = list(config.methods)
  unknown = sorted({*names, *config.relabel.methods} - set(METHODS))
  if unknown or not names or len(set(names)) < len(names):
    raise ValueError(
      f'config.methods={tuple(names)}, config.relabel.methods='
      f'{tuple(config.relabel.methods)}: expected different ones of '
      f'{", ".join(METHODS)}'
    )


def categorical_task(dataset: Any) -> tasks.Task:
  """The classes of what has a `schema` and a `name`; other tasks are left alone."""
  found = [task for task in dataset.schema if task.kind == 'categorical']
  if len(found) != 1:
    names = ', '.join(task.name for task in dataset.schema)
    raise ValueError(
      f'{dataset.name} has tasks {names}: expected one with classes'
    )
  return found[0]


def learner_from_config(config, name: str) -> learners.Learner:
  """The learner of that name, with its constants."""
  kind = learners.METHODS[name]
  return kind.make(
    **{
      argument: _constant(config.loss, setting)
      for argument, setting in kind.constants.items()
    }
  )


def _constant(loss, name: str):
  """A setting of `config.loss`, neutral where a run is older than it."""
  if f'loss.{name}' in optimisation.NEUTRAL:
    return optimisation.setting(loss, name, 'loss')
  return loss[name]


def model_from_config(
  config, learner: learners.Learner, task: tasks.Task, axis_name=None
) -> UncertaintyNet:
  """The network of a learner."""
  m = config.model
  return UncertaintyNet(
    schema=(task,),
    image_size=_cropped_size(config),
    depth=m.depth,
    stem=m.stem,
    width=m.width,
    embedding=embedding(m, learner),
    features=features(m, learner),
    estimate=learner.estimate,
    dropout=m.dropout,
    normalise=m.normalise,
    lowering=config.runtime.lowering,
    dtype=models.DTYPES[m.dtype],
    axis_name=axis_name,
  )


def embedding(model, learner: learners.Learner) -> str:
  """Where a learner's network has its features, by `config.model`."""
  published = model.embedding == 'published'
  return learner.embedding if published else model.embedding


def features(model, learner: learners.Learner) -> int:
  """Size of the branches of a learner's network, by `config.model`.

  Beside the mean of the map, whose size is not to choose, a learner that has an
  estimate for every feature has as many.
  """
  if learner.by_feature and embedding(model, learner) == 'pooled':
    return resnet.channels(model.depth, model.width)
  return model.features


def _cropped_size(config) -> int:
  """Size of the images that the network sees."""
  size = config.data.image_size
  image = jax.ShapeDtypeStruct((1, 1, size, size, 3), 'uint8')
  prepared = jax.eval_shape(augment.evaluation(config.train.augment), image)
  return prepared.shape[2]


def prepare_from_config(config):
  """`images -> float32 [C, B, L, H, W, 3]`, the crops of test images."""
  if not config.eval.ten_crop:
    single = augment.evaluation(config.train.augment)
    return lambda images: single(images)[None]
  size = _cropped_size(config)
  if size == config.data.image_size:
    raise ValueError(
      'config.eval.ten_crop needs an augmentation that crops, such as '
      f"config.train.augment='fer2013'; found {config.train.augment!r}"
    )
  convert_ = augment.evaluation('none')
  return lambda images: convert_(geometry.ten_crop(images, size))


def pretrained_from_config(config):
  """The function that loads trunk weights into a fresh member, or None."""

  def place(state, variables):
    trunk = {key: tree['trunk'] for key, tree in variables.items()}
    trunk = resnet_convert.from_torch(state, trunk)
    return {
      key: {**tree, 'trunk': trunk[key]} for key, tree in variables.items()
    }

  return convert.loader(config.model.pretrained, place)


def method_from_config(run, name: str, steps: int) -> Method:
  """The engine's method of that name.

  Args:
    run: See `run.Run`.
    name: A key of `METHODS`.
    steps: Steps of an epoch.
  """
  config, split = run.config, run.mesh.shape[stack.BATCH] > 1
  axis_name = stack.BATCH if split else None
  t, r = config.train, config.relabel
  changes = name in r.methods and r.fraction > 0
  watched = changes and start_accuracy(config) > 0
  learner = learner_from_config(config, name)
  return method.method(
    learner,
    model_from_config(config, learner, run.task, axis_name),
    num_images=len(run.dataset.train),
    augment=augment.augmentation(t.augment),
    prepare=prepare_from_config(config),
    relabel=Relabel(
      r.fraction if changes else 0.0,
      r.margin,
      r.start_epoch * steps,
      steps if watched else 0,
    ),
    optimizer=method.make_optimizer(
      t.optimizer, t.weight_decay, t.classifier_rate, t.momentum, t.clip
    ),
    **_optimised(t),
    pretrained=pretrained_from_config(config),
    axis_name=axis_name,
  )


def start_accuracy(config) -> float:
  """Training accuracy on right labels before which no label changes; 0: none."""
  return optimisation.setting(config.relabel, 'start_accuracy', 'relabel')


def _optimised(train) -> dict[str, Any]:
  """Schedule and average; drops may start late, as in the recipe of FER2013."""
  found = optimisation.from_config(train, select='total')
  del found['select']  # the highest validation accuracy
  if not found['stepwise']:
    drops = train.decay_factor, train.decay_every, train.decay_start
    return {**found, 'schedule': method.decay(*drops)}
  if train.decay_start:
    raise ValueError(
      f'config.train.decay_start={train.decay_start}: only '
      "train.schedule='step' without warm-up starts late"
    )
  return found

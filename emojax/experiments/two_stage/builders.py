"""Models and methods by configuration."""

import dataclasses
import functools
from typing import Any

from emojax import models, tasks
from emojax.engine import optimisation
from emojax.engine.member import Method
from emojax.experiments.two_stage import method
from emojax.losses.two_stage import Options
from emojax.models import convert, multitask_convert
from emojax.models.cnn_rnn import CNNRNN
from emojax.models.multitask_cnn import MultitaskCNN


def options_from_config(config) -> Options:
  """Constants of the losses."""
  loss = config.loss
  return Options(
    loss.temperature,
    loss.supervision_weight,
    loss.portion,
    loss.divergence,
    loss.distillation_scale,
    optimisation.setting(loss, 'label_smoothing', 'loss'),
  )


def cnn_from_config(config, schema: tasks.Schema) -> MultitaskCNN:
  """Builds the CNN; a schema of one task makes a single-task CNN."""
  model: Any = models.from_config(config, schema)
  return model.clone(depth=config.model.depth, stem=config.model.stem)


def pretrained_from_config(config):
  """Returns the function that loads trunk weights into a fresh member."""
  layout = models.from_config(config, (tasks.expr_task(),)).layout
  place = functools.partial(multitask_convert.trunk_from_torch, layout=layout)
  return convert.loader(config.model.pretrained, place)


def cnn_method(config, schema: tasks.Schema, supervised) -> Method:
  """The CNN stage's method."""
  return method.two_stage(
    cnn_from_config(config, schema),
    schema,
    method.image_inputs(config.train.augment, config.train.augment_per),
    pretrained=pretrained_from_config(config),
    **shared_from_config(config, config.train, supervised),
  )


def rnn_from_config(config, schema: tasks.Schema) -> CNNRNN:
  """Builds the network of the recurrent stage."""
  return CNNRNN(schema, config.model.hidden, config.model.gru)


def rnn_method(config, schema: tasks.Schema, supervised) -> Method:
  """The recurrent stage's method."""
  return method.two_stage(
    rnn_from_config(config, schema),
    schema,
    method.feature_inputs(config.model.hidden * len(schema)),
    **shared_from_config(config, config.recurrent, supervised),
  )


def scheduled(of: Method, stage, epochs: int) -> Method:
  """A method with the schedule of a training of some epochs.

  Teachers and students share a method and differ in how long they train.

  Args:
    of: The method.
    stage: `config.train` or `config.recurrent`.
    epochs: Epochs, at most where members may stop early.
  """
  made = optimisation.schedule_from_config(stage, epochs)
  return dataclasses.replace(of, schedule=made.factor, stepwise=made.stepwise)


def shared_from_config(config, stage, supervised) -> dict[str, Any]:
  """Arguments of `method.two_stage` that frames and features have in common."""
  # The schedule is `scheduled` once more; here it shows early that it can be.
  shortest = min(stage.teacher_epochs, stage.student_epochs)
  return {
    **optimisation.from_config(stage, shortest),
    'weight_decay': optimisation.setting(stage, 'weight_decay'),
    'patience': stage.patience,
    'supervised': supervised,
    'options': options_from_config(config),
    'bin_values': tasks.bin_values(kind=config.loss.bin_values),
    'beta1': config.train.beta1,
  }

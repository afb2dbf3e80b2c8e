"""Flip test-time augmentation: the mean probability of a face and its mirror image."""

import dataclasses

import jax
import jax.numpy as jnp

from emojax import tasks
from emojax.engine.member import Method


def mirrored(inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
  """Inputs of a network with images [..., H, W, C] from right to left."""
  return {**inputs, 'image': inputs['image'][..., ::-1, :]}


def mean_logits(task: tasks.Task, a, b):
  """Logits of the mean of the probabilities that two views are given.

  Of valence and arousal the probabilities of the bins are averaged, and with
  them their expectations.

  Args:
    task: The task.
    a: Logits of one view, [..., num_outputs].
    b: Those of the other.

  Returns:
    [..., num_outputs]; softmax or sigmoid of them is the mean. Of classes they
    are normalised, log-probabilities.
  """
  if task.kind == 'binary':
    yes = jnp.logaddexp(jax.nn.log_sigmoid(a), jax.nn.log_sigmoid(b))
    no = jnp.logaddexp(jax.nn.log_sigmoid(-a), jax.nn.log_sigmoid(-b))
    return yes - no
  views = (jax.nn.log_softmax(tasks.split_logits(task, x)) for x in (a, b))
  return (jnp.logaddexp(*views) - jnp.log(2)).reshape(a.shape)


def over_both(predict, schema: tasks.Schema):
  """`inputs -> logits by task`, averaged over an image and its mirror image."""

  def both(inputs):
    views = predict(inputs), predict(mirrored(inputs))
    return {
      task.name: mean_logits(task, *(view[task.name] for view in views))
      for task in schema
    }

  return both


def with_flip(method: Method, schema: tasks.Schema) -> Method:
  """A method that predicts by both views; a stochastic pass draws once for both.

  For predictions after the training: training, validation and soft labels have
  one view.
  """

  def predict(params, model_state, inputs):
    def one(x):
      return method.predict(params, model_state, x)

    return over_both(one, schema)(inputs)

  def sample(params, model_state, inputs, key, *head):
    def one(x):
      return method.sample(params, model_state, x, key, *head)

    return over_both(one, schema)(inputs)

  return dataclasses.replace(method, predict=predict, sample=sample)

"""A model as one function of images, with everything in it, to leave JAX with.

What `Model.predict` computes in several places is here a pure function of uint8
images that JAX can trace: colours, views, every member, prior correction, means,
uncertainties, temperatures and prediction sets. docs/export.md has the outputs.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from emojax import tasks, uncertainty
from emojax.data.transform import images
from emojax.trained import guarantees
from emojax.trained.answering import LEARNED
from emojax.trained.description import MEAN
from emojax.trained.model import Model
from emojax.uncertainty import conformal_traced, prior, temperature
from emojax.uncertainty.conformal_examples import DEFAULTS

Arrays = dict[str, Any]
COEFFICIENTS = 64  # of the sound of a frame, in both directions
SHARE = 0.1  # of the validation frames that are more uncertain than `unsure`


class Signature(NamedTuple):
  """What the function takes.

  Attributes:
    inputs: Name -> shape and type, with symbols for what is not fixed.
    symbols: Those symbols.
    stills: Whether images have no axis of frames.
  """

  inputs: dict[str, jax.ShapeDtypeStruct]
  symbols: tuple[Any, ...]
  stills: bool


def signature(metadata: Mapping[str, Any]) -> Signature:
  """Images [batch, size, size, 3] for models of stills, else [batch, frames, ...].

  Recurrent networks of papers 001 and 002 cut clips into sequences, so that their
  frames are as many as in training.
  """
  data = metadata['preprocessing']
  size, stills = data['image_size'], data['clip_length'] == 1
  if stills:
    symbols = jax.export.symbolic_shape('batch')
    lead = symbols
  elif metadata['model']['name'] == 'cnn_rnn':
    symbols = jax.export.symbolic_shape('batch')
    lead = (*symbols, data['clip_length'])
  else:
    lead = symbols = jax.export.symbolic_shape('batch, frames')
  found = {'image': jax.ShapeDtypeStruct((*lead, size, size, 3), np.uint8)}
  if data['audio'] is not None:
    shape = (*lead, COEFFICIENTS, COEFFICIENTS)
    found['audio'] = jax.ShapeDtypeStruct(shape, np.float32)
  return Signature(found, tuple(symbols), stills)


def function(model: Model):
  """`(image, audio=None) -> arrays by name`; see docs/export.md.

  Args:
    model: Made with the lowering 'conv': what others run as one convolution.
  """
  stills = signature(model.metadata).stills
  # Traced once, and called by every member: they are unrolled, not mapped over.
  one = jax.jit(model.one)

  def predict(image, audio=None) -> Arrays:
    inputs = {'image': image} if audio is None else {
      'image': image, 'audio': audio
    }  # fmt: skip
    if stills:
      inputs = {name: x[:, None] for name, x in inputs.items()}
    inputs['image'] = _colours(inputs['image'], model)
    said = [one(*model.member(i), inputs) for i in range(model.num_members)]
    logits = {name: jnp.stack([x[name] for x in said]) for name in said[0]}
    if stills:
      logits = {name: x[:, :, 0] for name, x in logits.items()}
    return answers(model, logits)

  return predict


def _colours(image, model: Model):
  """`images.as_trained`, traced."""
  data = model.metadata['preprocessing']
  if data['channels'] == images.CHANNELS and not data.get('grey', False):
    return image
  luma = jnp.round((image.astype(jnp.float32) * images.LUMA).sum(-1))
  grey = luma.astype(jnp.uint8)[..., None]
  return jnp.broadcast_to(grey, (*grey.shape[:-1], data['channels']))


def answers(model: Model, logits: Arrays) -> Arrays:
  """All that is said of frames, from the logits of every member.

  Args:
    model: The model.
    logits: Task -> [M, ..., outputs]; and `LEARNED` [M, ...] of networks that
      have learned to doubt.

  Returns:
    Arrays by name, [...] in front.
  """
  found = {f'{task.name}/logits': logits[task.name] for task in model.schema}
  if LEARNED in logits:
    found |= {'learned/members': logits[LEARNED]}
    found |= {'learned': logits[LEARNED].mean(0)}
  corrected = prior.correct(model.schema, logits, model.prior)
  members = _members(model.schema, corrected)
  mean, parts = uncertainty.multitask_uncertainty(members, model.schema)
  for name, doubt in {**parts, MEAN: mean}.items():
    found |= {f'{name}/{k}': v for k, v in doubt._asdict().items()}
  for task in model.schema:
    found |= _of_task(model, task, members[task.name].mean(0))
  limits = model.metadata['thresholds']['uncertainty'].get(MEAN, {})
  if (limit := limits.get('total', {}).get(str(SHARE))) is not None:
    found['unsure'] = ~(mean.total <= limit)  # NaN, too
  return found | _scaled(model, corrected)


def _members(schema: tasks.Schema, logits: Arrays) -> Arrays:
  return {
    task.name: uncertainty.probabilities(task, logits[task.name])
    for task in schema
  }


def _of_task(model: Model, task: tasks.Task, probs) -> Arrays:
  """Probabilities, values and prediction sets of a task."""
  found = {f'{task.name}/probabilities': probs}
  if task.kind == 'binned':
    # Accelerators round what is multiplied otherwise: to three digits.
    expected = jnp.matmul(probs, model.bin_values, precision='highest')
    found |= {name: expected[..., i] for i, name in enumerate(task.labels)}
  said: dict[str, Any] = model.metadata.get(guarantees.KEY) or {'tasks': {}}
  method = DEFAULTS[task.kind]
  if method in said['tasks'].get(task.name, {}):
    coverages = said['coverages']
    fitted = guarantees.from_json(said['tasks'][task.name][method], coverages)
    found[f'{task.name}/sets'] = conformal_traced.sets(
      task, probs, fitted, coverages, model.bin_values
    )
  return found


def _scaled(model: Model, logits: Arrays) -> Arrays:
  """Mean probabilities after temperatures, of tasks that have some."""
  found = {}
  for task in model.schema:
    values = (model.metadata['temperatures'] or {}).get(task.name)
    if values is not None:
      scaled = jnp.stack(
        [
          temperature.apply(task, one, np.asarray(t, np.float32))
          for one, t in zip(logits[task.name], values, strict=True)
        ]
      )
      probs = uncertainty.probabilities(task, scaled).mean(0)
      found[f'{task.name}/scaled'] = probs
  return found

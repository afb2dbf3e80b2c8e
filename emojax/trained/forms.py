"""A model in forms that need no emojax: an ONNX graph, a program of JAX.

Both are `deployed.function`, and neither is handed out before it has said what
`Model.predict` says of some clips.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from emojax.data import embedded
from emojax.trained import deployed, onnx_file, onnx_model
from emojax.trained.answering import Output
from emojax.trained.model import Model

FORMATS = ('safetensors', 'onnx', 'jax')
ONNX, JAX = 'model.onnx', 'model.jax'
PLATFORMS = ('cpu', 'cuda', 'tpu')
TOLERANCE = 1e-5  # largest difference, beyond 1 largest relative one
CLIPS, FRAMES = 4, 8  # on which they are compared

Arrays = dict[str, np.ndarray]


class DifferentError(ValueError):
  """A model in another form does not say the same; nothing was written."""


def encode(
  forms, metadata: dict[str, Any], weights, clips=None, tolerance=TOLERANCE
) -> dict[str, bytes]:
  """The files of some forms.

  Args:
    forms: Some of `FORMATS`; 'safetensors' is another's.
    metadata: What model.json says.
    weights: {'params', 'model_state'}, arrays [M, ...].
    clips: Clips to compare on; those of the embedded data set without.
    tolerance: Largest difference from `Model.predict` of the same clips.

  Returns:
    Contents by name of the file.

  Raises:
    DifferentError: If a form says something else; names what differs.
    ValueError: If a network cannot be translated.
    ImportError: Without the package that a form needs.
  """
  forms = [form for form in forms if form != 'safetensors']
  if not forms:
    return {}
  inputs = _inputs(metadata, clips)
  seen = inputs['image'], inputs.get('audio')
  expected = Model(metadata, weights)
  made = Model(_in_single(metadata), weights, 'conv')
  answers = (
    expected.predict(*seen),
    expected.predict(*seen, temperature=True)
    if any((metadata['temperatures'] or {}).values())
    else None,
  )
  files = {}
  for form in forms:
    name, encoder = {'onnx': (ONNX, _onnx), 'jax': (JAX, _jax)}[form]
    files[name], run = encoder(made)
    check(name, made, run(inputs), *answers, tolerance)
  return files


def _in_single(metadata: dict[str, Any]) -> dict[str, Any]:
  """Networks of bfloat16 in float32, which all runtimes have."""
  options = metadata['model']['options']
  if options.get('dtype', 'float32') == 'float32':
    return metadata
  model = metadata['model'] | {'options': options | {'dtype': 'float32'}}
  return metadata | {'model': model}


def _inputs(metadata: dict[str, Any], clips) -> Arrays:
  """Images and sound as the model's signature has them."""
  data = metadata['preprocessing']
  if clips is None:
    params = embedded.sample_clip_parameters(
      0, CLIPS, max(1, data['clip_length']), split='val', group=''
    )
    clips = embedded.make_clips(params, data['image_size'], data['audio'])
  count = min(CLIPS, len(clips))
  some = clips.take(np.arange(count))
  image = some.image
  if data['channels'] == 1 or data.get('grey', False):
    # A colour halfway between two greys may become either.
    image = image[..., :1].repeat(3, -1)
  image = image.repeat(3 // image.shape[-1], -1)
  found = {'image': image}
  if data['audio'] is not None:
    found['audio'] = np.asarray(some.audio, np.float32)
  if deployed.signature(metadata).stills:
    return {
      name: x.reshape(-1, *x.shape[2:])[:FRAMES] for name, x in found.items()
    }
  return found


def check(
  what: str,
  model: Model,
  found: Arrays,
  expected: Output,
  scaled: Output | None,
  tolerance: float,
):
  """Compares all numbers that a form gives with a model's own.

  Args:
    what: Name of the form.
    model: The model.
    found: Outputs by name.
    expected: `Model.predict` of the same images.
    scaled: The same with temperatures, if there are some.
    tolerance: Largest difference; not a number is one, too.

  Raises:
    DifferentError: Naming the output that differs most.
  """
  pairs = {}
  for task in model.schema:
    name = task.name
    pairs[f'{name}/probabilities'] = expected.probabilities[name]
    if scaled is not None and f'{name}/scaled' in found:
      pairs[f'{name}/scaled'] = scaled.probabilities[name]
  for name, doubt in expected.uncertainty.items():
    pairs |= {f'{name}/{kind}': x for kind, x in doubt._asdict().items()}
  pairs |= expected.values
  if expected.learned is not None:
    pairs['learned'] = expected.learned
  worst, name = max(
    (_difference(found.get(name), x), name) for name, x in pairs.items()
  )
  if worst > tolerance:
    raise DifferentError(
      f'{what} does not say what the model says: {name} differs by {worst:.2g}, '
      f'more than {tolerance:g}. Nothing was written; please report it. '
      '--tolerance X allows more'
    )


def _difference(a, b) -> float:
  if a is None or np.shape(a) != np.shape(b):
    return np.inf
  # What networks of paper 003 have learned to doubt is in units of its own.
  scale = np.maximum(1, np.abs(b))
  difference = (np.abs(np.asarray(a, np.float64) - b) / scale).max(initial=0)
  return float(np.nan_to_num(difference, nan=np.inf))


def _onnx(model: Model) -> tuple[bytes, Callable[[Arrays], Arrays]]:
  onnx = onnx_file.library()
  from emojax.interchange import translate

  signature = deployed.signature(model.metadata)
  made = translate.model(
    deployed.function(model), signature.inputs, signature.symbols
  )
  texts = _texts(model.metadata)
  onnx.helper.set_model_props(
    made, texts | {onnx_file.DIGEST: onnx_file.digest(made, texts)}
  )
  data = made.SerializeToString()
  session = onnx_model.session(data)
  names = [output.name for output in session.get_outputs()]

  def run(inputs: Arrays) -> Arrays:
    return dict(zip(names, session.run(None, inputs), strict=True))

  return data, run


def _texts(metadata: dict[str, Any]) -> dict[str, str]:
  """What the file says of itself: all of it, and in short what others need."""
  said = {key: value for key, value in metadata.items() if key != 'files'}
  data = metadata['preprocessing']
  coverages = (metadata.get('conformal') or {}).get('coverages', [])
  return {
    onnx_file.KIND: onnx_file.FORMAT,
    onnx_file.MODEL: json.dumps(said, allow_nan=False),
    'labels': json.dumps({t['name']: t['labels'] for t in metadata['schema']}),
    'coverages': json.dumps(coverages),
    'preprocessing': (
      f'crops of faces, RGB, uint8, {data["image_size"]} x '
      f'{data["image_size"]}; all else is in the graph'
    ),
    'card': 'README.md',
  }


def _jax(model: Model) -> tuple[bytes, Callable[[Arrays], Arrays]]:
  signature = deployed.signature(model.metadata)
  exported = jax.export.export(
    jax.jit(deployed.function(model)), platforms=PLATFORMS
  )(**signature.inputs)
  data = bytes(exported.serialize())
  again = jax.export.deserialize(bytearray(data))

  def run(inputs: Arrays) -> Arrays:
    return jax.device_get(jax.jit(again.call)(**inputs))

  return data, run

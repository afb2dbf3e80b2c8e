"""The folder that an exported model is: its files, and whether they fit.

`README.md` is for people, `model.json` describes the model, and
`weights.safetensors` holds its arrays, each with a leading axis of members.
"""

import hashlib
import inspect
import json
import math
import pathlib
from typing import Any

import flax.traverse_util
import jax
import numpy as np

import emojax
from emojax import models
from emojax.host import files
from emojax.trained import arrays, description, guarantee_check, network
from emojax.trained.answering import ModelError

PyTree = Any
FORMAT = 'emojax-model-1'
CARD, METADATA, WEIGHTS = 'README.md', 'model.json', 'weights.safetensors'
DESCRIPTION = (
  'model.json'  # in the header of the weights: digest of its content
)
MAX_METADATA = description.MAX_BYTES
MAX_CARD = 1 << 24  # bytes
MAX_WEIGHTS = 1 << 33
# What a network's configuration may say about it, by name.
OPTIONS = frozenset(inspect.signature(models.build).parameters) - {
  'name', 'schema', 'image_size', 'lowering', 'axis_name', 'channels'
}  # fmt: skip


def check_metadata(metadata: dict[str, Any]):
  """Raises ValueError that names the key of model.json that is of no use."""
  description.check(metadata, OPTIONS, WEIGHTS, network.ATTRIBUTES)
  guarantee_check.check(metadata['schema'], metadata)


def read_metadata(folder: pathlib.Path) -> dict[str, Any]:
  """Reads model.json; raises ModelError if it is missing or of no use."""
  path = folder / METADATA
  if not path.is_file():
    if (folder / 'config.json').is_file():
      raise ModelError(
        f'{folder} is the folder of a run, not an exported model: `python -m '
        f'emojax.export --workdir={folder} --out=DIR` makes a model of it'
      )
    if (folder / 'model.onnx').is_file():
      raise ModelError(
        f'{folder} holds no exported model with weights, but model.onnx alone: '
        'export it with --format safetensors, too'
      )
    raise ModelError(
      f'{folder} holds no exported model ({METADATA} is missing): make one '
      'with python -m emojax.export'
    )
  try:
    data = files.read_bounded(path, MAX_METADATA)
    metadata = json.loads(data.decode(), parse_constant=_no_number)
    if not isinstance(metadata, dict):
      raise ValueError('it holds no object')
    _check_format(path, metadata)
    check_metadata(metadata)
  except ModelError:
    raise
  except (OSError, RecursionError, ValueError) as error:
    raise ModelError(f'{path} is damaged: {error}') from error
  return metadata


def _no_number(name: str):
  raise ValueError(f'{name} is no number')


def _exported_with(metadata: dict[str, Any]) -> str:
  versions = metadata.get('versions')
  found = versions.get('emojax') if isinstance(versions, dict) else None
  return f'emojax {found or "of an unknown version"}'


def _check_format(path: pathlib.Path, metadata: dict[str, Any]):
  found = metadata.get('format')
  if found != FORMAT:
    raise ModelError(
      f'{path} has format {found!r} ({_exported_with(metadata)}), this is emojax '
      f'{emojax.__version__}, which reads {FORMAT!r}: install the version that '
      'the model was exported with, or export it again'
    )


def encode_weights(
  flat: dict[str, np.ndarray], metadata: dict[str, Any]
) -> bytes:
  """The contents of the file of weights, tied to their description."""
  texts = {'format': FORMAT, DESCRIPTION: description.digest(metadata)}
  return arrays.encode(flat, texts)


def contents(
  flat: dict[str, np.ndarray], metadata: dict[str, Any], card: str
) -> dict[str, bytes]:
  """The files of a model, by name; completes `metadata` with their digests.

  Args:
    flat: Weights by name, as they are kept.
    metadata: What model.json says.
    card: README.md.

  Raises:
    ValueError: If the metadata are of no use; names the key.
  """
  data = encode_weights(flat, metadata)
  metadata['files'] = {WEIGHTS: hashlib.sha256(data).hexdigest()}
  check_metadata(metadata)
  text = json.dumps(metadata, indent=1, allow_nan=False)
  return {WEIGHTS: data, METADATA: (text + '\n').encode(), CARD: card.encode()}


def read_weights(folder: pathlib.Path, metadata: dict[str, Any]) -> PyTree:
  """Reads {'params': ..., 'model_state': ...}, NumPy [M, ...].

  Raises:
    ModelError: If the file is missing or damaged, does not fit the network or
      its description, or holds numbers that are not finite.
  """
  return tree(read_arrays(folder, metadata))


def tree(flat: dict[str, np.ndarray]) -> PyTree:
  """{'params': ..., 'model_state': ...} of arrays by name, in float32."""
  whole = {name: arrays.single(name, array) for name, array in flat.items()}
  found: dict[Any, Any] = flax.traverse_util.unflatten_dict(whole, sep='/')
  return {'model_state': {}, **found}


def read_arrays(
  folder: pathlib.Path, metadata: dict[str, Any]
) -> dict[str, np.ndarray]:
  """Reads the weights by name, as they are kept; raises as `read_weights`."""
  path = folder / WEIGHTS
  expected = _expected(path, metadata)
  data = _checked_bytes(path, metadata['files'][WEIGHTS], _most(expected))
  try:
    kept, texts = arrays.decode(data)
  except arrays.FormatError as error:
    raise ModelError(f'{path}: {error}') from error
  flat = {name: arrays.single(name, array) for name, array in kept.items()}
  _check_arrays(path, metadata, flat, expected)
  check_finite(path, flat)
  # Models of former versions have no such digest.
  if texts.get(DESCRIPTION, found := description.digest(metadata)) != found:
    raise ModelError(
      f'{folder / METADATA} is not what {WEIGHTS} was exported with (labels, '
      'thresholds and settings count): restore it or export the model again'
    )
  return kept


def _checked_bytes(path: pathlib.Path, digest: str, most: int) -> bytes:
  """The contents of a file with a SHA-256."""
  if not path.is_file():
    raise ModelError(f'{path} is missing: restore it or export the model again')
  try:
    data = files.read_bounded(path, most)
  except OSError as error:
    raise ModelError(
      f'{path} cannot be read ({error.strerror or error}): restore it or export '
      'the model again'
    ) from error
  if hashlib.sha256(data).hexdigest() != digest:
    raise ModelError(
      f'{path} is damaged (its SHA-256 is not that of {METADATA}): restore it '
      'or export the model again'
    )
  return data


def check_finite(where: Any, flat: dict[str, np.ndarray]):
  """Raises ModelError if any weight is not finite."""
  for name, array in flat.items():
    if not np.isfinite(array).all():
      raise ModelError(
        f'{where}: {name} holds numbers that are not finite; the network has '
        'diverged or was damaged, and its answers would mean nothing'
      )


def read_card(folder: pathlib.Path) -> bytes | None:
  """The card of a model; None if there is none.

  Raises:
    ModelError: If it cannot be read, or is no card by its size.
  """
  path = folder / CARD
  if not path.is_file():
    return None
  try:
    return files.read_bounded(path, MAX_CARD)
  except OSError as error:
    raise ModelError(
      f'{path} cannot be read ({error.strerror or error}): restore it, or remove '
      'it'
    ) from error


def _expected(path: pathlib.Path, metadata) -> dict[str, jax.ShapeDtypeStruct]:
  """The weights that the network of this version has."""
  name = metadata['model']['name']
  try:
    module = network.build(metadata)
    network.outputs(metadata)  # it has a read-out of that name
    variables = models.shapes(module)
  except Exception as error:  # whatever a network says of strange settings
    line = (str(error).splitlines() or [''])[0][:300]
    raise ModelError(
      f'{path.with_name(METADATA)}: the network {name!r} cannot be built '
      f'({type(error).__name__}: {line})'
    ) from error
  members = len(metadata['members'])
  return {
    key: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype)
    for key, leaf in flat_names(variables).items()
  }


def _most(expected: dict[str, jax.ShapeDtypeStruct]) -> int:
  """Bytes that a file of such weights may have."""
  size = sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in expected.values()
  )
  return min(size + 8 + arrays.MAX_HEADER, MAX_WEIGHTS)


def _check_arrays(
  path: pathlib.Path,
  metadata: dict[str, Any],
  flat: dict[str, np.ndarray],
  wanted: dict[str, jax.ShapeDtypeStruct],
):
  """The weights must be those that are expected."""
  name = metadata['model']['name']
  expected = {key: _kind(x.shape, x.dtype) for key, x in wanted.items()}
  found = {key: _kind(array.shape, array.dtype) for key, array in flat.items()}
  if found == expected:
    return
  keys = found.keys() | expected.keys()
  differing = sorted(k for k in keys if found.get(k) != expected.get(k))
  key = differing[0]
  raise ModelError(
    f'{path} does not fit the network {name} of this version in '
    f'{len(differing)} arrays; {key}: {found.get(key, "absent")} there, '
    f'{expected.get(key, "absent")} expected. It was exported with '
    f'{_exported_with(metadata)}, this is {emojax.__version__}.'
  )


def _kind(shape: tuple[int, ...], dtype) -> str:
  return f'{np.dtype(dtype).name} {list(shape)}'


def flat_names(variables: PyTree) -> dict[str, Any]:
  """{'params': ..., 'batch_stats': ...} -> leaves by 'params/...' and
  'model_state/batch_stats/...'."""
  state = {k: v for k, v in variables.items() if k != 'params'}
  tree = {'params': variables['params'], 'model_state': state}
  return flax.traverse_util.flatten_dict(tree, sep='/')

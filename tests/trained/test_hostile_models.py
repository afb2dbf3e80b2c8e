"""Exported models of strangers: the right answer, or one line that says why not.

`forge` makes folders as a stranger's program could: with digests that fit.
"""

import copy as copies
import hashlib
import json
import os
import shutil
import time

import numpy as np
import pytest

import emojax
from emojax.trained import arrays, description, guarantees, loading
from emojax.trained import folder as release
from emojax.uncertainty import prior

METADATA, WEIGHTS = release.METADATA, release.WEIGHTS


@pytest.fixture(autouse=True)
def _quick(quick):
  pass


@pytest.fixture
def copy(exported, tmp_path):
  return shutil.copytree(exported, tmp_path / 'copy')


def read(folder):
  flat, texts = arrays.decode((folder / WEIGHTS).read_bytes())
  return json.loads((folder / METADATA).read_text()), flat, texts


def forge(folder, change=None, weights=None, texts=None, **options):
  """Writes a model whose digests fit what it says."""
  metadata, flat, _ = read(folder)
  if change:
    change(metadata)
  flat = {name: array.copy() for name, array in flat.items()}
  if weights:
    weights(flat)
  if texts is None:
    texts = {release.DESCRIPTION: description.digest(metadata)}
  data = arrays.encode(flat, texts)
  if isinstance(metadata.get('files'), dict) and metadata['files']:
    metadata['files'] = {WEIGHTS: hashlib.sha256(data).hexdigest()}
  (folder / WEIGHTS).write_bytes(data)
  (folder / METADATA).write_text(json.dumps(metadata, **options))


def refused(folder, words=''):
  """Loading fails with one line that names the file; returns the line."""
  with pytest.raises(release.ModelError) as error:
    emojax.load(folder)
  text = str(error.value)
  assert '\n' not in text
  assert str(folder) in text
  assert words in text
  return text


def put(path, value):
  """A change of model.json: sets, or deletes with `...`, what is at a path."""

  def change(metadata):
    *parents, last = path
    for key in parents:
      metadata = metadata[key]
    if value is ...:
      del metadata[last]
    else:
      metadata[last] = value

  return change


@pytest.mark.parametrize(
  ('path', 'value', 'words'),
  [
    (('prior',), [], 'prior: expected an object'),
    (('prior',), None, 'prior: expected an object'),
    (('prior', 'pose'), {}, 'prior.pose: there is no such task'),
    (
      ('prior', 'va'),
      {'valence': 0, 'arousal': 0},
      'prior.va: tasks with bins',
    ),
    (
      ('prior', 'au', 'AU6'),
      ...,
      'prior.au: expected a number for each of AU1',
    ),
    (('prior', 'au', 'AU99'), 0, 'prior.au: expected a number for each of AU1'),
    (('prior', 'au', 'AU6'), 1000, 'prior.au.AU6: expected a number from -100'),
    (('prior', 'au', 'AU6'), True, 'prior.au.AU6: expected a number from -100'),
    (('prior', 'expr', 'fear'), '0', 'prior.expr.fear: expected a number'),
    (('prior', 'expr'), [0] * 7, 'prior.expr: expected a number for each'),
  ],
)
def test_class_weights_of_no_use(copy, path, value, words):
  forge(copy, put(path, value))
  refused(copy, words)


SHARES = ('thresholds', 'prevalence')


@pytest.mark.parametrize(
  ('path', 'value', 'words'),
  [
    (SHARES, [], 'thresholds.prevalence: expected an object'),
    ((*SHARES, 'au'), {}, 'prevalence.au: there is no such task with classes'),
    (
      (*SHARES, 'expr', 'joy'),
      0,
      'prevalence.expr: expected a number for each',
    ),
    ((*SHARES, 'expr', 'fear'), -0.1, 'thresholds.prevalence.expr.fear'),
    ((*SHARES, 'expr', 'fear'), '0', 'thresholds.prevalence.expr.fear'),
    ((*SHARES, 'expr', 'fear'), 1.0, 'the shares do not add up to 1'),
    (('pooled',), [], 'pooled: expected an object'),
    (('pooled',), {'va': {}}, 'pooled.va: there is no such task'),
    (('pooled',), {'expr': {'by': 1.0}}, 'pooled.expr.on is missing'),
    (('pooled',), {'expr': {'on': [], 'by': -1.0}}, 'pooled.expr.by'),
    (('pooled',), {'au': {'on': [], 'by': 1.0}}, 'pooled.au.by: expected one'),
  ],
)
def test_shares_of_classes_of_no_use(copy, path, value, words):
  forge(copy, put(path, value))
  refused(copy, words)


def test_rare_classes_are_favoured_by_their_shares(exported):
  model = emojax.load(exported)
  output = model.predict(IMAGE)
  shares = model.metadata['thresholds']['prevalence']['expr']
  assert sum(shares.values()) == pytest.approx(1)
  labels = np.array(model.schema[1].labels)
  expected = prior.favoured(
    output.probabilities['expr'], [shares[name] for name in labels], 1.0
  )
  found = model.answers(output, favour_rare=np.float32(1))
  np.testing.assert_array_equal(found['expr'], labels[expected.argmax(-1)])
  plain = model.answers(output)
  np.testing.assert_equal(found['au'], plain['au'])
  for power in (-0.1, 2, np.nan, '0.5', None, True, [0.5]):
    with pytest.raises(ValueError, match=r'favour_rare=.*from 0 to 1'):
      model.answers(output, favour_rare=power)
  likeliest = labels[output.probabilities['expr'].argmax(-1)]
  np.testing.assert_array_equal(plain['expr'], likeliest)


def test_models_of_before_do_not_know_which_classes_are_rare(copy):
  forge(copy, put(SHARES, ...))
  model = emojax.load(copy)
  output = model.predict(IMAGE)
  model.answers(output)
  with pytest.raises(release.ModelError, match='`emojax calibrate`'):
    model.answers(output, favour_rare=0.5)


IMAGE = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


def test_forged_digests_alone_change_nothing(exported, copy):
  forge(copy)
  found, expected = (emojax.load(f).predict(IMAGE) for f in (copy, exported))
  np.testing.assert_equal(found.probabilities, expected.probabilities)


def test_models_of_former_versions_are_loaded(exported, copy):
  """Their weights hold no digest of the description."""
  forge(copy, texts={'format': release.FORMAT})
  found, expected = (emojax.load(f).predict(IMAGE) for f in (copy, exported))
  np.testing.assert_equal(found.probabilities, expected.probabilities)


DELETED = [
  ('format',),
  ('members',),
  ('model',),
  ('model', 'name'),
  ('model', 'options'),
  ('schema',),
  ('schema', 0, 'name'),
  ('schema', 0, 'kind'),
  ('schema', 1, 'labels'),
  ('schema', 2, 'bins'),
  ('bin_values',),
  ('preprocessing',),
  ('preprocessing', 'image_size'),
  ('preprocessing', 'channels'),
  ('preprocessing', 'audio'),
  ('thresholds',),
  ('thresholds', 'decision'),
  ('thresholds', 'decision', 'au'),
  ('thresholds', 'decision', 'au', 'AU6'),
  ('thresholds', 'uncertainty'),
  ('files',),
  ('files', WEIGHTS),
]
JUNK = [None, True, -1, 1e999, float('nan'), 'x', [], {}, [[]], 10**400]


@pytest.mark.parametrize('path', DELETED, ids=lambda p: '.'.join(map(str, p)))
def test_keys_that_are_missing_or_junk(copy, exported, path):
  """Whatever else is there is refused."""
  original = read(copy)[0]
  for value in (..., *JUNK):
    metadata = copies.deepcopy(original)
    put(path, value)(metadata)
    if metadata == original:
      continue
    (copy / METADATA).write_text(json.dumps(metadata))
    text = refused(copy)
    # Numbers of a path are in names of folders, too.
    named = any(key in text for key in path if isinstance(key, str))
    others = 'is no number', 'was exported with', 'there is no such task'
    assert named or any(words in text for words in others)
  if path[0] != 'files':
    shutil.copytree(exported, copy, dirs_exist_ok=True)
    forge(copy, put(path, ...))  # with digests that fit
    refused(copy)


@pytest.mark.parametrize(
  ('path', 'value', 'words'),
  [
    (('files',), {}, 'files: expected the SHA-256 of weights.safetensors'),
    (('files', '../../etc/passwd'), '0' * 64, 'files: expected'),
    (('members',), [0, 0], 'members: expected different numbers'),
    (('members',), [0], 'temperatures.au: expected one for each of 1'),
    (('members',), [0, 1, 2], 'temperatures.au: expected one for each'),
    (('schema', 1, 'labels', 1), 'neutral', "'neutral' is there twice"),
    (('schema', 1, 'name'), 'au', 'tasks of different names'),
    (('schema', 1, 'name'), 'mean', 'tasks of different names'),
    (('schema', 1, 'kind'), 'binary', 'temperatures.expr: expected one'),
    (('schema', 1, 'labels'), ['neutral'], 'prior.expr: expected a number for'),
    (('schema', 2, 'bins'), 10, 'bin_values: expected 10 numbers'),
    (('bin_values', 3), float('nan'), 'NaN is no number'),
    (('bin_values', 3), 1e999, 'Infinity is no number'),
    (('bin_values', 3), -1, 'bin_values: expected them to ascend'),
    (('temperatures', 'expr', 0), float('nan'), 'NaN is no number'),
    (('temperatures', 'expr', 0), 0, 'temperatures.expr: expected a finite'),
    (('temperatures', 'expr', 0), -1, 'temperatures.expr: expected a finite'),
    (('temperatures', 'joy'), [1, 1], 'temperatures.joy: there is no such'),
    (
      ('thresholds', 'decision', 'au', 'AU6'),
      None,
      'decision.au.AU6: expected',
    ),
    (('thresholds', 'decision', 'au', 'AU6'), 2, 'decision.au.AU6: expected'),
    (('thresholds', 'decision', 'au', 'x'), 0.5, 'decision.au: expected the'),
    (
      ('thresholds', 'uncertainty', 'mean', 'total', '0.1'),
      -1e999,
      '-Infinity is no number',
    ),
    (
      ('thresholds', 'uncertainty', 'mean', 'total', '0.1'),
      '0.3',
      'mean.total.0.1: expected a finite number',
    ),
    (('model', 'name'), 'smoll', "'smoll' cannot be built"),
    (('model', 'options', 'run'), 'x', 'model.options: unknown run'),
    (('model', 'options', 'dtype'), [], "'small' cannot be built"),
    (('model', 'options', 'width'), 'x', "'small' cannot be built (TypeError"),
    (('preprocessing', 'image_size'), 10**9, 'image_size: expected'),
    (('preprocessing', 'channels'), 2, 'channels: expected 1 or 3'),
  ],
)
def test_descriptions_that_are_of_no_use(copy, monkeypatch, path, value, words):
  small = release.models.MODELS['small']

  def strict(schema, image_size, width, dtype, **options):
    assert width > 0
    return small(schema, image_size, **options)

  monkeypatch.setitem(release.models.MODELS, 'small', strict)
  metadata = read(copy)[0]
  put(path, value)(metadata)
  if path[0] != 'files' and 'is no number' not in words:
    forge(copy, put(path, value))  # with digests that fit
  else:
    (copy / METADATA).write_text(json.dumps(metadata))
  refused(copy, words)


CODES = '\x1b]0;title\x07\x1b[2J\n' + 'x' * 10**5


@pytest.mark.parametrize(
  ('path', 'value'),
  [
    (('format',), CODES),
    (('versions', 'emojax'), CODES),
    (('model', 'options', CODES), 1),
    (('model', CODES), 1),
    (('model', 'attributes'), {CODES: 1}),
    (('model', 'name'), CODES),
    (('preprocessing', CODES), 1),
    (('prior', CODES), {}),
    (('temperatures', CODES), []),
    (('thresholds', 'uncertainty', CODES), {}),
    ((guarantees.KEY,), {CODES: 1}),
  ],
)
def test_errors_are_one_line_that_a_terminal_may_show(copy, path, value):
  def change(metadata):
    metadata.setdefault('versions', {})
    put(path, value)(metadata)
    if path[0] == 'versions':
      metadata['format'] = 'x'

  forge(copy, change)
  text = refused(copy)
  assert text.isprintable()
  assert len(text) < 5000


def rename(tree, old, new):
  """The same with another label, wherever it is a key or a value."""
  if isinstance(tree, dict):
    return {
      new if key == old else key: rename(value, old, new)
      for key, value in tree.items()
    }
  if isinstance(tree, list):
    return [rename(value, old, new) for value in tree]
  return new if tree == old else tree


def renamed(folder, name):
  def change(metadata):
    metadata.update(rename(metadata, 'happiness', name))

  forge(folder, change)


@pytest.mark.parametrize(
  'name',
  ['', 'a\0b', 'a\nb', '\x1b]0;title\x07', '\x9b2J', 'a\ud800', 'a\u2028b',
   '\u202egpj', 'x' * 70_000],
)  # fmt: skip
def test_labels_that_are_no_names(copy, name):
  renamed(copy, name)
  text = refused(copy, 'schema[1].labels: expected printable names')
  assert text.isprintable()
  assert len(text) < 1000


@pytest.mark.parametrize(
  'name', ['V-A', '-1', '+', '=x', 'sehr fröhlich (laut)', '喜び', 'a|b', '😀']
)
def test_labels_that_are_names(copy, name):
  """Whatever a class of a data set may be called."""
  renamed(copy, name)
  assert emojax.load(copy).schema[1].labels[4] == name


def test_more_labels_than_any_task_has():
  """Soon, however many they are."""
  labels = [f'{i:x}' for i in range(300_000)]
  start = time.process_time()
  with pytest.raises(ValueError, match=r'x: expected 1 to 4,096 names'):
    description._check_labels(labels, 'x')
  labels = [*labels[:4000], labels[3999]]
  with pytest.raises(ValueError, match="'f9f' is there twice"):
    description._check_labels(labels, 'x')
  assert time.process_time() - start < 1


@pytest.mark.parametrize('name', ['', '=1+1', 'a\n', 'a/../b', 'x' * 101])
def test_tasks_that_are_no_names(copy, name):
  forge(copy, put(('schema', 1, 'name'), name))
  refused(copy, 'schema[1].name: expected letters, digits and _')


def test_more_tasks_than_a_model_has(copy):
  def more(metadata):
    task = metadata['schema'][1]
    metadata['schema'] += [{**task, 'name': f't{i}'} for i in range(14)]

  forge(copy, more)
  refused(copy, 'schema: expected at most 16 tasks')


@pytest.mark.parametrize(
  'text',
  [
    '',
    '[]',
    'null',
    '"x"',
    '1',
    '{}',
    '[' * 100_000,
    '{"a":' * 100_000,
    '{"format": "emojax-model-1"}',
    '{"format": ["emojax-model-1"]}',
    '{"format": 1e400, "versions": 3}',
    '\ufeff{}',
    '{"format": ' + '9' * 10_000 + '}',
  ],
)
def test_what_is_no_description(copy, text):
  (copy / METADATA).write_text(text)
  refused(copy, METADATA)


def test_bytes_that_are_no_text(copy):
  (copy / METADATA).write_bytes(b'\xff\xfe{')
  refused(copy, 'is damaged')
  (copy / METADATA).unlink()
  (copy / METADATA).mkdir()
  refused(copy, 'holds no exported model')


def test_huge_descriptions_are_not_read(copy):
  with open(copy / METADATA, 'r+b') as file:
    file.truncate(1 << 33)
  refused(copy, 'more than 16,777,216 bytes')
  with pytest.raises(OSError, match='more than 16,777,216 bytes'):
    loading.read_metadata(copy)


def zeros(path):
  path.symlink_to('/dev/zero')


def terabyte(path):
  path.touch()
  os.truncate(path, 1 << 40)  # takes no place on the disk


@pytest.mark.parametrize('name', [METADATA, WEIGHTS])
@pytest.mark.parametrize('make', [os.mkfifo, zeros, terabyte])
def test_files_that_wait_or_never_end(copy, name, make):
  (copy / name).unlink()
  make(copy / name)
  refused(copy, name)


@pytest.mark.parametrize('make', [os.mkfifo, zeros, terabyte])
def test_cards_that_wait_or_never_end(copy, make):
  (copy / release.CARD).unlink()
  make(copy / release.CARD)
  if make is not terabyte:  # there is no card
    assert release.read_card(copy) is None
    return
  with pytest.raises(release.ModelError, match=r'README\.md cannot be read'):
    release.read_card(copy)


def test_weights_are_no_larger_than_those_of_the_network(copy):
  """All of a larger file need not be read to refuse it."""
  path = copy / WEIGHTS
  os.truncate(path, 2 * path.stat().st_size + arrays.MAX_HEADER)
  refused(copy, 'cannot be read (more than')


def reversed_labels(metadata):
  metadata['schema'][1]['labels'].reverse()


def test_labels_in_another_order(copy):
  """The weights are those of the labels in their order."""
  metadata = read(copy)[0]
  reversed_labels(metadata)
  (copy / METADATA).write_text(json.dumps(metadata))
  refused(copy, 'is not what weights.safetensors was exported with')
  metadata = read(copy)[0]
  metadata['schema'][0]['labels'].reverse()
  (copy / METADATA).write_text(json.dumps(metadata))
  refused(copy, 'decision.au: expected the labels of the task, in their order')


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(copy, bad):
  def spoil(flat):
    sorted(flat.items())[-1][1].flat[-1] = bad

  forge(copy, weights=spoil)
  refused(copy, 'not finite')


@pytest.mark.parametrize(
  'dtype', ['float64', 'float16', 'int32', 'uint8', 'bool']
)
def test_weights_of_another_type(copy, dtype):
  def convert(flat):
    name = sorted(flat)[0]
    flat[name] = flat[name].astype(dtype)

  forge(copy, weights=convert)
  refused(copy, f'{dtype} [')


def test_weights_that_are_more_or_fewer(copy, exported):
  forge(copy, weights=lambda flat: flat.update(extra=np.zeros(1, 'float32')))
  refused(copy, 'extra: float32 [1] there, absent expected')
  shutil.copytree(exported, copy, dirs_exist_ok=True)
  forge(copy, weights=lambda flat: flat.pop(sorted(flat)[0]))
  refused(copy, 'absent there')
  shutil.copytree(exported, copy, dirs_exist_ok=True)
  forge(copy, weights=lambda flat: flat.update({'params': np.zeros(1)}))
  refused(copy, 'params: float64 [1] there')


def test_files_that_are_no_safetensors(copy):
  for data in (b'', b'\xff' * 100, b'PK\x03\x04', b'{}'):
    metadata = json.loads((copy / METADATA).read_text())
    (copy / WEIGHTS).write_bytes(data)
    metadata['files'] = {WEIGHTS: hashlib.sha256(data).hexdigest()}
    (copy / METADATA).write_text(json.dumps(metadata))
    refused(copy, WEIGHTS)


def loaded(folder):
  """The model, or the message of the error."""
  try:
    return emojax.load(folder)
  except release.ModelError as error:
    return str(error)


def test_a_flipped_bit(copy, exported):
  """It is noticed, or changes nothing that is predicted or said."""
  expected = emojax.load(exported)
  rng, noticed = np.random.default_rng(0), 0
  for i in range(200):
    name = (METADATA, WEIGHTS)[i % 2]
    data = bytearray((exported / name).read_bytes())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    (copy / name).write_bytes(data)
    found = loaded(copy)
    if isinstance(found, str):
      noticed += 1
      assert str(copy) in found
      assert '\n' not in found
    else:
      pair = (found.metadata, expected.metadata)
      assert len({description.digest(metadata) for metadata in pair}) == 1
    shutil.copy(exported / name, copy / name)
  assert noticed > 150


# Outputs that are no numbers are no answers.


@pytest.fixture
def overflowing(copy):
  """A model whose weights are finite, and whose logits are not."""

  def enlarge(flat):
    for name, array in flat.items():
      if name.startswith('params/expr/'):
        array[:] = np.where(array < 0, -3e38, 3e38)

  forge(copy, weights=enlarge)
  return emojax.load(copy)


def test_outputs_that_are_not_finite_are_no_answers(overflowing):
  output = overflowing.predict(IMAGE)
  assert not np.isfinite(output.probabilities['expr']).all()
  with pytest.raises(
    release.ModelError, match=r'no finite output of expr for 3'
  ):
    overflowing.answers(output)
  assert overflowing.unsure(output).all()
  assert overflowing.unsure(output, 0.2, 'epistemic', 'expr').all()
  one = overflowing.predict(IMAGE[0])
  assert overflowing.unsure(one)
  with pytest.raises(release.ModelError, match='for 1 frames: its numbers'):
    overflowing.answers(one)


def test_only_the_frames_that_are_not_finite_are_marked(exported):
  model = emojax.load(exported)
  output = model.predict(IMAGE)
  total = output.uncertainty['mean'].total.copy()
  total[1] = np.nan
  mean = output.uncertainty['mean']._replace(total=total)
  changed = output._replace(uncertainty={**output.uncertainty, 'mean': mean})
  expected = model.unsure(output)
  expected[1] = True
  np.testing.assert_array_equal(model.unsure(changed), expected)
  output.probabilities['va'][2, 0, 3] = np.inf
  with pytest.raises(release.ModelError, match=r'of va .* the first at \[2\]'):
    model.answers(output)

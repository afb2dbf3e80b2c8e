"""Models in other forms: written only if they say the same, read only if known."""

import itertools
import json
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import emojax
from emojax import export, tasks
from emojax.data.clips import evaluation_sets
from emojax.trained import deployed, forms, onnx_file
from emojax.trained import run as runs
from emojax.trained.answering import ModelError

onnx = pytest.importorskip('onnx', reason="needs the extra 'onnx'")
pytest.importorskip('onnxruntime', reason="needs the extra 'onnx'")

from emojax.interchange import rules  # noqa: E402


@pytest.fixture(autouse=True)
def _quick(quick):
  pass


@pytest.fixture(scope='module')
def folder(run_path, tmp_path_factory):
  """The students of the run in all forms."""
  import trained_run

  out = tmp_path_factory.mktemp('forms') / 'model'
  with trained_run.small_and_quick():
    arguments = [f'--workdir={run_path}', f'--out={out}']
    assert export.main([*arguments, '--format=safetensors,onnx,jax']) == 0
  return out


@pytest.fixture(scope='module')
def clips(run_path):
  config = runs.open_run(run_path).config
  return evaluation_sets.open_split(config.data, 'test').clips


@pytest.fixture(scope='module')
def model(folder):
  return emojax.load(folder / forms.ONNX)


def test_a_folder_has_all_forms(folder):
  assert sorted(path.name for path in folder.iterdir()) == [
    'README.md', 'model.jax', 'model.json', 'model.onnx', 'weights.safetensors'
  ]  # fmt: skip


def test_answers_are_those_of_the_folder(folder, model, clips):
  ours = emojax.load(folder)
  assert type(ours) is not type(model)  # one folder, two ways to run it
  for options in ({}, {'temperature': True}):
    a, b = (
      one.predict(clips.image, batch=5, **options) for one in (ours, model)
    )
    for task in ours.schema:
      pair = a.members[task.name], b.members[task.name]
      np.testing.assert_allclose(*pair, atol=1e-5)
    for name, doubt in a.uncertainty.items():
      np.testing.assert_allclose(doubt, b.uncertainty[name], atol=1e-5)
    for name, values in a.values.items():
      np.testing.assert_allclose(values, b.values[name], atol=1e-5)
  a, b = (one.predict(clips.image) for one in (ours, model))
  agree = ours.answers(a)['expr'] == model.answers(b)['expr']
  assert agree.mean() > 0.95  # the small network ties some
  np.testing.assert_array_equal(ours.unsure(a, 0.05), model.unsure(b, 0.05))
  for name, made in ours.sets(a)['au'].items():
    assert (made == model.sets(b)['au'][name]).mean() > 0.95
  still = clips.image[:3, 0]
  np.testing.assert_allclose(
    ours.predict(still).probabilities['va'],
    model.predict(still).probabilities['va'],
    atol=1e-5,
  )


def outputs(folder, image):
  """All that the graph gives for images, by name."""
  import onnxruntime

  session = onnxruntime.InferenceSession(folder / forms.ONNX)
  (entry,) = session.get_inputs()
  assert (entry.name, entry.type) == ('image', 'tensor(uint8)')
  assert entry.shape == ['batch', 'frames', 32, 32, 3]
  names = [output.name for output in session.get_outputs()]
  return dict(zip(names, session.run(None, {'image': image}), strict=True))


def test_the_graph_has_everything_in_it(folder, model, clips):
  image = clips.image[:5]
  found, output = outputs(folder, image), model.predict(image)
  for task in model.schema:
    expected = output.probabilities[task.name]
    np.testing.assert_allclose(
      found[f'{task.name}/probabilities'], expected, atol=1e-6
    )
  for label in ('valence', 'arousal'):
    np.testing.assert_allclose(found[label], output.values[label], atol=1e-6)
  scaled = model.predict(image, temperature=True)
  np.testing.assert_allclose(
    found['expr/scaled'], scaled.probabilities['expr'], atol=1e-6
  )
  np.testing.assert_array_equal(found['unsure'], model.unsure(output, 0.1))


def test_sets_in_the_graph_are_those_of_the_model(folder, model, clips):
  image = clips.image[:5]
  found, output = outputs(folder, image), model.predict(image)
  states = {'absent': 0, 'present': 1, 'unsure': -1}
  for i, coverage in enumerate(model.metadata['conformal']['coverages']):
    sets = model.sets(output, coverage)
    same = found['expr/sets'][..., i, :] == sets['expr']
    assert same.mean() > 0.98  # a score may lie on its threshold
    for j, unit in enumerate(model.schema[0].labels):
      expected = np.vectorize(states.get)(sets['au'][unit])
      assert (found['au/sets'][..., i, j] == expected).mean() > 0.8
    for j, label in enumerate(('valence', 'arousal')):
      pair = found['va/sets'][..., i, j, :], sets['va'][label]
      assert np.isclose(*pair, atol=1e-5).mean() > 0.8


def test_the_program_of_jax_says_the_same(folder, clips):
  data = (folder / forms.JAX).read_bytes()
  exported = jax.export.deserialize(bytearray(data))
  assert set(exported.platforms) == set(forms.PLATFORMS)
  output = emojax.load(folder).predict(clips.image[:3])
  found = exported.call(image=clips.image[:3])
  np.testing.assert_allclose(
    found['expr/probabilities'], output.probabilities['expr'], atol=1e-5
  )
  np.testing.assert_allclose(
    found['mean/total'], output.uncertainty['mean'].total, atol=1e-5
  )


def test_the_file_says_what_others_need(folder, model):
  read = onnx.load(folder / forms.ONNX)
  texts = {entry.key: entry.value for entry in read.metadata_props}
  assert json.loads(texts['labels'])['expr'] == list(tasks.AFFWILD2)
  assert json.loads(texts['coverages']) == [0.8, 0.9, 0.95]
  assert texts['card'] == 'README.md'
  assert '32 x 32' in texts['preprocessing']
  assert read.opset_import[0].version == 18
  said = {k: v for k, v in model.metadata.items() if k != 'files'}
  kept = json.loads((folder / 'model.json').read_text())
  del kept['files']
  assert said == kept


def test_an_exported_folder_is_converted(exported, tmp_path, clips, capsys):
  out = tmp_path / 'other'
  assert export.main([f'--model={exported}', f'--out={out}']) == 0
  assert sorted(p.name for p in out.iterdir()) == ['README.md', 'model.onnx']
  model, ours = emojax.load(out), emojax.load(exported)  # the folder is enough
  a, b = (one.predict(clips.image[:2]) for one in (model, ours))
  np.testing.assert_allclose(
    a.probabilities['au'], b.probabilities['au'], atol=1e-5
  )
  assert export.main([f'--model={exported}', f'--out={out}']) == 1
  assert 'exists already' in capsys.readouterr().err
  arguments = [f'--model={exported}', f'--out={out}2']
  assert export.main([*arguments, '--format=safetensors']) == 1
  assert 'has this form already' in capsys.readouterr().err
  assert export.main(['--model=ferpluss', f'--out={out}2']) == 1
  assert 'did you mean ferplus' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--half'], '--half is of a run'),
    (['--members=0'], '--members is of a run'),
    (['--tolerance=2'], r'expected a number in \[0, 1\)'),
    (['--workdir=x'], 'not allowed with'),
    (['--format=safetensors', '--tolerance=0.1'], 'of other forms'),
  ],
)
def test_flags_that_mean_nothing_are_refused(flags, message, capsys):
  with pytest.raises(SystemExit):
    export.parse(['--model=ferplus', '--out=x', *flags])
  assert re.search(message, capsys.readouterr().err)


def test_unknown_forms_are_refused(run_path, tmp_path, capsys):
  for text, words in (('onx', "'onx': expected"), ('onnx,onnx', 'each once')):
    arguments = [f'--workdir={run_path}', f'--out={tmp_path / "x"}']
    assert export.main([*arguments, f'--format={text}']) == 1
    assert words in capsys.readouterr().err
  assert list(tmp_path.iterdir()) == []


# What must not be written.


def test_a_graph_that_was_made_wrong_is_refused(
  exported, tmp_path, monkeypatch, capsys
):
  monkeypatch.setitem(rules.ELEMENTWISE, 'exp', rules.ELEMENTWISE['tanh'])
  arguments = [f'--model={exported}', f'--out={tmp_path / "x"}']
  assert export.main(arguments) == 1
  assert 'model.onnx does not say what the model' in capsys.readouterr().err
  assert list(tmp_path.iterdir()) == []
  assert export.main([*arguments, '--tolerance=0.999']) == 0  # unless told


def test_a_program_that_was_made_wrong_is_refused(
  exported, tmp_path, monkeypatch, capsys
):
  real = deployed._of_task

  def wrong(model, task, probs):
    return real(model, task, probs * 1.001)

  monkeypatch.setattr(deployed, '_of_task', wrong)
  arguments = [f'--model={exported}', f'--out={tmp_path / "x"}']
  assert export.main([*arguments, '--format=jax']) == 1
  assert 'model.jax does not say what the model' in capsys.readouterr().err
  assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_missing_or_not_finite_are_a_difference():
  assert forms._difference(None, np.zeros(2)) == np.inf
  assert forms._difference(np.zeros(3), np.zeros(2)) == np.inf
  assert forms._difference(np.float32([np.nan]), np.zeros(1)) == np.inf
  assert forms._difference(np.float32([1.5]), np.ones(1)) == 0.5


# What must not be run.


@pytest.fixture
def changed(folder, tmp_path):
  """A function that changes a copy of the graph, with a digest that fits."""

  def make(change, honest=False):
    read = onnx.load(folder / forms.ONNX)
    change(read)
    texts = {e.key: e.value for e in read.metadata_props}
    if not honest:
      texts[onnx_file.DIGEST] = onnx_file.digest(read, texts)
      onnx.helper.set_model_props(read, texts)
    path = tmp_path / 'changed.onnx'
    path.write_bytes(read.SerializeToString())
    return path

  return make


def entry(read, key):
  return next(e for e in read.metadata_props if e.key == key)


def elsewhere(read):
  tensor = read.graph.initializer[0]
  tensor.data_location = onnx.TensorProto.EXTERNAL
  tensor.external_data.add(key='location', value='../../etc/passwd')
  tensor.ClearField('raw_data')


def in_a_body(read):
  body = next(n for n in read.graph.node if n.op_type == 'Scan')
  graph = next(a.g for a in body.attribute if a.HasField('g'))
  graph.node[0].op_type = 'Loop'


def other_domain(read):
  read.graph.node[0].domain = 'com.stranger'


def random(read):
  read.graph.node[0].op_type = 'RandomNormalLike'


def function(read):
  read.functions.add(name='f', domain='g')


def opset(read):
  read.opset_import.add(domain='com.stranger', version=1)


def not_finite(read):
  tensor = max(read.graph.initializer, key=lambda t: len(t.raw_data))
  data = np.frombuffer(tensor.raw_data, np.uint8).copy()
  data[:] = 255
  tensor.raw_data = data.tobytes()


def no_label(read):
  said = json.loads(entry(read, onnx_file.MODEL).value)
  del said['schema'][1]['labels']
  entry(read, onnx_file.MODEL).value = json.dumps(said)


def fewer_labels(read):
  said = json.loads(entry(read, onnx_file.MODEL).value)
  said['members'] = [0, 1, 2]
  said['temperatures'] = None
  entry(read, onnx_file.MODEL).value = json.dumps(said)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (elsewhere, 'lies in another file'),
    (in_a_body, 'the operator Loop is none'),
    (other_domain, 'operator com.stranger:.* is none that exports use'),
    (random, 'operator RandomNormalLike is none'),
    (function, 'functions or a training'),
    (opset, 'expected ONNX 18 alone'),
    (not_finite, 'numbers that are not finite'),
    (no_label, r'schema\[1\].labels is missing'),
  ],
)
def test_what_is_not_of_the_vocabulary_is_refused(changed, change, message):
  path = changed(change)
  with pytest.raises(ModelError, match=f'changed.onnx is damaged .*{message}'):
    emojax.load(path)


def test_descriptions_of_another_graph_are_noticed(changed, clips):
  model = emojax.load(changed(fewer_labels))
  with pytest.raises(ModelError, match=r'gives float32 \(2, .* not float32'):
    model.predict(clips.image[:1])


def test_a_change_of_the_file_is_noticed(changed, folder, tmp_path):
  def label(read):
    text = entry(read, onnx_file.MODEL)
    text.value = text.value.replace('"happiness"', '"joy"')

  with pytest.raises(ModelError, match='its SHA-256 is not that of'):
    emojax.load(changed(label, honest=True))
  data = bytearray((folder / forms.ONNX).read_bytes())
  for cut in (0, 10, len(data) // 2, len(data) - 1):
    (tmp_path / 'cut.onnx').write_bytes(data[:cut])
    with pytest.raises(ModelError, match=r'cut\.onnx is (damaged|not an)'):
      emojax.load(tmp_path / 'cut.onnx')
  for place in range(100, len(data), len(data) // 40):
    data[place] ^= 1
    (tmp_path / 'flipped.onnx').write_bytes(data)
    with pytest.raises(ModelError, match=r'flipped\.onnx'):
      emojax.load(tmp_path / 'flipped.onnx')
    data[place] ^= 1


def test_files_of_others_are_not_run(folder, tmp_path):
  read = onnx.load(folder / forms.ONNX)
  del read.metadata_props[:]
  (tmp_path / 'other.onnx').write_bytes(read.SerializeToString())
  with pytest.raises(ModelError, match='not an ONNX file of emojax export'):
    emojax.load(tmp_path / 'other.onnx')
  with pytest.raises(ModelError, match='there is no such file'):
    emojax.load(tmp_path / 'none.onnx')
  shutil.copy(folder / forms.ONNX, tmp_path / 'a.onnx')
  with pytest.raises(ModelError, match=r'name one of a\.onnx'):
    emojax.load(tmp_path)


def test_what_a_file_cannot_do_is_said(folder, model, clips):
  with pytest.raises(ModelError, match='has no stochastic passes'):
    model.predict(clips.image[:1], samples=2)
  with pytest.raises(ModelError, match='does not listen'):
    model.predict(clips.image[:1], np.zeros((1, 2, 64, 64), np.float32))
  with pytest.raises(ValueError, match='label schema differs'):
    emojax.load(folder / forms.ONNX, tasks.ABAW2020)


# Without JAX.

ALONE = """
import sys
sys.modules['jax'] = sys.modules['jaxlib'] = sys.modules['flax'] = None
import numpy as np
import emojax
model = emojax.load(sys.argv[1])
size = model.image_size
output = model.predict(np.zeros((2, size, size, 3), np.uint8))
model.answers(output), model.unsure(output), model.sets(output)
table = emojax.predict(np.zeros((size, size, 3), np.uint8), model, crops=True)
print(len(table['frame']))
"""


def test_neither_jax_nor_flax_is_asked_for(folder):
  command = [sys.executable, '-W', 'error', '-c', ALONE, folder / forms.ONNX]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert done.stdout == '1\n'


def test_the_whole_command_does_without(folder, tmp_path):
  from PIL import Image

  Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / 'a.png')
  script = (
    'import sys; sys.modules["jax"] = sys.modules["flax"] = None\n'
    'from emojax import cli; sys.exit(cli.main(sys.argv[1:]))'
  )
  out = tmp_path / 'out'
  command = [
    sys.executable, '-c', script, 'predict', '--crops', tmp_path / 'a.png',
    '--model', folder / forms.ONNX, '--out', out,
  ]  # fmt: skip
  for _ in range(2):  # once more: it is finished
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
  assert 'is finished: nothing to do' in done.stdout
  assert len((out / 'answers.csv').read_text().splitlines()) == 2


@pytest.mark.slow
def test_the_shipped_weights_as_onnx(tmp_path):
  out = tmp_path / 'ferplus'
  flags = ['--model=ferplus', f'--out={out}', '--format=onnx,jax']
  assert export.main(flags) == 0
  assert (out / forms.ONNX).stat().st_size < 8_000_000
  model, ours = emojax.load(out), emojax.load('ferplus')
  rng = np.random.default_rng(0)
  faces = rng.integers(0, 256, (20, 70, 60, 3), np.uint8)
  for temperature in (False, True):
    a, b = (m.predict(faces, temperature=temperature) for m in (model, ours))
    np.testing.assert_allclose(a.members['expr'], b.members['expr'], atol=1e-5)
    for pair in zip(a.uncertainty['mean'], b.uncertainty['mean'], strict=True):
      np.testing.assert_allclose(*pair, atol=1e-5)
  with pytest.raises(ModelError, match='answers single images, not clips of 2'):
    model.predict(faces[None, :2])


def grown(read, nodes, arrays):
  """Adds the sum of what nodes make of `one` to the logits, as `huge`."""
  graph = read.graph
  logits = next(o.name for o in graph.output if o.name.endswith('/logits'))
  for node in graph.node:
    for i, name in enumerate(node.output):
      node.output[i] = 'inner' if name == logits else name
    for i, name in enumerate(node.input):
      node.input[i] = 'inner' if name == logits else name
  arrays = {'one': np.ones(1, np.float32)} | arrays
  for name, array in arrays.items():
    graph.initializer.append(onnx.numpy_helper.from_array(array, name))
  make = onnx.helper.make_node
  graph.node.extend(nodes)
  graph.node.append(make('ReduceSum', ['huge'], ['sum'], keepdims=0))
  graph.node.append(make('Add', ['inner', 'sum'], [logits]))


def expanded(read):
  node = onnx.helper.make_node('Expand', ['one', 'size'], ['huge'])
  grown(read, [node], {'size': np.array([10**12])})


def padded(read):
  node = onnx.helper.make_node('Pad', ['one', 'size'], ['huge'])
  grown(read, [node], {'size': np.array([0, 10**12])})


def doubled(read):
  names = ['one', *(f'twice{i}' for i in range(40)), 'huge']
  nodes = [
    onnx.helper.make_node('Concat', [a, a], [b], axis=0)
    for a, b in itertools.pairwise(names)
  ]
  grown(read, nodes, {})


def multiplied(read):
  """Outer products, which are not computed in advance either."""
  names = ['row', *(f'product{i}' for i in range(5)), 'huge']
  nodes = [
    onnx.helper.make_node('Mul', [a, 'column' if i == 0 else f'column{i}'], [b])
    for i, (a, b) in enumerate(itertools.pairwise(names))
  ]
  columns = {
    'column' if i == 0 else f'column{i}': np.ones((100,) + (1,) * (i + 1), 'f')
    for i in range(6)
  }
  grown(read, nodes, columns | {'row': np.ones(100, 'f')})


BOUNDED = """
import sys
import numpy as np
from emojax.trained import onnx_model
import emojax, pathlib
onnx_model.SHARE = 0.02
model = emojax.load(sys.argv[1])
try:
  model.predict(np.zeros((1, 1, 32, 32, 3), np.uint8))
except ValueError as error:
  print(error)
# `ru_maxrss` would have that of the process before `exec`.
(most,) = [x for x in open('/proc/self/status') if x.startswith('VmHWM')]
print(int(most.split()[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('change', [expanded, padded, doubled, multiplied])
def test_graphs_that_ask_for_more_memory_than_there_is(change, changed):
  """An error, and not the end of the process."""
  path = changed(change)
  done = subprocess.run(
    [sys.executable, '-c', BOUNDED, path],
    capture_output=True, text=True, check=False, timeout=120,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  error, most = done.stdout.splitlines()
  assert re.match('the graph cannot be run: .*memory', error)
  assert int(most) < 2500  # MiB


def test_kernels_are_computed_before_a_runtime_does(folder):
  """Nothing that depends on nothing is left to it, and answers stay the same."""
  import onnxruntime

  data = (folder / forms.ONNX).read_bytes()
  made = onnx_file.unpacked(data)
  constant = {x.name for x in onnx.load_from_string(made).graph.initializer}
  for node in onnx.load_from_string(made).graph.node:
    if node.op_type in onnx_file.FOLDED:
      assert not set(node.input) <= constant
  sessions = [
    onnxruntime.InferenceSession(x, providers=['CPUExecutionProvider'])
    for x in (data, made)
  ]
  images = np.random.default_rng(0).integers(0, 256, (1, 2, 32, 32, 3))
  names = [x.name for x in sessions[0].get_inputs()]
  assert names == [x.name for x in sessions[1].get_inputs()]
  if names == ['image']:
    inputs = {'image': images.astype(np.uint8)}
    for a, b in zip(*(x.run(None, inputs) for x in sessions), strict=True):
      np.testing.assert_allclose(a, b, atol=1e-6)

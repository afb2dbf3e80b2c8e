"""The command line as users call it: the same numbers, and hostile inputs."""

import csv
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import skimage.data
from PIL import Image

import emojax
from emojax import answer
from emojax.answers import columns, progress
from emojax.faces import align, detectors, sources

ROOT = pathlib.Path(__file__).parents[2]


def command(*arguments) -> list[str]:
  return [sys.executable, '-m', 'emojax', 'predict', *map(str, arguments)]


def environment():
  return os.environ | {'PYTHONPATH': str(ROOT)}


def contents(out):
  return {
    str(path.relative_to(out)): path.read_bytes()
    for path in sorted(out.rglob('*'))
    if path.is_file()
  }


@pytest.mark.slow
def test_python_is_the_command_line_is_the_model(
  model_path, real_model, faces, tmp_path
):
  """To the bit: the files, `emojax.predict`, and `load(...).predict`."""
  arguments = (faces, '--crops', '--model', model_path, '--out', tmp_path / 'o')
  done = subprocess.run(
    command(*arguments), env=environment(), capture_output=True, text=True
  )
  assert done.returncode == 0, done.stdout + done.stderr
  table = emojax.predict(str(faces), model=real_model, crops=True)
  with open(tmp_path / 'o' / 'answers.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  paths = sorted(faces.glob('*.png'))
  crops = [
    Image.open(path).convert('RGB').resize((32, 32), Image.Resampling.BILINEAR)
    for path in paths
  ]
  output = real_model.predict(np.stack([np.asarray(c) for c in crops]))
  assert [row['file'] for row in rows] == table['file'].tolist()
  for column in table.columns:
    if column.kind == 'number':
      texts = [row[column.name] for row in rows]
      found = np.float32([np.float32(t) if t else np.nan for t in texts])
      np.testing.assert_array_equal(found, table[column.name])
  for i, label in enumerate(real_model.schema[0].labels):
    probs = output.probabilities['expr'][:, i]
    np.testing.assert_array_equal(table[label], probs)
  for kind, values in output.uncertainty['expr']._asdict().items():
    np.testing.assert_array_equal(table[f'expr_{kind}'], values)
  assert table['answer'].tolist() == list(real_model.answers(output)['expr'])
  rare = emojax.predict(
    str(faces), model=real_model, crops=True, favour_rare=1.0
  )
  answers = real_model.answers(output, favour_rare=1.0)['expr']
  assert rare['answer'].tolist() == list(answers)
  assert rare['answer'].tolist() != table['answer'].tolist()
  assert len(np.unique(table['happiness'])) > 60  # they do differ


@pytest.mark.slow
def test_the_same_with_what_people_use(tmp_path):
  """The default detector and the model of this package, on photos of a wheel."""
  pytest.importorskip('onnxruntime', reason='needs emojax[faces]')
  if 'mtcnn' not in detectors.installed():
    pytest.skip('needs emojax[faces]')
  for name in ('astronaut', 'camera', 'cat'):
    image = Image.fromarray(getattr(skimage.data, name)()).convert('RGB')
    image.save(tmp_path / f'{name}.png')
  paths = sorted(tmp_path.glob('*.png'))
  done = subprocess.run(
    command(*paths, '--out', tmp_path / 'out'),
    env=environment(), capture_output=True, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  table = emojax.predict([str(path) for path in paths])
  assert table.found.tolist() == [True, True, False]
  with open(tmp_path / 'out' / 'answers.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  for column in table.columns:
    texts = [row[column.name] for row in rows]
    if column.kind == 'text':
      assert texts == table[column.name].tolist()
    elif column.kind != 'flag':
      kind = columns.TYPES[column.kind]
      found = np.array([kind(t) if t else np.nan for t in texts], kind)
      np.testing.assert_array_equal(found, table[column.name])
  # And the exported model itself, given the crops.
  model, detect = emojax.load('ferplus'), detectors.load(threads=1)
  crops = []
  for path in paths[:2]:
    image = np.asarray(Image.open(path))
    (box,), _, (points,) = detect(image)
    rule = align.CropRule.from_json(model.metadata['preprocessing']['crop'])
    crops.append(align.crop(image, box, points, rule, model.image_size))
  output = model.predict(np.stack(crops + [crops[-1]] * 14), batch=16)
  for i, label in enumerate(model.schema[0].labels):
    probs = output.probabilities['expr'][:2, i]
    np.testing.assert_array_equal(table[label][:2], probs)
  for kind, values in output.uncertainty['expr']._asdict().items():
    np.testing.assert_array_equal(table[f'expr_{kind}'][:2], values[:2])


@pytest.mark.slow
def test_a_photo_without_a_network(tmp_path):
  """The model of this package, with nothing compiled before."""
  pytest.importorskip('onnxruntime', reason='needs emojax[faces]')
  alone = ['unshare', '-n']
  try:
    subprocess.run([*alone, 'true'], check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError):
    pytest.skip('may not cut the network off')
  photo, out = tmp_path / 'astronaut.jpg', tmp_path / 'out'
  Image.fromarray(skimage.data.astronaut()).save(photo)
  done = subprocess.run(
    [*alone, *command(photo, '--out', out)],
    env=environment() | {'HOME': str(tmp_path / 'home')},
    capture_output=True, text=True, cwd=tmp_path,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  with open(out / 'answers.csv', newline='') as file:
    (row,) = csv.DictReader(file)
  assert row['answer'] == 'happiness'
  assert (out / 'page.html').exists()
  assert (out / 'overlay' / '00000-astronaut.jpg').exists()


@pytest.mark.slow
def test_kill_and_resume_byte_for_byte(model_path, clip, tmp_path):
  arguments = (clip[0], '--crops', '--model', model_path, '--out')
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  done = subprocess.run(
    command(*arguments, whole), env=environment(), capture_output=True
  )
  assert done.returncode == 0, done.stdout
  process = subprocess.Popen(
    command(*arguments, killed),
    env=environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  # After its first part, wherever that is.
  deadline = time.monotonic() + 300
  while not list(killed.rglob('*.npz')) and process.poll() is None:
    assert time.monotonic() < deadline
    time.sleep(0.002)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert not (killed / 'summary.json').exists()
  done = subprocess.run(
    command(*arguments, killed), env=environment(), capture_output=True
  )
  assert done.returncode == 0, done.stdout
  assert contents(killed) == contents(whole)


def hostile(folder: pathlib.Path, number: int) -> pathlib.Path:
  """A file or folder that is not what it seems to be."""
  rng = random.Random(number)
  path = folder / f'{number}{rng.choice([".jpg", ".png", ".mp4", ".gif", ""])}'
  with_data = Image.new('RGB', (40, 30), (rng.randrange(256), 0, 0))
  good = folder / 'good.png'
  with_data.save(good)
  data = bytearray(good.read_bytes())
  good.unlink()
  kind = number % 10
  if kind == 0:
    path.write_bytes(b'')
  elif kind == 1:
    path.write_bytes(rng.randbytes(rng.randrange(1, 5000)))
  elif kind == 2:
    path.write_bytes(data[: rng.randrange(len(data))])
  elif kind == 3:
    for _ in range(5):
      data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)
  elif kind == 4:
    path.mkdir()
  elif kind == 5:
    path.symlink_to(path)  # leads to itself
  elif kind == 6:
    path = folder / 'a<' / 'script>\n"\x7f.png'
    path.parent.mkdir()
    path.write_bytes(data)
  elif kind == 7:
    path = pathlib.Path(os.fsdecode(os.fsencode(folder) + b'/\xff\xfe.jpg'))
    path.write_bytes(data)
  elif kind == 8:
    path.write_text('#EXTM3U\nhttp://127.0.0.1:9/x.ts\n')
  else:
    path = folder / 'is-not-there.jpg'
  return path


@pytest.mark.parametrize('number', range(100))
def test_hostile_inputs(number, model, tmp_path, monkeypatch, capfd):
  """One line each, exit code 0 or 1, never a traceback."""
  folder = tmp_path / 'in'
  folder.mkdir()
  path = hostile(folder, number)
  monkeypatch.setattr(emojax, 'load', lambda _: model)
  inputs = folder if number % 2 and number % 10 != 9 else path
  out = tmp_path / 'out'
  code = answer.main([str(inputs), '--crops', '--out', str(out)])
  said = capfd.readouterr()
  assert code in (0, 1), said
  assert 'Traceback' not in said.out + said.err
  if code == 1:
    assert 'error:' in said.out
  if (out / 'page.html').exists():
    page = (out / 'page.html').read_text()
    assert page.count('</script>') == 2  # no name ends a block


@pytest.mark.parametrize(
  'cause', ['model', 'run', 'boxes', 'detector', 'rule', 'names', 'nothing']
)
def test_what_is_refused_before_anything_is_written(
  cause, model, photos, tmp_path, monkeypatch, capfd
):
  arguments = [str(photos), '--out', str(tmp_path / 'out')]
  if cause in ('model', 'run'):
    folder = tmp_path / 'model'
    folder.mkdir()
    if cause == 'run':
      (folder / 'config.json').write_text('{}')
    arguments += ['--model', str(folder)]
  else:
    monkeypatch.setattr(emojax, 'load', lambda _: model)
  if cause == 'boxes':
    (tmp_path / 'b.csv').write_text('file,x,y\na,1,2\n')
    arguments += ['--boxes', str(tmp_path / 'b.csv')]
  if cause == 'names':
    (tmp_path / 'b.csv').write_text('file,x,y,w,h\na,1,2,9,9\n')
    arguments += ['--boxes', str(tmp_path / 'b.csv')]
  if cause == 'nothing':
    (tmp_path / 'empty').mkdir()
    arguments[0] = str(tmp_path / 'empty')
  if cause == 'detector':
    (tmp_path / 'd.onnx').write_bytes(b'junk')
    arguments += ['--detector', str(tmp_path / 'd.onnx')]
  if cause == 'rule':
    del model.metadata['preprocessing']['crop']
  assert answer.main(arguments) == 1
  said = capfd.readouterr()
  assert 'error:' in said.out
  assert not (tmp_path / 'out').exists()


def test_an_input_that_has_changed(model, faces, tmp_path, monkeypatch, capfd):
  monkeypatch.setattr(emojax, 'load', lambda _: model)
  folder = shutil.copytree(faces, tmp_path / 'in')
  arguments = [str(folder), '--crops', '--out', str(tmp_path / 'out')]
  arguments += ['--model', 'stand-in']
  assert answer.main(arguments) == 0
  os.utime(next(folder.glob('*.png')), (1, 1))
  assert answer.main(arguments) == 1
  assert 'an input has changed' in capfd.readouterr().out


@pytest.mark.parametrize('name', ['ferPlus', 'ferpls', 'nope', 'a/b'])
def test_models_of_no_name(name, photos, tmp_path, capfd, monkeypatch):
  out = tmp_path / 'out'
  assert answer.main([str(photos), '--model', name, '--out', str(out)]) == 1
  said = capfd.readouterr().out
  assert f'error: {name} holds no exported model: there is no such f' in said
  assert 'this package has ferplus' in said
  assert ('did you mean ferplus?' in said) == name.startswith('fer')
  assert not out.exists()


def test_what_is_finished_needs_no_model(model_path, clip, tmp_path, capfd):
  """Nor does what is another command's: nobody waits for JAX to be told."""
  out, tables = tmp_path / 'out', 'csv,jsonl'
  arguments = [str(clip[0]), '--crops', '--every', '50', '--format', tables]
  arguments += ['--model', str(model_path), '--out', str(out)]
  assert answer.main(arguments) == 0
  said = capfd.readouterr().out
  assert '3 frames, 3 faces' in said
  for name in tables.split(','):
    assert f'Table: {out}/answers.{name}' in said
  code = (
    'import sys\nfrom emojax import answer\ncode = answer.main(sys.argv[1:])\n'
    'print(code, "jax" in sys.modules)'
  )

  def again(*more):
    done = subprocess.run(
      [sys.executable, '-c', code, *arguments, *more],
      env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.replace('\n', ' ')

  assert again() == f'{out} is finished: nothing to do 0 False '
  said = again('--every', '49')
  assert '--every 50 there, 49 now' in said
  assert said.endswith('1 False ')


@pytest.mark.parametrize(('count', 'text'), [(0, '0 faces'), (1, '1 face'),
                                             (2000, '2,000 faces')])  # fmt: skip
def test_one_face_is_no_faces(count, text):
  assert progress.counted(count, 'face') == text


def test_sources_are_found_in_one_order(faces):
  names = [source.name for source in sources.find([str(faces)])[0]]
  assert names == sorted(names)


@pytest.mark.parametrize('crop', [None, {}, [], 'fer2013', {'points': 1}])
def test_a_model_with_a_rule_of_no_use(crop, model_path, tmp_path):
  folder = shutil.copytree(model_path, tmp_path / 'model')
  path = folder / 'model.json'
  said = json.loads(path.read_text())
  said['preprocessing']['crop'] = crop
  path.write_text(json.dumps(said))
  with pytest.raises(ValueError, match=r'preprocessing\.crop') as error:
    emojax.load(folder)
  assert '\n' not in str(error.value)

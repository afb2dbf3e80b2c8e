"""The folder of a run: whose it is, and what a killed run leaves in it."""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from emojax.runtime import workdir

CONFIG = {
  'seed': 0,
  'train': {'epochs': 3, 'sizes': (1, 2)},
  'runtime': {'chunk': 1, 'lowering': 'auto'},
}


def changed(**values):
  """CONFIG with dotted keys replaced."""
  config = copy.deepcopy(CONFIG)
  for name, value in values.items():
    *folders, key = name.split('__')
    place = config
    for folder in folders:
      place = place[folder]
    place[key] = value
  return config


@pytest.fixture
def run(tmp_path):
  folder = workdir.Workdir(tmp_path / 'a' / 'run', CONFIG)
  folder.open()
  return folder


def test_open_makes_the_folder_and_says_what_runs(run):
  stored = json.loads((run / 'config.json').read_text())
  assert stored['config'] == json.loads(json.dumps(CONFIG))
  environment = stored['environment']
  assert {'jax', 'flax', 'numpy', 'python', 'backend', 'devices'} <= set(
    environment
  )
  assert re.fullmatch(r'unknown|[0-9a-f]{40}\+?', environment['revision'])


def test_revision_is_unknown_without_git(monkeypatch):
  monkeypatch.setenv('PATH', '')
  assert workdir.environment()['revision'] == 'unknown'


def test_same_configuration_may_come_back(run):
  before = (run / 'config.json').read_bytes()
  workdir.Workdir(run.path, CONFIG).open()
  assert (run / 'config.json').read_bytes() == before


def test_an_empty_folder_is_fine(tmp_path):
  workdir.Workdir(tmp_path, CONFIG).open()
  assert (tmp_path / 'config.json').exists()


def test_another_configuration_is_refused_by_name(run):
  (run / 'metrics.jsonl').touch()
  other = changed(seed=1, train__epochs=5)
  with pytest.raises(workdir.WorkdirError) as error:
    workdir.Workdir(run.path, other).open()
  message = str(error.value)
  assert str(run.path) in message
  assert 'seed: 0 there, 1 now' in message
  assert 'train.epochs: 3 there, 5 now' in message
  assert 'sizes' not in message  # what is the same is not listed
  assert 'Choose another --workdir' in message


def test_settings_that_came_or_went_are_named(run):
  (run / 'metrics.jsonl').touch()
  other = changed(new=7)
  del other['train']['epochs']
  with pytest.raises(workdir.WorkdirError) as error:
    workdir.Workdir(run.path, other).open()
  assert "new: '(absent)' there, 7 now" in str(error.value)
  assert "train.epochs: 3 there, '(absent)' now" in str(error.value)


def test_settings_that_a_former_run_lacks_are_neutral(run):
  (run / 'metrics.jsonl').write_text('{}\n')
  kept = (run / 'config.json').read_bytes()
  off = changed(train__schedule='step', train__ema=0.0)
  workdir.Workdir(run.path, off).open()
  assert (run / 'config.json').read_bytes() == kept
  on = changed(train__schedule='step', train__ema=0.9)
  with pytest.raises(
    workdir.WorkdirError, match=r'train\.ema: 0\.0 there, 0\.9'
  ):
    workdir.Workdir(run.path, on).open()


def test_a_run_that_never_began_is_no_obstacle(run):
  other = changed(seed=1)
  workdir.Workdir(run.path, other).open()
  stored = json.loads((run / 'config.json').read_text())
  assert stored['config']['seed'] == 1


def test_how_it_is_computed_may_differ(run):
  (run / 'metrics.jsonl').write_text('{}\n')  # it has begun
  workdir.Workdir(run.path, changed(runtime__chunk=4)).open()
  # Nor what the numbers may be said to show, which older runs do not name.
  workdir.Workdir(run.path, {**CONFIG, 'eval': {'floor': 0.8}}).open()
  workdir.Workdir(run.path, changed(runtime__precision='default')).open()
  with pytest.raises(workdir.WorkdirError, match=r'eval\.draws'):
    workdir.Workdir(run.path, {**CONFIG, 'eval': {'draws': 8}}).open()
  with pytest.raises(workdir.WorkdirError, match="n: 'default' there, 'high'"):
    workdir.Workdir(run.path, changed(runtime__precision='high')).open()


def test_tuples_and_lists_are_the_same(run):
  workdir.Workdir(run.path, changed(train__sizes=[1, 2])).open()


def test_foreign_files_are_refused_and_kept(tmp_path):
  (tmp_path / 'thesis.txt').write_text('years of work')
  with pytest.raises(workdir.WorkdirError, match=r'has files but no config'):
    workdir.Workdir(tmp_path, CONFIG).open()
  assert os.listdir(tmp_path) == ['thesis.txt']


@pytest.mark.parametrize('text', ['{"hidden_size": 768}', '[1, 2]', '3'])
def test_config_of_another_program_is_refused(tmp_path, text):
  (tmp_path / 'config.json').write_text(text)
  with pytest.raises(workdir.WorkdirError, match='not of a run of emojax'):
    workdir.Workdir(tmp_path, CONFIG).open()
  assert (tmp_path / 'config.json').read_text() == text


@pytest.mark.parametrize('text', ['', '{"config": ', '\x00\x01'])
def test_config_that_is_damaged_is_refused(tmp_path, text):
  (tmp_path / 'config.json').write_text(text)
  with pytest.raises(workdir.WorkdirError, match=r'cannot be read.*choose'):
    workdir.Workdir(tmp_path, CONFIG).open()


def test_a_file_is_no_folder(tmp_path):
  (tmp_path / 'run').write_text('')
  with pytest.raises(workdir.WorkdirError, match='is a file; name a folder'):
    workdir.Workdir(tmp_path / 'run', CONFIG).open()


def test_folder_below_a_file(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(workdir.WorkdirError, match='cannot make --workdir'):
    workdir.Workdir(tmp_path / 'file' / 'run', CONFIG).open()


def test_killed_while_it_was_made(tmp_path, monkeypatch):
  def killed(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(os, 'replace', killed)
    patch.setattr(pathlib.Path, 'unlink', lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
      workdir.Workdir(tmp_path, CONFIG).open()
  assert len(os.listdir(tmp_path)) == 2  # the torn file is there
  workdir.Workdir(tmp_path, CONFIG).open()
  assert sorted(os.listdir(tmp_path)) == [workdir.LOCK, 'config.json']


def test_one_process_at_a_time(tmp_path):
  program = (
    'import sys; from emojax.runtime import workdir\n'
    'workdir.Workdir(sys.argv[1], {}).open()\n'
    'print("open", flush=True); sys.stdin.read()'
  )
  command = [sys.executable, '-c', program, str(tmp_path)]
  pipe = subprocess.PIPE
  with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
    assert other.stdout.readline() == 'open\n'
    with pytest.raises(workdir.WorkdirError, match='another process is at'):
      workdir.Workdir(tmp_path, {}).open()
    other.kill()
  workdir.Workdir(tmp_path, {}).open()
  workdir.Workdir(tmp_path, {}).open()  # a process does not meet itself


def test_one_thread_at_a_time(tmp_path):
  """Runs of two threads of a process would spoil each other as well."""
  opened, ended = threading.Event(), threading.Event()

  def work():
    workdir.Workdir(tmp_path, {}).open()
    opened.set()
    ended.wait(60)
    workdir.release()

  thread = threading.Thread(target=work)
  thread.start()
  assert opened.wait(60)
  try:
    with pytest.raises(workdir.WorkdirError, match='another thread of this pr'):
      workdir.Workdir(tmp_path, {}).open()
  finally:
    ended.set()
    thread.join()
  workdir.Workdir(tmp_path, {}).open()


def test_torn_files_of_a_killed_run_are_swept(run):
  (run / 'predictions').mkdir()
  for name in (run / 'results.json', run / 'predictions' / 'Tea.npz'):
    torn = name.with_name(f'.{name.name}.1234{workdir.UNFINISHED}')
    torn.write_bytes(b'half')
  (run / '.notes').write_text("the user's own")
  workdir.Workdir(run.path, CONFIG).open()
  assert sorted(os.listdir(run.path)) == [
    workdir.LOCK,
    '.notes',
    'config.json',
    'predictions',
  ]
  assert os.listdir(run / 'predictions') == []


def test_finished_needs_results_and_report(run):
  assert not run.finished
  (run / 'results.json').write_text('{"names": ["Tea"]}')
  assert not run.finished
  (run / 'report.html').write_text('<html>')
  assert run.finished


@pytest.mark.parametrize(
  ('results', 'report'),
  [
    ('', '<html>'),
    ('{"names": ["Te', '<html>'),
    ('\x00' * 20, '<html>'),
    ('{}', '<html>'),
    ('{"names": ["Tea"]}', ''),
  ],
)
def test_files_that_are_empty_or_torn_are_not_finished(run, results, report):
  (run / 'results.json').write_text(results)
  (run / 'report.html').write_text(report)
  assert not run.finished


def test_links_are_not_followed(run, tmp_path):
  theirs = tmp_path / 'thesis.txt'
  theirs.write_text('years of work')
  (run / 'metrics.jsonl').symlink_to(theirs)
  with pytest.raises(OSError, match=r'a link or a device.*metrics\.jsonl'):
    run.append_metrics([{'epoch': 0}])
  with pytest.raises(OSError, match=r'a link or a device.*metrics\.jsonl'):
    run.trim_metrics(lambda line: True)
  assert theirs.read_text() == 'years of work'


@pytest.mark.parametrize('missing', [True, False])
def test_a_lock_is_no_link(tmp_path, missing):
  theirs = tmp_path / 'theirs'
  if not missing:
    theirs.write_text('years of work')
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / workdir.LOCK).symlink_to(theirs)
  with pytest.raises(OSError, match=r'a link or a device.*\.lock'):
    workdir.Workdir(tmp_path / 'run', CONFIG).open()
  assert theirs.exists() != missing
  assert not (tmp_path / 'run' / 'config.json').exists()


def test_metrics_are_appended(run):
  run.append_metrics([{'epoch': 0}, {'epoch': 1}])
  run.append_metrics([{'epoch': 2}])
  lines = (run / 'metrics.jsonl').read_text().splitlines()
  assert [json.loads(line)['epoch'] for line in lines] == [0, 1, 2]


@pytest.mark.parametrize('torn', ['', '{"epoch": 3, "los', '{"epoch": 3'])
def test_metrics_are_trimmed(run, torn):
  run.append_metrics({'epoch': epoch} for epoch in range(3))
  with open(run / 'metrics.jsonl', 'a') as file:
    file.write(torn)
  run.trim_metrics(lambda line: line['epoch'] < 2)
  run.append_metrics([{'epoch': 2}])
  lines = (run / 'metrics.jsonl').read_text().splitlines()
  assert [json.loads(line)['epoch'] for line in lines] == [0, 1, 2]


def test_nothing_to_trim(run):
  run.trim_metrics(lambda line: False)
  assert not (run / 'metrics.jsonl').exists()


def interrupted(*_):
  raise OSError(28, 'No space left on device')


@pytest.mark.parametrize(
  'write',
  [
    lambda path: workdir.write_text(path, 'new'),
    lambda path: workdir.write_json(path, {'a': 1}),
    lambda path: workdir.write_arrays(path, {'a': np.ones(3)}),
  ],
)
def test_writes_are_all_or_nothing(tmp_path, monkeypatch, write):
  path = tmp_path / 'deep' / 'file'
  write(path)
  assert os.listdir(path.parent) == ['file']
  path.write_text('old')
  monkeypatch.setattr(os, 'replace', interrupted)
  with pytest.raises(OSError, match='No space left'):
    write(path)
  assert path.read_text() == 'old'
  assert os.listdir(path.parent) == ['file']  # no litter


def test_json_round_trip(tmp_path):
  value = {'b': [1.5, None], 'a': {'c': True}}
  workdir.write_json(tmp_path / 'x.json', value)
  text = (tmp_path / 'x.json').read_text()
  assert json.loads(text) == value
  assert list(json.loads(text)) == ['b', 'a']  # order is kept
  assert text.endswith('}\n')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_json_has_no_nan(tmp_path, value):
  with pytest.raises(ValueError, match='not JSON compliant'):
    workdir.write_json(tmp_path / 'x.json', {'a': value})
  assert os.listdir(tmp_path) == []


def test_arrays_round_trip(tmp_path):
  arrays = {'a': np.arange(6).reshape(2, 3), 'b/c': np.float32([1.5])}
  workdir.write_arrays(tmp_path / 'x.npz', arrays)
  with np.load(tmp_path / 'x.npz') as found:
    assert set(found.files) == set(arrays)
    for key, value in arrays.items():
      assert found[key].dtype == value.dtype
      np.testing.assert_array_equal(found[key], value)


def test_flatten():
  tree = {'a': {'b': 1, 'c': {'d': [2]}}, 'e': None}
  assert workdir.flatten(tree) == {'a.b': 1, 'a.c.d': [2], 'e': None}

"""What every run begins and ends with, whatever the paper."""

import ast
import io
import json
import pathlib
import types

import numpy as np
import pytest
from ml_collections import ConfigDict
from rich.console import Console

import emojax
from emojax import tasks
from emojax.data.clips.clips import Clips
from emojax.engine import checkpoint
from emojax.evaluation import Predictions
from emojax.experiments import frame
from emojax.runtime import provenance, workdir

SCHEMA = (tasks.expr_task(('sad', 'happy')),)


def clips(count=3):
  labels = np.eye(2, dtype=np.float32)[np.zeros((count, 1), int)]  # all sad
  names = np.array([f'clip{i}' for i in range(count)])
  return Clips(
    image=np.zeros((count, 1, 4, 4, 3), np.uint8),
    audio=None,
    targets={'expr': tasks.Target(labels, np.ones((count, 1), np.float32))},
    frame_mask=np.ones((count, 1), np.float32),
    clip_id=names,
    subject_id=names,
  )


def dataset(count=3):
  made = clips(count)
  return types.SimpleNamespace(
    schema=SCHEMA, train=made, val=made, test=made, ood={'noise': made}
  )


@pytest.fixture
def folder(tmp_path):
  made = workdir.Workdir(tmp_path / 'run', {'eval': {}})
  made.open()
  yield made
  workdir.release()


def said(folder, data):
  console = Console(file=io.StringIO(), width=200)
  frame.keep(folder, data, console)
  return console.file.getvalue()


def run_of(folder, unseen=(), **seconds):
  timings = types.SimpleNamespace(rounded=lambda: seconds)
  session = types.SimpleNamespace(folder=folder, timings=timings)
  data = frame.Data('', {}, SCHEMA, [*unseen])
  config = ConfigDict({'eval': {'floor': 0.5}})
  return frame.Run(config, data, session)


def test_what_is_trained_on_is_said_and_kept(folder):
  text = said(folder, frame.data_of(dataset(), 'three faces'))
  assert text.startswith('three faces\n')
  assert 'no training frame shows expr happy' in text
  kept = provenance.read(folder.path)
  assert list(kept['sets']) == ['train', 'val', 'test', 'ood/noise']
  assert [task['name'] for task in kept['schema']] == ['expr']
  (folder / 'metrics.jsonl').write_text('{}\n')
  with pytest.raises(provenance.DataChangedError, match='5 clips now, 3 then'):
    said(folder, frame.data_of(dataset(5), 'five faces'))


def test_classes_of_tasks_that_are_not_trained_are_not_missed():
  data = dataset()
  data.schema = (*SCHEMA, tasks.au_task(('AU1',)))
  zeros = np.zeros((3, 1, 1), np.float32)
  data.train.targets['au'] = tasks.Target(zeros, zeros + 1)
  assert frame.data_of(data, 'x').unseen == ['expr happy', 'au AU1']
  found = frame.data_of(data, 'x', learned=SCHEMA)
  assert found.unseen == ['expr happy']
  assert found.schema == data.schema


def test_the_files_of_a_run(folder):
  run = run_of(folder)
  assert run.path() == folder.path
  assert run.weights_path('Tea') == folder.path / 'checkpoints' / 'Tea'
  assert run.predictions_path('Tea') == folder.path / 'predictions' / 'Tea.npz'
  logits = {'val': {'expr': np.zeros((1, 3, 1, 2), np.float32)}}
  Predictions('Tea', SCHEMA, logits, [0]).save(run.predictions_path('Tea'))
  assert run.load('Tea', SCHEMA).epochs == [0]
  run.predictions_path('Tea').write_bytes(b'torn')
  with pytest.raises(checkpoint.CheckpointError, match='move it away and give'):
    run.load('Tea', SCHEMA)


def test_what_results_say_of_every_run(folder):
  lines = [
    {'generation': 'Tea', 'member': 0, 'epoch': 0, 'val/total': 0.1},
    {'generation': 'Stu1', 'member': 0, 'epoch': 0, 'val/total': 0.1},
    {'generation': 'Stu1', 'member': 0, 'epoch': 1, 'val/total': 0.1},
  ]
  text = ''.join(f'{json.dumps(line)}\n' for line in lines)
  (folder / 'metrics.jsonl').write_text(text)
  found = run_of(folder, ['expr happy'], Tea=1.5).outcome()
  assert list(found.items()) == [
    ('validity', {'floor': 0.5, 'improving': ['Tea'], 'unlearned': ['Stu1']}),
    ('unseen', ['expr happy']),
    ('timings', {'Tea': 1.5}),
  ]
  assert 'unseen' not in run_of(folder).outcome()


def test_results_are_written_last(folder):
  run = run_of(folder)
  run.write({'b': 2})
  assert not run.path('curves.json').exists()
  with pytest.raises(ValueError, match='JSON'):
    run.write({'b': 3}, {'a': float('nan')})
  assert json.loads(run.path('results.json').read_text()) == {'b': 2}
  run.write({'b': 3}, {'a': 1})
  assert json.loads(run.path('curves.json').read_text()) == {'a': 1}
  assert json.loads(run.path('results.json').read_text()) == {'b': 3}


def calls(tree: ast.AST) -> list[str]:
  """Names 'a.b' of what is called, in the order of the lines."""
  found = [
    (node.lineno, ast.unparse(node.func))
    for node in ast.walk(tree)
    if isinstance(node, ast.Call)
  ]
  return [name for _, name in sorted(found)]


def functions(room: str):
  """Yields (file, function) of a room of the package."""
  package = pathlib.Path(emojax.__file__).parent
  for path in sorted((package / room).rglob('*.py')):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.FunctionDef):
        yield str(path.relative_to(package / room)), node


def test_every_run_keeps_its_data_before_it_trains():
  """A study has variants that do; papers 001 and 002 share a beginning."""
  found = []
  for name, function in functions('experiments'):
    called = calls(function)
    if 'training.session' in called:
      found.append(name)
      place = called.index('training.session')
      assert 'frame.keep' in called[:place], name
  assert sorted(found) == [
    'bayesian/run.py',
    'distillation/run.py',
    'relative_uncertainty/run.py',
    'two_stage/frame.py',
  ]


def test_a_run_begins_and_ends_in_one_place():
  homes = {
    'provenance.keep': {'frame.py'},
    'unseen_classes.tell': {'frame.py'},
    'validity.of_run': {'frame.py'},
    'Session': set(),
    'training.forget': set(),
    'StopFlag': set(),
    'TrainingProgress': set(),
    'figure.savefig': set(),
    'page.to_html': set(),
  }
  found = {name: set() for name in homes}
  for name, function in functions('experiments'):
    for call in calls(function):
      if call in homes:
        found[call].add(name)
  assert found == homes

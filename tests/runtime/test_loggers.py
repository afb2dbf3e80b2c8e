"""Mirrors of metrics.jsonl: what loggers are told, and that a run does not mind."""

import io
import json
from typing import ClassVar

import pytest
import small_run
import trained_run
from rich.console import Console

from emojax.experiments.distillation import run as distillation
from emojax.runtime import loggers, workdir


class Memory:
  """A logger that remembers; `Memory.made` are those that were opened."""

  made: ClassVar[list] = []

  def __init__(self, place):
    self.place, self.id = place, place.id or f'run{len(Memory.made)}'
    self.told, self.closed = [], False
    Memory.made.append(self)

  def log(self, step, values):
    self.told.append((step, values))

  def close(self):
    self.closed = True


class Broken(Memory):
  def log(self, step, values):
    super().log(step, values)
    raise RuntimeError('no\nnetwork')


@pytest.fixture(autouse=True)
def memory(monkeypatch):
  monkeypatch.setattr(Memory, 'made', [])
  for name, made in (('memory', Memory), ('broken', Broken)):
    kind = loggers.Kind('json', 'nothing', made)
    monkeypatch.setitem(loggers.KINDS, name, kind)


@pytest.fixture
def folder(tmp_path):
  made = workdir.Workdir(tmp_path / 'run', {'a': {'b': 1}, 'c': 'x'})
  made.open()
  return made


def lines(stack, epochs, members=2):
  return [
    {
      'generation': stack,
      'epoch': e,
      'member': m,
      'loss/au': e + m / 10,
      'val/total': 1.0,
      'best': True,
    }
    for e in epochs
    for m in range(members)
  ]


def mirrored(folder, *names):
  folder.loggers = names
  console = Console(file=io.StringIO(), width=200)
  return loggers.mirror(folder, console), console


def test_every_epoch_is_told_once(folder):
  opened, _ = mirrored(folder, 'memory')
  with opened as mirror:
    mirror.update()
    assert not Memory.made  # nothing to say, nothing opened
    folder.append_metrics(lines('Tea', [0, 1]))
    mirror.update()
    mirror.update()
    folder.append_metrics(lines('Tea', [2]) + lines('Stu1', [0]))
    mirror.update()
  (made,) = Memory.made
  assert [step for step, _ in made.told] == [0, 1, 2, 0]
  assert made.told[1][1] == {
    'Tea/0/loss/au': 1.0,
    'Tea/0/val/total': 1.0,
    'Tea/1/loss/au': 1.1,
    'Tea/1/val/total': 1.0,
  }
  assert set(made.told[3][1]) == {
    f'Stu1/{m}/{key}' for m in (0, 1) for key in ('loss/au', 'val/total')
  }
  assert made.closed
  assert made.place.config == {'a': {'b': 1}, 'c': 'x'}


def test_a_resumed_run_tells_no_point_twice(folder):
  opened, _ = mirrored(folder, 'memory')
  with opened as mirror:
    folder.append_metrics(lines('Tea', [0, 1, 2]))
    mirror.update()
  # The checkpoint was of epoch 1: the rest is trained again.
  folder.trim_metrics(lambda line: line['epoch'] < 1)
  opened, _ = mirrored(folder, 'memory')
  with opened as mirror:
    folder.append_metrics(lines('Tea', [1]))
    mirror.update()
    folder.append_metrics(lines('Tea', [2, 3]))
    mirror.update()
  first, second = Memory.made
  assert [step for step, _ in first.told] == [0, 1, 2]
  assert [step for step, _ in second.told] == [3]
  assert second.place.id == first.id  # the same run there


def test_who_comes_later_is_told_all(folder):
  folder.append_metrics(lines('Tea', [0, 1]))
  opened, _ = mirrored(folder, 'memory')
  with opened as mirror:
    folder.append_metrics(lines('Stu1', [0]))
    mirror.update()
  assert [step for step, _ in Memory.made[0].told] == [0, 1, 0]


def test_who_fails_is_left_out_with_one_line(folder):
  opened, console = mirrored(folder, 'broken', 'memory')
  with opened as mirror:
    for epoch in range(3):
      folder.append_metrics(lines('Tea', [epoch]))
      mirror.update()
  broken, memory = Memory.made
  assert len(broken.told) == 1
  assert [step for step, _ in memory.told] == [0, 1, 2]
  said = console.file.getvalue()
  assert said.count('\n') == 1
  assert '--log=broken fails (RuntimeError: no network)' in said


@pytest.mark.parametrize('where', ['__init__', 'close'])
def test_who_cannot_begin_or_end_stops_nothing(folder, monkeypatch, where):
  def fail(self, *_):
    raise OSError('disk')

  monkeypatch.setattr(Broken, where, fail)
  opened, console = mirrored(folder, 'broken')
  with opened as mirror:
    folder.append_metrics(lines('Tea', [0]))
    mirror.update()
    mirror.update()
  assert console.file.getvalue().count('goes on without it') == 1


def test_only_process_0_tells(folder, monkeypatch):
  monkeypatch.setattr(loggers.processes, 'index', lambda: 1)
  opened, _ = mirrored(folder, 'memory')
  with opened as mirror:
    (folder / 'metrics.jsonl').write_text(
      json.dumps(lines('Tea', [0])[0]) + '\n'
    )
    mirror.update()
  assert not Memory.made
  assert not (folder / loggers.STATE).exists()


@pytest.mark.parametrize(
  'text',
  ['', '[]', '{"memory": 1}', '{"memory": {"id": "x", "epochs": []}}', '\0'],
)
def test_a_damaged_state_is_begun_again(folder, text):
  (folder / loggers.STATE).write_text(text)
  opened, _ = mirrored(folder, 'memory')
  with opened as mirror:
    folder.append_metrics(lines('Tea', [0]))
    mirror.update()
  assert [step for step, _ in Memory.made[0].told] == [0]


def test_wrong_names(monkeypatch):
  with pytest.raises(
    ValueError, match=r'--log=tensorbord: expected some of tens'
  ):
    loggers.check(['tensorbord'])
  with pytest.raises(ValueError, match=r'names one twice'):
    loggers.check(['memory', 'memory'])
  monkeypatch.setitem(
    loggers.KINDS,
    'memory',
    loggers.Kind('no_such_thing', 'pip install it', None),
  )
  with pytest.raises(ValueError, match=r'needs no_such_thing: pip install it'):
    loggers.check(['memory'])
  loggers.check([])


def two_lives(folder, name):
  """A run that was stopped after two epochs of three, and went on."""
  for epochs in ([0, 1], [2]):
    opened, console = mirrored(folder, name)
    with opened as mirror:
      folder.append_metrics(lines('Tea', epochs))
      mirror.update()
    assert console.file.getvalue() == ''


def events(path):
  """(step, tag, value) of the event files of a folder, by their own framing."""
  from tensorboardX.proto import event_pb2

  for file in sorted(path.iterdir()):
    data = file.read_bytes()
    while data:
      size = int.from_bytes(data[:8], 'little')
      event = event_pb2.Event.FromString(data[12 : 12 + size])
      for value in event.summary.value:
        yield event.step, value.tag, value.simple_value
      data = data[16 + size :]


def test_event_files(folder):
  pytest.importorskip('tensorboardX', reason='needs the extra `log`')
  two_lives(folder, 'tensorboard')
  for member in (0, 1):
    found = events(folder / 'tensorboard' / 'Tea' / f'member{member}')
    points = sorted(
      (step, value) for step, tag, value in found if tag == 'loss/au'
    )
    assert [step for step, _ in points] == [0, 1, 2]
    assert [value for _, value in points] == pytest.approx(
      [e + member / 10 for e in range(3)]
    )


def test_tensorboard_reads_the_event_files(folder):
  pytest.importorskip('tensorboardX', reason='needs the extra `log`')
  reader = pytest.importorskip(
    'tensorboard.backend.event_processing.event_accumulator',
    reason='TensorBoard itself is not installed',
  )
  two_lives(folder, 'tensorboard')
  for member in (0, 1):
    path = folder / 'tensorboard' / 'Tea' / f'member{member}'
    found = reader.EventAccumulator(str(path)).Reload()
    assert set(found.Tags()['scalars']) == {'loss/au', 'val/total'}
    points = found.Scalars('loss/au')
    assert [p.step for p in points] == [0, 1, 2]
    assert [p.value for p in points] == pytest.approx(
      [e + member / 10 for e in range(3)]
    )


def test_mlflow_in_files(folder, monkeypatch):
  mlflow = pytest.importorskip('mlflow', reason='MLflow is not installed')
  monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
  two_lives(folder, 'mlflow')
  uri = (folder / 'mlruns').resolve().as_uri()
  client = mlflow.MlflowClient(tracking_uri=uri)
  experiment = client.get_experiment_by_name(loggers.PROJECT)
  (run,) = client.search_runs([experiment.experiment_id])
  assert run.data.params == {'a.b': '1', 'c': 'x'}
  assert run.info.status == 'FINISHED'
  points = client.get_metric_history(run.info.run_id, 'Tea/1/loss/au')
  assert [(p.step, p.value) for p in points] == [(0, 0.1), (1, 1.1), (2, 2.1)]


def test_wandb_offline(folder, monkeypatch):
  pytest.importorskip('wandb', reason='W&B is not installed')
  monkeypatch.setenv('WANDB_MODE', 'offline')
  monkeypatch.setenv('WANDB_SILENT', 'true')
  two_lives(folder, 'wandb')
  runs = sorted((folder / 'wandb').glob('offline-run-*'))
  assert runs
  state = json.loads((folder / loggers.STATE).read_text())['wandb']
  assert state['epochs'] == {'Tea': 3}
  assert all(path.name.endswith(state['id']) for path in runs)


def test_aim_in_the_folder(folder, monkeypatch):
  aim = pytest.importorskip('aim', reason='Aim is not installed')
  monkeypatch.delenv('AIM_REPO', raising=False)
  two_lives(folder, 'aim')
  (name,) = aim.Repo.from_path(str(folder.path)).list_all_runs()
  # To be read only, Aim asks for an index that its server makes.
  run = aim.Run(
    name,
    repo=str(folder.path),
    system_tracking_interval=None,
    log_system_params=False,
    capture_terminal_logs=False,
  )
  assert run['config'] == {'a': {'b': 1}, 'c': 'x'}
  found = {
    (m.name, m.context['member']): sorted(m.values.sparse_numpy()[1])
    for m in run.metrics()
  }
  run.close()
  assert set(found) == {
    (k, m) for k in ('loss/au', 'val/total') for m in (0, 1)
  }
  assert found['loss/au', 1] == pytest.approx([0.1, 1.1, 2.1])


@pytest.mark.slow  # two small runs
def test_a_run_with_loggers_is_the_same_run(tmp_path):
  written = []
  for names in ((), ('memory', 'broken')):
    config = small_run.config()
    made = workdir.Workdir(tmp_path / f'{len(names)}', config.to_dict(), names)
    made.open()
    with trained_run.small_and_quick():
      distillation.run(config, made, Console(file=io.StringIO()))
    predictions = sorted((made / 'predictions').iterdir())
    written.append(
      [(made / 'metrics.jsonl').read_bytes()]
      + [path.read_bytes() for path in predictions]
    )
  assert written[0] == written[1]
  memory = next(m for m in Memory.made if type(m) is Memory)
  lines = [json.loads(line) for line in written[0][0].splitlines()]
  assert len(memory.told) == len({(x['generation'], x['epoch']) for x in lines})
  assert memory.closed

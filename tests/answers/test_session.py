"""The folder of answers: resumed to the same bytes, overwritten never."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from emojax.answers import pipeline, run, writers
from emojax.answers.columns import Layout
from emojax.answers.options import Files, OptionError, Options
from emojax.answers.session import Part, Session, SessionError

CROPS = Options(crops=True)
ALL = Files(('csv', 'parquet', 'jsonl'))


def execute(model, path, out, asked=CROPS, written=ALL):
  console = Console(file=io.StringIO())
  return run.execute(model, asked, written, [str(path)], out, console)


def contents(out):
  return {
    str(path.relative_to(out)): path.read_bytes()
    for path in sorted(out.rglob('*'))
    if path.is_file()
  }


@pytest.mark.parametrize('kind', ['faces', 'clip'])
def test_killed_anywhere_it_ends_with_the_same_bytes(
  kind, model, request, tmp_path, monkeypatch
):
  path = request.getfixturevalue(kind)
  path = path[0] if kind == 'clip' else path
  execute(model, path, tmp_path / 'whole')
  whole = contents(tmp_path / 'whole')
  assert {'answers.csv', 'answers.parquet', 'page.html'} <= set(whole)

  class Killed(BaseException):
    pass

  def killed(*_, **__):
    raise Killed

  places = [
    (Session, 'finish'),
    (run.page, 'render'),
    (run.overlay, '_fitting'),
    (writers, 'write'),
    (pipeline.Pipeline, '_part'),
  ]
  out = tmp_path / 'killed'
  original = pipeline.Pipeline._part
  calls = []

  def second(self, *arguments):
    calls.append(1)
    if len(calls) == 2:
      raise Killed
    return original(self, *arguments)

  for owner, name in reversed(places):
    with monkeypatch.context() as patch:
      patch.setattr(owner, name, second if name == '_part' else killed)
      with pytest.raises(Killed):
        execute(model, path, out)
    assert not (out / 'summary.json').exists()
  assert calls  # it was killed after the first part
  execute(model, path, out)
  assert contents(out) == whole


def test_a_finished_folder_is_not_touched(model, faces, tmp_path):
  out = tmp_path / 'out'
  execute(model, faces, out)
  before = contents(out)
  seen = len(model.seen)
  assert execute(model, faces, out) == 70
  assert contents(out) == before
  assert len(model.seen) == seen
  with pytest.raises(SessionError, match='holds the answers of another'):
    execute(model, faces, out, Options(crops=True, min_sharpness=1))
  assert contents(out) == before


def test_somebodys_folder_is_not_written_to(model, faces, tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  with pytest.raises(SessionError, match=r'notes\.txt'):
    execute(model, faces, tmp_path)
  assert [p.name for p in tmp_path.iterdir()] == ['notes.txt']
  with pytest.raises(SessionError, match='is a file'):
    execute(model, faces, tmp_path / 'notes.txt')


def test_what_is_written_is_not_read_again(model, photos):
  with pytest.raises(OptionError, match='is inside of'):
    execute(model, photos, photos / 'out')
  assert not (photos / 'out').exists()


def test_two_processes_do_not_write_to_one_folder(model, faces, tmp_path):
  first = Session(tmp_path / 'out', {})
  first.open()
  with pytest.raises(SessionError, match='another process'):
    Session(tmp_path / 'out', {}).open()
  first.close()
  Session(tmp_path / 'out', {}).open()


@pytest.mark.parametrize('text', ['', '[]', '{"a": 1}', '\x00', 'NaN'])
def test_commands_of_others(text, tmp_path):
  (tmp_path / 'command.json').write_text(text)
  with pytest.raises(SessionError, match=r'hoose another --out'):
    Session(tmp_path, {'b': 2}).open()


@pytest.mark.parametrize('damage', ['cut', 'zeros', 'junk'])
def test_damaged_parts_are_named(damage, tmp_path):
  session = Session(tmp_path / 'out', {})
  session.open()
  rows = {'file': np.array(['a\udcff', ''], object), 'x': np.float32([1, 2])}
  session.add(Part(rows, {'p': b'\xff\xd8'}, {'frame': 3}))
  part = session.last()
  assert part.rows['file'].tolist() == rows['file'].tolist()
  assert part.pictures == {'p': b'\xff\xd8'}
  assert part.state == {'frame': 3}
  path = next((tmp_path / 'out').rglob('*.npz'))
  data = path.read_bytes()
  changed = {'cut': data[:50], 'zeros': bytes(len(data)), 'junk': b'junk'}
  path.write_bytes(changed[damage])
  parts = tmp_path / 'out' / '.parts'
  with pytest.raises(SessionError, match=f'is damaged .*: move {parts} away'):
    session.last()
  parts.rename(tmp_path / 'away')  # as it says
  assert session.count() == 0
  session.close()


def test_a_whole_part_of_another_program_is_not_called_damaged(tmp_path):
  session = Session(tmp_path / 'out', {})
  session.open()
  session.add(Part({}, {}, {}))
  np.savez(next((tmp_path / 'out').rglob('*.npz')), a=np.zeros(3))
  with pytest.raises(SessionError, match=r'is whole, but .*choose another'):
    session.last()
  session.close()


def test_tables_hold_the_same_numbers(model, faces, tmp_path):
  import pandas
  from pyarrow import parquet

  out = tmp_path / 'out'
  execute(model, faces, out)
  table = run.table(model, CROPS, str(faces))
  layout = Layout(model.schema)
  frame = pandas.read_csv(out / 'answers.csv', keep_default_na=False)
  stored = parquet.read_table(out / 'answers.parquet')
  lines = [
    json.loads(line)
    for line in (out / 'answers.jsonl').read_text().splitlines()
  ]
  assert frame.columns.tolist() == list(layout.names) == stored.column_names
  for column in layout.columns:
    values = table[column.name]
    if column.kind == 'number':
      texts = pandas.to_numeric(frame[column.name], errors='coerce')
      as_text = texts.to_numpy(np.float64).astype(np.float32)
      as_json = np.float32(
        [np.nan if r[column.name] is None else r[column.name] for r in lines]
      )
      as_arrow = stored[column.name].to_numpy()
      for found in (as_text, as_json, as_arrow):
        np.testing.assert_array_equal(found, values)
    elif column.kind == 'text':
      assert stored[column.name].to_pylist() == values.tolist()
  assert table.to_pandas().shape == (70, len(layout.names))
  assert 'meaning' in str(stored.schema.field('x').metadata)


def test_names_that_would_break_a_table(tmp_path):
  layout = Layout((), None)
  rows = layout.empty(2)
  rows['file'][:] = ['a,"b"\n=1+1', 'x\udcff</script>']
  for name in ('csv', 'jsonl'):
    writers.write(tmp_path / f't.{name}', layout.columns, [rows])
  import csv

  with open(tmp_path / 't.csv', newline='') as file:
    cells = list(csv.DictReader(file))
  assert [row['file'] for row in cells] == [
    'a,"b"\n=1+1', 'x\\udcff</script>'
  ]  # fmt: skip
  lines = (tmp_path / 't.jsonl').read_text().splitlines()
  assert json.loads(lines[0])['file'] == 'a,"b"\n=1+1'
  assert json.loads(lines[0])['x'] is None


def test_a_webcam_that_was_stopped_is_written(model, tmp_path, monkeypatch):
  """Its frames cannot be read again: the same command writes what there is."""
  source = run.sources.Source('0', 'webcam 0', 'webcam')
  calls = []

  def frames(source, **_):
    calls.append(source)
    image = np.zeros((60, 80, 3), np.uint8)
    for i in range(1000):
      if i == 100:
        raise KeyboardInterrupt
      yield run.sources.Frame(source.name, i, i / 10, image)

  monkeypatch.setattr(run.sources, 'webcam', lambda number: source)
  monkeypatch.setattr(run.sources, 'frames', frames)
  out = tmp_path / 'out'
  console = Console(file=io.StringIO())
  arguments = (model, CROPS, ALL, [], out, console, 0)
  with pytest.raises(KeyboardInterrupt):
    run.execute(*arguments)
  assert run.execute(*arguments) == pipeline.FRAMES
  assert len(calls) == 1
  assert (out / 'page.html').exists()
  assert not (out / 'overlay').exists()

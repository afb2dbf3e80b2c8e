"""The folder of answers: resumed to the same bytes, overwritten never."""

import io
import json
import os
import signal
import sys
import time
import zipfile

import numpy as np
import pytest
import stand_in
from PIL import Image
from rich.console import Console

from emojax import tasks
from emojax.answers import command, openface, pipeline, run, writers
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


@pytest.mark.parametrize(
  'kind', ['faces', pytest.param('clip', marks=pytest.mark.slow)]
)
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


def test_frames_are_counted_whatever_their_first_face(model, clip, tmp_path):
  """A box outside of the picture keeps its number: the next one's is 1."""
  picture, boxes = tmp_path / 'p.png', tmp_path / 'b.csv'
  Image.new('RGB', (64, 64)).save(picture)
  names = [run.sources.find([str(p)])[0][0].name for p in (picture, clip[0])]
  rows = ['file,frame,x,y,w,h']
  for name, frames in ((names[0], (0,)), (names[1], (0, 2, 3))):
    for i in frames:
      for x in (-500, 10, 12):
        rows.append(f'{name},{i},{x},10,30,30')
  boxes.write_text('\n'.join(rows))
  asked, out = Options(boxes=str(boxes)), tmp_path / 'picture'
  assert execute(model, picture, out, asked) == 1
  assert json.loads((out / 'summary.json').read_text())['faces'] == 2
  out = tmp_path / 'video'
  assert execute(model, clip[0], out, asked) == len(clip[1])
  said = json.loads((out / 'summary.json').read_text())
  assert (said['frames'], said['faces']) == (150, 6)
  # Pictures, whose frames are all the first one.
  rows = {'file': np.array(['a', 'a', 'b'], object), 'frame': np.zeros(3)}
  assert run.frames_of(rows) == 2
  assert run.frames_of({name: v[:0] for name, v in rows.items()}) == 0


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


@pytest.mark.parametrize('moment', ['before', 'between', 'gone'])
def test_old_answers_are_not_drawn_in_a_new_picture(
  moment, model, tmp_path, monkeypatch
):
  """One that has been replaced since it was answered, or while it is drawn in."""
  folder, out = tmp_path / 'in', tmp_path / 'out'
  folder.mkdir()
  for i in range(3):
    Image.new('RGB', (40, 30), (9 * i, 0, 0)).save(folder / f'{i}.png')

  def replaced():
    if moment == 'gone':
      (folder / '1.png').unlink()
    else:
      Image.new('RGB', (64, 64)).save(folder / '1.png')

  owner, name = (run, '_tables')
  if moment == 'between':
    owner, name = (run.overlay, '_file')
  real = getattr(owner, name)

  def then(*arguments):
    made = real(*arguments)
    if name == '_tables' or arguments[0].name.startswith('00001'):
      replaced()
    return made

  monkeypatch.setattr(owner, name, then)
  assert execute(model, folder, out) == 3
  (line,) = (out / 'problems.txt').read_text().splitlines()
  assert line.startswith(
    f'{folder}/1.png: it has changed since it was answered'
  )
  assert json.loads((out / 'summary.json').read_text())['problems'] == 1
  drawn = sorted(path.name for path in (out / 'overlay').iterdir())
  assert drawn == ['00000-0.jpg', '00002-2.jpg']


@pytest.mark.parametrize(
  'stem', ['\U0001d413' * 52, 'x' * 250, '\u00e4' * 120, 'a b']
)
def test_any_name_can_be_drawn(stem, model, tmp_path):
  """File systems count bytes; and while a file is written, its name is longer."""
  path, out = tmp_path / f'{stem}.jpg', tmp_path / 'out'
  (tmp_path / 'b').mkdir()
  paths = [path, tmp_path / 'b' / path.name]
  for one in paths:
    Image.new('RGB', (40, 30)).save(one)
  console = Console(file=io.StringIO())
  run.execute(model, CROPS, ALL, list(map(str, paths)), out, console)
  names = sorted(path.name for path in (out / 'overlay').iterdir())
  assert len(names) == 2
  kept = names[0].removeprefix('00000-').removesuffix('.jpg')
  assert len(kept.encode()) <= 150
  assert path.stem.startswith(kept.replace('_', ' '))


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


@pytest.mark.parametrize('kind', ['sparse', 'header'])
def test_parts_are_read_up_to_a_bound(kind, tmp_path):
  session = Session(tmp_path / 'out', {})
  session.open()
  session.add(Part({}, {}, {}))
  path = next((tmp_path / 'out').rglob('*.npz'))
  if kind == 'sparse':
    os.truncate(path, 1 << 42)
  else:  # more than the machine has, said in a hundred bytes
    with zipfile.ZipFile(path, 'w') as file, file.open('state.npy', 'w') as one:
      header = {'descr': '<f8', 'fortran_order': False, 'shape': (1 << 42,)}
      np.lib.format.write_array_header_1_0(one, header)
  with pytest.raises(SessionError, match=r'more than 1,073|bytes for float64'):
    session.last()
  session.close()


@pytest.mark.parametrize(
  'name', ['answers.parquet', 'columns.md', 'page.html', 'overlay']
)
def test_a_finished_folder_misses_what_was_taken_away(
  name, model, faces, tmp_path
):
  out = tmp_path / 'out'
  execute(model, faces, out)
  before = contents(out)
  (out / name).rename(tmp_path / 'away')
  with pytest.raises(SessionError, match=f'{name} is gone: bring it back, or '):
    execute(model, faces, out)
  left = {k: v for k, v in before.items() if k.split('/')[0] != name}
  assert contents(out) == left
  (tmp_path / 'away').rename(out / name)  # as it says
  execute(model, faces, out)
  assert contents(out) == before


def test_a_summary_from_before_names_no_files(model, faces, tmp_path):
  out = tmp_path / 'out'
  execute(model, faces, out)
  path = out / 'summary.json'
  said = json.loads(path.read_text())
  assert said.pop('files')[0] == 'answers.csv'
  path.write_text(json.dumps(said))
  assert Session(out, {}).finished
  path.write_text(json.dumps({**said, 'files': [1]}))
  with pytest.raises(SessionError, match='is no summary'):
    Session(out, {}).summary()


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


@pytest.mark.parametrize('style', ['emojax', 'openface'])
def test_missing_texts_are_null(style, tmp_path):
  """A set that holds nothing is not the set of a frame without a face."""
  from pyarrow import parquet

  model = stand_in.Model()
  layout = Layout(model.schema, None)
  rows = layout.empty(2)
  rows['file'][:], rows['face'][:] = ['', 'b'], [0, np.nan]
  shown = layout.columns
  if style == 'openface':
    shown, rows = openface.columns(layout), openface.block(layout, rows)
  texts = [c.name for c in shown if c.kind == 'text']
  assert {'file', 'answer'} <= set(texts)
  for name in ('jsonl', 'parquet'):
    writers.write(tmp_path / f't.{name}', shown, [rows])
  lines = (tmp_path / 't.jsonl').read_text().splitlines()
  for found in (
    [json.loads(line) for line in lines],
    parquet.read_table(tmp_path / 't.parquet').to_pylist(),
  ):
    assert [row['file'] for row in found] == ['', 'b']
    assert [row['answer'] for row in found] == ['', None]


@pytest.mark.parametrize(
  ('task', 'twice'),
  [
    (tasks.Task('expr', 'categorical', ('confidence', 'anger')), 'confidence'),
    (tasks.Task('expr', 'categorical', ('success', 'anger')), 'success'),
    (tasks.Task('expr', 'categorical', ('face_id', 'anger')), 'face_id'),
    (tasks.Task('expr', 'categorical', ('timestamp', 'anger')), 'timestamp'),
    (tasks.Task('au', 'binary', ('AU1', 'AU01')), 'AU01_c'),
    (tasks.Task('au', 'binary', ('AU1', 'AU01_c')), 'AU01_c'),
  ],
)
def test_labels_that_are_names_of_openface(task, twice, faces, tmp_path):
  """Told before anything is answered; in emojax's own style they are labels."""
  model, out = stand_in.Model((task,)), tmp_path / 'out'
  with pytest.raises(
    ValueError, match=f'columns {twice!r} of --style openface'
  ):
    execute(model, faces, out, written=Files(style='openface'))
  assert not out.exists()
  assert not model.seen
  assert set(task.labels) <= set(Layout((task,)).names)


def test_formats_that_cannot_be_written_are_told_first(
  model, faces, tmp_path, monkeypatch
):
  monkeypatch.setitem(sys.modules, 'pyarrow', None)
  monkeypatch.setitem(sys.modules, 'pyarrow.parquet', None)
  with pytest.raises(ImportError, match='--format parquet needs pyarrow'):
    execute(model, faces, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_another_file_of_a_detector_is_another_command(tmp_path):
  path = tmp_path / 'mine.onnx'
  asked, said = Options(detector=str(path)), []
  for data in (b'one', b'two'):
    path.write_bytes(data)
    said.append(command.of({}, asked, ALL, []))
  assert command.differences(said[0], said[0]) == []
  assert command.differences(*said) == ['the file of --detector has changed']
  del said[0]['detector']  # as older versions wrote it
  assert command.differences(*said) == []


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


@pytest.fixture
def camera(monkeypatch):
  """A camera of 1,000 frames; (what is done at frame 100, frames it gave)."""
  source = run.sources.Source('0', 'webcam 0', 'webcam')
  monkeypatch.setattr(run.sources, 'webcam', lambda number: source)
  given = []

  def at(event):
    def frames(source, **_):
      image = np.zeros((60, 80, 3), np.uint8)
      for i in range(1000):
        if i == 100:
          event()
        if i > 100:
          time.sleep(0.01)
        given.append(i)
        yield run.sources.Frame(source.name, i, i / 10, image)

    monkeypatch.setattr(run.sources, 'frames', frames)
    return given

  return at


def record(model, out):
  console = Console(file=io.StringIO())
  return run.execute(model, CROPS, ALL, [], out, console, 0)


def test_ctrl_c_ends_a_recording(model, camera, tmp_path):
  """All frames are answered, those of the last part, too."""
  before = signal.getsignal(signal.SIGINT)
  given = camera(lambda: os.kill(os.getpid(), signal.SIGINT))
  frames = record(model, tmp_path / 'out')
  assert frames == len(given)
  assert 100 < frames < 1000
  rows = (tmp_path / 'out' / 'answers.csv').read_text().splitlines()
  assert len(rows) == frames + 1
  assert (tmp_path / 'out' / 'summary.json').exists()
  assert signal.getsignal(signal.SIGINT) is before


def test_a_recording_that_was_killed_is_written(model, camera, tmp_path):
  """Its frames cannot be read again: the same command writes what there is."""

  def killed():
    raise KeyboardInterrupt

  given, out = camera(killed), tmp_path / 'out'
  with pytest.raises(KeyboardInterrupt):
    record(model, out)
  assert record(model, out) == pipeline.FRAMES
  assert len(given) == 100  # it was opened once
  assert (out / 'page.html').exists()
  assert not (out / 'overlay').exists()


@pytest.mark.parametrize('kind', ['pictures', 'video', 'beyond', 'webcam'])
def test_without_a_frame_nothing_is_finished(
  kind, model, clip, tmp_path, monkeypatch
):
  """The same command tries again, says the same, and others may begin."""
  (tmp_path / 'a.jpg').write_text('text')
  (tmp_path / 'zero.mp4').write_bytes(b'')
  paths, asked, webcam, words = {
    'pictures': ([tmp_path / 'a.jpg'], CROPS, None, 'a.jpg: found'),
    'video': ([tmp_path / 'zero.mp4'], CROPS, None, 'zero.mp4: found'),
    'beyond': (
      [clip[0]], Options(crops=True, start=100, stop=200), None, 'ends at 9.9 s'
    ),
    'webcam': ([], CROPS, 987, 'a webcam that can be opened'),
  }[kind]  # fmt: skip
  out = tmp_path / 'out'
  for _ in range(2):
    said = io.StringIO()
    arguments = (model, asked, ALL, list(map(str, paths)), out)
    assert run.execute(*arguments, Console(file=said), webcam) == 0
    assert words in said.getvalue().replace('\n', '')
    assert not out.exists()
  execute(model, clip[0], out, Options(crops=True, every=50))
  # A folder that was there stays, and so does what an older version finished.
  out = tmp_path / 'mine'
  out.mkdir()
  assert run.execute(*arguments[:4], out, Console(file=said), webcam) == 0
  assert list(out.iterdir()) == []


def test_a_folder_that_was_finished_without_a_frame(model, tmp_path):
  """As older versions have left them."""
  path, out = tmp_path / 'a.png', tmp_path / 'out'
  Image.new('RGB', (40, 30)).save(path)
  execute(model, path, out)
  (out / 'summary.json').write_text('{"frames": 0}')
  assert execute(model, path, out) == 1
  assert json.loads((out / 'summary.json').read_text())['frames'] == 1


@pytest.mark.parametrize('name', ['command.json', 'summary.json'])
@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('[' * 100_000, 'cannot be read'),
    ('{"frames": ', 'cannot be read'),
    ('[]', 'holds no object'),
    ('{}', 'is no summary|another command'),
    ('{"frames": "3"}', 'is no summary|another command'),
  ],
)
def test_what_a_folder_says_of_itself_is_checked(
  model, tmp_path, name, text, said
):
  path, out = tmp_path / 'a.png', tmp_path / 'out'
  Image.new('RGB', (40, 30)).save(path)
  execute(model, path, out)
  (out / name).write_text(text)
  with pytest.raises(SessionError, match=said):
    execute(model, path, out)
  assert (out / name).read_text() == text


def test_what_differs_is_named_by_its_flag(model, faces, clip, tmp_path):
  out = tmp_path / 'out'
  execute(model, clip[0], out, Options(crops=True, every=50))
  for asked, written, words in (
    (CROPS, ALL, 'another command: --every 50 there, 1 now. Choose'),
    (
      Options(crops=True, every=50, min_face=3.0), ALL,
      'command: --min-face 24.0 there, 3.0 now. Choose',
    ),
    (
      Options(crops=True, every=50), Files(('csv',), page=False),
      '--format csv,parquet,jsonl there, csv now; --no-page off there, on now',
    ),
  ):  # fmt: skip
    with pytest.raises(SessionError) as error:
      execute(model, clip[0], out, asked, written)
    assert words in str(error.value)
  with pytest.raises(SessionError, match='number of inputs: 1 there, 2 now'):
    run.execute(
      model, Options(crops=True, every=50), ALL,
      [str(clip[0]), str(next(faces.glob('*.png')))], out, Console(quiet=True),
    )  # fmt: skip
  model.metadata['generation'] = 'Tea'
  with pytest.raises(SessionError, match='command: the model is another one'):
    execute(model, clip[0], out, Options(crops=True, every=50))


def test_options_that_an_older_version_did_not_have(model, clip, tmp_path):
  out, asked = tmp_path / 'out', Options(crops=True, every=50)
  execute(model, clip[0], out, asked)
  path = out / 'command.json'
  said = json.loads(path.read_text())
  del said['options']['max_profile']
  path.write_text(json.dumps(said))
  assert execute(model, clip[0], out, asked) == 3


def test_what_emojax_wrote_is_no_input(model, tmp_path):
  """Its overlays are pictures, too; who names them means them."""
  pics = tmp_path / 'pics'
  pics.mkdir()
  Image.new('RGB', (60, 50)).save(pics / 'a.jpg')
  for name in ('out1', 'out2'):
    execute(model, pics / 'a.jpg', pics / name)
  (pics / 'mine').mkdir()
  (pics / 'mine' / 'command.json').write_text('{"emojax": 1}')
  Image.new('RGB', (60, 50)).save(pics / 'mine' / 'b.jpg')
  table = run.table(model, CROPS, str(pics))
  names = [name.rsplit('/', 1)[-1] for name in table['file']]
  assert names == ['a.jpg', 'b.jpg']
  (line,) = (p for p in table.problems if 'left out' in p)
  assert line.startswith(f'{pics}/out1 and 1 more: left out')
  overlay = pics / 'out1' / 'overlay'
  for path in (pics / 'out1', overlay, next(overlay.iterdir())):
    assert run.table(model, CROPS, str(path)).num_rows == 1


@pytest.mark.parametrize('flag', ['every', 'start', 'stop'])
def test_frames_of_pictures_cannot_be_chosen(flag, model, faces, tmp_path):
  asked = Options(crops=True, **{flag: 3})
  with pytest.raises(OptionError, match='there are only pictures'):
    execute(model, faces, tmp_path / 'out', asked)
  assert not (tmp_path / 'out').exists()
  with pytest.raises(OptionError, match='there are only pictures'):
    run.table(model, asked, np.zeros((9, 9, 3), np.uint8))

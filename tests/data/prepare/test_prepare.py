"""Preparation: contents, restart, independence of workers, refusals."""

import contextlib
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from concurrent import futures

import numpy as np
import pytest
import trees
from rich.console import Console
from stored import SETTINGS

from emojax import tasks
from emojax.data.prepare import command as prepare
from emojax.data.prepare import overview, parallel
from emojax.data.prepare import shards as shards_lib
from emojax.data.readers import base
from emojax.data.store import frame_table, store, stored
from emojax.data.transform import audio


def _files(folder):
  """Contents of all files but the figures."""
  return {
    path.name: path.read_bytes()
    for path in pathlib.Path(folder).iterdir()
    if path.is_file()
  }


def _segments(folder, split):
  source = store.open_records(folder, split)
  return [store.parse(source[i]) for i in range(len(source))]


def test_every_frame_is_there_with_its_labels(affwild2_tree, affwild2_store):
  listing = base.scan('affwild2', affwild2_tree, fps=30)
  for split in ('train', 'validation', 'test'):
    records = [r for r in listing.records if r.split == split]
    table = frame_table.load(affwild2_store / f'labels-{split}.npz')
    videos = {video: frames for video, _, frames in table.videos()}
    images = [
      image
      for example in _segments(affwild2_store, split)
      for image in store.encoded_images(example)
    ]
    assert list(videos) == [record.video_id for record in records]
    assert len(images) == len(table) == sum(map(len, records))
    assert table.length.max() == 16
    for record in records:
      frames = videos[record.video_id]
      np.testing.assert_array_equal(
        table.frame_index[frames], record.frame_index
      )
      for task, target in record.targets.items():
        np.testing.assert_array_equal(
          table.targets[task].value[frames], target.value
        )
        np.testing.assert_array_equal(
          table.targets[task].mask[frames], target.mask
        )
      # Crops of the right size keep the bytes of their files.
      assert [images[i] for i in frames] == base.load(record)


def test_sound_windows_are_those_of_the_whole_file(affwild2_store):
  found = json.loads((affwild2_store / store.FILE).read_text())
  source = pathlib.Path(found['reader']['source'])
  samples = audio.read_audio(source / 'audio' / 'video0001.wav')
  example = _segments(affwild2_store, 'train')[1]
  frames = example.features.feature['frame_index'].int64_list.value
  expected = audio.frame_features(samples, np.array(frames) / 30)
  sound = store.audio_of(example)
  windows = [sound.spectrum[:, s : s + 64] for s in sound.start]
  np.testing.assert_array_equal(windows, expected)


def test_facts_and_figures(affwild2_store):
  facts = json.loads((affwild2_store / store.FILE).read_text())
  table = frame_table.load(affwild2_store / 'labels-train.npz')
  counts = facts['splits']['train']
  assert counts['frames'] == len(table)
  assert counts['videos'] == counts['subjects'] == 8
  au = table.targets['au']
  positives = [pair[1] for pair in counts['au'].values()]
  np.testing.assert_array_equal(positives, (au.value * au.mask).sum(0))
  expr = table.targets['expr'].value.sum(0)
  np.testing.assert_array_equal(list(counts['expr'].values()), expr)
  assert facts['splits']['test']['va'] == {'valence': 0, 'arousal': 0}
  for name in ('contact_sheet', 'labels-au', 'labels-expr', 'labels-va'):
    figure = affwild2_store / 'figures' / f'{name}.png'
    assert figure.read_bytes()[:4] == b'\x89PNG'
  text = (affwild2_store / 'summary.txt').read_text()
  assert f'train: {len(table)} frames of 8 videos' in text
  assert not (affwild2_store / '.progress').exists()


def test_contact_sheet_shows_labels_by_name(
  affwild2_tree, affwild2_store, monkeypatch, tmp_path
):
  """Titles of frames against the rows of the official files."""
  shown = {}

  def sheet(images, titles, **_):
    shown['images'], shown['titles'] = images, titles

  monkeypatch.setattr(overview.contact_sheet, 'contact_sheet', sheet)
  data = stored.Store(affwild2_store)
  overview.draw(affwild2_store, data.spec, {'train': data.table('train')})
  table = data.table('train')
  frames = np.linspace(0, len(table) - 1, 64).astype(int)
  record, _ = table.locate(frames)
  rows = {}
  for frame, title, video in zip(
    frames, shown['titles'], table.video_id[record]
  ):
    number = table.frame_index[frame]
    for task in ('EXPR', 'AU', 'VA'):
      path = affwild2_tree / f'{task}_Set' / 'Train_Set' / f'{video}.txt'
      if path.exists():
        header, *lines = path.read_text().split('\n')
        rows.setdefault(task, []).append((title, header, lines[number]))
        break
  for title, header, row in rows['EXPR']:
    names = header.lower().split(',')
    assert row == '-1' or title == names[int(row)]
  for title, header, row in rows['AU']:
    present = [
      n[2:] for n, v in zip(header.split(','), row.split(',')) if v == '1'
    ]
    assert '-1' in row or title == 'AU ' + (' '.join(present) or 'none')
  for title, _, row in rows['VA']:
    v, a = map(float, row.split(','))
    assert v == -5 or title == f'V {v:.2f} A {a:.2f}'


def test_contact_sheet_of_classes_has_all_of_them(monkeypatch, tmp_path):
  shown = {}

  def sheet(images, titles, **_):
    shown['titles'] = titles

  monkeypatch.setattr(overview.contact_sheet, 'contact_sheet', sheet)
  tree = trees.rafdb(tmp_path / 'raf')
  out = prepare.prepare('rafdb', tree.root, tmp_path / 'a', size=8, workers=1)
  table = frame_table.load(out / 'labels-train.npz')
  classes = table.targets['expr'].value.argmax(-1)
  names = [tasks.RAFDB[i] for i in sorted(set(classes))]
  assert sorted(set(shown['titles']), key=shown['titles'].index) == names


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(
  affwild2_tree, affwild2_store, tmp_path
):
  settings = SETTINGS | {'workers': 2}
  other = prepare.prepare('affwild2', affwild2_tree, tmp_path / 'o', **settings)
  assert _files(other) == _files(affwild2_store)


def _command(tree, out):
  return [
    sys.executable, '-c',
    'import sys; sys.path.insert(0, sys.argv[1]); '
    'from stored import SETTINGS; '
    'from emojax.data.prepare import command as prepare; '
    'prepare.prepare("affwild2", sys.argv[2], sys.argv[3], '
    '**(SETTINGS | {"workers": 2}))',
    str(pathlib.Path(__file__).parents[1]), str(tree), str(out),
  ]  # fmt: skip


@pytest.mark.slow
def test_killed_run_goes_on_without_rewriting(
  affwild2_tree, affwild2_store, tmp_path
):
  out = tmp_path / 'out'
  process = subprocess.Popen(
    _command(affwild2_tree, out),
    stderr=subprocess.DEVNULL,
    start_new_session=True,
  )
  try:
    deadline = time.monotonic() + 120
    notes = out / '.progress'
    while len(list(notes.glob('*-0*.json'))) < 2 and process.poll() is None:
      assert time.monotonic() < deadline
      time.sleep(0.002)
  finally:
    if process.poll() is None:
      process.kill()
    process.wait()
  if (out / store.FILE).exists():
    pytest.fail('the run ended before it could be killed')
  done = [path.stem for path in notes.glob('*-0*.json')]
  shards = {}
  for name in done:
    split, number = name.rsplit('-', 1)
    [path] = out.glob(f'affwild2-{split}.array_record-{number}-of-*')
    shards[path] = path.stat().st_mtime_ns, path.stat().st_ino
  time.sleep(0.3)  # the workers leave with their parent
  (out / '.affwild2-train.part').write_bytes(b'left behind')
  prepare.prepare('affwild2', affwild2_tree, out, **SETTINGS)
  for path, stat in shards.items():
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == stat
  assert _files(out) == _files(affwild2_store)


def test_finished_and_foreign_folders(affwild2_tree, affwild2_store, tmp_path):
  before = _files(affwild2_store)
  prepare.prepare('affwild2', affwild2_tree, affwild2_store, **SETTINGS)
  assert _files(affwild2_store) == before
  with pytest.raises(store.StoreError, match='size 32, not 48'):
    prepare.prepare(
      'affwild2', affwild2_tree, affwild2_store, **SETTINGS | {'size': 48}
    )
  (tmp_path / 'photo.jpg').touch()
  with pytest.raises(store.StoreError, match='holds no data set'):
    prepare.prepare('affwild2', affwild2_tree, tmp_path, **SETTINGS)


def test_what_a_finished_folder_may_suffer(tmp_path, capsys):
  tree, out = trees.rafdb(tmp_path / 'tree'), tmp_path / 'out'
  arguments = ['rafdb', '--source', str(tree.root), '--out', str(out)]
  assert prepare.main([*arguments, '--workers=1']) == 0
  (out / '.progress').mkdir()  # left behind by a kill at the very end
  (out / '.progress' / 'lock').touch()
  assert prepare.main(arguments) == 0
  assert not (out / '.progress').exists()
  for damaged in ('', '{}', '[]', 'no json'):
    (out / store.FILE).write_text(damaged)
    assert prepare.main(arguments) == 1
    said = capsys.readouterr().err
    assert 'emojax.json cannot be used as what this command wrote' in said
    assert 'move that folder away' in said


def test_a_killed_worker_is_said(monkeypatch, capsys):
  def killed(**_):
    raise futures.BrokenExecutor('terminated abruptly')

  monkeypatch.setattr(prepare, 'prepare', killed)
  assert prepare.main(['rafdb', '--source=a', '--out=b']) == 1
  assert 'a worker process was killed' in capsys.readouterr().err


def _interrupt(monkeypatch, tree, out):
  """Stops before the last files are written."""
  with monkeypatch.context() as patch:
    patch.setattr(prepare, '_finish', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      prepare.prepare(tree.name, tree.root, out, workers=1, size=12)


def test_unfinished_folders_are_guarded(monkeypatch, tmp_path):
  tree, out = trees.rafdb(tmp_path / 'tree'), tmp_path / 'out'
  _interrupt(monkeypatch, tree, out)
  with pytest.raises(store.StoreError, match='size 12, not 20'):
    prepare.prepare('rafdb', tree.root, out, workers=1, size=20)
  labels = tree.tables[0]
  labels.write_text(labels.read_text().replace(' 2', ' 3'))
  with pytest.raises(store.StoreError, match='source has changed'):
    prepare.prepare('rafdb', tree.root, out, workers=1, size=12)
  code = 'import fcntl, sys; f = open(sys.argv[1], "w"); '
  code += 'fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()'
  command = [sys.executable, '-c', code, str(out / '.progress' / 'lock')]
  with subprocess.Popen(
    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
  ) as holder:
    holder.stdout.readline()
    with pytest.raises(store.StoreError, match='another process is writing'):
      prepare.prepare('rafdb', tree.root, out, workers=1, size=12)


def test_the_lock_is_not_written_through_a_link(monkeypatch, tmp_path):
  tree, out = trees.rafdb(tmp_path / 'tree'), tmp_path / 'out'
  _interrupt(monkeypatch, tree, out)
  theirs = tmp_path / 'thesis.txt'
  theirs.write_text('years of work')
  lock = out / '.progress' / 'lock'
  lock.unlink()
  lock.symlink_to(theirs)
  with pytest.raises(OSError, match='a link or a device'):
    prepare.prepare('rafdb', tree.root, out, workers=1, size=12)
  assert theirs.read_text() == 'years of work'


def test_unreadable_images_are_left_out_or_strictly_refused(tmp_path):
  tree = trees.affwild2(tmp_path / 'tree')
  bad = tree.root / 'cropped_aligned' / 'a' / '00005.jpg'
  bad.write_bytes(bad.read_bytes()[:200])
  arguments = ['affwild2', '--source', str(tree.root), '--size=12']
  arguments += ['--workers=1', '--out', str(tmp_path / 'out')]
  assert prepare.main([*arguments, '--strict']) == 1
  shutil.rmtree(tmp_path / 'out')
  assert prepare.main(arguments) == 0
  text = (tmp_path / 'out' / 'summary.txt').read_text()
  assert '00005.jpg' in text
  table = frame_table.load(tmp_path / 'out' / 'labels-train.npz')
  frames = dict((v, f) for v, _, f in table.videos())['a']
  assert table.frame_index[frames].tolist() == [0, 3, 5]
  facts = json.loads((tmp_path / 'out' / store.FILE).read_text())
  assert facts['problems'] == 2  # in the training and the validation split


def test_all_that_was_left_out_is_counted(tmp_path, monkeypatch):
  """A shard keeps the words of the first ones, and how many there are."""
  monkeypatch.setattr(shards_lib, 'PROBLEMS_KEPT', 2)
  tree = trees.Tree('folder', tmp_path / 'tree')
  for i in range(9):
    path = tree.image(f'x/{i}.png', 20 * i)
    if i < 7:
      path.write_bytes(path.read_bytes()[:50])
  out = prepare.prepare(
    'folder', tree.root, tmp_path / 'out', size=12, workers=1
  )
  assert json.loads((out / store.FILE).read_text())['problems'] == 7
  assert 'because of 7 problems' in (out / 'summary.txt').read_text()


def test_noise_and_votes_are_stored(tmp_path):
  tree = trees.rafdb(tmp_path / 'raf')
  out = prepare.prepare(
    'rafdb', tree.root, tmp_path / 'a', size=8, workers=1, options=tree.options
  )
  table = frame_table.load(out / 'labels-train.npz')
  flipped = table.targets['expr'].value != table.clean['expr'].value
  assert flipped.any(axis=1).sum() == 2
  test = frame_table.load(out / 'labels-test.npz')
  np.testing.assert_array_equal(
    test.targets['expr'].value, test.clean['expr'].value
  )
  tree = trees.ferplus(tmp_path / 'fer')
  out = prepare.prepare(
    'ferplus', tree.root, tmp_path / 'b', size=48, workers=1
  )
  assert json.loads((out / store.FILE).read_text())['spec']['channels'] == 1
  table = frame_table.load(out / 'labels-train.npz')
  assert table.votes[0].tolist() == [9, 0, 0, 0, 1, 0, 0, 0, 0, 0]


def test_command_line_errors(tmp_path, capsys):
  arguments = ['rafdb', '--source', str(tmp_path), '--out', str(tmp_path / 'o')]

  def fails(*more):
    with pytest.raises(SystemExit) as left:
      prepare.main([*arguments, *more])
    assert left.value.code == 2
    return capsys.readouterr().err

  assert 'expected KEY=VALUE' in fails('--option', 'noise_file')
  assert prepare.main([*arguments, '--option', 'colour=red']) == 1
  assert 'noise_file' in capsys.readouterr().err
  arguments[0] = 'rafbd'
  assert "invalid choice: 'rafbd'" in fails()
  with pytest.raises(SystemExit):
    prepare.main(['--help'])
  text = capsys.readouterr().out
  assert all(f'\n  {name}\n' in text for name in base.READERS)
  assert 'noise_file=' in text


# Two workers whose jobs outlast the test; the first line says that they run.
WORKING = """
import signal, sys, time
from rich.console import Console
from emojax.data.prepare import parallel, command as prepare
# A shell starts what runs in its background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
prepare.prepare = lambda console, **_: list(parallel.run(
  time.sleep, ((i, 1, s) for i, s in enumerate([0, 0, 60, 60, 60, 60])),
  workers=2, total=6, title='t', unit='u', console=console))
sys.exit(prepare.main(['rafdb', '--source=a', '--out=b']))
"""


@pytest.mark.parametrize(
  ('number', 'to_all'),
  [
    pytest.param(signal.SIGTERM, False, marks=pytest.mark.slow),
    (signal.SIGINT, True),
  ],
)
def test_signals_end_all_processes_with_one_line(number, to_all):
  process = subprocess.Popen(
    [sys.executable, '-c', WORKING],
    stderr=subprocess.PIPE,
    text=True,
    start_new_session=True,
  )
  try:
    assert 't: 1 of 6 u' in process.stderr.readline()
    (os.killpg if to_all else os.kill)(process.pid, number)
    # Workers hold the pipe as well: it ends with the last of them.
    text = process.communicate(timeout=120)[1]
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
  assert process.returncode == 128 + number
  lines = [line for line in text.splitlines() if not line.startswith('t: ')]
  assert lines == ['stopped: run the same command to go on']


@pytest.mark.parametrize('workers', [1, 2])
def test_parallel_yields_all_and_raises_what_a_worker_raised(workers):
  def run(numbers):
    jobs = ((i, 1, n) for i, n in enumerate(numbers))
    with open(os.devnull, 'w') as file:
      results = parallel.run(
        math.sqrt, jobs, workers=workers, total=len(numbers), title='t',
        unit='u', console=Console(file=file),
      )  # fmt: skip
      return dict(results)

  assert run([4, 9, 16, 25, 36, 49]) == {i: i + 2 for i in range(6)}
  with pytest.raises(ValueError, match=r'math domain|nonnegative'):
    run([1, -2, 3])

"""Data that changed under a run, older runs, and what rounds elsewhere."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from emojax import tasks
from emojax.data.clips.clips import Clips
from emojax.host import processes
from emojax.runtime import provenance, workdir

SCHEMA = (tasks.expr_task(('sad', 'happy')), tasks.au_task(('AU1',)))


def clips(count=4, seed=0, origin=None):
  rng = np.random.default_rng(seed)
  expr = np.eye(2, dtype=np.float32)[rng.integers(0, 2, (count, 2))]
  unit = rng.integers(0, 2, (count, 2, 1)).astype(np.float32)
  names = np.array([f'clip{i}' for i in range(count)])
  return Clips(
    image=rng.integers(0, 256, (count, 2, 4, 4, 3), np.uint8),
    audio=None,
    targets={
      'expr': tasks.Target(expr, np.ones((count, 2), np.float32)),
      'au': tasks.Target(unit, np.ones_like(unit)),
    },
    frame_mask=np.ones((count, 2), np.float32),
    clip_id=names,
    subject_id=names,
    origin=origin,
  )


@pytest.fixture
def folder(tmp_path):
  made = workdir.Workdir(tmp_path / 'run', {'seed': 1})
  made.open()
  return made


def keep(folder, sets, schema=SCHEMA):
  console = Console(file=io.StringIO(), width=300)
  provenance.keep(folder, sets, schema, console)
  return console.file.getvalue()


def begin(folder):
  (folder / 'metrics.jsonl').write_text('{}\n')


def changed(**arrays):
  return dataclasses.replace(clips(), **arrays)


def flipped():
  targets = dict(clips().targets)
  value, mask = targets['au']
  targets['au'] = tasks.Target(1 - value, mask)
  return changed(targets=targets)


def brighter():
  image = clips().image.copy()
  image[1, 1, 2, 3, 0] ^= 1
  return changed(image=image)


@pytest.mark.parametrize(
  ('found', 'words'),
  [
    (clips(5), '5 clips now, 4 then'),
    (flipped(), 'labels of au'),
    (brighter(), 'images or sound'),
    (changed(clip_id=clips().clip_id[::-1]), 'names of clips or people'),
    (changed(subject_id=clips().clip_id[::-1]), 'names of clips or people'),
    (changed(frame_mask=np.eye(4, 2, dtype=np.float32)), 'which frames count'),
    (changed(votes=np.ones((4, 2, 3), np.float32)), 'votes'),
    (changed(audio=np.ones((4, 2, 64, 64), np.float32)), 'images or sound'),
    (clips().take([1, 0, 2, 3]), 'names of clips or people'),
  ],
)
def test_what_has_changed_is_named(folder, found, words):
  sets = {'train': clips(), 'ood/x': clips(3)}
  assert keep(folder, sets) == ''
  begin(folder)
  assert keep(folder, sets) == ''
  before = (folder / provenance.FILE).read_bytes()
  with pytest.raises(provenance.DataChangedError) as caught:
    keep(folder, sets | {'train': found})
  text = str(caught.value)
  assert f'train: {words}' in text or f', {words}' in text
  assert str(folder.path) in text
  assert 'ood/x' not in text
  assert 'another --workdir' in text
  assert (folder / provenance.FILE).read_bytes() == before


def test_sets_and_labels_that_come_and_go(folder):
  keep(folder, {'train': clips(), 'ood/x': clips(3)})
  begin(folder)
  with pytest.raises(provenance.DataChangedError, match='ood/x: not there now'):
    keep(folder, {'train': clips()})
  with pytest.raises(
    provenance.DataChangedError, match='ood/y: not there then'
  ):
    keep(folder, {'train': clips(), 'ood/x': clips(3), 'ood/y': clips()})
  turned = (tasks.expr_task(('happy', 'sad')), SCHEMA[1])
  with pytest.raises(provenance.DataChangedError, match='expr happy, sad'):
    keep(folder, {'train': clips(), 'ood/x': clips(3)}, turned)


def test_before_training_data_may_change(folder):
  """The folder holds nothing yet that was made of the data."""
  keep(folder, {'train': clips()})
  assert not folder.begun()
  keep(folder, {'train': clips(5)})
  begin(folder)
  keep(folder, {'train': clips(5)})


def test_older_runs_go_on_with_a_note(folder):
  begin(folder)
  assert 'older than digests' in keep(folder, {'train': clips()})
  assert keep(folder, {'train': clips()}) == ''
  with pytest.raises(provenance.DataChangedError):
    keep(folder, {'train': clips(5)})


def test_a_finished_folder_is_not_written(folder):
  for name in ('results.json', 'report.html'):
    (folder / name).write_text('{"made": true}')
  keep(folder, {'train': clips()})
  assert not (folder / provenance.FILE).exists()


def test_drawn_elsewhere(folder):
  """Numbers that round differently are a note; other clips are not."""
  keep(folder, {'train': clips()})
  begin(folder)
  tree = json.loads((folder / provenance.FILE).read_text())
  tree['drawn_by'][0] = '1.0'
  (folder / provenance.FILE).write_text(json.dumps(tree))
  assert 'train: drawn by another version' in keep(
    folder, {'train': brighter()}
  )
  with pytest.raises(provenance.DataChangedError, match='5 clips now'):
    keep(folder, {'train': clips(5)})
  provenance.check_part(folder.path, 'train', brighter())
  with pytest.raises(provenance.DataChangedError, match='5 clips now'):
    provenance.check_part(folder.path, 'train', clips(5))


@pytest.mark.parametrize(
  'change',
  [
    lambda tree: tree.clear(),
    lambda tree: tree.update(format='x'),
    lambda tree: tree.update(sets=[]),
    lambda tree: tree['sets'].update(train=3),
    lambda tree: tree['sets']['train'].pop('inputs'),
    lambda tree: tree['sets']['train'].update(clips='many'),
    lambda tree: tree['sets']['train'].update(labels=[]),
    lambda tree: tree['sets']['train'].update(origins=[{}]),
    lambda tree: tree.pop('schema'),
    lambda tree: tree.update(schema=3),
  ],
)
def test_damaged_digests_are_said(folder, change):
  keep(folder, {'train': clips()})
  begin(folder)
  path = folder / provenance.FILE
  tree = json.loads(path.read_text())
  change(tree)
  for text in (json.dumps(tree), '', '[]', '[' * 10**5):
    path.write_text(text)
    with pytest.raises(
      workdir.WorkdirError, match=r'data\.json cannot be read'
    ):
      keep(folder, {'train': clips(5)})


def test_processes_that_see_different_data(folder, monkeypatch):
  monkeypatch.setattr(processes, 'all_same', lambda text: False)
  with pytest.raises(processes.ProcessError, match='see different data'):
    keep(folder, {'train': clips()})
  assert not (folder / provenance.FILE).exists()

"""The written tree has the habits of Aff-Wild2 and its reader accepts it."""

import filecmp
import wave

import numpy as np
import pytest
from PIL import Image

from emojax import tasks
from emojax.data import affwild2_writer
from emojax.data.clips import pipeline
from emojax.data.readers import base
from emojax.experiments.distillation import tables


def _rows(path):
  return path.read_text().split('\n')[1:]


def test_reader_accepts_it_without_a_problem(affwild2_tree):
  listing = base.scan('affwild2', affwild2_tree, strict=True, fps=30)
  assert listing.schema == tasks.ABAW2021
  assert listing.counts() == {'train': 8, 'validation': 1, 'test': 1}
  records = {record.key: record for record in listing.records}
  assert records['train/video0001'].groups == ('au',)
  assert records['train/video0002'].groups == ('expr', 'va')
  assert records['validation/video0003'].groups == ('au', 'expr', 'va')
  assert records['test/video0006'].groups == ()
  assert len({record.subject_id for record in listing.records}) == 10
  pair = records['train/video0004_left'], records['train/video0004_right']
  assert pair[0].audio_path == pair[1].audio_path
  assert pair[0].audio_path.endswith('video0004.wav')


def test_nobody_takes_it_for_the_original(affwild2_tree, affwild2_store):
  assert base.scan('affwild2', affwild2_tree).info['generated']
  data = pipeline.load_dataset(
    affwild2_store, splits=pipeline.Splits(test='validation')
  )
  assert data.name == 'generated affwild2'
  assert not tables.same_data({'dataset': data.name})
  assert tables.same_data({'dataset': 'affwild2'})


def test_labels_sit_at_their_frames(affwild2_tree):
  """The reader's labels are those of the rows that the images' names say."""
  listing = base.scan('affwild2', affwild2_tree)
  record = next(r for r in listing.records if r.key == 'train/video0002')
  rows = _rows(affwild2_tree / 'VA_Set' / 'Train_Set' / 'video0002.txt')
  target = record.targets['va']
  for frame, number in enumerate(record.frame_index):
    row = [float(v) for v in rows[number].split(',')]
    if target.mask[frame].all():
      np.testing.assert_allclose(target.value[frame], row, atol=1e-6)
    else:
      assert -5 in row


def test_it_has_the_habits_of_the_original(affwild2_tree):
  folders = sorted((affwild2_tree / 'cropped_aligned').iterdir())
  names = [folder.name for folder in folders]
  assert 'video0004_left' in names
  assert 'video0004_right' in names
  counts = {}
  for folder in folders:
    files = sorted(folder.iterdir())
    assert files[0].name == '00001.jpg'
    with Image.open(files[0]) as image:
      assert (image.format, image.size) == ('JPEG', (32, 32))
    counts[folder.name] = len(files)
  # Some frames have no face, and every file has more rows than images.
  assert min(counts.values()) < 50
  files = list(affwild2_tree.glob('*_Set/*/*.txt'))
  texts = [row for path in files for row in _rows(path)]
  assert all(len(_rows(path)) == 62 > counts[path.stem] for path in files)
  assert '-1' in texts
  assert '-5,-5' in texts
  aus = [row.split(',') for row in texts if row.count(',') == 11]
  assert any(0 < row.count('-1') < 12 for row in aus)
  with wave.open(str(affwild2_tree / 'audio' / 'video0001.wav')) as sound:
    assert sound.getframerate() == 16000
    assert sound.getnchannels() == 1
    assert sound.getnframes() == round(50 / 30 * 16000)


def test_same_arguments_make_the_same_files(affwild2_tree, tmp_path):
  again = affwild2_writer.write_tree(
    tmp_path / 'again', 3, 50, seed=1, size=32, workers=2
  )
  files = [path for path in again.rglob('*') if path.is_file()]
  for path in files:
    first = affwild2_tree / path.relative_to(again)
    assert filecmp.cmp(path, first, shallow=False), path
  assert sum(path.suffix == '.jpg' for path in files) > 100


def test_command_line(tmp_path, capsys):
  arguments = ['--out', str(tmp_path / 'tree'), '--videos=1', '--frames=3']
  arguments += ['--size=32', '--workers=1', '--no_sound']
  assert affwild2_writer.main(arguments) == 0
  assert not (tmp_path / 'tree' / 'audio').exists()
  assert affwild2_writer.main(arguments) == 1
  assert 'is there already' in capsys.readouterr().err
  with pytest.raises(ValueError, match='at least 1 video'):
    affwild2_writer.write_tree(tmp_path / 'none', 0)
  for wrong in ('--size=0', '--workers=-1'):
    arguments = ['--out', str(tmp_path / 'none'), wrong]
    assert affwild2_writer.main(arguments) == 1
    assert 'error: expected a size and workers' in capsys.readouterr().err
  (tmp_path / 'file').touch()
  assert affwild2_writer.main(['--out', str(tmp_path / 'file' / 'tree')]) == 1
  assert 'error: ' in capsys.readouterr().err


def test_an_interrupted_tree_is_not_the_original(tmp_path, monkeypatch, capsys):
  write, out = affwild2_writer.write_person, tmp_path / 'tree'

  def stopped(person):
    if person.number:
      raise KeyboardInterrupt
    return write(person)

  monkeypatch.setattr(affwild2_writer, 'write_person', stopped)
  arguments = ['--frames=12', '--size=32', '--workers=1']
  assert affwild2_writer.main(['--out', str(out), *arguments]) == 130
  said = capsys.readouterr().err
  assert 'stopped: start again with another --out' in said
  assert base.scan('affwild2', out).info['generated']

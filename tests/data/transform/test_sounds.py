"""Sound of records: what is missing is said before any image is read."""

import shutil
import sys

import numpy as np
import pytest
import trees

from emojax.data.prepare import command as prepare
from emojax.data.prepare import shards
from emojax.data.readers import base
from emojax.data.readers.files import media
from emojax.data.store import stored
from emojax.data.transform import audio, sounds

soundfile = pytest.importorskip('soundfile', reason='pip install emojax[audio]')


@pytest.fixture
def no_images(monkeypatch):
  monkeypatch.setattr(shards, 'write', lambda _: pytest.fail('images are read'))


@pytest.fixture
def tree(affwild2_tree, tmp_path):
  return shutil.copytree(affwild2_tree, tmp_path / 'tree')


def run(tree, out, fps=30, **settings):
  options = {'fps': fps} if fps else {}
  settings = {'audio': 'mfcc', 'size': 32, 'workers': 1} | settings
  return prepare.prepare('affwild2', tree, out, options=options, **settings)


@pytest.mark.usefixtures('no_images')
def test_frame_rate_or_sound_of_no_video(tree, tmp_path):
  out = tmp_path / 'out'
  with pytest.raises(base.DataError, match=r"none of the 8 .*'train'.*fps=30"):
    run(tree, out, fps=0)
  shutil.rmtree(tree / 'audio')
  with pytest.raises(base.DataError, match=r'no sound file.*or no --audio'):
    run(tree, out)
  assert not out.exists()  # nothing stands in the way of another try


@pytest.mark.usefixtures('no_images')
@pytest.mark.parametrize('fps', ['-30', 'nan', 'inf'])
def test_frame_rates_that_cannot_be(tree, tmp_path, fps):
  with pytest.raises(ValueError, match=r'frames per second'):
    run(tree, tmp_path / 'out', fps=fps)


def test_sound_that_ends_before_the_video(tree, tmp_path, monkeypatch):
  """Its last window would be given to all frames that follow."""
  with pytest.raises(base.DataError, match=r'1.66 s of sound, and frame 50 at'):
    run(tree, tmp_path / 'slow', fps=10)
  monkeypatch.setattr(sounds, 'LATE', 0.2)
  path = tree / 'audio' / 'video0001.wav'
  samples, rate = soundfile.read(path)
  soundfile.write(path, samples[: int(0.7 * rate)], rate)
  out = run(tree, tmp_path / 'out', segment_frames=10)
  text = (out / 'summary.txt').read_text()
  assert 'found 0.70 s of sound, and frame 30 at 0.97 s (30 frames' in text
  table = stored.Store(out).table('train')
  found = {name: table.frame_index[f].max() for name, _, f in table.videos()}
  assert found['video0001'] == 19
  assert found['video0002'] > 40


@pytest.mark.usefixtures('no_images')
def test_one_split_without_sound(tree, tmp_path):
  (tree / 'audio' / 'video0006.wav').unlink()
  with pytest.raises(base.DataError, match="none of the 1 videos of 'test'"):
    run(tree, tmp_path / 'out')


@pytest.mark.usefixtures('no_images')
def test_packages_are_looked_for_first(tree, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'soundfile', None)
  with pytest.raises(ImportError, match=r'emojax\[audio\]'):
    run(tree, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_a_video_without_sound_is_left_out_once(tree, tmp_path):
  (tree / 'audio' / 'video0001.wav').unlink()
  with pytest.raises(base.DataError, match="no sound file for 'video0001'"):
    run(tree, tmp_path / 'strict', strict=True)
  out = run(tree, tmp_path / 'out')
  text = (out / 'summary.txt').read_text()
  assert 'Left out because of 1 problem:' in text
  assert "found no sound file for 'video0001'" in text
  found = set(stored.Store(out).table('train').video_id)
  assert 'video0001' not in found
  assert len(found) == 7


def test_damaged_sound_costs_its_video(tree, tmp_path):
  path = tree / 'audio' / 'video0001.wav'
  samples, rate = soundfile.read(path)
  samples[100] = float('nan')
  soundfile.write(path, samples, rate, 'FLOAT')
  out = run(tree, tmp_path / 'out')
  text = (out / 'summary.txt').read_text()
  assert f'{path}: found 1 of {len(samples)} samples are no numbers' in text
  assert 'video0001' not in set(stored.Store(out).table('train').video_id)


def video_records(path):
  clip = media.open_clip(path)
  return clip.record('x', 'x', 'train', {})


def test_sound_follows_the_time_stamps_of_a_video(tmp_path):
  """Frames at a varying rate hear what happens while they are shown."""
  files = pytest.importorskip('video_files')
  times = [0, 40, 80, 1500, 1540, 2900]
  sound = np.random.default_rng(0).normal(0, 0.1, 3 * 48000)
  path = files.write(tmp_path / 'x.mkv', 6, times=times, sound=sound)
  record = video_records(path)
  found = sounds.stretch(record, 'log_mel')
  spectrum = audio.features(audio.read_audio(path))
  expected = audio.windows(spectrum, np.array(times) / 1000)
  for start, window in zip(found.start, expected, strict=True):
    stop = start + audio.NUM_FRAMES
    np.testing.assert_array_equal(found.spectrum[:, start:stop], window)


def test_damaged_sound_costs_the_frames_that_hear_it(tmp_path):
  files = pytest.importorskip('video_files')
  sound = np.random.default_rng(0).normal(0, 0.1, 4 * 48000)
  path = files.write(tmp_path / 'x.mp4', 100, options={'g': '10'}, sound=sound)
  files.damage(path, 100, 'audio')  # at about 2.1 s
  record = video_records(path)
  for frames in (range(30), range(75, 100)):
    assert sounds.stretch(record.take(frames), 'log_mel').spectrum.size
  for frames in (range(40, 60), range(100)):
    with pytest.raises(base.DataError, match=r'no sound from 2\.\d+ to 2\.'):
      sounds.stretch(record.take(frames), 'log_mel')


def test_sound_that_is_cut_costs_the_frames_that_would_hear_it(tree, tmp_path):
  path = tree / 'audio' / 'video0001.wav'
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
  out = run(tree, tmp_path / 'out', segment_frames=5)
  text = (out / 'summary.txt').read_text()
  assert 'video0001.wav: found no sound from 0.8' in text
  assert '(the file is cut)' in text
  table = stored.Store(out).table('train')
  found = {name: table.frame_index[f].max() for name, _, f in table.videos()}
  assert found['video0001'] < 20
  assert found['video0002'] > 40


def test_records_that_have_sound_stay(affwild2_tree):
  listing = base.scan('affwild2', affwild2_tree, fps=30)
  assert sounds.with_sound(listing) == listing.records
  silent = base.scan('rafdb', trees.rafdb(affwild2_tree.parent / 'raf').root)
  with pytest.raises(base.DataError, match='sound for none of the'):
    sounds.with_sound(silent)

"""The format on disk: what TFDS reads of it, and damage that is noticed."""

import io
import json
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from emojax import tasks
from emojax.data.store import codec, frame_table, store

READ_WITH_TFDS = """
import json, sys
import numpy as np
import tensorflow_datasets as tfds

builder = tfds.builder_from_directory(sys.argv[1])
source = builder.as_data_source('train')
example = source[1]
assert 'tensorflow' not in sys.modules, 'TensorFlow was imported'
print(json.dumps({
  'records': len(source),
  'splits': sorted(builder.info.splits),
  'video_id': example['video_id'].decode(),
  'frame_index': example['frame_index'].tolist(),
  'au': example['targets']['au']['mask'].tolist(),
  'shape': np.shape(example['image']),
  'sum': int(np.sum(example['image'], dtype=np.int64)),
  'spectrum': example['spectrum'].shape,
  'description': builder.info.description,
  'names': builder.info.features['targets']['expr']['value'].doc.desc,
}))
"""


def test_tfds_reads_it_without_tensorflow(affwild2_store):
  command = [sys.executable, '-c', READ_WITH_TFDS, str(affwild2_store)]
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout)
  table = frame_table.load(affwild2_store / 'labels-train.npz')
  record = store.parse(store.open_records(affwild2_store, 'train')[1])
  second = slice(table.length[0], table.length[:2].sum())
  assert found['records'] == len(table.length)
  assert found['splits'] == ['test', 'train', 'validation']
  assert found['video_id'] == table.video_id[1]
  assert found['frame_index'] == table.frame_index[second].tolist()
  assert found['au'] == table.targets['au'].mask[second].tolist()
  pixels = [codec.decode(i, 32, 3) for i in store.encoded_images(record)]
  assert found['shape'] == list(np.shape(pixels))
  assert found['sum'] == np.sum(pixels, dtype=np.int64)
  assert found['spectrum'][0] == 64
  assert found['names'] == ', '.join(tasks.AFFWILD2)
  summary = (affwild2_store / 'summary.txt').read_text()
  assert 'expr: neutral ' in found['description']
  for line in found['description'].splitlines():
    assert line.strip() in summary


SPEC = store.Spec('demo', tasks.ABAW2021, 8, 1, ('a', 'b'), True, 'mfcc')


def _segment(length=3, spec=SPEC):
  rng = np.random.default_rng(length)
  images = []
  for pixels in rng.integers(0, 256, (length, 8, 8), dtype=np.uint8):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    images.append(buffer.getvalue())
  blank = tasks.empty_targets(spec.schema, (length,))
  return store.Segment(
    'v', 's', np.arange(length), images, blank, blank,
    rng.random((length, 2), dtype=np.float32),
    store.Audio(rng.random((64, 70), dtype=np.float32), np.array([0, 3, 6])),
  )  # fmt: skip


def test_segment_survives_every_optional_column(tmp_path):
  segment = _segment()
  path = store.shard_path(tmp_path, 'demo', 'train', 0, 1)
  size = store.write_shard(
    path, [store.serialize(store.features(SPEC), segment)]
  )
  store.write_info(tmp_path, SPEC, 'A demo.', {'train': ([1], size)})
  example = store.parse(store.open_records(tmp_path, 'train')[0])
  assert list(store.encoded_images(example)) == segment.images
  sound = store.audio_of(example)
  np.testing.assert_array_equal(sound.spectrum, segment.audio.spectrum)
  np.testing.assert_array_equal(sound.start, segment.audio.start)
  votes = example.features.feature['votes'].float_list.value
  np.testing.assert_array_equal(votes, segment.votes.ravel())


def test_a_shard_is_whole_or_not_there(tmp_path):
  def broken():
    yield b'one'
    raise RuntimeError('power cut')

  with pytest.raises(RuntimeError, match='power cut'):
    store.write_shard(tmp_path / 'shard', broken())
  assert not (tmp_path / 'shard').exists()
  with pytest.raises(store.StoreError, match='cannot be parsed'):
    store.parse(b'\xff\xff\xff')


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  # Python ignores the signal, so that writing fails as on a full disk.
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
  try:
    with pytest.raises(
      store.StoreError, match=r'shard cannot be written .*run'
    ):
      store.write_shard(tmp_path / 'shard', [bytes(50_000)] * 100)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert not list(tmp_path.iterdir())


def _encode(pixels, kind):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, kind)
  return buffer.getvalue()


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_codec_keeps_the_bytes_of_images_that_fit(kind):
  pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
  data = _encode(pixels, kind)
  assert codec.encode(data, 16, 3) is data
  small = codec.decode(codec.encode(data, 8, 3), 8, 3)
  np.testing.assert_allclose(small, pixels[:8, :8].astype(int), atol=2)
  grey = codec.decode(codec.encode(data, 16, 1), 16, 1)
  assert grey.shape == (16, 16, 1)
  np.testing.assert_allclose(grey, 124, atol=2)  # ITU-R 601 luma


def test_codec_resizes_as_pillow_does_and_refuses_what_is_cut_short():
  pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
  data = _encode(pixels, 'PNG')
  expected = Image.fromarray(pixels).resize((8, 8), Image.Resampling.BILINEAR)
  np.testing.assert_array_equal(codec.decode(data, 8, 1)[..., 0], expected)
  np.testing.assert_array_equal(
    codec.decode(codec.encode(data, 8, 1), 8, 1)[..., 0], expected
  )
  np.testing.assert_array_equal(
    codec.decode(data, 16, 3), np.repeat(pixels[..., None], 3, -1)
  )
  with pytest.raises(codec.DecodeError, match='cannot be decoded'):
    codec.decode(data[:-30], 16, 1)


def test_frame_table_locates_frames_and_finds_videos(tmp_path):
  def part(video, length):
    table = frame_table.empty(SPEC.schema, True, 2)
    segment = _segment(length)
    return frame_table.concatenate([table, frame_table.FrameTable(
      np.array([video]), np.array(['s' + video]), np.array([length], np.int32),
      np.arange(length, dtype=np.int32), segment.targets, segment.clean,
      segment.votes,
    )])  # fmt: skip

  table = frame_table.concatenate([part('a', 3), part('a', 2), part('bb', 1)])
  path = tmp_path / 'labels.npz'
  path.write_bytes(frame_table.to_bytes(table))
  table = frame_table.load(path)
  record, place = table.locate(np.array([[0, 2], [3, 5]]))
  assert record.tolist() == [[0, 0], [1, 2]]
  assert place.tolist() == [[0, 2], [0, 0]]
  videos = [(*names, frames.tolist()) for *names, frames in table.videos()]
  assert videos == [('a', 'sa', [0, 1, 2, 3, 4]), ('bb', 'sbb', [5])]
  assert list(frame_table.empty(SPEC.schema, False, 0).videos()) == []
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(ValueError, match='labels cannot be read'):
    frame_table.load(path)

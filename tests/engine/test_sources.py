"""Rows by index: whole blocks, streamed chunks, and a reader one step ahead."""

import threading
import time

import jax
import numpy as np
import pytest
import toy

from emojax.engine import plan, sources


class Source:
  """Clips that remember what was asked for, and fail when they are told to."""

  def __init__(self, num=11, fail_at=None):
    self.clips, self.fail_at, self.asked = toy.clips(num), fail_at, []

  def __len__(self):
    return len(self.clips)

  def take(self, indices):
    if self.fail_at is not None and self.fail_at in indices:
      raise OSError(f'clip {self.fail_at} is damaged')
    self.asked.append(np.array(indices))
    return self.clips.take(indices)


def test_inputs_of_silent_clips():
  source = Source()
  inputs = sources.gather_inputs(source, np.array([3, 1, 3]))
  assert set(inputs) == {'image'}
  np.testing.assert_array_equal(inputs['image'], source.clips.image[[3, 1, 3]])


def test_inputs_with_sound():
  clips = toy.clips(4)
  audio = np.random.default_rng(0).normal(size=(4, 2, 64, 64))
  object.__setattr__(clips, 'audio', audio.astype(np.float32))
  inputs = sources.gather_inputs(clips, np.array([2]))
  np.testing.assert_array_equal(inputs['audio'], clips.audio[[2]])


@pytest.mark.parametrize(
  ('num', 'size'), [(11, 12), (12, 12), (13, 16), (1, 4)]
)
def test_padded_to_a_multiple_with_the_last_clip(num, size):
  clips = toy.clips(num)
  image = sources.padded_inputs(clips, 4)['image']
  assert len(image) == size
  np.testing.assert_array_equal(image[:num], clips.image)
  for padding in image[num:]:
    np.testing.assert_array_equal(padding, clips.image[-1])


@pytest.mark.parametrize('clips_per_block', [4, 9, 1000])
def test_blocks_are_the_source_in_equal_pieces(monkeypatch, clips_per_block):
  source = Source()
  one = source.clips.image[0].nbytes
  monkeypatch.setattr(sources, 'BLOCK_BYTES', clips_per_block * one)
  found = list(sources.blocks(source, 4))
  blocks = [inputs['image'] for inputs, _ in found]
  size = max(4, clips_per_block // 4 * 4)
  counts = [int(count) for _, count in found]
  assert counts == [min(size, 11 - k) for k in range(0, 11, size)]
  assert {len(block) for block in blocks} == {size}
  assert len(blocks) == -(-11 // size)
  joined = np.concatenate(blocks)
  np.testing.assert_array_equal(joined[:11], source.clips.image)
  for padding in joined[11:]:
    np.testing.assert_array_equal(padding, source.clips.image[-1])


def test_block_is_never_smaller_than_the_multiple(monkeypatch):
  monkeypatch.setattr(sources, 'BLOCK_BYTES', 1)
  found = sources.blocks(Source(), 6)
  assert [(len(x['image']), int(n)) for x, n in found] == [(6, 6), (6, 5)]


@pytest.mark.parametrize('steps', [1, 2, 3, 7, 50])
def test_chunks_reconstruct_the_plan(steps):
  source = Source()
  groups = [np.arange(5), np.arange(5, 11)]
  drawn = plan.stack_plan(0, 0, range(3), range(1), groups, 7, 2)[:, 0]
  targets = source.clips.targets
  image, labels = [], []
  for (inputs, rows), local, count in sources.stream(
    source, targets, drawn, steps
  ):
    assert local.shape == (3, max(2, steps), 4)
    assert local.dtype == np.int32
    assert inputs['image'].shape[:2] == (3, max(2, steps) * 4)
    for m in range(3):
      index = local[m, :count]
      image.append((m, inputs['image'][m][index]))
      labels.append((m, jax.tree.map(lambda x, m=m, i=index: x[m][i], rows)))
  for m in range(3):
    mine = np.concatenate([x for k, x in image if k == m])
    np.testing.assert_array_equal(mine, source.clips.image[drawn[m]])
    mine = [x for k, x in labels if k == m]
    joined = jax.tree.map(lambda *x: np.concatenate(x), *mine)
    toy.assert_same(joined, jax.tree.map(lambda x, m=m: x[drawn[m]], targets))


def test_steps_that_count_add_up():
  drawn = plan.stack_plan(0, 0, range(2), range(1), [np.arange(9)], 7, 1)[:, 0]
  source = Source()
  chunks = sources.stream(source, source.clips.targets, drawn, 3)
  assert [count for _, _, count in chunks] == [3, 3, 1]


def test_reads_one_piece_ahead_in_order():
  begun, taken = [], []

  def read(start):
    begun.append(start)
    return start

  for value in sources._read_ahead(read, range(5)):
    deadline = time.monotonic() + 10
    while len(begun) < min(5, value + 2) and time.monotonic() < deadline:
      time.sleep(0.001)
    # The next one is read while this one is worked on, but no more than that.
    assert begun == list(range(min(5, value + 2)))
    taken.append(value)
  assert taken == list(range(5))


def test_reads_in_another_thread():
  threads = set(
    sources._read_ahead(lambda _: threading.current_thread().name, range(3))
  )
  assert len(threads) == 1
  assert threading.current_thread().name not in threads


def test_nothing_to_read():
  assert list(sources._read_ahead(lambda start: start, range(0))) == []


def test_failure_of_the_reading_thread_surfaces(monkeypatch):
  source = Source(fail_at=9)
  monkeypatch.setattr(sources, 'BLOCK_BYTES', 1)
  blocks = sources.blocks(source, 4)
  assert len(next(blocks)[0]['image']) == 4
  assert len(next(blocks)[0]['image']) == 4
  with pytest.raises(OSError, match='clip 9 is damaged'):
    next(blocks)


def test_failure_while_streaming_surfaces():
  source = Source(fail_at=0)
  drawn = np.arange(10, dtype=np.int32).reshape(1, 10, 1)[:, ::-1]
  chunks = sources.stream(source, source.clips.targets, drawn, 5)
  next(chunks)
  with pytest.raises(OSError, match='clip 0 is damaged'):
    next(chunks)


def test_a_reader_that_is_left_early_ends_its_thread():
  before = threading.active_count()
  chunks = sources._read_ahead(lambda start: start, range(100))
  next(chunks)
  chunks.close()
  deadline = time.monotonic() + 10  # it may be in the middle of a reading
  while threading.active_count() > before and time.monotonic() < deadline:
    time.sleep(0.001)
  assert threading.active_count() <= before

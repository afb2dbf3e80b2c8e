"""Clips from disk: the same as in memory, in a fixed order, or an error."""

import io
import shutil

import numpy as np
import pytest
import trees
from PIL import Image

from emojax import tasks
from emojax.data.clips import index as clip_index
from emojax.data.clips import pipeline
from emojax.data.prepare import command as prepare
from emojax.data.readers import base
from emojax.data.store import store, stored
from emojax.data.transform import audio
from emojax.engine import plan as plans
from emojax.engine import sources

GROUPS = {'au': ('au',), 'expr': ('expr',), 'va': ('va',)}


@pytest.fixture(scope='module')
def on_disk(affwild2_store):
  return pipeline.open_clips(affwild2_store, 'train', clip_length=8, stride=4)


def _same(first, second):
  np.testing.assert_array_equal(first.image, second.image)
  np.testing.assert_array_equal(first.audio, second.audio)
  np.testing.assert_array_equal(first.frame_mask, second.frame_mask)
  assert first.clip_id.tolist() == second.clip_id.tolist()
  assert first.subject_id.tolist() == second.subject_id.tolist()
  for task, target in first.targets.items():
    np.testing.assert_array_equal(target.value, second.targets[task].value)
    np.testing.assert_array_equal(target.mask, second.targets[task].mask)


def test_disk_equals_memory_bit_for_bit(affwild2_store, on_disk):
  options = (
    pipeline.Windows(clip_length=8, stride=4),
    pipeline.Splits(test='validation'),
  )
  memory = pipeline.load_dataset(affwild2_store, *options)
  disk = pipeline.load_dataset(affwild2_store, *options, memory_bytes=0)
  assert isinstance(disk.train, stored.StoredClips)
  memory.train.check(memory.schema)
  disk.train.check(disk.schema)
  assert list(memory.groups) == list(GROUPS)
  for name, clips in memory.groups.items():
    np.testing.assert_array_equal(clips, disk.groups[name])
  rng = np.random.default_rng(0)
  for size in (1, 7, 40):
    indices = rng.integers(0, len(on_disk), size)
    _same(memory.train.take(indices), disk.train.take(indices))
  mask = rng.random(len(on_disk)) < 0.2
  _same(memory.train.take(mask), disk.train.take(mask))
  _same(memory.val, disk.val.take(np.arange(len(disk.val))))
  assert disk.train.num_frames == memory.train.num_frames
  assert disk.train.clip_length == 8
  nbytes = memory.train.image.nbytes + memory.train.audio.nbytes
  assert disk.train.nbytes == nbytes


def test_clips_are_windows_of_labelled_frames(affwild2_tree, on_disk):
  """Images, labels and sound against the reader, without the store."""
  listing = base.scan('affwild2', affwild2_tree, fps=30)
  record = next(r for r in listing.records if r.key == 'train/video0002')
  valid = np.flatnonzero(record.targets['va'].mask.all(-1))
  clips = on_disk.take(on_disk.groups['va'])
  mine = [i for i, name in enumerate(clips.clip_id) if 'video0002' in name]
  starts = range(0, len(valid) - 7, 4)
  assert len(mine) == len(starts)
  sound = audio.read_audio(record.audio_path)
  for clip, start in zip(mine, starts):
    frames = valid[start : start + 8]
    number = record.frame_index[frames]
    assert clips.clip_id[clip] == f'va/video0002/{number[0] + 1:05d}'
    pixels = [np.asarray(record.frames[f].image()) for f in frames]
    np.testing.assert_array_equal(clips.image[clip], pixels)
    np.testing.assert_array_equal(
      clips.targets['va'].value[clip], record.targets['va'].value[frames]
    )
    np.testing.assert_array_equal(
      clips.audio[clip], audio.frame_features(sound, number / 30)
    )


def test_groups_use_their_own_labels_only(affwild2_store, on_disk):
  every = pipeline.open_clips(
    affwild2_store, 'train', clip_length=8, stride=4, own_labels=False
  )
  for name, clips in on_disk.groups.items():
    for task in GROUPS:
      mask = on_disk.targets[task].mask[clips]
      assert mask.all() if task == name else not mask.any()
  # video0002 has expressions beside valence and arousal.
  assert every.targets['expr'].mask[every.groups['va']].any()
  shared = pipeline.open_clips(
    affwild2_store, 'train', groups={'expr_va': ('expr', 'va')}
  )
  names = {name.split('/')[0] for name in shared.clip_id}
  assert names == {'video0002', 'video0008_left', 'video0008_right'}
  assert shared.targets['expr'].mask.all()
  assert shared.targets['va'].mask.all()
  assert not shared.targets['au'].mask.any()


def test_evaluation_scores_every_frame_once(affwild2_store):
  data = pipeline.load_dataset(
    affwild2_store,
    windows=pipeline.Windows(clip_length=8, eval_clip_length=20),
    splits=pipeline.Splits(test='test'),
  )
  store_ = stored.Store(affwild2_store)
  for split, clips in (('validation', data.val), ('test', data.test)):
    table = store_.table(split)
    assert clips.num_frames == len(table)
    assert clips.clip_length == 20
    for task in GROUPS:
      mask, value = table.targets[task].mask, clips.targets[task]
      assert value.mask.sum() == mask.sum()
      assert not value.mask[clips.frame_mask == 0].any()
  assert data.val.frame_mask.min() == 0
  assert data.groups['au'].dtype == np.int32


def test_labels_without_any_image(affwild2_store, on_disk):
  """Sizes, targets and balance need no pixels."""
  clips = on_disk.take([3])
  np.testing.assert_array_equal(
    clips.targets['au'].value, on_disk.targets['au'].value[[3]]
  )
  assert len(on_disk) == len(on_disk.clip_id) == len(set(on_disk.clip_id))
  groups = np.concatenate(list(on_disk.groups.values()))
  assert sorted(groups) == list(range(len(on_disk)))


def _streamed(clips, plan):
  """Names and images of the rows of every step, as the engine reads them."""
  names = np.arange(len(clips))
  for (inputs, rows), local, count in sources.stream(clips, names, plan, 2):
    for step in range(count):
      yield rows[0][local[0, step]], inputs['image'][0][local[0, step]]


def test_the_engine_reads_the_rows_of_the_plan(on_disk):
  groups = [np.arange(len(on_disk))]

  def plan(epoch):
    return plans.epoch_plan((5, epoch), groups, len(on_disk) // 4, 4)[None]

  first, second = plan(0), plan(1)
  np.testing.assert_array_equal(first, plan(0))
  assert (first != second).any()
  for drawn in (first, second):
    seen = list(_streamed(on_disk, drawn))
    np.testing.assert_array_equal([names for names, _ in seen], drawn[0])
    assert len(set(drawn.ravel())) == drawn.size
    for names, image in seen[:3]:
      np.testing.assert_array_equal(image, on_disk.take(names).image)


def test_size_and_channels_can_differ_from_what_is_stored(affwild2_store):
  clips = pipeline.open_clips(
    affwild2_store, 'validation', image_size=16, channels=1
  )
  found = clips.take([0]).image
  full = pipeline.open_clips(affwild2_store, 'validation').take([0]).image
  grey = Image.fromarray(full[0, 0]).convert('L')
  expected = grey.resize((16, 16), Image.Resampling.BILINEAR)
  assert found.shape == (1, 1, 16, 16, 1)
  np.testing.assert_array_equal(found[0, 0, ..., 0], expected)


def test_stills_votes_and_clean_labels(tmp_path):
  tree = trees.rafdb(tmp_path / 'raf')
  out = prepare.prepare(
    'rafdb', tree.root, tmp_path / 'a', size=8, workers=1, options=tree.options
  )
  noisy = pipeline.open_clips(out, 'train')
  clean = pipeline.open_clips(out, 'train', clean=True)
  flipped = noisy.targets['expr'].value != clean.targets['expr'].value
  assert flipped.any((1, 2)).sum() == 2
  assert noisy.clip_id[0] == 'train_00001'
  tree = trees.ferplus(tmp_path / 'fer')
  fer = prepare.prepare(
    'ferplus', tree.root, tmp_path / 'b', size=48, workers=1
  )
  votes = pipeline.open_clips(fer, 'train')
  assert votes.votes[0, 0].tolist() == [9, 0, 0, 0, 1, 0, 0, 0, 0, 0]
  assert votes.take([0]).image.shape == (1, 1, 48, 48, 1)
  with pytest.raises(ValueError, match='no labels from before noise'):
    pipeline.open_clips(fer, 'train', clean=True)
  data = pipeline.load_dataset(
    out, splits=pipeline.Splits(val='test'), ood={'fer': fer}
  )
  assert data.ood['fer'].image.shape[2:] == (8, 8, 3)
  assert not data.ood['fer'].targets['expr'].mask.any()
  data.ood['fer'].check(data.schema)


def test_validation_is_carved_out_of_training(tmp_path, affwild2_store):
  tree = trees.ferplus(tmp_path / 'fer')
  fer = prepare.prepare(
    'ferplus',
    tree.root,
    tmp_path / 'out',
    size=48,
    workers=1,
    options={'unlabelled': 'true'},
  )

  def half(fraction):
    splits = pipeline.Splits(
      test='validation', unlabelled=True, val_fraction=fraction
    )
    inputs = pipeline.Inputs(channels=3)
    return pipeline.load_dataset(fer, splits=splits, inputs=inputs)

  data = half(0.5)
  assert [len(data.train), len(data.val)] == [1, 1]
  assert data.groups['expr'].tolist() == [0]
  whole = pipeline.open_clips(fer, 'train', channels=3)
  parts = {c.clip_id[0]: c for c in (data.train, data.val)}
  for i, name in enumerate(whole.clip_id):
    np.testing.assert_array_equal(parts[name].image, whole.take([i]).image)
    np.testing.assert_array_equal(parts[name].votes, whole.votes[[i]])
  # Test faces without a label are there, with their votes.
  labelled = data.test.targets['expr'].mask[:, 0] > 0
  assert 0 < labelled.sum() < len(data.test)
  assert (data.test.votes.sum(-1) >= 9).all()
  data.check()
  with pytest.raises(ValueError, match='leaves one side empty'):
    half(0.1)
  # Clips of one video stay together.
  data = pipeline.load_dataset(
    affwild2_store,
    windows=pipeline.Windows(clip_length=8),
    splits=pipeline.Splits(test='validation', val_fraction=0.5),
  )
  assert not set(data.train.subject_id) & set(data.val.subject_id)
  for task, group in data.groups.items():
    labels = data.train.take(group).targets[task]
    assert labels.mask.reshape(len(group), -1).any(1).all()


@pytest.fixture
def copy(affwild2_store, tmp_path):
  return shutil.copytree(affwild2_store, tmp_path / 'copy')


def test_files_that_are_missing_or_cut_short_are_named(copy):
  shard = next(copy.glob('affwild2-train.array_record-00001-*'))
  data = shard.read_bytes()
  shard.write_bytes(data[:-65536])
  with pytest.raises(store.StoreError, match=r'00001-of-.*bytes, expected'):
    stored.Store(copy)
  shard.unlink()
  with pytest.raises(store.StoreError, match=r'00001-of-.*missing'):
    stored.Store(copy)
  (copy / store.FILE).unlink()
  with pytest.raises(store.StoreError, match='no finished data set'):
    stored.Store(copy)


def test_a_damaged_shard_is_named(copy):
  shard = next(copy.glob('affwild2-train.array_record-00001-*'))
  data = bytearray(shard.read_bytes())
  for i in range(200, len(data) - 70000, 1000):
    data[i] ^= 0xFF
  shard.write_bytes(data)
  clips = pipeline.open_clips(copy, 'train', clip_length=8)
  with pytest.raises(store.StoreError, match=r'00001-of-0.* is damaged'):
    clips.take(np.arange(len(clips)))


def test_a_record_with_a_broken_image_is_named(monkeypatch, on_disk):
  broken = io.BytesIO()
  Image.new('RGB', (32, 32)).save(broken, 'JPEG')
  monkeypatch.setattr(
    store, 'encoded_images', lambda _: [broken.getvalue()[:300]] * 16
  )
  with pytest.raises(store.StoreError, match=r'record 0 is damaged.*decoded'):
    on_disk.take([0])


def test_wrong_requests_say_what_there_is(affwild2_store):
  with pytest.raises(ValueError, match='label schema differs'):
    pipeline.open_clips(affwild2_store, 'train', schema=tasks.ABAW2020)
  with pytest.raises(store.StoreError, match="'eval'; it has train, valida"):
    pipeline.open_clips(affwild2_store, 'eval')
  with pytest.raises(ValueError, match="no task 'fau' in au, expr, va"):
    pipeline.open_clips(affwild2_store, 'train', groups={'g': ('fau',)})
  with pytest.raises(ValueError, match="'au' has no clip of 64 frames"):
    pipeline.open_clips(affwild2_store, 'train', clip_length=64)


def test_index_of_an_unlabelled_split_has_all_frames(affwild2_store):
  data = stored.Store(affwild2_store)
  table = data.table('test')
  index = clip_index.build(
    table, data.spec.schema, {'all': clip_index.ANY}, 10, tail='pad'
  )
  assert index.frames.shape == (5, 10)
  assert index.groups['all'].tolist() == [0, 1, 2, 3, 4]

"""Digests of prepared data, in memory, on disk, joined and of older stores."""

import copy
import io
import json
import shutil

import numpy as np
import pytest
from rich.console import Console

from emojax import tasks
from emojax.data.clips import joined, pipeline
from emojax.data.clips.clips import Clips
from emojax.data.store import digest, store
from emojax.runtime import provenance, workdir


def drawn_clips(seed):
  rng = np.random.default_rng(seed)
  names = np.array(['a', 'b'])
  mask = np.ones((2, 2), np.float32)
  image = rng.integers(0, 256, (2, 2, 32, 32, 3), np.uint8)
  return Clips(image, None, {}, mask, names, names)


@pytest.fixture
def folder(tmp_path):
  made = workdir.Workdir(tmp_path / 'run', {'seed': 1})
  made.open()
  return made


def keep(folder, sets, schema=tasks.ABAW2021):
  console = Console(file=io.StringIO(), width=300)
  provenance.keep(folder, sets, schema, console)
  return console.file.getvalue()


def begin(folder):
  (folder / 'metrics.jsonl').write_text('{}\n')


def test_prepared_data_in_memory_and_on_disk_are_the_same(
  affwild2_store, folder
):
  def sets(memory):
    data = pipeline.load_dataset(
      affwild2_store,
      windows=pipeline.Windows(clip_length=4),
      splits=pipeline.Splits(test='validation'),
      memory_bytes=memory,
    )
    return data, provenance.sets_of(data)

  data, on_disk = sets(0)
  keep(folder, on_disk, data.schema)
  begin(folder)
  kept = provenance.read(folder.path)
  [origin] = kept['sets']['train']['origins']
  assert origin['split'] == 'train'
  assert origin['shards'] is not None
  assert kept['sets']['train']['inputs'] is None
  assert keep(folder, sets(10**9)[1], data.schema) == ''


def test_older_stores_have_sizes(affwild2_store, tmp_path, folder):
  older = shutil.copytree(affwild2_store, tmp_path / 'older')
  facts = json.loads((older / store.FILE).read_text())
  del facts['digests']
  (older / store.FILE).write_text(json.dumps(facts))

  def sets(path, memory):
    data = pipeline.load_dataset(
      path,
      windows=pipeline.Windows(clip_length=4),
      splits=pipeline.Splits(test='validation'),
      memory_bytes=memory,
    )
    return provenance.sets_of(data), data.schema

  keep(folder, *sets(older, 0))
  begin(folder)
  [origin] = provenance.read(folder.path)['sets']['train']['origins']
  assert origin['shards'] is None
  for path in (older, affwild2_store):
    for memory in (0, 10**9):
      assert keep(folder, *sets(path, memory)) == ''


def test_sources_that_are_joined_are_all_looked_at(affwild2_store, folder):
  drawn = drawn_clips(0)
  stored = pipeline.open_clips(affwild2_store, 'validation', clip_length=2)
  stored.targets = {}

  def both(drawn):
    parts = {'main': drawn, 'more': stored}
    return {'train': joined.JoinedClips(parts, ())}

  keep(folder, both(drawn), ())
  begin(folder)
  [one] = provenance.read(folder.path)['sets'].values()
  assert one['inputs'] is not None
  assert [o['split'] for o in one['origins']] == ['validation']
  keep(folder, both(drawn), ())
  with pytest.raises(provenance.DataChangedError, match='images or sound'):
    keep(folder, both(drawn_clips(1)), ())
  other = copy.copy(stored)
  other.__dict__['origin'] = stored.origin._replace(table='0' * 64)
  stored = other
  with pytest.raises(provenance.DataChangedError, match='labels or names'):
    keep(folder, both(drawn), ())


def test_digests_tell_arrays_apart():
  """Also those whose bytes are the same."""
  ones = np.ones((2, 3), np.float32)
  forms = [
    [ones],
    [ones.T],
    [ones.ravel()],
    [ones[:1], ones[1:]],
    [ones.view(np.int32)],
    [-ones],
    [],
  ]
  assert len({digest.arrays(form) for form in forms}) == len(forms)
  assert digest.arrays([ones.T]) == digest.arrays([np.ones((3, 2), np.float32)])
  assert digest.text(['a', 'b']) != digest.text(['a","b'])


def test_a_part_of_a_split_is_of_the_same_origin(affwild2_store):
  clips = pipeline.open_clips(affwild2_store, 'train', clip_length=4)
  part = clips.part(np.arange(len(clips)) < 3)
  held = pipeline.fetch(part, 10**9)
  assert clips.origin == part.origin == held.origin == held.take([1]).origin
  assert digest.of(part) == digest.of(held)
  assert digest.of(part) != digest.of(clips)

import dataclasses
import os
import pathlib

import numpy as np
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tree_stills import VOTES

from emojax import tasks
from emojax.data.readers import base, duplicates, ferplus_rules
from emojax.data.readers.files import problems


def read(tree, **kwargs):
  listing = base.scan(tree.name, tree.root, **{**tree.options, **kwargs})
  return listing, {record.video_id: record for record in listing.records}


def label(record):
  return tasks.FERPLUS[record.targets['expr'].value[0].argmax()]


def real(name: str) -> pathlib.Path:
  """Folder of a real data set, or skips the test."""
  folder = os.environ.get('EMOJAX_DATA')
  if not folder or not (pathlib.Path(folder) / name).is_dir():
    pytest.skip(f'real files: set EMOJAX_DATA to a folder with {name}/')
  return pathlib.Path(folder) / name


def rule(votes: str, name: str):
  """Accepted share of every emotion, or None."""
  value = ferplus_rules.target(np.array(votes.split(), float), name)
  if value is None:
    return None
  return {k: round(float(v), 3) for k, v in zip(tasks.FERPLUS, value) if v}


def test_majority():
  assert rule('6 4 0 0 0 0 0 0 0 0', 'majority') == {'neutral': 1}
  assert rule('5 5 0 0 0 0 0 0 0 0', 'majority') is None
  # Single votes do not count: 4 of the remaining 6.
  assert rule('4 2 1 1 1 1 0 0 0 0', 'majority') == {'neutral': 1}
  assert rule('1 1 1 1 1 1 1 1 1 1', 'majority') is None
  assert rule('4 0 0 0 0 0 0 0 6 0', 'majority') is None


@pytest.mark.parametrize('name', ['probability', 'crossentropy'])
def test_leading_emotions(name):
  assert rule('6 4 0 0 0 0 0 0 0 0', name) == {'neutral': 0.6, 'happiness': 0.4}
  # 75 % are covered by the first.
  assert rule('8 2 0 0 0 0 0 0 0 0', name) == {'neutral': 1}
  # Four emotions tie: too many.
  assert rule('3 3 2 2 0 0 0 0 0 0', name) is None
  assert rule('4 2 2 2 0 0 0 0 0 0', name) is None
  # The list ends at unknown, which is dropped behind an emotion ...
  assert rule('6 0 0 0 0 0 0 0 4 0', name) == {'neutral': 1}
  # ... unless what came before is at most half ...
  assert rule('5 0 0 0 0 0 0 0 5 0', name) is None
  # ... and wins when it comes first.
  assert rule('4 0 0 0 0 0 0 0 6 0', name) is None
  assert rule('0 0 0 0 0 0 0 0 0 10', name) is None


def test_several_emotions():
  assert rule('5 3 2 0 0 0 0 0 0 0', 'multi_target') == {
    'neutral': 0.625,
    'happiness': 0.375,
  }
  assert rule('2 2 2 2 2 0 0 0 0 0', 'multi_target') is None
  # 30 % exactly, with a share of unknown that is cut off.
  assert rule('4 3 0 0 0 0 0 0 3 0', 'multi_target') == {
    'neutral': 0.571,
    'happiness': 0.429,
  }


def test_raw_votes():
  assert rule('1 0 0 0 0 0 0 3 6 0', 'raw') == {
    'neutral': 0.25,
    'contempt': 0.75,
  }
  assert rule('0 0 0 0 0 0 0 0 6 4', 'raw') is None
  assert rule('1 0 0 0 0 0 0 3 6 0', 'plurality') is None
  assert rule('3 3 0 0 0 0 0 0 3 1', 'plurality') == {'neutral': 1}


@given(
  votes=st.lists(st.integers(0, 4), min_size=10, max_size=10),
  count=st.integers(0, 10),
  seed=st.integers(0, 10**15),
)
@settings(deadline=None)
def test_draws_are_parts_of_the_votes_and_nested(votes, count, seed):
  votes = np.float32(votes)
  drawn, others = ferplus_rules.draw(votes, count, seed, b'face')
  assert drawn.sum() == min(count, votes.sum())
  assert (drawn >= 0).all()
  assert (others >= 0).all()
  np.testing.assert_array_equal(drawn + others, votes)
  assert drawn.dtype == others.dtype == votes.dtype
  more, _ = ferplus_rules.draw(votes, count + 1, seed, b'face')
  assert (more >= drawn).all()
  again, _ = ferplus_rules.draw(votes, count, seed, b'face')
  np.testing.assert_array_equal(again, drawn)


def test_draws_follow_the_shares_of_the_votes():
  votes = np.float32([6, 3, 1, 0, 0, 0, 0, 0, 0, 0])
  found = sum(
    ferplus_rules.draw(votes, 1, 7, b'%d' % i)[0] for i in range(4000)
  )
  np.testing.assert_allclose(found / 4000, votes / 10, atol=0.03)


def test_labels_of_one_vote_are_judged_by_the_others(tmp_path):
  tree = trees.ferplus(tmp_path)
  _, whole = read(tree, rule='raw', eval_rule='raw')
  _, one = read(tree, rule='raw', eval_rule='raw', votes=1)
  _, plural = read(tree, rule='plurality', eval_rule='raw', votes=1)
  _, again = read(tree, rule='raw', eval_rule='raw', votes=1)
  assert any(record.split == 'train' for record in one.values())
  for name, record in one.items():
    value, votes = record.targets['expr'].value, record.votes
    np.testing.assert_array_equal(votes, again[name].votes)
    if record.split != 'train':
      np.testing.assert_array_equal(votes, whole[name].votes)
      continue
    assert sorted(set(value[0].tolist())) == [0, 1]
    drawn = whole[name].votes[0, :8] - votes[0, :8]
    np.testing.assert_array_equal(value[0], drawn)
    np.testing.assert_array_equal(plural[name].targets['expr'].value, value)


def test_a_vote_for_no_emotion_is_no_label(tmp_path):
  tree = trees.ferplus(tmp_path)
  counts = []
  for seed in range(40):
    options = {'rule': 'raw', 'votes': 1, 'votes_seed': seed}
    _, some = read(tree, **options)
    _, every = read(tree, **options, unlabelled_train=True)
    missing = set(every) - set(some)
    counts.append(len(missing))
    for name in missing:
      record = every[name]
      assert record.split == 'train'
      assert not record.targets['expr'].mask.any()
      assert record.votes.sum() == 9
  # Two of the ten votes of one of the faces name no emotion.
  assert np.mean(counts) == pytest.approx(0.2, abs=0.13)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'votes': 11, 'rule': 'raw'}, 'votes=11'),
    ({'votes': -1, 'rule': 'raw'}, 'votes=-1'),
    ({'votes': 1}, 'votes=1, rule=majority.*rule=raw or rule=plurality'),
    ({'votes': 1, 'rule': 'raw', 'votes_seed': -1}, 'votes_seed=-1'),
  ],
)
def test_votes_that_cannot_be_drawn(options, message, tmp_path):
  with pytest.raises(problems.DataError, match=message):
    read(trees.ferplus(tmp_path), **options)


def test_training_faces_without_a_label_stay_if_asked(tmp_path):
  tree = trees.ferplus(tmp_path)
  _, some = read(tree)
  _, every = read(tree, unlabelled_train=True)
  more = set(every) - set(some)
  assert more == {'fer0000002', 'fer0000003', 'fer0000005'}
  for name in more:
    assert every[name].split == 'train'
    assert not every[name].targets['expr'].mask.any()
    assert every[name].votes.sum() == 10


def test_files_join_by_row(tmp_path):
  listing, records = read(trees.ferplus(tmp_path), strict=True)
  assert {k: label(r) for k, r in records.items()} == {
    'fer0000000': 'neutral',
    'fer0000001': 'happiness',
    'fer0000006': 'fear',
    'fer0000008': 'contempt',
    'fer0000009': 'sadness',
  }
  assert listing.counts() == {'train': 2, 'validation': 1, 'test': 2}
  assert records['fer0000009'].votes.tolist() == [
    [0, 0, 0, 8, 0, 0, 0, 0, 2, 0]
  ]
  assert listing.vote_labels[-2:] == ('unknown', 'no face')
  assert '1 faces without an image name' in listing.problems.summary()


@pytest.mark.parametrize('gone', ['Training', 'PublicTest', 'PrivateTest'])
def test_a_missing_split_does_not_shift_the_others(gone, tmp_path):
  tree = trees.ferplus(tmp_path)
  _, whole = read(tree)
  # Rows are renumbered; pixels tell which is which.
  images = {base.load(r)[0]: label(r) for r in whole.values()}
  path = tree.root / 'fer2013.csv'
  lines = [line for line in path.read_text().split('\n') if gone not in line]
  path.write_text('\n'.join(lines))
  listing, _ = read(tree)
  assert len(listing.records) < len(whole)
  for record in listing.records:
    assert images[base.load(record)[0]] == label(record)


@pytest.mark.parametrize('file', ['fer2013.csv', 'fer2013new.csv'])
def test_a_lost_row_is_an_error_not_a_shift(file, tmp_path):
  tree = trees.ferplus(tmp_path)
  lines = (tree.root / file).read_text().split('\n')
  del lines[3]
  (tree.root / file).write_text('\n'.join(lines))
  with pytest.raises(base.DataError, match='as many rows'):
    read(tree)


def test_shuffled_rows_are_noticed(tmp_path):
  tree = trees.Tree('ferplus', tmp_path)
  votes = ['10 0 0 0 0 0 0 0 0 0', '0 10 0 0 0 0 0 0 0 0'] * 600
  rows = [
    f'Training,f{i}.png,{v.replace(" ", ",")}' for i, v in enumerate(votes)
  ]
  header = 'Usage,Image name,' + ','.join(tasks.FERPLUS) + ',unknown,NF'
  tree.text('fer2013new.csv', header, *rows)
  cell = trees.pixels(1)
  good = [f'{6 if i % 2 == 0 else 3},{cell},Training' for i in range(1200)]
  tree.text('fer2013.csv', 'emotion,pixels,Usage', *good)
  assert len(read(tree)[1]) == 1200
  tree.text('fer2013.csv', 'emotion,pixels,Usage', *good[1:], good[0])
  with pytest.raises(base.DataError, match='another order'):
    read(tree)


def test_label_csv_with_and_without_images(tmp_path):
  tree = trees.ferplus_label_csv(tmp_path)
  listing, with_images = read(tree, rule='raw', strict=True)
  assert listing.counts() == {'train': 5, 'validation': 1, 'test': 2}
  for path in tree.images:
    path.unlink()
  with pytest.raises(base.DataError, match=r'fer2013\.csv'):
    read(tree)
  trees.ferplus(tmp_path)
  _, by_name = read(tree, rule='raw')
  # Names that do not occur in fer2013new.csv have no pixels.
  assert set(by_name) < set(with_images)
  for name, record in by_name.items():
    assert label(record) == label(with_images[name])


def test_label_csv_tells_images_by_their_pixels(tmp_path):
  """However they are stored, and whether fer2013.csv is there or not."""
  tree = trees.ferplus_label_csv(tmp_path)
  rng = np.random.default_rng(0)
  names = sorted(path.stem for path in tree.images)
  faces = dict(zip(names, rng.integers(0, 256, (10, 48, 48), np.uint8)))
  faces['fer0000001'] = faces['fer0000008']  # of training and test
  faces['fer0000003'] = np.full((48, 48), 7, np.uint8)
  for level, path in enumerate(sorted(tree.images)):
    face = Image.fromarray(faces[path.stem])
    face.save(path, compress_level=level)
  sizes = {len(path.read_bytes()) for path in tree.images}
  assert len(sizes) > 1

  def kept(**options):
    listing, records = read(tree, rule='raw', eval_rule='raw', **options)
    return set(records), listing.problems.summary()

  every, summary = kept()
  assert {'fer0000001', 'fer0000003', 'fer0000008'} <= every
  assert '1 images repeat another one' in summary
  for duplicates_ in ('drop', 'drop_training'):
    fewer, _ = kept(duplicates=duplicates_)
    assert every - fewer == {'fer0000001', 'fer0000003'}
  # Votes are drawn by pixels, and so alike whatever else is asked for.
  _, some = read(tree, rule='raw', votes=1)
  _, others = read(tree, rule='raw', votes=1, duplicates='drop')
  both = {k for k in others if others[k].split == 'train'}
  assert both
  for name in both:
    np.testing.assert_array_equal(some[name].votes, others[name].votes)


def test_options(tmp_path):
  tree = trees.ferplus(tmp_path)
  for wrong in ({'rule': 'mean'}, {'labels': 'x'}, {'duplicates': 'some'}):
    with pytest.raises(base.DataError, match='option'):
      read(tree, **wrong)


def test_duplicates_prefer_evaluation_splits():
  item = duplicates.Item
  items = [
    item(b'a', 'train', 0),
    item(b'a', 'test', 0),
    item(b'b', 'train', 1),
    item(b'b', 'train', 1),
    item(b'c', 'train', 1),
    item(b'c', 'train', 2),
    item(b'd', 'train', 1, True),
    item(b'e', 'validation', 1),
    item(b'e', 'test', 2),
    item(b'f', 'train', 0),
  ]
  found = problems.Problems()
  assert all(duplicates.select(items, 'keep', found))
  (note,) = found.notes
  assert note.startswith(
    '4 images repeat another one, in 4 groups; 2 groups cross splits '
    '(3 evaluation images), 2 carry conflicting labels; 1 images are constant'
  )
  kept = duplicates.select(items, 'drop', found)
  assert [i for i, keep in enumerate(kept) if keep] == [1, 2, 8, 9]
  kept = duplicates.select(items, 'drop_training', found)
  assert [i for i, keep in enumerate(kept) if keep] == [1, 2, 7, 8, 9]


def test_fer2013_reads_any_column_order(tmp_path):
  tree = trees.fer2013(tmp_path)
  _, records = read(tree, strict=True)
  assert [r.targets['expr'].value[0].argmax() for r in records.values()] == [
    i % 7 for i in range(10)
  ]
  rows = [
    line.split(',') for line in tree.tables[0].read_text().split('\n')[:-1]
  ]
  other = trees.Tree('fer2013', tmp_path / 'other')
  other.text(
    'icml_face_data.csv',
    'emotion, Usage, pixels',
    *(f'{emotion},{usage},"{pixels}"' for emotion, pixels, usage in rows[1:]),
  )
  _, again = read(other, strict=True)
  for name, record in records.items():
    assert base.load(record) == base.load(again[name])
    assert record.split == again[name].split


@pytest.mark.parametrize('name', ['ferplus', 'fer2013'])
@pytest.mark.parametrize('order', ['affwild2', 'affectnet', 'rafdb'])
def test_votes_follow_the_classes(name, order, tmp_path):
  """By name: who reads votes takes the first columns for the classes."""
  tree = dataclasses.replace(trees.ferplus(tmp_path), name=name)
  options = {'votes': True} if name == 'fer2013' else {}
  own, before = read(tree, **options)
  listing, records = read(tree, expressions=order, **options)
  (task,) = listing.schema
  assert listing.vote_labels[: len(task.labels)] == task.labels
  assert sorted({*listing.vote_labels}) == sorted(listing.vote_labels)
  assert records
  for key, record in records.items():
    old = dict(zip(own.vote_labels, before[key].votes[0], strict=True))
    new = dict(zip(listing.vote_labels, record.votes[0], strict=True))
    assert new == {name: old.get(name, 0) for name in listing.vote_labels}
    assert old.keys() <= new.keys()


def test_fer2013_keeps_the_votes_of_ferplus(tmp_path):
  tree = dataclasses.replace(trees.ferplus(tmp_path), name='fer2013')
  plain, _ = read(tree)
  listing, records = read(tree, votes=True, strict=True)
  assert plain.vote_labels == ()
  assert listing.vote_labels[:7] == tasks.FER2013  # as whoever reads them asks
  given = (*tasks.FERPLUS, 'unknown', 'no face')
  for i, (record, votes) in enumerate(
    zip(records.values(), VOTES, strict=True)
  ):
    assert record.targets['expr'].value[0].argmax() == i % 7
    found = dict(zip(listing.vote_labels, record.votes[0], strict=True))
    assert found == dict(zip(given, map(int, votes.split()), strict=True))
  (tmp_path / 'fer2013new.csv').unlink()
  with pytest.raises(problems.DataError, match='or option votes=false'):
    read(tree, votes=True)


def counts(listing, split):
  values = [
    r.targets['expr'].value[0] for r in listing.records if r.split == split
  ]
  return np.bincount(np.argmax(values, 1), minlength=values[0].size).tolist()


@pytest.mark.slow
def test_real_fer2013():
  listing, _ = read(trees.Tree('fer2013', real('fer2013')))
  assert listing.problems.count == 0
  assert counts(listing, 'train') == [3995, 436, 4097, 7215, 4830, 3171, 4965]
  assert counts(listing, 'validation') == [467, 56, 496, 895, 653, 415, 607]
  summary = listing.problems.summary()
  assert '280 evaluation images' in summary
  assert '12 images are constant' in summary
  base.load(listing.records[-1])


# Votes of fer2013new.csv.
NEW = {
  'raw': ([10388, 7539, 3588, 3549, 2478, 194, 656, 167], 3579),
  'plurality': ([10309, 7528, 3562, 3515, 2467, 191, 652, 165], 3553),
  'majority': ([8740, 7287, 3149, 3014, 2100, 119, 532, 119], 3199),
  'probability': ([10122, 7503, 3524, 3430, 2407, 169, 641, 160], 3505),
  'multi_target': ([10071, 7492, 3486, 3399, 2327, 153, 598, 145], 3472),
}
# Votes of FER2013Train/label.csv and its siblings.
LABEL_CSV = {
  'majority': ([8733, 7284, 3136, 3022, 2098, 116, 536, 120], 3191),
  'probability': ([10107, 7501, 3517, 3445, 2401, 170, 643, 163], 3508),
  'multi_target': ([10056, 7489, 3481, 3410, 2337, 150, 598, 146], 3472),
}


@pytest.fixture(scope='module')
def ballots():
  """Votes and splits of the named faces of the real fer2013new.csv."""
  from emojax.data.readers import ferplus_files

  path = real('fer2013') / 'fer2013new.csv'
  return [
    b for b in ferplus_files.read_new(path, problems.Problems(True)) if b.name
  ]


@pytest.mark.parametrize('name', NEW)
def test_real_votes(name, ballots):
  train, validation = NEW[name]
  found = {'train': [], 'validation': []}
  for ballot in ballots:
    value = ferplus_rules.target(ballot.votes, name)
    if value is not None and ballot.split in found:
      found[ballot.split].append(value.argmax())
  assert np.bincount(found['train']).tolist() == train
  assert len(found['validation']) == validation


@pytest.mark.slow
def test_real_join():
  listing, _ = read(trees.Tree('ferplus', real('fer2013')))
  assert counts(listing, 'train') == NEW['majority'][0]
  assert listing.problems.count == 0


@pytest.mark.parametrize('name', LABEL_CSV)
def test_real_label_csv(name):
  """Counts of the published code's files, images aside."""
  from emojax.data.readers import ferplus_files

  folder = real('ferplus/data/FER2013Train')
  rows = ferplus_files.read_label_csv(folder, problems.Problems(True))
  values = [ferplus_rules.target(votes, name) for _, _, votes in rows.values()]
  found = [value.argmax() for value in values if value is not None]
  assert np.bincount(found).tolist() == LABEL_CSV[name][0]


def test_evaluation_faces_without_a_majority_are_kept_on_request(tmp_path):
  tree = trees.ferplus(tmp_path)
  _, some = read(tree)
  listing, every = read(tree, unlabelled='true')
  added = [every[key] for key in every.keys() - some.keys()]
  assert {record.split for record in added} == {'validation'}
  assert listing.counts()['train'] == 2
  for record in added:
    assert not record.targets['expr'].mask.any()
    assert record.votes.sum() == 10
    assert ferplus_rules.target(record.votes[0], 'majority') is None

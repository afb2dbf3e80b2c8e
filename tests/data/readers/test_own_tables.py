"""Tables as pandas, spreadsheets, Windows, macOS and OpenFace write them."""

import unicodedata

import numpy as np
import pytest
import trees
import video_files

from emojax.data.readers import base, class_numbers


def table(root, *rows, name='labels.csv', images=('a', 'b', 'c')):
  tree = trees.Tree('folder', root)
  for i, image in enumerate(images):
    tree.image(f'{image}.png', 20 * i)
  tree.text(name, *rows)
  return tree


def read(tree, **options):
  listing = base.scan('folder', tree.root, **options)
  return listing, {r.video_id: r for r in listing.records}


def refused(tree, match, **options):
  with pytest.raises(base.DataError, match=match) as caught:
    base.scan('folder', tree.root, **options)
  assert '\n' not in str(caught.value)


def classes(records):
  return {
    k: int(r.targets['expr'].value[0].argmax()) for k, r in records.items()
  }


def test_numbers_of_pandas(tmp_path):
  rows = [f'{n}.png,{i}.0,one,{i}.0' for i, n in enumerate('abc')]
  tree = table(tmp_path, 'path,class,clip,frame', *rows)
  _, records = read(tree, classes='x,y,z', strict=True)
  assert records['one'].frame_index.tolist() == [0, 1, 2]
  assert records['one'].targets['expr'].value.argmax(1).tolist() == [0, 1, 2]
  # Without an order they are numbers, not classes named '0.0' and '1.0'.
  refused(tree, "class '0.0'; expected a name, or a number", strict=True)


@pytest.mark.parametrize(
  ('name', 'separator', 'said'),
  [
    ('labels.csv', ';', 'found semicolons between'),
    ('labels.csv', '\t', 'found tabs between .* or name it .tsv'),
    ('labels.tsv', ',', 'found commas between'),
  ],
)
def test_other_separators(name, separator, said, tmp_path):
  rows = [f'path{separator}label', f'a.png{separator}x']
  refused(table(tmp_path, *rows, name=name), said)


def test_decimal_commas(tmp_path):
  tree = table(tmp_path, 'path,valence', 'a.png,"0,5"')
  said = "'0,5'; expected a point instead of the decimal comma: valence in"
  refused(tree, said, strict=True)


def test_paths_of_windows(tmp_path):
  tree = table(
    tmp_path,
    'path,label',
    'in\\a.png,x',
    '.\\in\\b.png,y',
    images=['in/a', 'in/b'],
  )
  listing, records = read(tree, strict=True)
  assert set(records) == {'in/a.png', 'in/b.png'}
  assert '2 paths of the table have backslashes' in listing.problems.summary()
  tree.image('odd\\name.png', 10)
  tree.text('labels.csv', 'path,label', 'odd\\name.png,x')
  assert list(read(tree, strict=True)[1]) == ['odd\\name.png']


@pytest.mark.parametrize('disk', ['NFC', 'NFD'])
def test_names_of_macos(disk, tmp_path):
  """An archive of macOS has decomposed names, its table composed ones."""
  names = [unicodedata.normalize(disk, name) for name in ('é/Zoë', 'b')]
  tree = trees.Tree('folder', tmp_path)
  for i, name in enumerate(names):
    tree.image(f'{name}.png', 20 * i)
  other = unicodedata.normalize('NFD' if disk == 'NFC' else 'NFC', 'é/Zoë')
  decomposed = unicodedata.normalize('NFD', 'für')
  tree.text(
    'labels.csv', 'path,label', f'{other}.png,für', f'b.png,{decomposed}'
  )
  listing, records = read(tree, strict=True)
  assert set(records) == {f'{name}.png' for name in names}
  assert listing.schema[0].labels == ('für',)
  # Two forms of one name are one picture, labelled twice.
  tree.text(
    'labels.csv', 'path,label', f'{other}.png,x', f'{names[0]}.png,y', 'b.png,x'
  )
  listing, records = read(tree)
  assert list(records) == ['b.png']


def test_class_folders_of_macos(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  for form, split in (('NFC', 'train'), ('NFD', 'val')):
    tree.image(f'{split}/{unicodedata.normalize(form, "für")}/a.png', 10)
    tree.image(f'{split}/b/a.png', 10)
  listing, _ = read(tree)
  assert listing.schema[0].labels == ('b', 'für')


def test_another_case(tmp_path):
  tree = table(
    tmp_path, 'path,label', 'In/A.png,x', 'in/b.png,x', images=['in/a', 'in/b']
  )
  if (tmp_path / 'In').exists():
    pytest.skip('this file system ignores case')
  listing, records = read(tree)
  assert list(records) == ['in/b.png']
  said = "line 2: found no file 'In/A.png'; expected the case of a file that"
  assert f"{said} is there: 'in/a.png'" in listing.problems.summary()


def test_two_spellings_of_a_class(tmp_path):
  tree = table(tmp_path, 'path,label', 'a.png,Yes', 'b.png,yes', 'c.png,no')
  refused(tree, "classes 'Yes' and 'yes'; expected one spelling")
  assert len(read(tree, classes='Yes,yes,no')[1]) == 3


NUMBERED = [
  ([0, 1, 2], -1, [0, 1, 2]),
  ([0, 1, 1], -1, [0, 1, 1]),
  ([1, 2, 3], -1, None),
  ([1, 2, 2], -1, None),
  ([0, 1, 3], -1, None),
  ([1, 2, 3], 1, [0, 1, 2]),
  ([1, 2, 2], 0, [1, 2, 2]),
  ([1, 2, 2], 1, [0, 1, 1]),
]


@pytest.mark.parametrize('folders', [True, False])
@pytest.mark.parametrize(('numbers', 'first', 'wanted'), NUMBERED)
def test_class_numbers_never_shift(numbers, first, wanted, folders, tmp_path):
  if folders:
    tree = trees.Tree('folder', tmp_path)
    names = [f'{n}/{i}.png' for i, n in enumerate(numbers)]
    for name in names:
      tree.image(name, 10)
  else:
    names = ['a.png', 'b.png', 'c.png']
    tree = table(
      tmp_path, 'path,label', *(f'{p},{n}' for p, n in zip(names, numbers))
    )
  options = {'classes': 'x,y,z', 'first_class': first}
  if wanted is None:
    refused(
      tree, 'which may count from 0 or from 1; .*first_class=0 or', **options
    )
    return
  _, records = read(tree, **options, strict=True)
  assert [classes(records)[name] for name in names] == wanted


def test_first_class_needs_classes(tmp_path):
  tree = table(tmp_path, 'path,label', 'a.png,x')
  refused(tree, 'classes=name', first_class=1)
  with pytest.raises(base.DataError, match='0 or 1'):
    class_numbers.names_of(['1'], ('x',), 2)


def test_intensities_need_a_threshold(tmp_path):
  """Beside a 2, a 1 is a trace and no presence, in every row."""
  tree = table(
    tmp_path, 'path,AU1,AU2', 'a.png,1,0', 'b.png,2.0,1', 'c.png,5,0'
  )
  refused(tree, r'line 3: found AU1 2.0; expected .* option au_threshold')
  _, records = read(tree, au_threshold=2, strict=True)
  values = [r.targets['au'].value[0].tolist() for r in records.values()]
  assert values == [[0, 0], [1, 0], [1, 0]]
  refused(tree, 'above 0, at most 5', au_threshold=6)
  # A number beyond all intensities is a wrong cell.
  tree.text('labels.csv', 'path,AU1', 'a.png,1', 'b.png,7')
  assert list(read(tree)[1]) == ['a.png']


@pytest.mark.parametrize('option', ['au_threshold', 'min_confidence'])
def test_options_that_say_nothing(option, tmp_path):
  tree = table(tmp_path, 'path,label', 'a.png,x')
  refused(tree, f'option {option}', **{option: 1})
  folders_of_classes(tree)
  refused(tree, f'option {option}', **{option: 1})


def folders_of_classes(tree):
  tree.tables[0].unlink()
  tree.image('x/a.png', 1)


def test_outside_of_folders(tmp_path):
  tree = table(tmp_path, 'path,label', 'a.png,x')
  folders_of_classes(tree)
  refused(tree, 'option outside; expected a table of', outside=True)


@pytest.mark.parametrize('kind', ['absolute', 'above', 'windows', 'hidden'])
def test_a_table_chooses_no_file_of_the_users(kind, tmp_path):
  tree = table(tmp_path / 'given', 'path,label', 'a.png,x')
  secret = trees.Tree('folder', tmp_path / 'mine').image('photo.png', 9)
  path = {
    'absolute': secret.as_posix(),
    'above': '../mine/photo.png',
    'windows': '..\\mine\\photo.png',
    'hidden': 'a/../../mine/photo.png',
  }[kind]
  tree.text('labels.csv', 'path,label', 'a.png,x', f'{path},y')
  refused(tree, r'labels.csv, line 3: found .* outside of .* outside=true')
  listing, records = read(tree, outside=True, strict=True)
  assert len(records) == 2
  assert 'files outside of' in listing.problems.summary()
  assert ': 1, such as' in listing.problems.summary()


def test_absolute_paths_into_the_data_set(tmp_path):
  real = tmp_path / 'given'
  link = tmp_path / 'link'
  rows = [f'{real}/a.png,x', f'{link}/b.png,y', 'in/../c.png,x']
  tree = table(real, 'path,label', *rows)
  link.symlink_to(real)
  assert len(base.scan('folder', link, strict=True).records) == 3
  refused(tree, 'line 3: found .*b.png., outside of')  # by another way into it


@pytest.mark.parametrize('kind', ['link', 'linked folder', 'whole'])
def test_files_under_several_names_are_noticed(kind, tmp_path):
  tree = table(tmp_path, 'path,label', images=['in/1', 'in/2', 'c'])
  (tmp_path / 'one.png').symlink_to('in/1.png')
  (tmp_path / 'other').symlink_to('in')
  first, second = {
    'link': ('in/1.png', 'one.png'),
    'linked folder': ('in/1.png', 'other/1.png'),
    'whole': ('in', 'in/1.png'),
  }[kind]
  rows = [f'{first},x,train', 'c.png,y,train', f'{second},y,test']
  tree.text('labels.csv', 'path,label,split', *rows)
  said = read(tree)[0].problems.summary()
  assert f"files in more than one split: 1, such as '{first}'" in said
  assert (
    f"in several ways, and that count as often: 1, such as '{first}'" in said
  )
  tree.text('labels.csv', 'path,label', 'c.png,x', 'in/2.png,y')
  assert not read(tree)[0].problems.notes


def test_folders_within_folders_that_rows_name(tmp_path):
  tree = table(tmp_path, 'path,label', images=['in/1', 'in/deep/2', 'c'])
  rows = ['in,x', 'in/deep,x', 'in/deep/2.png,y', 'c.png,y']
  for order in (rows, rows[::-1]):
    tree.text('labels.csv', 'path,label', *order)
    said = read(tree)[0].problems.summary()
    assert 'in several ways, and that count as often: 1, such as' in said


def test_an_absolute_path_is_the_same_as_a_relative_one(tmp_path):
  tree = table(
    tmp_path, 'path,label', 'a.png,x', f'{tmp_path}/a.png,y', 'b.png,x'
  )
  listing, records = read(tree)
  assert list(records) == ['b.png']
  assert 'found a.png again' in listing.problems.summary()


def test_a_picture_is_no_frame_of_nothing(tmp_path):
  tree = table(tmp_path, 'path,label,frame', 'a.png,x,7', 'b.png,x,')
  listing, records = read(tree)
  assert list(records) == ['b.png']
  assert listing.problems.count == 1
  assert (
    "line 2: found frame 7 of 'a.png', a picture by itself; expected its"
    in (listing.problems.summary())
  )


@pytest.mark.parametrize('cell', ['N/A', 'null', '<NA>', 'NaN', 'na', ''])
def test_missing_labels(cell, tmp_path):
  tree = table(tmp_path, 'path,label,valence', 'a.png,x,', f'b.png,{cell},0.5')
  _, records = read(tree, strict=True)
  assert records['b.png'].targets['expr'].mask.sum() == 0


def test_tables_in_folders_name_files_of_the_data_set(tmp_path):
  tree = table(tmp_path, 'path,label', '../a.png,x', name='tables/labels.csv')
  _, records = read(tree, table='tables/*.csv', strict=True)
  assert len(records) == 1
  _, records = read(tree, table='tables/labels.csv', strict=True)
  assert len(records) == 1
  with pytest.raises(base.DataError, match='outside of'):
    base.scan('folder', tree.root / 'tables/labels.csv')


OPENFACE = (
  'frame, face_id, timestamp, confidence, success, gaze_0_x, eye_lmk_x_0, '
  'pose_Tx, x_0, X_0, Y_0, p_scale, AU01_r, AU12_r, AU01_c, AU12_c, AU28_c'
)


def openface(frame, r, c, success=1, confidence=0.98):
  units = f'{r[0]:.2f}, {r[1]:.2f}, {c[0]:.2f}, {c[1]:.2f}, 0.00'
  middle = '0.1, 300.5, 0.2, 1, 2, 3, 1.1'
  return f'{frame}, 0, 0.000, {confidence}, {success}, {middle}, {units}'


ROWS = (
  openface(1, (0.4, 3), (0, 1)),
  openface(2, (2.5, 0), (1, 0)),
  openface(3, (5, 5), (1, 1), success=0, confidence=0.1),
  openface(4, (1, 1.9), (1, 0), confidence=0.7),
)


def test_openface_aligned(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  for n in (1, 2, 3, 4):
    tree.image(f'clip_aligned/frame_det_00_{n:06d}.png', 20 * n)
  tree.text('clip.csv', OPENFACE, *ROWS)
  listing, records = read(tree, table='clip.csv', strict=True)
  assert listing.schema[0].labels == ('AU1', 'AU12', 'AU28')
  record = records['clip_aligned']
  assert record.frame_index.tolist() == [1, 2, 4]
  assert [round(i.mean()) for i in pixels(record)] == [20, 40, 80]
  value = record.targets['au'].value.tolist()
  assert value == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]
  assert '1 rows left out in which OpenFace found no face' in ' '.join(
    listing.problems.notes
  )
  listing, records = read(
    tree, table='*.csv', au_threshold=2, min_confidence=0.8, strict=True
  )
  assert listing.schema[0].labels == ('AU1', 'AU12')
  assert 'AU28: no column' in ' '.join(listing.problems.notes)
  value = records['clip_aligned'].targets['au'].value.tolist()
  assert value == [[0, 1], [1, 0]]


def pixels(record):
  return [np.asarray(frame.image(), int) for frame in record.frames]


def test_openface_counts_the_pictures_of_a_folder_from_1(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  for n in range(4):
    tree.image(f'clip/{10 + n}.png', 20 * n)
  tree.text('clip.csv', OPENFACE, *ROWS)
  _, records = read(tree, table='clip.csv', strict=True)
  record = records['clip']
  assert record.frame_index.tolist() == [10, 11, 13]
  assert [round(i.mean()) for i in pixels(record)] == [0, 20, 60]
  tree.text('clip.csv', OPENFACE, *ROWS, openface(5, (0, 0), (0, 0)))
  listing, _ = read(tree, table='clip.csv')
  assert 'found frame 5; expected a frame in 1..4' in listing.problems.summary()


@pytest.mark.parametrize(
  'names',
  [
    ('frame001_face0', 'frame002_face0', 'frame003_face0'),
    ('000', '001', '002', 'cover'),
    ('0001', '0002', '0002_1'),
  ],
)
def test_frames_are_not_matched_by_place(names, tmp_path):
  """Their names promise numbers: another file's label would be another face's."""
  tree = trees.Tree('folder', tmp_path)
  for i, name in enumerate(names):
    tree.image(f'clip/{name}.png', 20 * i)
  rows = [f'clip,{n},x' for n in range(3)]
  tree.text('labels.csv', 'path,frame,label', *rows)
  refused(
    tree,
    'found frame 0 of files whose last numbers do not tell them apart; expected '
    'one number at .* 0001.png, and no other file; or a row for each file',
  )


def test_openface_of_two_faces_is_not_matched_by_place(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  for n in (1, 2, 3, 4):
    tree.image(f'clip_aligned/frame_det_00_{n:06d}.png', 20 * n)
  tree.image('clip_aligned/frame_det_01_000002.png', 200)
  tree.text('clip.csv', OPENFACE, *ROWS)
  refused(tree, 'do not tell them apart', table='clip.csv')


def test_openface_counts_videos_from_1_and_nobody_is_told_to_subtract(tmp_path):
  pytest.importorskip('av', reason='video files: pip install av')
  tree = trees.Tree('folder', tmp_path)
  video_files.write(tmp_path / 'v.mp4', count=4)
  rows = [openface(n, (0.4, 3), (0, 1)) for n in (1, 2, 3, 4)]
  tree.text('v.csv', OPENFACE, *rows)
  listing, records = read(tree, table='v.csv', strict=True)
  assert records['v.mp4'].frame_index.tolist() == [0, 1, 2, 3]
  assert not listing.problems.remarks


def test_people_that_are_numbers(tmp_path):
  """pandas writes them as 3.0 where others have no name: nobody is two."""
  tree = trees.Tree('folder', tmp_path)
  for name in 'abc':
    tree.image(f'{name}.png', 20)
  tree.text('one.csv', 'path,label,subject', 'a.png,x,3', 'b.png,y,04')
  tree.text('two.csv', 'path,label,subject', 'c.png,x,3.0')
  _, records = read(tree, table='*.csv', strict=True)
  names = {name: r.subject_id for name, r in records.items()}
  assert names == {'a.png': '3', 'b.png': '04', 'c.png': '3'}


def test_a_frame_of_two_tables_names_the_other_table(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  for name in 'abc':
    tree.image(f'{name}.png', 20)
  rows = 'path,clip,frame,label'
  tree.text('one.csv', rows, 'a.png,v,0,x', 'b.png,v,1,y')
  tree.text('two.csv', rows, 'c.png,v,1,y')
  listing, records = read(tree, table='*.csv')
  said = listing.problems.summary()
  assert 'two.csv, line 2' in said
  assert 'again, as in line 3 of' in said
  assert 'one.csv; both are left out' in said
  assert records['v'].frame_index.tolist() == [0]


def test_tables_of_several_clips(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  for name in ('a', 'b'):
    for n in range(4):
      tree.image(f'out/{name}/{n}.png', 20 * n)
    tree.text(f'out/{name}.csv', OPENFACE, *ROWS)
  listing, records = read(tree, table='out/*.csv', strict=True)
  assert set(records) == {'out/a', 'out/b'}
  assert listing.counts() == {'train': 2}
  refused(tree, "no file 'in/\\*.csv'", table='in/*.csv')


def test_openface_beside_paths(tmp_path):
  row = openface(1, (0.4, 3), (0, 1))
  tree = table(tmp_path, f'path, {OPENFACE}', f'a.png, {row}', f'b.png, {row}')
  _, records = read(tree, strict=True)
  assert records['a.png'].targets['au'].value.tolist() == [[0, 1, 0]]


def test_openface_without_what_it_needs(tmp_path):
  tree = table(tmp_path, OPENFACE, *ROWS, name='clip.csv')
  refused(
    tree,
    'a clip that is not there; expected clip_aligned, clip',
    table='clip.csv',
  )
  tree.text('clip.csv', 'path,AU01_r', 'a.png,3')
  refused(tree, 'without its presences .* au_threshold', table='clip.csv')
  assert read(tree, table='clip.csv', au_threshold=3)[1]
  # Elsewhere these are columns that nobody knows.
  tree.text('labels.csv', 'path,label,confidence', 'a.png,x,1')
  refused(tree, "column 'confidence'")

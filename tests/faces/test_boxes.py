"""Own boxes: what is read, in which order, and every row that is wrong."""

import numpy as np
import pytest

from emojax.data.readers.files.problems import DataError
from emojax.faces import boxes

HEAD = 'file,x,y,w,h'


def written(path, *lines, end='\n'):
  file = path / 'boxes.csv'
  file.write_bytes(end.join(lines).encode() + end.encode())
  return file


def test_boxes_by_file_and_frame(tmp_path):
  file = written(
    tmp_path,
    'frame,file,h,w,y,x',
    '0,a.mp4,4,3,2,1',
    '7,a.mp4,40,30,20,10',
    '7,./a.mp4,41,31,21,-5.5',
    '0,"b, c.jpg",1,1,0,0',
  )
  found = boxes.read(file)
  assert found.files == ('a.mp4', 'b, c.jpg')
  np.testing.assert_array_equal(
    found.of('a.mp4', 7).boxes, [[-5.5, 21, 31, 41], [10, 20, 30, 40]]
  )
  first = found.of('./a.mp4', 0)
  np.testing.assert_array_equal(first.boxes, [[1, 2, 3, 4]])
  assert np.isnan(first.scores).all()
  assert np.isnan(first.landmarks).all()
  assert first.landmarks.shape == (1, 5, 2)
  assert len(found.of('a.mp4', 1).boxes) == len(found.of('x', 0).boxes) == 0
  assert found.missing(['./b, c.jpg', 'z']) == ['a.mp4']


def test_faces_in_the_order_of_their_numbers(tmp_path):
  file = written(
    tmp_path, f'{HEAD},face', 'a,1,0,5,5,2', 'a,9,0,5,5,0', 'a,5,0,5,5,1'
  )
  assert boxes.read(file).of('a', 0).boxes[:, 0].tolist() == [9, 5, 1]


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_line_ends_and_byte_order_mark(tmp_path, end):
  file = written(tmp_path, f'\ufeff{HEAD}', '', 'ä.jpg,1,2,3,4', end=end)
  assert boxes.read(file).files == ('ä.jpg',)


@pytest.mark.parametrize(
  ('row', 'found'),
  [
    ('a,1,2,3', '4 columns'),
    ('a,1,2,3,4,5', '6 columns'),
    ('a,1,2,0,4', 'empty box'),
    ('a,1,2,1e-60,4', 'empty box'),
    ('a,1,2,-3,4', "'-3'"),
    ('a,nan,2,3,4', "'nan'"),
    ('a,inf,2,3,4', "'inf'"),
    ('a,1e99,2,3,4', "'1e99'"),
    ('a,,2,3,4', "''"),
    ('a,"1,5",2,3,4', 'decimal comma'),
    (',1,2,3,4', 'a row without a file'),
    ('"a,1,2,3,4', 'unexpected end'),
    ('a\x00b,1,2,3,4', 'control characters'),
    ('good,1,2,3,4', 'in line 2'),
  ],
)
def test_a_wrong_row_is_named(tmp_path, row, found):
  file = written(tmp_path, HEAD, 'good,1,2,3,4', row)
  with pytest.raises(DataError) as caught:
    boxes.read(file)
  assert str(caught.value).startswith(f'{file}, line 3: ')
  assert found in str(caught.value)


@pytest.mark.parametrize(
  ('head', 'row'),
  [
    (f'{HEAD},frame', 'a,1,2,3,4,-1'),
    (f'{HEAD},frame', 'a,1,2,3,4,1.5'),
    (f'{HEAD},frame', 'a,1,2,3,4,'),
    (f'{HEAD},face', 'a,1,2,3,4,x'),
    (f'{HEAD},frame', 'a,1,2,3,4,99999999999'),
  ],
)
def test_a_wrong_number_is_named(tmp_path, head, row):
  with pytest.raises(DataError, match='line 2: found'):
    boxes.read(written(tmp_path, head, row))


def test_a_face_once_only(tmp_path):
  file = written(tmp_path, f'{HEAD},face', 'a,1,2,3,4,0', './a,5,6,7,8,0')
  with pytest.raises(DataError, match=r'line 3: .*as in line 2'):
    boxes.read(file)


@pytest.mark.parametrize(
  'head',
  ['file,x,y,w', f'{HEAD},Frame', f'{HEAD},score', f'{HEAD},x', 'a,1,2,3,4'],
)
def test_columns_that_are_unknown(tmp_path, head):
  with pytest.raises(DataError, match=r'line 1: found the columns'):
    boxes.read(written(tmp_path, head, 'a,1,2,3,4'))


def test_no_rows_and_no_file(tmp_path):
  with pytest.raises(DataError, match='no boxes'):
    boxes.read(written(tmp_path, HEAD))
  (tmp_path / 'empty').touch()
  for name in ('empty', 'none', '.'):
    with pytest.raises(DataError, match='found'):
      boxes.read(tmp_path / name)


def test_bytes_that_are_no_text(tmp_path):
  file = tmp_path / 'x.csv'
  file.write_bytes(HEAD.encode() + b'\n\xff\xfe,1,2,3,4\n')
  with pytest.raises(DataError, match='line 2: found byte 0xff'):
    boxes.read(file)

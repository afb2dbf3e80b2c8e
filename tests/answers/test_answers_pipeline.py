"""Frames to rows: times, tracks, own boxes, broken files; memory stays flat."""

import time

import numpy as np
import pytest
import stand_in
from PIL import Image
from rich.console import Console

import emojax
from emojax.answers import openface, options, pipeline, run
from emojax.answers.columns import Layout
from emojax.answers.options import OptionError, Options
from emojax.faces import faces as found_faces
from emojax.faces import sources

CROPS = Options(crops=True)


def test_times_are_right_to_a_frame(model, clip):
  path, times = clip
  table = run.table(model, CROPS, path)
  np.testing.assert_allclose(table['time'], times, atol=1e-6)
  assert table['frame'].tolist() == list(range(150))
  assert set(table['track']) == {0}


def test_every_from_and_to(model, clip):
  path, times = clip
  asked = Options(crops=True, every=4, start=1.0, stop=5.0)
  table = run.table(model, asked, path)
  kept = [
    i for i in range(0, 150, 4) if 1 <= round(times[i], 6) < 5
  ]  # fmt: skip
  assert table['frame'].tolist() == kept
  whole = run.table(model, CROPS, path)
  for name in ('happiness', 'answer', 'expr_total', 'time'):
    np.testing.assert_array_equal(table[name], whole[name][kept])


def test_parts_hold_no_frames(model, clip):
  """What a part keeps are crops, whatever the size of the frames."""
  _, made = run.make(model, CROPS, shown=True)
  found, _ = sources.find([clip[0]])
  sizes = [len(part.encode()) for part in made.parts(found)]
  assert len(sizes) == 3
  assert max(sizes) < 150_000
  assert {image.shape for image in model.seen} == {
    (64, 32, 32, 3),
    (32, 32, 32, 3),
  }


def test_broken_files_are_passed_over(model, photos):
  table = run.table(model, CROPS, str(photos))
  names = [name.rsplit('/', 1)[-1] for name in table['file']]
  assert names == ['astronaut.jpg', 'b.png', 'mirrored.png']
  assert len(table.problems) == 1
  assert 'cut.jpg' in table.problems[0]


def test_arrays_are_as_good_as_files(model, photos):
  image = np.asarray(Image.open(photos / 'inner' / 'mirrored.png'))
  table = run.table(model, CROPS, str(photos / 'inner' / 'mirrored.png'))
  for inputs in (image, [image], image[None]):
    found = run.table(model, CROPS, inputs)
    assert found['file'][0] == 'array 0'
    np.testing.assert_array_equal(found['happiness'], table['happiness'])


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L', 'P', '1', 'CMYK'])
def test_pictures_of_pillow_are_as_good_as_files(mode, model, tmp_path):
  rng = np.random.default_rng(0)
  noise = Image.fromarray(rng.integers(0, 256, (40, 30, 3)).astype(np.uint8))
  path = tmp_path / ('p.jpg' if mode == 'CMYK' else 'p.png')
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned
  noise.convert(mode).save(path, exif=exif)
  table = run.table(model, CROPS, str(path))
  with Image.open(path) as image:
    found = run.table(model, CROPS, image)
    assert run.table(model, CROPS, [image, image]).num_rows == 2
  np.testing.assert_array_equal(found['w'], 40)
  for name in ('w', 'happiness'):
    np.testing.assert_array_equal(found[name], table[name])


BOX = (240, 60, 100, 110)


def test_a_function_is_a_detector(model, photos):
  """Called by one thread at a time, and its answer is looked at."""
  calls, inside = [], []

  def detect(image):
    inside.append(1)
    assert len(inside) == 1
    time.sleep(0.01)
    calls.append(image.shape)
    inside.pop()
    return found_faces.faces([BOX] if image.std() > 1 else [], None, None)

  path = str(photos)
  table = run.table(model, Options(detector=detect), path)
  assert np.array([table[s] for s in 'xywh']).T[0].tolist() == list(BOX)
  assert table.found.tolist() == [True, False, True]
  assert calls == [(512, 512, 3), (90, 120, 3), (512, 512, 3)]
  image = np.asarray(Image.open(photos / 'inner' / 'mirrored.png'))
  named = emojax.predict(image, model, detector=detect)
  for found in (
    emojax.predict(image, model, boxes=[BOX]),
    emojax.predict([image], model, boxes=np.array([[BOX]])),
    emojax.predict(image, model, boxes=[np.array([BOX])]),
  ):
    np.testing.assert_array_equal(found['happiness'], named['happiness'])


@pytest.mark.parametrize(
  ('given', 'words'),
  [
    ([[1, 2, 3, 4]], 'detector gave list: expected emojax.faces.faces.Faces'),
    (None, 'gave NoneType'),
    (found_faces.Faces([1, 2, 3], [1], [1]), 'do not fit'),
    (found_faces.faces([(0, 0, 0, 5)]), 'empty or not finite'),
    (found_faces.faces([(0, np.nan, 2, 5)]), 'empty or not finite'),
  ],
)
def test_functions_that_are_no_detector(given, words, model):
  image = np.zeros((9, 9, 3), np.uint8)
  with pytest.raises(ValueError, match=words):
    emojax.predict(image, model, detector=lambda _: given)


def test_boxes_of_several_pictures(model, photos):
  image = np.asarray(Image.open(photos / 'astronaut.jpg'))
  boxes = [[BOX, (9, 9, 30, 30)], np.zeros((0, 4)), []]
  table = emojax.predict([image] * 3, model, boxes=boxes)
  assert table['file'].tolist() == [f'array {i}' for i in (0, 0, 1, 2)]
  np.testing.assert_array_equal(table['x'], [240, 9, np.nan, np.nan])
  paths = [str(photos / 'astronaut.jpg'), str(photos / 'b.png')]
  table = emojax.predict(paths, model, boxes=boxes[:2])
  np.testing.assert_array_equal(table['x'], [240, 9, np.nan])


@pytest.mark.parametrize(
  ('boxes', 'words'),
  [
    ([[BOX]], 'boxes of 1 pictures: expected 2'),
    ([[BOX], [BOX[:3]]], r'picture 1 are of shape \[1, 3\]'),
    ([[BOX], BOX], r'picture 1 are of shape \[4\]'),
    ([[BOX], 'abc'], 'picture 1: no numbers'),
    ([[BOX], [(0, 0, -1, 3)]], 'picture 1: expected finite'),
    ([[BOX], [(0, np.inf, 1, 3)]], 'picture 1: expected finite'),
  ],
)
def test_arrays_that_are_no_boxes(boxes, words, model):
  image = np.zeros((9, 9, 3), np.uint8)
  with pytest.raises(OptionError, match=words):
    emojax.predict([image, image], model, boxes=boxes)


def test_arrays_of_boxes_do_not_slip(model, photos, clip):
  """What cannot be read would leave its boxes to the next picture."""
  paths = [str(photos / 'gone.jpg'), str(photos / 'b.png')]
  with pytest.raises(OptionError, match=r'all pictures, but .*gone\.jpg'):
    emojax.predict(paths, model, boxes=[[BOX]])
  with pytest.raises(OptionError, match='those of a video are a file'):
    emojax.predict(str(clip[0]), model, boxes=[BOX])


def test_a_folder_of_answers_takes_no_function(model, photos, tmp_path):
  for asked in (Options(detector=print), Options(boxes=[BOX])):
    with pytest.raises(OptionError, match='a file or a name'):
      run.execute(
        model, asked, options.Files(), [str(photos)], tmp_path / 'out',
        Console(quiet=True),
      )  # fmt: skip
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('inputs', 'words'),
  [
    ([], 'nothing to predict'),
    ([3], 'type int'),
    (np.zeros((4, 4)), 'float64'),
    (np.zeros((4, 4, 4), np.uint8), 'expected uint8'),
    (np.zeros((0, 4, 3), np.uint8), 'expected uint8'),
    (np.zeros((512, 500), np.uint8), r'is uint8 \[512, 500\]: .* grey ones'),
    (np.zeros((7, 48, 48), np.uint8), r'is uint8 \[7, 48, 48\]: expected'),
    (None, 'of type NoneType: give a path'),
    (3, 'of type int: give a path'),
    (b'a.jpg', 'of type bytes'),
    (Image.new('F', (4, 4)), 'mode F'),
    ([np.zeros((4, 4, 3), np.uint8), 'a.jpg'], 'paths alone'),
    ([None], 'NoneType'),
    ('not/there.jpg', 'nothing to read: not/there.jpg'),
  ],
)
def test_inputs_of_no_use(inputs, words, model):
  with pytest.raises(OptionError, match=words):
    run.table(model, CROPS, inputs)


def test_own_boxes(model, photos, tmp_path):
  path = photos / 'inner' / 'mirrored.png'
  name = sources.find([str(path)])[0][0].name
  boxes = tmp_path / 'boxes.csv'
  boxes.write_text(f'file,x,y,w,h\n{name},240,60,100,110\n{name},9000,9,9,9\n')
  table = run.table(model, Options(boxes=str(boxes)), str(path))
  found = np.array([table[side] for side in 'xywh']).T
  assert found.tolist() == [[240, 60, 100, 110]]
  (problem,) = table.problems
  assert problem.endswith('face 1: a face outside of the picture')


def test_faces_keep_their_numbers(model, photos, tmp_path):
  """A box outside of the picture gives its number to nobody else."""
  path, boxes = photos / 'inner' / 'mirrored.png', tmp_path / 'boxes.csv'
  name = sources.find([str(path)])[0][0].name
  boxes.write_text(
    f'file,x,y,w,h,face\n{name},9000,9,9,9,0\n{name},240,60,100,110,1\n'
  )
  table = run.table(model, Options(boxes=str(boxes)), str(path))
  assert list(table['face']) == [1]
  assert any(', frame 0, face 0: ' in line for line in table.problems)


def test_boxes_of_frames_that_are_not_there(model, photos, clip, tmp_path):
  paths = [str(photos / 'inner' / 'mirrored.png'), str(clip[0])]
  boxes = tmp_path / 'boxes.csv'
  name, video = (source.name for source in sources.find(paths)[0])
  boxes.write_text(f'file,x,y,w,h,frame\n{name},240,60,100,110,1\n')
  with pytest.raises(OptionError, match='a picture has no other'):
    run.table(model, Options(boxes=str(boxes)), paths[0])
  rows = [f'{name},240,60,100,110,{i}' for i in (0, 3)]
  rows += [f'{video},1,1,30,30,{i}' for i in (0, 10**6, 10**6 + 1)]
  boxes.write_text('\n'.join(['file,x,y,w,h,frame', *rows]))
  table = run.table(model, Options(boxes=str(boxes)), paths)
  said = [line for line in table.problems if '--boxes has faces' in line]
  last = int(max(table['frame']))
  assert said == [
    f'{name}: --boxes has faces in frame 3; the last one that was read is frame 0 '
    '(frames count from 0)',
    f'{video}: --boxes has faces in frame 1000000 and 1 later ones; the last '
    f'one that was read is frame {last} (frames count from 0)',
  ]


def test_boxes_of_files_that_are_not_there(model, photos, tmp_path):
  path = photos / 'inner' / 'mirrored.png'
  name = sources.find([str(path)])[0][0].name
  boxes = tmp_path / 'boxes.csv'
  boxes.write_text(f'file,x,y,w,h\n{name},240,60,9,9\nb,1,1,9,9\nc,1,1,9,9\n')
  table = run.table(model, Options(boxes=str(boxes)), str(path))
  (problem,) = table.problems
  assert "no input is named 'b' and 1 more" in problem
  boxes.write_text('file,x,y,w,h\nmirrored.png,1,1,9,9\n')
  with pytest.raises(OptionError, match=r"'mirrored\.png'; inputs are named"):
    run.table(model, Options(boxes=str(boxes)), str(path))


@pytest.mark.parametrize('cores', [1, 2, 16])
def test_threads_change_nothing(cores, model, photos, clip, monkeypatch):
  """Neither rows nor the order of the problems, of pictures and of videos."""
  paths = [str(photos), str(clip[0]), str(photos / 'inner')]

  def answered():
    _, made = run.make(model, CROPS, shown=True)
    found, _ = sources.find(paths)
    return [part.encode() for part in made.parts(found)]

  monkeypatch.setattr(pipeline.threads, 'mapped', lambda f, x, *_: map_of(f, x))
  expected = answered()
  monkeypatch.undo()
  monkeypatch.setattr(pipeline.threads, 'cores', lambda: cores)
  assert answered() == expected


def map_of(function, values):
  """Without threads."""
  yield from map(function, values)


@pytest.mark.parametrize(
  ('asked', 'looks'),
  [
    (Options(), {'picture': 5, 'video': 1}),
    (Options(tiles=True), {'picture': 5, 'video': 5}),
    (Options(tiles=False), {'picture': 1, 'video': 1}),
  ],
)
def test_large_pictures_are_looked_at_in_tiles(
  asked, looks, model, monkeypatch
):
  """Videos only where it is asked for: it costs a multiple."""
  from emojax.faces import faces

  shapes = []

  def detect(image):
    shapes.append(image.shape)
    return faces.none()

  monkeypatch.setattr(pipeline.detectors, 'load', lambda *_, **__: detect)
  search = pipeline.search(asked, model)
  image = np.zeros((3000, 3000, 3), np.uint8)
  for kind, count in looks.items():
    shapes.clear()
    search.find(sources.Frame('x', 0, 0.0, image), kind)
    assert len(shapes) == count


def test_times_that_do_not_rise(model):
  """Damaged stamps cost tracks, and neither answers nor the command."""

  def read(source, skip_to=None, **_):
    for i, at in enumerate([0, 0.04, 0.04, 0.02, 0.08]):
      yield sources.Frame('x', i, at, np.full((40, 40, 3), i, np.uint8))

  _, made = run.make(model, CROPS, shown=True)
  (part,) = made.parts([sources.Source('x', 'x', 'video')], read=read)
  expected = [0, 0, np.nan, np.nan, 0]
  np.testing.assert_array_equal(part.rows['track'], expected)
  assert all(part.rows['answer'])
  (problem,) = part.state['problems']
  assert 'times that do not rise' in problem


@pytest.mark.parametrize('size', [32, 48])
def test_a_face_is_cut_no_more_often_than_needed(size, model):
  """Sharpness is of crops of one size, which may be the model's."""
  model.image_size = size
  _, made = run.make(model, CROPS)
  sizes = []

  def cut(frame, found, i, side):
    sizes.append(side)
    return np.zeros((side, side, 3), np.uint8)

  made._search = made._search._replace(cut=cut)
  image = np.zeros((9, 9, 3), np.uint8)
  frame = sources.Frame('x', 0, 0.0, image)
  source = sources.Source('x', 'x', 'picture')
  list(made.parts([source], read=lambda *_, **__: [frame]))
  assert sizes == sorted({size, 48})


def test_faces_are_found_and_cut(photos):
  pytest.importorskip('onnxruntime', reason='needs emojax[faces]')
  model = stand_in.Model()
  table = run.table(model, Options(), str(photos))
  here = table['x'][table.found]
  assert len(here) == 2  # the photo and its mirror image, nothing on grey
  width = table['w'][table.found].mean()
  assert abs(here[0] + here[1] + width - 512) < 8
  assert table['score'][table.found].min() > 0.9


def test_a_model_that_does_not_say_how_faces_are_cut(model):
  del model.metadata['preprocessing']['crop']
  with pytest.raises(OptionError, match='--crop-rule fer2013'):
    pipeline.search(Options(), model)
  pipeline.search(CROPS, model)
  assert pipeline.search(Options(crop_rule='fer2013', boxes=None), model)


def test_a_rule_beside_that_of_the_model(model):
  with pytest.raises(OptionError, match='leave it out'):
    pipeline.search(Options(crop_rule='fer2013'), model)


def test_a_model_that_listens(model):
  model.audio = True
  with pytest.raises(OptionError, match='listens'):
    run.make(model, CROPS)


def test_names_of_openface(photos):
  from emojax import tasks

  model = stand_in.Model(tasks.ABAW2021)
  layout = Layout(model.schema)
  table = run.table(model, CROPS, str(photos))
  made = openface.block(layout, dict(table))
  assert {c.name for c in openface.columns(layout)} == set(made)
  assert made['frame'].tolist() == [1, 1, 1]
  assert made['success'].tolist() == [1, 1, 1]
  present = ['AU1' in a.split('+') for a in table['au_answer']]
  assert made['AU01_c'].tolist() == present
  assert not any(name.endswith('_r') for name in made)


def test_a_table_without_a_column(model, photos):
  table = run.table(model, CROPS, str(photos))
  with pytest.raises(KeyError, match="no column 'joy'"):
    table['joy']
  assert '3 rows, 3 faces' in repr(table)


def test_limits_mean_something(model, photos):
  table = run.table(model, options.named({'crops': True, 'min_face': 1000}),
                    str(photos))  # fmt: skip
  assert all('small' in reason for reason in table['reason'])


def test_the_function_is_not_hidden_by_a_module():
  import emojax.answer
  import emojax.answers.run

  assert callable(emojax.predict)
  assert emojax.predict.__module__ == 'emojax'


@pytest.mark.slow
def test_memory_is_flat_over_a_long_video(model):
  """Of 1,200 frames of 1280 x 720, what is held does not grow."""
  import resource

  def read(source, skip_to=None, **_):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (720, 1280, 3)).astype(np.uint8)
    for i in range(1200):
      image = np.roll(frame, i, 1)
      yield sources.Frame(source.name, i, i / 30, image)

  _, made = run.make(model, CROPS, shown=True)
  source = sources.Source('x', 'x', 'video')
  peaks = []
  for part in made.parts([source], read=read):
    assert len(part.rows['frame']) <= pipeline.FRAMES
    model.seen.clear()
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
  assert len(peaks) == 19
  assert peaks[-1] - peaks[1] < 20 * 1024  # KiB; the frames are 3 GiB

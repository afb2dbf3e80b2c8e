"""Files and folders to frames: order, numbers, times, and whatever is wrong."""

import io
import os
import tracemalloc

import numpy as np
import pytest
import video_files
from PIL import Image

from emojax.data.readers.files.problems import DataError
from emojax.faces import sources

av = video_files.av


def saved(path, image=None, **options):
  """Writes a picture of four colours; its corners tell which way up it is."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image = video_files.picture(5) if image is None else image
  image = image if isinstance(image, Image.Image) else Image.fromarray(image)
  image.save(path, **options)
  return path


def names(found):
  return [source.name for source in found]


def read(path, **options):
  """Frames and problems of one file that `find` knows."""
  (source,), problems = sources.find([path])
  frames = list(sources.frames(source, problems=problems.append, **options))
  return frames, problems


# Files and folders.


def test_folders_in_a_stable_order(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in (
    'f10.jpg',
    'f9.PNG',
    'b/x.png',
    'b/a/y.png',
    'a2/z.jpg',
    'B.png',
  ):
    saved(tmp_path / 'in' / name)
  (tmp_path / 'in' / '.hidden.jpg').write_bytes(b'')
  (tmp_path / 'in' / '.git').mkdir()
  found, problems = sources.find(['in'])
  assert problems == []
  assert names(found) == [
    'in/B.png',
    'in/f9.PNG',
    'in/f10.jpg',
    'in/a2/z.jpg',
    'in/b/x.png',
    'in/b/a/y.png',
  ]
  assert {source.kind for source in found} == {'picture'}
  again, _ = sources.find(['in/f10.jpg', 'in'])
  assert names(again) == ['in/f10.jpg', *names(found)[:2], *names(found)[3:]]


def test_the_kind_is_in_the_name_or_in_the_file(tmp_path):
  video = video_files.write(tmp_path / 'clip.mp4', 3)
  picture = saved(tmp_path / 'photo.jpg')
  os.rename(picture, tmp_path / 'photo')
  os.link(video, tmp_path / 'clip')
  (tmp_path / 'notes.txt').write_text('hello')
  found, problems = sources.find(
    [tmp_path / 'photo', tmp_path / 'clip', tmp_path / 'notes.txt']
  )
  assert [source.kind for source in found] == ['picture', 'video']
  assert len(problems) == 1
  assert problems[0].startswith(f'{tmp_path}/notes.txt: found no readable')
  # In a folder, names decide.
  found, problems = sources.find([tmp_path])
  assert names(found) == [f'{tmp_path}/clip.mp4']
  assert len(problems) == 3


def test_what_is_no_file_is_a_problem(tmp_path):
  os.mkfifo(tmp_path / 'pipe.jpg')
  (tmp_path / 'broken.jpg').symlink_to(tmp_path / 'nothing')
  (tmp_path / 'loop.jpg').symlink_to('loop.jpg')
  (tmp_path / 'circle').symlink_to(tmp_path)
  saved(tmp_path / 'new\nline.png')
  with open(os.fsencode(tmp_path) + b'/\xff.png', 'wb'):
    pass
  found, problems = sources.find(
    [tmp_path, tmp_path / 'gone.jpg', 'nul\0.jpg', 'x' * 5000, '']
  )
  assert found == []
  assert len(problems) == 9
  assert not any('\n' in line for line in problems)
  text = '\n'.join(problems)
  for said in ('pipe.jpg: found no plain file', 'control characters', 'UTF-8'):
    assert said in text
  assert text.count('no such file or folder') == 4


def test_links_to_files_and_folders_are_followed(tmp_path):
  saved(tmp_path / 'there' / 'a.png')
  (tmp_path / 'in').mkdir()
  (tmp_path / 'in' / 'link').symlink_to(tmp_path / 'there')
  (tmp_path / 'in' / 'b.png').symlink_to(tmp_path / 'there' / 'a.png')
  found, problems = sources.find([tmp_path / 'in'])
  assert problems == []
  assert names(found) == [
    f'{tmp_path}/in/b.png',
    f'{tmp_path}/in/link/a.png',
  ]


def test_a_file_is_named_twice_or_two_files_are(tmp_path, monkeypatch):
  """What is behind a link has another folder above it than the link has."""
  saved(tmp_path / 'here' / 'p.png')
  saved(tmp_path / 'real' / 'p.png')
  (tmp_path / 'real' / 'deep').mkdir()
  (tmp_path / 'here' / 'link').symlink_to('../real/deep')
  (tmp_path / 'here' / 'same').symlink_to('.')
  monkeypatch.chdir(tmp_path)
  found, _ = sources.find(['here/p.png', 'here/link/../p.png', 'here'])
  assert names(found) == ['here/p.png', 'here/link/../p.png']
  again = ['./here//p.png', 'here/same/p.png', tmp_path / 'here' / 'p.png']
  assert names(sources.find(['here/p.png', *again])[0]) == ['here/p.png']
  found, _ = sources.find(['here/p.png', 'real/p.png', 'here/link/../p.png'])
  assert names(found) == ['here/p.png', 'real/p.png']


# Pictures.


@pytest.mark.parametrize(
  ('name', 'mode', 'options'),
  [
    ('a.png', 'RGB', {}),
    ('a.png', 'RGBA', {}),
    ('a.png', 'P', {}),
    ('a.jpg', 'RGB', {'quality': 95}),
    ('a.jpg', 'CMYK', {'quality': 95}),
    ('a.webp', 'RGB', {'quality': 95}),
    ('a.tif', 'RGB', {}),
    ('a.bmp', 'RGB', {}),
    ('a.gif', 'P', {}),
    ('a.ppm', 'RGB', {}),
    ('a.jp2', 'RGB', {}),
    ('a.avif', 'RGB', {'quality': 95}),
  ],
)
def test_formats_and_modes(tmp_path, name, mode, options):
  image = Image.fromarray(video_files.picture(5)).convert(mode)
  (frame,), problems = read(saved(tmp_path / name, image, **options))
  assert problems == []
  assert frame.file == f'{tmp_path}/{name}'
  assert (frame.index, frame.time) == (0, 0.0)
  assert frame.image.dtype == np.uint8
  assert frame.image.shape == (48, 64, 3)
  assert frame.image.flags.writeable
  assert video_files.corners(frame.image) == 'RGBW'
  assert video_files.number(frame.image) == 5


def test_alpha_is_left_out_and_grey_has_three_channels(tmp_path):
  image = np.full((9, 9, 4), (200, 100, 50, 0), np.uint8)
  (frame,), _ = read(saved(tmp_path / 'a.png', image))
  assert frame.image[4, 4].tolist() == [200, 100, 50]
  (frame,), _ = read(saved(tmp_path / 'g.png', np.full((9, 9), 77, np.uint8)))
  assert frame.image[4, 4].tolist() == [77, 77, 77]
  wide = np.full((9, 9), 0xABCD, np.uint16)
  (frame,), _ = read(saved(tmp_path / 'w.png', wide))
  assert frame.image[4, 4].tolist() == [0xAB] * 3


@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_grey_of_16_bits_is_turned_too(ending, tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  values = np.random.default_rng(0).integers(2**12, 2**16, (48, 64))
  path = tmp_path / f'a.{ending}'
  Image.fromarray(values.astype(np.uint16)).save(path, exif=exif)
  (frame,) = sources.frames(sources.find([str(path)])[0][0])
  assert frame.image.shape == (64, 48, 3)
  expected = np.rot90(values >> 8, -1)
  np.testing.assert_array_equal(frame.image[..., 0], expected)


def test_pgm_of_16_bits(tmp_path):
  values = np.random.default_rng(0).integers(2**12, 2**16, (5, 7))
  path = tmp_path / 'a.pgm'
  path.write_bytes(b'P5 7 5 65535\n' + values.astype('>u2').tobytes())
  (frame,) = sources.frames(sources.find([str(path)])[0][0])
  np.testing.assert_array_equal(frame.image[..., 0], values >> 8)


def test_names_are_no_formulas(tmp_path, monkeypatch):
  """Spreadsheets take a cell that begins so for one."""
  monkeypatch.chdir(tmp_path)
  saved(tmp_path / '=1+1.jpg')
  for given in ('=1+1.jpg', './=1+1.jpg', '.'):
    ((source,), _) = sources.find([given])
    assert source.name == './=1+1.jpg'


@pytest.mark.parametrize(
  ('orientation', 'corners'),
  [(1, 'RGBW'), (2, 'GRWB'), (3, 'WBGR'), (6, 'BRWG'), (8, 'GWRB')],
)
def test_exif_turns(tmp_path, orientation, corners):
  exif = Image.Exif()
  exif[0x0112] = orientation
  path = saved(tmp_path / 'a.jpg', exif=exif, quality=95)
  (frame,), _ = read(path)
  assert video_files.corners(frame.image) == corners
  assert frame.image.shape[:2] == ((64, 48) if orientation > 4 else (48, 64))


def test_animations_and_other_pictures_are_refused(tmp_path):
  first = Image.fromarray(video_files.picture(0))
  more = [Image.fromarray(video_files.picture(i)) for i in (20, 63)]
  saved(tmp_path / 'a.gif', first, save_all=True, append_images=more)
  saved(tmp_path / 'b.tif', first, save_all=True, append_images=more)
  saved(tmp_path / 'c.webp', first, save_all=True, append_images=more)
  data = io.BytesIO()
  first.save(data, 'EPS')  # would call Ghostscript
  (tmp_path / 'd.jpg').write_bytes(data.getvalue())
  (tmp_path / 'e.png').write_bytes(b'')
  few = np.full((9, 9), 1000, np.uint16)
  saved(tmp_path / 'f.png', few)
  for name in ('a.gif', 'b.tif', 'c.webp', 'd.jpg', 'e.png', 'f.png'):
    frames, problems = read(tmp_path / name)
    assert frames == []
    assert len(problems) == 1
    assert problems[0].startswith(f'{tmp_path}/{name}: found ')
    (source,), _ = sources.find([tmp_path / name])
    with pytest.raises(DataError):
      list(sources.frames(source))


def test_a_picture_of_too_many_pixels(tmp_path, monkeypatch):
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
  frames, problems = read(saved(tmp_path / 'a.png'))
  assert frames == []
  assert 'at most 1,000 pixels' in problems[0]
  frames, problems = read(video_files.write(tmp_path / 'a.mp4', 3))
  assert frames == []
  assert (
    'at most 1,000 pixels' in problems[0] or 'a frame of more' in problems[0]
  )


def test_times_do_not_leave_pictures_out(tmp_path):
  path = saved(tmp_path / 'a.png')
  assert len(read(path, start=5, stop=6, every=7)[0]) == 1
  assert read(path, skip_to=1)[0] == []


# Videos.

TIMES = [0, 40, 80, 200, 210, 500, 1000, 1033]  # milliseconds


def video(tmp_path, name='v.mp4', **options):
  return video_files.write(tmp_path / name, len(TIMES), times=TIMES, **options)


def test_times_of_a_varying_rate(tmp_path):
  frames, problems = read(video(tmp_path))
  assert problems == []
  assert [f.index for f in frames] == list(range(8))
  assert [video_files.number(f.image) for f in frames] == list(range(8))
  np.testing.assert_allclose(
    [f.time for f in frames], np.array(TIMES) / 1000, atol=1e-3
  )


def test_parts_are_the_same_frames(tmp_path):
  path = video(tmp_path)
  whole = {f.index: f for f in read(path)[0]}

  def part(**options):
    frames, problems = read(path, **options)
    assert problems == []
    for frame in frames:
      assert frame.time == whole[frame.index].time
      np.testing.assert_array_equal(frame.image, whole[frame.index].image)
    return [frame.index for frame in frames]

  assert part(every=3) == [0, 3, 6]
  assert part(start=0.08, stop=0.5) == [2, 3, 4]
  assert part(skip_to=5) == [5, 6, 7]
  assert part(every=2, start=0.05, stop=1.01, skip_to=3) == [4, 6]
  assert part(skip_to=99) == []
  assert part(skip_to=5, stop=0) == []  # that is said before it was killed


def test_a_phone_that_is_held_upright(tmp_path):
  path = video_files.write(tmp_path / 'x.mp4', 2)
  video_files.set_matrix(path, (0, 1, -1, 0))
  frames, _ = read(path)
  assert frames[0].image.shape == (64, 48, 3)
  assert video_files.corners(frames[0].image) == 'BRWG'


def test_a_frame_that_is_lost_is_passed_over(tmp_path):
  path = video_files.write(tmp_path / 'x.mp4', 12, options={'g': '1'})
  video_files.damage(path, 4)
  frames, problems = read(path)
  assert [f.index for f in frames] == [0, 1, 2, 3, *range(5, 12)]
  assert len(problems) == 1
  assert 'no picture of frame 4 at 0.160 s' in problems[0]
  # Nobody asked for it.
  assert read(path, every=3)[1] == []
  assert read(path, skip_to=5)[1] == []
  assert read(path, stop=0.16)[1] == []
  (source,), _ = sources.find([path])
  with pytest.raises(DataError, match='frame 4'):
    list(sources.frames(source))


@pytest.mark.parametrize('stop', [None, 0.2])
def test_what_videos_look_like_is_said_of_their_beginning_too(tmp_path, stop):
  path = video_files.write(tmp_path / 'x.mp4', 12, curve=16)
  frames, (problem,) = read(path, stop=stop)
  assert len(frames) == (12 if stop is None else 5)
  assert (
    problem == f'{path}: HDR videos, read as SDR: paler than they are shown: PQ'
  )
  # Nothing is wrong with it: without somebody to tell, it is no error.
  assert len(list(sources.frames(sources.find([path])[0][0], stop=stop))) > 4


def test_runs_of_lost_frames_do_not_join(tmp_path):
  path = video_files.write(tmp_path / 'x.mp4', 12, options={'g': '1'})
  for place in (0, 6, 7, 8):
    video_files.damage(path, place)
  _, problems = read(path, every=2)
  assert len(problems) == 2
  assert 'frame 0 at' in problems[0]
  assert 'frames 6 to 8 at' in problems[1]


@pytest.mark.parametrize('codec', ['libx264', 'mpeg4'])
def test_an_end_that_is_missing_is_said(tmp_path, codec):
  whole = video_files.write(tmp_path / 'w.mkv', 50, codec, options={'g': '10'})
  data = whole.read_bytes()
  path = tmp_path / 'x.mkv'
  path.write_bytes(data[: len(data) * 2 // 3])
  frames, problems = read(path)
  assert 3 < len(frames) < 50
  assert any('cut or damaged: ends at' in line for line in problems)
  (source,), _ = sources.find([path])
  with pytest.raises(DataError):
    list(sources.frames(source))
  # Of the part before it nothing is missing.
  assert read(path, stop=0.2)[1] == []


def test_playlists_open_nothing(tmp_path):
  secret = video_files.write(tmp_path / 'secret.mp4', 3)
  for name in ('a.mp4', 'b.ts', 'c'):
    (tmp_path / name).write_text(f'#EXTM3U\n#EXTINF:1,\n{secret}\n')
  found, problems = sources.find([tmp_path / n for n in ('a.mp4', 'b.ts', 'c')])
  for source in found:
    assert list(sources.frames(source, problems=problems.append)) == []
  assert len(problems) == 3


def test_frames_are_streamed(tmp_path):
  # 400 frames of 270 KiB are 105 MiB; a few are held.
  path = tmp_path / 'long.mp4'
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx264', rate=25, options={'crf': '40'})
    stream.width, stream.height, stream.pix_fmt = 352, 256, 'yuv420p'
    image = np.zeros((256, 352, 3), np.uint8)
    for i in range(400):
      image[:, i % 352] = i % 256
      container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
    container.mux(stream.encode())
  (source,), _ = sources.find([path])
  tracemalloc.start()
  try:
    count = sum(1 for _ in sources.frames(source))
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert count == 400
  assert peak < 8 * 2**20


@pytest.mark.parametrize('values', [{'every': 0}, {'skip_to': -1}])
def test_numbers_out_of_range(tmp_path, values):
  (source,), _ = sources.find([saved(tmp_path / 'a.png')])
  with pytest.raises(ValueError, match='every is 1 or more'):
    list(sources.frames(source, **values))


# Webcams.


def test_times_without_a_frame_are_said(tmp_path):
  path = video(tmp_path)
  frames, (problem,) = read(path, start=100, stop=200)
  assert frames == []
  last = read(path)[0][-1].time
  assert f'found a video that ends at {last:.1f} s' in problem
  assert 'expected frames from 100 s on' in problem
  _, (problem,) = read(path, start=0.001, stop=0.002, every=2)
  assert 'from 0.001 s on and before 0.002 s, 1 of 2' in problem


def test_folders_are_left_out(tmp_path):
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
    Image.new('RGB', (9, 9)).save(tmp_path / name / 'p.png')

  def leave_out(folder):
    return os.path.basename(folder) in ('a', tmp_path.name)

  found, problems = sources.find([tmp_path], leave_out)
  assert [f.path for f in found] == [str(tmp_path / 'b' / 'p.png')]
  assert problems == []
  found, _ = sources.find([tmp_path / 'a'], leave_out)  # it is named
  assert len(found) == 1


def test_a_webcam_is_a_video_without_an_end(tmp_path, monkeypatch):
  path = video(tmp_path)
  real, asked = av.open, []

  def camera(address, format=None):
    asked.append((address, format))
    return real(str(path))

  monkeypatch.setattr(av, 'open', camera)
  monkeypatch.setattr('sys.platform', 'linux')
  webcam = sources.webcam(2)
  frames = list(sources.frames(webcam, every=2, stop=0.6))
  assert asked == [('/dev/video2', 'v4l2')]
  assert [f.index for f in frames] == [0, 2, 4]
  assert {f.file for f in frames} == {'webcam 2'}
  np.testing.assert_allclose(
    [f.time for f in frames], [0, 0.08, 0.21], atol=1e-3
  )


def test_a_webcam_without_a_clock(monkeypatch):
  class Camera:
    """Gives frames without time stamps."""

    def __enter__(self):
      return self

    def __exit__(self, *error):
      pass

    def decode(self, video):
      for number in range(3):
        image = video_files.picture(number)
        yield av.VideoFrame.from_ndarray(image, format='rgb24')

  monkeypatch.setattr(av, 'open', lambda *args, **options: Camera())
  frames = list(sources.frames(sources.webcam()))
  assert [video_files.number(f.image) for f in frames] == [0, 1, 2]
  assert frames[0].time == 0 < frames[1].time < frames[2].time < 60


def test_no_webcam():
  problems = []
  assert (
    list(sources.frames(sources.webcam(987), problems=problems.append)) == []
  )
  assert len(problems) == 1
  assert 'a webcam that can be opened' in problems[0]
  with pytest.raises(ValueError, match='numbered from 0'):
    sources.webcam(-1)


# Whatever is in a file.


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.webp', 'a.mp4', 'a.mkv'])
@pytest.mark.parametrize('seed', range(8))
def test_any_damage_ends_in_frames_or_lines(tmp_path, name, seed):
  random = np.random.default_rng(seed)
  path = tmp_path / name
  if name.endswith(sources.VIDEOS):
    video_files.write(path, 8)
  else:
    saved(path)
  data = np.frombuffer(path.read_bytes(), np.uint8).copy()
  places = random.integers(0, len(data), random.integers(1, 30))
  data[places] = random.integers(0, 256, len(places))
  path.write_bytes(data[: random.integers(1, len(data) + 1)].tobytes())
  frames, problems = read(path)
  assert all(f.image.dtype == np.uint8 and f.image.ndim == 3 for f in frames)
  assert frames or problems
  assert not any('\n' in line for line in problems)

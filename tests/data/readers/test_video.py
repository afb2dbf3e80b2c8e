"""Videos: every frame is the one displayed then, there and that way up."""

import gc
import itertools
import os

import numpy as np
import pytest
import trees
import video_files

from emojax.data.prepare import shards
from emojax.data.readers import base
from emojax.data.readers.files import containers, media, probing, video

av = video_files.av

TURNS = {  # (a, b, c, d): corners as displayed
  (1, 0, 0, 1): 'RGBW',
  (-1, 0, 0, 1): 'GRWB',
  (1, 0, 0, -1): 'BWRG',
  (-1, 0, 0, -1): 'WBGR',
  (0, 1, -1, 0): 'BRWG',
  (0, -1, 1, 0): 'GWRB',
  (0, 1, 1, 0): 'RBGW',
  (0, -1, -1, 0): 'WGBR',
}
SHORT_GROUPS = {'g': '10', 'bf': '2', 'sc_threshold': '0', 'qp': '10'}


def read(path):
  """Numbers that the frames show by their own, times, and what was lost."""
  errors = []
  found = list(video.frames(path, errors.append))
  shown = {f.index: video_files.number(f.image) for f in found}
  return shown, [f.time for f in found], [str(error) for error in errors]


def as_listed(path):
  """As `read`, by way of the reader of folders."""
  record = media.open_clip(path).record('x', 'x', 'train', {})
  record, images, problems = base.load_valid(record)
  index = record.frame_index.tolist()
  return index, images, [str(problem) for problem in problems]


@pytest.mark.parametrize(
  ('name', 'codec', 'options'),
  [
    ('x.mp4', 'libx264', {}),
    ('x.mov', 'libx264', {'bf': '0'}),
    ('x.avi', 'mpeg4', {'bf': '2'}),
    ('x.avi', 'mjpeg', {}),
    ('x.mkv', 'libx264', {}),
    ('x.webm', 'libvpx', {}),
    ('x.webm', 'libvpx-vp9', {'deadline': 'realtime', 'cpu-used': '8'}),
    ('x.mpg', 'mpeg2video', {'bf': '2'}),
    ('x.m4v', 'mpeg4', {}),
  ],
)
def test_containers_and_codecs(tmp_path, name, codec, options):
  path = tmp_path / name
  video_files.write(path, 12, codec, options=options)
  shown, times, errors = read(path)
  assert shown == {i: i for i in range(12)}
  np.testing.assert_allclose(times, np.arange(12) / 25, atol=1e-6)
  assert errors == []
  found = probing.probe(path)
  np.testing.assert_array_equal(found.times, times)
  assert (found.fps, found.steady, found.remarks) == (25, True, ())


@pytest.mark.parametrize('suffix', ['mp4', 'mov'])
@pytest.mark.parametrize(('matrix', 'corners'), TURNS.items())
def test_turned_and_mirrored_as_displayed(tmp_path, suffix, matrix, corners):
  path = video_files.write(tmp_path / f'x.{suffix}', 2)
  video_files.set_matrix(path, matrix)
  turned = matrix[0] == 0
  for i, found in enumerate(video.frames(path)):
    assert found.image.shape == ((64, 48, 3) if turned else (48, 64, 3))
    assert found.image.dtype == np.uint8
    assert video_files.corners(found.image) == corners
    image = np.asarray(video.VideoFrame(str(path), i).image())
    np.testing.assert_array_equal(image, found.image)


def test_turns_by_other_angles_are_said(tmp_path):
  path = video_files.write(tmp_path / 'x.mp4', 3)
  video_files.set_matrix(path, (0.5, 0.866, -0.866, 0.5))
  shown, _, errors = read(path)
  assert shown == {}
  (error,) = errors
  assert 'frames 0 to 2' in error
  assert 'no multiple of 90 degrees' in error


@pytest.mark.parametrize('sound', [False, True])
def test_a_cover_picture_is_no_video(tmp_path, sound):
  path = tmp_path / 'x.mp4'
  samples = np.zeros(24000) if sound else None
  video_files.write(path, 5, cover=True, sound=samples)
  video_files.cover_first(path)
  with av.open(str(path)) as container:
    first = container.streams.video[0]
    assert first.disposition & av.stream.Disposition.attached_pic
  assert read(path)[0] == {i: i for i in range(5)}
  assert len(media.open_clip(path).frames) == 5
  assert video.rate(path) == 25


def test_of_two_videos_the_longer_one_is_read(tmp_path):
  """A still picture that does not say that it is a cover."""
  path = tmp_path / 'x.mkv'
  with av.open(str(path), 'w') as container:
    streams = [container.add_stream(c, rate=25) for c in ('mjpeg', 'libx264')]
    for stream, format in zip(streams, ('yuvj420p', 'yuv420p')):
      stream.width, stream.height, stream.pix_fmt = 64, 48, format
    for i in range(10):
      frame = av.VideoFrame.from_ndarray(video_files.picture(i), format='rgb24')
      for stream in streams[i > 0 :]:
        new = frame.reformat(format=stream.pix_fmt)
        new.pts = i
        container.mux(stream.encode(new))
    for stream in streams:
      container.mux(stream.encode())
  assert read(path)[0] == {i: i for i in range(10)}


@pytest.mark.parametrize('which', [13, 24, 0])
def test_a_damaged_packet_costs_its_frame(tmp_path, which):
  """Those after it keep their numbers, and their pictures from the next key
  frame on."""
  path = video_files.write(tmp_path / 'x.mp4', 50, options=SHORT_GROUPS)
  lost = video_files.damage(path, which)
  shown, times, errors = read(path)
  after = [i for i in shown if i < lost // 10 * 10 or i >= lost // 10 * 10 + 10]
  assert len(after) == 40
  assert [shown[i] for i in after] == after
  np.testing.assert_allclose(times, np.array(list(shown)) / 25, atol=1e-6)
  assert lost not in shown
  (error,) = errors
  assert str(path) in error
  if which:
    assert len(shown) == 49
    assert f'no picture of frame {lost} at {lost / 25:.3f} s' in error
  else:  # nothing can be made of its group
    assert set(shown) == set(range(10, 50))
    assert 'no picture of frames 0 to 9 at 0.000 to 0.360 s' in error
  with pytest.raises(base.DataError, match='no picture of frame'):
    list(video.frames(path))


def test_failures_do_not_decode_again(tmp_path, monkeypatch):
  """A frame that cannot be had is known by then; the file is opened once."""
  options = {**SHORT_GROUPS, 'g': '1', 'bf': '0'}
  path = video_files.write(tmp_path / 'x.mp4', 50, options=options)
  lost = sorted(video_files.damage(path, i) for i in (3, 4, 20, 33, 49))
  count = 0
  opened = containers.opened

  def counted(file):
    nonlocal count
    count += 1
    return opened(file)

  clip = media.open_clip(path)
  monkeypatch.setattr(containers, 'opened', counted)
  record = clip.record('x', 'x', 'train', {})
  record, _, problems = base.load_valid(record)
  assert count == 1
  assert record.frame_index.tolist() == sorted({*range(50)} - {*lost})
  for problem, i in zip(problems, lost, strict=True):
    assert f'frame {i} at {i / 25:.3f} s' in str(problem)
  for frame in record.frames[::7]:
    image = np.asarray(frame.image())
    assert video_files.number(image) == frame.index
  # Lost frames and what lies behind the end, again and again.
  before = count
  for index in (*lost, *lost, 50, 51, 50):
    with pytest.raises(base.DataError):
      video.VideoFrame(str(path), index).image()
  assert count == before


def test_pictures_that_the_decoder_fills_in_are_lost(tmp_path):
  """It knows that they are damaged, and hands them out nevertheless."""
  path = tmp_path / 'x.avi'
  options = {'g': '10', 'bf': '0'}
  video_files.write(path, 30, 'mpeg4', options=options)
  lost = video_files.damage(path, 10, skip=60)
  shown, _, errors = read(path)
  assert set(shown) == {*range(30)} - {lost}
  assert 'fills damaged parts in' in errors[0]


@pytest.mark.parametrize(('bf', 'start'), [('0', 13), ('2', 25), ('2', 20)])
def test_edit_lists(tmp_path, bf, start):
  """Frames before the cut are decoded, since others need them, not counted."""
  options = {**SHORT_GROUPS, 'bf': bf}
  path = video_files.write(tmp_path / 'x.mp4', 50, options=options)
  video_files.set_edit(path, start, 15)
  shown, times, errors = read(path)
  assert shown == {i: start + i for i in range(15)}
  np.testing.assert_allclose(times, np.arange(15) / 25, atol=1e-6)
  assert errors == []
  found = probing.probe(path)
  assert (len(found.times), found.remarks) == (15, ())
  index, images, problems = as_listed(path)
  assert (index, problems) == (list(range(15)), [])
  assert len(images) == 15


def test_frames_of_vp8_that_are_not_shown(tmp_path):
  path = video_files.write(tmp_path / 'x.webm', 12, 'libvpx')
  data = path.read_bytes()
  with av.open(str(path)) as container:
    packet = [p for p in container.demux() if p.size][5]
    start = data.index(bytes(packet))
  video_files.patch(path, start, bytes([data[start] & ~0x10]))
  shown, _, errors = read(path)
  assert list(shown.values()) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
  assert list(shown) == list(range(11))
  assert errors == []


TIMES = [0, 40, 100, 110, 300, 310, 320, 700, 800, 900, 1000, 2000]


@pytest.mark.parametrize('name', ['x.mp4', 'x.mkv'])
def test_frames_have_their_own_times(tmp_path, name):
  path = video_files.write(tmp_path / name, 12, times=TIMES)
  shown, times, _ = read(path)
  assert shown == {i: i for i in range(12)}
  np.testing.assert_allclose(times, np.array(TIMES) / 1000, atol=1e-6)
  clip = media.open_clip(path)
  np.testing.assert_array_equal(clip.times, times)
  record = clip.record('x', 'x', 'train', {})
  np.testing.assert_array_equal(record.take([3, 11]).frame_time, [0.11, 2.0])
  kinds = [remark.kind for remark in clip.remarks]
  assert any('rate varies' in kind for kind in kinds)
  (gap,) = (r.detail for r in clip.remarks if 'gap' in r.kind)
  assert gap == '1.00 s after frame 10 (1.00 s)'


def test_of_constant_rates_nothing_is_kept(tmp_path):
  """WebM rounds times to a millisecond."""
  path = video_files.write(tmp_path / 'x.webm', 12, 'libvpx', rate=30)
  clip = media.open_clip(path)
  assert (clip.times, clip.fps, clip.remarks) == (None, 30, ())


def test_a_rate_that_is_rounded_does_not_vary():
  """It is off by more than a few milliseconds after an hour."""
  for rate, said in ((29.9, 0), (25, 1)):
    times = np.arange(90000) / rate
    times[1000::100] += 0.02 * said
    found = probing.Video(times, 29.9001 if not said else 25, 0.0, ())
    assert not found.steady
    assert len(probing._timing(found)) == said


def test_frames_are_read_as_they_are_asked_for(tmp_path, monkeypatch):
  path = video_files.write(tmp_path / 'x.mp4', 50)
  count = 0
  packets = containers.packets

  def counted(*args, **kwargs):
    nonlocal count
    for packet in packets(*args, **kwargs):
      count += 1
      yield packet

  monkeypatch.setattr(containers, 'packets', counted)
  found = list(itertools.islice(video.frames(path), 3))
  assert [f.index for f in found] == [0, 1, 2]
  assert count < 15


def test_pictures_are_freed_without_the_garbage_collector(tmp_path):
  """FFmpeg's memory is not what makes the collector look for circles."""
  path = video_files.write(tmp_path / 'x.mp4', 40)
  gc.collect()
  gc.disable()
  try:
    assert sum(1 for _ in video.frames(path)) == 40
    held = [o for o in gc.get_objects() if type(o) is av.VideoFrame]
  finally:
    gc.enable()
  assert len(held) < 4


@pytest.mark.parametrize(
  ('name', 'codec'),
  [('x.mp4', 'libx264'), ('x.avi', 'mpeg4'), ('x.mkv', 'libx264')],
)
def test_cut_files_are_read_as_far_as_they_go(tmp_path, name, codec):
  whole = tmp_path / f'whole-{name}'
  video_files.write(whole, 50, codec, options={'g': '10', 'bf': '0'})
  path = tmp_path / name
  if name == 'x.mp4':  # with its index before its frames
    with av.open(str(whole)) as source:
      flags = {'movflags': 'faststart'}
      with av.open(str(path), 'w', options=flags) as target:
        old = source.streams.video[0]
        new = target.add_stream_from_template(old)
        for packet in source.demux(old):
          if packet.size:
            packet.stream = new
            target.mux(packet)
    whole = path
  data = whole.read_bytes()
  path.write_bytes(data[: len(data) * 2 // 3])
  shown, _, _ = read(path)
  assert 3 < len(shown) < 50
  assert shown == {i: i for i in range(len(shown))}
  remarks = media.open_clip(path).remarks
  assert any('cut or damaged' in remark.kind for remark in remarks)


def broken(folder):
  """Files that are no videos: {what is said of them: file}."""
  files = {
    'an empty file': b'',
    'Invalid data': b'<html>404</html>',
    'no stream of video|Invalid': b'#EXTM3U\n#EXTINF:1,\nwhole.mp4\n',
    'Invalid': b'ffconcat version 1.0\nfile whole.mp4\n',
  }
  whole = video_files.write(folder / 'whole.mp4', 5)
  data = whole.read_bytes()
  files['without its whole index .*cut'] = data[: data.index(b'moov') - 4]
  for i, (text, content) in enumerate(files.items()):
    path = folder / f'{i}.mp4'
    path.write_bytes(content)
    yield text, path
  tone = np.zeros(24000)
  only = video_files.write_sound(folder / 'sound.mp4', tone)
  yield 'a file with sound only', only
  only = video_files.write_sound(folder / 'cover.mp4', tone, cover=True)
  yield 'a file with sound and a cover picture only', only
  yield 'No such file', folder / 'nothing.mp4'


def test_an_index_is_not_sought_for_ever(tmp_path, monkeypatch):
  """Boxes of 8 bytes: a file of a gigabyte has a hundred millions."""
  path, asked = tmp_path / 'x.mp4', itertools.count()
  path.write_bytes((8).to_bytes(4) + b'free')
  with open(path, 'ab') as file:
    file.write(path.read_bytes() * (1 << 17))
  boxes = containers._boxes
  monkeypatch.setattr(
    containers, '_boxes', lambda p: (box for box, _ in zip(boxes(p), asked))
  )
  with pytest.raises(base.DataError, match='among its first 65,536 parts'):
    probing.probe(path)
  assert next(asked) <= 1 << 16


def test_a_pipe_is_no_video(tmp_path):
  os.mkfifo(tmp_path / 'x.mp4')
  with pytest.raises(base.DataError, match='a pipe or a device'):
    probing.probe(tmp_path / 'x.mp4')


def test_files_that_are_no_videos_say_what_they_are(tmp_path):
  for text, path in broken(tmp_path):
    for use in (
      probing.probe,
      video.rate,
      lambda path: list(video.frames(path)),
      lambda path: video.VideoFrame(str(path), 0).image(),
    ):
      with pytest.raises(base.DataError, match=text) as caught:
        use(path)
      assert caught.value.file.endswith(path.name)


def test_names_that_ffmpeg_takes_for_addresses(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  video_files.write(tmp_path / 'x.mp4', 3)
  (tmp_path / 'x.mp4').rename(tmp_path / 'concat:a|b.mp4')
  assert len(list(video.frames('concat:a|b.mp4'))) == 3


def test_colours_and_pixels_that_are_read_as_they_are(tmp_path):
  for curve, name in ((16, 'PQ'), (18, 'HLG')):
    path = video_files.write(tmp_path / f'{name}.mp4', 2, curve=curve)
    (remark,) = media.open_clip(path).remarks
    assert 'HDR videos, read as SDR' in remark.kind
    assert remark.detail == name
  path = video_files.write(
    tmp_path / 'wide.mp4', 2, options={'aspect': '2'}, curve=1
  )
  (remark,) = media.open_clip(path).remarks
  assert 'not square' in remark.kind
  assert remark.detail == '2:1'


def table(folder, rows):
  """A table that labels frames of x.mp4; returns the listing."""
  tree = trees.Tree('folder', folder)
  cells = (f'x.mp4,{frame},{label}' for frame, label in rows)
  tree.text('labels.csv', 'path,frame,label', *cells)
  return base.scan('folder', folder)


def test_rows_and_frames(tmp_path):
  video_files.write(tmp_path / 'x.mp4', 6)
  listing = table(tmp_path, [(i, 'ab'[i % 2]) for i in range(6)])
  assert listing.problems.summary() == ''
  listing = table(tmp_path, [(i, 'ab'[i % 2]) for i in range(1, 7)])
  text = listing.problems.summary()
  assert 'rows seem to count frames from 1' in text
  assert 'x.mp4: rows 1 to 6 of frames 0 to 5' in text
  assert 'found frame 6; expected a frame in 0..5' in text
  listing = table(tmp_path, [(0, 'a'), (3, 'b')])
  text = listing.problems.summary()
  assert 'fewer rows than frames, the rest left out: 1, ' in text
  assert 'x.mp4: 2 of 6' in text
  assert 'from 1' not in text
  assert listing.problems.count == 0


def test_remarks_on_many_files_are_one_line(tmp_path):
  for i in range(5):
    path = tmp_path / f'yes/{i}.mp4'
    path.parent.mkdir(exist_ok=True)
    video_files.write(path, 2, curve=16)
  listing = base.scan('folder', tmp_path, classes='yes,no')
  (line,) = (s for s in listing.problems.summary().split('\n') if 'HDR' in s)
  assert line.startswith(
    'HDR videos, read as SDR: paler than they are shown: 5'
  )
  assert '0.mp4: PQ' in line
  assert '4.mp4' not in line


def test_varying_rates_reach_the_records_of_a_table(tmp_path):
  video_files.write(tmp_path / 'x.mp4', 12, times=TIMES)
  listing = table(tmp_path, [(1, 'a'), (7, 'b'), (11, 'a')])
  (record,) = listing.records
  np.testing.assert_allclose(record.frame_time, [0.04, 0.7, 2.0], atol=1e-6)
  before = shards.digest(listing)
  record.frame_time[1] = 0.71
  assert shards.digest(listing) != before


@pytest.mark.parametrize(
  ('name', 'codec'),
  [
    ('x.mp4', 'libx264'),
    ('x.avi', 'mpeg4'),
    ('x.mkv', 'libx264'),
    ('x.webm', 'libvpx'),
  ],
)
def test_any_damage_ends_in_frames_or_in_a_clear_error(tmp_path, name, codec):
  """Bytes anywhere, and half of the time in the headers; some files are cut."""
  path, rng = tmp_path / name, np.random.default_rng(0)
  video_files.write(path, 12, codec, options={'g': '4'})
  whole = np.frombuffer(path.read_bytes(), np.uint8)
  outcomes = set()
  for i in range(40):
    data = whole.copy()
    places = rng.integers(0, len(data) if i % 2 else 1000, rng.integers(1, 20))
    data[places] = rng.integers(0, 256, len(places))
    path.write_bytes(data[: rng.integers(1, len(data))] if i % 5 == 0 else data)
    try:
      shown, times, errors = read(path)
    except base.DataError as error:
      outcomes.add(str(error).startswith(f'{path}: '))
      continue
    assert list(shown) == sorted(shown)
    assert len(probing.probe(path).times) >= len(shown)
    assert np.isfinite(times).all()
    outcomes.add('lost' if errors else 'read')
  assert outcomes in ({'read', 'lost', True}, {'read', True})


def test_codecs_that_nobody_knows(tmp_path):
  path = video_files.write(tmp_path / 'x.mkv', 3)
  data = path.read_bytes()
  video_files.patch(path, data.index(b'V_MPEG4/ISO/AVC'), b'V_XXXXX')
  for use in (probing.probe, video.rate, lambda path: next(video.frames(path))):
    with pytest.raises(base.DataError, match='codec that FFmpeg does not know'):
      use(path)

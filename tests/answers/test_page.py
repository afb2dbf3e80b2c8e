"""The page: small, whole, without a network; opened in a browser if there is one."""

import base64
import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import stand_in
from PIL import Image
from rich.console import Console

from emojax import tasks
from emojax.answers import (
  about,
  columns,
  drawing,
  gallery,
  options,
  page,
  progress,
  run,
)
from emojax.answers.columns import Layout
from emojax.answers.options import Files, Options
from emojax.answers.session import Part, Session

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


def execute(path, out, schema=stand_in.VOTES):
  console = Console(file=io.StringIO())
  model = stand_in.Model(schema)
  asked = Options(crops=True)
  run.execute(model, asked, Files(), [str(path)], out, console)
  return out / 'page.html'


def data_of(path) -> dict:
  text = path.read_text()
  return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_a_page_asks_for_nothing(clip, tmp_path):
  text = execute(clip[0], tmp_path / 'out').read_text()
  assert "default-src 'none'" in html.unescape(text)
  assert not re.findall(r'(?:src|href)\s*=\s*["\']?(?!data:)[\w/:]', text)
  assert 'http' not in text.replace('http-equiv', '')
  assert 'Article 5(1)(f)' in text


def test_a_minute_of_video_is_less_than_three_megabytes(clip, tmp_path):
  path = execute(clip[0], tmp_path / 'out', tasks.ABAW2021)
  minutes = clip[1][-1] / 60
  # Pictures are of 240 pixels, whatever the video; these are of 160.
  assert path.stat().st_size * 2 < 3e6 * minutes


def test_timelines_are_the_columns(clip, tmp_path):
  path = execute(clip[0], tmp_path / 'out')
  table = run.table(stand_in.Model(), Options(crops=True), clip[0])
  (video,) = data_of(path)['videos']
  (track,) = video['tracks']
  times = np.frombuffer(base64.b64decode(track['times']), '<u4')
  np.testing.assert_array_equal(times, np.round(table['time'] * 1000))
  for label, three in zip(stand_in.VOTES[0].labels, track['labels']):
    value, low, high = (
      np.frombuffer(base64.b64decode(text), 'u1') / 254 for text in three
    )
    mean, spread = table[label], table[f'{label}_sd']
    np.testing.assert_allclose(value, mean, atol=0.002)
    np.testing.assert_allclose(low, np.clip(mean - spread, 0, 1), atol=0.002)
    np.testing.assert_allclose(high, np.clip(mean + spread, 0, 1), atol=0.002)
  assert track['answers'] == [
    drawing.title(Layout(stand_in.VOTES), row) for row in table.rows()
  ]
  assert len(video['frames']) > video['stop'] / 0.7


def test_long_timelines_are_thinned():
  times = np.arange(100_000) / 30
  bucket = gallery._buckets(times)
  assert bucket.max() < gallery.POINTS
  assert (np.diff(bucket) >= 0).all()
  values = np.sin(times)
  ends = np.concatenate([[0], np.flatnonzero(np.diff(bucket)) + 1])
  means = gallery._means(values, ends)
  expected = [values[bucket == b].mean() for b in np.unique(bucket)[:20]]
  np.testing.assert_allclose(means[:20], expected)


def test_bytes_keep_gaps():
  found = gallery._bytes(np.array([0, 1, np.nan, 0.5, np.inf, 2]))
  assert found.tolist() == [0, 254, 255, 127, 255, 254]


def test_the_most_uncertain_face_comes_first(faces, tmp_path):
  found = data_of(execute(faces, tmp_path / 'out'))
  totals = [face['total'] for face in found['faces']]
  assert totals == sorted(totals, reverse=True)
  assert found['num_faces'] == len(totals) == 70
  first = base64.b64decode(found['faces'][0]['image'])
  assert Image.open(io.BytesIO(first)).size == (112, 112)


def test_pictures_without_a_face_are_named(tmp_path):
  layout = Layout(stand_in.VOTES)
  session = Session(tmp_path / 'out', {})
  session.open()
  rows = layout.empty(1)
  rows['file'][:] = 'a<b\udcff'
  session.add(Part(rows, {}, {'problems': []}))
  source = run.sources.Source('a', 'a<b\udcff', 'picture')
  found = gallery.read(session, layout, [source])
  assert found['without'] == ['a<b\\udcff']
  assert 'a\\u003cb' in page.render(found)
  session.close()


def rows_of(layout: Layout, **changes):
  row = {c.name: c.empty(1)[0] for c in layout.columns}
  for task in layout.schema:
    for label in task.labels:
      row |= {f'{label}_sd': 0.1, label: 0.25}
  said = {'face': 0.0, 'x': 20.0, 'y': 30.0, 'w': 40.0, 'h': 50.0}
  return row | said | {'answer': 'fear'} | changes


def test_a_face_is_drawn_where_it_is():
  layout = Layout(stand_in.VOTES)
  grey = np.full((300, 400, 3), 90, np.uint8)
  made = drawing.draw(grey, layout, [rows_of(layout)])
  assert made.shape == grey.shape
  changed = np.argwhere((made != 90).any(-1))
  assert changed.min(0).tolist() == [30, 20]
  assert (made[30, 20:61] == drawing.SURE).all()
  unsure = drawing.draw(
    grey, layout, [rows_of(layout, unsure=True, reason='small;blurred')]
  )
  assert (unsure[30, 20:61] == drawing.UNSURE).all()
  assert not (grey != 90).any()


def test_cards_cover_no_other_face_and_no_other_card(monkeypatch):
  """Of a group: bars where there is room, elsewhere the answer alone."""
  layout, cards = Layout(stand_in.VOTES), []
  made = drawing._card

  def card(*arguments):
    cards.append(made(*arguments))
    return cards[-1]

  monkeypatch.setattr(drawing, '_card', card)
  rows = [
    rows_of(layout, face=float(i), x=60.0 + 130 * i, y=200.0 + 60 * (i % 2))
    | {'w': 80.0, 'h': 110.0}
    for i in range(5)
  ]
  drawing.draw(np.zeros((600, 800, 3), np.uint8), layout, rows)
  faces = [drawing._corners(row) for row in rows]
  for i, one in enumerate(cards):
    assert drawing._covered(one, faces + cards[:i]) == 0
  heights = {bottom - top for _, top, _, bottom in cards}
  assert max(heights) > 150  # with bars
  # Where faces fill the picture, the answers are small.
  cards.clear()
  full = [
    rows_of(layout, face=float(i)) | {'x': 100.0 * i, 'y': 0.0, 'w': 96.0}
    | {'h': 300.0}
    for i in range(4)
  ]  # fmt: skip
  drawing.draw(np.zeros((300, 400, 3), np.uint8), layout, full)
  assert max(bottom - top for _, top, _, bottom in cards) < 30


@pytest.mark.parametrize('size', [(1, 1), (2, 900), (900, 2), (48, 48)])
def test_pictures_of_any_size_can_be_drawn_in(size):
  layout = Layout(tasks.ABAW2021)
  row = rows_of(layout, x=-5.0, w=1e5)
  row |= {
    f'{n}_{e}': 0.0 for n in ('valence', 'arousal') for e in ('low', 'high')
  }
  image = np.zeros((*size, 3), np.uint8)
  assert drawing.draw(image, layout, [row]).shape == image.shape


def test_titles_say_why():
  layout = Layout(stand_in.VOTES)
  assert drawing.title(layout, rows_of(layout)) == 'fear'
  row = rows_of(layout, unsure=True, reason='blurred;small')
  assert drawing.title(layout, row) == 'fear? (blurred, small)'
  row = rows_of(layout, unsure=True, answer='')
  assert drawing.title(layout, row) == 'no answer? (close)'


def test_the_overlay_has_the_frames_times(clip, tmp_path):
  from emojax.data.readers.files import video

  execute(clip[0], tmp_path / 'out')
  (path,) = (tmp_path / 'out' / 'overlay').iterdir()
  found = [picture.time for picture in video.frames(path)]
  np.testing.assert_allclose(found, clip[1], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize('size', [(1200, 900), (500, 900)])
@pytest.mark.parametrize('kind', ['clip', 'faces'])
def test_a_browser_shows_it(kind, size, request, tmp_path):
  """The script runs to its end, and the page is no wider than its window."""
  browser = next(filter(None, map(shutil.which, BROWSERS)), None)
  if browser is None:
    pytest.skip('needs chromium')
  path = request.getfixturevalue(kind)
  path = path[0] if kind == 'clip' else path
  shown = execute(path, tmp_path / 'out')
  # What a script finds out stands in the document that is dumped.
  text = shown.read_text().replace(
    '</body>',
    '<script>document.title = [document.documentElement.scrollWidth, '
    'innerWidth, document.querySelectorAll("canvas, .card").length].join()'
    '</script></body>',
  )
  shown.write_text(text)
  done = subprocess.run(
    [
      browser, '--headless', '--no-sandbox', '--disable-gpu',
      f'--user-data-dir={tmp_path / "profile"}',
      f'--window-size={size[0]},{size[1]}', '--virtual-time-budget=3000',
      '--dump-dom', shown.as_uri(),
    ],
    capture_output=True, text=True, timeout=120,
  )  # fmt: skip
  title = re.search(r'<title>(.*?)</title>', done.stdout)[1]
  width, window, count = map(int, title.split(','))
  assert width <= window
  # The frame, eight labels and the uncertainty; or a card for each face.
  assert count == (10 if kind == 'clip' else 70)
  assert 'noscript' not in done.stdout


@pytest.mark.parametrize('counts', [(5,), (6,), (7,), (3, 0, 40), (1000,)])
def test_small_pictures_are_never_more_than_a_limit(counts):
  """However many come; each 2 ** n-th of every video is kept."""
  small = gallery.Thinned(6)
  for video, count in enumerate(counts):
    for i in range(count):
      small.add(video, 10 * i, gallery.Small(9, b'%d' % i))
      assert small.count <= 6
  kept = [small.of(video) for video in range(len(counts))]
  assert sum(map(len, kept)) == small.count
  step = next(
    s for s in (1, 2, 4, 8, 256) if sum(-(-n // s) for n in counts) <= 6
  )
  for count, found in zip(counts, kept):
    expected = [(10 * i, (9, b'%d' % i)) for i in range(0, count, step)]
    assert found == expected


def test_frames_of_one_video_can_differ_in_size(tmp_path, monkeypatch):
  """Boxes are in pixels of their own frame, whatever the last one has."""
  widths = (640, 320, 480)

  def frames(source, **_):
    for i, width in enumerate(widths):
      image = np.full((240, width, 3), 50 * i, np.uint8)
      yield run.sources.Frame(source.name, i, float(i), image)

  monkeypatch.setattr(run.sources, 'frames', frames)
  (tmp_path / 'v.mkv').write_bytes(b'')
  path = execute(tmp_path / 'v.mkv', tmp_path / 'out')
  (video,) = data_of(path)['videos']
  assert [frame['width'] for frame in video['frames']] == list(widths)
  boxes = np.frombuffer(base64.b64decode(video['tracks'][0]['boxes']), '<f4')
  assert boxes.reshape(-1, 4)[:, 2].tolist() == list(widths)
  # The script divides by the width of the frame that is shown.
  assert 'video.width' not in path.read_text()


def test_more_videos_than_small_pictures():
  small = gallery.Thinned(3)
  for video in range(9):
    for i in range(4):
      small.add(video, i, gallery.Small(9, b''))
  assert [small.of(video) for video in range(9)] == [[(0, (9, b''))]] * 9


def test_a_page_names_model_and_limits(clip, tmp_path):
  path = execute(clip[0], tmp_path / 'out')
  model = stand_in.Model()
  model_line, limits = data_of(path)['about']
  digest = json.loads((tmp_path / 'out' / 'command.json').read_text())['model']
  assert model_line == f'Model: {digest[:8]}.'
  assert 'Unsure: uncertainty above 0.9, or a reason' in limits
  assert 'disagree by more than 0.3' in limits
  layout = Layout(model.schema, columns.Sets(0.8, frozenset({'expr'})))
  asked = options.limits(Options(unsure_above=0.25), model)
  first, second, third = about.lines(model, layout, asked, 'ferplus')
  assert first == f'Model: ferplus ({digest[:8]}).'
  assert 'above 0.25' in second
  assert third.startswith(
    'Answer sets (answer_set in the table) of coverage 80%'
  )


def test_drawing_says_how_far_it_is(clip, faces, tmp_path, monkeypatch):
  """Frames, faces and the time left, as answering does."""
  monkeypatch.setattr(progress, 'LINE_SECONDS', -1)
  said = io.StringIO()
  console = Console(file=said, width=200)
  asked = Options(crops=True, every=10)
  inputs = [str(clip[0]), str(next(faces.glob('*.png')))]
  arguments = (stand_in.Model(), asked, Files(), inputs)
  run.execute(*arguments, tmp_path / 'out', console)
  lines = [x for x in said.getvalue().splitlines() if x.startswith('drawing: ')]
  assert re.match(r'drawing: 1 frame, 1 face, .* faces/s, left: ', lines[0])
  assert lines[-1].startswith('drawing: 16 frames, 16 faces')
  assert lines[-1].endswith('left: 0:00:00')

"""What the page shows: timelines of videos, faces of pictures, as plain JSON."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from emojax.answers import drawing, smoothing
from emojax.answers.columns import Layout
from emojax.answers.session import Session
from emojax.faces import sources
from emojax.host.terminal import harmless

POINTS = 1500  # of a timeline, more than a page has pixels
TRACKS = 12  # of a video, the longest ones
FACES = 500  # of pictures, the most uncertain ones
SHOWN = 1200  # small pictures of all videos
GAP = 255  # in place of a value


def read(
  session: Session,
  layout: Layout,
  found: Sequence[sources.Source],
  about: Sequence[str] = (),
) -> dict[str, Any]:
  """Collects what the page shows.

  Args:
    session: The folder, with its parts.
    layout: The columns.
    found: The inputs.
    about: Sentences on the model.

  Returns:
    JSON: 'about', 'labels', 'videos' and 'faces' with their small pictures as base64,
    and how many are left out.
  """
  numbers: dict[str, int] = {}
  for i, source in enumerate(found):
    numbers.setdefault(source.name, i)
  videos = {i: _Video() for i, s in enumerate(found) if s.kind != 'picture'}
  small = Thinned(SHOWN)
  faces, without, count = [], [], 0
  for part in smoothing.parts(layout, session.parts()):
    places = np.array([numbers[name] for name in part.rows['file']], int)
    moving = np.isin(places, list(videos))
    for number in np.unique(places[moving]):
      videos[number].add(part.rows, places == number)
    more = _pictures(layout, part, places, ~moving, without)
    count += len(more)
    faces = sorted([*faces, *more], key=_certainty)[:FACES]
    for name, data in part.pictures.items():
      number, index, last = (int(x) for x in name.split('-'))
      if number in videos:
        # Its width is kept with each, as frames of one video can differ in size.
        small.add(number, index, Small(last, data))
  return {
    'about': list(about),
    'labels': _labels(layout),
    'videos': [
      video.json(layout, harmless(found[i].name), small.of(i))
      for i, video in videos.items()
      if video.count
    ],
    'faces': faces,
    'without': without[:FACES],
    'num_without': len(without),
    'num_faces': count,
  }


def _labels(layout: Layout) -> list[dict[str, Any]]:
  """Names and lower ends of the axes, in order."""
  return [
    {'name': label, 'low': -1 if task.kind == 'binned' else 0}
    for task in layout.schema
    for label in task.labels
  ]


def _total(layout: Layout) -> str:
  """The column of the uncertainty over all tasks."""
  first, *others = layout.schema
  return f'{"mean" if others else first.name}_total'


def _pictures(layout, part, places, chosen, without: list) -> list[dict]:
  """The faces of pictures; those without one are added to `without`."""
  made = []
  names = list(part.rows)
  columns = [part.rows[name][chosen] for name in names]
  for place, *values in zip(places[chosen], *columns):
    row = dict(zip(names, values))
    if np.isnan(row['face']):
      without.append(harmless(row['file']))
      continue
    key = f'{place:06d}-{int(row["frame"]):09d}-{int(row["face"]):03d}'
    made.append(_face(layout, row, part.pictures[key]))
  return made


def _face(layout: Layout, row: Mapping[str, Any], data: bytes):
  total = float(row[_total(layout)])
  return {
    'file': harmless(row['file']),
    'face': int(row['face']),
    'image': base64.b64encode(data).decode(),
    'answer': drawing.title(layout, row),
    'unsure': bool(row['unsure']),
    'total': round(total, 4) if np.isfinite(total) else None,
    'bars': [_rounded(*drawing.spread(layout, *i, row)) for i in _all(layout)],
  }


def _all(layout: Layout):
  return [(task, label) for task in layout.schema for label in task.labels]


def _rounded(*values) -> list[float | None]:
  return [round(float(v), 3) if np.isfinite(v) else None for v in values]


def _certainty(face: Mapping[str, Any]) -> float:
  """What faces are sorted by; those without a number come first."""
  return -np.inf if face['total'] is None else -face['total']


class Small(NamedTuple):
  """A small picture of a frame: the width that it had, in pixels, and its JPEG."""

  width: int
  jpeg: bytes


class Thinned:
  """Small pictures of videos, no more than a limit at any time.

  Of every video each 1st, 2nd, 4th, ... picture is kept, the fewest divisions
  that are enough; what is kept depends on what was added alone.

  Args:
    limit: Pictures of all videos together.
  """

  def __init__(self, limit: int):
    self._limit, self._step, self.count = limit, 1, 0
    self._added: dict[int, int] = {}  # video -> pictures so far
    self._kept: dict[int, list[tuple[int, int, Small]]] = {}

  def add(self, video: int, index: int, picture: Small):
    """Adds the next picture of a video: that of a frame."""
    turn = self._added.get(video, 0)
    self._added[video] = turn + 1
    if turn % self._step:
      return
    self._kept.setdefault(video, []).append((turn, index, picture))
    self.count += 1
    while self.count > self._limit and any(
      len(k) > 1 for k in self._kept.values()
    ):
      self._step *= 2
      for number, kept in self._kept.items():
        self._kept[number] = [one for one in kept if not one[0] % self._step]
      self.count = sum(map(len, self._kept.values()))

  def of(self, video: int) -> list[tuple[int, Small]]:
    """(frame, picture) of a video, in order."""
    return [(index, kept) for _, index, kept in self._kept.get(video, [])]


class _Video:
  """Rows of one video."""

  def __init__(self):
    self._parts: list[dict[str, np.ndarray]] = []

  def add(self, rows: Mapping[str, np.ndarray], chosen: np.ndarray):
    self._parts.append(
      {name: values[chosen] for name, values in rows.items() if name != 'file'}
    )

  @property
  def count(self) -> int:
    return sum(len(part['frame']) for part in self._parts)

  def json(
    self, layout: Layout, name: str, pictures: Sequence[tuple[int, Small]]
  ) -> dict[str, Any]:
    rows = {
      key: np.concatenate([part[key] for part in self._parts])
      for key in self._parts[0]
    }
    tracks = [t for t in np.unique(rows['track']) if np.isfinite(t)]
    tracks.sort(key=lambda t: -int((rows['track'] == t).sum()))
    times = dict(zip(rows['frame'].astype(int), rows['time']))
    return {
      'name': name,
      'start': float(rows['time'].min()),
      'stop': float(rows['time'].max()),
      'num_tracks': len(tracks),
      'tracks': [
        _track(layout, int(t), rows, rows['track'] == t)
        for t in tracks[:TRACKS]
      ],
      'frames': [
        {
          'time': round(float(times[index]), 3),
          'width': picture.width,
          'image': base64.b64encode(picture.jpeg).decode(),
        }
        for index, picture in pictures
      ],
    }


def _track(layout: Layout, number: int, rows, chosen) -> dict[str, Any]:
  """One face over time, as bytes."""
  mine = {name: values[chosen] for name, values in rows.items()}
  bucket = _buckets(mine['time'])
  values = [drawing.spread(layout, *which, mine) for which in _all(layout)]
  total = np.asarray(mine[_total(layout)], np.float64)
  ends = np.concatenate([[0], np.flatnonzero(np.diff(bucket)) + 1])
  return {
    'number': number,
    'count': int(chosen.sum()),
    'times': _encode(np.round(mine['time'][ends] * 1000).astype('<u4')),
    'boxes': _encode(
      np.stack([mine[n][ends] for n in 'xywh'], -1).astype('<f4')
    ),
    'unsure': _encode(np.maximum.reduceat(mine['unsure'].astype('u1'), ends)),
    'answers': [drawing.title(layout, _row(mine, i)) for i in ends],
    'total': _encode(_bytes(_means(total, ends))),
    'labels': [
      [
        _encode(_bytes(_means(value, ends))),
        _encode(_bytes(np.minimum.reduceat(low, ends))),
        _encode(_bytes(np.maximum.reduceat(high, ends))),
      ]
      for value, low, high in values
    ],
  }


def _row(rows: Mapping[str, np.ndarray], i: int) -> dict[str, Any]:
  return {name: values[i] for name, values in rows.items()}


def _buckets(times: np.ndarray) -> np.ndarray:
  """Number of the point that every row belongs to, ascending."""
  if len(times) <= POINTS:
    return np.arange(len(times))
  span = max(times[-1] - times[0], 1e-9)
  return np.asarray((times - times[0]) / span * (POINTS - 1), np.int64)


def _means(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
  counts = np.diff([*ends, len(values)])
  return np.add.reduceat(values, ends) / counts


def _bytes(values: np.ndarray) -> np.ndarray:
  """[0, 1] as 0 to 254; what is not finite is a gap."""
  scaled = np.clip(np.nan_to_num(values), 0, 1) * (GAP - 1)
  return np.where(np.isfinite(values), np.round(scaled), GAP).astype('u1')


def _encode(array: np.ndarray) -> str:
  return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()

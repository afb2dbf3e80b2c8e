"""Frames -> faces -> crops -> answers -> rows, a few frames at a time.

Frames are read, and faces are found in them, by threads; what depends on the
frames before comes after, in order, so that threads change no answer. Nothing is
held but the few frames that are looked at and the small crops of a part, so that
an hour takes no more memory than a minute.
"""

import contextlib
import functools
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from emojax.answers import rows
from emojax.answers.columns import Layout
from emojax.answers.options import OptionError, Options
from emojax.answers.rows import Face, Limits, Seen
from emojax.answers.session import Part
from emojax.data.transform import images
from emojax.faces import (
  align,
  boxes,
  detectors,
  quality,
  sources,
  tiles,
  tracks,
)
from emojax.faces import faces as found_faces
from emojax.host import threads

FRAMES = 64  # of a part
# Clips that are computed at a time, always: programs of other sizes may round
# differently.
BATCH = 16
SHARP_SIZE = 48  # pixels of the crop whose sharpness is measured, for any model
SHOWN_FACE, SHOWN_FRAME = 112, 240  # pixels on the page
SHOWN_SECONDS = 0.5  # between the pictures of a video on the page
MOST_WORKERS = 4  # threads that look at frames: each holds one

Read = Callable[..., Iterator[sources.Frame]]


class Search(NamedTuple):
  """How the faces of a frame are found and cut.

  Attributes:
    find: (frame, kind of its source) -> faces.
    cut: (frame, faces, i, size) -> uint8 [size, size, 3].
    unused: Names of sources -> files that have boxes and are none of them.
    frames: Name of a source -> frames that it has boxes for.
  """

  find: Callable[[sources.Frame, str], found_faces.Faces]
  cut: Callable[[sources.Frame, found_faces.Faces, int, int], np.ndarray]
  unused: Callable[[Iterable[str]], list[str]] = lambda names: []
  frames: Callable[[str], Sequence[int]] = lambda name: ()


def search(options: Options, model, own: boxes.Boxes | None = None) -> Search:
  """The search that the options ask for.

  Args:
    options: What is asked for.
    model: The loaded model.
    own: The boxes, where they are no file.

  Raises:
    ValueError: If the model does not say how faces are cut, or a file of boxes
      or a detector is of no use.
  """
  if options.crops:
    return Search(_whole, _resized)
  rule = _rule(options, model)

  def cut(frame, found, i, size):
    box, points = found.boxes[i], found.landmarks[i]
    return align.crop(frame.image, box, points, rule, size)

  if options.boxes is not None:
    table = boxes.read(options.boxes) if own is None else own
    return Search(
      lambda frame, _: table.of(frame.file, frame.index),
      cut,
      table.missing,
      table.frames,
    )
  detect = _detector(options)
  tiled = tiles.tiled(detect)

  def find(frame, kind):
    divide = kind == 'picture' if options.tiles is None else options.tiles
    return (tiled if divide else detect)(frame.image)

  return Search(find, cut)


def _detector(options: Options) -> found_faces.Detector:
  """The detector of a name, or a user's function."""
  if callable(options.detector):
    return detectors.checked(options.detector)
  name = 'default' if options.detector is None else options.detector
  # Frames are looked at side by side, which keeps cores busier than one frame
  # divided between them.
  return detectors.load(name, options.min_score, threads=1)


def _rule(options: Options, model) -> align.CropRule:
  """The crop rule of the model, or the one that the user names for it."""
  said = model.metadata['preprocessing'].get('crop')
  if said is not None:
    if options.crop_rule is not None:
      raise OptionError(
        '--crop-rule: the model says itself how faces are cut; leave it out'
      )
    return align.CropRule.from_json(said)
  if options.crop_rule is None:
    raise OptionError(
      'the model does not say how faces were cut for its training: name the '
      'rule (--crop-rule fer2013), or give faces that are cut already (--crops)'
    )
  return align.FER2013


def _whole(frame: sources.Frame, _: str) -> found_faces.Faces:
  """The frame is a face."""
  height, width = frame.image.shape[:2]
  return found_faces.faces([[0, 0, width, height]])


def _resized(frame, found, i, size) -> np.ndarray:
  del found, i
  return images.resize(frame.image[None, None], size)[0, 0]


class Pipeline:
  """Makes parts of the table of what is read.

  Args:
    model: The loaded model.
    layout: Its columns.
    search: How faces are found.
    limits: From where on answers are unsure.
    temperature: Whether the model's temperatures are used.
    shown: Whether parts hold pictures for the page.
  """

  def __init__(
    self,
    model,
    layout: Layout,
    search: Search,
    limits: Limits,
    temperature: bool = False,
    shown: bool = True,
  ):
    if model.audio:
      raise OptionError(
        'this model also listens, which predict does not: choose another one'
      )
    self._model, self._layout, self._limits = model, layout, limits
    self._search, self._shown = search, shown
    self._temperature = temperature

  def unused(self, found: Sequence[sources.Source]) -> list[str]:
    """A line for boxes of files that are not among the sources, if there are.

    Raises:
      OptionError: If all of them are, or are for frames that pictures have not:
        whoever has named them otherwise would get answers without a face.
    """
    names = {source.name for source in found}
    self._check_frames(found)
    files = self._search.unused(names)
    if not files:
      return []
    more = f' and {len(files) - 1} more' if len(files) > 1 else ''
    line = (
      f'--boxes: no input is named {files[0]!r}{more}; inputs are named as '
      f'{found[0].name!r}'
    )
    if files == self._search.unused(()):
      raise OptionError(line)
    return [line]

  def _check_frames(self, found: Sequence[sources.Source]):
    """Raises OptionError if there are boxes for later frames of pictures alone."""
    boxed = [s for s in found if self._search.frames(s.name)]
    if boxed and all(
      s.kind == 'picture' and 0 not in self._search.frames(s.name)
      for s in boxed
    ):
      raise OptionError(
        f'--boxes: frame {min(self._search.frames(boxed[0].name))} of '
        f'{boxed[0].name!r}: frames count from 0, and a picture has no other'
      )

  def _beyond(self, name: str, read: int | None) -> list[str]:
    """A line for boxes after the last frame of a source, if there are.

    Args:
      name: Of the source.
      read: How many frames of it there were, or the last one's number plus 1;
        None if none could be read, which was said.
    """
    if read is None:
      return []
    late = [i for i in self._search.frames(name) if i >= read]
    if not late:
      return []
    more = f' and {len(late) - 1} later ones' if len(late) > 1 else ''
    return [
      f'{name}: --boxes has faces in frame {min(late)}{more}; the last one that was '
      f'read is frame {read - 1} (frames count from 0)'
    ]

  def parts(
    self,
    found: Sequence[sources.Source],
    state: dict[str, Any] | None = None,
    known: Iterable[str] = (),
    read: Read | None = None,
    watch: Callable[[int, int, int], object] = lambda *_: None,
    **reading,
  ) -> Iterator[Part]:
    """Yields the parts of some sources, one after the other.

    Args:
      found: The sources.
      state: Of the last part that is there; None to begin.
      known: Problems that earlier parts have told of.
      read: Yields the frames of a source; `sources.frames` without it.
      watch: Called with (source, frames, faces) after every frame.
      **reading: For `read`.
    """
    read = sources.frames if read is None else read
    place = _Place(state, known)
    read = functools.partial(read, **reading)
    stream = _stream(found, place.source, read, place.frame)
    block = _Block()
    workers = min(MOST_WORKERS, threads.cores())
    looked = threads.mapped(self._look, stream, workers, workers + 1)
    with contextlib.closing(looked):
      for look in looked:
        number = look.number
        place.enter(number, found[number])
        for line in look.problems:
          place.problem(line)
        if look.frame is None or look.found is None:
          for line in self._beyond(found[number].name, place.frame):
            place.problem(line)
          place.leave()
        else:
          self._keep(look.frame, look.found, look, place, block)
        watch(number, look.frame is not None, len(look.sharp))
        if len(block.seen) == FRAMES:
          yield self._part(block, place)
          block = _Block()
    if block.seen or place.problems:
      place.source = len(found)
      yield self._part(block, place)

  def _look(self, read: '_Read') -> '_Look':
    """Finds the faces of a frame and cuts them; of this frame alone."""
    frame = read.frame
    if frame is None:
      return _Look(read.number, None, read.problems)
    found = self._search.find(frame, read.kind)
    size = self._model.image_size
    crops, sharp, kept, problems = [], [], [], [*read.problems]
    for i in range(len(found.boxes)):
      try:
        crop = self._search.cut(frame, found, i, size)
        small = crop
        if size != SHARP_SIZE:
          small = self._search.cut(frame, found, i, SHARP_SIZE)
        crops.append(crop)
        sharp.append(quality.sharpness(small))
        kept.append(i)
      except ValueError as error:  # a box outside of the picture
        problems.append(f'{frame.file}, frame {frame.index}, face {i}: {error}')
    found = found.take(np.array(kept, int))
    return _Look(read.number, frame, problems, found, crops, sharp, kept)

  def _keep(
    self,
    frame: sources.Frame,
    found: found_faces.Faces,
    look: '_Look',
    place: '_Place',
    block: '_Block',
  ):
    """Keeps what is needed of a frame."""
    tracks_ = place.follow(found.boxes, frame)
    block.seen.append(_seen(frame, found, look, tracks_))
    block.crops.extend(look.crops)
    place.frame = frame.index + 1
    if self._shown:
      self._show(frame, found, look.places, place, block)

  def _show(self, frame, found, places, place: '_Place', block: '_Block'):
    """Small pictures for the page: faces of pictures, some frames of videos.

    Their names are source-frame-face and source-frame-width.
    """
    name = f'{place.source:06d}-{frame.index:09d}'
    if place.kind == 'picture':
      for i, number in enumerate(places):
        face = self._search.cut(frame, found, i, SHOWN_FACE)
        block.pictures[f'{name}-{number:03d}'] = jpeg(face)
    elif place.due(frame.time):
      width = frame.image.shape[1]
      small = jpeg(thumbnail(frame.image, SHOWN_FRAME))
      block.pictures[f'{name}-{width}'] = small

  def _part(self, block: '_Block', place: '_Place') -> Part:
    made = rows.block(
      self._layout,
      self._model,
      block.seen,
      self._answers(block.crops),
      self._limits,
    )
    return Part(made, block.pictures, place.state())

  def _answers(self, crops: list[np.ndarray]):
    """What the model says of the crops, computed in batches of one size."""
    if not crops:
      return None
    count = len(crops)
    full = crops + [crops[-1]] * (-count % BATCH)
    output = self._model.predict(
      np.stack(full), batch=BATCH, temperature=self._temperature
    )
    return rows.pick(output, np.arange(count))


class _Read(NamedTuple):
  """A frame of a source, or None at its end, and what was wrong before it."""

  number: int
  frame: sources.Frame | None
  problems: list[str]
  kind: str = ''


class _Look(NamedTuple):
  """What is seen in a frame, of itself: faces, their crops, what was wrong.

  `places` are the faces' numbers: boxes outside of the picture have one, too, so
  that a user's own table and ours name the same face.
  """

  number: int
  frame: sources.Frame | None
  problems: list[str]
  found: found_faces.Faces | None = None
  crops: Sequence[np.ndarray] = ()
  sharp: Sequence[float] = ()
  places: Sequence[int] = ()


def _stream(
  found: Sequence[sources.Source], start: int, read: Read, skip_to: int | None
) -> Iterator[_Read]:
  """Yields the frames of all sources from one on, and the end of each."""
  for number in range(start, len(found)):
    problems: list[str] = []
    source = found[number]
    for frame in read(source, skip_to=skip_to, problems=problems.append):
      yield _Read(number, frame, problems.copy(), source.kind)
      problems.clear()
    yield _Read(number, None, problems)
    skip_to = None


def _seen(frame, found, look: _Look, tracks_: np.ndarray) -> Seen:
  faces = tuple(
    Face(
      number,
      float(tracks_[i]),
      found.boxes[i],
      float(found.scores[i]),
      look.sharp[i],
      quality.profile(found.landmarks[i]),
    )
    for i, number in enumerate(look.places)
  )
  return Seen(frame.file, frame.index, frame.time, faces)


def jpeg(image: np.ndarray) -> bytes:
  """A small JPEG."""
  with io.BytesIO() as file:
    Image.fromarray(image).save(file, 'JPEG', quality=70, optimize=True)
    return file.getvalue()


def thumbnail(image: np.ndarray, width: int) -> np.ndarray:
  """An image no wider than that."""
  height = max(1, round(image.shape[0] * width / image.shape[1]))
  if image.shape[1] <= width:
    return image
  picture = Image.fromarray(image).resize((width, height), reducing_gap=2.0)
  return np.asarray(picture)


class _Block:
  """What a part is made of."""

  def __init__(self):
    self.seen: list[Seen] = []
    self.crops: list[np.ndarray] = []
    self.pictures: dict[str, bytes] = {}


class _Place:
  """Where the stream of frames has come to; all that the next part needs."""

  def __init__(self, state: dict[str, Any] | None, known: Iterable[str]):
    state = state or {}
    self.source: int = state.get('source', 0)
    self.frame: int | None = state.get('frame')
    self.kind = ''
    self.problems: list[str] = []
    self._known = set(known)
    self._shown: float | None = state.get('shown')
    self._tracker_state = state.get('tracker')
    self._tracker: tracks.Tracker | None = None
    self._entered = False

  def enter(self, number: int, source: sources.Source):
    """What comes next is of that source."""
    if self._entered and self.source == number:
      return
    self.source, self.kind, self._entered = number, source.kind, True
    if source.kind == 'picture':
      self._tracker = None
    elif self._tracker_state is not None:
      self._tracker = tracks.Tracker.from_state(self._tracker_state)
    else:
      self._tracker = tracks.Tracker()

  def leave(self):
    """The source has ended; the next one begins anew."""
    self.frame = self._shown = self._tracker_state = self._tracker = None
    self._entered = False

  def problem(self, line: str):
    """Remembers a line once: frames that are read again repeat theirs."""
    line = str(line)
    if line not in self._known:
      self._known.add(line)
      self.problems.append(line)

  def follow(self, boxes: np.ndarray, frame: sources.Frame) -> np.ndarray:
    """Tracks of the boxes of a frame, NaN where there are none."""
    if self._tracker is not None:
      try:
        return self._tracker.update(boxes, frame.time)
      except ValueError:  # damaged time stamps
        self.problem(
          f'{frame.file}: times that do not rise from frame to frame; faces of '
          'such frames have no track'
        )
    return np.full(len(boxes), np.nan)

  def due(self, time: float) -> bool:
    """Whether the page shows the frame at that time."""
    if self._shown is not None and time < self._shown + SHOWN_SECONDS:
      return False
    self._shown = time
    return True

  def state(self) -> dict[str, Any]:
    """What goes into the part; the problems are told once."""
    problems, self.problems = self.problems, []
    tracker = None if self._tracker is None else self._tracker.state()
    return {
      'source': self.source,
      'frame': self.frame,
      'shown': self._shown,
      'tracker': tracker,
      'problems': problems,
    }

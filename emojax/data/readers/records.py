"""What a reader yields: frames, records and listings (see base.py)."""

import abc
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from emojax import tasks
from emojax.data.readers.files.problems import Problems

SPLITS = ('train', 'validation', 'test')


class Frame(abc.ABC):
  """Where one image comes from; nothing is read before it is asked for.

  Subclasses (frames.py) are small frozen dataclasses: an image file with a
  crop, a row of a CSV, an item of a pickle or idx file, a frame of a video.

  Attributes:
    file: Path of the file that holds the image, for messages.
  """

  file: str

  @abc.abstractmethod
  def image(self) -> Image.Image:
    """Returns the decoded and cropped image, mode 'L' or 'RGB'.

    Raises:
      DataError: The file is missing, cut short or no image.
    """

  def encoded(self) -> bytes:
    """Returns the image as PNG or JPEG bytes (the file's own when uncropped)."""
    return png(self.image())


def png(image: Image.Image) -> bytes:
  """Returns the image as PNG."""
  buffer = io.BytesIO()
  image.save(buffer, format='PNG')
  return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class Record:
  """One video, clip or still image (L = 1) of a data set.

  Attributes:
    video_id: Name of the clip; unique within its split.
    subject_id: Name of the person; `video_id` where the data set names none.
    split: 'train', 'validation' or 'test'.
    frames: L frame sources, in order of time.
    targets: Targets of every task of the listing's schema, NumPy with a
      leading axis L, missing labels with mask 0.
    frame_index: int32 [L], 0-based number of each frame in the video. Gaps
      are frames for which there is no image or no label.
    votes: float32 [L, V], annotators' votes for `Listing.vote_labels`, or
      None when this record has none.
    clean_targets: As `targets`, with the labels before noise was added; None
      when `targets` are the data set's own labels.
    fps: Frames per second of the video, None when unknown.
    frame_time: float64 [L], seconds of each frame after frame 0 of the video;
      None where that is `frame_index / fps`.
    audio_path: Sound or video file with the sound of the clip, or None.
  """

  video_id: str
  subject_id: str
  split: str
  frames: Sequence[Frame]
  targets: tasks.Targets
  frame_index: np.ndarray
  votes: np.ndarray | None = None
  clean_targets: tasks.Targets | None = None
  fps: float | None = None
  audio_path: str | None = None
  frame_time: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.frames)

  @property
  def key(self) -> str:
    """Unique within a listing; one video can be in two splits (Aff-Wild2)."""
    return f'{self.split}/{self.video_id}'

  @property
  def groups(self) -> tuple[str, ...]:
    """Names of the tasks for which at least one frame has a label."""
    return tuple(k for k, t in self.targets.items() if np.any(t.mask))

  def take(self, index: Sequence[int] | np.ndarray) -> 'Record':
    """Returns the record of some of the frames, in the order of `index`."""
    index = np.asarray(index, np.int64)
    clean, time = self.clean_targets, self.frame_time
    # Long videos have a sequence that keeps names only.
    take = getattr(self.frames, 'take', None)
    return dataclasses.replace(
      self,
      frames=take(index) if take else tuple(self.frames[i] for i in index),
      targets=tasks.take(self.targets, index),
      frame_index=self.frame_index[index],
      votes=None if self.votes is None else self.votes[index],
      clean_targets=None if clean is None else tasks.take(clean, index),
      frame_time=None if time is None else time[index],
    )


@dataclasses.dataclass
class Listing:
  """What a scan found.

  Attributes:
    name: Data set name, a key of `READERS`.
    schema: Tasks, with the label names in the order of the target arrays.
    records: Descriptions of all videos and stills, of all splits.
    problems: What was left out and why, and notes.
    vote_labels: Names of the V columns of `Record.votes`; () without votes.
    info: JSON-able facts: 'source', 'options', 'counts' (records per split).
  """

  name: str
  schema: tasks.Schema
  records: list[Record]
  problems: Problems
  vote_labels: tuple[str, ...] = ()
  info: dict[str, Any] = dataclasses.field(default_factory=dict)

  def counts(self) -> dict[str, int]:
    """Number of records of every split that occurs."""
    splits = [record.split for record in self.records]
    return {s: splits.count(s) for s in SPLITS if s in splits}

"""Features of frames on disk, cut into sequences for the recurrent stage."""

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.clips import windows
from emojax.data.clips.clips import Clips
from emojax.runtime import damage, workdir


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureClips:
  """Clips whose frames are feature vectors; a `ClipSource` for the engine.

  Attributes:
    features: float32 [N, L, F].
    targets: `tasks.Targets` [N, L, ...].
    frame_mask: float32 [N, L].
    clip_id: [N] strings.
    subject_id: [N] strings.
  """

  features: np.ndarray
  targets: tasks.Targets
  frame_mask: np.ndarray
  clip_id: np.ndarray
  subject_id: np.ndarray

  def __len__(self) -> int:
    return len(self.features)

  def take(self, indices) -> Clips:
    """Returns the clips at `indices`, features in the place of images."""
    return Clips(
      image=self.features[indices],
      audio=None,
      targets=tasks.take(self.targets, indices),
      frame_mask=self.frame_mask[indices],
      clip_id=self.clip_id[indices],
      subject_id=self.subject_id[indices],
    )

  def sequences(
    self, length: int, stride: int
  ) -> tuple['FeatureClips', 'Places']:
    """Cuts every clip into sequences; the last one ends where the clip does.

    Papers 001 and 002 train with a stride of half the length and evaluate with
    a stride of the length. Sequences that are all padding are left out.

    Args:
      length: Frames of a sequence, at most those of a clip.
      stride: Frames between the starts of two sequences.

    Returns:
      The sequences, and where they come from.

    Raises:
      ValueError: If the clips are shorter than a sequence.
    """
    frames = self.frame_mask.shape[1]
    if length > frames:
      raise ValueError(
        f'sequences of {length} frames cannot be cut from clips of {frames}: '
        'lower config.recurrent.lengths or raise config.data.clip_length'
      )
    index = windows.cut(np.arange(frames), length, stride, 'end').index
    clip = np.repeat(np.arange(len(self)), len(index))[:, None]
    frame = np.tile(index, (len(self), 1))
    valid = self.frame_mask[clip, frame].any(axis=1)
    places = Places(clip[valid], frame[valid])
    names = zip(self.clip_id[places.clip[:, 0]], places.frame[:, 0])
    return FeatureClips(
      self.features[places],
      tasks.take(self.targets, places),
      self.frame_mask[places],
      np.array([f'{name}+{start}' for name, start in names], np.str_),
      self.subject_id[places.clip[:, 0]],
    ), places


class Places(NamedTuple):
  """Where sequences come from; an index into arrays [N, L, ...].

  Attributes:
    clip: int [n, 1].
    frame: int [n, length].
  """

  clip: np.ndarray
  frame: np.ndarray

  def stitch(self, outputs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Puts outputs of sequences [M, n, length, C] back into clips [M, N, L, C].

    A frame in two sequences gets the later one's output; frames in none get 0.
    """
    whole = np.zeros((len(outputs), *shape, outputs.shape[-1]), outputs.dtype)
    whole[:, self.clip, self.frame] = outputs
    return whole


def extractor(folder: pathlib.Path) -> tuple[str, int]:
  """(stack, number of the member) of the CNN that features are of.

  Raises:
    ValueError: If the folder does not have the features of exactly one.
  """
  found = sorted(path.stem for path in folder.glob('*-val.npz'))
  if len(found) != 1:
    raise ValueError(
      f'{folder} has the features of {len(found)} CNNs: expected those of the '
      'one that the recurrent networks have learned from'
    )
  name, member, _ = found[0].rsplit('-', 2)
  return name, int(member)


def write(path: pathlib.Path, features: np.ndarray):
  """Writes features [N, L, F] atomically."""
  workdir.write_arrays(path, {'features': np.asarray(features, np.float32)})


def read(path: pathlib.Path, clips) -> FeatureClips:
  """Reads features of `clips` (`Clips` or `StoredClips`).

  Raises:
    CheckpointError: If it cannot be read.
    ValueError: If the file belongs to other clips.
  """
  with damage.explained(path), open(path, 'rb') as raw:
    with np.load(raw) as file:
      features = file['features']
  if features.shape[:2] != clips.frame_mask.shape:
    raise ValueError(
      f'{path} has features of {features.shape[:2]} clips and frames, the data '
      f'set has {clips.frame_mask.shape}: move the file away to make it anew'
    )
  return FeatureClips(
    features,
    clips.targets,
    clips.frame_mask,
    clips.clip_id,
    clips.subject_id,
  )

"""The sound that goes with the frames of a record."""

import collections
import functools

import numpy as np

from emojax.data.readers import base
from emojax.data.store import store
from emojax.data.transform import audio

LATE = 1.0  # seconds that a frame may lie behind the end of the sound


def with_sound(listing: base.Listing) -> list[base.Record]:
  """Records whose frames can have sound; the others become problems.

  It looks at names and numbers only, so that what is missing is said before
  anything is decoded.

  Raises:
    DataError: No record of some split can (or, strict, one cannot).
    ImportError: The packages that read sound are missing.
  """
  audio.check_installed(
    {r.audio_path for r in listing.records if r.audio_path is not None}
  )
  kept, reasons = [], collections.defaultdict(list)
  for record in listing.records:
    reason = _missing(record)
    if reason is None:
      kept.append(record)
    else:
      reasons[record.split].append(reason)
  counts = listing.counts()
  for split, missing in reasons.items():
    if len(missing) == counts[split]:
      found = f'sound for none of the {counts[split]} videos of {split!r}'
      raise base.DataError(f'{found} ({missing[0].found})', missing[0].expected)
    for reason in missing:
      listing.problems.add(reason.file, None, reason.found, reason.expected)
  return kept


def _missing(record: base.Record) -> base.DataError | None:
  name = repr(record.video_id)
  if record.audio_path is None:
    return base.DataError(
      f'no sound file for {name}',
      'a .wav of every video (ffmpeg -i VIDEO -ar 16000 -ac 1 VIDEO.wav), or '
      'no --audio',
    )
  if record.frame_time is not None:
    return None
  if record.fps is None:
    return base.DataError(
      f'no frame rate for {name}',
      'a rate: --option fps=30, or PyAV (pip install emojax[video]) and the '
      'video files',
      record.audio_path,
    )
  if not 0 < record.fps < np.inf:
    return base.DataError(
      f'{record.fps} frames per second of {name}',
      'a rate above 0',
      record.audio_path,
    )
  return None


def stretch(record: base.Record, kind: str) -> store.Audio:
  """The stretch of the spectrogram that a record's frames need.

  Raises:
    DataError: There is no sound, it cannot be read, or it ends before them.
  """
  reason = _missing(record)
  if reason is not None:
    raise reason
  spectrum, damage = _spectrum(record.audio_path, kind)
  times, spacing = record.frame_time, 'by their time stamps'
  if times is None:
    times = record.frame_index / record.fps
    spacing = f'{record.fps:g} frames per second'
  seconds = (spectrum.shape[-1] - 1) * audio.HOP / audio.SAMPLE_RATE
  if times.max() > seconds + LATE:
    raise base.DataError(
      f'{seconds:.2f} s of sound, and frame {record.frame_index.max() + 1} at '
      f'{times.max():.2f} s ({spacing})',
      'sound as long as the video: another file, or --option fps=...',
      record.audio_path,
    )
  _refuse_damaged(times, damage, record.audio_path)
  # Windows of the axis 0, 1, 2, ... begin with the number of their start.
  axis = np.arange(spectrum.shape[-1])[None]
  start = audio.windows(axis, times)[:, 0, 0]
  low, high = start.min(), start.max() + store.AUDIO_WINDOW
  return store.Audio(spectrum[:, low:high], (start - low).astype(np.int32))


def _refuse_damaged(times: np.ndarray, damage, path: str | None):
  """Raises DataError if damage can be heard in the windows of the frames."""
  reach = audio.NUM_FRAMES * audio.HOP / audio.SAMPLE_RATE
  for found in damage:
    if times.min() - reach < found.stop and times.max() + reach > found.start:
      raise base.DataError(str(found), 'a whole sound track', path)


@functools.lru_cache(maxsize=2)
def _spectrum(path: str, kind: str) -> tuple[np.ndarray, list]:
  damage: list = []
  try:
    samples = audio.read_audio(path, damage=damage)
    return audio.features(samples, kind), damage
  except (OSError, ValueError) as error:
    found = str(error).removeprefix(f'{path}: ')
    raise base.DataError(found, 'a file with sound', path) from error

"""Audio features of video frames: log-mel or MFCC windows of 640 ms.

The front end of EMENet-VA (paper 000, section 3.2): 16 kHz, Hann windows of
25 ms every 10 ms, 512-point FFT, 64 mel bands, and for every video frame the
64 audio frames around it. The paper names the mel spectrogram ('log_mel'); its
published code feeds 64 MFCCs of a 0.63 s window ('mfcc'), which is the same 64
audio frames. Mel scale and logarithm are those of torchaudio, which that code
runs: HTK scale, filters of height 1, power spectrum, log(x + 1e-6).
"""

import functools
import os
import pathlib
from collections.abc import Iterable

import numpy as np
import scipy.fft
import scipy.sparse

from emojax.data.transform import video_sound

SAMPLE_RATE = 16000
HOP, WINDOW, FFT = 160, 400, 512  # samples
NUM_MELS = NUM_FRAMES = 64
BLOCK_FRAMES = 4096  # audio frames transformed at a time
KINDS = ('log_mel', 'mfcc')
# What soundfile reads; everything else is opened as a video.
_SOUND_SUFFIXES = ('.wav', '.flac', '.ogg')
# Samples are about in [-1, 1]; those of integers written as floats are not.
_LOUDEST = 100.0


def _import_librosa():
  # Its first import takes seconds: never at the top of a module.
  try:
    import librosa
  except ImportError as error:
    raise ImportError(
      'audio features need librosa: pip install emojax[audio]'
    ) from error
  return librosa


def features(waveform: np.ndarray, kind: str = 'log_mel') -> np.ndarray:
  """Spectral features of whole clips, one audio frame every 10 ms.

  Args:
    waveform: [..., n] samples at 16 kHz, n >= 1, about in [-1, 1].
    kind: 'log_mel' or 'mfcc' (orthonormal DCT-II of the log-mel features over
      all 64 bands).

  Returns:
    float32 [..., 64, T] with T = 1 + n // 160 >= 64; audio frame t is centred
    at t * 10 ms, with the ends reflected. Clips shorter than 64 audio frames
    are padded with zeros at the end.
  """
  if kind not in KINDS:
    raise ValueError(
      f'audio features {kind!r}: expected one of {", ".join(KINDS)}'
    )
  waveform = np.asarray(waveform, np.float32)
  short = (NUM_FRAMES - 1) * HOP - waveform.shape[-1]
  if short > 0:
    pad = [(0, 0)] * (waveform.ndim - 1) + [(0, short)]
    waveform = np.pad(waveform, pad)
  mel = np.log(_mel_spectrum(waveform) + np.float32(1e-6))
  if kind == 'mfcc':
    mel = np.asarray(scipy.fft.dct(mel, type=2, axis=-2, norm='ortho'))
  return mel.astype(np.float32)


def _mel_spectrum(waveform: np.ndarray) -> np.ndarray:
  """`librosa.feature.melspectrogram`, [..., n] to [..., 64, T].

  Its dense product wakes all BLAS threads for every clip and rounds differently
  for other clip lengths; most of the filters' entries are 0. Blocks, because
  the spectrum of an hour is a gigabyte and every worker would hold one.
  """
  frames = 1 + waveform.shape[-1] // HOP
  ends = [(0, 0)] * (waveform.ndim - 1) + [(FFT // 2, FFT // 2)]
  padded = np.pad(waveform, ends, 'reflect')
  mel = np.empty((*waveform.shape[:-1], NUM_MELS, frames), np.float32)
  for start in range(0, frames, BLOCK_FRAMES):
    stop = min(start + BLOCK_FRAMES, frames)
    part = padded[..., start * HOP : (stop - 1) * HOP + FFT]
    mel[..., start:stop] = _mel_block(part)
  return mel


def _mel_block(padded: np.ndarray) -> np.ndarray:
  """`_mel_spectrum` of samples that need no padding any more."""
  spectrum = _import_librosa().stft(
    padded,
    n_fft=FFT,
    hop_length=HOP,
    win_length=WINDOW,
    window='hann',
    center=False,
  )
  power = np.moveaxis(np.abs(spectrum) ** 2, -2, 0)
  mel = _mel_filters() @ power.reshape(len(power), -1)
  return np.moveaxis(mel.reshape(NUM_MELS, *power.shape[1:]), 0, -2)


@functools.cache
def _mel_filters() -> scipy.sparse.csr_array:
  """Mel filters of the HTK scale with height 1, [64, 257]."""
  return scipy.sparse.csr_array(
    _import_librosa().filters.mel(
      sr=SAMPLE_RATE, n_fft=FFT, n_mels=NUM_MELS, htk=True, norm=None
    )
  )


def windows(spectrum: np.ndarray, times: np.ndarray) -> np.ndarray:
  """Cuts the 64 audio frames around each video frame.

  The window of time s starts at audio frame round(100 s) - 32; windows that
  would leave the clip are shifted inside.

  Args:
    spectrum: [..., 64, T] with T >= 64, as `features` returns it.
    times: [L] seconds from the start of the clip.

  Returns:
    [..., L, 64, 64] (bands, audio frames); a copy.
  """
  if spectrum.shape[-1] < NUM_FRAMES:
    raise ValueError(
      f'spectrum: expected at least {NUM_FRAMES} audio frames, got '
      f'{spectrum.shape[-1]}'
    )
  start = np.rint(np.asarray(times) * (SAMPLE_RATE / HOP)).astype(int)
  start = np.clip(start - NUM_FRAMES // 2, 0, spectrum.shape[-1] - NUM_FRAMES)
  cut = spectrum[..., start[:, None] + np.arange(NUM_FRAMES)]
  return np.moveaxis(cut, -2, -3)


def frame_features(
  waveform: np.ndarray, times: np.ndarray, kind: str = 'log_mel'
) -> np.ndarray:
  """Features around every video frame, float32 [..., L, 64, 64].

  One spectrogram per clip serves all of its overlapping windows.

  Args:
    waveform: [..., n] samples at 16 kHz.
    times: [L] times of the video frames in seconds: frame number / frame rate.
      (The published code divides by frame rate + 1.)
    kind: 'log_mel' or 'mfcc'.
  """
  return windows(features(waveform, kind), times)


def read_audio(
  path,
  sample_rate: int = SAMPLE_RATE,
  damage: list[video_sound.Damage] | None = None,
) -> np.ndarray:
  """Reads the sound of a file: all channels averaged, resampled.

  Args:
    path: A sound file (.wav, .flac, .ogg; read with soundfile) or a video
      (everything else; read with PyAV; sample 0 is that of its first
      picture).
    sample_rate: Samples per second of the result.
    damage: Receives the stretches that are cut off or cannot be decoded, which
      are silent in the result; None makes the first of them an error.

  Returns:
    float32 [n], about in [-1, 1].

  Raises:
    FileNotFoundError: No such file.
    ImportError: A package is missing; the message says which extra to install.
    ValueError: The file has no sound, cannot be decoded, is cut, or holds
      NaN or numbers that are no samples.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f'{path}: no such sound or video file')
  samples, rate, found = (_read_sound if _is_sound(path) else _read_video)(path)
  if damage is not None:
    damage += found
  elif found:
    raise ValueError(f'{path}: {found[0]}; extract the sound again')
  try:
    _check(samples)
  except ValueError as error:
    raise ValueError(f'{path}: {error}; extract the sound again') from None
  if rate == sample_rate:
    return samples
  return _import_librosa().resample(
    samples, orig_sr=rate, target_sr=sample_rate
  )


def _check(samples: np.ndarray):
  if not len(samples):
    raise ValueError('a file of sound without a sample')
  bad = int((~np.isfinite(samples)).sum())
  if bad:
    raise ValueError(f'{bad} of {len(samples)} samples are no numbers')
  peak = float(np.abs(samples).max())
  if peak > _LOUDEST:
    raise ValueError(
      f'samples up to {peak:.3g}, expected about 1 (those of 16-bit integers, '
      'written as floats, are to be divided by 32768)'
    )


def check_installed(paths: Iterable[str | os.PathLike]) -> None:
  """Raises ImportError now if features of these files could not be made."""
  _import_librosa()
  for path in {_is_sound(path): path for path in paths}.values():
    (_import_soundfile if _is_sound(path) else _import_av)(path)


def _is_sound(path: str | os.PathLike) -> bool:
  return pathlib.Path(path).suffix.lower() in _SOUND_SUFFIXES


def _import_soundfile(path):
  try:
    import soundfile
  except ImportError as error:
    raise ImportError(
      f'{path}: sound files need soundfile: pip install emojax[audio]'
    ) from error
  return soundfile


def _import_av(path):
  try:
    import av
  except ImportError as error:
    raise ImportError(
      f'{path}: the sound of videos needs PyAV: pip install emojax[video], or '
      'extract it with ffmpeg to .wav'
    ) from error
  return av


def _read_sound(path) -> tuple[np.ndarray, int, list]:
  soundfile = _import_soundfile(path)
  try:
    with soundfile.SoundFile(path) as file:
      rate, samples = file.samplerate, _mono(file)
  except soundfile.SoundFileError as error:
    raise ValueError(
      f'{path}: not a sound file that can be read ({error}); convert it with '
      'ffmpeg to 16 kHz mono .wav'
    ) from error
  end, missing = len(samples) / rate, _missing_seconds(path)
  damage = [video_sound.Damage(end, end + missing, 'the file is cut')]
  return samples, rate, damage if missing > 0.05 else []


def _mono(file) -> np.ndarray:
  """The mean of the channels, read as far as there are samples.

  A header may promise terabytes.
  """
  parts = [np.zeros(0, np.float32)]
  while len(block := file.read(1 << 16, dtype='float32', always_2d=True)):
    parts.append(block.mean(1))
  return np.concatenate(parts)


def _missing_seconds(path) -> float:
  """Seconds that the header of a WAV file promises behind its end."""
  with open(path, 'rb') as file:
    head = file.read(4096)
  at = head.find(b'fmt ')
  size = int.from_bytes(head[4:8], 'little')
  # Programs that write into a pipe cannot know the size.
  if (
    head[:4] != b'RIFF'
    or head[8:12] != b'WAVE'
    or at < 0
    or size >= 2**32 - 512
  ):
    return 0.0
  per_second = int.from_bytes(head[at + 16 : at + 20], 'little')
  return (8 + size - os.path.getsize(path)) / max(per_second, 1)


def _read_video(path) -> tuple[np.ndarray, int, list]:
  _import_av(path)
  return video_sound.read(path)

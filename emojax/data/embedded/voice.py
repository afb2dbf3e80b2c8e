"""A voice for the embedded clips, synthesised from harmonics."""

import numpy as np

from emojax.data.embedded import affect, annotator
from emojax.data.embedded.parameters import Parameters, clip_rng
from emojax.data.transform import audio

HARMONICS = 16
CLEAR = 4  # formants then tell valence beyond the differences of vowels


def waveform(params: Parameters, clear: bool = False) -> np.ndarray:
  """The sound of all clips, float32 [N, n] at 16 kHz in [-1, 1].

  n is the length of the clip, L / frame_rate seconds. People sound while they
  talk, in step with their mouths. Pitch, loudness, brightness and the rate of
  syllables rise with arousal, pitch and formants a little with valence. Pitch
  and loudness follow the affect that can be seen: the voice tells again, with
  noise of its own, what the face tells, and leaves the posteriors as they are.

  Args:
    params: The clips.
    clear: Whether valence moves the formants CLEAR times as far.
  """
  count, length = params.channels.shape[:2]
  samples = round(length / params.frame_rate * audio.SAMPLE_RATE)
  sound = np.zeros((count, samples), np.float32)
  strengths = annotator.expression_strengths(params.channels.astype(float))
  affects = annotator.affect_mean(strengths)
  at = np.arange(samples) * (params.frame_rate / audio.SAMPLE_RATE)
  for i in range(count):
    valence, arousal, talk, syllables = (
      np.interp(at, np.arange(length), curve)
      for curve in (
        affects[i, :, 0],
        affects[i, :, 1],
        params.motion['talk'][i],
        params.motion['syllables'][i],
      )
    )
    rng = clip_rng(params, i, 'voice')
    base = float(params.traits['voice'][i])
    smile = CLEAR if clear else 1
    sound[i] = _speak(rng, base, valence, arousal, talk, syllables, smile)
  return sound


def _speak(rng, base, valence, arousal, talk, syllables, smile=1) -> np.ndarray:
  """One clip's sound, [n], from curves at the sample rate."""
  octaves = 0.5 * arousal + 0.12 * valence + rng.normal(0, 0.05)
  octaves = octaves + 0.04 * np.sin(2 * np.pi * 0.37 * syllables)
  pitch = base * 2**octaves
  opening = affect.mouth_opening(syllables)
  tone = _harmonics(pitch, opening, smile * valence, 1.5 - 0.5 * arousal)
  loud = 0.02 + 0.1 * np.exp(0.9 * arousal + rng.normal(0, 0.2))
  room = rng.normal(0, 0.003 * 10 ** rng.uniform(-0.5, 0.5), len(talk))
  return np.clip(talk * opening * loud * tone + room, -1, 1)


def _harmonics(pitch, opening, valence, tilt) -> np.ndarray:
  """Sum of harmonics under two formants that follow mouth and smile."""
  phase = 2 * np.pi * np.cumsum(pitch) / audio.SAMPLE_RATE
  first = (350 + 400 * opening) * (1 + 0.06 * valence)
  second = 1500 * (1 + 0.08 * valence)
  # sin(h x) by its recurrence: one sine for all harmonics.
  before, wave, twice = np.zeros_like(phase), np.sin(phase), 2 * np.cos(phase)
  tone = np.zeros_like(phase)
  for h in range(1, HARMONICS + 1):
    f = h * pitch
    gain = 0.1 + 1 / (1 + ((f - first) / 150) ** 2)
    gain += 0.6 / (1 + ((f - second) / 250) ** 2)
    tone += gain * h**-tilt * wave
    before, wave = wave, twice * wave - before
  return tone


def frame_features(
  params: Parameters, kind: str = 'log_mel', clear: bool = False
) -> np.ndarray:
  """Audio features around all frames, float32 [N, L, 64, 64]."""
  length = params.channels.shape[1]
  sound = waveform(params, clear)
  return _features(sound, length, params.frame_rate, kind)


def noise_features(
  rng, count: int, clip_length: int, frame_rate: float, kind: str = 'log_mel'
) -> np.ndarray:
  """Features of coloured noise of random loudness, float32 [N, L, 64, 64]."""
  samples = round(clip_length / frame_rate * audio.SAMPLE_RATE)
  sound = np.zeros((count, samples), np.float32)
  for row in sound:
    row[:] = rng.normal(0, 10 ** rng.uniform(-2.5, -0.7), samples)
    row[1:] += rng.uniform(0, 0.95) * row[:-1]
  return _features(sound, clip_length, frame_rate, kind)


def _features(sound, length: int, frame_rate: float, kind: str) -> np.ndarray:
  """Clip by clip: a batch's spectra need more memory than its windows."""
  times = np.arange(length) / frame_rate
  shape = (len(sound), length, audio.NUM_MELS, audio.NUM_FRAMES)
  features = np.zeros(shape, np.float32)
  for row, samples in zip(features, sound):
    row[:] = audio.frame_features(samples, times, kind)
  return features

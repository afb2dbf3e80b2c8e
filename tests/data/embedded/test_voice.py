"""Voices: in step with the mouth, louder and higher with arousal."""

import dataclasses

import numpy as np
import pytest

from emojax.data.embedded import affect, parameters, voice


def speaking(expression: int, count=3, length=60):
  """Parameters of people who talk with a full-blown expression."""
  params = parameters.sample_clip_parameters(2, count, length)
  channels = np.broadcast_to(
    affect.PROTOTYPES[expression].astype(np.float32), params.channels.shape
  )
  syllables = np.arange(length, dtype=np.float32) * 4 / 30
  motion = params.motion | {
    'talk': np.ones((count, length), np.float32),
    'syllables': np.broadcast_to(syllables, (count, length)),
  }
  return dataclasses.replace(params, channels=channels, motion=motion)


def pitch(sound):
  """The strongest period between 70 and 500 Hz, by autocorrelation."""
  found = []
  for clip in sound[:, 4000:12000]:
    spectrum = np.abs(np.fft.rfft(clip, 2 * clip.size)) ** 2
    lags = np.fft.irfft(spectrum)[32:228]
    found.append(16000 / (32 + lags.argmax()))
  return np.array(found)


def test_length_range_and_independence_of_the_count():
  params = parameters.sample_clip_parameters(0, 5, 6, frame_rate=7.5)
  sound = voice.waveform(params)
  assert sound.shape == (5, 12800)
  assert sound.dtype == np.float32
  assert np.abs(sound).max() <= 1
  few = parameters.sample_clip_parameters(0, 2, 6, frame_rate=7.5)
  np.testing.assert_array_equal(voice.waveform(few), sound[:2])


def test_arousal_is_loud_and_high():
  sad, surprised = (voice.waveform(speaking(e)) for e in (5, 6))
  assert (surprised.std(1) > 1.5 * sad.std(1)).all()
  assert (pitch(surprised) > 1.2 * pitch(sad)).all()


def test_silence_is_silent_and_syllables_are_loud():
  params = speaking(0, 1)
  talk = params.motion | {'talk': 0 * params.motion['talk']}
  silence = voice.waveform(dataclasses.replace(params, motion=talk))
  sound = voice.waveform(params)
  assert silence.std() < 0.3 * sound.std()
  energy = (sound[0].reshape(200, 160) ** 2).mean(1)
  opening = affect.mouth_opening(np.arange(200) * 0.04)
  assert np.corrcoef(energy, opening)[0, 1] > 0.6


def test_features_have_the_models_shape():
  pytest.importorskip('librosa', reason='pip install emojax[audio]')
  params = parameters.sample_clip_parameters(0, 2, 3, frame_rate=7.5)
  features = voice.frame_features(params)
  assert features.shape == (2, 3, 64, 64)
  assert features.dtype == np.float32
  assert np.isfinite(features).all()
  few = parameters.sample_clip_parameters(0, 1, 3, frame_rate=7.5)
  np.testing.assert_array_equal(voice.frame_features(few), features[:1])

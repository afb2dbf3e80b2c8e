"""Audio features against direct librosa and SciPy calls; sound files."""

import sys
import wave

import numpy as np
import pytest

from emojax.data.transform import audio

librosa = pytest.importorskip('librosa', reason='pip install emojax[audio]')


@pytest.fixture(scope='module')
def sound():
  rng = np.random.default_rng(0)
  t = np.arange(2 * audio.SAMPLE_RATE) / audio.SAMPLE_RATE
  tone = np.sin(2 * np.pi * (200 + 300 * t) * t)
  return (0.3 * tone + rng.normal(0, 0.01, t.size)).astype(np.float32)


def mel_spectrogram(samples, **options):
  return librosa.feature.melspectrogram(
    y=samples,
    sr=16000,
    n_fft=512,
    hop_length=160,
    win_length=400,
    n_mels=64,
    htk=True,
    norm=None,
    **options,
  )


def test_features_are_librosas_log_mel(sound):
  expected = np.log(mel_spectrogram(sound, pad_mode='reflect') + 1e-6)
  found = audio.features(sound)
  assert found.dtype == np.float32
  assert found.shape == (64, 201)
  np.testing.assert_allclose(found, expected, atol=2e-4)


def test_window_is_that_of_the_isolated_sound(sound):
  """One second's window, cut out of the sound with half an FFT around it."""
  found = audio.frame_features(sound, np.array([1.0]))[0]
  start = (100 - 32) * 160
  isolated = sound[start - 256 : start + 63 * 160 + 256]
  expected = np.log(mel_spectrogram(isolated, center=False) + 1e-6)
  assert expected.shape == found.shape == (64, 64)
  np.testing.assert_allclose(found, expected, atol=2e-4)


def test_mfcc_is_the_orthonormal_transform_of_log_mel(sound):
  expected = librosa.feature.mfcc(
    S=audio.features(sound), n_mfcc=64, dct_type=2, norm='ortho'
  )
  found = audio.features(sound, 'mfcc')
  np.testing.assert_allclose(found, expected, atol=1e-3)
  # The published window, 0.63 s = 10,080 samples, gives 64 frames.
  assert audio.features(sound[:10080], 'mfcc').shape == (64, 64)


def test_windows_that_would_leave_the_clip_are_shifted_inside(sound):
  spectrum = audio.features(sound)
  found = audio.windows(spectrum, np.array([0.0, 0.1, 0.99, 1.9, 2.0]))
  assert found.shape == (5, 64, 64)
  for window, start in zip(found, (0, 0, 67, 137, 137)):
    np.testing.assert_array_equal(window, spectrum[:, start : start + 64])


def test_short_clips_are_padded_with_zeros(sound):
  padded = np.zeros(10080, np.float32)
  padded[:5000] = sound[:5000]
  found = audio.frame_features(sound[:5000], np.array([0.0, 0.2]))
  np.testing.assert_array_equal(found[0], found[1])
  np.testing.assert_array_equal(found[0], audio.features(padded))
  np.testing.assert_allclose(found[0, :, 40:], np.log(1e-6), rtol=1e-5)


def test_leading_axes_are_clips(sound):
  both = np.stack([sound, sound[::-1]])
  times = np.arange(4) / 7.5
  found = audio.frame_features(both, times)
  assert found.shape == (2, 4, 64, 64)
  for clip, expected in zip(both, found):
    np.testing.assert_allclose(
      audio.frame_features(clip, times), expected, atol=1e-5
    )


def test_unknown_kind_and_short_spectrum_are_errors(sound):
  with pytest.raises(ValueError, match="'mel': expected one of"):
    audio.features(sound, 'mel')
  with pytest.raises(ValueError, match='at least 64 audio frames, got 10'):
    audio.windows(np.zeros((64, 10)), np.zeros(1))


def test_features_are_those_of_torchaudios_definition(sound):
  """Spectrogram, HTK filters, logarithm and DCT as torchaudio documents them;
  nothing but the Fourier transform is a library's."""
  torch = pytest.importorskip('torch', reason='pip install emojax[parity]')
  spectrum = torch.stft(
    torch.from_numpy(sound),
    n_fft=512,
    hop_length=160,
    win_length=400,
    window=torch.hann_window(400),
    return_complex=True,
  )
  hertz = np.linspace(0, 8000, 257)
  mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66)
  edge = 700 * (10 ** (mels / 2595) - 1)
  rise = (hertz - edge[:-2, None]) / np.diff(edge)[:-1, None]
  fall = (edge[2:, None] - hertz) / np.diff(edge)[1:, None]
  mel = np.maximum(0, np.minimum(rise, fall)) @ spectrum.abs().numpy() ** 2
  expected = np.log(mel + 1e-6)
  np.testing.assert_allclose(audio.features(sound), expected, atol=2e-4)
  n, k = np.arange(64), np.arange(64)[:, None]
  dct = np.cos(np.pi / 64 * (n + 0.5) * k) * np.sqrt(2 / 64)
  dct[0] /= np.sqrt(2)
  found = audio.features(sound, 'mfcc')
  np.testing.assert_allclose(found, dct @ expected, atol=1e-3)


def test_blocks_do_not_show(monkeypatch, sound):
  expected = audio.features(sound)
  monkeypatch.setattr(audio, 'BLOCK_FRAMES', 50)
  np.testing.assert_array_equal(audio.features(sound), expected)


def test_missing_librosa_names_the_extra(monkeypatch, sound):
  monkeypatch.setitem(sys.modules, 'librosa', None)
  with pytest.raises(ImportError, match=r'pip install emojax\[audio\]'):
    audio.features(sound)


@pytest.mark.parametrize(
  ('format', 'subtype', 'atol'),
  [
    ('WAV', 'PCM_U8', 1e-2),
    ('WAV', 'PCM_24', 1e-6),
    ('WAV', 'PCM_32', 1e-6),
    ('WAV', 'FLOAT', 0),
    ('FLAC', 'PCM_16', 1e-4),
  ],
)
def test_samples_of_any_width(tmp_path, sound, format, subtype, atol):
  soundfile = pytest.importorskip('soundfile')
  path = tmp_path / f'a.{format.lower()}'
  soundfile.write(path, sound, 16000, subtype, format=format)
  np.testing.assert_allclose(audio.read_audio(path), sound, atol=atol)


def test_samples_that_are_no_numbers(tmp_path, sound):
  soundfile = pytest.importorskip('soundfile')
  for name, samples in {'nan': [np.nan, 1, np.inf], 'none': []}.items():
    path = tmp_path / f'{name}.wav'
    soundfile.write(path, np.array(samples, np.float32), 16000, 'FLOAT')
    found = '2 of 3 samples are no num' if samples else '.* without a sample'
    with pytest.raises(ValueError, match=rf'{name}.wav: {found}'):
      audio.read_audio(path)


def test_integers_written_as_floats(tmp_path, sound):
  soundfile = pytest.importorskip('soundfile')
  path = tmp_path / 'loud.wav'
  soundfile.write(path, sound * 32768, 16000, 'FLOAT')
  with pytest.raises(ValueError, match=r'loud.wav: samples up to .*32768'):
    audio.read_audio(path)
  soundfile.write(path, sound * 4, 16000, 'FLOAT')  # loud, and possible
  assert len(audio.read_audio(path)) == len(sound)


def write_wav(path, samples, rate):
  """Writes 16-bit samples [n, channels] with the standard library."""
  with wave.open(str(path), 'wb') as file:
    file.setnchannels(samples.shape[1])
    file.setsampwidth(2)
    file.setframerate(rate)
    file.writeframes((samples * 32767).astype('<i2').tobytes())


def test_read_wav_mixes_down(tmp_path, sound):
  path = tmp_path / 'stereo.wav'
  write_wav(path, np.stack([sound, np.zeros_like(sound)], 1), 16000)
  found = audio.read_audio(path)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, sound / 2, atol=1e-4)


def test_read_wav_resamples(tmp_path):
  path = tmp_path / 'tone.wav'
  tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
  write_wav(path, tone[:, None], 44100)
  found = audio.read_audio(path)
  assert found.shape == (16000,)
  expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
  np.testing.assert_allclose(found[500:-500], expected[500:-500], atol=2e-3)


def write_video(av, path, tone=None, rate=48000, starts=(0,)):
  """Writes ten grey frames and, where there is one, a sound in pieces."""
  with av.open(str(path), 'w') as container:
    video = container.add_stream('mpeg4', rate=30)
    video.width = video.height = 32
    video.pix_fmt = 'yuv420p'
    stream = None
    if tone is not None:
      stream = container.add_stream('pcm_s16le', rate=rate, layout='stereo')
    grey = np.full((32, 32, 3), 128, np.uint8)
    for _ in range(10):
      frame = av.VideoFrame.from_ndarray(grey, format='rgb24')
      container.mux(video.encode(frame))
    container.mux(video.encode())
    if stream is not None:
      for start, part in zip(starts, np.split(tone, len(starts))):
        samples = np.repeat((part * 32767).astype(np.int16), 2)[None]
        frame = av.AudioFrame.from_ndarray(samples, 's16', 'stereo')
        frame.sample_rate, frame.pts = rate, round(start * rate)
        container.mux(stream.encode(frame))
      container.mux(stream.encode())


def test_read_video_sound(tmp_path):
  av = pytest.importorskip('av', reason='pip install emojax[video]')
  path = tmp_path / 'clip.mkv'
  tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)
  write_video(av, path, tone)
  found = audio.read_audio(path, 48000)
  assert found.shape == (48000,)
  np.testing.assert_allclose(found, tone, atol=1e-3)
  assert audio.read_audio(path).shape == (16000,)


@pytest.mark.parametrize(
  ('starts', 'clicks'), [((0.5,), (1.0,)), ((0.0, 1.5), (0.5, 2.0))]
)
def test_sound_of_a_video_stays_with_its_pictures(tmp_path, starts, clicks):
  """It begins late, or has a gap: what follows is heard when it happens."""
  av = pytest.importorskip('av', reason='pip install emojax[video]')
  path = tmp_path / 'clip.mkv'
  tone = np.zeros(48000 * len(starts), np.float32)
  tone[24000::48000] = 0.5  # half a second into each piece
  write_video(av, path, tone, starts=starts)
  found = audio.read_audio(path, 48000)
  heard = np.flatnonzero(found > 0.4) / 48000
  np.testing.assert_allclose(heard, clicks, atol=2e-3)
  assert len(found) == pytest.approx(48000 * (starts[-1] + 1), abs=96)


def test_time_stamps_that_cannot_be(tmp_path):
  av = pytest.importorskip('av', reason='pip install emojax[video]')
  write_video(av, tmp_path / 'a.mkv', np.zeros(48000), starts=(7200,))
  with pytest.raises(ValueError, match='7200 seconds without sound'):
    audio.read_audio(tmp_path / 'a.mkv')


def test_video_without_sound_is_an_error(tmp_path):
  av = pytest.importorskip('av', reason='pip install emojax[video]')
  path = tmp_path / 'silent.mkv'
  write_video(av, path)
  with pytest.raises(ValueError, match=r'silent\.mkv: the file has no sound'):
    audio.read_audio(path)


def test_broken_files_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'gone\.wav: no such'):
    audio.read_audio(tmp_path / 'gone.wav')
  path = tmp_path / 'text.wav'
  path.write_text('not a sound')
  with pytest.raises(ValueError, match=r'text\.wav: not a sound file'):
    audio.read_audio(path)
  pytest.importorskip('av', reason='pip install emojax[video]')
  path = tmp_path / 'text.mp4'
  path.write_text('not a video')
  with pytest.raises(ValueError, match=r'text\.mp4: cannot be decoded'):
    audio.read_audio(path)


@pytest.mark.parametrize(
  ('name', 'package', 'extra'),
  [('a.wav', 'soundfile', 'audio'), ('a.mp4', 'av', 'video')],
)
def test_missing_readers_name_the_extra(
  tmp_path, monkeypatch, name, package, extra
):
  (tmp_path / name).write_bytes(b'x')
  audio.check_installed([tmp_path / name])
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(ImportError, match=rf'{name}.*emojax\[{extra}\]'):
    audio.check_installed([tmp_path / name])
  with pytest.raises(ImportError, match=rf'{name}.*emojax\[{extra}\]'):
    audio.read_audio(tmp_path / name)


@pytest.fixture
def files():
  pytest.importorskip('av', reason='pip install emojax[video]')
  return pytest.importorskip('video_files')


def test_a_cover_picture_has_no_say_in_time(tmp_path, files):
  """It is shown at 0, the first picture of the video half a second later."""
  tone = np.zeros(96000, np.float32)
  tone[48000:48010] = 0.9
  path = tmp_path / 'x.mp4'
  times = [500 + 40 * i for i in range(12)]
  files.write(path, 12, times=times, sound=tone, cover=True)
  files.cover_first(path)
  click = np.abs(audio.read_audio(path, 48000)).argmax() / 48000
  assert click == pytest.approx(0.5, abs=0.03)
  path = files.write_sound(tmp_path / 'y.mp4', tone, cover=True)
  click = np.abs(audio.read_audio(path, 48000)).argmax() / 48000
  assert click == pytest.approx(1, abs=0.03)


def test_one_damaged_packet_is_silence_of_its_length(tmp_path, files):
  """What follows stays with its pictures, although the gap is a short one."""
  tone = np.zeros(96000, np.float32)
  tone[72000:72010] = 0.9
  for name, write in {
    'x.mp4': lambda path: files.write(path, 50, sound=tone),
    'y.mp4': lambda path: files.write_sound(path, tone),
  }.items():
    path = tmp_path / name
    write(path)
    whole = np.abs(audio.read_audio(path, 48000)).argmax()
    files.damage(path, 30, 'audio')
    damage = []
    found = audio.read_audio(path, 48000, damage)
    assert np.abs(found).argmax() == whole
    ((start, stop, _),) = damage
    assert 0.5 < start < stop < 0.8
    assert stop - start == pytest.approx(1024 / 48000, abs=1e-3)
    with pytest.raises(ValueError, match=rf'{name}: no sound from 0\.\d\d to'):
      audio.read_audio(path)


def test_sound_of_cut_and_empty_videos(tmp_path, files):
  path = files.write(tmp_path / 'x.mp4', 10, sound=np.zeros(24000))
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
  with pytest.raises(
    ValueError, match=r'x\.mp4: .*without its whole index.*cut'
  ):
    audio.read_audio(path)
  path.write_bytes(b'')
  with pytest.raises(ValueError, match=r'x\.mp4: .*an empty file'):
    audio.read_audio(path)


@pytest.mark.parametrize('suffix', ['wav', 'flac', 'ogg'])
@pytest.mark.parametrize('part', [0, 0.01, 0.5])
def test_sound_files_that_are_cut(tmp_path, sound, suffix, part):
  soundfile = pytest.importorskip('soundfile')
  path = tmp_path / f'x.{suffix}'
  soundfile.write(path, sound, 16000)
  data = path.read_bytes()
  path.write_bytes(data[: int(len(data) * part)])
  with pytest.raises(
    ValueError, match=rf'x\.{suffix}: .*(cut|can be read|without a sample)'
  ):
    audio.read_audio(path)


def test_a_header_that_promises_terabytes(tmp_path, sound, monkeypatch):
  """Samples are read block by block, as far as there are any."""
  soundfile = pytest.importorskip('soundfile')
  path = tmp_path / 'x.flac'
  soundfile.write(path, sound, 16000)
  data = bytearray(path.read_bytes())
  data[21] |= 0x0F  # the number of samples has 36 bits
  data[22:26] = b'\xff' * 4
  path.write_bytes(data)
  taken, empty = [], np.empty
  monkeypatch.setattr(
    np,
    'empty',
    lambda shape, *a, **k: taken.append(shape) or empty(shape, *a, **k),
  )
  with pytest.raises(ValueError, match=r'x\.flac: not a sound file'):
    audio.read_audio(path)
  assert max(np.prod(shape) for shape in taken) <= 1 << 16

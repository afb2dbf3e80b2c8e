"""Damaged, enormous and ambiguous pictures: an error that says what is wrong."""

import io
import struct
import subprocess
import warnings
import zlib

import numpy as np
import pytest
import trees
from PIL import Image

from emojax.data.readers import base
from emojax.data.readers.files import pictures

KINDS = {
  'baseline': {},
  'optimized': {'optimize': True},
  'progressive': {'progressive': True},
  'full colour': {'quality': 95, 'subsampling': 0},
  'restarts': {'restart_marker_rows': 2},
}


def photo(seed=0, size=96, mode='RGB'):
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:size, :size] / size
  waves = [np.sin(9 * x + 3 * y + seed), np.cos(9 * x * y), np.sin(20 * x * y)]
  pixels = 128 + 90 * np.stack(waves, -1) + rng.normal(0, 9, (size, size, 3))
  image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
  return image.convert(mode)


def saved(image, kind, **settings):
  buffer = io.BytesIO()
  image.save(buffer, kind, **settings)
  return buffer.getvalue()


def refused(data, match):
  with pytest.raises(base.DataError, match=match) as caught:
    pictures.decode(data, 'x.jpg')
  assert caught.value.file == 'x.jpg'
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_whole_jpegs_are_as_pillow_reads_them(kind, mode):
  data = saved(photo(mode=mode), 'JPEG', **KINDS[kind])
  # Cameras pad before the end marker, and many put something after it.
  for variant in (data, data[:-2] + b'\0' + data[-2:], data + b'more' * 9):
    found = pictures.decode(variant, 'x')
    expected = Image.open(io.BytesIO(data))
    expected = expected.convert('RGB') if mode == 'CMYK' else expected
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize('kind', KINDS)
def test_a_jpeg_cut_short_and_ended(kind):
  """Pillow fills the rest with grey and says nothing."""
  rng = np.random.default_rng(1)
  for seed in range(8):
    data = saved(photo(seed), 'JPEG', **KINDS[kind])
    start = data.rindex(b'\xff\xda') + 20
    for place in rng.integers(start, len(data) - 8, 4):
      refused(data[:place] + b'\xff\xd9', 'JPEG|readable')


@pytest.mark.parametrize(
  ('kind', 'share'),
  [('baseline', 1), ('full colour', 1), ('optimized', 0.8), ('restarts', 1)],
)
def test_a_jpeg_with_a_zeroed_block(kind, share):
  """Of optimised tables, zeros may be a plain area."""
  rng, found = np.random.default_rng(2), 0
  for seed in range(40):
    data = saved(photo(seed), 'JPEG', **KINDS[kind])
    place = rng.integers(data.rindex(b'\xff\xda') + 20, len(data) - 90)
    try:
      pictures.decode(data[:place] + bytes(80) + data[place + 80 :], 'x')
    except base.DataError:
      found += 1
  assert found >= 40 * share


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('level', [0, 128, 255])
def test_plain_jpegs_may_hold_zeros(kind, level):
  """Optimised tables write a plain area as zeros."""
  image = Image.new('RGB', (640, 640), (level,) * 3)
  for plain in (image, image.convert('L')):
    pictures.decode(saved(plain, 'JPEG', **KINDS[kind]), 'x')


def test_damaged_pictures_are_counted(tmp_path):
  tree = trees.Tree('folder', tmp_path)
  tree.image('yes/a.jpg', 50)
  path = tree.image('yes/clip/1.jpg', 50)
  tree.image('yes/clip/2.jpg', 60)
  data = saved(photo(), 'JPEG')
  path.write_bytes(data[: len(data) // 2] + b'\xff\xd9')
  listing = base.scan('folder', tmp_path)
  clip = next(r for r in listing.records if r.video_id == 'yes/clip')
  kept, images, problems = base.load_valid(clip)
  assert (len(images), kept.frame_index.tolist()) == (1, [2])
  (problem,) = problems
  assert problem.file == str(path)
  assert 'premature end of data segment' in problem.found


def test_a_picture_cut_short_and_saved_again():
  pixels = np.asarray(photo()).copy()
  pixels[64:] = 128
  refused(saved(Image.fromarray(pixels), 'JPEG'), 'the grey that stands for')
  pixels[:32] = 128  # a frame around a picture
  pictures.decode(saved(Image.fromarray(pixels), 'JPEG'), 'x')
  pictures.decode(saved(Image.new('RGB', (20, 20), (128,) * 3), 'JPEG'), 'x')


def test_checksums_of_png():
  data = saved(photo(), 'PNG', compress_level=0)
  place = data.rindex(b'IEND') - 8  # the checksum of the pixels
  refused(data[:place] + bytes(4) + data[place + 4 :], 'checksum')
  damaged = bytearray(data)
  damaged[len(data) // 2] ^= 1
  refused(bytes(damaged), 'broken data stream|checksum')


def png(width, height, depth=8, colour=2, pixels=b''):
  def chunk(name, content):
    code = struct.pack('>I', zlib.crc32(name + content))
    return struct.pack('>I', len(content)) + name + content + code

  header = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)
  body = chunk(b'IDAT', zlib.compress(pixels)) + chunk(b'IEND', b'')
  return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + body


@pytest.mark.parametrize('size', [(10_000, 10_000), (60_000, 60_000)])
def test_decompression_bombs(size):
  """Between its limit and twice that, Pillow warns only."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    refused(png(*size), 'at most 89,478,485 pixels: scale it down')


def test_no_program_is_run_for_a_picture(monkeypatch):
  """Pillow hands EPS to Ghostscript, whatever the name of the file."""

  def run(*_, **__):
    raise AssertionError('a program was run')

  monkeypatch.setattr(subprocess, 'check_call', run)
  monkeypatch.setattr(subprocess, 'Popen', run)
  text = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n'
  refused(text + b'showpage\n%%EOF\n', 'UnidentifiedImageError')


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'WEBP', 'GIF'])
def test_several_pages(kind):
  first, second = photo(0), photo(1)
  data = saved(first, kind, save_all=True, append_images=[second])
  refused(data, '2 pages or frames; expected one picture per file')
  pictures.decode(saved(first, kind), 'x')


def test_a_phone_s_picture_with_a_preview():
  data = saved(photo(0), 'MPO', save_all=True, append_images=[photo(1)])
  found = np.asarray(pictures.decode(data, 'x'), int)
  assert np.abs(found - np.asarray(photo(0), int)).mean() < 20


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_pictures_of_12_bits(kind):
  shades = np.arange(4096, dtype=np.uint16).reshape(64, 64)
  refused(saved(Image.fromarray(shades), kind), 'up to 4095 only; .*12 bits')
  found = pictures.decode(saved(Image.fromarray(shades * 16), kind), 'x')
  np.testing.assert_array_equal(np.asarray(found), shades >> 4)
  black = Image.fromarray(np.zeros_like(shades))
  assert not np.asarray(pictures.decode(saved(black, kind), 'x')).any()


def tagged(shades, number, value):
  """A grey TIFF with another value of a tag."""
  data = saved(Image.fromarray(shades), 'TIFF', tiffinfo={339: 1})
  place = data.index(struct.pack('<HHI', number, 3, 1)) + 8
  return data[:place] + struct.pack('<H', value) + data[place + 2 :]


@pytest.mark.parametrize('bits', [8, 16])
def test_tiff_whose_0_is_white(bits):
  """Pillow turns those of 8 bits alone: others would be read as negatives."""
  shades = np.arange(256).reshape(16, 16) << (bits - 8)
  kind = f'uint{bits}'
  data = tagged(shades.astype(kind), 262, 0)
  found = np.asarray(pictures.decode(data, 'x'))
  np.testing.assert_array_equal(found, 255 - np.arange(256).reshape(16, 16))
  few = (shades >> 4).astype(kind)
  if bits == 16:
    refused(tagged(few, 262, 0), 'up to 4080 only')
  refused(tagged(few, 339, 2), 'found signed numbers .* without signs')


@pytest.mark.parametrize(('factor', 'good'), [(1, False), (16, True)])
def test_colours_of_12_bits(factor, good):
  shades = (np.arange(16 * 16 * 3) * 5 * factor).astype('>u2').reshape(16, 48)
  rows = b''.join(b'\0' + row.tobytes() for row in shades)
  data = png(16, 16, depth=16, pixels=rows)
  if not good:
    refused(data, 'values up to')
    return
  found = np.asarray(pictures.decode(data, 'x'))
  np.testing.assert_array_equal(found.reshape(16, 48), shades >> 8)


@pytest.mark.parametrize(
  'exif', [b'Exif\0\0junk', b'Exif\0\0MM\0*' + b'\xff' * 40]
)
def test_damaged_exif(exif, tmp_path):
  """Upright as it is, or an error that says so; nothing else is raised."""
  tree = trees.Tree('folder', tmp_path)
  path = tree.image('yes/a.jpg', 50)
  path.write_bytes(saved(photo(), 'JPEG', exif=exif))
  (record,) = base.scan('folder', tmp_path).records
  _, images, problems = base.load_valid(record)
  assert len(images) + len(problems) == 1

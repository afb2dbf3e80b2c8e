"""Files without what cameras write beside the pixels, and the same pixels."""

import io
import struct

import numpy as np
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, PngImagePlugin

from emojax.data.prepare import command as prepare
from emojax.data.store import codec, metadata, store

SECRET = b'52.5163N 13.3777E, Jane Doe'


def exif():
  found = Image.Exif()
  found[0x010E] = SECRET.decode()  # its description
  found.get_ifd(0x8825)[1] = 'N'  # the position
  return found.tobytes()


def jpeg(pixels, **options):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'JPEG', **options)
  return buffer.getvalue()


def segment(marker, body):
  return struct.pack('>BBH', 0xFF, marker, len(body) + 2) + body


def insert(data, *segments):
  """A JPEG file with more segments after its first one (JFIF)."""
  at = 4 + int.from_bytes(data[4:6]) - 2 + 2
  return data[:at] + b''.join(segments) + data[at:]


def pixels_of(data):
  with Image.open(io.BytesIO(data)) as image:
    return np.asarray(image)


NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
PLAIN = jpeg(NOISE)
PREVIEW = b'JFIF\0\1\2\0\0\1\0\1\1\1' + SECRET[:3]
FILES = {
  'exif': jpeg(NOISE, exif=exif()),
  'comment': jpeg(NOISE, comment=SECRET),
  'profile': jpeg(NOISE, icc_profile=SECRET * 5000),  # in several segments
  'xmp': insert(
    PLAIN, segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0' + SECRET)
  ),
  'Photoshop': insert(PLAIN, segment(0xED, b'Photoshop 3.0\0' + SECRET)),
  'preview': b'\xff\xd8' + segment(0xE0, PREVIEW) + PLAIN[20:],
  'extension': insert(PLAIN, segment(0xE0, b'JFXX\0\x10' + SECRET)),
  'unknown': insert(PLAIN, *(segment(m, SECRET) for m in range(0xE1, 0xEE))),
  'trailer': PLAIN + SECRET,
  'another picture': PLAIN + jpeg(NOISE[::-1], comment=SECRET),
  'padding': insert(PLAIN, b'\xff\xff\xff' + segment(0xFE, SECRET)[1:]),
  'progressive': jpeg(NOISE, progressive=True, exif=exif()),
  'restarts': jpeg(NOISE, restart_marker_blocks=1, comment=SECRET),
  'grey': jpeg(NOISE[..., 0], exif=exif()),
}


@pytest.mark.parametrize('name', FILES)
def test_nothing_is_left_but_the_pixels(name):
  data = FILES[name]
  secret = SECRET[:3] if name == 'preview' else SECRET
  assert secret in data
  found = metadata.stripped(data)
  assert secret not in found
  assert metadata.stripped(found) is found
  np.testing.assert_array_equal(pixels_of(found), pixels_of(data))
  with Image.open(io.BytesIO(found)) as image:
    assert not image.getexif()
    assert not {'exif', 'comment', 'icc_profile', 'xmp'} & set(image.info)
  # The compressed pixels are the file's own.
  assert found[-64:] in data


def test_colours_of_adobe_are_kept():
  buffer = io.BytesIO()
  Image.fromarray(NOISE).convert('CMYK').save(buffer, 'JPEG', comment=SECRET)
  found = metadata.stripped(buffer.getvalue())
  assert b'Adobe' in found
  assert SECRET not in found
  np.testing.assert_array_equal(pixels_of(found), pixels_of(buffer.getvalue()))


def test_plain_files_keep_their_bytes():
  assert metadata.stripped(PLAIN) is PLAIN
  buffer = io.BytesIO()
  Image.fromarray(NOISE).save(buffer, 'PNG')
  data = buffer.getvalue()
  assert metadata.stripped(data) is data
  with pytest.raises(ValueError, match='JPEG or PNG'):
    metadata.stripped(b'GIF89a')


@pytest.mark.parametrize('mode', ['RGB', 'L', 'P'])
def test_png(mode):
  notes = PngImagePlugin.PngInfo()
  notes.add_text('Location', SECRET.decode())
  notes.add_itxt('XML:com.adobe.xmp', SECRET.decode())
  notes.add(b'tIME', SECRET[:7])
  image, buffer = Image.fromarray(NOISE).convert(mode), io.BytesIO()
  image.save(buffer, 'PNG', pnginfo=notes, exif=exif(), dpi=(72, 72))
  data = buffer.getvalue() + SECRET
  found = metadata.stripped(data)
  assert SECRET[:7] not in found
  np.testing.assert_array_equal(pixels_of(found), np.asarray(image))
  with Image.open(io.BytesIO(found)) as image:
    assert image.info == {}


shapes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))


@settings(deadline=None, max_examples=60)
@given(
  arrays.arrays(np.uint8, shapes),
  st.integers(1, 100),
  st.booleans(),
  st.sampled_from(['4:4:4', '4:2:2', '4:2:0']),
  st.integers(0, 3),
)
def test_any_picture_decodes_to_the_same(
  pixels, quality, progressive, subsampling, restarts
):
  options = {'quality': quality, 'progressive': progressive}
  options |= {'subsampling': subsampling, 'restart_marker_blocks': restarts}
  data = jpeg(pixels, exif=exif(), comment=SECRET, **options)
  found = metadata.stripped(data)
  assert SECRET not in found
  np.testing.assert_array_equal(pixels_of(found), pixels_of(data))
  assert found == jpeg(pixels, **options)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(FILES['exif'])), st.binary(max_size=8))
def test_damaged_files_end(at, junk):
  """Whatever it is, it comes to an end, and junk decodes as it did."""
  data = FILES['exif'][:at] + junk + FILES['exif'][at + len(junk) :]
  if data.startswith(metadata.JPEG):
    found = metadata.stripped(data)
    assert len(found) <= len(data)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('size', [16, 8])
def test_the_codec_leaves_it_out(size, channels):
  """Pillow copies comments of its own accord when it writes what it resized."""
  for data in FILES.values():
    found = codec.encode(data, size, channels)
    assert SECRET not in found
  expected = codec.decode(FILES['exif'], 16, 3)
  kept = codec.decode(codec.encode(FILES['exif'], 16, 3), 16, 3)
  np.testing.assert_array_equal(kept, expected)


def test_a_prepared_data_set_does_not_say_where_it_was_taken(tmp_path):
  tree = trees.rafdb(tmp_path / 'raf')
  for path in tree.root.rglob('*.jpg'):
    with Image.open(path) as image:
      pixels = np.asarray(image.resize((16, 16)).convert('RGB'))
    path.write_bytes(jpeg(pixels, exif=exif(), comment=SECRET))
  out = prepare.prepare('rafdb', tree.root, tmp_path / 'o', size=16, workers=1)
  assert not [
    p for p in out.rglob('*') if p.is_file() and SECRET in p.read_bytes()
  ]
  records = store.open_records(out, 'train')
  for number in range(len(records)):
    [data] = store.encoded_images(store.parse(records[number]))
    assert not Image.open(io.BytesIO(data)).getexif()

"""JPEG and PNG files without what is written beside the pixels.

Photographs carry the place and time they were taken at, the owner's name and a
preview of the whole picture, also where only a face was to be kept. Segments and
chunks are dropped; the compressed pixels stay as they are, so that the decoded
ones do, too.
"""

import struct

JPEG = b'\xff\xd8'
PNG = b'\x89PNG\r\n\x1a\n'
# Of a PNG: what decoding needs, and transparency.
CHUNKS = {b'IHDR', b'PLTE', b'IDAT', b'IEND', b'tRNS'}
APP0, APP14, COMMENT = 0xE0, 0xEE, 0xFE
SOS, EOI = 0xDA, 0xD9
# Markers without a length: TEM, the restarts, SOI.
BARE = {0x01, *range(0xD0, 0xD9)}
JFIF_BYTES = 14  # of an APP0 segment, before its preview


def stripped(data: bytes) -> bytes:
  """Returns an image file that decodes to the same pixels and says nothing else.

  Args:
    data: A JPEG or PNG file. The orientation in it is dropped as well, so it has
      to be upright. One that is cut off is returned as far as it goes.
  """
  if data.startswith(JPEG):
    found = b''.join(_jpeg(data))
  elif data.startswith(PNG):
    found = b''.join(_png(data))
  else:
    raise ValueError('expected a JPEG or PNG file')
  return data if found == data else found


def _jpeg(data: bytes):
  """Yields the parts of a JPEG file that are kept, up to its end marker."""
  yield JPEG
  at = 2
  while at < len(data) - 1:
    if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
      at += 1  # junk and padding between segments, which decoders skip
      continue
    marker = data[at + 1]
    if marker == EOI:
      yield data[at : at + 2]
      return  # what follows is a second picture or a maker's notes
    stop = at + 2
    if marker not in BARE:
      stop += int.from_bytes(data[stop : stop + 2])
    if marker == SOS:
      stop = _scan_end(data, stop)
    yield _segment(marker, data[at:stop])
    at = max(stop, at + 2)


def _segment(marker: int, part: bytes) -> bytes:
  """A segment as it is kept.

  JFIF (APP0) and Adobe's marker (APP14) decide on colours.
  """
  if marker == APP0 and part[4:9] == b'JFIF\0':
    if len(part) <= 4 + JFIF_BYTES:
      return part
    body = part[4 : 2 + JFIF_BYTES] + b'\0\0'  # a preview of 0 x 0 pixels
    return part[:2] + struct.pack('>H', JFIF_BYTES + 2) + body
  if marker == APP14 and part[4:9] == b'Adobe':
    return part
  other = 0xE0 <= marker <= 0xEF or marker == COMMENT
  return b'' if other else part


def _scan_end(data: bytes, at: int) -> int:
  """Where the compressed pixels that begin at `at` end: at the next marker."""
  while (at := data.find(b'\xff', at)) >= 0:
    following = data[at + 1 : at + 2]
    if not following:
      break
    if following[0] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
      return at
    at += 1 if following[0] == 0xFF else 2
  return len(data)


def _png(data: bytes):
  """Yields the chunks of a PNG file that are kept, up to its end."""
  yield PNG
  at = len(PNG)
  while at + 8 <= len(data):
    size, kind = struct.unpack_from('>I4s', data, at)
    stop = at + size + 12
    if kind in CHUNKS:
      yield data[at:stop]
    at = stop
    if kind == b'IEND':
      return

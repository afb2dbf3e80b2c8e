"""Damage in JPEG files that decoders pass over in silence."""

import re

import simplejpeg

# Padding before the end marker that some cameras write.
_PADDING_BYTES = 2
# No block of a picture reads as so many zeros, see _zeroed.
_ZEROS = bytes(64)
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_TABLES, _SCAN, _END = 0xC4, 0xDA, b'\xff\xd9'


def damage(data: bytes) -> str | None:
  """Says what is missing or wrong in a JPEG file; None if nothing is found.

  Half of the zeroed blocks in progressive files, and single wrong bits, decode
  to a whole picture of other content: nothing in the file tells.
  """
  return _warning(data) or _zeroed(data)


def _warning(data: bytes) -> str | None:
  """What libjpeg warns of, and Pillow keeps to itself."""
  try:
    # Reduced as far as possible: every coefficient is read all the same.
    simplejpeg.decode_jpeg(data, 'GRAY', min_height=1, min_width=1, strict=True)
  except ValueError as error:
    text = str(error)
    padding = re.search(r'(\d+) extraneous bytes', text)
    if padding and int(padding[1]) <= _PADDING_BYTES:
      return None
    if re.match('Corrupt JPEG data|Premature end', text):
      return text.removeprefix('Corrupt JPEG data: ')
  return None  # or of a kind that only Pillow decodes


def _zeroed(data: bytes) -> str | None:
  """Finds a run of zeros among the coefficients, as of a lost disk block.

  The code of zeros alone stands for the first symbol of a Huffman table. If
  that is not the end of a block (0), 64 zero bytes are at least one block whose
  63 coefficients are equal and not 0, which no picture has. In files with
  optimised tables it often is: there a run of zeros is a plain area.
  """
  if _ZEROS not in data:
    return None
  try:
    start, first_symbol = _scan(data)
  except IndexError:
    return None  # Pillow says what is wrong with the header
  place = data.find(_ZEROS, start, data.find(_END, start))
  if first_symbol and start and place >= 0:
    return f'zeros from byte {place} on, where a part was lost'
  return None


def _scan(data: bytes) -> tuple[int, int]:
  """Returns where the one scan of a sequential file starts, and its symbol.

  This is the first symbol of the table of the first channel's coefficients; (0,
  0) for progressive files and for those with a scan per channel.
  """
  place, first, channels = 2, {}, 0
  while True:
    while data[place + 1] == 0xFF:  # markers may be padded
      place += 1
    marker = data[place + 1]
    size = int.from_bytes(data[place + 2 : place + 4])
    body = data[place + 4 : place + 2 + size]
    place += 2 + max(size, 2)
    if marker == _PROGRESSIVE:
      return 0, 0
    if marker in _SEQUENTIAL:
      channels = body[5]
    elif marker == _TABLES:
      first |= _first_symbols(body)
    elif marker == _SCAN:
      if body[0] != channels:
        return 0, 0
      return place, first.get(0x10 | (body[2] & 15), 0)


def _first_symbols(body: bytes) -> dict[int, int]:
  """Class and number of the Huffman tables of a segment -> first symbol."""
  found = {}
  while body:
    count = sum(body[1:17])
    found[body[0]] = body[17]
    body = body[17 + count :]
  return found

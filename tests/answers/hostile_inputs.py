"""Inputs that are not what they should be, each by a name.

A case is a function of an empty folder; it writes something there and returns the
arguments of the command but for --out. `WRONG` is passed over and named, `ODD` is
read as well as anything, `REFUSED` ends the command.
"""

import io
import os
import struct
import zlib

import numpy as np
import video_files
from PIL import Image

GOOD = 'zz-good.png'


def picture(mode='RGB', size=(40, 30)) -> Image.Image:
  """A picture that is no flat one."""
  rng = np.random.default_rng(0)
  pixels = rng.integers(60, 200, (size[1], size[0], 3)).astype(np.uint8)
  return Image.fromarray(pixels).convert(mode)


def encoded(kind: str, mode='RGB', size=(40, 30), **options) -> bytes:
  """Bytes of a picture."""
  with io.BytesIO() as file:
    picture(mode, size).save(file, kind, **options)
    return file.getvalue()


def filmed(folder, name: str, **options) -> bytes:
  """Bytes of a video."""
  path = folder / f'made-{name}'
  data = video_files.write(path, 60, **options).read_bytes()
  path.unlink()
  return data


def chunk(kind: bytes, data: bytes) -> bytes:
  """A chunk of PNG."""
  check = zlib.crc32(kind + data)
  return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)


def png(width: int, height: int, *chunks: bytes, depth=8, colour=2) -> bytes:
  """PNG of some chunks, whose header says that size."""
  head = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)
  start = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head)
  return start + b''.join(chunks) + chunk(b'IEND', b'')


def _cut(name: str, data, share: float):
  def write(folder):
    whole = data(folder) if callable(data) else data
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    return [folder]

  return write


def _file(name: str, data):
  return _cut(name, data, 1)


WRONG = {}
for _kind, _name in (
  ('JPEG', 'a.jpg'), ('PNG', 'a.png'), ('WEBP', 'a.webp'), ('TIFF', 'a.tif'),
  ('BMP', 'a.bmp'), ('GIF', 'a.gif'), ('JPEG2000', 'a.jp2'),
):  # fmt: skip
  for _share in (0.02, 0.5, 0.9):
    WRONG[f'{_name} cut at {_share}'] = _cut(_name, encoded(_kind), _share)
for _name in ('a.mp4', 'a.mkv', 'a.avi'):
  for _share in (0.01, 0.3, 0.8):
    # What is there of a film is answered, and that its end is missing is said.
    WRONG[f'{_name} cut at {_share}'] = _cut(
      _name, lambda folder, n=_name: filmed(folder, n), _share
    )
for _name in ('a.jpg', 'a.png', 'a.gif', 'a.webp', 'a.tif', 'a.mp4', 'a.mkv'):
  WRONG[f'{_name} without a byte'] = _file(_name, b'')
  WRONG[f'{_name} of zeros'] = _file(_name, bytes(5000))
  WRONG[f'{_name} of text'] = _file(_name, b'<html>404 not found</html>\n' * 40)
WRONG |= {
  'a zip named jpg': _file('a.jpg', b'PK\x03\x04' + bytes(range(256)) * 9),
  'a playlist named mp4': _file('a.mp4', b'#EXTM3U\nhttp://127.0.0.1:9/a.ts\n'),
  'a header of 100,000 x 100,000': _file(
    'a.png', png(100_000, 100_000, chunk(b'IDAT', zlib.compress(b'x')))
  ),
  'a header of 2 ** 31 pixels': _file(
    'a.png', png(2**31 - 1, 1, chunk(b'IDAT', zlib.compress(b'x')))
  ),
  'a header of no pixels': _file('a.png', png(0, 0)),
  'a text that unpacks to 200 MB': _file(
    'a.png',
    png(
      9, 9, chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(200_000_000))),
      chunk(b'IDAT', zlib.compress(bytes(9 * 28))),
    ),
  ),
  'pixels that unpack to more': _file(
    'a.png', png(9, 9, chunk(b'IDAT', zlib.compress(bytes(9))))
  ),
  'a colour type that is none': _file('a.png', png(9, 9, colour=5)),
  'a GIF of 65,535 x 65,535': _file(
    'a.gif', b'GIF89a\xff\xff\xff\xff\x00\x00\x00' + encoded('GIF')[13:]
  ),
  'a BMP of 2 ** 31 columns': _file(
    'a.bmp',
    (d := encoded('BMP'))[:18] + struct.pack('<ii', 2**31 - 1, 9) + d[26:],
  ),
  'a checksum that is wrong': _file(
    'a.png', encoded('PNG').replace(b'IDAT', b'IDAT', 1)[:-20] + bytes(20)
  ),
  'a picture of 12 bits': _file(
    'a.png', png(2, 1, chunk(b'IDAT', zlib.compress(b'\0\x01\0\x02\0')),
                 depth=16, colour=0)
  ),
  'a picture of 32 bits': _file('a.tif', encoded('TIFF', 'F')),
  'EXIF that is cut': _file(
    'a.jpg', encoded('JPEG', exif=b'Exif\0\0MM\0*\0\0\0\x08\0\x09')
  ),
  'an animated GIF': _file(
    'a.gif', encoded('GIF', 'P', save_all=True,
                     append_images=[picture('L').convert('P')])
  ),
  'an animated WebP': _file(
    'a.webp', encoded('WEBP', save_all=True, append_images=[picture('L')])
  ),
  'an animated PNG': _file(
    'a.png', encoded('PNG', save_all=True, append_images=[picture('1')])
  ),
  'a TIFF of two pages': _file(
    'a.tif', encoded('TIFF', save_all=True, append_images=[picture()])
  ),
}  # fmt: skip


def _named(table: dict, name: str):
  def add(function):
    table[name] = function
    return function

  return add


@_named(WRONG, 'a link to itself')
def _loop(folder):
  (folder / 'a.jpg').symlink_to('a.jpg')
  return [folder]


@_named(WRONG, 'a link to nothing')
def _dangling(folder):
  (folder / 'a.jpg').symlink_to('gone.jpg')
  return [folder]


@_named(WRONG, 'a link to a device')
def _device(folder):
  (folder / 'a.jpg').symlink_to('/dev/zero')
  return [folder]


@_named(WRONG, 'a terabyte of nothing')
def _sparse(folder):
  (folder / 'a.jpg').touch()
  os.truncate(folder / 'a.jpg', 1 << 40)  # takes no place on the disk
  return [folder]


@_named(WRONG, 'a pipe')
def _pipe(folder):
  os.mkfifo(folder / 'a.jpg')
  return [folder]


@_named(WRONG, 'a name with a line break')
def _break(folder):
  (folder / 'a\nb.png').write_bytes(encoded('PNG'))
  return [folder]


@_named(WRONG, 'a name that is no UTF-8')
def _bytes(folder):
  with open(os.fsencode(folder) + b'/\xff\xfe.jpg', 'wb') as file:
    file.write(encoded('JPEG'))
  return [folder]


@_named(WRONG, 'a video of sound alone')
def _sound(folder):
  silence = np.zeros(48_000, np.float32)
  video_files.write_sound(folder / 'a.mp4', silence)
  return [folder]


@_named(WRONG, 'a file that is not there')
def _gone(folder):
  return [folder, folder / 'gone.jpg']


@_named(WRONG, 'a name with a zero')
def _zero(folder):
  return [folder, 'a\0.jpg']


ODD = {
  'one pixel': _file('a.png', encoded('PNG', size=(1, 1))),
  'one column': _file('a.png', encoded('PNG', size=(1, 900))),
  'one row': _file('a.png', encoded('PNG', size=(900, 1))),
  'CMYK': _file('a.jpg', encoded('JPEG', 'CMYK')),
  'grey': _file('a.jpg', encoded('JPEG', 'L')),
  'grey with alpha': _file('a.png', encoded('PNG', 'LA')),
  'alpha': _file('a.webp', encoded('WEBP', 'RGBA')),
  'one bit': _file('a.png', encoded('PNG', '1')),
  'a palette with alpha': _file('a.png', encoded('PNG', 'P', transparency=0)),
  '16 bits of grey': _file(
    'a.png', png(2, 1, chunk(b'IDAT', zlib.compress(b'\0\xff\0\x80\0')),
                 depth=16, colour=0)
  ),
  '16 bits of colour': _file(
    'a.png', png(1, 1, chunk(b'IDAT', zlib.compress(b'\0\xff\0\x80\0\x20\0')),
                 depth=16)
  ),
  'progressive': _file('a.jpg', encoded('JPEG', progressive=True)),
  'a JPEG named png': _file('a.png', encoded('JPEG')),
  'a video of one frame': _file('a.mp4', lambda f: filmed(f, 'a.mp4')),
  'emoji and Hebrew': _file('😀 שלום.png', encoded('PNG')),
  'two forms of one letter': _file('e\u0301 \u00e9.png', encoded('PNG')),
  'a formula': _file('=1+1,"a";.png', encoded('PNG')),
  'markup': _file('[red]<b>&amp;[slash].png', encoded('PNG')),
  'a dash in front': _file('--out.png', encoded('PNG')),
  'a long name': _file('x' * 251 + '.png', encoded('PNG')),
}  # fmt: skip
for _turn in range(10):
  _exif = Image.Exif()
  _exif[0x0112] = _turn
  ODD[f'EXIF orientation {_turn}'] = _file(
    'a.jpg', encoded('JPEG', exif=_exif.tobytes())
  )


def _boxes(text: str | bytes):
  """A good picture and a file of boxes; {} is its name there."""

  def write(folder):
    inner = folder / 'in'
    inner.mkdir()
    path = inner / 'p.png'
    path.write_bytes(encoded('PNG'))
    data = text if isinstance(text, bytes) else text.encode()
    table = folder / 'b.csv'
    table.write_bytes(data.replace(b'{}', str(path).encode()))
    return [path, '--boxes', table]

  return write


BOXES = {
  'a mark in front': _boxes(b'\xef\xbb\xbffile,x,y,w,h\n{},1,1,20,20\n'),
  'quotes': _boxes('"file","x","y","w","h"\n"{}","1","1","20","20"\n'),
  'lines of Windows': _boxes('file,x,y,w,h\r\n{},1,1,20,20\r\n'),
  'another order': _boxes('w,h,file,y,x\n20,20,{},1,1\n'),
}
REFUSED = {
  'semicolons': _boxes('file;x;y;w;h\n{};1;1;20;20\n'),
  'a box that is no number': _boxes('file,x,y,w,h\n{},nan,1,20,20\n'),
  'a box of no end': _boxes('file,x,y,w,h\n{},1,1,inf,20\n'),
  'a box of 1e400': _boxes('file,x,y,w,h\n{},1,1,1e400,20\n'),
  'a box of no width': _boxes('file,x,y,w,h\n{},1,1,0,20\n'),
  'a box of less': _boxes('file,x,y,w,h\n{},1,1,-3,20\n'),
  'a box in words': _boxes('file,x,y,w,h\n{},left,1,9,20\n'),
  'a column too few': _boxes('file,x,y,w\n{},1,1,20\n'),
  'a cell too many': _boxes('file,x,y,w,h\n{},1,1,20,20,7\n'),
  'a column twice': _boxes('file,x,y,w,h,h\n{},1,1,20,20,20\n'),
  'a column of no use': _boxes('file,x,y,w,h,fraem\n{},1,1,20,20,3\n'),
  'a box twice': _boxes('file,x,y,w,h\n{},1,1,20,20\n{},1,1,20,20\n'),
  'a frame before the first': _boxes('file,x,y,w,h,frame\n{},1,1,2,2,-1\n'),
  'half a frame': _boxes('file,x,y,w,h,frame\n{},1,1,2,2,0.5\n'),
  'no boxes': _boxes('file,x,y,w,h\n'),
  'an empty table': _boxes(''),
  'a table of zeros': _boxes(bytes(99)),
  'a table in UTF-16': _boxes('file,x,y,w,h\n'.encode('utf-16')),
  'a quote without an end': _boxes('file,x,y,w,h\n"{},1,1,20,20\n'),
  'boxes of another file': _boxes('file,x,y,w,h\nother.png,1,1,20,20\n'),
}


@_named(REFUSED, 'a folder for a table')
def _folder_of_boxes(folder):
  arguments = _boxes('')(folder)
  arguments[-1].unlink()
  arguments[-1].mkdir()
  return arguments


@_named(REFUSED, 'no folder')
def _nowhere(folder):
  return [folder / 'gone']


@_named(REFUSED, 'an empty folder')
def _nothing(folder):
  (folder / 'in').mkdir()
  return [folder / 'in']


@_named(REFUSED, 'a folder named jpg')
def _named(folder):
  (folder / 'a.jpg').mkdir()
  return [folder / 'a.jpg']


for _name, _flags in {
  'a detector that is not there': ['--detector', 'gone.onnx'],
  'a detector of no name': ['--detector', 'best'],
  'every none': ['--every', '0'],
  'from a time that is none': ['--from', 'nan'],
  'to a time before': ['--to', '-1'],
  'from after to': ['--from', '3', '--to', '2'],
  'a score of two': ['--min-score', '2'],
  'a format of no name': ['--format', 'xlsx'],
  'a format twice': ['--format', 'csv,csv'],
  'a style of no name': ['--style', 'excel'],
  'tiles of crops': ['--crops', '--tiles'],
  'a webcam and a picture': ['--webcam', '0'],
  'an empty name': [''],
  'frames of pictures': ['--every', '2'],
  'a coverage that it has not': ['--coverage', '0.123'],
  'rare ones by more than all': ['--favour-rare', '1.5'],
}.items():
  REFUSED[_name] = lambda folder, flags=_flags: [
    *_file('a.png', encoded('PNG'))(folder), *flags
  ]  # fmt: skip

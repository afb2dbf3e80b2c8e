"""The npy version of AffectNet: small files of labels beside cropped faces."""

import pathlib
from collections.abc import Iterator

from emojax.data.readers.files import arrays, folders, tables
from emojax.data.readers.files.crops import LandmarkSquare, points_from
from emojax.data.readers.files.frames import ImageFile
from emojax.data.readers.files.problems import DataError, Problems

FOLDERS = {'train_set': 'train', 'val_set': 'validation'}


def read(
  source: pathlib.Path, landmarks: bool, problems: Problems
) -> Iterator[tuple[str, str, ImageFile, int, tuple[float, float] | None]]:
  """Yields (name, split, frame, expression number, (valence, arousal)).

  Raises:
    DataError: There is neither train_set nor val_set.
  """
  present = {f: s for f, s in FOLDERS.items() if (source / f).is_dir()}
  if not present:
    raise DataError('neither training.csv nor train_set', 'AffectNet', source)
  for folder, split in present.items():
    images = folders.names_in(source / folder / 'images')
    notes = source / folder / 'annotations'
    for name in sorted(folders.names_in(notes, ['_exp.npy'])):
      key, row = name.removesuffix('_exp.npy'), None
      with problems.at(notes / name):
        if f'{key}.jpg' not in images:
          raise DataError(f'no image {key}.jpg', 'an image per annotation')
        path = source / folder / 'images' / f'{key}.jpg'
        # Both splits number their images from 0.
        name = f'{folder}/{key}'
        row = name, split, *_labels(path, notes / key, landmarks)
      if row is not None:
        yield row
    labelled = folders.names_in(notes, ['_exp.npy'])
    bare = {
      n for n in images if f'{n.rsplit(".", 1)[0]}_exp.npy' not in labelled
    }
    if bare:
      problems.note(
        f'{folder}: {len(bare)} images without annotation are left out, such '
        f'as {min(bare)}'
      )


def _labels(path: pathlib.Path, stem: pathlib.Path, landmarks: bool):
  """Returns frame, expression and valence/arousal of one image."""
  text = scalar(pathlib.Path(f'{stem}_exp.npy'))
  number = tables.real(text, 0, 10, 'an expression')
  if number != int(number):
    raise DataError(text, 'an expression number without fraction')
  files = [pathlib.Path(f'{stem}_{key}.npy') for key in ('val', 'aro')]
  present = [f for f in files if f.is_file()]
  if len(present) == 1:
    raise DataError(
      f'{present[0].name} without the other of the two',
      'valence and arousal, or neither',
    )
  va = parse_va(*map(scalar, files)) if present else None
  crop = _square(pathlib.Path(f'{stem}_lnd.npy')) if landmarks else None
  return ImageFile(str(path), crop), int(number), va


def parse_va(valence: str, arousal: str) -> tuple[float, float] | None:
  """Returns both values in [-1, 1], None when either is -2 (missing)."""
  first, second = (
    tables.real_or(text, -1, 1, -2, 'a value') for text in (valence, arousal)
  )
  return None if -2 in (first, second) else (first, second)


def scalar(path: pathlib.Path) -> str:
  """Returns the one number or text in a npy file, as text."""
  array = arrays.load_npy(path)
  if array.size != 1 or array.dtype.kind not in 'biufSU':
    found = f'{array.dtype} of shape {array.shape}'
    raise DataError(found, 'one number or text', path)
  item = array.reshape(-1)[0]
  return (
    item.decode('ascii', 'replace') if isinstance(item, bytes) else str(item)
  )


def _square(path: pathlib.Path) -> LandmarkSquare:
  points = arrays.load_npy(path)
  if points.size != 136 or points.dtype.kind not in 'iuf':
    found = f'{points.dtype} of shape {points.shape}'
    raise DataError(found, '68 landmarks (x, y)', path)
  return LandmarkSquare(points_from(points))

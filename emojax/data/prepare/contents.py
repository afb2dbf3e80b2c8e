"""Whether the files of a source are those that were read before.

Names and labels do not tell: pictures that were aligned anew have the same ones. All
bytes of a large data set take too long to read for a look at whether it is
finished, so files are sampled: their sizes, and blocks all over them.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from emojax.data.readers import base
from emojax.host import files

FILES = 512  # at most, spread over all frames
BLOCKS, BYTES = 16, 4096  # of each file, spread over it


def sample(listing: base.Listing) -> str:
  """Hash of a sample of the files that a listing's frames are in."""
  state = hashlib.sha256()
  for file in dict.fromkeys(_files(listing)):
    state.update(_facts(file))
  return state.hexdigest()


def _files(listing: base.Listing) -> Iterator[str]:
  """Files of frames that are evenly spread over the listing."""
  ends = np.cumsum([len(record) for record in listing.records])
  if not len(ends):
    return
  for place in np.unique(np.linspace(0, ends[-1] - 1, FILES).astype(int)):
    number = int(np.searchsorted(ends, place, 'right'))
    record = listing.records[number]
    yield record.frames[int(place - (ends[number] - len(record)))].file


def _facts(path: str) -> bytes:
  try:
    with open(path, 'rb', opener=files.open_ending) as file:
      size = file.seek(0, 2)
      state = hashlib.blake2b(b'%d' % size)
      for start in np.unique(np.linspace(0, max(0, size - BYTES), BLOCKS)):
        file.seek(int(start))
        state.update(file.read(BYTES))
      return state.digest()
  except OSError:
    return b'not there'  # which preparing tells of

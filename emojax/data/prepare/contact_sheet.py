"""Contact sheets: many images of a data set on one page."""

import pathlib

import numpy as np


def contact_sheet(
  images, titles=None, columns: int = 8, path=None, scale: int = 1
):
  """Draws images in rows of `columns` and returns the page.

  Args:
    images: uint8 [N, H, W, 3], [N, H, W, 1] or [N, H, W].
    titles: N strings drawn above the images, or None.
    columns: Images in a row.
    path: File to write (PNG or JPEG by its suffix), or None.
    scale: Whole factor by which small images are enlarged.

  Returns:
    The page as uint8 [H', W', 3].
  """
  import PIL.Image
  import PIL.ImageDraw

  images = _as_rgb(images)
  if titles is not None and len(titles) != len(images):
    raise ValueError(
      f'titles: expected {len(images)} as there are images, got {len(titles)}'
    )
  images = images.repeat(scale, 1).repeat(scale, 2)
  margin, head = 2, 14 if titles is not None else 0
  step = images.shape[1] + head + margin, images.shape[2] + margin
  rows = -(-len(images) // columns)
  page = np.full((rows * step[0], columns * step[1], 3), 255, np.uint8)
  for i, image in enumerate(images):
    top, left = (i // columns) * step[0] + head, (i % columns) * step[1]
    page[top : top + len(image), left : left + image.shape[1]] = image
  picture = PIL.Image.fromarray(page)
  draw = PIL.ImageDraw.Draw(picture)
  for i, title in enumerate(titles if titles is not None else ()):
    corner = (i % columns) * step[1] + 1, (i // columns) * step[0] + 1
    draw.text(corner, _fitted(draw, str(title), step[1] - 2), fill=(0, 0, 0))
  if path is not None:
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
  return np.asarray(picture)


def _fitted(draw, title: str, width: int) -> str:
  """The title, cut off where it would run into the next image's."""
  title = title[: width + 1]  # no letter is narrower than a pixel
  if draw.textlength(title) <= width:
    return title
  while title and draw.textlength(title + '..') > width:
    title = title[:-1]
  return title + '..'


def _as_rgb(images) -> np.ndarray:
  images = np.asarray(images)
  if images.ndim == 3:
    images = images[..., None]
  if images.ndim != 4 or images.dtype != np.uint8:
    raise ValueError(
      'images: expected uint8 [N, H, W, 3] (or one channel), got '
      f'{images.dtype} {images.shape}'
    )
  return np.broadcast_to(images, (*images.shape[:3], 3))

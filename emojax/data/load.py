"""Data sets by configuration: the embedded one, or a prepared folder."""

from emojax.data import embedded
from emojax.data.clips import Dataset


def from_config(data) -> Dataset:
  """Makes or opens the data set that `config.data` describes.

  Raises:
    ValueError: On an unknown name, or one that lacks its path.
  """
  if data.name == 'embedded':
    return embedded.make(
      seed=data.seed,
      size=data.image_size,
      clip_length=data.clip_length,
      num_train=dict(data.train_clips),
      num_val=data.val_clips,
      num_test=data.test_clips,
      num_ood=data.ood_clips,
      audio=data.audio,
    )
  raise ValueError(
    f"config.data.name {data.name!r}: expected 'embedded' or 'prepared'"
  )


def summary(dataset: Dataset) -> str:
  """One line about a data set for the terminal."""
  parts = ', '.join(
    f'{len(clips)} {name}'
    for name, clips in (
      ('training', dataset.train),
      ('validation', dataset.val),
      ('test', dataset.test),
      *((f'OOD {name}', clips) for name, clips in dataset.ood.items()),
    )
  )
  return f'[bold]{dataset.name}[/]: clips: {parts}'

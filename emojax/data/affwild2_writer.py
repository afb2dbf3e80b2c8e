"""Writes embedded faces in the official layout of Aff-Wild2 (ABAW 2021).

  python -m emojax.data.affwild2_writer --out FAKE --videos 20 --frames 1000

makes a tree that everything which reads Aff-Wild2 reads as well, with the
habits of the real one: annotations of different tasks on different videos, rows
that are invalid (-1, -5), frames without a face, more rows than images, two
people in a video (`_left`, `_right`), sound as 16 kHz mono .wav:

    AU_Set|EXPR_Set|VA_Set/Train_Set|Validation_Set/VIDEO.txt
    cropped_aligned/VIDEO/00001.jpg
    audio/VIDEO.wav
    test_set/test_set.txt
    GENERATED.txt

By the last one, what is prepared from it is called "generated affwild2".
"""

import argparse
import dataclasses
import os
import pathlib
import sys
import wave

import numpy as np
from PIL import Image
from rich import console as rich_console

from emojax import tasks
from emojax.data import embedded
from emojax.data.embedded import parameters, voice
from emojax.data.prepare import parallel
from emojax.data.readers.affwild2 import GENERATED
from emojax.data.transform import audio
from emojax.host import program
from emojax.host.terminal import say

FPS = 30.0
EXTRA_ROWS = 12  # label rows after the last image
GAP_RATE = 1 / 400  # gaps per frame
INVALID_RATE = 1 / 200  # runs of invalid rows per frame
JPEG_QUALITY = 90
PEOPLE = (('',), ('',), ('',), ('_left', '_right'))  # by number of the video
SPLITS = ('train', 'train', 'val', 'train', 'train', 'test')  # likewise
# Tasks that a training video is annotated for, by its number in its split. As
# in the original, some have both expressions and valence and arousal.
ANNOTATED = (('au',), ('expr', 'va'), ('va',), ('expr',))
SETS = {'au': 'AU_Set', 'expr': 'EXPR_Set', 'va': 'VA_Set'}
HEADERS = {
  'au': ','.join(tasks.AU12),
  'expr': ','.join(name.capitalize() for name in tasks.AFFWILD2),
  'va': 'valence,arousal',
}


@dataclasses.dataclass(frozen=True)
class Person:
  """One annotated person of one video.

  Attributes:
    out: Root of the tree.
    video: Name of the video.
    suffix: '', '_left' or '_right'.
    split: 'train', 'val' or 'test'.
    number: Number of the person in the whole tree.
    labelled: Tasks with annotations.
    sound: Whether to write the video's sound.
    frames: Frames of the video.
    size: Height and width of the images.
    seed: Seed of the whole tree.
  """

  out: pathlib.Path
  video: str
  suffix: str
  split: str
  number: int
  labelled: tuple[str, ...]
  sound: bool
  frames: int
  size: int
  seed: int

  @property
  def name(self) -> str:
    return self.video + self.suffix


def people(
  out: pathlib.Path, videos: int, frames: int, size: int, seed: int, sound: bool
) -> list[Person]:
  """Plans the tree: who is in which video and annotated for what."""
  found: list[Person] = []
  trained = 0
  for number in range(videos):
    split = SPLITS[number % len(SPLITS)]
    labelled = tuple(SETS) if split == 'val' else ()
    if split == 'train':
      labelled = ANNOTATED[trained % len(ANNOTATED)]
      trained += 1
    for suffix in PEOPLE[number % len(PEOPLE)]:
      found.append(
        Person(
          out,
          f'video{number + 1:04d}',
          suffix,
          split,
          len(found),
          labelled,
          sound and suffix in ('', '_left'),
          frames,
          size,
          seed,
        )
      )
  return found


def write_tree(
  out: str | os.PathLike,
  videos: int = 20,
  frames: int = 1000,
  seed: int = 0,
  *,
  size: int = 112,
  sound: bool = True,
  workers: int | None = None,
  console: rich_console.Console | None = None,
) -> pathlib.Path:
  """Writes a tree; the same arguments make the same files.

  Args:
    out: Folder to write; must be empty or not there.
    videos: Number of videos; some show two people.
    frames: Frames of every video.
    seed: Seed.
    size: Height and width of the face crops; the official ones have 112.
    sound: Write audio/.
    workers: Processes; all cores if None.
    console: Where progress goes.

  Returns:
    `out`.
  """
  out = pathlib.Path(out)
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise ValueError(f'{out} is there already: choose another folder')
  if videos < 1 or frames < 1:
    raise ValueError(f'expected at least 1 video and frame: {videos}, {frames}')
  if size < 1 or (workers is not None and workers < 1):
    raise ValueError(f'expected a size and workers from 1: {size}, {workers}')
  everyone = people(out, videos, frames, size, seed, sound)
  out.mkdir(parents=True, exist_ok=True)
  # Nobody shall take results on these faces for results on Aff-Wild2. First of
  # all, since a tree that was interrupted can be read as well.
  (out / GENERATED).write_text(
    'Procedural faces of emojax.data.affwild2_writer, not Aff-Wild2.\n'
  )
  jobs = ((i, frames, person) for i, person in enumerate(everyone))
  for _ in parallel.run(
    write_person,
    jobs,
    workers=min(workers or os.cpu_count() or 1, len(everyone)),
    total=frames * len(everyone),
    title='writing',
    unit='frames',
    console=console or rich_console.Console(stderr=True),
  ):
    pass
  test = [person.name for person in everyone if person.split == 'test']
  if test:
    (out / 'test_set').mkdir()
    (out / 'test_set' / 'test_set.txt').write_text('\n'.join(test))
  return out


def write_person(person: Person) -> int:
  """Writes images, labels and sound of one person; returns the image count."""
  params = parameters.sample_clip_parameters(
    person.seed,
    1,
    person.frames,
    split=person.split,
    frame_rate=FPS,
    # One subject per person: clips of one subject would not differ in face.
    first_clip=person.number * parameters.CLIPS_PER_SUBJECT,
  )
  rng = parameters.generator(person.seed, 'affwild2 files', person.number)
  present = ~_runs(rng, person.frames, GAP_RATE, 20)
  present[0] = True
  count = _write_images(person, params, present)
  targets = embedded.draw_labels(params)
  for task in person.labelled:
    _write_labels(person, task, targets[task].value[0], rng)
  if person.sound:
    _write_sound(person, voice.waveform(params)[0])
  return count


def _runs(rng, length: int, rate: float, longest: int) -> np.ndarray:
  """Marks runs of frames that begin at random, bool [length]."""
  marked = np.zeros(length, bool)
  for start in np.flatnonzero(rng.random(length) < rate):
    marked[start : start + rng.integers(1, longest + 1)] = True
  return marked


def _write_images(person: Person, params, present: np.ndarray) -> int:
  folder = person.out / 'cropped_aligned' / person.name
  folder.mkdir(parents=True)
  images = embedded.render(params, person.size, threads=1)[0]
  numbers = np.flatnonzero(present)
  for number in numbers:
    Image.fromarray(images[number]).save(
      folder / f'{number + 1:05d}.jpg', quality=JPEG_QUALITY
    )
  return len(numbers)


def _write_labels(person: Person, task: str, value: np.ndarray, rng):
  """Writes a label file: a header, then one row per frame of the video."""
  invalid = _runs(rng, len(value), INVALID_RATE, 30)
  extra = np.ones(EXTRA_ROWS, bool)
  rows = [
    _row(task, value[min(i, len(value) - 1)], bad, rng)
    for i, bad in enumerate(np.concatenate([invalid, extra]))
  ]
  split = {'train': 'Train_Set', 'val': 'Validation_Set'}[person.split]
  folder = person.out / SETS[task] / split
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / f'{person.name}.txt'
  path.write_text('\n'.join([HEADERS[task], *rows]))


def _row(task: str, value: np.ndarray, invalid: bool, rng) -> str:
  if task == 'expr':
    return '-1' if invalid else str(int(np.argmax(value)))
  if task == 'va':
    return '-5,-5' if invalid else ','.join(f'{v:.3f}' for v in value)
  # Sometimes only some of the units could not be annotated.
  missing = rng.random(len(value)) < (0.5 if rng.random() < 0.3 else 1)
  return ','.join(
    '-1' if invalid and lost else str(int(v)) for v, lost in zip(value, missing)
  )


def _write_sound(person: Person, samples: np.ndarray):
  folder = person.out / 'audio'
  folder.mkdir(exist_ok=True)
  with wave.open(str(folder / f'{person.video}.wav'), 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(audio.SAMPLE_RATE)
    file.writeframes(np.round(samples * 32767).astype('<i2').tobytes())


def main(argv: list[str] | None = None) -> int:
  """Command line; returns the exit status."""
  parser = argparse.ArgumentParser(
    'python -m emojax.data.affwild2_writer',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  program.add_out(parser)
  add('--videos', type=int, default=20, help='videos (default 20)')
  add('--frames', type=int, default=1000, help='per video (default 1000)')
  add('--seed', type=int, default=0, help='seed (default 0)')
  add('--size', type=int, default=112, help='of the images (default 112)')
  add('--no_sound', action='store_false', dest='sound', help='no audio/')
  add('--workers', type=int, help='processes (default: all cores)')
  given = vars(parser.parse_args(argv))
  console = rich_console.Console(stderr=True)
  try:
    out = write_tree(given.pop('out'), **given, console=console)
  except (OSError, ValueError) as error:
    say(console, f'error: {error}')
    return 1
  except KeyboardInterrupt:
    console.print('stopped: start again with another --out')
    return 130
  say(
    console,
    f'{out}: now run python -m emojax.data.prepare affwild2 --source {out} '
    '--out DATA (--audio log_mel --option fps=30 for the sound)',
  )
  return 0


if __name__ == '__main__':
  sys.exit(main())

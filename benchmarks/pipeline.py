"""Images per second, decoded, augmented and batched, and memory meanwhile.

  python -m benchmarks.pipeline --frames 200000
  python -m benchmarks.pipeline --store DATA/affwild2 --clip_length 16

Without --store, a small Aff-Wild2 tree of embedded faces is written and
prepared first, and these stages are timed as well. Each line has wall-clock
and processor time; the latter tells a busy machine from a slow program.
"""

import argparse
import pathlib
import tempfile
from collections.abc import Iterator

import jax
import numpy as np
import psutil

from benchmarks import clock
from emojax.data import affwild2_writer
from emojax.data.clips import pipeline
from emojax.data.prepare import command as prepare
from emojax.data.store import codec, store, stored
from emojax.data.transform import augment
from emojax.engine import plan as plans
from emojax.engine import sources

Rates = Iterator[clock.Clock]


def make(folder: pathlib.Path, videos: int, frames: int) -> Rates:
  """Writes a tree and prepares it as `folder / 'store'`."""
  people = affwild2_writer.people(folder, videos, frames, 112, 0, False)
  with clock.Clock('writing a tree, 112 px', frames * len(people)) as timed:
    tree = affwild2_writer.write_tree(
      folder / 'tree', videos, frames, sound=False
    )
  yield timed
  images = sum(1 for _ in tree.rglob('*.jpg'))
  with clock.Clock('preparing it', images) as timed:
    prepare.prepare('affwild2', tree, folder / 'store')
  yield timed


def decoding(path: pathlib.Path, split: str) -> Rates:
  """Times the decoder alone, on one thread."""
  data = stored.Store(path)
  records = data.records(split)
  count = min(16, len(data.table(split).length))
  images = [i for n in range(count) for i in store.encoded_images(records[n])]
  size = np.mean([len(image) for image in images]) / 1024
  name = f'decoding, {size:.1f} KiB each'
  with clock.Clock(name, len(images)) as timed:
    for image in images:
      codec.decode(image, data.spec.size, data.spec.channels)
  yield timed


def streaming(clips, batch, frames, chunk, name, memory) -> Rates:
  """Times augmented batches, read as in training.

  Args:
    clips: Of a store.
    batch: Clips of a batch.
    frames: To read.
    chunk: Batches that are read ahead.
    name: Of the augmentation.
    memory: Takes the resident MiB after every chunk.
  """
  apply = jax.jit(augment.augmentation(name))
  wanted = max(2, frames // (batch * clips.clip_length))
  plan = plans.epoch_plan((0,), [np.arange(len(clips))], wanted, batch)[None]
  chunks = sources.stream(clips, np.arange(len(clips)), plan, chunk)
  example = clips.take(plan[0, 0]).image
  done = apply(jax.random.key(0), example).block_until_ready()
  process, step = psutil.Process(), 0
  title, count = f'streaming, {name}', wanted * batch * clips.clip_length
  with clock.Clock(title, count) as timed:
    for (inputs, _), local, steps in chunks:
      for rows in local[0, :steps]:
        # The next chunk is read while this one is augmented.
        upcoming = apply(jax.random.key(step), inputs['image'][0][rows])
        done.block_until_ready()
        done, step = upcoming, step + 1
      memory.append(process.memory_info().rss / 2**20)
    done.block_until_ready()
  yield timed


def augmenting(images: np.ndarray, repeats: int = 5) -> Rates:
  """Times every augmentation on the default device, compiled beforehand."""
  count = repeats * images.shape[0] * images.shape[1]
  for name in augment.COMPOSITIONS:
    apply = jax.jit(augment.augmentation(name))
    apply(jax.random.key(0), images).block_until_ready()
    with clock.Clock(f'augmenting: {name}', count) as timed:
      for i in range(repeats):
        apply(jax.random.key(i), images).block_until_ready()
    yield timed


def rates(
  folder: pathlib.Path, videos: int, frames: int, streamed: int
) -> Rates:
  """Times a tree of embedded faces from its making to batches of training.

  Args:
    folder: Where it is made.
    videos: How many.
    frames: Of each.
    streamed: Frames that are read in batches of 15 clips of 16.
  """
  yield from make(folder, videos, frames)
  yield from decoding(folder / 'store', 'train')
  clips = pipeline.open_clips(
    folder / 'store', 'train', clip_length=16, threads=2
  )
  yield from streaming(clips, 15, streamed, 4, 'emenet', [])


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = parser.add_argument
  add('--store', type=pathlib.Path, help='prepared data set')
  add('--split', default='train')
  add('--clip_length', type=int, default=16)
  add('--batch', type=int, default=15, help='clips')
  add('--frames', type=int, default=20000, help='frames to stream')
  add('--threads', type=int, default=2, help='threads that decode a batch')
  add('--steps', type=int, default=4, help='batches of a chunk, read ahead')
  add('--videos', type=int, default=12, help='of the tree that is made')
  add('--video_frames', type=int, default=400)
  add('--augment', default='emenet', help='of the streamed frames, or none')
  add('--augmentations', action='store_true', help='also time all of them')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as made:
    folder = pathlib.Path(made)
    if args.store is None:
      clock.show(make(folder, args.videos, args.video_frames))
    path, memory = args.store or folder / 'store', []
    clock.show(decoding(path, args.split))
    clips = pipeline.open_clips(
      path, args.split, clip_length=args.clip_length, threads=args.threads
    )
    clock.show(
      streaming(
        clips, args.batch, args.frames, args.steps, args.augment, memory
      )
    )
    shown = memory[:: max(1, len(memory) // 10)]
    print('  resident MiB: ' + ' '.join(f'{m:.0f}' for m in shown))
    if args.augmentations:
      clock.show(augmenting(clips.take(np.arange(args.batch)).image))


if __name__ == '__main__':
  main()

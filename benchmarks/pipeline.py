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
import time

import jax
import numpy as np
import psutil

from emojax.data import affwild2_writer
from emojax.data.clips import pipeline
from emojax.data.prepare import command as prepare
from emojax.data.store import codec, store, stored
from emojax.data.transform import augment
from emojax.engine import plan as plans
from emojax.engine import sources


class Clock:
  """Prints the rate of what it encloses; worker processes are not counted."""

  def __init__(self, name: str, images: int):
    self.name, self.images = name, images

  def __enter__(self):
    self.wall, self.cpu = time.perf_counter(), time.process_time()

  def __exit__(self, *_):
    wall = time.perf_counter() - self.wall
    cpu = time.process_time() - self.cpu
    print(
      f'{self.name:34} {self.images / wall:8.0f} images/s  {wall:7.2f} s  '
      f'{1e3 * cpu / self.images:6.3f} ms of processor time per image'
    )


def make(folder: pathlib.Path, videos: int, frames: int) -> pathlib.Path:
  """Writes and prepares a tree; returns the folder of the data set."""
  people = affwild2_writer.people(folder, videos, frames, 112, 0, False)
  with Clock('writing a tree', frames * len(people)):
    tree = affwild2_writer.write_tree(
      folder / 'tree', videos, frames, sound=False
    )
  images = sum(1 for _ in tree.rglob('*.jpg'))
  with Clock('preparing it', images):
    return prepare.prepare('affwild2', tree, folder / 'store')


def decoding(path: pathlib.Path, split: str) -> None:
  """Times the decoder alone, on one thread."""
  data = stored.Store(path)
  records = data.records(split)
  count = min(16, len(data.table(split).length))
  images = [i for n in range(count) for i in store.encoded_images(records[n])]
  size = np.mean([len(image) for image in images]) / 1024
  with Clock(f'decoding, {size:.1f} KiB each', len(images)):
    for image in images:
      codec.decode(image, data.spec.size, data.spec.channels)


def streaming(clips, batch, frames, chunk, name) -> None:
  """Times augmented batches, read as in training, and watches the memory."""
  apply = jax.jit(augment.augmentation(name))
  wanted = max(2, frames // (batch * clips.clip_length))
  plan = plans.epoch_plan((0,), [np.arange(len(clips))], wanted, batch)[None]
  chunks = sources.stream(clips, np.arange(len(clips)), plan, chunk)
  example = clips.take(plan[0, 0]).image
  done = apply(jax.random.key(0), example).block_until_ready()
  process, memory, step = psutil.Process(), [], 0
  with Clock(f'streaming, {name}', wanted * batch * clips.clip_length):
    for (inputs, _), local, count in chunks:
      for rows in local[0, :count]:
        # The next chunk is read while this one is augmented.
        upcoming = apply(jax.random.key(step), inputs['image'][0][rows])
        done.block_until_ready()
        done, step = upcoming, step + 1
      memory.append(process.memory_info().rss / 2**20)
    done.block_until_ready()
  shown = memory[:: max(1, len(memory) // 10)]
  print('  resident MiB: ' + ' '.join(f'{m:.0f}' for m in shown))


def augmenting(images: np.ndarray, repeats: int = 5) -> None:
  """Times every augmentation on the default device, compiled beforehand."""
  count = repeats * images.shape[0] * images.shape[1]
  for name in augment.COMPOSITIONS:
    apply = jax.jit(augment.augmentation(name))
    apply(jax.random.key(0), images).block_until_ready()
    with Clock(f'augmenting: {name}', count):
      for i in range(repeats):
        apply(jax.random.key(i), images).block_until_ready()


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
  with tempfile.TemporaryDirectory() as folder:
    path = args.store or make(
      pathlib.Path(folder), args.videos, args.video_frames
    )
    decoding(path, args.split)
    clips = pipeline.open_clips(
      path, args.split, clip_length=args.clip_length, threads=args.threads
    )
    streaming(clips, args.batch, args.frames, args.steps, args.augment)
    if args.augmentations:
      augmenting(clips.take(np.arange(args.batch)).image)


if __name__ == '__main__':
  main()

"""Frames per second of the embedded data: sampling, rendering, voices.

  python -m benchmarks.generator --size=48 --clips=400 --threads=2

Prints one line per stage with wall-clock and processor time; the latter tells
a busy machine from a slow program.
"""

import argparse
import time

from emojax.data import embedded
from emojax.data.embedded import parameters, voice


def measure(name: str, frames: int, function):
  """Runs a stage once warm, prints its rate, returns its result."""
  wall, cpu = time.perf_counter(), time.process_time()
  result = function()
  wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
  print(
    f'{name:12} {frames / wall:8.0f} frames/s  '
    f'{1e3 * cpu / frames:6.3f} ms of processor time per frame'
  )
  return result


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--size', type=int, default=48)
  parser.add_argument('--clips', type=int, default=400)
  parser.add_argument('--clip_length', type=int, default=8)
  parser.add_argument('--threads', type=int, default=None)
  parser.add_argument('--audio', action='store_true')
  args = parser.parse_args()

  def sample(count):
    return parameters.sample_clip_parameters(
      0, count, args.clip_length, frame_rate=7.5
    )

  embedded.render(sample(8), args.size, args.threads)
  frames = args.clips * args.clip_length
  params = measure('sampling', frames, lambda: sample(args.clips))
  measure('labels', frames, lambda: parameters.draw_labels(params))
  measure(
    'rendering',
    frames,
    lambda: embedded.render(params, args.size, args.threads),
  )
  if args.audio:
    voice.frame_features(sample(1))  # librosa compiles at its first call
    measure('audio', frames, lambda: voice.frame_features(params))


if __name__ == '__main__':
  main()

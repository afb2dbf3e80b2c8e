"""Frames per second of the embedded data: sampling, rendering, voices.

  python -m benchmarks.generator --size=48 --clips=400 --threads=2

Prints one line per stage with wall-clock and processor time; the latter tells
a busy machine from a slow program.
"""

import argparse
from collections.abc import Iterator

from benchmarks import clock
from emojax.data import embedded
from emojax.data.embedded import parameters, voice


def rates(
  size: int,
  clips: int,
  length: int,
  threads: int | None = None,
  audio: bool = False,
) -> Iterator[clock.Clock]:
  """Times the stages, each once it is warm.

  Args:
    size: Height and width of the images.
    clips: How many.
    length: Frames of each.
    threads: That render; None for all cores.
    audio: Whether voices, too.
  """

  def sample(count):
    return parameters.sample_clip_parameters(0, count, length, frame_rate=7.5)

  embedded.render(sample(8), size, threads)
  frames = clips * length
  with clock.Clock(f'embedded faces, {size} px: sampling', frames) as timed:
    params = sample(clips)
  yield timed
  with clock.Clock('labels', frames) as timed:
    parameters.draw_labels(params)
  yield timed
  with clock.Clock('rendering', frames) as timed:
    embedded.render(params, size, threads)
  yield timed
  if audio:
    voice.frame_features(sample(1))  # librosa compiles at its first call
    with clock.Clock('voices', frames) as timed:
      voice.frame_features(params)
    yield timed


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--size', type=int, default=48)
  parser.add_argument('--clips', type=int, default=400)
  parser.add_argument('--clip_length', type=int, default=8)
  parser.add_argument('--threads', type=int, default=None)
  parser.add_argument('--audio', action='store_true')
  args = parser.parse_args()
  clock.show(
    rates(args.size, args.clips, args.clip_length, args.threads, args.audio)
  )


if __name__ == '__main__':
  main()

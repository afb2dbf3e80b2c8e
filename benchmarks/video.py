"""Ten minutes of video through `emojax predict`: speed, memory, times, resuming.

  python -m benchmarks.video --folder FOLDER
  python -m benchmarks.video --folder FOLDER --seconds 60 --kills 1

Makes a video of 1280 x 720 pixels whose frame rate varies
(`benchmarks.made_video`), answers it, and answers it once more with SIGKILL now
and then and the same command after it. Ends with exit code 1 unless both folders
are equal byte for byte, every row has its frame's time, the pictures of the overlay
are those of their times, and memory does not grow by more than 100 MiB after
warming up. The folder keeps the video and what was written.
"""

import argparse
import csv
import os
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import numpy as np

from benchmarks import made_video

STAGES = ('answering', 'drawing')
WARM = 20.0  # seconds of a stage until memory has to be flat
TICK = 0.5  # seconds between looks at memory
MOST_GROWTH = 100.0  # MiB
READABLE = 0.8  # of the overlay's frames: cards cover the number of some


class Life(NamedTuple):
  """What a process took.

  Attributes:
    wall: Seconds.
    spent: Seconds of processor time.
    memory: Stage -> MiB, every `TICK` seconds.
  """

  wall: float
  spent: float
  memory: dict[str, list[float]]


def command(video: pathlib.Path, out: pathlib.Path, flags: list[str]):
  """The command line that is measured."""
  start = [sys.executable, '-m', 'emojax', 'predict', str(video)]
  return [*start, '--out', str(out), *flags]


def parts(out: pathlib.Path) -> int:
  """How many parts of the answers are there."""
  return sum(1 for _ in out.glob('.parts/*/*.npz'))


def lived(arguments, out: pathlib.Path, log: pathlib.Path) -> Life:
  """Runs a command to its end and watches it."""
  before, begun = os.times(), time.monotonic()
  with log.open('a') as file:
    process = subprocess.Popen(arguments, stdout=file, stderr=file)
  memory: dict[str, list[float]] = {stage: [] for stage in STAGES}
  over = threading.Event()

  def watch():
    while not over.wait(TICK):
      size = resident(process.pid)
      drawing = (out / 'overlay').exists()
      if size and (drawing or parts(out)):
        memory[STAGES[drawing]].append(size)

  watcher = threading.Thread(target=watch)
  watcher.start()
  code = process.wait()
  wall, after = time.monotonic() - begun, os.times()
  over.set()
  watcher.join()
  if code:
    sys.exit(f'it ended with exit code {code}:\n{log.read_text()[-3000:]}')
  spent = (after.children_user + after.children_system) - (
    before.children_user + before.children_system
  )
  return Life(wall, spent, memory)


def resident(process: int) -> float:
  """MiB that a process has in memory; 0 if it is no more."""
  done = subprocess.run(
    ['ps', '-o', 'rss=', '-p', str(process)], capture_output=True, text=True
  )
  return int(done.stdout or 0) / 1024


def growth(sizes: list[float]) -> float:
  """MiB that a stage takes more than when it was warm; NaN if it never was.

  An encoder keeps some frames, so that each stage has a warm-up of its own.
  """
  warm = sizes[int(WARM / TICK) :]
  return max(warm) - warm[0] if warm else float('nan')


def killed(arguments, out: pathlib.Path, log: pathlib.Path, kills, life, rng):
  """Runs a command that is killed at random moments; returns where it was."""
  places = []
  for _ in range(kills):
    with log.open('a') as file:
      process = subprocess.Popen(arguments, stdout=file, stderr=file)
    before = parts(out)
    while parts(out) == before and process.poll() is None:
      time.sleep(0.05)  # until this life has done something
    try:
      process.wait(rng.uniform(0, life.wall / (kills + 1)))
    except subprocess.TimeoutExpired:
      process.kill()
      process.wait()
    drawn = any((out / 'overlay').glob('*'))
    places.append(f'{parts(out)} parts{", drawing" if drawn else ""}')
  lived(arguments, out, log)
  return places


def contents(out: pathlib.Path) -> dict[str, bytes]:
  """All files of a folder."""
  return {
    path.relative_to(out).as_posix(): path.read_bytes()
    for path in sorted(out.rglob('*'))
    if path.is_file()
  }


def faults(out: pathlib.Path, plan: made_video.Plan) -> list[str]:
  """What is wrong with the frames and times of what was written."""
  return [*_of_table(out, plan), *_of_overlay(out, plan)]


def _of_table(out: pathlib.Path, plan: made_video.Plan):
  frames = [int(row['frame']) for row in rows(out)]
  if sorted(set(frames)) != list(range(len(plan.stamps))):
    yield f'{len(set(frames))} of {len(plan.stamps)} frames have rows'
    return
  for row in rows(out):
    found, expected = float(row['time']), plan.times[int(row['frame'])]
    if abs(found - expected) > 5e-4:
      yield f'frame {row["frame"]} is at {expected} s, its row at {found} s'
      return


def _of_overlay(out: pathlib.Path, plan: made_video.Plan):
  from emojax.data.readers.files import video

  (path,) = (out / 'overlay').iterdir()
  readable = count = 0
  for picture in video.frames(path):
    shown = made_video.number(picture.image)
    count += 1
    readable += shown is not None
    expected = plan.times[picture.index]
    if (
      shown not in (None, picture.index) or abs(picture.time - expected) > 5e-4
    ):
      yield (
        f'picture {picture.index} of the overlay shows frame {shown} at '
        f'{picture.time} s'
      )
      return
  if count != len(plan.stamps) or readable < READABLE * count:
    yield f'{count} pictures in the overlay, {readable} with a number'


def rows(out: pathlib.Path) -> list[dict[str, str]]:
  """The rows of the table."""
  with open(out / 'answers.csv', newline='') as file:
    return list(csv.DictReader(file))


def found(out: pathlib.Path, plan: made_video.Plan) -> str:
  """How many of the faces that were drawn have rows."""
  counts = np.zeros(len(plan.stamps), int)
  for row in rows(out):
    counts[int(row['frame'])] += bool(row['face'])
  right = np.minimum(counts, plan.num_faces).sum()
  false = np.maximum(counts - plan.num_faces, 0).sum()
  return (
    f'{right:,} of {plan.num_faces.sum():,} faces found, {false:,} too many'
  )


def measured(plan: made_video.Plan, life: Life) -> str:
  """Speed and memory in some lines."""
  count = len(plan.stamps)
  memory = (
    f'memory, {stage}: at most {max(sizes, default=0):.0f} MiB, '
    f'{growth(sizes):+.0f} after warming up, for {TICK * len(sizes):.0f} s'
    for stage, sizes in life.memory.items()
  )
  return (
    f'{count:,} frames in {life.wall:.1f} s: {count / life.wall:.1f} frames/s; '
    f'{1e3 * life.spent / count:.1f} ms of processor time a frame\n'
    + '\n'.join(memory)
  )


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--folder', type=pathlib.Path, required=True, help='to work in')
  add('--seconds', type=float, default=600.0, help='of video')
  add('--seed', type=int, default=0)
  add('--kills', type=int, default=3)
  args, flags = parser.parse_known_args()
  args.folder.mkdir(parents=True, exist_ok=True)
  video, log = args.folder / 'video.mp4', args.folder / 'log.txt'
  plan = made_video.plan(args.seconds, args.seed)
  if not video.exists():
    made_video.write(video, plan)
  whole, torn = args.folder / 'whole', args.folder / 'killed'
  for out in (whole, torn):
    shutil.rmtree(out, ignore_errors=True)
  load = os.getloadavg()[0]
  life = lived(command(video, whole, flags), whole, log)
  print(measured(plan, life))
  print(f'load before {load:.1f}, after {os.getloadavg()[0]:.1f}')
  print(found(whole, plan), flush=True)
  wrong = faults(whole, plan)
  wrong += [
    f'memory has grown by {growth(sizes):.0f} MiB while {stage}'
    for stage, sizes in life.memory.items()
    if growth(sizes) > MOST_GROWTH
  ]
  places = killed(
    command(video, torn, flags), torn, log, args.kills, life,
    random.Random(args.seed),
  )  # fmt: skip
  print(f'killed with {"; ".join(places) or "nothing"}')
  if contents(torn) != contents(whole):
    wrong.append('the command that was killed has written something else')
  for line in wrong:
    print(f'wrong: {line}')
  if wrong:
    sys.exit(1)
  print('times right to a frame, and equal byte for byte after the kills')


if __name__ == '__main__':
  main()

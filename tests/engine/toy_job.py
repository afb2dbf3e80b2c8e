"""Trains the small problem's stack as one of several processes.

  python launch/local.py --processes=2 --devices=3 --program=tests/engine/toy_job.py \
    -- FOLDER

Streams four members over three rows of two devices each: padding, and a row
that spans both processes. Writes a checkpoint of the last state into FOLDER.
"""

import pathlib
import sys

import toy

from emojax.engine import checkpoint, packing
from emojax.host import processes

MEMBERS = 4


def main(folder: str, coordinator: str, number: str, process: str):
  values = [x.partition('=')[2] for x in (coordinator, number, process)]
  processes.join(values[0], int(values[1]), int(values[2]))
  trainer = toy.trainer(MEMBERS, 3, 2, epochs=2, stream_steps=2)
  generation = toy.generation(MEMBERS)
  checkpoints = checkpoint.Checkpoints(pathlib.Path(folder))
  *_, segment = trainer.segments(generation, trainer.init(0))
  checkpoints.save(segment.epoch, trainer.portable(segment.state))
  # What has been saved, padding included, is found whole by each process.
  _, found = checkpoints.restore_latest(trainer.shapes(segment.state))
  toy.assert_same(packing.unpack(found), trainer.fetch(segment.state))
  checkpoints.close()
  processes.leave()


if __name__ == '__main__':
  main(*sys.argv[1:])

"""emojax and PyPI's `fer` on the same pictures: speed, faces, and agreement.

  python3 -m venv OTHER && OTHER/bin/pip install fer==25.10.3
  python -m benchmarks.fer_package --python OTHER/bin/python --samples FOLDER

The pictures are those of `benchmarks.faces`. `fer` runs in an environment of its own
(`benchmarks.fer_worker`), with its Haar cascade, which is its default, and with its
MTCNN. Nobody has labelled these faces: agreement says how often both give the same
answer, not who is right. Times are the processor's, the least of some rounds, from
the picture in memory to the answers; emojax always computes 16 crops at a time, so
that its answers do not depend on what else is asked, and takes less for a folder.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import tempfile
import time
from typing import NamedTuple

import numpy as np
from PIL import Image

import emojax
from benchmarks import faces as samples
from emojax.faces import tracks

# Labels of `fer` as those of FER+, which has contempt, too.
LABELS = {
  'angry': 'anger',
  'disgust': 'disgust',
  'fear': 'fear',
  'happy': 'happiness',
  'sad': 'sadness',
  'surprise': 'surprise',
  'neutral': 'neutral',
}
WORKER = pathlib.Path(__file__).with_name('fer_worker.py')


class Answers(NamedTuple):
  """What a program says of a picture.

  Attributes:
    boxes: float [n, 4], (x, y, width, height).
    labels: [n], of FER+.
    sure: bool [n].
    seconds: Of processor time.
  """

  boxes: np.ndarray
  labels: list[str]
  sure: np.ndarray
  seconds: float


def of_emojax(model, images, rounds: int) -> list[Answers]:
  """Answers pictures one by one, as `fer` does."""
  found = []
  for image in images:
    spent = []
    for _ in range(rounds):
      start = time.process_time()
      table = emojax.predict(image, model=model)
      spent.append(time.process_time() - start)
    here = table.found
    boxes = np.stack([table[side][here] for side in 'xywh'], -1)
    labels = table['answer'][here].tolist()
    found.append(Answers(boxes, labels, ~table['unsure'][here], min(spent)))
  return found


def at_once(model, images, rounds: int) -> float:
  """Least seconds of processor time a picture, of all in one call."""
  spent = []
  for _ in range(rounds):
    start = time.process_time()
    emojax.predict(images, model=model)
    spent.append(time.process_time() - start)
  return min(spent) / len(images)


def of_fer(python: str, paths, mtcnn: bool, rounds: int) -> list[Answers]:
  """Answers pictures in the other environment."""
  asked = {'pictures': [*map(str, paths)], 'mtcnn': mtcnn, 'rounds': rounds}
  path = paths[0].with_name('asked.json')
  path.write_text(json.dumps(asked))
  done = subprocess.run(
    [python, str(WORKER), str(path)],
    capture_output=True, text=True,
    env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
  )  # fmt: skip
  if done.returncode:
    raise SystemExit(f'fer ended with:\n{done.stderr[-2000:]}')
  return [_answers(said) for said in json.loads(done.stdout.splitlines()[-1])]


def _answers(said) -> Answers:
  boxes = np.array([face['box'] for face in said['faces']], float)
  scores = [face['emotions'] for face in said['faces']]
  labels = [LABELS[max(each, key=each.get)] for each in scores]
  sure = np.ones(len(labels), bool)  # it knows no doubt
  return Answers(boxes.reshape(-1, 4), labels, sure, said['seconds'])


def measured(title: str, answers: list[Answers], names, images) -> str:
  """A row: faces found of those that there are, false ones, time."""
  found = false = total = 0
  for said, name, image in zip(answers, names, images):
    expected = samples.EXPECTED[name]
    right, wrong = samples.compared(said.boxes, expected, image.shape)
    found, false, total = found + right, false + wrong, total + len(expected)
  spent = 1e3 * np.mean([said.seconds for said in answers])
  return f'| {title} | {found} of {total} | {false} | {spent:.0f} |'


def pairs(ours: list[Answers], theirs: list[Answers]):
  """(our label, their label, whether we are sure) of faces that both found."""
  for mine, other in zip(ours, theirs):
    shared = tracks.overlap(mine.boxes, other.boxes)
    while shared.size and shared.max() >= samples.OVERLAP:
      i, k = np.unravel_index(shared.argmax(), shared.shape)
      shared[i], shared[:, k] = 0, 0
      yield mine.labels[i], other.labels[k], bool(mine.sure[i])


def agreement(title: str, both: list[tuple[str, str, bool]]) -> str:
  """A row: how often the answers are the same, and where emojax is sure."""
  same = [a == b for a, b, _ in both]
  sure = [a == b for a, b, known in both if known]
  other = collections.Counter(f'{b} for {a}' for a, b, _ in both if a != b)
  often = ', '.join(name for name, _ in other.most_common(3))
  return (
    f'| {title} | {sum(same)} of {len(same)} | {sum(sure)} of {len(sure)} | '
    f'{often} |'
  )


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--python', required=True, help='an interpreter that has fer')
  add('--samples', type=pathlib.Path, nargs='*', default=[])
  add('--rounds', type=int, default=5)
  args = parser.parse_args()
  places = {n: samples.located(n, args.samples) for n in samples.EXPECTED}
  names = [name for name, path in places.items() if path]
  images = [samples.opened(places[name]) for name in names]
  print(f'{len(names)} of {len(samples.EXPECTED)} pictures\n')
  model = emojax.load('ferplus')
  emojax.predict(images[0], model=model)  # compiles
  ours = of_emojax(model, images, args.rounds)
  together = at_once(model, images, args.rounds)
  with tempfile.TemporaryDirectory() as folder:
    paths = [pathlib.Path(folder, f'{i:02d}.png') for i in range(len(images))]
    for path, image in zip(paths, images):
      Image.fromarray(image).save(path)
    theirs = {
      f'fer, {title}': of_fer(args.python, paths, mtcnn, args.rounds)
      for title, mtcnn in (('Haar cascade', False), ('MTCNN', True))
    }
  for title, said in {'emojax': ours, **theirs}.items():
    print(measured(title, said, names, images))
  print(
    f'\nemojax, all pictures in one call: {1e3 * together:.0f} ms a picture\n'
  )
  for title, said in theirs.items():
    print(agreement(title, list(pairs(ours, said))))


if __name__ == '__main__':
  main()

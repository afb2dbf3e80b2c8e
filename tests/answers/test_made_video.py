"""The video of the benchmark, a few seconds of it: faces, times, and resuming."""

import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import stand_in
from rich.console import Console

from benchmarks import made_video
from benchmarks import video as benchmark
from emojax.answers import run
from emojax.answers.options import Files, Options

pytestmark = pytest.mark.slow

pytest.importorskip('onnxruntime', reason='needs emojax[faces]')
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """(plan, video) of five scenes with 1, 2, 0, 1 and 3 faces."""
  plan = made_video.plan(2.5, scene=0.5)
  path = tmp_path_factory.mktemp('made') / 'video.mp4'
  made_video.write(path, plan)
  return plan, path


@pytest.fixture(scope='module')
def answered(made, tmp_path_factory):
  """Folder of its answers."""
  out = tmp_path_factory.mktemp('answers') / 'out'
  console = Console(file=io.StringIO())
  model = stand_in.Model()
  run.execute(model, Options(), Files(), [str(made[1])], out, console)
  return out


def test_frames_tell_their_number():
  plan = made_video.plan(0.3, seed=3)
  assert len(set(np.diff(plan.stamps))) > 1  # the rate varies
  images = list(made_video.frames(plan))
  assert [made_video.number(image) for image in images] == [
    *range(len(plan.stamps))
  ]
  images[2][-10:, 100:] = 30  # something is drawn over it
  assert made_video.number(images[2]) is None


def test_times_are_right_to_a_frame(made, answered):
  plan, _ = made
  assert benchmark.faults(answered, plan) == []


@pytest.mark.parametrize('what', ['frame', 'time', 'picture'])
def test_faults_are_found(what, made, answered, monkeypatch):
  plan, _ = made
  if what == 'picture':
    number = made_video.number

    def one_late(image):
      return None if (found := number(image)) is None else found + 1

    monkeypatch.setattr(made_video, 'number', one_late)
  else:
    rows = benchmark.rows(answered)
    rows = [dict(row) for row in rows]
    rows[7][what] = '3.9' if what == 'time' else '6'
    monkeypatch.setattr(benchmark, 'rows', lambda _: rows)
  assert len(benchmark.faults(answered, plan)) == 1


def test_faces_are_found_where_they_are_drawn(made, answered):
  plan, _ = made
  rows = benchmark.rows(answered)
  counts = np.zeros(len(plan.stamps), int)
  for row in rows:
    counts[int(row['frame'])] += bool(row['face'])
  assert (counts <= plan.num_faces).all()
  assert counts.sum() > 0.8 * plan.num_faces.sum()
  assert set(counts) == {0, 1, 2, 3}


def test_memory_of_a_stage():
  flat = [100.0] * 10 + [300.0] * 40  # warms up
  assert benchmark.growth(flat) == 0
  assert benchmark.growth([*flat, 450.0, 300.0]) == 150
  assert np.isnan(benchmark.growth(flat[:20]))


@pytest.mark.slow
def test_the_benchmark_itself(tmp_path):
  """With the model of this package, killed once, and as a program."""
  done = subprocess.run(
    [
      sys.executable, '-m', 'benchmarks.video', '--folder', str(tmp_path),
      '--seconds', '9', '--kills', '1',
    ],
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    capture_output=True, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  assert 'equal byte for byte' in done.stdout

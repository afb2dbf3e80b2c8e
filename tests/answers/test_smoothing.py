"""Averages over time: by the formula, the same wherever parts end, and named."""

import csv
import io
import itertools
import json

import numpy as np
import pytest
import stand_in
from rich.console import Console

from emojax import tasks
from emojax.answers import about, columns, options, run, smoothing
from emojax.answers.columns import Layout
from emojax.answers.options import Files, OptionError, Options
from emojax.answers.session import Part

SECONDS = 0.5


def drawn(layout, count=90, seed=0):
  """Rows of two videos and a picture: tracks that come and go, and gaps."""
  rng = np.random.default_rng(seed)
  rows = layout.empty(count)
  file = np.repeat(
    ['a', 'b', 'picture'], [count // 2, count - count // 2 - 1, 1]
  )
  rows['file'][:] = file
  for name in ('a', 'b'):
    here = file == name
    # Several rows share a frame's time.
    rows['time'][here] = np.repeat(
      np.cumsum(rng.uniform(0.01, 0.3, here.sum())), 2
    )[: here.sum()]
    rows['track'][here] = np.arange(here.sum()) % 2
  rows['time'][-1] = 0
  for column in layout.columns:
    if column.kind == 'number':
      rows[column.name] = rng.random(count, np.float32)
  rows['track'][7] = np.nan  # a frame without a face
  rows['happiness'][11] = np.nan  # an answer that is no number
  return rows


def expected(layout, rows, name):
  """The formula, row by row."""
  names = [layout.label(t, n) for t in layout.schema for n in t.labels]
  finite = np.isfinite([rows[n] for n in names]).all(0)
  finite &= np.isfinite(rows['track'])
  made = rows[name].copy()
  for i in np.flatnonzero(finite):
    near = np.abs(rows['time'] - rows['time'][i]) <= SECONDS / 2
    near &= (rows['file'] == rows['file'][i]) & finite
    near &= rows['track'] == rows['track'][i]
    made[i] = rows[name][near].astype(np.float64).mean()
  return made, finite


def cut(rows, ends):
  """Parts that end there."""
  ends = [0, *ends, len(rows['file'])]
  for i, j in itertools.pairwise(ends):
    yield Part({n: v[i:j] for n, v in rows.items()}, {}, {'part': i})


@pytest.mark.parametrize('schema', [stand_in.VOTES, tasks.ABAW2021])
@pytest.mark.parametrize(
  'ends', [[], [45], [3, 3, 40, 50], list(range(1, 90)), [89]]
)
def test_averages_are_those_of_the_formula(schema, ends):
  """Bit for bit the same, wherever parts end; one may be empty."""
  layout = Layout(schema, None, SECONDS)
  rows = drawn(layout)
  found = list(smoothing.parts(layout, cut(rows, ends)))
  assert len(found) == len(ends) + 1
  assert [p.state['part'] for p in found] == [0, *ends]
  whole = next(smoothing.parts(layout, cut(rows, []))).rows
  names = [layout.label(t, n) for t in layout.schema for n in t.labels]
  for name in layout.names:
    made = np.concatenate([part.rows[name] for part in found])
    np.testing.assert_array_equal(made, whole[name])
    if name in names:
      right, finite = expected(layout, rows, name)
      np.testing.assert_allclose(made, right, rtol=1e-6)
      assert made.dtype == np.float32
    elif name == columns.SMOOTHED.name:
      np.testing.assert_array_equal(made, np.where(finite, SECONDS, np.nan))
    else:
      np.testing.assert_array_equal(made, rows[name])
  assert not np.array_equal(whole['happiness'], rows['happiness'])


def test_no_more_is_held_than_a_window():
  layout = Layout(stand_in.VOTES, None, SECONDS)
  read, most = [], 0
  rows = drawn(layout, 2000)

  def found():
    for part in cut(rows, list(range(10, 2000, 10))):
      read.append(part)
      yield part

  for i, _ in enumerate(smoothing.parts(layout, found())):
    most = max(most, len(read) - i)
  assert most < 4  # behind a part of a second


def test_without_it_nothing_changes(model, clip):
  plain = run.table(model, Options(crops=True), clip[0])
  assert 'smoothed' not in list(plain)
  parts = list(smoothing.parts(Layout(stand_in.VOTES), iter([plain])))
  assert parts == [plain]


@pytest.mark.slow
def test_it_is_named_everywhere_and_resumed(model, clip, tmp_path, monkeypatch):
  asked = Options(crops=True, smooth=SECONDS)
  table = run.table(model, asked, clip[0])
  plain = run.table(model, Options(crops=True), clip[0])
  layout = Layout(stand_in.VOTES, None, SECONDS)
  right, _ = expected(layout, plain, 'happiness')
  np.testing.assert_allclose(table['happiness'], right, rtol=1e-6)
  for name in ('expr_total', 'happiness_sd', 'answer', 'unsure'):
    np.testing.assert_array_equal(table[name], plain[name])

  def execute(out):
    run.execute(
      model, asked, Files(), [str(clip[0])], out, Console(file=io.StringIO())
    )
    return {p.name: p.read_bytes() for p in out.rglob('*') if p.is_file()}

  whole = execute(tmp_path / 'whole')
  calls, answered = [], run.pipeline.Pipeline._part

  def second(self, *arguments):
    calls.append(1)
    if len(calls) == 2:
      raise KeyboardInterrupt
    return answered(self, *arguments)

  with monkeypatch.context() as patch:
    patch.setattr(run.pipeline.Pipeline, '_part', second)
    with pytest.raises(KeyboardInterrupt):
      execute(tmp_path / 'killed')
  assert execute(tmp_path / 'killed') == whole
  rows = list(csv.DictReader(io.StringIO(whole['answers.csv'].decode())))
  found = np.float32([row['happiness'] for row in rows])
  np.testing.assert_array_equal(found, table['happiness'])
  assert {row['smoothed'] for row in rows} == {'0.5'}
  assert json.loads(whole['command.json'])['options']['smooth'] == SECONDS
  assert b'mean of the members; smoothed over 0.5 s' in whole['columns.md']
  assert (
    b'Smoothed: probabilities of videos are means over 0.5 s'
    in (whole['page.html'])
  )


@pytest.mark.parametrize('seconds', [-1, 61, float('nan'), 'x', True])
def test_spans_that_are_none(seconds):
  with pytest.raises(OptionError, match='--smooth'):
    Options(smooth=seconds)


def test_pictures_are_not_smoothed(model, faces):
  with pytest.raises(OptionError, match='--smooth is about frames of videos'):
    run.table(model, Options(crops=True, smooth=1), str(faces))


def test_the_page_does_not_say_it_otherwise(model):
  limits = options.limits(Options(), model)
  said = about.lines(model, Layout(model.schema), limits)
  assert not any('moothed' in line for line in said)

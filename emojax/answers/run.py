"""A command from its inputs to its folder: parts, then everything made of them."""

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

import emojax
from emojax.answers import (
  columns,
  gallery,
  openface,
  options,
  overlay,
  page,
  pipeline,
  writers,
)
from emojax.answers.columns import Layout, Sets
from emojax.answers.options import Files, OptionError, Options
from emojax.answers.progress import Progress
from emojax.answers.session import Session
from emojax.answers.table import Table, joined
from emojax.faces import sources
from emojax.host.terminal import say

COVERAGE = 0.9  # of answer sets, unless asked otherwise
TABLE, DICTIONARY, PROBLEMS, PAGE = (
  'answers',
  'columns.md',
  'problems.txt',
  'page.html',
)


def layout_of(model, asked: Options) -> Layout:
  """The columns of a model's answers.

  Raises:
    OptionError: If answer sets are asked for that the model has not.
  """
  made = Layout(model.schema, _sets(model, asked))
  _ = made.columns  # raises ValueError where two have one name
  return made


def _sets(model, asked: Options) -> Sets | None:
  """The answer sets of a model's expressions, if it has some."""
  said = model.metadata.get('conformal') or {'coverages': (), 'tasks': {}}
  there = frozenset(
    task.name
    for task in model.schema
    if task.kind == 'categorical' and task.name in said['tasks']
  )
  known = said['coverages'] if there else ()
  coverage = asked.coverage
  if asked.temperature and coverage is not None:
    raise OptionError(
      '--coverage and --temperature: answer sets were calibrated without '
      'temperatures, leave out one of them'
    )
  if coverage is not None and coverage not in known:
    text = ', '.join(map(str, known)) or 'no answer sets'
    raise OptionError(f'--coverage {coverage}: the model has {text}')
  if asked.temperature or (coverage is None and COVERAGE not in known):
    return None
  votes = there.intersection(said['calibration'].get('soft', ()))
  return Sets(coverage or COVERAGE, there - votes, votes)


def make(
  model, asked: Options, shown: bool = False
) -> tuple[Layout, pipeline.Pipeline]:
  """The pipeline that options ask for, before anything is read or written."""
  layout = layout_of(model, asked)
  limits = options.limits(asked, model)
  search = pipeline.search(asked, model)
  return layout, pipeline.Pipeline(
    model, layout, search, limits, asked.temperature, shown
  )


def _reading(asked: Options) -> dict[str, Any]:
  return {'every': asked.every, 'start': asked.start, 'stop': asked.stop}


def table(model, asked: Options, inputs: Any) -> Table:
  """The answers in memory; see `emojax.predict`."""
  layout, made = make(model, asked)
  found, problems, read = _inputs(inputs)
  problems += made.unused(found)
  blocks = []
  for part in made.parts(found, read=read, **_reading(asked)):
    blocks.append(part.rows)
    problems += part.state['problems']
  return Table(layout.columns, joined(layout.columns, blocks), problems)


def _inputs(inputs: Any):
  """(sources, problems, how they are read) of paths or arrays."""
  if isinstance(inputs, str | os.PathLike):
    inputs = [inputs]
  if isinstance(inputs, np.ndarray):
    inputs = [inputs] if inputs.ndim == 3 else list(inputs)
  inputs = list(inputs)
  if not inputs:
    raise OptionError('nothing to predict: give a path or an array')
  if all(isinstance(one, str | os.PathLike) for one in inputs):
    return *_found(inputs), sources.frames
  return _arrays(inputs), [], _of_arrays(inputs)


def _found(paths: Sequence[str | os.PathLike]):
  """(sources, problems) of paths.

  Raises:
    OptionError: If nothing in them is to be read.
  """
  found, problems = sources.find(paths)
  if not found:
    first = problems[0] if problems else 'no picture and no video is there'
    more = f' (and {len(problems) - 1} more)' if len(problems) > 1 else ''
    raise OptionError(f'nothing to read: {first}{more}')
  return found, problems


def _arrays(inputs: Sequence[Any]):
  """A source for each array.

  Raises:
    OptionError: If one is no picture.
  """
  for i, image in enumerate(inputs):
    if not isinstance(image, np.ndarray):
      raise OptionError(
        f'input {i} is of type {type(image).__name__}: give paths alone, or '
        'arrays uint8 [H, W, 3] alone'
      )
    if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
      raise OptionError(
        f'input {i} is {image.dtype} {list(image.shape)}: expected uint8 '
        '[H, W, 3], colours in the order red, green, blue'
      )
  return [
    sources.Source(str(i), f'array {i}', 'picture') for i in range(len(inputs))
  ]


def _of_arrays(inputs: Sequence[np.ndarray]):
  def read(source, skip_to=None, **_):
    if not skip_to:
      yield sources.Frame(source.name, 0, 0.0, inputs[int(source.path)])

  return read


def execute(
  model,
  asked: Options,
  written: Files,
  paths: Sequence[str],
  out: pathlib.Path,
  console: Console,
  webcam: int | None = None,
) -> int:
  """Answers paths or a webcam into a folder, or goes on where it was stopped.

  Returns:
    How many frames have been read.

  Raises:
    ValueError: If something is not as it should be; says what to do.
  """
  _check_outside(paths, out)
  layout, made = make(model, asked, shown=written.page)
  if webcam is None:
    found, problems = _found(paths)
  else:
    found, problems = [sources.webcam(webcam)], []
  problems += made.unused(found)
  session = Session(out, _command(model, asked, written, found))
  session.open()
  try:
    if session.finished:
      session.sweep()
      say(console, f'{out} is finished: nothing to do')
      return json.loads((session / 'summary.json').read_bytes())['frames']
    _answer(session, made, asked, found, problems, console)
    return _write(session, layout, asked, written, found, problems, console)
  finally:
    session.close()


def _check_outside(paths: Sequence[str], out: pathlib.Path):
  """What is written must not be read by the same command again."""
  # `Path.resolve` raises RuntimeError where links lead to themselves.
  folder = pathlib.Path(os.path.realpath(out))
  for path in paths:
    if os.path.isdir(path) and folder.is_relative_to(os.path.realpath(path)):
      raise OptionError(
        f'--out {out} is inside of {path}, whose pictures are read: choose a '
        'folder elsewhere'
      )


def _command(model, asked: Options, written: Files, found) -> dict[str, Any]:
  """Everything that the files depend on."""
  said = json.dumps(model.metadata, sort_keys=True)
  return {
    'emojax': emojax.__version__,
    'model': hashlib.sha256(said.encode()).hexdigest(),
    'options': vars(asked),
    'boxes': _digest(asked.boxes),
    'files': vars(written),
    'inputs': len(found),
    'inputs_digest': _of_inputs(found),
  }


def _digest(path: str | None) -> str | None:
  if path is None:
    return None
  return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def _of_inputs(found: Sequence[sources.Source]) -> str:
  """Names, sizes and times of the inputs: another file is another answer."""
  made = hashlib.sha256()
  for source in found:
    facts = [source.name, source.kind]
    if source.kind != 'webcam':
      stat = os.stat(source.path)
      facts += [stat.st_size, stat.st_mtime_ns]
    made.update(json.dumps(facts).encode() + b'\n')
  return made.hexdigest()


def _answer(session: Session, made, asked, found, problems, console):
  """Writes the parts that are missing."""
  known, last = list(problems), None
  for part in session.parts():
    known += part.state['problems']
    last = part.state
  if last is not None and any(source.kind == 'webcam' for source in found):
    say(console, 'what the webcam has shown is over: its answers are written')
    return
  with Progress(console, found, asked, last) as progress:
    for line in problems if last is None else ():
      progress.problem(line)
    parts = made.parts(
      found, last, known, watch=progress.watch, **_reading(asked)
    )
    with contextlib.closing(parts):  # its threads end with it
      for part in parts:
        session.add(part)
        for line in part.state['problems']:
          progress.problem(line)


def _write(session, layout, asked, written, found, problems, console) -> int:
  """Writes what people read; the summary comes last."""
  lines = list(problems)
  frames = faces = unsure = 0
  for part in session.parts():
    lines += part.state['problems']
    here = ~np.isnan(part.rows['face'])
    # A frame's first row has face 0, or none.
    frames += int((~(part.rows['face'] > 0)).sum())
    faces += int(here.sum())
    unsure += int(part.rows['unsure'].sum())
  _tables(session, layout, written)
  text = ''.join(f'{line}\n' for line in lines)
  writers.text(session / PROBLEMS, text)
  if written.overlay:
    overlay.write(session, layout, found, _reading(asked), console)
  if written.page:
    writers.text(
      session / PAGE, page.render(gallery.read(session, layout, found))
    )
  session.finish({
    'frames': frames, 'faces': faces, 'unsure': unsure, 'problems': len(lines)
  })  # fmt: skip
  say(
    console,
    f'{frames:,} frames, {faces:,} faces, {unsure:,} of them unsure, '
    f'{len(lines)} problems',
  )
  return frames


def _tables(session: Session, layout: Layout, written: Files):
  """The tables, and what their columns mean."""
  shown = layout.columns
  if written.style == 'openface':
    shown = openface.columns(layout)
  for name in written.formats:
    path = session / f'{TABLE}.{name}'
    writers.write(path, shown, _blocks(session, layout, written.style))
  text = columns.dictionary(shown, 'Columns of the table')
  writers.text(session / DICTIONARY, text)


def _blocks(
  session: Session, layout: Layout, style: str
) -> Iterator[Mapping[str, Any]]:
  for part in session.parts():
    rows = part.rows
    yield openface.block(layout, rows) if style == 'openface' else rows

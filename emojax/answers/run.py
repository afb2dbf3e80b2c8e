"""A command from its inputs to its folder: parts, then everything made of them."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from emojax.answers import (
  about,
  columns,
  command,
  gallery,
  inputs,
  openface,
  options,
  overlay,
  page,
  pipeline,
  recording,
  smoothing,
  writers,
)
from emojax.answers.columns import Layout, Sets
from emojax.answers.options import Files, OptionError, Options
from emojax.answers.progress import Progress, counted
from emojax.answers.session import Session
from emojax.answers.table import Table, joined
from emojax.faces import boxes, sources
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
    OptionError: If answer sets are asked for that the model has not, or rare
      classes are to be favoured of which it does not know.
  """
  _check_shares(model, asked)
  made = Layout(
    model.schema, _sets(model, asked), asked.smooth, asked.favour_rare
  )
  _ = made.columns  # raises ValueError where two have one name
  return made


def _check_shares(model, asked: Options):
  if not asked.favour_rare:
    return
  classes = {t.name for t in model.schema if t.kind == 'categorical'}
  if not classes:
    raise OptionError('--favour-rare: the model has no classes')
  if not classes <= model.metadata['thresholds'].get('prevalence', {}).keys():
    raise OptionError(
      '--favour-rare: the model does not say how frequent its classes are; '
      '`emojax calibrate` without --split writes one that does'
    )


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
  model,
  asked: Options,
  shown: bool = False,
  own: boxes.Boxes | None = None,
) -> tuple[Layout, pipeline.Pipeline]:
  """The pipeline that options ask for, before anything is read or written."""
  layout = layout_of(model, asked)
  limits = options.limits(asked, model)
  search = pipeline.search(asked, model, own)
  return layout, pipeline.Pipeline(
    model, layout, search, limits, asked.temperature, shown
  )


def _reading(asked: Options) -> dict[str, Any]:
  return {'every': asked.every, 'start': asked.start, 'stop': asked.stop}


def table(model, asked: Options, given: Any) -> Table:
  """The answers in memory; see `emojax.predict`."""
  found, problems, read = inputs.of(given)
  inputs.check_spans(asked, found)
  own = None
  if asked.boxes is not None and not options.is_path(asked.boxes):
    own = inputs.own_boxes(asked.boxes, found, problems)
  layout, made = make(model, asked, own=own)
  problems += made.unused(found)
  blocks = []
  answered = made.parts(found, read=read, **_reading(asked))
  for part in smoothing.parts(layout, answered):
    blocks.append(part.rows)
    problems += part.state['problems']
  return Table(layout.columns, joined(layout.columns, blocks), problems)


def execute(
  model,
  asked: Options,
  written: Files,
  paths: Sequence[str],
  out: pathlib.Path,
  console: Console,
  webcam: int | None = None,
  name: str = '',
) -> int:
  """Answers paths or a webcam into a folder, or goes on where it was stopped.

  Args:
    model: The loaded model.
    asked: How faces are found and answers are given.
    written: What is written.
    paths: What is answered.
    out: The folder.
    console: For progress and problems.
    webcam: Number of the camera that is answered instead of paths.
    name: The model's, for the page.

  Returns:
    How many frames have been read.

  Raises:
    ImportError: If a format of the table cannot be written here.
    ValueError: If something is not as it should be; says what to do.
  """
  for one in written.formats:
    writers.check(one)
  found, problems = inputs.checked(asked, paths, out, webcam)
  answered = [command.facts(source) for source in found]
  said = command.of(model.metadata, asked, written, found)
  layout, made = make(model, asked, shown=written.page)
  _shown(layout, written)  # raises before anything is answered
  problems += made.unused(found)
  session = Session(out, said)
  session.open()
  try:
    if session.finished:
      session.sweep()
      say(console, f'{out} is finished: nothing to do')
      return session.summary()['frames']
    _answer(session, made, asked, found, problems, console)
    if not any(len(part.rows['frame']) for part in session.parts()):
      session.discard()  # the same command tries again
      return 0
    facts = about.lines(model, layout, options.limits(asked, model), name)
    return _write(
      session, layout, asked, written, found, answered, problems, facts, console
    )
  finally:
    session.close()


def _answer(session: Session, made, asked, found, problems, console):
  """Writes the parts that are missing."""
  known, last = list(problems), None
  for part in session.parts():
    known += part.state['problems']
    last = part.state
  webcam = any(source.kind == 'webcam' for source in found)
  if webcam and last is not None:
    say(console, 'what the webcam has shown is over: its answers are written')
    return
  with Progress(console, found, asked, last) as progress:
    for line in problems if last is None else ():
      progress.problem(line)
    with contextlib.ExitStack() as stack:
      read = sources.frames
      if webcam:
        say(console, 'recording; Ctrl-C ends it')
        over = stack.enter_context(recording.until_interrupted())
        read = recording.ending(read, over)
      parts = made.parts(
        found, last, known, read, progress.watch, **_reading(asked)
      )
      stack.enter_context(contextlib.closing(parts))  # its threads end with it
      for part in parts:
        session.add(part)
        for line in part.state['problems']:
          progress.problem(line)


def _write(
  session, layout, asked, written, found, answered, problems, facts, console
) -> int:
  """Writes what people read; the summary comes last."""
  lines = list(problems)
  frames = faces = unsure = 0
  for part in session.parts():
    lines += part.state['problems']
    here = ~np.isnan(part.rows['face'])
    frames += frames_of(part.rows)
    faces += int(here.sum())
    unsure += int(part.rows['unsure'].sum())
  _tables(session, layout, written)
  if written.overlay:
    reading = _reading(asked)
    lines += overlay.write(
      session, layout, found, asked, reading, console, answered
    )
  text = ''.join(f'{line}\n' for line in lines)
  writers.text(session / PROBLEMS, text)
  if written.page:
    writers.text(
      session / PAGE,
      page.render(gallery.read(session, layout, found, facts)),
    )
  session.finish({
    'frames': frames, 'faces': faces, 'unsure': unsure, 'problems': len(lines),
    'files': _names(session, written),
  })  # fmt: skip
  say(
    console,
    f'{counted(frames, "frame")}, {counted(faces, "face")}, {unsure:,} of them '
    f'unsure, {counted(len(lines), "problem")}',
  )
  return frames


def _names(session: Session, written: Files) -> list[str]:
  """What a finished folder has; of the inputs that were drawn in their folder."""
  names = [f'{TABLE}.{name}' for name in written.formats]
  names += [DICTIONARY, PROBLEMS, *([PAGE] if written.page else [])]
  if (session / overlay.FOLDER).exists():
    names.append(overlay.FOLDER)
  return names


def frames_of(rows: Mapping[str, np.ndarray]) -> int:
  """How many frames the rows of a part are of; none is divided between parts.

  A frame's first face may have any number: boxes outside of the picture keep theirs.
  """
  file, frame = rows['file'], rows['frame']
  if not len(frame):
    return 0
  other = (file[1:] != file[:-1]) | (frame[1:] != frame[:-1])
  return 1 + int(other.sum())


def _shown(layout: Layout, written: Files) -> tuple[columns.Column, ...]:
  """The columns of the tables that are written."""
  if written.style == 'openface':
    return openface.columns(layout)
  return layout.columns


def _tables(session: Session, layout: Layout, written: Files):
  """The tables, and what their columns mean."""
  shown = _shown(layout, written)
  for name in written.formats:
    path = session / f'{TABLE}.{name}'
    writers.write(path, shown, _blocks(session, layout, written.style))
  text = columns.dictionary(shown, 'Columns of the table')
  writers.text(session / DICTIONARY, text)


def _blocks(
  session: Session, layout: Layout, style: str
) -> Iterator[Mapping[str, Any]]:
  for part in smoothing.parts(layout, session.parts()):
    rows = part.rows
    yield openface.block(layout, rows) if style == 'openface' else rows

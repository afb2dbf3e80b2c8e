r"""Prepares a data set: official layout in, TFDS ArrayRecord shards out.

  python -m emojax.data.prepare ferplus --source DOWNLOADS --out DATA/ferplus \
      --size 48 --option rule=majority

Reads with the readers of `emojax.data.readers`, writes the format of `store.py`
in parallel, and ends with figures and a summary of what was left out. The same
command again goes on where it was stopped; what is written does not depend on
the number of workers or on interruptions.
"""

import collections
import contextlib
import os
import pathlib
import shutil
import signal
from concurrent import futures
from typing import Any

from rich import console as rich_console

from emojax.data.prepare import (
  arguments as prepare_arguments,
)
from emojax.data.prepare import (
  contents,
  overview,
  parallel,
  shards,
  workfolder,
)
from emojax.data.readers import base
from emojax.data.store import frame_table, store
from emojax.data.transform import sounds
from emojax.host.terminal import readable, say

MAX_SIZE = 4096
# Records whose colour is looked at to choose the number of channels.
COLOUR_SAMPLES = 256


def prepare(
  name: str,
  source: str | os.PathLike,
  out: str | os.PathLike,
  *,
  size: int = 112,
  channels: int | None = None,
  audio: str | None = None,
  strict: bool = False,
  workers: int | None = None,
  segment_frames: int = shards.SEGMENT_FRAMES,
  min_shard_frames: int = shards.MIN_SHARD_FRAMES,
  options: dict[str, Any] | None = None,
  console: rich_console.Console | None = None,
) -> pathlib.Path:
  """Writes a data set, or goes on with one that was interrupted.

  Args:
    name: Data set name, a key of `readers.base.READERS`.
    source: Folder with the official layout.
    out: Folder to write.
    size: Height and width to which images are brought.
    channels: 1 (grey), 3, or None for 1 if the images are grey.
    audio: Store 'log_mel' or 'mfcc' features of the sound, or None.
    strict: Stop at the first problem instead of leaving things out.
    workers: Processes; all cores if None. 1 works in this process.
    segment_frames: Consecutive frames of a video that make up one record.
    min_shard_frames: Frames of a shard; more where there are very many.
    options: Options of the reader.
    console: Where progress goes.

  Returns:
    `out`.

  Raises:
    DataError: The source is not that data set, has no sound where `audio` is
      wanted, or (strict) has a problem.
    StoreError: `out` holds something else, or cannot be written.
    ValueError: A number is out of range.
  """
  _check_range('size', size, 1, MAX_SIZE)
  _check_range('segment_frames', segment_frames, 1, MAX_SIZE)
  _check_range('workers', 1 if workers is None else workers, 1, MAX_SIZE)
  out = pathlib.Path(out)
  console = console or rich_console.Console(stderr=True)
  settings = {
    'format': store.FORMAT,
    'name': name,
    'size': size,
    'channels': channels,
    'audio': audio,
    'segment_frames': segment_frames,
    'min_shard_frames': min_shard_frames,
    'options': {key: str(v) for key, v in sorted((options or {}).items())},
  }
  _check_apart(name, pathlib.Path(source), out)
  finished = workfolder.is_finished(out, settings)
  if finished and not pathlib.Path(source).exists():
    say(console, f'{out} is finished; {source} is gone')
    return out
  workers = workers or os.cpu_count()
  # Before the folder is taken: a mistyped option or source leaves no trace.
  listing = base.scan(name, source, strict=strict, **(options or {}))
  found = {
    'source': shards.digest(listing),
    'contents': contents.sample(listing),
  }
  if finished:
    workfolder.check_same_source(out, found)
    say(console, f'{out} is finished already')
    return out
  if audio:
    listing.records = sounds.with_sound(listing)
  _note_unlabelled(listing)
  with workfolder.working(out, settings) as work:
    workfolder.check_source(work, found)
    spec = _spec(listing, size, channels, audio)
    planned = shards.plan(listing, segment_frames, min_shard_frames)
    places = [shards.place(out, work, name, plan) for plan in planned]
    notes = _write_all(listing, planned, places, spec, strict, workers, console)
    written = list(zip(planned, places, notes))
    _finish(out, listing, spec, settings | found, written)
    shutil.rmtree(work, ignore_errors=True)
  text = (out / 'summary.txt').read_text()
  say(console, f'{text}{out} is ready')
  return out


def _check_apart(name: str, source: pathlib.Path, out: pathlib.Path):
  """Refuses an output among the images, or one that no shard can be in.

  The folders of one's own images may have any name, so none is spared.
  """
  if str(out) != readable(str(out)):  # ArrayRecord takes UTF-8 only
    raise ValueError(f'--out {out}: choose a folder with a name in UTF-8')
  # Path.resolve raises RuntimeError where a link refers to itself.
  real, taken = (pathlib.Path(os.path.realpath(p)) for p in (source, out))
  if name == 'folder' and real in taken.parents:
    raise ValueError(
      f'--out {out} is inside --source {source}: its files would be read as '
      'images of yours the next time; choose a folder outside'
    )


def _check_range(name: str, value: int, low: int, high: int):
  if not low <= value <= high:
    raise ValueError(f'{name} {value}: expected {low} to {high}')


def _note_unlabelled(listing: base.Listing):
  """Notes subsets of the training split that turned out to be empty, or all."""
  if not any(record.groups for record in listing.records):
    listing.problems.note(
      'NO LABELS at all: nothing can be trained or scored with these images; '
      'they serve as foreign ones (config.data.ood_path)'
    )
  train = [r for r in listing.records if r.split == 'train']
  found = {name for record in train for name in record.groups}
  missing = [t.name for t in listing.schema if t.name not in found]
  if found and missing:
    listing.problems.note(
      f'NO LABELS of {", ".join(missing)} in the training split, whose labels '
      f'are of {", ".join(sorted(found))}: a subset without images?'
    )


def _spec(listing, size, channels, audio) -> store.Spec:
  return store.Spec(
    name=listing.name,
    schema=listing.schema,
    size=size,
    channels=channels or _channels(listing.records),
    vote_labels=listing.vote_labels,
    clean=any(r.clean_targets is not None for r in listing.records),
    audio=audio,
  )


def _channels(records: list[base.Record]) -> int:
  """1 if the first readable frames of evenly spaced records are all grey."""
  step = max(1, len(records) // COLOUR_SAMPLES)
  modes = set()
  for record in records[::step]:
    with contextlib.suppress(base.DataError):
      modes.add(record.frames[0].image().mode)
  return 1 if modes == {'L'} else 3


def _write_all(listing, planned, places, spec, strict, workers, console):
  """Writes the shards that are missing; returns the notes of all, in order."""
  notes = [shards.finished(place) for place in places]
  frames = [plan.num_frames for plan in planned]
  jobs = (
    (
      i,
      frames[i],
      shards.Job(places[i], spec, shards.records(listing, planned[i]), strict),
    )
    for i in range(len(planned))
    if notes[i] is None
  )
  missing = sum(note is None for note in notes)
  for i, note in parallel.run(
    shards.write,
    jobs,
    workers=min(workers, missing),
    total=sum(frames),
    done=sum(f for f, note in zip(frames, notes) if note is not None),
    title='preparing',
    unit='frames',
    console=console,
  ):
    notes[i] = note
  return notes


def _finish(out, listing, spec, settings, written):
  """Writes everything but the shards; `emojax.json` comes last."""
  splits = collections.defaultdict(list)
  for plan, place, note in written:
    splits[plan.split].append((place, note))
    for problem in note['problems']:
      listing.problems.add(*problem)
    # Of the others a shard keeps no more than why; older ones not even that.
    listing.problems.reasons.update(note.get('more_problems', {}))
  tables = {s: _join_labels(out, s, parts) for s, parts in splits.items()}
  text = overview.summary(listing, spec, tables)
  sizes = {
    split: (
      [note['records'] for _, note in parts],
      sum(note['record_bytes'] for _, note in parts),
    )
    for split, parts in splits.items()
  }
  described = '\n'.join(overview.describe(spec, tables))
  store.write_bytes(out / 'summary.txt', text.encode())
  with store.writing(out):
    store.write_info(out, spec, described, sizes)
    overview.draw(out, spec, tables)
  facts = {
    'settings': settings,
    'spec': spec.to_json(),
    'splits': {s: overview.counts(spec, t) for s, t in tables.items()},
    'files': {p.shard.name: note['file_bytes'] for _, p, note in written},
    'digests': {
      **{p.shard.name: note['digest'] for _, p, note in written},
      **{
        name: store.file_digest(out / name)
        for name in map(store.labels_name, tables)
      },
    },
    'reader': listing.info,
    'problems': listing.problems.count,
  }
  store.write_json(out / store.FILE, facts)


def _join_labels(out, split: str, parts) -> frame_table.FrameTable:
  """Joins the labels of a split's shards and writes them."""
  table = frame_table.concatenate(
    [frame_table.load(place.notes.with_suffix('.npz')) for place, _ in parts]
  )
  if not len(table):
    for place, _ in parts:  # or the same command would not try again
      place.notes.with_suffix('.json').unlink()
    problem = next(
      base.Problem(*p) for _, note in parts for p in note['problems']
    )
    raise base.DataError(
      f'nothing in split {split!r} that can be used ({problem})',
      'at least one frame',
      out,
    )
  store.write_bytes(out / store.labels_name(split), frame_table.to_bytes(table))
  return table


class Terminated(KeyboardInterrupt):
  """SIGTERM, which stops the work as Ctrl-C does."""


def _terminate(number, frame):
  del frame
  # `timeout` sends it twice: once to the process, once to its group.
  signal.signal(number, signal.SIG_IGN)
  raise Terminated


def main(argv: list[str] | None = None) -> int:
  """Command line; returns the exit status: 130 and 143 after a signal."""
  console = rich_console.Console(stderr=True)
  previous = signal.signal(signal.SIGTERM, _terminate)
  try:
    given = prepare_arguments.parse(argv, __doc__)
    prepare(**given, console=console)
  except (OSError, ImportError, ValueError) as error:
    say(console, f'error: {error}')
    return 1
  except futures.BrokenExecutor:
    console.print(
      'error: a worker process was killed, as the system does when memory runs '
      'out: run the same command to go on, with fewer --workers',
      soft_wrap=True,
    )
    return 1
  except KeyboardInterrupt as stop:
    console.print('stopped: run the same command to go on')
    return 143 if isinstance(stop, Terminated) else 130
  finally:
    signal.signal(signal.SIGTERM, previous)
  return 0

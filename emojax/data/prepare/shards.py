"""Shards of a prepared data set: which frames each holds, and writing one.

A plan depends on the listing alone, and a shard on its part of the plan alone,
so any number of processes write the same bytes and a shard that is there need
not be written again.
"""

import collections
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from emojax.data.readers import base
from emojax.data.store import codec, frame_table, store
from emojax.data.store.digest import bytes_of
from emojax.data.transform import sounds

SEGMENT_FRAMES = 64
MIN_SHARD_FRAMES = 2048
MAX_SHARDS = 128  # per split: every open shard costs a file handle
PROBLEMS_KEPT = 100  # per shard


@dataclasses.dataclass(frozen=True)
class Piece:
  """Frames start .. stop - 1 of a listing's record."""

  record: int
  start: int
  stop: int


@dataclasses.dataclass(frozen=True)
class Plan:
  """One shard."""

  split: str
  number: int
  total: int
  pieces: tuple[Piece, ...]

  @property
  def num_frames(self) -> int:
    return sum(piece.stop - piece.start for piece in self.pieces)


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a shard goes: its own file, and (without suffix) its two notes."""

  shard: pathlib.Path
  notes: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Job:
  """All that a worker process needs to write a shard.

  Attributes:
    place: Where to.
    spec: What the data set's records hold.
    records: Records to write, at most a segment long each.
    strict: Raise at the first frame that cannot be read.
  """

  place: Place
  spec: store.Spec
  records: list[base.Record]
  strict: bool


def plan(
  listing: base.Listing,
  segment_frames: int,
  min_shard_frames: int = MIN_SHARD_FRAMES,
) -> list[Plan]:
  """Cuts every split of a listing into segments and these into shards."""
  plans = []
  for split in listing.counts():
    pieces = [
      Piece(number, start, min(start + segment_frames, len(record)))
      for number, record in enumerate(listing.records)
      if record.split == split
      for start in range(0, len(record), segment_frames)
    ]
    frames = sum(piece.stop - piece.start for piece in pieces)
    groups = _group(pieces, max(min_shard_frames, -(-frames // MAX_SHARDS)))
    plans += [
      Plan(split, number, len(groups), tuple(group))
      for number, group in enumerate(groups)
    ]
  return plans


def _group(pieces: list[Piece], shard_frames: int) -> list[list[Piece]]:
  groups, count = [[]], 0
  for piece in pieces:
    if count >= shard_frames:
      groups.append([])
      count = 0
    groups[-1].append(piece)
    count += piece.stop - piece.start
  return groups


def digest(listing: base.Listing) -> str:
  """Hash of everything in a listing that ends up in the data set."""
  state = hashlib.sha256(repr(listing.schema).encode())
  for record in listing.records:
    names = (record.key, record.subject_id, record.audio_path, record.fps)
    state.update(repr((names, len(record))).encode(errors='backslashreplace'))
    for targets in (record.targets, record.clean_targets or {}):
      for target in targets.values():
        state.update(bytes_of(target.value))
        state.update(bytes_of(target.mask))
    state.update(bytes_of(record.frame_index))
    if record.frame_time is not None:
      state.update(bytes_of(record.frame_time))
    if record.votes is not None:
      state.update(bytes_of(record.votes))
  return state.hexdigest()


def place(
  out: pathlib.Path, work: pathlib.Path, name: str, shard: Plan
) -> Place:
  """Where a planned shard goes."""
  return Place(
    store.shard_path(out, name, shard.split, shard.number, shard.total),
    work / f'{shard.split}-{shard.number:05d}',
  )


def records(listing: base.Listing, shard: Plan) -> list[base.Record]:
  """The records of a planned shard, cut into its pieces."""
  found = []
  for piece in shard.pieces:
    record = listing.records[piece.record]
    if (piece.start, piece.stop) != (0, len(record)):
      record = record.take(np.arange(piece.start, piece.stop))
    found.append(record)
  return found


def finished(place: Place) -> dict[str, Any] | None:
  """The notes of a shard that is there and whole, else None."""
  notes = place.notes.with_suffix('.json')
  if not (notes.exists() and place.shard.exists()):
    return None
  found = json.loads(notes.read_text())
  # Notes of an older version are without: the shard is written again.
  whole = store.file_digest(place.shard) == found.get('digest')
  return found if whole else None


def write(job: Job) -> dict[str, Any]:
  """Writes a shard and its notes; runs in a worker process.

  Returns:
    The notes: 'records', 'frames', 'record_bytes', 'file_bytes', 'digest'
    (SHA-256 of the shard) and 'problems', those of frames that were left out.

  Raises:
    DataError: When strict, if a frame cannot be read.
  """
  problems: list[base.Problem] = []
  votes = len(job.spec.vote_labels)
  tables = [frame_table.empty(job.spec.schema, job.spec.clean, votes)]

  def serialized() -> Iterator[bytes]:
    layout = store.features(job.spec)
    for record in job.records:
      segment = _segment(record, job.spec, problems)
      if problems and job.strict:
        raise problems[0].error()
      if segment is not None:
        yield store.serialize(layout, segment)
        tables.append(_table(segment))

  size = store.write_shard(job.place.shard, serialized())
  table = frame_table.concatenate(tables)
  labels = frame_table.to_bytes(table)
  store.write_bytes(job.place.notes.with_suffix('.npz'), labels)
  notes = {
    'records': len(table.length),
    'frames': len(table),
    'record_bytes': size,
    'file_bytes': job.place.shard.stat().st_size,
    'digest': store.file_digest(job.place.shard),
    'problems': [dataclasses.astuple(p) for p in problems[:PROBLEMS_KEPT]],
    'more_problems': collections.Counter(
      p.expected for p in problems[PROBLEMS_KEPT:]
    ),
  }
  store.write_json(job.place.notes.with_suffix('.json'), notes)
  return notes


def _segment(
  record: base.Record, spec: store.Spec, problems: list[base.Problem]
) -> store.Segment | None:
  """Reads a record; None if nothing of it can be used."""
  found = base.Problems(keep=1)
  record, images, bad = base.load_valid(record)
  problems += bad
  sound = None
  if spec.audio and images:
    with found.at(record.audio_path):
      sound = sounds.stretch(record, spec.audio)
    problems += found.items
  if not images or found.count:
    return None
  clean = record.clean_targets or record.targets
  return store.Segment(
    video_id=record.video_id,
    subject_id=record.subject_id,
    frame_index=record.frame_index,
    images=[codec.encode(i, spec.size, spec.channels) for i in images],
    targets=record.targets,
    clean=clean if spec.clean else None,
    votes=_votes(record, spec) if spec.vote_labels else None,
    audio=sound,
  )


def _votes(record: base.Record, spec: store.Spec) -> np.ndarray:
  if record.votes is not None:
    return record.votes
  return np.zeros((len(record), len(spec.vote_labels)), np.float32)


def _table(segment: store.Segment) -> frame_table.FrameTable:
  """The labels of a segment."""
  return frame_table.FrameTable(
    video_id=np.array([segment.video_id]),
    subject_id=np.array([segment.subject_id]),
    length=np.array([len(segment.images)], np.int32),
    frame_index=np.asarray(segment.frame_index, np.int32),
    targets=segment.targets,
    clean=segment.clean,
    votes=segment.votes,
  )

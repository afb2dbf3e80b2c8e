"""Which number a decoded frame has, also where frames before it are lost."""

import heapq


class FrameOrder:
  """Numbers frames in order of display, from packets in order of decoding.

  Frame i is the one with the i-th time stamp of all packets, so that a frame
  that a damaged packet costs leaves a gap instead of shifting what follows. A
  decoder gives a frame out only after the packets of all frames that are shown
  before it: only stamps of frames that are still inside are kept.

  Attributes:
    origin: Stamp of frame 0; None before the first frame.
    counted: There are no stamps (raw streams): packets are counted instead.
  """

  def __init__(self):
    self.origin: int | None = None
    self.counted = False
    self._next = 0
    self._waiting: list[int] = []
    self._latest: int | None = None

  def expect(self, pts: int | None, dts: int | None) -> int:
    """Announces a packet whose frame is displayed; returns its stamp."""
    if self._latest is None:
      self.counted, self._latest = pts is None and dts is None, -1
    known = () if self.counted else (pts, dts)
    stamps = (stamp for stamp in known if stamp is not None)
    self._latest = next(stamps, self._latest + 1)
    heapq.heappush(self._waiting, self._latest)
    return self._latest

  def take(
    self, pts: int | None
  ) -> tuple[list[tuple[int, int]], tuple[int, int] | None]:
    """Returns (number, stamp) of the frames lost before this one, and its own.

    Its own is None where a frame comes after a later one, as decoders give
    them out where the packet that orders them is damaged: that it is lost was
    said then.
    """
    lost, pts = [], None if self.counted else pts
    while self._waiting and pts is not None and self._waiting[0] < pts:
      lost.append(self._pop())
    if self._waiting and pts in (None, self._waiting[0]):
      return lost, self._pop()
    # No packet has this stamp: decoders make some up. It is the frame before.
    return lost[:-1], lost[-1] if lost else None

  def rest(self) -> list[tuple[int, int]]:
    """Returns (number, stamp) of the frames that never came."""
    return [self._pop() for _ in range(len(self._waiting))]

  def _pop(self) -> tuple[int, int]:
    stamp = heapq.heappop(self._waiting)
    if self.origin is None:
      self.origin = stamp
    self._next += 1
    return self._next - 1, stamp

"""How the tree of conftest.py is prepared.

No part of it: `import conftest` is the first one on the path, of any folder.
"""

SETTINGS = {
  'size': 32,
  'audio': 'log_mel',
  'workers': 1,
  'segment_frames': 16,
  'min_shard_frames': 40,
  'options': {'fps': 30},
}

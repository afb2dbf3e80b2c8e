"""All small data sets of the tests, by name."""

from tree_clips import (
  afewva,
  affwild2,
  disfa,
  folder_classes,
  folder_table,
)
from tree_files import Tree, landmarks
from tree_stills import (
  affectnet,
  affectnet_npy,
  cifar10,
  expw,
  fashion_mnist,
  fer2013,
  ferplus,
  ferplus_label_csv,
  pixels,
  rafdb,
)

__all__ = ['BUILDERS', 'Tree', 'landmarks', 'pixels']


BUILDERS = {
  'affwild2': affwild2,
  'fer2013': fer2013,
  'ferplus': ferplus,
  'ferplus_label_csv': ferplus_label_csv,
  'rafdb': rafdb,
  'affectnet': affectnet,
  'affectnet_npy': affectnet_npy,
  'expw': expw,
  'afewva': afewva,
  'disfa': disfa,
  'cifar10': cifar10,
  'fashion_mnist': fashion_mnist,
  'folder_classes': folder_classes,
  'folder_table': folder_table,
}

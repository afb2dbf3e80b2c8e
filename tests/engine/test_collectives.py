"""Weak scaling and communication, read from compiled programs."""

import functools

import jax
import pytest
import toy

from emojax.engine.collectives import Collective, collectives

TEXT = """
  %r.1 = f32[3,2]{1,0} all-reduce(%x), channel_id=1, replica_groups={{0,1},{2,3}}, to_apply=%add, metadata={op_name="jit(program)/while/body/closed_call/psum"}
  %r.2 = (f32[4]{0}, pred[5]{0}) all-reduce(%x, %y), replica_groups=[2,2]<=[2,2]T(1,0), metadata={op_name="jit(program)/psum"}
  %r.3 = s32[8]{0} all-gather-start(%x), replica_groups=[1,4]<=[4], dimensions={0}
  %r.4 = bf16[2]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}
  %r.5 = f32[3]{0} add(%all-reduce, %y), metadata={op_name="all-reduce(no)"}
"""


def test_reads_both_ways_of_writing():
  assert collectives(TEXT) == [
    Collective('all-reduce', 24, ((0, 1), (2, 3)), True),
    Collective('all-reduce', 21, ((0, 2), (1, 3)), False),
    Collective('all-gather', 32, ((0, 1, 2, 3),), False),
    Collective('collective-permute', 4, ((0, 1), (1, 0)), False),
  ]


@functools.cache
def compiled(members: int, member_devices: int, batch_devices: int = 1):
  trainer = toy.trainer(members, member_devices, batch_devices)
  return trainer.lower(toy.generation(members)).compile()


def labels_bytes(trainer, generation) -> int:
  """Size of the soft labels of all training clips."""
  del generation
  num = -(-len(trainer.train) // 4) * 4  # padded to whole chunks
  return num * toy.LENGTH * (2 + 3 + 2) * 4


@pytest.mark.parametrize(
  'devices', [2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_members_communicate_after_training_only(devices):
  found = collectives(compiled(devices, devices).as_text())
  assert found  # the soft labels' mean
  everyone = (tuple(range(devices)),)
  assert {(c.kind, c.groups) for c in found} == {('all-reduce', everyone)}
  assert not any(c.in_loop for c in found)
  trainer = toy.trainer(devices, devices)
  weights = 4  # the number of members, summed with the labels
  size = labels_bytes(trainer, None)
  assert size <= sum(c.nbytes for c in found) <= size + 3 * weights


@pytest.mark.slow
def test_a_batch_communicates_within_its_member():
  found = collectives(compiled(2, 2, 2).as_text())
  training = [c for c in found if c.in_loop]
  assert training
  assert {c.groups for c in training} == {((0, 1), (2, 3))}


@pytest.mark.slow
def test_members_on_more_devices_cost_each_device_the_same():
  one, many = compiled(1, 1), compiled(4, 4)
  assert one.cost_analysis()['flops'] == pytest.approx(
    many.cost_analysis()['flops'], rel=0.01
  )
  for name in ('argument_size_in_bytes', 'temp_size_in_bytes'):
    a, b = (getattr(x.memory_analysis(), name) for x in (one, many))
    assert b == pytest.approx(a, rel=0.05), name
  assert not collectives(one.as_text())


def test_lowering_does_not_train():
  trainer = toy.trainer(2, 2)
  before = trainer.init(0)
  trainer.lower(toy.generation(2))
  assert not any(x.is_deleted() for x in jax.tree.leaves(before))

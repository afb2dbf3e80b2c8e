"""EMENet-V in PyTorch: the same network, loss and optimiser, run eagerly.

Modules are named like the Flax modules, so `load` copies weights by name. The
loss is that of a student of paper 000 (Eqs. 8, 10 and 11), where all frames are
labelled.
"""

from collections.abc import Callable
from concurrent import futures

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import problem as problems
from benchmarks import workers
from emojax import tasks
from emojax.trained import members

# name, channels in the middle and at the end, stride, number of units.
STAGES = (
  ('conv_23', 128, 64, 2, 1),
  ('conv_3', 128, 64, 1, 4),
  ('conv_34', 256, 128, 2, 1),
  ('conv_4', 256, 128, 1, 6),
  ('conv_45', 512, 128, 2, 1),
  ('conv_5', 256, 128, 1, 2),
)
FEATURES, HIDDEN = 512, 128
FORMATS = {
  'channels_last': torch.channels_last,
  'contiguous': torch.contiguous_format,
}


class ConvNorm(nn.Sequential):
  """Convolution without bias, BatchNorm and perhaps PReLU."""

  def __init__(
    self, inputs, outputs, kernel, strides=1, padding=0, prelu=True, groups=1
  ):
    super().__init__()
    self.conv = nn.Conv2d(
      inputs, outputs, kernel, strides, padding, groups=groups, bias=False
    )
    self.norm = nn.BatchNorm2d(outputs)
    if prelu:
      self.prelu = nn.PReLU(outputs)
    nn.init.kaiming_normal_(self.conv.weight, mode='fan_out')


class Unit(nn.Sequential):
  """1x1, 3x3 depth-wise, linear 1x1; a skip where the stride is 1."""

  def __init__(self, inputs, middle, outputs, strides):
    super().__init__()
    self.strides = strides
    self.expand = ConvNorm(inputs, middle, 1)
    self.depthwise = ConvNorm(middle, middle, 3, strides, 1, groups=middle)
    self.project = ConvNorm(middle, outputs, 1, prelu=False)

  def forward(self, x):
    y = super().forward(x)
    return x + y if self.strides == 1 else y


class Trunk(nn.Sequential):
  """MobileFaceNet: [N, 3, H, W] to [N, 512]."""

  def __init__(self, size: int):
    super().__init__()
    self.conv1 = ConvNorm(3, 64, 3, 2, 1)
    self.conv2_dw = ConvNorm(64, 64, 3, 1, 1, groups=64)
    inputs = 64
    for name, middle, outputs, strides, repeats in STAGES:
      for i in range(repeats):
        unit = Unit(inputs, middle, outputs, strides)
        self.add_module(f'{name}_{i}' if repeats > 1 else name, unit)
        inputs = outputs
    self.conv_6_sep = ConvNorm(inputs, FEATURES, 1)
    kernel = -(-size // 16)  # what four strides of 2 leave of the image
    self.conv_6_dw = ConvNorm(
      FEATURES, FEATURES, kernel, prelu=False, groups=FEATURES
    )


class Head(nn.Module):
  """Dropout, GRU over time, ReLU, linear (section 3 of the paper)."""

  def __init__(self, outputs: int, dropout: float):
    super().__init__()
    self.dropout = nn.Dropout(dropout)
    self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)
    self.linear = nn.Linear(HIDDEN, outputs)

  def forward(self, x):
    return self.linear(F.relu(self.gru(self.dropout(x))[0]))


class EMENet(nn.Module):
  """EMENet-V of width 1.

  Args:
    size: Height and width of the images.
    dropout: Dropout rate of the heads.
  """

  def __init__(self, size: int, dropout: float = 0.5):
    super().__init__()
    self.memory_format = torch.channels_last
    self.trunk = Trunk(size)
    for task in problems.SCHEMA:
      self.add_module(f'head_{task.name}', Head(task.num_outputs, dropout))

  def forward(self, image) -> dict[str, torch.Tensor]:
    """Maps uint8 [B, L, H, W, 3] to logits [B, L, num_outputs] by task."""
    # A permuted NHWC array *is* in the channels_last format.
    x = image.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    x = x.contiguous(memory_format=self.memory_format)
    features = self.trunk(x).reshape(*image.shape[:2], FEATURES)
    return {
      task.name: getattr(self, f'head_{task.name}')(features)
      for task in problems.SCHEMA
    }

  def to_format(self, name: str) -> 'EMENet':
    """Lays weights and activations out in one of `FORMATS`; returns self."""
    self.memory_format = FORMATS[name]
    return self.to(memory_format=self.memory_format)


def load(model: EMENet, params) -> EMENet:
  """Copies Flax parameters into the model; returns it.

  Raises:
    KeyError: If the trees differ.
  """
  names = {'scale': 'norm.weight', 'bias': 'norm.bias', 'slope': 'prelu.weight'}
  gru = {'kernel_i': 'weight_ih_l0', 'kernel_h': 'weight_hh_l0'}
  gru |= {'bias_i': 'bias_ih_l0', 'bias_h': 'bias_hh_l0'}
  state = model.state_dict()
  for path, value in _leaves(params):
    *parents, leaf = path
    value = np.asarray(value)
    if value.ndim == 4:
      leaf, value = 'conv.weight', value.transpose(3, 2, 0, 1)
    elif parents[-1] == 'linear':
      leaf = 'weight' if leaf == 'kernel' else leaf
    else:
      leaf = gru.get(leaf) or names[leaf]
    value = value.T if value.ndim == 2 else value
    state['.'.join([*parents, leaf])].copy_(torch.tensor(value))
  return model


def _leaves(tree, path=()):
  """(path, array) of a nested dictionary."""
  for key, value in tree.items():
    if hasattr(value, 'items'):
      yield from _leaves(value, (*path, key))
    else:
      yield (*path, key), value


def loss(logits, values) -> torch.Tensor:
  """Mean of the tasks' losses: BCE, KL divergence, sum of 1 - CCC."""
  au = F.binary_cross_entropy_with_logits(logits['au'], values['au'])
  expr = F.kl_div(
    F.log_softmax(logits['expr'], -1).flatten(0, 1),
    values['expr'].flatten(0, 1),
    reduction='batchmean',
  )
  va = logits['va'].unflatten(-1, (2, tasks.NUM_BINS)).softmax(-1)
  va = va @ torch.linspace(-1, 1, tasks.NUM_BINS, device=va.device)
  ccc = _ccc(va.flatten(0, 1), values['va'].flatten(0, 1))
  return (au + expr + (1 - ccc).sum()) / 3


def _ccc(x, y):
  """Concordance of the columns of [N, D] (Eq. 6)."""
  dx, dy = x - x.mean(0), y - y.mean(0)
  covariance = (dx * dy).sum(0) / (len(x) - 1)
  spread = x.var(0) + y.var(0) + (x.mean(0) - y.mean(0)) ** 2 + 1e-8
  return 2 * covariance / spread


def reference(params, size: int, image, values) -> dict:
  """What `engine.gradients` returns, from the same Flax parameters.

  Gradients are by the names that the parameters have here.
  """
  model = load(EMENet(size, dropout=0), params)
  image = torch.tensor(image)
  with torch.inference_mode():
    logits = {k: v.numpy() for k, v in model.eval()(image).items()}
  labels = {name: torch.tensor(value) for name, value in values.items()}
  value = loss(model.train()(image), labels)
  value.backward()
  return {
    'loss': value.detach().numpy(),
    'gradients': {k: p.grad.numpy() for k, p in model.named_parameters()},
    'logits': logits,
  }


def training(spec) -> tuple[Callable[[int], None], dict]:
  """Makes `run(steps)`, all members one after the other, and facts about it.

  'compiled' of the specification says whether by `torch.compile`.
  """
  torch.set_num_threads(spec['threads'])
  data = problems.make(
    spec['size'], spec['frames'], spec['members'], workers.MAX_STEPS
  )
  device = _device()
  image = torch.tensor(data.image, device=device)
  values = {k: torch.tensor(v, device=device) for k, v in data.values.items()}

  def objective(model, image, labels):
    return loss(model(image), labels)

  if spec.get('compiled'):
    objective = torch.compile(objective)

  def member_steps(model, optimizer, plan):
    for index in plan:
      optimizer.zero_grad(set_to_none=True)
      labels = {name: value[index] for name, value in values.items()}
      objective(model, image[index], labels).backward()
      optimizer.step()

  def member(layout):
    model = EMENet(spec['size']).to(device).to_format(layout)
    rate = problems.LEARNING_RATE
    return model, torch.optim.Adam(model.parameters(), rate, fused=True)

  plan = torch.tensor(data.plan, dtype=torch.long, device=device)
  layout = 'channels_last'  # a compiler lays arrays out as it likes
  if spec.get('compiled'):
    member_steps(*member(layout), plan[0, :1])  # minutes, and no step's time
  else:
    layout = _fastest(lambda f: _bind(member_steps, *member(f), plan[0, :1]))
  stack = [member(layout) for _ in range(spec['members'])]

  def run(steps):
    for (model, optimizer), rows in zip(stack, plan):
      member_steps(model, optimizer, rows[:steps])
    _wait()

  return run, {'note': f'{layout}, {device}'}


KINDS = ('eager', 'frozen', 'compiled')


@torch.inference_mode()
def prediction(spec) -> tuple[Callable[[int], None], dict]:
  """Makes `run(times)`, the members' logits for stills, in the fastest way.

  'frozen' has BatchNorm in its kernels and oneDNN's fused operations, 'compiled'
  is `torch.compile`, which lays arrays out as it likes. Threads are inside every operation,
  or each core has a stream of its own, for a part of the stills of a member.
  """
  kind, cores = spec['kind'], spec['threads']
  image = torch.tensor(problems.images(spec['size'], spec['frames']))[0][
    :, None
  ]
  image = image.to(_device())

  def jobs(layout, number, parts):
    """Models and their stills; the parts of a member have one model."""
    made, pieces = [], image.chunk(parts)
    for _ in range(number):
      model = EMENet(spec['size']).to(_device()).eval().to_format(layout)
      model = _deploy(model, pieces[0], kind)
      made += [(model, piece) for piece in pieces]
    return made

  layout = 'channels_last'
  if kind != 'compiled':
    layout = workers.fastest(
      {name: _way(jobs(name, 1, 1), cores, cores) for name in FORMATS}
    )
  parts = members.parts_of(len(image), spec['members'], cores)
  ways = {'all threads': _way(jobs(layout, spec['members'], 1), cores, cores)}
  if cores > 1:
    streams = jobs(layout, spec['members'], parts)
    ways['a stream per core'] = _way(streams, 1, cores)
  chosen = workers.fastest(ways)

  def run(times):
    for _ in range(times):
      ways[chosen]()

  return run, {'note': f'{layout}, {chosen}, {_device()}'}


def _deploy(model, image, kind: str) -> Callable:
  if kind == 'frozen':
    traced = torch.jit.trace(model, image, strict=False, check_trace=False)
    return torch.jit.optimize_for_inference(torch.jit.freeze(traced))
  return torch.compile(model) if kind == 'compiled' else model


def _way(jobs, threads: int, cores: int) -> Callable[[], None]:
  """Runs jobs (model, images) one after the other, or as many as there are cores."""

  def one(job):
    torch.set_num_threads(threads)
    with torch.inference_mode():
      return {k: v.cpu().numpy() for k, v in job[0](job[1]).items()}

  def run():
    if threads > 1 or cores == 1:
      for job in jobs:
        one(job)
    else:
      with futures.ThreadPoolExecutor(cores) as pool:
        list(pool.map(one, jobs))

  return run


def _bind(function, *args):
  return lambda *more: function(*args, *more)


def _device() -> str:
  return 'cuda' if torch.cuda.is_available() else 'cpu'


def _wait():
  if torch.cuda.is_available():
    torch.cuda.synchronize()


def _fastest(make: Callable) -> str:
  """The memory format in which a step takes the shortest."""

  def waited(run):
    run()
    _wait()

  ways = {name: _bind(waited, make(name)) for name in FORMATS}
  return workers.fastest(ways)

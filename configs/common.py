"""What the configurations share; presets are in the files beside this one.

A configuration file is run by its path, from any folder, so it reads this one by
the path beside its own:

  common = types.SimpleNamespace(
    **runpy.run_path(str(pathlib.Path(__file__).with_name('common.py')))
  )

Each function sets settings of the configuration that it is given; what a recipe
has of its own it says itself, before or after.
"""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict


def prepared_data(data: ConfigDict, test_split: str):
  """Settings of prepared data only."""
  data.eval_clip_length = 0  # 0: as clip_length
  data.val_split = 'validation'
  data.test_split = test_split
  data.ood_path = ''  # other prepared data sets, with commas between
  data.memory_gib = 4.0  # splits larger than this stay on disk


def schedule(train: ConfigDict, decay_every: int, decay_factor: float = 0.1):
  """The learning rate over the epochs, and averages of the weights."""
  train.decay_every = decay_every  # epochs
  train.decay_factor = decay_factor
  train.schedule = 'step'  # or 'exponential', 'cosine', 'onecycle'
  train.warmup_epochs = 0.0  # in which the rate rises
  train.ema = 0.0  # decay of the average of the weights; 0: none


def runtime(config: ConfigDict, predict_clips: int):
  """How, not what: all but the precision may differ when a run is resumed."""
  config.runtime = ConfigDict()
  config.runtime.epochs_per_call = 1  # 0: all epochs in one call
  config.runtime.member_chunk = -1  # members vectorised at a time; -1: auto
  config.runtime.predict_clips = predict_clips
  config.runtime.stream_steps = 0  # 0: data resident on the device
  config.runtime.cpu_devices = 0  # 0: as many as share the members evenly
  config.runtime.member_devices = 0  # 0: all that have members to train
  config.runtime.lowering = 'auto'  # of convolutions: lax, matmul, conv
  # Of float32 products on accelerators: 'high' or 'highest' (docs/scaling.md).
  config.runtime.precision = 'default'


def two_stage() -> ConfigDict:
  """Papers 001 and 002: a CNN, then a recurrent network on its features."""
  config = ConfigDict()
  config.seed = 0
  config.ensemble = ConfigDict()

  config.data = ConfigDict()
  config.data.name = 'embedded'  # or 'prepared', with a path
  config.data.seed = 0
  config.data.image_size = 40
  config.data.clip_length = 32  # of videos; the CNN sees single frames
  config.data.hidden = 0.0  # share of the videos' frames that show no face
  config.data.val_clips = 30
  config.data.test_clips = 60
  # Beside external data, every k-th frame of the main videos for valence and
  # arousal, and of these expressions every k-th is kept.
  config.data.va_every = 1
  config.data.keep = ConfigDict({'neutral': 1, 'happiness': 1, 'sadness': 1})
  config.data.balance = 'paper'  # or 'published': the code's ML-ROS and cells
  # Prepared data only.
  config.data.path = ''
  config.data.val_split = 'validation'
  config.data.test_split = 'validation'  # Aff-Wild2 keeps its test labels

  config.model = ConfigDict()
  config.model.name = 'multitask_cnn'  # or multitask_cnn_torchvision
  config.model.depth = 'resnet18'  # or 'resnet34', 'resnet50' as in the paper
  config.model.stem = 'half'  # 'imagenet' for large images, 'cifar' for small
  config.model.width = 0.25  # multiplies the channels
  config.model.hidden = 128  # of the heads; the features of a task
  config.model.gru = 64  # of each direction
  config.model.head = 'published'  # 'paper': Figure 4, without BatchNorm
  config.model.dropout = 0.0  # paper 002's code: 0.5 before the last layers
  config.model.dtype = 'float32'
  config.model.pretrained = ''  # a PyTorch state_dict of a ResNet-50

  config.train = ConfigDict()  # of the CNNs
  config.train.teacher_epochs = 5
  config.train.student_epochs = 5  # 3 in paper 001, from pretrained weights
  config.train.steps = 60  # of an epoch; 0: until the smallest subset ends
  config.train.clips_per_task = 20
  config.train.learning_rate = 3e-3
  config.train.beta1 = 0.9  # 0.5 in the code
  config.train.augment = 'incomplete'
  config.train.augment_per = 'clip'

  config.recurrent = ConfigDict()
  config.recurrent.teacher_epochs = 8
  config.recurrent.student_epochs = 8
  config.recurrent.steps = 30
  config.recurrent.clips_per_task = 8  # sequences
  config.recurrent.learning_rate = 1e-3
  for stage in (config.train, config.recurrent):
    schedule(stage, decay_every=4)  # the papers' rates are constant
    stage.weight_decay = 0.0  # decoupled, of kernels
    stage.select = 'total'  # what chooses the epoch; or 'nll'

  config.loss = ConfigDict()
  config.loss.label_smoothing = 0.0  # of hard labels
  config.loss.temperature = 1.5
  config.loss.supervision_weight = 0.6  # lambda
  config.loss.portion = 'paper'  # of 1 - CCC; 'published': all of it
  config.loss.distillation_scale = 1.0  # paper 002's code: 2.25, T ** 2
  config.loss.bin_values = 'ends'  # linspace(-1, 1, 20); or bin 'centres'

  config.eval = ConfigDict()
  config.eval.floor = 0.0  # accuracy below which claims are not tested; 0: none
  runtime(config, predict_clips=10)
  return config


def tiny_two_stage(config: ConfigDict):
  """A look at every part of papers 001 and 002; the numbers mean nothing."""
  config.ensemble.seeds = 2
  config.data.image_size = 32
  config.data.clip_length = 8
  config.data.val_clips = 4
  config.data.test_clips = 4
  config.model.width = 0.0625
  config.model.hidden = 16
  config.model.gru = 8
  for stage in (config.train, config.recurrent):
    stage.teacher_epochs = 2
    stage.student_epochs = 2
    stage.steps = 3
  config.train.clips_per_task = 4
  config.recurrent.clips_per_task = 2


def paper_two_stage(config: ConfigDict):
  """What papers 001 and 002 have in common on prepared Aff-Wild2."""
  config.data.name = 'prepared'
  config.data.image_size = 112
  config.data.va_every = 5
  config.data.keep = ConfigDict({'neutral': 10, 'happiness': 2, 'sadness': 2})
  config.model.depth = 'resnet50'
  config.model.stem = 'imagenet'
  config.model.width = 1.0
  config.model.head = 'paper'
  for stage in (config.train, config.recurrent):
    stage.steps = 0
    stage.learning_rate = 1e-4
  config.runtime.stream_steps = 20
  config.runtime.predict_clips = 2


def choose(
  presets: Mapping[str, Callable[[], ConfigDict]], file: str, name: str
) -> ConfigDict:
  """Returns the configuration of a preset.

  Raises:
    ValueError: The file has no such preset.
  """
  if name not in presets:
    raise ValueError(
      f'configs/{file}.py has no preset {name!r}; it has {", ".join(presets)}'
    )
  return presets[name]()

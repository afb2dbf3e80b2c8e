"""All settings by name: `configs/` has their values, this their ranges.

A new setting is a line here, a default in the configuration files that have it,
and, if another setting can make it meaningless, a rule in `rules.py`. Where an
experiment means something else by a name, the line for it is 'EXPERIMENT/NAME'.
A star stands for the last part of names that the data set decides.
"""

from emojax.settings.kinds import (
  SEEDS,
  Setting,
  choice,
  number,
  several,
  switch,
  text,
  whole,
)

STILLS = ('alexnet', 'vgg16', 'vgg16_bn', 'densenet121')  # networks of images
MOST_HEADS = 64  # of a student, `models.one_network.MOST_HEADS`
# Distributions over what teachers say, `ops.families.FAMILIES`.
FAMILIES = ('dirichlet', 'credal', 'logit_gaussian', 'beta')
MULTITASK = ('multitask_cnn', 'multitask_cnn_torchvision')
STEMS = ('imagenet', 'cifar', 'half')
LEARNERS = (  # of `relative_uncertainty.learners.METHODS`
  'baseline',
  'scn',
  'conf',
  'dul',
  'rul',
  'mix_output',
  'loss_attention',
  'rul_permutation',
)
CONDITIONS = ('baseline', 'imbalanced', 'balanced')
AUGMENTATIONS = (  # of `data.transform.augment.COMPOSITIONS`
  'none',
  'emenet',
  'incomplete',
  'rul',
  'fer2013',
  'ferplus',
  'cifar10',
)
EXPERIMENTS = (
  'bayesian',
  'distillation',
  'incomplete_labels',
  'relative_uncertainty',
  'shared_annotations',
  'study',
)

GENERAL = {
  'experiment': choice('what is run', *EXPERIMENTS),
  'seed': whole('seed of weights, order and draws', high=SEEDS),
  'generations': whole('generations of students after the teachers'),
  'methods': several('what is compared', str, choices=LEARNERS),
  'bayesian/methods': text('dropout, dropconnect, ensemble; commas between'),
  'networks': text(f'{", ".join(STILLS)}; commas between'),
  'conditions': several('single-task networks', str, choices=CONDITIONS),
  'multitask': choice('data of the multitask networks', '', *CONDITIONS),
  'teachers': several('subsets of the teachers', int, choices=(2, 3)),
  'sharing': several('students with shared annotations or without', bool),
  'study.variants.*': several('assignments of a variant', str),
  'study.tables.*': several('variants that a table shows', str),
  'ensemble.size': whole('members', 1),
  'distill.method': choice(
    'what students learn of the teachers', 'mean', 'hydra', *FAMILIES
  ),
  'distill.students': whole('students of a generation; 0: as many as teachers'),
  'distill.teachers': text('finished run whose teachers are taken as they are'),
  'ensemble.seeds': whole('teachers, each with students of its own', 1),
  'ensemble.noise': choice(
    "noise of an ensemble's members", 'dropout', 'dropconnect', 'none'
  ),
  'noise.rates': several(
    'shares of training labels that are flipped', float, low=0, high=1
  ),
  'noise.stored': switch('one more level: the labels as stored'),
  'mc.members': whole('networks of each sampling method', 1),
  'mc.passes': whole('stochastic passes', 1),
  'mc.passes_per_call': whole('passes of one call of the program', 1),
  'mc.batch': whole('faces that share a mask', 1),
  'mc.batch_norm': choice('statistics in passes', 'inference', 'training'),
}

DATA = {
  'data.name': choice('data set', 'embedded', 'prepared'),
  'data.path': text('folder of prepared data'),
  'data.image_size': whole('height and width in pixels', 32, 4096),
  'relative_uncertainty/data.image_size': whole(
    'height and width in pixels', 16, 4096
  ),
  'data.channels': Setting(int, 'of the images; 1: grey', choices=(1, 3)),
  'data.clip_length': whole('frames of a clip', 1),
  'bayesian/data.clip_length': whole('single faces', 1, 1),
  'relative_uncertainty/data.clip_length': whole('single images', 1, 1),
  'data.eval_clip_length': whole('frames in evaluation; 0: as in training'),
  'bayesian/data.eval_clip_length': whole('single faces', 0, 1),
  'relative_uncertainty/data.eval_clip_length': whole('single images', 0, 1),
  'data.audio': switch('sound, too'),
  'data.hidden': number(
    'share of embedded frames, in runs, that show no face',
    1e-3,
    below=1,
    also=0,
  ),
  'data.voice': choice('embedded people sound as', 'face', 'hidden'),
  'data.seed': whole('seed of the data set', high=SEEDS),
  'data.rule': choice(
    'labels made of votes for training',
    'stored',
    'majority',
    'plurality',
    'probability',
    'crossentropy',
    'raw',
  ),
  'data.eval_rule': choice(
    'labels made of votes in evaluation', 'stored', 'majority', 'plurality'
  ),
  'data.train_clips.*': whole('embedded training clips of a subset'),
  'data.external_stills.*': whole('embedded stills of other people'),
  'data.val_clips': whole('embedded validation clips', 1),
  'data.test_clips': whole('embedded test clips', 1),
  'data.ood_clips': whole('foreign images of each made set', 1),
  'data.ood_path': text('prepared foreign images, commas between'),
  'data.ood_limit': whole('images of each prepared foreign set; 0: all'),
  'data.val_split': text('split that epochs are chosen on'),
  'data.test_split': text('split that is scored'),
  'data.val_fraction': number(
    'share of training data held out instead of val_split', 0, below=1
  ),
  'data.unlabelled_train': switch('students see images without a label'),
  'data.unlabelled': switch('test faces without a label, too'),
  'data.stride': whole('frames from clip to clip; 0: clip_length'),
  'data.tail': choice('end of a training video', 'drop', 'end', 'pad'),
  'data.eval_tail': choice('end of a video in evaluation', 'pad', 'drop'),
  'data.gaps': choice('missing frames', 'jump', 'discard', 'split'),
  'data.memory_gib': number('larger splits stay on disk', 0),
  'data.va_every': whole('every k-th main frame for valence, arousal', 1),
  'data.keep.*': whole('every k-th main frame of an expression', 1),
  'data.balance': choice('resampling', 'paper', 'published'),
  'data.external.*': text('prepared data for a subset'),
}

MODEL = {
  'model.name': text('network; `python -m emojax.models` lists them'),
  'incomplete_labels/model.name': choice('network', *MULTITASK),
  'shared_annotations/model.name': choice('network', *MULTITASK),
  'model.depth': text('trunk: resnet10, resnet18, resnet34 or resnet50'),
  'model.stem': choice("the trunk's first layers", *STEMS),
  'model.width': number('multiplies channels', above=0),
  'model.hidden': whole('units of hidden layers', 1),
  'model.gru': whole('units of each direction', 1),
  'model.features': whole('size of the embedding', 1),
  'model.embedding': choice('layer', 'published', 'branch', 'pooled'),
  'model.dropout': number('share that is dropped', 0, below=1),
  'bayesian/model.dropout': number(
    "share that is dropped; -1: the network's own", 0, below=1, also=-1
  ),
  'model.head': choice("order of the heads' layers", 'paper', 'published'),
  'distillation/model.head': choice(
    "order of the heads' layers; frames: without memory",
    'paper',
    'published',
    'frames',
  ),
  'model.placement': choice(
    'where noise is', 'published', 'dense', 'conv', 'all', 'last'
  ),
  'model.mask_per': choice('DropConnect masks per', 'call', 'example'),
  'model.normalise': choice('of images', 'imagenet', 'none'),
  'model.dtype': choice('of computations', 'float32', 'bfloat16'),
  'model.pretrained': text('PyTorch state_dict of the trunk'),
}

# Options of the field, of every stage of training (docs/training.md).
FIELD = {
  'schedule': choice(
    'of the rate', 'step', 'exponential', 'cosine', 'onecycle'
  ),
  'warmup_epochs': number('in which the rate rises', 0),
  'weight_decay': number('of the kernels', 0),
  'ema': number('decay of averaged weights; 0: none', 0, below=1),
}

TRAIN = {
  'train.epochs': whole('epochs', 1),
  'train.teacher_epochs': whole("teachers' epochs", 1),
  'train.student_epochs': whole("students' epochs", 1),
  'train.steps': whole('steps of an epoch; 0: as the smallest subset has'),
  'train.max_steps': whole('most steps of an epoch; 0: no limit'),
  'train.images': whole('training images; 0: all'),
  'train.batch_size': whole('images of a batch', 1),
  'relative_uncertainty/train.batch_size': whole('images of a batch', 2),
  'train.clips_per_task': whole('clips of each task in a batch', 1),
  'train.learning_rate': number('first learning rate', 0),
  'train.learning_rate.*': number("a network's first learning rate", above=0),
  'train.classifier_rate': number("factor for the last layer's rate", 0),
  'train.decay_every': whole('epochs from decay to decay', 1),
  'train.decay_start': whole('epoch of the first decay'),
  'train.decay_factor': number('factor of each decay', 0),
  'bayesian/train.optimizer': choice('optimiser', 'auto', 'adam', 'sgd'),
  'relative_uncertainty/train.optimizer': choice(
    'optimiser', 'adam', 'adamw', 'sgd'
  ),
  'train.momentum': number('of SGD', 0, below=1),
  'train.sgd_decay': number("Keras' decay of SGD's rate", 0),
  'train.clip': number('bound on gradient values; 0: none', 0),
  'train.beta1': number("Adam's decay of the mean", 0, below=1),
  'train.patience': whole('epochs without improvement; 0: no early stop'),
  'train.augment': choice('augmentation', *AUGMENTATIONS),
  'train.augment_per': choice('one draw per', 'frame', 'clip'),
  'train.balance': choice('Algorithm 1', 'paper', 'published', 'off'),
  'train.select': choice('what chooses the epoch', 'total', 'nll'),
  'bayesian/train.select': choice('epoch that is used', 'last', 'best', 'nll'),
  'train.mixup': number('alpha of mixed images; 0: none', 0),
  **{f'train.{name}': setting for name, setting in FIELD.items()},
  'recurrent.lengths': several('frames of a sequence', int, low=1),
  **{
    f'recurrent.{name}': setting
    for name, setting in {
      'teacher_epochs': whole("teachers' epochs", 1),
      'student_epochs': whole("students' epochs", 1),
      'steps': whole('steps of an epoch; 0: as the smallest subset has'),
      'clips_per_task': whole('sequences of each subset in a batch', 1),
      'learning_rate': number('first learning rate', 0),
      'decay_every': whole('epochs from decay to decay', 1),
      'decay_factor': number('factor of each decay', 0),
      'patience': whole('epochs without improvement; 0: no early stop'),
      'select': choice('what chooses the epoch', 'total', 'nll'),
      **FIELD,
    }.items()
  },
  'relabel.methods': several('that change labels', str, choices=LEARNERS),
  'relabel.start_epoch': whole('epochs before labels change'),
  'relabel.start_accuracy': number(
    'training accuracy on right labels before changes; 0: any', 0, below=1
  ),
  'relabel.fraction': number('share of a batch that may change', 0, high=1),
  'relabel.margin': number('between probabilities', 0, high=1),
}

LOSS = {
  'loss.label_smoothing': number('share given to all classes', 0, below=1),
  'loss.reweight': switch('weights by class'),
  'loss.weight_power': number("of the classes' weights", above=0, high=1),
  'loss.reweight_students': switch("weights in the students' AU loss"),
  'loss.correct_teachers': switch("soft labels without the weights' bias"),
  'loss.bin_values': choice('values of bins', 'ends', 'centres'),
  'loss.temperature': number('of the softmaxes', above=0),
  'loss.supervision_weight': number('lambda', 0, high=1),
  'loss.portion': choice('of 1 - CCC', 'paper', 'published'),
  'loss.divergence': choice('from the teacher', 'cross_entropy', 'kl'),
  'loss.distillation_scale': number('factor of distillation', 0),
  'loss.rul_pairing': choice('of images', 'different', 'permutation'),
  'loss.rul_ratio': choice('of uncertainties', 'elementwise', 'means'),
  'loss.rul_halved': switch('half of the loss'),
  'loss.mix_output': choice('what is mixed', 'probabilities', 'logits'),
  'loss.scn_high': number('share of important images', above=0, below=1),
  'loss.scn_margin': number("between the groups' means", 0),
  'loss.dul_kl': number('weight of the divergence', 0),
  'loss.conf_budget': number('confidence loss to hold', 0),
  'loss.conf_weight': number('weight of the confidence loss', 0),
  'eval.floor': number('accuracy below which no claim is tested', 0, below=1),
  'eval.spread': number(
    "standard deviation of networks' errors above which no claim is tested; 0: any",
    0,
    below=1,
  ),
  'eval.flip': switch('predictions over both views'),
  'eval.mc_samples': whole('dropout passes; 0: none'),
  'eval.draws': whole('of samples or members, for spreads', 1),
  'eval.replicates': whole('of faces, for intervals', 2),
  'eval.weights': choice('of the epoch', 'last', 'best'),
  'eval.ten_crop': switch('mean of ten crops'),
  'eval.train_images': whole('to find wrong labels in; 0: all'),
  'eval.tsne_images': whole('images of the t-SNE; 0: none'),
}

RUNTIME = {
  'runtime.epochs_per_call': whole('epochs per call; 0: all'),
  'runtime.member_chunk': whole('members side by side; 0: all', also=-1),
  'runtime.predict_clips': whole('clips of a call in prediction', 1),
  'runtime.stream_steps': whole('steps read ahead; 0: resident data'),
  'runtime.cpu_devices': whole('CPU devices; 0: as fit the members'),
  'runtime.member_devices': whole('devices of members; 0: all'),
  'runtime.batch_devices': whole('devices that share a batch', 1),
  'runtime.lowering': choice(
    'of convolutions', 'auto', 'lax', 'matmul', 'conv'
  ),
  'runtime.precision': choice(
    "of accelerators' float32 products; the same when a run goes on",
    'default',
    'high',
    'highest',
  ),
}

SETTINGS: dict[str, Setting] = {
  **GENERAL,
  **DATA,
  **MODEL,
  **TRAIN,
  **LOSS,
  **RUNTIME,
}

"""Answers pictures with PyPI's `fer`, in an environment of its own.

  ENVIRONMENT/bin/python benchmarks/fer_worker.py PICTURES.json

`fer` asks for TensorFlow, PyTorch and NumPy 1, which cannot stand beside emojax's
libraries; so `benchmarks.fer_package` starts this file with another interpreter, and
both speak JSON. The file names PNGs and whether faces are found by MTCNN; it prints
boxes, emotions and the least seconds of processor time of every picture.
"""

import json
import os
import sys
import time

for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
  os.environ[name] = '1'


def main():
  with open(sys.argv[1]) as file:
    asked = json.load(file)
  import cv2
  import torch
  from fer.fer import FER

  cv2.setNumThreads(1)
  torch.set_num_threads(1)
  detector = FER(mtcnn=asked['mtcnn'])
  images = [cv2.imread(path) for path in asked['pictures']]
  detector.detect_emotions(images[0])  # what is made once is no time
  answers = []
  for image in images:
    spent = []
    for _ in range(asked['rounds']):
      start = time.process_time()
      found = detector.detect_emotions(image)
      spent.append(time.process_time() - start)
    faces = [
      {'box': [int(x) for x in face['box']], 'emotions': face['emotions']}
      for face in found
    ]
    answers.append({'faces': faces, 'seconds': min(spent)})
  print(json.dumps(answers))


if __name__ == '__main__':
  main()

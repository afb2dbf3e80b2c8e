#!/usr/bin/env bash
# emojax on a Google Cloud TPU VM, with `gcloud` alone.
#
#   PROJECT=my-project launch/gcloud_tpu.sh create
#   PROJECT=my-project launch/gcloud_tpu.sh run --config=configs/gen.py \
#     --workdir=runs/first --config.ensemble.size=8
#   PROJECT=my-project launch/gcloud_tpu.sh fetch runs/first
#   PROJECT=my-project launch/gcloud_tpu.sh delete   # it costs money until then
#
# Run it from the repository's folder; what follows `run` goes to emojax.main, and
# the same command resumes (the run ends with the connection: use tmux for a
# long one). Edit, or set in the environment: PROJECT, ZONE, TYPE,
# VERSION, NAME, SPOT. A slice of several hosts (e.g. TYPE=v5litepod-16) needs a
# file system that all of them share for --workdir: set NFS=SERVER:/SHARE, e.g. of
# a Filestore instance, which `create` mounts at /runs of every host.
set -euo pipefail

PROJECT=${PROJECT:?set PROJECT to your Google Cloud project}
ZONE=${ZONE:-us-west4-a}
TYPE=${TYPE:-v5litepod-8}
VERSION=${VERSION:-v2-alpha-tpuv5-lite}
NAME=${NAME:-emojax}
SPOT=${SPOT:-no}
NFS=${NFS:-}

tpu() { # a command of gcloud about this TPU
  local verb=$1
  shift
  gcloud compute tpus tpu-vm "$verb" "$@" --project="$PROJECT" --zone="$ZONE"
}

everywhere() { # a shell command on all hosts
  tpu ssh "$NAME" --worker=all --command="$1"
}

create() {
  local spot=()
  [ "$SPOT" = no ] || spot=(--spot)
  tpu create "$NAME" --accelerator-type="$TYPE" --version="$VERSION" \
    ${spot[@]+"${spot[@]}"}
  local archive=${TMPDIR:-/tmp}/emojax.tar.gz
  tar --exclude=.git --exclude=runs --exclude=.venv -czf "$archive" .
  tpu scp "$archive" "$NAME:emojax.tar.gz" --worker=all
  everywhere "mkdir -p emojax && tar -xzf emojax.tar.gz -C emojax &&
    python3 -m venv venv && venv/bin/pip install -q -e 'emojax[tpu]'"
  if [ -n "$NFS" ]; then
    everywhere "sudo apt-get install -yq nfs-common && sudo mkdir -p /runs &&
      sudo mount $NFS /runs"
  fi
}

run() {
  local arguments
  printf -v arguments ' %q' "$@"
  everywhere "cd emojax && ../venv/bin/python -m emojax.main$arguments"
}

fetch() {
  mkdir -p "$(dirname "$1")"
  tpu scp --recurse "$NAME:emojax/$1" "$1" --worker=0
}

case ${1:-} in
  create) create ;;
  run) run "${@:2}" ;;
  fetch) fetch "${2:?name the folder to fetch}" ;;
  delete) tpu delete "$NAME" --quiet ;;
  *)
    echo "usage: PROJECT=... $0 create | run FLAGS... | fetch FOLDER | delete" >&2
    exit 2
    ;;
esac

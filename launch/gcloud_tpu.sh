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
# the same command resumes. Use tmux for a long run: when the connection breaks,
# its output is lost, and whether it goes on is up to ssh. Edit, or set in the environment: PROJECT, ZONE, TYPE,
# VERSION, NAME, SPOT. A slice of several hosts (e.g. TYPE=v5litepod-16) needs a
# file system that all of them share for --workdir: set NFS=SERVER:/SHARE, e.g. of
# a Filestore instance, which `create` mounts at /runs of every host, and `mount`
# mounts again after a restart; then --workdir=/runs/first, and `fetch /runs/first`
# brings it to runs/first here.
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
    curl -LsSf https://astral.sh/uv/install.sh | sh &&
    .local/bin/uv venv -q --clear --python 3.12 venv &&
    .local/bin/uv pip install -q --python venv/bin/python -e 'emojax[tpu]'"
  [ -z "$NFS" ] || mount_nfs
}

mount_nfs() {
  everywhere "sudo apt-get install -yq nfs-common && sudo mkdir -p /runs &&
    sudo mount ${NFS:?set NFS to SERVER:/SHARE} /runs"
}

run() {
  local arguments
  printf -v arguments ' %q' "$@"
  everywhere "cd emojax && ../venv/bin/python -m emojax.main$arguments"
}

fetch() {
  local from=$1 to=${1#/}
  [[ $from = /* ]] || from=emojax/$from
  mkdir -p "$(dirname "$to")"
  tpu scp --recurse "$NAME:$from" "$to" --worker=0
}

case ${1:-} in
  create) create ;;
  mount) mount_nfs ;;
  run) run "${@:2}" ;;
  fetch) fetch "${2:?name the folder to fetch}" ;;
  delete) tpu delete "$NAME" --quiet ;;
  *)
    echo "usage: PROJECT=... $0 create | mount | run FLAGS... | fetch FOLDER | delete" >&2
    exit 2
    ;;
esac

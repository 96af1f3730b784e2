#!/bin/sh
# Makes the image that the Dockerfile begins with of Debian's packages, where no registry of images is at hand: takes root, debootstrap
# and podman (or docker, if that is given as the first word).
set -eu
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root"
tar --directory "$root" --create . | "${1:-podman}" import - docker.io/library/python:3.11-slim

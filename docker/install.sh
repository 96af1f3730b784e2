#!/bin/sh
# Installs Karat with its server into a new environment: docker/install.sh TARGET, in the folder that holds pyproject.toml.
# TORCH_INDEX: where torch without CUDA comes from; empty where pip's own settings bring it.
set -eu
python3 -m venv "$1"
"$1/bin/pip" install --no-cache-dir --quiet --disable-pip-version-check ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} 'torch>=2.10,<2.14'
"$1/bin/pip" install --no-cache-dir --quiet --disable-pip-version-check '.[serve]'

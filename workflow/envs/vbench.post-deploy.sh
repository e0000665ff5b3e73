#!/usr/bin/env bash
set -euo pipefail
pip install --no-deps torchvision==0.28.0 openai-clip==1.0.1 vbench==0.1.5

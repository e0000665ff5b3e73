# docker build -t miga-bench . && docker run --gpus all -v $PWD/results:/miga/results miga-bench --cores all
# *Not built here*: `make test-image` runs its steps in a fresh Debian (docs/running.md).
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends git make python3 python3-dev python3-venv build-essential \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /miga
COPY . .
RUN .ci/install /opt/miga /opt/vbench
ENV PATH=/opt/miga/bin:$PATH VBENCH_PYTHON=/opt/vbench/bin/python
ENTRYPOINT ["snakemake"]

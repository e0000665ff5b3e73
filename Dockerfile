# docker build -t miga-bench . && docker run --gpus all -v $PWD/results:/miga/results miga-bench --cores all
# *Not built here*: its steps are .ci/install, which is run in a fresh environment (docs/running.md).
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends git make python3 python3-dev python3-venv build-essential \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /miga
COPY . .
RUN VBENCH=1 .ci/install /opt
ENV PATH=/opt/miga/bin:$PATH VBENCH_PYTHON=/opt/vbench/bin/python
ENTRYPOINT ["snakemake"]

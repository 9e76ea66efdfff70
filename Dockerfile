# The environments in a container, from the same locks and by the same scripts as `make env` and `--sdm conda`.
#   docker build --tag mmr1 .                                  two cores are enough: docker run --rm mmr1
#   docker build --tag mmr1-gpu --build-arg STACK=gpu .        docker run --gpus all … snakemake --profile … all
# docs/environments.md says how to pin the base image by its digest, and how to make an Apptainer image of this.
FROM python:3.11-slim-bookworm
ARG STACK=cpu
# gcc: on GPUs Triton and DeepSpeed compile small kernels at first use.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc git libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /mmr1
# First what changes rarely, so that an edited program does not install everything again.
COPY envs envs
RUN bash envs/local.sh driver ${STACK} && rm -rf ~/.cache
ENV PATH=/mmr1/.envs/${STACK}/bin:/mmr1/.envs/driver/bin:$PATH
COPY . .
CMD ["make", "demo"]

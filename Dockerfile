FROM pytorch/pytorch:2.4.1-cuda12.1-cudnn9-devel

# Why torch 2.4.1: MONAI 1.5.1 requires torch >= 2.4.1. With 2.4.0 pinned, as an earlier stack had
# it, the pins contradict each other and pip replaced torch while installing the dependencies.
# docker/constraints.txt holds torch where it is: pip now fails instead of replacing it.
COPY docker/constraints.txt /opt/constraints.txt
ENV PIP_CONSTRAINT=/opt/constraints.txt \
    PIP_NO_CACHE_DIR=1

RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libopenblas-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/ssl3d
COPY . .
RUN python -m pip install ".[minkowski,spconv-cu121]"

# An image build shows no GPU: these are the compute capabilities to compile for. Leave out those
# that you do not have (--build-arg CUDA_ARCHITECTURES=9.0): each takes its share of the time.
ARG CUDA_ARCHITECTURES="7.0 7.5 8.0 8.6 9.0+PTX"
RUN TORCH_CUDA_ARCH_LIST="${CUDA_ARCHITECTURES}" ssl3d install minkowski --cuda

WORKDIR /workspace
RUN ssl3d doctor --strict

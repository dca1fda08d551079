# ldrestore on the tested versions; for the CPU, or with CUDA:
#
#   docker build -t ldrestore .
#   docker build -t ldrestore:cuda --build-arg DEVICE=cuda .
#   docker run --rm -v "$PWD:/work" ldrestore restore in/ out/
#   docker run --rm --gpus all -v "$PWD:/work" ldrestore:cuda restore in/ out/
#
# EXTRAS names extras of pyproject.toml, such as "heif,export"; what a container fetches it keeps in /cache.
FROM python:3.13-slim AS build
ARG DEVICE=cpu
ARG EXTRAS=heif
WORKDIR /source
RUN python -m venv /opt/ldrestore
COPY requirements/ requirements/
# torch first: its build decides whether a gigabyte of CUDA comes along. The version is the tested one in both cases.
RUN case "$DEVICE" in \
      cpu) index="--index-url https://download.pytorch.org/whl/cpu" ;; \
      cuda) index="" ;; \
      *) echo "DEVICE is cpu or cuda, got $DEVICE" >&2; exit 1 ;; \
    esac \
    && /opt/ldrestore/bin/pip install --no-cache-dir $index "$(grep -o '^torch==[^ ;]*' requirements/tested.txt | head -1)"
COPY . .
RUN /opt/ldrestore/bin/pip install --no-cache-dir --constraint requirements/tested.txt ".[$EXTRAS]" \
    && /opt/ldrestore/bin/ldrestore doctor

FROM python:3.13-slim
COPY --from=build /opt/ldrestore /opt/ldrestore
ENV PATH=/opt/ldrestore/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HF_HOME=/cache/huggingface XDG_CACHE_HOME=/cache
RUN useradd --create-home restorer && mkdir /work /cache && chown restorer /work /cache
USER restorer
WORKDIR /work
VOLUME /cache
ENTRYPOINT ["ldrestore"]
CMD ["--help"]

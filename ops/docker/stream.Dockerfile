# The streaming worker: no Java, no Spark, and nothing that writes tables. Build it from the repository's root:
#     docker build -f ops/docker/stream.Dockerfile -t scoretrail-stream .
# PYTHON_IMAGE may name a mirror's image, or one of your own with Python 3.11 to 3.13.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY locks/stream.txt locks/scoring.txt locks/
# Two environments: what runs, and what builds our wheel. Both are held to the hashes of a lock. What only serves
# remote calls of pyarrow, or to compile against it, stays out: 42 MB.
RUN python3 -m venv --without-pip /opt/scoretrail \
    && python3 -m venv /opt/installer \
    && /opt/installer/bin/python -m pip --python /opt/scoretrail/bin/python install \
        --require-hashes --only-binary :all: -r locks/stream.txt \
    && awk '/^[^ #]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/ } wanted' \
        locks/scoring.txt >locks/build.txt \
    && (cd /opt/scoretrail/lib/python3*/site-packages/pyarrow \
        && rm -rf include src tests *flight*) \
    && /opt/installer/bin/python -m pip install --require-hashes --only-binary :all: -r locks/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY scoretrail scoretrail
COPY jobs jobs
RUN /opt/installer/bin/python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
    && /opt/installer/bin/python -m pip --python /opt/scoretrail/bin/python install --no-deps --no-index dist/*.whl \
    && /opt/scoretrail/bin/python -c "import jobs.cli, jobs.stream.loop.worker, jobs.services.topics, onnxruntime, redis"

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --home-dir /var/lib/scoretrail --no-create-home --shell /usr/sbin/nologin scoretrail \
    && install -d -o 10001 -g 10001 /var/lib/scoretrail /var/lib/scoretrail/trail
COPY --from=builder /opt/scoretrail /opt/scoretrail
# The root file system may be read-only: bytecode was written at installation, and the trail lies on a volume.
ENV PATH=/opt/scoretrail/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SCORETRAIL__STREAM__TRAIL=/var/lib/scoretrail/trail SCORETRAIL__LOG__LEVEL=info
USER 10001:10001
WORKDIR /var/lib/scoretrail
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8321/livez', timeout=2)"]
ENTRYPOINT ["scoretrail"]
CMD ["stream", "run"]

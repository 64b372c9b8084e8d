# The batch job with Spark and Java, and whatever else writes tables. Build it from the repository's root:
#     docker build -f ops/docker/batch.Dockerfile -t scoretrail-batch .
# PYTHON_IMAGE may name a mirror's image, or one of your own with Python 3.11 to 3.13, and JAVA_PACKAGE its Java 17 or 21.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY locks/batch.txt locks/scoring.txt locks/
# Two environments: what runs, and what builds our wheel and pyspark, which comes as source only. Both are held to the
# hashes of a lock.
RUN python3 -m venv --without-pip /opt/scoretrail \
    && python3 -m venv /opt/installer \
    && awk '/^[^ #]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|setuptools|trove-classifiers)==/ } wanted' \
        locks/scoring.txt >locks/build.txt \
    && awk '/^[^ #]/ { wanted = /^pyspark==/ } wanted' locks/batch.txt >locks/source.txt \
    && awk '/^[^ #]/ { wanted = !/^pyspark==/ } wanted' locks/batch.txt >locks/wheels.txt \
    && /opt/installer/bin/python -m pip install --require-hashes --only-binary :all: -r locks/build.txt \
    && /opt/installer/bin/python -m pip --python /opt/scoretrail/bin/python install \
        --require-hashes --only-binary :all: -r locks/wheels.txt \
    && /opt/installer/bin/python -m pip wheel --no-deps --no-build-isolation --require-hashes \
        --wheel-dir spark -r locks/source.txt \
    && /opt/installer/bin/python -m pip --python /opt/scoretrail/bin/python install --no-deps --no-index spark/*.whl
COPY pyproject.toml README.md LICENSE ./
COPY scoretrail scoretrail
COPY jobs jobs
RUN /opt/installer/bin/python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
    && /opt/installer/bin/python -m pip --python /opt/scoretrail/bin/python install --no-deps --no-index dist/*.whl

FROM ${PYTHON_IMAGE}
ARG JAVA_PACKAGE=openjdk-17-jre-headless
# Packages of the Java runtime link into manual pages, which slim images leave out.
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update \
    && apt-get install -y --no-install-recommends ${JAVA_PACKAGE} procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /var/lib/scoretrail --no-create-home --shell /usr/sbin/nologin scoretrail \
    && install -d -o 10001 -g 10001 /var/lib/scoretrail /var/lib/scoretrail/output /var/lib/scoretrail/metrics
COPY --from=builder /opt/scoretrail /opt/scoretrail
# The root file system may be read-only: bytecode was written at installation, and Spark's scratch space is /tmp.
ENV PATH=/opt/scoretrail/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PYSPARK_PYTHON=/opt/scoretrail/bin/python SPARK_LOCAL_DIRS=/tmp SCORETRAIL__LOG__LEVEL=info
USER 10001:10001
WORKDIR /var/lib/scoretrail
# A job says how it went by its exit code; while it runs, the program can be started.
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s --retries=3 CMD ["scoretrail", "--version"]
ENTRYPOINT ["scoretrail"]
CMD ["doctor"]

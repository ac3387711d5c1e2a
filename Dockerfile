# docker build --build-arg VARIANT=cpu .   (or cuda). Bases are arguments, so that a mirror and a digest can be given.
ARG VARIANT=cpu
ARG RUST=rust:1.95.0-bookworm
ARG CPU=debian:bookworm-slim
ARG CUDA=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04

FROM ${RUST} AS build
ARG VARIANT
# Only tools that build: what of the image comes from elsewhere is pinned by hash in Cargo.lock and scripts/runtime*.txt.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --locked --release --bin sluice && \
    scripts/image-rootfs target/release/sluice /rootfs "${VARIANT}" && \
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/ca-certificates.crt

FROM ${CPU} AS cpu
FROM ${CUDA} AS cuda

# hadolint ignore=DL3006
FROM ${VARIANT}
COPY --from=build /rootfs /
# ONNX Runtime looks for it as it is loaded: no file with events, nothing sent to its maker.
ENV ORT_DISABLE_TELEMETRY=1
USER 65532:65532
EXPOSE 9464
# For engines without probes of their own; Kubernetes ignores it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"]
ENTRYPOINT ["/opt/sluice/bin/sluice"]

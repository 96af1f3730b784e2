# Karat's server on the CPU: `docker compose up`, or see docs/serving.md. Nothing runs as root, and only /data is written to.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY docker docker
COPY src src
RUN TORCH_INDEX="$TORCH_INDEX" sh docker/install.sh /opt/karat

FROM python:${PYTHON}-slim
# LightGBM's wheel wants the system's OpenMP
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && install --directory --mode=0700 --owner=10001 --group=10001 /data
COPY --from=build /opt/karat /opt/karat
# all that Karat keeps is below /data; what it can make anew is in /tmp
ENV PATH=/opt/karat/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/tmp KARAT_CACHE=/tmp/karat XDG_STATE_HOME=/data/.karat/state
USER 10001:10001
VOLUME /data
WORKDIR /data
EXPOSE 8321
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8321/healthz', timeout=4)"]
ENTRYPOINT ["karat"]
CMD ["serve", "/data/runs", "--root", "/data", "--host", "0.0.0.0"]

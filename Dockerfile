# sr3 web on a CPU, not as root:
#   docker build -t sr3 . && docker run -p 8008:8008 -v sr3:/data -e SR3_TOKEN=... sr3
FROM python:3.12-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM python:3.12-slim
COPY --from=build /wheels /wheels
# PyTorch for CPUs is a tenth of the size of the usual one
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.8,<2.14" \
    && pip install --no-cache-dir "$(echo /wheels/sr3-*.whl)[web]" \
    && rm -r /wheels \
    && useradd --uid 1000 --create-home sr3 \
    && install -d -o sr3 /data
USER sr3
VOLUME /data
EXPOSE 8008
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8008/healthz')"]
# an exec form, so that SIGTERM reaches it
CMD ["sr3", "web", "--no-open", "--host", "0.0.0.0", "--folder", "/data"]

# The image of every Ragwork service: `ragwork serve`, `ragwork worker`, `ragwork migrate`.
# The base is named by its full version; where you can look its digest up, append it (`@sha256:…`).

FROM python:3.11.15-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
WORKDIR /src
COPY requirements-bootstrap.txt requirements.txt pyproject.toml README.md ./
RUN pip install --no-cache-dir --require-hashes -r requirements-bootstrap.txt
COPY src ./src
COPY hooks ./hooks
COPY toolkit ./toolkit
COPY kernel ./kernel
COPY cli ./cli
COPY plugins ./plugins
RUN for member in hooks toolkit kernel cli plugins/*/ .; do \
      uv build --quiet --wheel --no-sources --out-dir /wheels "$member" || exit 1; \
    done
# As constraints the pins and their hashes hold for what the wheels need, and leave out the test tools.
RUN python -m venv /app \
 && uv pip install --python /app/bin/python --verify-hashes --constraint requirements.txt /wheels/*.whl

FROM python:3.11.15-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin ragwork \
 && install -d -o ragwork -g ragwork -m 0700 /data
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 RAGWORK_DATA_DIR=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v1/health', timeout=2)"]
ENTRYPOINT ["ragwork"]
CMD ["serve", "--host", "0.0.0.0"]

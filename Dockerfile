# The engine with offline speech, run by nobody in particular. Needs a Postgres: set DATABASE_URL (see compose.yaml).
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p parlance

FROM debian:bookworm-slim
# What the offline providers open when they start: a transcriber with its English model, and two voices.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpocketsphinx3 pocketsphinx-en-us libflite1 espeak-ng \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/parlance --create-home parlance
COPY --from=build /src/target/release/parlance /usr/local/bin/parlance
USER 10001
# The first key and recordings. Whoever mounts a folder of the host here gives it to user 10001.
VOLUME /var/lib/parlance
WORKDIR /var/lib/parlance
ENV HOST=0.0.0.0 PORT=8080 PARLANCE_DATA_DIR=/var/lib/parlance PARLANCE_LOG_FORMAT=json
EXPOSE 8080
# Asks the engine at HOST and PORT; the image has no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["parlance", "health"]
ENTRYPOINT ["parlance"]
CMD ["serve"]

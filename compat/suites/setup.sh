# What the suites' programs share; to be sourced. Everything they fetch is kept in the cache directory, never here.

suites=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/veddb-suites
mkdir -p "$cache"
source "$suites/../../.ci/tools.sh"

# ready NAME VERSION : whether the cache has this version of a suite; otherwise its directory is emptied.
ready() {
    if [ "$(cat "$cache/$1/installed" 2>/dev/null)" = "$2" ]; then return 0; fi
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1"
    return 1
}

# installed NAME VERSION
installed() { echo "$2" >"$cache/$1/installed"; }

# skips FILE : the names and /patterns in a file of skips, without reasons.
skips() { sed -e '/^#/d' -e '/^= /d' -e '/^$/d' "$1"; }

# python_suite NAME VERSION REQUIREMENT.. : a virtual environment in the suite's directory.
python_suite() {
    local name=$1
    shift
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then apt_install python3 python3-venv; fi
    python3 -m venv "$cache/$name/venv"
    "$cache/$name/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# source_distribution NAME PACKAGE==VERSION : a Python package's source with its tests, in the suite's source directory.
source_distribution() {
    mkdir -p "$cache/$1/source" "$cache/$1/download"
    "$cache/$1/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$cache/$1/download" "$2"
    tar xzf "$cache/$1"/download/*.tar.gz -C "$cache/$1/source" --strip-components 1
}

# node_suite NAME PACKAGE@VERSION.. : packages of the npm registry in the suite's directory.
node_suite() {
    local name=$1
    shift
    node_tools
    (cd "$cache/$name" && echo '{"private":true}' >package.json && npm install --silent --ignore-scripts --no-audit --no-fund "$@" >/dev/null)
}

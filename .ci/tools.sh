# What the gate, ./test and compat/run need beside a Rust toolchain; sourced by them at the root of the repository.
# Installs only what is missing.

step() { printf '\n== %s\n' "$*"; }

# apt_install PACKAGE...
apt_install() {
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@"
}

redis_tools() {
    if ! command -v redis-cli >/dev/null || ! command -v redis-benchmark >/dev/null; then
        step "installing redis-tools"
        apt_install redis-tools
    fi
}

node_tools() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        step "installing Node.js and npm"
        apt_install nodejs npm
    fi
}

openssl_tools() {
    if ! command -v openssl >/dev/null; then
        step "installing openssl"
        apt_install openssl
    fi
}

chromium_tools() {
    if ! command -v chromium >/dev/null; then
        step "installing chromium"
        # Some distributions have it only as a package of another kind; the checks then say that they were left out.
        apt_install chromium fonts-dejavu-core || true
    fi
}

# Taken out of Debian's packages, which are not installed: they would start servers.
prometheus_tools() {
    export PATH="$PATH:$PWD/.prometheus/usr/bin"
    if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null || ! command -v prometheus-redis-exporter >/dev/null; then
        step "unpacking Prometheus and its exporter for Redis"
        local package sudo=()
        if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
        "${sudo[@]}" apt-get update -qq
        rm -rf .prometheus
        mkdir .prometheus
        (cd .prometheus && apt-get download -qq prometheus prometheus-redis-exporter)
        for package in .prometheus/*.deb; do dpkg -x "$package" .prometheus; done
        rm .prometheus/*.deb
    fi
}

# Makes .venv with compat's Python clients and the spelling checker, once for each version of requirements.txt.
python_tools() {
    local wanted=compat/requirements.txt
    if ! cmp -s "$wanted" .venv/requirements.txt; then
        step "making .venv"
        if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then apt_install python3 python3-venv; fi
        rm -rf .venv
        python3 -m venv .venv
        .venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted"
        cp "$wanted" .venv/requirements.txt
    fi
}

# The directory that cargo builds into, wherever the environment has put it.
target_directory() {
    cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

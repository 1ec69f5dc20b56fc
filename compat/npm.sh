# What the clients in JavaScript start with; sourced in the client's directory, with node_least set where 18 is too old. Installs
# the packages of its lock file, once for each.
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt "${node_least:-18}" ]; then
    echo "FAIL Node.js: ${node_least:-18} or later is needed, this is $(node --version)"
    exit
fi
if ! cmp -s package-lock.json node_modules/package-lock.json; then
    npm ci --silent --ignore-scripts --no-audit --no-fund >/dev/null
    cp package-lock.json node_modules/package-lock.json
fi

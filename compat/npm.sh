# What the clients in JavaScript start with; sourced in the client's directory. Installs the packages of its lock file, once for each.
if ! cmp -s package-lock.json node_modules/package-lock.json; then
    npm ci --silent --ignore-scripts --no-audit --no-fund >/dev/null
    cp package-lock.json node_modules/package-lock.json
fi

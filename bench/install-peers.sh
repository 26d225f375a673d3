#!/bin/sh
# Installs the peers that HSU Master is measured beside: s6, runit, supervisord
# and monit from Debian, circus from PyPI, pm2 from npm, horust from crates.io.
#
#   bench/install-peers.sh FOLDER     installs; Debian's parts need root
#   . FOLDER/environment              lets the comparison harness find them
#
# What comes from language registries goes into FOLDER and nowhere else. A peer
# that cannot be installed is named at the end and left out; the harness lists
# what it found with `--list`.
set -u

folder=${1:?usage: bench/install-peers.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
failed=

sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

# No service may start, nor be enabled for the next boot.
debian() {
    policy=/usr/sbin/policy-rc.d
    ours=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null && $sudo chmod 755 $policy && ours=1
    fi
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 update &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 \
            install -y --no-install-recommends "$@"
    status=$?
    [ -z "$ours" ] || $sudo rm -f $policy
    if [ -d /run/systemd/system ]; then
        for unit in supervisor monit; do $sudo systemctl disable --now $unit 2>/dev/null; done
    fi
    return $status
}

try() {
    name=$1
    shift
    echo "== $name"
    "$@" || failed="$failed $name"
}

circus() {
    python3 -m venv "$folder/python" && "$folder/python/bin/pip" install --quiet circus
}

pm2() {
    npm install --silent --no-fund --no-audit --prefix "$folder/node" pm2
}

horust() {
    cargo install --quiet --locked --root "$folder/cargo" horust &&
        rm -rf "$folder/cargo-build"
}

CARGO_TARGET_DIR=$folder/cargo-build
export CARGO_TARGET_DIR

try debian debian gcc libc6-dev s6 runit supervisor monit
try circus circus
try pm2 pm2
try horust horust

cat >"$folder/environment" <<END
export PATH="$folder/python/bin:$folder/node/node_modules/.bin:$folder/cargo/bin:\$PATH"
END
if [ -n "$failed" ]; then
    echo "not installed:$failed"
    exit 1
fi
echo "all peers are installed; now: . $folder/environment"

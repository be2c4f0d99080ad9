#!/bin/sh
# Sets up a virtual environment for the checkout: setup.sh PYTHON VENV
# On Debian, as root, it installs the system libraries that are missing; otherwise it names the exact line.
set -eu
python=$1
venv=$2

say() { printf 'setup: %s\n' "$*" >&2; }

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    say "$("$python" --version) is not supported; take Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 ..."
    exit 1
}

missing=""
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ "$(uname -s)" = Linux ] && [ -z "${FUSION_NO_APT:-}" ]; then
    # What open3d (libusb, GL, EGL, OpenMP) and sounddevice (PortAudio) load at run time.
    for pair in libusb-1.0.so.0:libusb-1.0-0 libGL.so.1:libgl1 libEGL.so.1:libegl1 libgomp.so.1:libgomp1 \
        libportaudio.so.2:libportaudio2; do
        "$python" -c "import ctypes; ctypes.CDLL('${pair%%:*}')" 2>/dev/null || missing="$missing ${pair#*:}"
    done
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing$missing"
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } >&2 ||
            say "apt could not install$missing; going on without"
    else
        say "missing system packages; on Debian or Ubuntu run: sudo apt install$missing"
    fi
fi

[ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || {
    rm -rf "$venv"
    "$python" -m venv "$venv" || { say "cannot make $venv; on Debian or Ubuntu run: sudo apt install python3-venv"; exit 1; }
}
say "installing the Python packages into $venv; the first time takes some minutes"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev,live]'

#!/bin/sh
# make_venv.sh PYTHON FOLDER: a virtual environment with pip, installing Debian's python3-venv when
# the Python found is Debian's and lacks it.
set -eu
python=$1
folder=$2
needed=3500 # MB, most of it TensorFlow

[ -x "$folder/bin/pip" ] && exit 0
if ! command -v "$python" >/dev/null; then
    "$(dirname "$0")/install_packages.sh" python3 python3-venv
fi
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
    echo "$("$python" --version) is not among the supported 3.10 to 3.13." >&2
    echo "Name another one: make PYTHON=python3.12 ..." >&2
    exit 1
}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    "$(dirname "$0")/install_packages.sh" python3-venv
fi
rm -rf "$folder"
free=$(df -Pk "$(dirname "$folder")" | awk 'NR == 2 { print int($4 / 1024) }')
if [ "$free" -lt "$needed" ]; then
    echo "Only $free MB are free for $folder, and it takes about $needed MB." >&2
fi
"$python" -m venv "$folder"

#!/bin/sh
# Installs the bundle that this file is in, without any network: sh install.sh DIRECTORY [UNIT-DIRECTORY]
#
# DIRECTORY, such as /opt/onnx-kafka-edge, gets releases/RELEASE (an environment, the model, the units), and `current`,
# which leads to it once all of it is there. UNIT-DIRECTORY, such as /etc/systemd/system, gets the systemd units.
set -eu
umask 022  # the units run their apps as a user of their own

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

if [ $# -lt 1 ] || [ $# -gt 2 ] || [ -z "$1" ]; then
    echo "usage: sh install.sh DIRECTORY [UNIT-DIRECTORY]" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)

# Nothing of the bundle is used before it is known to be whole.
command -v sha256sum >/dev/null || fail "there is no sha256sum here: install coreutils"
[ -f "$here/SHA256SUMS" ] || fail "$here is no whole bundle, it has no SHA256SUMS: unpack the archive again"
if ! checked=$(cd "$here" && LC_ALL=C sha256sum -c SHA256SUMS 2>/dev/null); then
    bad=$(echo "$checked" | sed -n 's/: FAILED.*//p' | tr '\n' ' ')
    fail "damaged or missing: ${bad:-SHA256SUMS }- copy the archive once more, and compare its own checksum first"
fi
. "$here/about"

machine=$(uname -m)
[ "$machine" = "$ARCH" ] ||
    fail "this bundle is for $ARCH, and this machine is $machine: make one with \`make bundle ARCH=$machine\`"

# The first Python for which there are wheels; PYTHON=/path/to/python names another.
python= found=
for name in ${PYTHON:-python3 $(for one in $PYTHONS; do echo "python$one"; done)}; do
    version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    found="$found $name is $version,"
    case " $PYTHONS " in *" $version "*) python=$name && break ;; esac
done
[ -n "$python" ] || fail "this bundle needs a Python of ${PYTHONS} here (found:${found:- none,} no other): install one," \
    "or make a bundle with \`make bundle ARCH=$ARCH PYTHONS=…\`"
set -- "$1" "${2:-}" $("$python" -c 'import platform, struct
name, version = platform.libc_ver()
print(struct.calcsize("P") * 8, name or "musl", version or "0.0")')
[ "$3" = 64 ] || fail "$python is a program of $3 bits on a machine of 64: install a system of 64 bits"
[ "$4" = glibc ] || fail "this system has the C library $4, and the wheels need glibc: use Debian, Ubuntu or the like"
[ "${5%%.*}" -gt 2 ] || [ "${5#*.}" -ge 28 ] || fail "the wheels need glibc 2.28, this system has $5: install a newer one"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make an environment: install its venv (Debian: apt install python3-venv)"
if [ -n "$2" ]; then
    real=$("$python" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')
    case "$real" in
    /home/* | /root/* | /run/user/*) fail "$python is $real, and units see nothing in anybody's home: install a Python of" \
        "the system (Debian: apt install python3-venv), or name one with PYTHON=/path/to/python3" ;;
    esac
fi

mkdir -p "$1" 2>/dev/null && [ -w "$1" ] || fail "cannot write to $1: run this as root, or name another directory"
target=$(cd "$1" && pwd)
case "$target" in
*[!A-Za-z0-9/._+-]*) fail "$target: units need a path of letters, digits and /._+- only" ;;
esac
free=$(df -Pm "$target" | awk 'NR == 2 {print $4}')
[ "$free" -ge "$NEEDS_MB" ] || fail "$target has $free MB of free disk; $NEEDS_MB MB are needed"
mkdir "$target/installing" 2>/dev/null ||
    fail "another install.sh is at work in $target; if none is, one was killed: rmdir $target/installing"
release=$target/releases/$VERSION-$(sha256sum <"$here/SHA256SUMS" | cut -c 1-12)
trap 'rmdir "$target/installing"; [ -e "$release/complete" ] || rm -rf "$release"' EXIT
trap 'exit 1' HUP INT TERM

# As the classifier does: the model's golden inputs must give on this machine what they gave at export.
answers() {
    "$release/venv/bin/python" -c 'import pathlib, sys
from edge.model import load_model
load_model(pathlib.Path(sys.argv[1]))' "$release/model.onnx"
}

# A release that is whole may have lost its Python since, by an upgrade of the system: then it is made again.
if [ -e "$release/complete" ] && answers 2>/dev/null; then
    echo "$release is there already"
else
    rm -rf "$release"
    mkdir -p "$release/units"
    "$python" -m venv "$release/venv" || fail "$python could not make an environment, as said above"
    # By their hashes, so that no file is taken that somebody has put beside them.
    "$release/venv/bin/python" -m pip --isolated --disable-pip-version-check install --quiet --no-index --no-cache-dir \
        --only-binary :all: --find-links "$here/wheels" --require-hashes -r "$here/requirements.txt" ||
        fail "installing the wheels failed, as said above"
    cp "$here/model.onnx" "$here/edge.env" "$release/"
    chmod 644 "$release/model.onnx" "$release/edge.env"  # whoever unpacked it may have let nobody else read them
    cp -R "$here/credentials" "$release/units/"
    for unit in "$here"/*.service; do
        sed "s|/opt/onnx-kafka-edge|$target|g" "$unit" >"$release/units/${unit##*/}"
    done
    answers || fail "the model does not run here, as said above"
    sync  # a device may lose power right after this
    : >"$release/complete"
fi

# Replaced at once: an app that starts meanwhile sees the old release or the new one.
"$python" -c 'import os, sys
os.path.lexists(sys.argv[2]) and os.unlink(sys.argv[2])
os.symlink(sys.argv[1], sys.argv[2])
os.replace(sys.argv[2], sys.argv[3])' "releases/${release##*/}" "$target/current.new" "$target/current"
sync
if [ -n "$2" ]; then
    mkdir -p "$2" && cp "$release/units/"*.service "$2/" || fail "cannot write the units to $2"
fi
echo "installed: $target/current/venv/bin/edge-classifier --model $target/current/model.onnx"

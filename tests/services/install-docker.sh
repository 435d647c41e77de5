#!/bin/sh
# Installs what the tests with containers need: Docker Engine, a registry, and a base image made from Debian's packages, because
# no public registry may be in reach. Only for root on Debian; elsewhere it says why not, and the tests skip themselves (in CI
# they fail). Quick when it is all there.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/batchctl-tests
authorities=/etc/ssl/certs/ca-certificates.crt
. /etc/os-release 2>/dev/null || ID=unknown

if [ "$(id -u)" != 0 ] || [ "$ID" != debian ]; then
    echo "tests with containers: nothing installed, this is not root on Debian; with a Docker Engine running they pull their base image"
    exit 0
fi

missing=
for program in dockerd docker-registry debootstrap iptables; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ -n "$missing" ]; then
    echo "tests with containers: installing$missing"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        docker.io docker-registry debootstrap iptables ca-certificates >/dev/null
fi

# The machine's certificate authorities are part of the image, so that pip works inside: other ones, another image.
base=$cache/base-$VERSION_CODENAME-$(cksum <"$authorities" | cut -d' ' -f1).tar
if [ ! -s "$base" ]; then
    echo "tests with containers: making the base image from Debian $VERSION_CODENAME, about a minute"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/base.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$VERSION_CODENAME" "$work/root" >"$work/log" ||
        { cat "$work/log"; exit 1; }
    cp "$authorities" "$work/root$authorities"
    ln -s /usr/bin/python3 "$work/root/usr/local/bin/python"
    rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
    tar -C "$work/root" -cf "$work/base.tar" .
    mv "$work/base.tar" "$base"
fi

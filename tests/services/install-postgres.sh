#!/bin/sh
# Installs PostgreSQL's server programs, where that is possible: root on Debian. Elsewhere the tests use one that is there, or
# skip themselves (in CI they fail). The tests start a cluster of their own.
set -eu
. /etc/os-release 2>/dev/null || ID=unknown
if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || [ "$ID" != debian ]; then
    echo "tests with PostgreSQL: nothing installed, this is not root on Debian"
    exit 0
fi
echo "tests with PostgreSQL: installing it"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >/dev/null

#!/bin/sh
# Installs two ODBC drivers, PostgreSQL's and SQLite's, where that is possible: root on Debian. Elsewhere the tests use those that
# odbcinst.ini names, or skip themselves (in CI they fail).
set -eu
. /etc/os-release 2>/dev/null || ID=unknown
drivers=$(cat /etc/odbcinst.ini 2>/dev/null || true)
case "$drivers" in *"[PostgreSQL Unicode]"*) case "$drivers" in *"[SQLite3]"*) exit 0 ;; esac ;; esac
if [ "$(id -u)" != 0 ] || [ "$ID" != debian ]; then
    echo "tests with ODBC: nothing installed, this is not root on Debian"
    exit 0
fi
echo "tests with ODBC: installing its drivers"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends unixodbc odbc-postgresql libsqliteodbc >/dev/null

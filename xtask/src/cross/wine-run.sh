#!/bin/sh
# Runs a program for Windows by the Wine of another Debian. $1 is the folder of that Debian, $2 and $3 are
# directories that are to be seen there, what follows is the program with its arguments.
set -eu
FOLDER=$1
SEEN="/proc /dev /tmp $2 $3"
export FOLDER SEEN
shift 3
# The mounts are in a namespace of our own, which ends with the program.
exec unshare --mount --propagation private sh -euc '
    for directory in $SEEN; do
        mkdir -p "$FOLDER$directory"
        mount --rbind "$directory" "$FOLDER$directory"
    done
    exec chroot "$FOLDER" /usr/bin/env --chdir="$PWD" HOME=/root WINEPREFIX=/var/wine \
        WINEDLLOVERRIDES="pdh=n" WINEDEBUG="${WINEDEBUG:--all}" /usr/lib/wine/wine64 "$@"
' sh "$@"

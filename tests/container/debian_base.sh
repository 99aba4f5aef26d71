#!/bin/sh
# Makes the bases of the tested images: Debian 12 with Python 3.11 (base.tar), and the same with what
# builds on it (build-base.tar). Needs root and debootstrap.
#
#     debian_base.sh FOLDER [MIRROR]
set -eu
folder=$1
mirror=${2:-http://deb.debian.org/debian}
mkdir -p "$folder"
root=$(mktemp -d "$folder/root.XXXXXX")
trap 'rm -rf "$root"' EXIT

pack() {
    # What public images of Debian leave out, too.
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
    rm -rf "$root"/usr/share/man "$root"/usr/share/info "$root"/usr/share/locale
    find "$root/usr/share/doc" ! -type d ! -name copyright -delete
    tar -C "$root" -cf "$folder/$1.partial" .
    mv "$folder/$1.partial" "$folder/$1"
}

debootstrap --variant=minbase --include=python3 bookworm "$root" "$mirror"
pack base.tar
chroot "$root" apt-get update
chroot "$root" apt-get install --yes --no-install-recommends binutils python3-venv
pack build-base.tar

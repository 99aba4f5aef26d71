#!/bin/sh
# Install what the clients in Go, Java and C++ are built with, from Debian's packages (12 or newer).
set -eu
packages="
golang-go golang-google-grpc-dev golang-google-protobuf-dev golang-google-genproto-dev protoc-gen-go protoc-gen-go-grpc
default-jdk-headless libgrpc-java libprotobuf-java libgoogle-gson-java libperfmark-java libguava-java
libnetty-java libnetty-tcnative-java libgeronimo-annotation-1.3-spec-java junit4
protobuf-compiler-grpc-java-plugin
g++ cmake libgrpc++-dev protobuf-compiler-grpc
protobuf-compiler libprotobuf-dev make pkg-config
"
# shellcheck disable=SC2086 # words, on purpose
if dpkg-query -W -f '${Status}\n' $packages 2>&1 | grep -qv '^install ok installed'; then
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends $packages
fi

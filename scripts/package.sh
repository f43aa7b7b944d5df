#!/usr/bin/env bash
# Builds the Debian package: scripts/package.sh [amd64|arm64|armhf] [REVISION]. Without the demo's own broker.
# For arm64 and armhf: rustup target add, and Debian's gcc-aarch64-linux-gnu or gcc-arm-linux-gnueabihf.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:-amd64}
revision=${2:-1}
case $arch in
    amd64) target=x86_64-unknown-linux-gnu gcc=gcc ;;
    arm64) target=aarch64-unknown-linux-gnu gcc=aarch64-linux-gnu-gcc ;;
    armhf) target=armv7-unknown-linux-gnueabihf gcc=arm-linux-gnueabihf-gcc ;;
    *) echo "package.sh: amd64, arm64 or armhf" >&2; exit 64 ;;
esac
command -v "$gcc" > /dev/null || { echo "package.sh: $gcc is missing: apt install it" >&2; exit 75; }
rustup target list --installed | grep -qx "$target" || { echo "package.sh: rustup target add $target" >&2; exit 75; }
if ! command -v cargo-deb > /dev/null; then
    cargo install cargo-deb --version 3.6.2 --locked --debug --quiet --target-dir target/cargo-deb
fi
name=${target//-/_}
export "CARGO_TARGET_${name^^}_LINKER=$gcc" "CC_$name=$gcc"
cargo build --release --no-default-features --quiet --target "$target"
# Libraries by hand: nothing but the C library is linked, and a foreign one cannot be asked.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
package=target/packages/plantroom_$version-${revision}_$arch.deb
mkdir -p target/packages
cargo deb --no-build --no-strip --quiet --target "$target" --deb-revision "$revision" --output "$package"
ls -l "$package"

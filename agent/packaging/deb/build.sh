#!/bin/sh
# Builds sallyport-agent_VERSION_ARCH.deb from a binary: a static one, or one that needs glibc, which is then declared.
#
#   agent/packaging/deb/build.sh BINARY VERSION ARCH OUTPUT_DIRECTORY
#
# The same input gives the same bytes: set SOURCE_DATE_EPOCH to the commit's time.
set -eu

if [ $# -ne 4 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
binary=$1 version=$2 arch=$3 output=$4
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
: "${SOURCE_DATE_EPOCH:=0}"
export SOURCE_DATE_EPOCH

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"

install -D -m 0755 "$binary" "$root/usr/bin/sallyport-agent"
install -D -m 0644 "$here/../sallyport-agent.service" "$root/usr/lib/systemd/system/sallyport-agent.service"
install -d -m 0750 "$root/etc/sallyport"
install -m 0644 "$here/../agent.yaml" "$root/etc/sallyport/agent.yaml"
install -D -m 0644 "$here/copyright" "$root/usr/share/doc/sallyport-agent/copyright"

# The newest glibc symbol decides the oldest system it runs on; a static binary names none.
depends=adduser
glibc=$(objdump -T "$binary" 2> /dev/null | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1 | sed 's/GLIBC_//')
if [ -n "$glibc" ]; then
    depends="adduser, libc6 (>= $glibc), libgcc-s1"
fi

install -d -m 0755 "$root/DEBIAN"
for script in postinst prerm postrm; do
    install -m 0755 "$here/$script" "$root/DEBIAN/$script"
done
install -m 0644 "$here/conffiles" "$root/DEBIAN/conffiles"
size=$(find "$root" -path "$root/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib + 0 }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" -e "s/@DEPENDS@/$depends/" "$here/control" > "$root/DEBIAN/control"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | LC_ALL=C sort | xargs md5sum) > "$root/DEBIAN/md5sums"
chmod 0644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"

mkdir -p "$output"
dpkg-deb --root-owner-group -Zxz --build "$root" "$output/sallyport-agent_${version}_${arch}.deb"

# Boots this system's systemd as the first process of namespaces of its own: sh boot.sh ROOT BUNDLE GROUP, as root.
#
# ROOT, an empty directory, becomes this system's files with all changes kept in memory; nothing is started there but
# the journal, and BUNDLE is in /srv/bundle. GROUP, an empty cgroup, is for its processes. The network is the caller's.
set -eu

if [ "${1:-}" != init ]; then
    # A group of its own, in which systemd may make more; the namespace makes it the root of all groups.
    echo $$ >"$3/cgroup.procs"
    exec unshare --cgroup --mount --pid --uts --ipc --fork --kill-child sh "$0" init "$1" "$2"
fi

root=$2 bundle=$3
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir "$root/changes" "$root/work" "$root/new"
mount -t overlay -o "lowerdir=/,upperdir=$root/changes,workdir=$root/work" overlay "$root/new"
mkdir -p "$root/new/srv/bundle"
mount --bind "$bundle" "$root/new/srv/bundle"
cd "$root/new"
mount -t proc proc proc
# The kernel's settings are everybody's.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

rm -rf etc/systemd/system etc/onnx-kafka-edge opt/onnx-kafka-edge
mkdir -p etc/systemd/system etc/onnx-kafka-edge
cat >etc/systemd/system/device.target <<'END'
[Unit]
Wants=systemd-journald.service
END
echo 0123456789abcdef0123456789abcdef >etc/machine-id

mkdir -p old
pivot_root . old
umount -l old
# As systemd itself makes it where it is no container's: what a helper of it mounts, such as credentials, is seen by all.
mount --make-rshared /
for systemd in /usr/lib/systemd/systemd /lib/systemd/systemd; do
    [ ! -x $systemd ] || exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        $systemd --system --unit=device.target
done

#!/bin/sh
# The first process of the guest: makes the kernel's trees, runs one program, powers off.
# The kernel passes on what it does not know itself as variables:
#   HSU_FOLDER    a folder of the host for the answer
#   HSU_PROGRAMS  the target folder of the host
#   HSU_CGROUPS   v2, hybrid or v1
# The program and its arguments are in HSU_FOLDER/run, its output goes to HSU_FOLDER/out.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t hostfs -o "$HSU_FOLDER" none /mnt
mount -t hostfs -o "$HSU_PROGRAMS" none /media
# Whatever is written lies on a disk of the guest: the host's own files are read only.
mount /dev/ubda /tmp
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/tmp
swapon /dev/ubdb
ip link set lo up
case "$HSU_CGROUPS" in
v2)
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ;;
*)
    mount -t tmpfs tmpfs /sys/fs/cgroup
    for each in memory cpu,cpuacct pids blkio freezer; do
        mkdir "/sys/fs/cgroup/$each"
        mount -t cgroup -o "$each" cgroup "/sys/fs/cgroup/$each"
    done
    if [ "$HSU_CGROUPS" = hybrid ]; then
        mkdir /sys/fs/cgroup/unified
        mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    fi
    ;;
esac
cd /tmp
sh /mnt/run >/mnt/out 2>&1 </dev/null
echo $? >/mnt/code
sync
echo o >/proc/sysrq-trigger
sleep 60

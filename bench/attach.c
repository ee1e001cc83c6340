// Attaches a btrfs image to a loop device that goes with its last user, and mounts it: attach IMAGE DIRECTORY.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    int image = open(argv[1], O_RDWR | O_CLOEXEC), control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    char path[32];
    snprintf(path, sizeof path, "/dev/loop%d", number);
    int device = open(path, O_RDWR | O_CLOEXEC);
    struct loop_config config;
    memset(&config, 0, sizeof config);
    config.fd = image;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    if (image < 0 || number < 0 || device < 0 || ioctl(device, LOOP_CONFIGURE, &config) < 0) return perror(path), 1;
    if (mount(path, argv[2], "btrfs", 0, "discard=async") < 0) return perror("mount"), 1;
    return 0;
}

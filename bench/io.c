// Writes into a file of the working directory: "seq" 256 MiB at once and to the disk, in MB/s; "sync" 16 KiB pieces at random
// places of 64 MiB, each to the disk, for three seconds, in pieces a second; "gap" nothing, but looks at the clock for so many
// seconds and says the longest time in which it did not, in ms; "touch" holds so many MB of memory that has been written to.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void need(int good, const char *what) {
    if (good) return;
    perror(what);
    exit(1);
}

static uint64_t seed = 88172645463325252u;
static uint64_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "gap")) {
        double end = now() + atof(argv[2]), last = now(), longest = 0;
        while (last < end) {
            double t = now();
            if (t - last > longest) longest = t - last;
            last = t;
        }
        printf("%.3f\n", longest * 1e3);
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "touch")) {
        size_t count = strtoul(argv[2], NULL, 10) * 1000000 / 8;
        uint64_t *memory = malloc(count * 8);
        need(memory != NULL, "malloc");
        for (size_t i = 0; i < count; i++) memory[i] = next();
        need(close(open("touched", O_WRONLY | O_CREAT, 0600)) == 0, "touched");
        for (;;) sleep(1000);
    }
    need(argc == 2, "usage: io seq|sync");
    static uint64_t data[1 << 17];
    for (size_t i = 0; i < sizeof data / 8; i++) data[i] = next();
    int fd = open("bench.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    need(fd >= 0, "open");
    double start = now();
    if (!strcmp(argv[1], "seq")) {
        for (int i = 0; i < 256; i++) need(write(fd, data, sizeof data) == sizeof data, "write");
        need(fsync(fd) == 0, "fsync");
        printf("%.1f\n", 256 * 1.048576 / (now() - start));
    } else {
        for (int i = 0; i < 64; i++) need(write(fd, data, sizeof data) == sizeof data, "write");
        need(fsync(fd) == 0, "fsync");
        long count = 0;
        start = now();
        while (now() - start < 3) {
            need(pwrite(fd, data, 16384, (next() % 4096) * 16384) == 16384, "pwrite");
            need(fdatasync(fd) == 0, "fdatasync");
            count++;
        }
        printf("%.1f\n", count / (now() - start));
    }
    unlink("bench.data");
    return 0;
}

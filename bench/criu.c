// criu of ctr's prefix, and how long it takes: for the setting `criu` of a bench's ctr. Each dump and restore adds a line to
// `criu.times` beside this program: what it was, and its milliseconds from execve(2) to its end.
#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "/usr/local/lib/ctr/criu/usr"

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

// By a process that is neither criu's child nor its parent: criu waits for any child, and what it restores is its sibling.
static int watch(const char *what, pid_t criu, double begin) {
    // Among them the locks that criu is to hold.
    if (close_range(0, ~0U, 0)) return 1;
    struct pollfd end = {.fd = syscall(SYS_pidfd_open, criu, 0), .events = POLLIN};
    if (end.fd < 0 || poll(&end, 1, -1) != 1) return 1;
    double time = now() - begin;
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 8);
    if (length < 0) return 1;
    strcpy(path + length, ".times");
    FILE *file = fopen(path, "a");
    return !file || fprintf(file, "%s %.3f\n", what, time) < 0 || fclose(file);
}

int main(int count, char **words) {
    char *command[count + 4];
    command[0] = PREFIX "/lib64/ld-linux-x86-64.so.2";
    command[1] = "--library-path";
    command[2] = PREFIX "/lib/x86_64-linux-gnu";
    command[3] = PREFIX "/sbin/criu";
    // With the null pointer after them.
    memcpy(command + 4, words + 1, count * sizeof *words);
    if (count > 1 && (!strcmp(words[1], "dump") || !strcmp(words[1], "restore"))) {
        pid_t self = getpid(), child = fork();
        if (child < 0) return 1;
        if (child == 0) {
            child = fork();
            _exit(child == 0 ? watch(words[1], self, now()) : child < 0);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status) return 1;
    }
    execv(command[0], command);
    return 127;
}

// One TCP stream: "serve PORT" takes one connection and says by how many MB/s it came in; "send ADDRESS PORT SECONDS" fills it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char block[1 << 17];

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

int main(int argc, char **argv) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    need(s >= 0, "socket");
    if (argc == 3 && !strcmp(argv[1], "serve")) {
        at.sin_port = htons(atoi(argv[2]));
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        need(!bind(s, (void *)&at, sizeof at) && !listen(s, 1), "listen");
        puts("ready");
        fflush(stdout);
        int c = accept(s, NULL, NULL);
        need(c >= 0, "accept");
        double start = 0, total = 0;
        for (ssize_t n; (n = recv(c, block, sizeof block, 0)) > 0; total += n)
            if (!start) start = now();
        printf("%.1f\n", total / (now() - start) / 1e6);
        return 0;
    }
    need(argc == 5 && !strcmp(argv[1], "send"), "usage: stream serve PORT | send ADDRESS PORT SECONDS");
    need(inet_pton(AF_INET, argv[2], &at.sin_addr) == 1, argv[2]);
    at.sin_port = htons(atoi(argv[3]));
    need(!connect(s, (void *)&at, sizeof at), "connect");
    for (double end = now() + atof(argv[4]); now() < end;)
        need(send(s, block, sizeof block, 0) > 0, "send");
    return 0;
}

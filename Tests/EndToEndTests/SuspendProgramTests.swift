import Glibc
import Testing

/// A program that has one of everything that processes wait on and share, suspended and resumed.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: access("/usr/bin/gcc", X_OK) == 0, "no gcc"))
struct SuspendProgramTests {
    @Test func everyKindOfDescriptorGoesOn() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.write("all.c", SuspendProgramTests.source)
            try f.sh("gcc -O1 -Wall -Werror -static -pthread -o all all.c", timeout: 60).succeeds()
            try f.start(f.program, ["create", n, "--template", "minimal", "--disk", "none"]).wait().succeeds()
            try f.ctr("start", n).succeeds()
            try f.ctr("exec", n, "--", "mkdir", "-p", "/root/watched").succeeds()
            try f.ctr("cp", "\(f.path)/all", "\(n):/root/all").succeeds()
            try f.ctr(
                "exec", n, "--", "sh", "-c", "setsid /root/all </dev/null >/root/out 2>&1 & sleep 0.3"
            ).succeeds()
            #expect(
                try until(10) { try f.ctr("exec", n, "--", "cat", "/root/out").out == "ready\n" })
            for _ in 1...2 {
                try f.ctr("suspend", n).succeeds()
                try f.ctr("resume", n).succeeds()
            }
            try f.ctr("exec", n, "--", "sh", "-c", "touch /root/watched/new; touch /root/go").succeeds()
            #expect(try until(20) { try f.ctr("exec", n, "--", "cat", "/root/out").out.contains("end\n") })
            let lines = try f.ctr("exec", n, "--", "cat", "/root/out").succeeds().lines
            let parts = [
                "in flight", "unix", "inotify", "epoll", "timerfd", "its ticks", "its period", "eventfd", "signalfd",
                "memfd", "shared memory",
                "System V", "thread", "zombie",
            ]
            #expect(lines == ["ready"] + parts.map { "ok \($0)" } + ["end"], "\(lines)")
        }
    }

    private static let source = #"""
        #define _GNU_SOURCE
        #include <poll.h>
        #include <pthread.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdint.h>
        #include <string.h>
        #include <sys/epoll.h>
        #include <sys/eventfd.h>
        #include <sys/inotify.h>
        #include <sys/mman.h>
        #include <sys/shm.h>
        #include <sys/signalfd.h>
        #include <sys/socket.h>
        #include <sys/timerfd.h>
        #include <sys/wait.h>
        #include <unistd.h>

        static volatile int beats;
        static void *beat(void *none) { for (;;) { beats++; usleep(20000); } return none; }
        static void is(int ok, const char *what) { dprintf(1, "%s %s\n", ok ? "ok" : "BAD", what); }

        int main(void) {
            int sides[2], pair[2];
            char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x', text[64] = {0};
            struct iovec part = {&byte, 1};
            struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                                     .msg_controllen = sizeof control};
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, sides) || pipe(pair)) return 1;
            if (write(pair[1], "flying", 6) != 6) return 1;
            struct cmsghdr *head = CMSG_FIRSTHDR(&message);
            head->cmsg_level = SOL_SOCKET; head->cmsg_type = SCM_RIGHTS; head->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(head), pair, sizeof(int));
            if (sendmsg(sides[0], &message, 0) != 1) return 1;
            close(pair[0]);
            if (write(sides[1], "back", 4) != 4) return 1;

            int watch = inotify_init1(IN_NONBLOCK);
            if (inotify_add_watch(watch, "/root/watched", IN_CREATE) < 0) return 1;
            int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
            struct itimerspec once = {{0, 0}, {1, 0}};
            timerfd_settime(timer, 0, &once, NULL);
            int often = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
            struct itimerspec again = {{0, 50000000}, {0, 50000000}};
            timerfd_settime(often, 0, &again, NULL);
            int event = eventfd(41, EFD_NONBLOCK);
            sigset_t set;
            sigemptyset(&set); sigaddset(&set, SIGUSR1); sigprocmask(SIG_BLOCK, &set, NULL);
            int signals = signalfd(-1, &set, SFD_NONBLOCK);
            kill(getpid(), SIGUSR1);
            int all = epoll_create1(0);
            struct epoll_event interest = {EPOLLIN, {.u64 = 12345}};
            epoll_ctl(all, EPOLL_CTL_ADD, event, &interest);
            int memory = memfd_create("kept", 0);
            if (write(memory, "memory", 6) != 6) return 1;
            volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
            int *old = shmat(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), NULL, 0);
            *old = 4711;
            pid_t other = fork();
            if (!other) for (;;) { ++*shared; usleep(20000); }
            pid_t zombie = fork();
            if (!zombie) _exit(7);
            pthread_t thread;
            pthread_create(&thread, NULL, beat, NULL);
            usleep(200000);
            dprintf(1, "ready\n");
            while (access("/root/go", F_OK)) usleep(50000);

            memset(control, 0, sizeof control);
            int flown = -1;
            if (recvmsg(sides[1], &message, 0) == 1 && (head = CMSG_FIRSTHDR(&message)))
                memcpy(&flown, CMSG_DATA(head), sizeof flown);
            is(read(flown, text, 64) == 6 && !memcmp(text, "flying", 6), "in flight");
            is(read(sides[0], text, 64) == 4 && !memcmp(text, "back", 4), "unix");
            char events[4096];
            is(read(watch, events, sizeof events) > 0 && !strcmp(((struct inotify_event *)events)->name, "new"), "inotify");
            struct epoll_event found;
            is(epoll_wait(all, &found, 1, 1000) == 1 && found.data.u64 == 12345, "epoll");
            uint64_t value = 0;
            struct pollfd due = {timer, POLLIN, 0};
            is(poll(&due, 1, 5000) == 1 && read(timer, &value, 8) == 8 && value == 1, "timerfd");
            // It was due, and is read now for the first time: then it is due again.
            is(read(often, &value, 8) == 8 && value > 0, "its ticks");
            due.fd = often;
            is(poll(&due, 1, 5000) == 1 && read(often, &value, 8) == 8, "its period");
            is(read(event, &value, 8) == 8 && value == 41, "eventfd");
            struct signalfd_siginfo taken;
            is(read(signals, &taken, sizeof taken) == sizeof taken && taken.ssi_signo == SIGUSR1, "signalfd");
            is(pread(memory, text, 64, 0) == 6 && !memcmp(text, "memory", 6), "memfd");
            int before = *shared;
            usleep(300000);
            is(before > 0 && *shared > before, "shared memory");
            is(*old == 4711, "System V");
            before = beats;
            usleep(300000);
            is(before > 0 && beats > before, "thread");
            int status = 0;
            is(waitpid(zombie, &status, 0) == zombie && WIFEXITED(status) && WEXITSTATUS(status) == 7, "zombie");
            kill(other, SIGKILL);
            dprintf(1, "end\n");
            return 0;
        }
        """#
}

import Glibc
import Testing

/// Suspends and resumes in which something is in the way: bounds that are reached, programs that are killed, processes that
/// can't be written down.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: access("/usr/bin/gcc", X_OK) == 0, "no gcc"))
struct SuspendHardTests {
    /// A VPS with the program below in it.
    private func server(_ f: Fixture, _ options: String...) throws -> String {
        let n = f.name()
        try f.write("hard.c", SuspendHardTests.source)
        try f.sh("gcc -O1 -Wall -Werror -static -o hard hard.c", timeout: 60).succeeds()
        try f.start(f.program, ["create", n, "--template", "minimal", "--disk", "none"] + options).wait().succeeds()
        try f.ctr("start", n).succeeds()
        try f.ctr("cp", "\(f.path)/hard", "\(n):/hard").succeeds()
        return n
    }

    /// Starts it inside, and waits until it is as far as its word says.
    private func begin(_ f: Fixture, _ n: String, _ words: String, to out: String = "/out", seconds: Int = 20) throws {
        try f.ctr("exec", n, "--", "sh", "-c", "setsid /hard \(words) </dev/null >\(out) 2>&1 &").succeeds()
        #expect(try until(seconds) { try f.ctr("exec", n, "--", "cat", out).out.contains("ready") }, "\(words)")
    }

    private func value(_ f: Fixture, _ n: String, _ names: String...) throws -> Int? {
        for cgroup in f.cgroups() where cgroup.contains(n) {
            for name in names where f.exists("\(cgroup)/\(name)") {
                return try Int(f.text("\(cgroup)/\(name)").prefix { $0.isNumber })
            }
        }
        return nil
    }

    /// What its disk is like is known also where the verb has been killed as soon as there is a checkpoint.
    @Test(.enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu"), arguments: ["none", "256M"])
    func aKilledVerbLeavesTheMarkOfTheDisk(disk: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", disk)
            // criu's parent.
            try f.wrapCRIU(atTheEnd: "v=$(cut -d' ' -f4 /proc/$PPID/stat); kill -STOP $v; echo $v > \(f.path)/verb")
            let run = try f.start("suspend", n)
            #expect(until(20) { f.exists("verb") && !f.exists("state/\(n)") })
            try f.sh("kill -9 $(cat verb)").succeeds()
            _ = try run.wait()
            #expect(try f.state(n) == "suspended" && f.exists("root/vps/\(n)/checkpoint.disk"))
            let file = disk == "none" ? "disk/upper/changed" : "disk.img"
            try f.sh(
                "touch -r root/vps/\(n)/\(disk == "none" ? "disk/upper" : "disk.img") time; touch root/vps/\(n)/\(file)"
            ).succeeds()
            try f.ctr("resume", n).fails(1, words: "its disk was changed")
            try f.sh(
                disk == "none"
                    ? "rm root/vps/\(n)/\(file); touch -r time root/vps/\(n)/disk/upper"
                    : "touch -r time root/vps/\(n)/\(file)"
            ).succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    /// criu needs a process more than there are, for a moment.
    @Test func atItsBoundOfProcesses() throws {
        try Fixture.withServers { (f) throws in
            let n = try server(f, "--pids", "12")
            try f.ctr("exec", n, "--", "sh", "-c", "setsid /hard fork </dev/null >/out 2>&1 &").succeeds()
            #expect(try until(10) { try value(f, n, "pids.current") == 12 })
            for _ in 1...2 {
                try f.ctr("suspend", n).succeeds()
                try f.ctr("resume", n).succeeds()
                #expect(try value(f, n, "pids.max") == 12 && value(f, n, "pids.current") == 12)
            }
        }
    }

    /// And some memory.
    @Test func atItsBoundOfMemory() throws {
        try Fixture.withServers { (f) throws in
            let n = try server(f, "--memory", "32M")
            // All but 1 MiB.
            try begin(f, n, "fill /sys/fs/cgroup 100")
            let used = try #require(try value(f, n, "memory.usage_in_bytes", "memory.current"))
            try begin(f, n, "fill x \((31 << 20) - used)", to: "/out2")
            for _ in 1...2 {
                try f.ctr("suspend", n).succeeds()
                try f.ctr("resume", n).succeeds()
                #expect(try value(f, n, "memory.limit_in_bytes", "memory.max") == 32 << 20)
                #expect(
                    try f.ctr("exec", n, "--", "ps").out.split(separator: "\n").count { $0.contains("/hard fill") } == 2
                )
            }
        }
    }

    /// What a program has cleared takes no space of the checkpoint, and is zero again.
    @Test func clearedMemoryIsNotStored() throws {
        try Fixture.withServers { (f) throws in
            let n = try server(f)
            try begin(f, n, "clear 100000000")
            try f.ctr("suspend", n).succeeds()
            let images = "\(f.root)/vps/\(n)/checkpoint/images/pages-*.img"
            let sizes = try f.sh("du -c --apparent-size -m \(images) | tail -n 1; du -c -m \(images) | tail -n 1").lines
                .compactMap { Int($0.prefix { $0.isNumber }) }
            #expect(sizes.count == 2 && sizes[0] >= 95 && sizes[1] < 10, "\(sizes)")
            try f.ctr("resume", n).succeeds()
            try f.sh("sleep 0.5").succeeds()
            #expect(try f.ctr("exec", n, "--", "ps").out.contains("/hard clear"))
        }
    }

    /// An editor or a mail server watches thousands of directories: more than a command line can name.
    @Test func thousandsOfWatches() throws {
        try Fixture.withServers { (f) throws in
            let n = try server(f)
            try begin(f, n, "watch 9000")
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", n).succeeds()
            try f.ctr("exec", n, "--", "sh", "-c", "cd /root/w/*8999 && touch x").succeeds()
            #expect(try until(10) { try f.ctr("exec", n, "--", "cat", "/out").out.contains("seen 9000 x") })
        }
    }

    @Test(arguments: [
        ("traced", "is traced by process"), ("pid", "process numbers of its own"), ("ipc", "IPC namespace of its own"),
        ("files", "as many files open as its limit allows"),
    ]) func whatIsInTheWayIsNamed(_ word: String, _ reason: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try server(f)
            try begin(f, n, word)
            try f.ctr("suspend", n).fails(1, words: reason, "hard")
            #expect(try f.state(n) == "running")
            try f.ctr("exec", n, "--", "killall", "-9", "hard").succeeds()
            #expect(try until(10) { try f.ctr("suspend", n).status == 0 })
            try f.ctr("resume", n).succeeds()
        }
    }

    /// What a verb has left on its disk that was killed is finished before: nothing could do it while it is suspended.
    @Test(arguments: ["suspend", "hibernate"]) func workOnItsDiskIsHalfDone(verb: String) throws {
        if let lack = Disks.lack { try Test.cancel(Comment(rawValue: lack)) }
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "256M")
            let config = try f.text("config.json")
            try f.wrapCRIU(before: "kill -9 $PPID; exit 1", atTheEnd: ":")
            #expect(try f.ctr("snapshot", "create", n, "one", "--memory").status == 128 + SIGKILL)
            try f.write("config.json", config)
            #expect(try f.text("root/vps/\(n)/config.json").contains("diskWork"))
            try f.ctr(verb, n).succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
            #expect(try f.ctr("snapshot", "list", "-q", n).succeeds().lines == [])
        }
    }

    /// It is tried again, and goes on where it was; where criu could never keep up, that is said.
    @Test func processesThatStartOthersAllTheTime() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "none", "--pids", "2000").succeeds()
            try f.ctr("start", n).succeeds()
            let chain = "#!/bin/sh\necho >> /begun\n[ -e /enough ] || /chain &\nexit 0\n"
            try f.ctr(
                "exec", n, "--", "sh", "-c",
                "printf '\(chain)' > /chain; chmod +x /chain; setsid /chain </dev/null >/dev/null 2>&1 & "
                    + "until [ -s /begun ]; do sleep 0.05; done"
            ).succeeds()
            func begun() throws -> Int {
                try f.ctr("exec", n, "--", "wc", "-l", "/begun").out.split(separator: " ").first.flatMap { Int($0) }
                    ?? 0
            }
            for _ in 1...3 {
                let suspend = try f.ctr("suspend", n)
                if suspend.status == 0 {
                    try f.ctr("resume", n).succeeds()
                } else {
                    suspend.fails(1, words: "faster than they can be caught", "try again", "it runs on")
                }
                #expect(try f.state(n) == "running")
                let before = try begun()
                #expect(try until(10) { try begun() > before })
            }
            try f.ctr("exec", n, "--", "touch", "/enough").succeeds()
        }
    }

    /// Of a server at work some connection has always come that is not accepted yet: one that soon is keeps no VPS from being
    /// suspended, and one that nobody accepts is named.
    @Test func aConnectionThatNobodyHasAccepted() throws {
        try Fixture.withServers { (f) throws in
            let n = try server(f)
            try begin(f, n, "pending 20000 40000")
            for _ in 1...4 {
                try f.ctr("suspend", n).succeeds()
                try f.ctr("resume", n).succeeds()
            }
            try begin(f, n, "pending 1000000000 0", to: "/out2")
            try f.ctr("suspend", n).fails(1, words: "no process has accepted yet", "hard", "it runs on")
            #expect(try f.state(n) == "running" && !f.exists("root/vps/\(n)/checkpoint.new"))
        }
    }

    /// Killed when it has stopped all connections, alone or together with ctr: nothing stays stopped.
    @Test(.enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu"), arguments: [false, true])
    func aKilledWriterLeavesNoConnectionStopped(withCtr: Bool) throws {
        try Fixture.withServers { (f) throws in
            let n = try server(f)
            try begin(f, n, "tcp")
            func answers() throws -> Int {
                try f.ctr("exec", n, "--", "cat", "/out").lines.count { $0 == "answer" }
            }
            #expect(try until(10) { try answers() > 1 })
            let config = try f.text("config.json")
            try f.wrapCRIU(
                before: ":",
                atTheEnd: (withCtr ? "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); " : "") + "kill -9 $PPID; exit 1")
            let run = try f.ctr("suspend", n)
            #expect(run.status != 0, "\(run.both)")
            try f.write("config.json", config)
            #expect(try f.ctr("list").out.contains("running"))
            let pid = try f.initPid(n)
            #expect(
                try until(10) {
                    try f.ctr("list").status == 0 && !f.sh("nsenter -t \(pid) -n nft list tables").out.contains("CRIU")
                })
            let before = try answers()
            #expect(try until(20) { try answers() > before + 2 })
            #expect(!f.exists("root/vps/\(n)/checkpoint") && !f.exists("root/vps/\(n)/checkpoint.new"))
            // It takes the kernel a moment to send again what was held back.
            try f.ctr("exec", n, "--", "touch", "/idle").succeeds()
            #expect(try until(20) { try f.ctr("exec", n, "--", "cat", "/out").lines.contains("idle") })
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", n).succeeds()
            let again = try answers()
            #expect(try until(20) { try answers() > again + 2 })
        }
    }

    /// Killed when it has taken from the disk what it had put there, and the checkpoint has not been used up: the next resume finds
    /// all of it again; and so does one after a kill while the processes are made.
    @Test(.enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu"), arguments: ["none", "256M"])
    func aKilledRestoreCanBeDoneAgain(disk: String) throws {
        try #require(disk == "none" || Disks.lack == nil)
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", disk).succeeds()
            try f.ctr("start", n).succeeds()
            try f.ctr(
                "exec", n, "--", "sh", "-c",
                """
                mkdir -p /root/d/x; cd /root/d; echo linked > one; ln one two; echo ghost > gone; echo deep > x/y
                setsid sh -c 'exec 5<one 6<gone 7<x/y; rm -r one gone x; while ! [ -e /go ]; do sleep 0.1; done; cat <&5; cat <&6; cat <&7' </dev/null >/root/read 2>&1 &
                while [ -e x ]; do sleep 0.05; done
                """
            ).succeeds()
            try f.ctr("suspend", n).succeeds()
            let config = try f.text("config.json")
            for step in ["post-restore", "pre-resume", "pre-resume"] {
                try f.wrapCRIU(before: ":", atTheEnd: "kill -9 $PPID; exit 1", step: step)
                try f.ctr("resume", n).fails(1, words: "stays as it is")
                try f.write("config.json", config)
                #expect(try f.state(n) == "suspended")
            }
            try f.ctr("resume", n).succeeds()
            try f.ctr("exec", n, "--", "touch", "/go").succeeds()
            #expect(
                try until(10) { try f.ctr("exec", n, "--", "cat", "/root/read").lines == ["linked", "ghost", "deep"] })
            #expect(try f.ctr("exec", n, "--", "find", "/root/d").lines.sorted() == ["/root/d", "/root/d/two"])
            #expect(try f.ctr("exec", n, "--", "stat", "-c", "%h", "/root/d/two").out == "1\n")
            if disk == "none" { #expect(!f.exists("root/vps/\(n)/disk/remaps")) }
            // Given up, it leaves nothing in the guest either.
            try f.ctr(
                "exec", n, "--", "sh", "-c",
                "cd /root/d; ln two three; setsid sh -c 'exec 5<two; rm two; exec sleep 1000' </dev/null >/dev/null 2>&1 & while [ -e two ]; do sleep 0.05; done"
            ).succeeds()
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", "--discard", n).succeeds()
            try f.ctr("start", n).succeeds()
            #expect(try f.ctr("exec", n, "--", "find", "/root/d").lines.sorted() == ["/root/d", "/root/d/three"])
            let hold =
                "cd /root/d; ln three four; setsid sh -c 'exec 5<three; rm three; exec sleep 1000' </dev/null >/dev/null 2>&1 & while [ -e three ]; do sleep 0.05; done"
            try f.ctr("exec", n, "--", "sh", "-c", hold).succeeds()
            if disk == "none" {
                // What can't be read any more can be given up, too.
                try f.ctr("suspend", n).succeeds()
                try f.sh("rm -r '\(f.root)/vps/\(n)/checkpoint/images'").succeeds()
                let given = try f.ctr("resume", "--discard", n).succeeds()
                #expect(given.err.contains("stays there"), "\(given.both)")
                try f.ctr("start", n).succeeds()
            } else {
                try f.ctr("hibernate", n).succeeds()
                try f.ctr("resume", "--discard", n).succeeds()
                try f.ctr("start", n).succeeds()
                #expect(try f.ctr("exec", n, "--", "find", "/root/d").lines.sorted() == ["/root/d", "/root/d/four"])
            }
        }
    }

    /// A process that comes in without ctr when all has been looked at is not frozen with the others: then there is no checkpoint.
    @Test(.enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu")) func whoeverComesInMeanwhile() throws {
        try Fixture.withServers { (f) throws in
            let n = try server(f)
            let config = try f.text("config.json")
            let cgroup = try #require(f.cgroups().filter { $0.contains(n) }.max { $0.count < $1.count })
            try f.wrapCRIU(
                before: """
                    setsid sh -c 'echo $$ >\(cgroup)/cgroup.procs && echo $$ >\(f.path)/in; exec sleep 1000' </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- &
                    until [ -s \(f.path)/in ]; do sleep 0.05; done
                    """, atTheEnd: ":")
            try f.ctr("suspend", n).fails(1, words: "brought in by ctr exec", "it runs on")
            try f.write("config.json", config)
            #expect(try f.state(n) == "running")
            try f.sh("kill $(cat in)").succeeds()
            #expect(try until(10) { try f.ctr("suspend", n).status == 0 })
            try f.ctr("resume", n).succeeds()
        }
    }

    private static let source = #"""
        #define _GNU_SOURCE
        #include <arpa/inet.h>
        #include <dirent.h>
        #include <fcntl.h>
        #include <poll.h>
        #include <sched.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/inotify.h>
        #include <sys/mman.h>
        #include <sys/ptrace.h>
        #include <sys/stat.h>
        #include <sys/wait.h>
        #include <unistd.h>

        static void ready(void) { dprintf(1, "ready\n"); }

        int main(int count, char **words) {
            const char *word = words[1];
            if (!strcmp(word, "fork"))
                for (;;) {
                    pid_t child = fork();
                    if (!child) for (;;) pause();
                    if (child < 0) usleep(50000);
                }
            if (!strcmp(word, "fill")) {
                size_t size = strtoul(words[3], NULL, 10);
                unsigned *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                unsigned value = 1;
                for (size_t i = 0; i < size / 4; i++) all[i] = value = value * 1664525 + 1013904223;
            } else if (!strcmp(word, "clear")) {
                size_t size = strtoul(words[2], NULL, 10);
                char *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                memset(all, 1, size); memset(all, 0, size - 1);
                ready();
                for (;;) { usleep(50000); for (size_t i = 0; i < size; i++) if (all[i] != (i == size - 1)) return 3; }
            } else if (!strcmp(word, "watch")) {
                int number = atoi(words[2]), watches = inotify_init();
                char name[100];
                mkdir("/root", 0700); mkdir("/root/w", 0755);
                for (int i = 0; i < number; i++) {
                    snprintf(name, sizeof name, "/root/w/%060d", i);
                    mkdir(name, 0755);
                    if (inotify_add_watch(watches, name, IN_CREATE) < 0) return 1;
                }
                ready();
                union { struct inotify_event event; char bytes[4096]; } got;
                while (read(watches, &got, sizeof got) > 0) dprintf(1, "seen %d %s\n", got.event.wd, got.event.name);
            } else if (!strcmp(word, "traced")) {
                pid_t child = fork();
                if (!child) for (;;) pause();
                if (ptrace(PTRACE_SEIZE, child, 0, 0)) return 1;
            } else if (!strcmp(word, "pid") || !strcmp(word, "ipc")) {
                if (unshare(*word == 'p' ? CLONE_NEWPID : CLONE_NEWIPC)) return 1;
                if (*word == 'p' && !fork()) for (;;) pause();
            } else if (!strcmp(word, "files")) {
                while (open("/dev/null", O_RDONLY) >= 0) {}
            } else if (!strcmp(word, "pending")) {
                // Microseconds with a connection that is not accepted, and without.
                struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
                socklen_t size = sizeof place;
                int server = socket(AF_INET, SOCK_STREAM, 0);
                if (bind(server, (void *)&place, size) || listen(server, 1)) return 1;
                getsockname(server, (void *)&place, &size);
                for (;;) {
                    int client = socket(AF_INET, SOCK_STREAM, 0);
                    struct linger at_once = {1, 0};
                    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
                    if (connect(client, (void *)&place, size)) return 1;
                    ready();
                    for (long left = atol(words[2]); left > 0; left -= 500000) usleep(left < 500000 ? left : 500000);
                    int peer = accept(server, NULL, NULL);
                    close(client);
                    close(peer);
                    usleep(atol(words[3]));
                }
            } else if (!strcmp(word, "tcp")) {
                struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
                socklen_t size = sizeof place;
                int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
                if (bind(server, (void *)&place, size) || listen(server, 1)) return 1;
                getsockname(server, (void *)&place, &size);
                char byte = 'x';
                signal(SIGCHLD, SIG_IGN);
                signal(SIGPIPE, SIG_IGN);
                if (!fork())
                    for (;;) {
                        int peer = accept(server, NULL, NULL);
                        if (fork()) { close(peer); continue; }
                        // Whoever waits in read(2) in the instant of the kill gets an error.
                        struct pollfd wait = {peer, POLLIN, 0};
                        while (poll(&wait, 1, 100) != 1 || (read(peer, &byte, 1) == 1 && write(peer, &byte, 1) == 1)) {}
                        return 1;
                    }
                if (connect(client, (void *)&place, size)) return 1;
                // One that is idle, and one that is in use and made anew where it breaks.
                int idle = socket(AF_INET, SOCK_STREAM, 0);
                if (connect(idle, (void *)&place, size)) return 1;
                ready();
                for (;;) {
                    if (write(client, &byte, 1) == 1 && read(client, &byte, 1) == 1) {
                        dprintf(1, "answer\n");
                    } else {
                        close(client);
                        client = socket(AF_INET, SOCK_STREAM, 0);
                        connect(client, (void *)&place, size);
                    }
                    if (!access("/idle", F_OK) && write(idle, &byte, 1) == 1 && read(idle, &byte, 1) == 1) {
                        dprintf(1, "idle\n");
                        unlink("/idle");
                    }
                    usleep(100000);
                }
            }
            if (count > 1) ready();
            for (;;) pause();
        }
        """#
}

/// Where `make setup-criu` puts it.
enum CRIUPrefix {
    static let path = "/usr/local/lib/ctr/criu"
    static let isThere = access("\(path)/usr/lib64/ld-linux-x86-64.so.2", X_OK) == 0
}

extension String {
    fileprivate func replacingEnd(_ end: String, _ with: String) -> String {
        hasSuffix(end) ? String(dropLast(end.count)) + with : self
    }
}

extension Fixture {
    /// A criu that runs a script of the test's first, and another at a step: the one that makes a checkpoint, if no other is named.
    /// - Parameter config: the file whose settings name it; the others are as in `config.json`.
    func wrapCRIU(
        before: String = ":", atTheEnd: String, step: String = "post-dump", config: String = "config.json"
    ) throws {
        let prefix = CRIUPrefix.path
        try write(
            "step",
            "#!/bin/bash\n[ \"$CRTOOLS_SCRIPT_ACTION\" = \(step) ] && { \(atTheEnd); }\nexec $(cat \(path)/real)\n",
            mode: 0o755)
        try write(
            "criu",
            """
            #!/bin/bash
            words=()
            while [ $# -gt 0 ]; do
                [ "$1" = dump ] && { \(before); }
                if [ "$1" = --action-script ]; then echo "$2" > \(path)/real; words+=("$1" \(path)/step); shift 2
                else words+=("$1"); shift; fi
            done
            exec \(prefix)/usr/lib64/ld-linux-x86-64.so.2 --library-path \(prefix)/usr/lib/x86_64-linux-gnu \\
                \(prefix)/usr/sbin/criu "${words[@]}"

            """, mode: 0o755)
        try write(
            config, text("config.json").replacingEnd("}", ", \"criu\": \"\(path)/criu\"}"))
    }
}

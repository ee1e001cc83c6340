import Testing

/// What the host does for a VPS that is suspended, and how its network comes back.
@Suite(.serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")))
struct NetworkSuspendTests {
    private static let tools = """
        mkdir -m 700 other; cp -al root/templates other/
        O() { "$CTR" --root "$PWD/other" --state "$PWD/ostate" "$@"; }
        serve() { "$CTR" exec $1 -- sh -c 'setsid sh -c "while :; do echo here | nc -l -p 80; done" </dev/null >/dev/null 2>&1 & until netstat -lnt | grep -q ":80 "; do sleep 0.05; done'; }
        ask() { for _ in $(seq 50); do C busybox nc -w 2 192.0.2.1 $1 </dev/null && return; sleep 0.2; done; echo "$1: nobody"; }

        """

    /// Another root got its port meanwhile.
    @Test(arguments: ["suspend", "hibernate"]) func itsPortIsTakenMeanwhile(verb: String) throws {
        if verb == "hibernate", let lack = Disks.lack { try Test.cancel(Comment(rawValue: lack)) }
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --disk \(verb == "suspend" ? "none" : "256M") --net nat --publish 8080:80 --rate-in 20M >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    "$CTR" create $N-b --template minimal --net nat --publish 9090:80 >/dev/null; serve $N-a; ask 8080
                    "$CTR" \(verb) $N-a >/dev/null && O run -d --name $N-o --net nat --publish 8080:1 minimal sleep 600 >/dev/null || exit 1
                    "$CTR" resume $N-a; echo "resume $?"
                    for x in '--memory 1G' '--mac 02:00:5e:00:00:09' '--publish 8081:80 --dns 192.0.2.2' '--ip 10.0.0.7'; do "$CTR" set $N-a $x 2>>refused; echo "set $?"; done
                    "$CTR" set $N-a --publish 9090:80; echo "set $?"
                    "$CTR" set $N-a --unset publish --publish 8081:80 --rate-in 30M; echo "set $?"; ls root/network | grep tcp
                    "$CTR" resume $N-a >/dev/null; echo "resume $?"; ask 8081; tc qdisc show | grep -o 'rate 30[^ ]*'; "$CTR" --json show $N-a | grep -o '"808[01]:80"' | sort -u
                    "$CTR" destroy --force $N-a $N-b >/dev/null; O destroy --force $N-o >/dev/null; O host recover >/dev/null; ls root/network
                    """)
            #expect(
                run.lines == [
                    "here", "resume 73", "set 1", "set 1", "set 1", "set 1", "set 73", "set 0",
                    "tcp-8081", "tcp-9090", "resume 0", "here", "rate 30280Kbit", "\"8081:80\"", "plan",
                ], "\(run.both)")
            #expect(run.err.contains("has port 8080 of the host") && run.err.contains("ctr set"), "\(run.both)")
            #expect(try f.text("refused").contains("suspended"))
        }
    }

    /// What waits for its next start goes on waiting, and with it what is said of its network after that.
    @Test func withAnotherNetworkFromItsNextStartOn() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --disk none --net nat --publish 8080:80 >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    serve $N-a; "$CTR" set $N-a --mac 02:00:5e:00:00:07 2>/dev/null; "$CTR" suspend $N-a >/dev/null; ls root/network > before
                    "$CTR" --json set $N-a --unset publish --publish 8081:80 | tr -d ' \\n'; echo; ls root/network | cmp - before && echo same
                    "$CTR" resume $N-a >/dev/null; ask 8080; "$CTR" restart --timeout 0 $N-a >/dev/null; serve $N-a; ask 8081; ls root/network | grep -E 'tcp|mac'
                    "$CTR" destroy --force $N-a >/dev/null; ls root/network
                    """)
            #expect(
                run.lines == [
                    "{\"name\":\"\(f.name("a"))\",\"needsRestart\":[\"--mac\",\"--publish\"]}", "same", "here", "here",
                    "mac-02:00:5e:00:00:07", "tcp-8081", "plan",
                ], "\(run.both)")
        }
    }

    /// The memory of a snapshot knows nothing of the ports that were published then.
    @Test(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? "")))
    func aSnapshotWithMemoryOfBefore() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --disk 256M --net nat --publish 8080:80 >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    serve $N-a; "$CTR" snapshot create --memory $N-a one >/dev/null 2>&1; "$CTR" set $N-a --unset publish --publish 8081:80
                    "$CTR" create $N-b --template minimal --net nat --publish 8080:80 >/dev/null || exit 1
                    "$CTR" snapshot revert --start $N-a one >/dev/null; echo "status $?"; ask 8081; ls root/network | grep tcp
                    "$CTR" destroy --force $N-a $N-b >/dev/null; ls root/network
                    """)
            #expect(run.lines == ["status 0", "here", "tcp-8080", "tcp-8081", "plan"], "\(run.both)")
        }
    }

    /// ctr's part in the last step of a resume is killed before each of its calls to the kernel's network, alone or with its supervisor:
    /// the VPS can be reached all the same, where somebody must be told of its addresses too.
    @Test(
        .enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu"),
        arguments: ["routed --ip 192.0.2.50 --ip 2001:db8::50", "bridge=lan0 --ip 192.0.2.50/24 --ip 2001:db8::50/64"],
        ["", "and its supervisor"])
    func theLastStepIsKilled(net: String, more: String) throws {
        try Fixture.with { (f) throws in
            let (config, prefix) = (try f.text("config.json"), CRIUPrefix.path)
            try f.write("config.json", String(config.dropLast()) + ", \"criu\": \"\(f.path)/criu\"}")
            try f.write(
                "criu",
                """
                #!/bin/bash
                words=()
                while [ $# -gt 0 ]; do
                    if [ "$1" = --action-script ]; then echo "$2" > \(f.path)/real; words+=("$1" \(f.path)/step); shift 2
                    else words+=("$1"); shift; fi
                done
                exec \(prefix)/usr/lib64/ld-linux-x86-64.so.2 --library-path \(prefix)/usr/lib/x86_64-linux-gnu \\
                    \(prefix)/usr/sbin/criu "${words[@]}"

                """, mode: 0o755)
            try f.write(
                "step",
                """
                #!/bin/bash
                [ "$CRTOOLS_SCRIPT_ACTION" = pre-resume ] && [ -e \(f.path)/when ] || exec $(cat \(f.path)/real)
                strace -qq -o \(f.path)/trace -e trace=sendto -e inject=sendto:signal=KILL:when=$(cat \(f.path)/when) $(cat \(f.path)/real)
                status=$?; echo $status > \(f.path)/status
                [ '\(more)' = '' ] || [ $status = 0 ] || kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)
                exit $status

                """, mode: 0o755)
            let run = try f.host(
                """
                net='\(net)'; case $net in bridge*) ip link add lan0 type bridge; ip link set lan0 up; ip addr flush dev up0; ip link set up0 master lan0
                    ip addr add 192.0.2.1/24 dev lan0; ip -6 addr add 2001:db8::1/64 dev lan0 nodad;; esac
                "$CTR" create $N-a --template minimal --disk none --net $net --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                for n in $(seq 40); do
                    echo $n > when; "$CTR" suspend $N-a >/dev/null || echo "suspend $n"
                    "$CTR" resume $N-a >/dev/null 2>err || { echo "resume $n"; cat err; }
                    for a in 192.0.2.50 2001:db8::50; do C busybox ping -c1 -W2 $a >/dev/null || echo "not reached after $n: $a"; done
                    [ "$(cat status)" = 137 ] || break; rm status
                    # Its console went with its supervisor.
                    [ '\(more)' = '' ] || "$CTR" restart --timeout 0 $N-a >/dev/null
                done
                [ $n -gt 2 ] && [ $(cat status) = 0 ] && echo done; "$CTR" destroy --force $N-a >/dev/null; ls root/network
                """, timeout: 200)
            #expect(run.lines == ["done", "plan"], "\(run.both)")
        }
    }
}

import Testing

/// Addresses and ports that the host, its operator or another ctr root has: refused, and nobody's is taken away.
@Suite struct NetworkTakenTests {
    /// `O` is the ctr of another root on the same host; `left` prints the ways to and answers for addresses from .50 on.
    private static let other = """
        mkdir -m 700 other; cp -al root/templates other/
        O() { "$CTR" --root "$PWD/other" --state "$PWD/ostate" "$@"; }
        left() { { ip route; ip -6 route; ip -4 neigh show proxy; ip -6 neigh show proxy; } | grep -E '^(blackhole )?(192.0.2.5|2001:db8::5)' | sed -E 's/ (ctr[^ ]*|proto|scope|metric|pref|proxy|linkdown).*//; s/ *$//' | sort; }

        """

    @Test func whatAnotherRootHasRouted() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.other + """
                    O run -d --name $N-o --net routed --ip 192.0.2.50 --ip 2001:db8::50 minimal sleep 600 >/dev/null || exit 1
                    left > before
                    "$CTR" run --net routed --ip 192.0.2.50 minimal true; echo "status $?"
                    "$CTR" create $N-a --template minimal --net routed --ip 2001:db8::50 --init 'sleep 600' >/dev/null
                    "$CTR" start $N-a; echo "status $?"; "$CTR" set $N-a --unset ip --ip 192.0.2.51; "$CTR" start $N-a >/dev/null; echo "status $?"
                    "$CTR" set $N-a --ip 192.0.2.50; echo "status $?"
                    C busybox ping -c1 -W2 192.0.2.51 >/dev/null && echo own
                    "$CTR" destroy --force $N-a >/dev/null; left | diff before - && wc -l < before
                    C busybox ping -c1 -W2 192.0.2.50 >/dev/null && C busybox ping -c1 -W2 2001:db8::50 >/dev/null && echo reached
                    O destroy --force $N-o >/dev/null; O host recover >/dev/null; left; ls root/network other/network
                    """)
            #expect(
                run.lines == [
                    "status 125", "status 73", "status 0", "status 73", "own", "4", "reached", "other/network:", "plan",
                    "root/network:", "plan",
                ], "\(run.both)")
            #expect(run.err.contains("to 'ctr \(f.name("o")) of \(f.path)/other'"), "\(run.both)")
        }
    }

    /// One of them gets the address, and has it when the other has given up.
    @Test func twoRootsAtOnce() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.other + """
                    for i in 1 2 3 4 5 6 7 8 9 10; do
                      "$CTR" run -d --name $N-a --net routed --ip 192.0.2.50 --ip 2001:db8::50 minimal sleep 600 >/dev/null 2>a.err & one=$!
                      O run -d --name $N-o --net routed --ip 2001:db8::50 --ip 192.0.2.50 minimal sleep 600 >/dev/null 2>o.err & two=$!
                      wait $one; a=$?; wait $two; o=$?; [ $((a + o)) = 125 ] || [ $a$o = 125125 ] || echo "$a $o"; cat a.err o.err | sort > err
                      # Each may have been first with one of the two addresses.
                      if [ $((a + o)) = 125 ]; then for x in 192.0.2.50 2001:db8::50; do C busybox ping -c1 -W2 $x >/dev/null || echo "not reached: $x"; done; left | wc -l; else echo 4; fi
                      grep -vE 'route to this address over ctr|answers for this address on up0' err
                      [ $a = 0 ] && "$CTR" destroy --force $N-a >/dev/null; [ $o = 0 ] && O destroy --force $N-o >/dev/null; left
                    done; O host recover >/dev/null; "$CTR" host recover >/dev/null; ls root/network other/network
                    """)
            #expect(
                run.lines.filter { $0 != "4" } == ["other/network:", "plan", "root/network:", "plan"], "\(run.both)")
        }
    }

    /// Routes and answers of the operator's own.
    @Test func whatTheOperatorHasRouted() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.other + """
                    try() { left > before; "$CTR" run --net routed --ip $1 minimal true; echo "status $?"; left | diff before - && [ -s before ] && echo same; }
                    ip route add 192.0.2.50/32 via 192.0.2.2; try 192.0.2.50; ip route del 192.0.2.50/32
                    ip -6 route add 2001:db8::50/128 via 2001:db8::2 metric 7; try 2001:db8::50; ip -6 route del 2001:db8::50/128
                    ip route add blackhole 192.0.2.50/32; try 192.0.2.50; ip route del blackhole 192.0.2.50/32
                    ip neigh add proxy 192.0.2.50 dev up0; try 192.0.2.50; ip neigh del proxy 192.0.2.50 dev up0
                    ip -6 neigh add proxy 2001:db8::50 dev up0; try 2001:db8::50; ip -6 neigh del proxy 2001:db8::50 dev up0
                    # Not made in this boot: the operator's, though ctr had one there before.
                    "$CTR" create $N-a --template minimal --net routed --ip 192.0.2.50 >/dev/null; ip neigh add proxy 192.0.2.50 dev up0
                    ln -s "before 192.0.2.50@$(ip -o link show up0 | cut -d: -f1)" root/network/proxy-$N-a; "$CTR" start $N-a; echo "status $?"
                    "$CTR" destroy --force $N-a >/dev/null; left; ls root/network; ip neigh del proxy 192.0.2.50 dev up0
                    # A way to the whole network of it is none to itself.
                    ip route add blackhole 198.51.100.0/24
                    "$CTR" run --net routed --ip 198.51.100.7 --ip 192.0.2.50 minimal true; echo "status $?"; left; ls root/network
                    """)
            let refused = ["status 125", "same"]
            #expect(
                run.lines == refused + refused + refused + refused + refused + [
                    "status 73", "192.0.2.50 dev up0", "plan", "status 0", "plan",
                ], "\(run.both)")
            #expect(run.err.contains("route to this address over up0"), "\(run.both)")
            #expect(run.err.contains("ip neigh del proxy 192.0.2.50 dev up0"), "\(run.both)")
        }
    }

    /// The host gets another network while a VPS runs whose addresses it answers for.
    @Test func answersEndWithTheVPSOnAHostThatWasRenumbered() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.other + """
                    "$CTR" create $N-a --template minimal --net routed --ip 192.0.2.50 --ip 192.0.2.51 --ip 2001:db8::50 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    left | wc -l
                    ip addr flush dev up0; ip addr add 203.0.113.1/24 dev up0
                    "$CTR" set $N-a --unset ip=192.0.2.51; echo "status $?"; left
                    ip addr add 192.0.2.1/24 dev up0; "$CTR" set $N-a --ip 192.0.2.52; left; ip addr flush dev up0
                    "$CTR" stop --timeout 0 $N-a >/dev/null; left; ls root/network | grep proxy
                    "$CTR" destroy --force $N-a >/dev/null; ls root/network
                    """)
            #expect(
                run.lines == [
                    "6", "status 0", "192.0.2.50 dev", "2001:db8::50 dev", "192.0.2.50 dev", "192.0.2.50 dev up0",
                    "192.0.2.52 dev", "192.0.2.52 dev up0", "2001:db8::50 dev", "plan",
                ], "\(run.both)")
        }
    }

    /// Of a VPS whose end ctr did not see, and whose interface something holds: another VPS gets the address, and keeps it.
    @Test func whatIsLeftOfOurOwnIsTakenOver() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.other + """
                    "$CTR" create $N-a --template minimal --net routed --ip 192.0.2.50 --ip 2001:db8::50 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    p=$(pid $N-a); s=$("$CTR" --json show $N-a | sed -n 's/.*"supervisor" *: *\\([0-9]*\\).*/\\1/p' | head -1)
                    nsenter -n -t $p sleep 600 & holder=$!; others="$others $holder"; until [ "$(readlink /proc/$holder/ns/net)" = "$(readlink /proc/$p/ns/net)" ]; do sleep 0.02; done
                    kill -9 $s; gone kill -0 $s; kill -9 $p; gone kill -0 $p; left | wc -l
                    "$CTR" set $N-a --unset ip --ip 192.0.2.51 >/dev/null; echo "status $?"
                    "$CTR" run -d --name $N-b --net routed --ip 192.0.2.50 --ip 2001:db8::50 minimal sleep 600 >/dev/null; echo "status $?"
                    for a in 192.0.2.50 2001:db8::50; do C busybox ping -c1 -W2 $a >/dev/null && echo reached; done
                    "$CTR" destroy --force $N-a >/dev/null; kill $holder; for a in 192.0.2.50 2001:db8::50; do C busybox ping -c1 -W2 $a >/dev/null && echo reached; done
                    "$CTR" destroy --force $N-b >/dev/null; left; ls root/network
                    """)
            #expect(
                run.lines == ["4", "status 0", "status 0", "reached", "reached", "reached", "reached", "plan"],
                "\(run.both)")
        }
    }

    /// Killed before each of its calls to the kernel's network and to the registry: the next start is not refused, nor that of
    /// another VPS that has the address then, and nothing is left at the end.
    @Test(arguments: ["sendto", "symlinkat", "unlinkat"]) func killedAnywhere(call: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.other + """
                    call=\(call)
                    n=0; killed=1
                    while [ $killed = 1 ] && [ $n -lt 150 ]; do
                      n=$((n+1)); set -- run --name $N-a --net routed --ip 192.0.2.50 --ip 2001:db8::50 minimal true
                      if [ $((n % 2)) = 0 ]; then
                        "$CTR" create $N-a --template minimal --net routed --ip 192.0.2.50 --ip 2001:db8::50 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                        set -- set $N-a --ip 192.0.2.51
                      fi
                      strace -qq -o trace -e trace=$call -e inject=$call:signal=KILL:when=$(((n + 1) / 2)) "$CTR" "$@" >/dev/null 2>&1 </dev/null; [ $? = 137 ] || [ $((n % 2)) = 0 ] || killed=0
                      if [ $((n % 2)) = 0 ]; then
                        "$CTR" restart --timeout 0 $N-a >/dev/null || echo "restart after $n"
                        C busybox ping -c1 -W2 192.0.2.50 >/dev/null && C busybox ping -c1 -W2 2001:db8::50 >/dev/null || echo "not reached after $n"
                        "$CTR" destroy --force $N-a >/dev/null || echo "destroy after $n"
                      elif [ $((n % 4)) = 1 ]; then "$CTR" run --name $N-a --net routed --ip 192.0.2.51 --ip 192.0.2.50 minimal true || echo "run after $n"
                      else "$CTR" host recover >/dev/null; fi
                      "$CTR" run --net routed --ip 192.0.2.51 --ip 192.0.2.50 --ip 2001:db8::50 minimal true || echo "another after $n"
                      [ "$(ls root/network)" = plan ] || echo "after $n: $(ls root/network)"
                      left | grep . && echo "after $n"
                    done
                    [ $n -gt 3 ] && echo done
                    """, timeout: 300)
            #expect(run.lines == ["done"], "\(run.both)")
        }
    }

    @Test func addressesThatTheHostHasOrNoHostCanHave() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                ip link add lan0 type bridge; ip addr add 10.5.0.1/24 dev lan0; ip -6 addr add 2001:db8:5::1/64 dev lan0 nodad; ip link set lan0 up
                for a in 10.5.0.1/24 192.0.2.1/24 2001:db8:5::1/64; do "$CTR" run --net bridge=lan0 --ip $a minimal true; echo "status $?"; done
                "$CTR" create $N-a --template minimal --net bridge=lan0 --ip 10.5.0.7/24 --ip fe80::1/64 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                "$CTR" set $N-a --ip 10.5.0.1/24; echo "status $?"; "$CTR" set $N-a --ip 10.5.0.8/24; echo "status $?"
                "$CTR" stop --timeout 0 $N-a >/dev/null; "$CTR" set $N-a --ip 10.5.0.1/24; "$CTR" start $N-a; echo "status $?"
                "$CTR" set $N-a --unset ip --interface eth1:bridge=lan0,ip=192.0.2.1/24; "$CTR" start $N-a; echo "status $?"
                "$CTR" destroy --force $N-a >/dev/null
                ip addr add 198.51.100.8/31 dev up0
                for a in 192.0.2.0 192.0.2.255 2001:db8:: 192.0.2.1 198.51.100.9; do "$CTR" run --net routed --ip $a minimal true; echo "status $?"; done
                ls root/network
                """)
            #expect(
                run.lines == [
                    "status 125", "status 125", "status 125", "status 73", "status 0", "status 73", "status 73",
                    "status 125",
                    "status 125", "status 125", "status 125", "status 0", "plan",
                ], "\(run.both)")
            #expect(run.err.contains("--interface eth1:ip=192.0.2.1: the host itself"), "\(run.both)")
            #expect(run.err.contains("broadcast address of the host's network 192.0.2.0/24"), "\(run.both)")
        }
    }

    @Test func aPortThatAnotherRootPublishes() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.other + """
                    O run -d --name $N-o --net nat --publish 8080:80 --publish 192.0.2.1:9090:80 --publish '[2001:db8::1]:53:53/udp' minimal sh -c 'while :; do echo other | nc -l -p 80; done' >/dev/null || exit 1
                    for p in 8080:1 192.0.2.1:8080:1 9090:1 53:1/udp; do "$CTR" run --net nat --publish $p minimal true; echo "$p $?"; done
                    # None of the same protocol, or address.
                    "$CTR" run --net nat --publish 8080:1/udp --publish 53:1 --publish 192.0.2.1:53:1/udp minimal true; echo "status $?"
                    "$CTR" create $N-a --template minimal --net nat --publish 8081:80 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    "$CTR" set $N-a --publish 8080:80; echo "status $?"; "$CTR" --json show $N-a | grep -c 8080
                    for i in 1 2 3 4 5 6 7 8 9; do C busybox nc -w 2 192.0.2.1 8080 </dev/null && break; sleep 0.2; done
                    O destroy --force $N-o >/dev/null; "$CTR" set $N-a --publish 8080:80; echo "status $?"
                    "$CTR" destroy --force $N-a >/dev/null; O host recover >/dev/null
                    """)
            #expect(
                run.lines == [
                    "8080:1 125", "192.0.2.1:8080:1 125", "9090:1 125", "53:1/udp 125", "status 0", "status 73", "0",
                    "other",
                    "status 0",
                ], "\(run.both)")
            #expect(
                run.err.contains("--publish 8080:80: a VPS of the ctr root '\(f.path)/other' has port 8080"),
                "\(run.both)")
        }
    }

    /// Whose calls to the kernel's network take so long that each looks before the other has the port: one gets it, and of the
    /// other all is as it was.
    @Test func twoRootsPublishAtOnce() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.other + """
                    slow() { strace -qq -o /dev/null -e trace=sendto -e inject=sendto:delay_enter=40000 "$CTR" "$@" >/dev/null; }
                    there="--root $PWD/other --state $PWD/ostate"; ports() { nft list ruleset | grep -oE '(tcp|udp) . [0-9]+ ' | sort | uniq -c | sed 's/^ *//; s/ *$//'; }
                    "$CTR" run --net nat minimal true; O run --net nat minimal true
                    slow run --net nat --publish 7070:80 minimal sleep 10 & one=$!
                    slow $there run --net nat --publish 7070:80 minimal sleep 10 & two=$!
                    wait $one; a=$?; wait $two; echo "run $((a + $?))"
                    "$CTR" create $N-a --template minimal --net nat --publish 8081:80 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    O create $N-o --template minimal --net nat --publish 8082:80 --init 'sleep 600' >/dev/null && O start $N-o >/dev/null || exit 1
                    slow set $N-a --publish 8080:80 & one=$!; slow $there set $N-o --publish 8080:80 & two=$!
                    wait $one; a=$?; wait $two; echo "set $((a + $?))"; ports
                    "$CTR" destroy --force $N-a >/dev/null; O destroy --force $N-o >/dev/null; O host recover >/dev/null; ports
                    """)
            // For IPv4 and IPv6.
            #expect(
                run.lines == ["run 125", "set 73", "2 tcp . 8080", "2 tcp . 8081", "2 tcp . 8082"], "\(run.both)")
            #expect(run.err.contains("has port 7070") && run.err.contains("has port 8080"), "\(run.both)")
        }
    }

    @Test func aPortThatIsPublishedTwice() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                "$CTR" run --net nat --publish 8080:7 --publish 8080:8 minimal true; echo "status $?"
                "$CTR" create $N-a --template minimal --net nat --publish 8080:7 --publish 8080:8/tcp; echo "status $?"
                "$CTR" create $N-a --template minimal --net nat --publish 8080:7 --publish 8080:7/udp --publish 192.0.2.1:8080:8 --publish 8080:7 >/dev/null; echo "status $?"
                "$CTR" set $N-a --publish 9090:7 --publish 9090:8; echo "status $?"
                # What was said before is replaced.
                "$CTR" set $N-a --publish 8080:9; echo "status $?"; "$CTR" --json show $N-a | grep -o '"8080:[^"]*"' | sort -u
                "$CTR" destroy --force $N-a >/dev/null
                """)
            #expect(
                run.lines == [
                    "status 125", "status 64", "status 0", "status 64", "status 0", "\"8080:7/udp\"", "\"8080:9\"",
                ], "\(run.both)")
            #expect(run.err.contains("8080:7") && run.err.contains("8080:8"), "\(run.both)")
        }
    }

    /// An interface's alias has room for 255 bytes, and a path of the root may be longer.
    @Test func aRootWithALongPath() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                long=$(printf 'é%.0s' $(seq 100)); deep="$PWD/$long/$long"; mkdir -p -m 700 "$deep/a" "$deep/b"; cp -al root/templates "$deep/a/"; cp -al root/templates "$deep/b/"
                A() { "$CTR" --root "$deep/a" --state "$PWD/astate" "$@"; }; B() { "$CTR" --root "$deep/b" --state "$PWD/bstate" "$@"; }
                for r in A B; do
                  $r create $N-a --template minimal --net nat --init 'sleep 600' >/dev/null && $r start $N-a >/dev/null || exit 1
                done
                A set $N-a --publish 8080:80 --rate-in 20M; echo "status $?"; B set $N-a --rate-in 20M; echo "status $?"
                tc qdisc show | grep -c tbf; ip link | grep -o 'alias ctr t.*' | sort -u | wc -l
                A stop --timeout 0 $N-a >/dev/null; A set $N-a --unset publish --net routed --ip 192.0.2.50; A start $N-a >/dev/null; A set $N-a --ip 192.0.2.51; echo "status $?"
                B stop --timeout 0 $N-a >/dev/null; B set $N-a --net routed --ip 192.0.2.50; B start $N-a; echo "status $?"
                A destroy --force $N-a >/dev/null; B destroy --force $N-a >/dev/null; A host recover >/dev/null; B host recover >/dev/null
                gone bash -c 'ip -o link | grep -q "alias ctr t"'; ls "$deep/a/network" "$deep/b/network" | grep -v /
                """)
            #expect(
                run.lines == ["status 0", "status 0", "2", "2", "status 0", "status 73", "plan", "plan"],
                "\(run.both)")
        }
    }
}

import Testing

/// `--interface ethN:bridge=NAME`: interfaces beside eth0.
@Suite struct NetworkInterfacesTests {
    /// Two bridges with the host on them; `reach ADDRESS...` prints those that answer, `links` the host's ends of interfaces.
    private static let tools = """
        for n in 0 1; do
            ip link add lan$n type bridge; ip link set lan$n up; ip addr add 10.7.$n.1/24 dev lan$n; ip -6 addr add fd07:$n::1/64 dev lan$n nodad
        done
        reach() { for a; do for _ in 1 2 3 4 5; do busybox ping -c1 -W1 $a >/dev/null 2>&1 && echo $a && break; done; done; }
        silent() { busybox ping -c2 -W1 $1 >/dev/null 2>&1 || echo "no $1"; }
        links() { ip -o link show type veth | grep -c 'alias ctr '; }
        about() { "$CTR" --json show $1 | python3 -c 'import json,sys; i = json.load(sys.stdin)["interfaces"]; print(eval(sys.argv[1]))' "$2"; }
        one='--interface eth1:bridge=lan1,ip=10.7.1.5/24,ip=fd07:1::5/64'

        """

    @Test func eachIsAPortOfItsOwn() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --net bridge=lan0 --ip 10.7.0.5/24 --gateway 10.7.0.1 $one --init 'sleep 600' >/dev/null &&
                    "$CTR" start $N-a >/dev/null || exit 1
                    reach 10.7.0.5 10.7.1.5 fd07:1::5; links
                    about $N-a '[(x["name"], x["addresses"]) for x in i]'
                    about $N-a 'i[1]["sent"]["ipv4"]["bytes"] > 0 and i[1]["sent"]["ipv6"]["bytes"] > 0 and i[0]["mac"] != i[1]["mac"]'
                    # An address that is not its own.
                    V $N-a ip addr add 10.7.1.9/24 dev eth1; silent 10.7.1.9
                    # While it runs.
                    "$CTR" set $N-a --interface eth1:bridge=lan1,ip=10.7.1.6/24; echo "status $?"; reach 10.7.1.6 10.7.0.5; silent 10.7.1.5
                    "$CTR" restart --timeout 0 $N-a >/dev/null; reach 10.7.0.5 10.7.1.6
                    "$CTR" stop --timeout 0 $N-a >/dev/null; for _ in $(seq 100); do [ "$(links)" = 0 ] && break; sleep 0.05; done; links
                    "$CTR" rename $N-a $N-b >/dev/null; "$CTR" start $N-b >/dev/null; reach 10.7.1.6
                    "$CTR" clone $N-b $N-c --ip 10.7.0.7/24 >/dev/null; "$CTR" start $N-c >/dev/null; reach 10.7.0.7; about $N-c '[x["addresses"] for x in i]'
                    "$CTR" destroy --force $N-c >/dev/null
                    "$CTR" set $N-b --interface eth1:none >/dev/null 2>&1; "$CTR" restart --timeout 0 $N-b >/dev/null; reach 10.7.0.5; silent 10.7.1.6
                    V $N-b ip link show eth1 2>/dev/null || echo "no eth1"
                    "$CTR" destroy --force $N-b >/dev/null; ls root/network
                    """)
            #expect(
                run.lines == [
                    "10.7.0.5", "10.7.1.5", "fd07:1::5", "2",
                    "[('eth0', ['10.7.0.5']), ('eth1', ['10.7.1.5', 'fd07:1::5'])]", "True", "no 10.7.1.9",
                    "status 0", "10.7.1.6", "10.7.0.5", "no 10.7.1.5", "10.7.0.5", "10.7.1.6", "0", "10.7.1.6",
                    "10.7.0.7", "[['10.7.0.7'], []]", "10.7.0.5", "no 10.7.1.6", "no eth1", "plan",
                ], "\(run.both)")
        }
    }

    @Test func aRebootInsideKeepsBoth() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --net bridge=lan0 --ip 10.7.0.5/24 $one >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    reach 10.7.0.5 10.7.1.5; about $N-a '[(x["addresses"], x["mac"], x["interface"]) for x in i]' > before
                    for _ in 1 2; do
                        p=$(pid $N-a); "$CTR" exec $N-a reboot; gone kill -0 $p
                        until [ "$("$CTR" list -q --state running)" = $N-a ] && [ "$(pid $N-a)" != $p ]; do sleep 0.1; done
                        reach 10.7.0.5 10.7.1.5 fd07:1::5; about $N-a '[(x["addresses"], x["mac"], x["interface"]) for x in i]' | cmp - before && links
                    done
                    about $N-a 'all(x["sent"]["ipv4"]["packets"] >= 2 for x in i)'
                    "$CTR" destroy --force $N-a >/dev/null; ls root/network
                    """)
            let both = ["10.7.0.5", "10.7.1.5", "fd07:1::5", "2"]
            #expect(run.lines == ["10.7.0.5", "10.7.1.5"] + both + both + ["True", "plan"], "\(run.both)")
        }
    }

    /// Nothing half made: neither eth0 nor a process.
    @Test func whatIsMissingIsNamed() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --net nat --interface eth1:bridge=lan9,ip=10.7.9.5/24 --init 'sleep 600' >/dev/null || exit 1
                    "$CTR" start $N-a 2>&1 | grep -o 'eth1:bridge=lan9: no interface of this name'; links; "$CTR" list -o name,state | tail -1 | grep -o stopped
                    ip link add lan9 type bridge; ip link set lan9 up; ip addr add 10.7.9.1/24 dev lan9
                    "$CTR" start $N-a >/dev/null; reach 10.7.9.5; V $N-a busybox ping -c1 -W2 192.0.2.2 >/dev/null && echo out
                    "$CTR" create $N-b --template minimal --interface eth1:bridge=lan9,ip=10.7.9.5/24 2>&1 | grep -o "has 10.7.9.5"
                    "$CTR" run --net none $one minimal true; echo "status $?"
                    for wrong in eth0:bridge=lan0 eth1:nat eth16:bridge=lan0 eth1:bridge=lan0,ip=x eth1; do
                        "$CTR" create $N-x --template minimal --interface $wrong >/dev/null 2>&1; echo $?
                    done
                    # Killed at any moment, the next verb goes on.
                    "$CTR" stop --timeout 0 $N-a >/dev/null
                    for ms in 2 5 10 20 40; do
                        "$CTR" start $N-a >/dev/null 2>&1 & p=$!; sleep 0.0$(printf %02d $ms); kill -9 $p; wait $p 2>/dev/null
                        "$CTR" stop --timeout 0 $N-a >/dev/null 2>&1
                    done
                    "$CTR" start $N-a >/dev/null; reach 10.7.9.5; links
                    "$CTR" destroy --force $N-a >/dev/null; "$CTR" destroy --force $N-b >/dev/null 2>&1; ls root/network
                    """)
            #expect(
                run.lines == [
                    "eth1:bridge=lan9: no interface of this name", "0", "stopped", "10.7.9.5", "out", "has 10.7.9.5",
                    "status 0", "64", "64", "64", "64", "64", "10.7.9.5", "2", "plan",
                ], "\(run.both)")
        }
    }

    /// Nothing of what is refused is kept, and addresses may change hands within a VPS.
    @Test func whatIsRefusedLeavesAllAsItWas() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    has() { readlink root/network/$1 || echo "$1: nobody"; }
                    "$CTR" create $N-x --template minimal --net bridge=lan0 --ip 10.7.0.99/24 >/dev/null || exit 1
                    taken="--interface eth2:bridge=lan1,ip=10.7.0.99/24"
                    for net in none "bridge=lan0 --ip 10.7.0.4/24"; do
                        "$CTR" create $N-a --template minimal --net $net >/dev/null; cp root/vps/$N-a/config.json before
                        "$CTR" set $N-a --interface eth1:bridge=lan1,ip=10.7.1.5/24 $taken >/dev/null 2>&1; echo "status $?"; has 10.7.1.5
                        cmp before root/vps/$N-a/config.json && echo same; "$CTR" destroy $N-a >/dev/null
                    done
                    "$CTR" create $N-a --template minimal --net bridge=lan0 --ip 10.7.0.5/24 --interface eth1:bridge=lan0,ip=10.7.0.6/24 --init 'sleep 600' >/dev/null
                    moved="--unset ip --ip 10.7.0.7/24 --interface eth1:bridge=lan0,ip=10.7.0.5/24"
                    "$CTR" set $N-a $moved $taken >/dev/null 2>&1; echo "status $?"
                    "$CTR" start $N-a >/dev/null; echo "start $?"; about $N-a '[x["addresses"] for x in i]'; has 10.7.0.7
                    "$CTR" stop --timeout 0 $N-a >/dev/null
                    # Killed at any moment: it can be started, and has what its configuration says.
                    for n in $(seq 1 12); do
                        case $((n % 2)) in 0) m="$moved";; 1) m="--unset ip --ip 10.7.0.5/24 --interface eth1:bridge=lan0,ip=10.7.0.7/24";; esac
                        "$CTR" set $N-a $m >/dev/null 2>&1 & p=$!; sleep 0.00$n; kill -9 $p 2>/dev/null; wait $p 2>/dev/null
                        "$CTR" start $N-a >/dev/null || { echo "not started after $n"; break; }
                        about $N-a '"as it says" if [x["addresses"] for x in i] in ([["10.7.0.7"], ["10.7.0.5"]], [["10.7.0.5"], ["10.7.0.6"]], [["10.7.0.5"], ["10.7.0.7"]]) else i'
                        "$CTR" stop --timeout 0 $N-a >/dev/null
                    done | sort -u
                    # eth0's becomes eth2's, and there is no other; of one that runs eth0 has it until the next start.
                    "$CTR" set $N-a --unset ip --ip 10.7.0.5/24 --interface eth1:bridge=lan0,ip=10.7.0.6/24 >/dev/null; echo "status $?"
                    "$CTR" start $N-a >/dev/null; "$CTR" set $N-a --unset ip --net none --interface eth1:bridge=lan0,ip=10.7.0.5/24 >/dev/null 2>&1; echo "status $?"
                    "$CTR" set $N-a --unset ip --net none --interface eth1:none --interface eth2:bridge=lan0,ip=10.7.0.5/24 >/dev/null 2>&1; echo "status $?"
                    "$CTR" restart --timeout 0 $N-a >/dev/null; echo "restart $?"; about $N-a '[(x["name"], x["addresses"]) for x in i]'; has 10.7.0.6
                    "$CTR" destroy --force $N-a >/dev/null; "$CTR" destroy $N-x >/dev/null; ls root/network
                    """)
            let refused = ["status 73", "10.7.1.5: nobody", "same"]
            #expect(
                run.lines == refused + refused + [
                    "status 73", "start 0", "[['10.7.0.5'], ['10.7.0.6']]", "10.7.0.7: nobody", "as it says",
                    "status 0",
                    "status 73", "status 0", "restart 0", "[('eth2', ['10.7.0.5'])]", "10.7.0.6: nobody", "plan",
                ], "\(run.both)")
        }
    }

    /// A connection over eth1 goes on where it was.
    @Test(
        .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
        arguments: [("nat", "2"), ("none", "1")]
    ) func overASuspend(net: String, count: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --disk none --net \(net) $one >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    "$CTR" exec $N-a -- sh -c 'setsid busybox nc -ll -p 7000 -e cat </dev/null >/dev/null 2>&1 &'
                    cat > talk.py <<'P'
                    import socket, subprocess, sys
                    for _ in range(100):
                        try: s = socket.create_connection(("10.7.1.5", 7000)); break
                        except OSError: subprocess.run(["sleep", "0.1"])
                    s.settimeout(20)
                    def say(w): s.sendall(w); assert s.recv(99) == w
                    say(b"one")
                    for verb in "suspend", "resume": subprocess.run([sys.argv[1], verb, sys.argv[2]], check=True, stdout=subprocess.DEVNULL)
                    say(b"two"); print("talked")
                    P
                    python3 talk.py "$CTR" $N-a; reach 10.7.1.5; links
                    "$CTR" destroy --force $N-a >/dev/null; ls root/network
                    """)
            #expect(run.lines == ["talked", "10.7.1.5", count, "plan"], "\(run.both)")
        }
    }
}

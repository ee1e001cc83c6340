import Testing

/// What is counted of a VPS's network, for billing.
@Suite struct TrafficTests {
    /// Functions of the script: `sent N FAMILY` prints bytes; `talk N COUNT` sends UDP packets of 100 bytes by each family.
    private static let tools = """
        sent() { "$CTR" --json show $1 | python3 -c 'import json,sys; n = json.load(sys.stdin)["network"]["sent"]; print(n["'$2'"]["bytes"] if "'$2'" != "dropped" else n["dropped"])'; }
        cat > talk.py <<'P'
        import socket, sys
        for family, to in (socket.AF_INET, "192.0.2.2"), (socket.AF_INET6, "2001:db8::2"):
            s = socket.socket(family, socket.SOCK_DGRAM)
            for _ in range(int(sys.argv[1])): s.sendto(b"x" * 100, (to, 9))
        P
        talk() { V $1 python3 talk.py $2; }
        # Beside a few packets of the kernel's own: neighbours, routers.
        near() { [ $1 -ge $2 ] && [ $1 -le $(($2 + 6000)) ] && echo "$3" || echo "$3: $1, not $2"; }

        """

    @Test(arguments: ["nat", "routed"]) func goOn(net: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    net='--net \(net)'; [ '\(net)' = nat ] || net="$net --ip 192.0.2.50 --ip 2001:db8::50"
                    "$CTR" create $N-a --template minimal $net --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    talk $N-a 1000; near $(sent $N-a ipv4) 128000 ipv4; near $(sent $N-a ipv6) 148000 ipv6
                    "$CTR" stop --timeout 0 $N-a >/dev/null; near $(sent $N-a ipv4) 128000 stopped
                    "$CTR" start $N-a >/dev/null; talk $N-a 1000; near $(sent $N-a ipv4) 256000 started
                    # Nobody is there when it ends.
                    s=$("$CTR" --json show $N-a | sed -n 's/.*"supervisor" *: *\\([0-9]*\\).*/\\1/p' | head -1); p=$(pid $N-a)
                    kill -9 $s; gone kill -0 $s; kill -9 $p; gone kill -0 $p
                    "$CTR" start $N-a >/dev/null; near $(sent $N-a ipv4) 256000 killed
                    "$CTR" restart --timeout 0 $N-a >/dev/null; talk $N-a 1000; near $(sent $N-a ipv6) 444000 restarted
                    # Its filter is taken away and made anew; a guest takes its interface away.
                    "$CTR" stop --timeout 0 $N-a >/dev/null; nft flush ruleset; "$CTR" start $N-a >/dev/null; talk $N-a 1000; V $N-a ip link del eth0
                    near $(sent $N-a ipv4) 512000 flushed
                    "$CTR" stop --timeout 0 $N-a >/dev/null; "$CTR" rename $N-a $N-b >/dev/null; near $(sent $N-b ipv4) 512000 renamed
                    "$CTR" clone $N-b $N-c \(net == "nat" ? "" : "--ip 192.0.2.51 ")>/dev/null
                    "$CTR" start $N-c >/dev/null; near $(sent $N-c ipv4) 0 cloned
                    "$CTR" set $N-b --unset ip --net none; "$CTR" set $N-b $net; near $(sent $N-b ipv4) 512000 kept
                    "$CTR" start $N-b >/dev/null; near $(sent $N-b ipv4) 512000 kept
                    "$CTR" set $N-b --unset ip \(net == "nat" ? "" : "--ip 192.0.2.60 ") >/dev/null; talk $N-b 1000 2>/dev/null; near $(sent $N-b ipv4) 640000 changed
                    "$CTR" stats --net $N-b | tail -1 | grep -o "$N-b"
                    "$CTR" destroy --force $N-b $N-c >/dev/null; ls root/network; nft list ruleset | grep -c 'counter ctr[^0-]'
                    """)
            #expect(
                run.lines == [
                    "ipv4", "ipv6", "stopped", "started", "killed", "restarted", "flushed", "renamed", "cloned", "kept",
                    "kept", "changed", f.name("b"), "plan", "0",
                ], "\(run.both)")
        }
    }

    /// What a VPS sends and must not is refused, and counted as that.
    @Test func whatIsRefusedIsNotSent() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --net nat --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    # Else nothing is sent but questions for the gateway's MAC.
                    "$CTR" exec $N-a ping -c1 -W2 192.0.2.2 >/dev/null; one=$(sent $N-a ipv4); V $N-a ip addr add 10.9.9.9/32 dev eth0
                    V $N-a python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.9.9.9", 0)); [s.sendto(b"x" * 1000, ("192.0.2.2", 9)) for _ in range(100)]'
                    near $(sent $N-a ipv4) $one same; [ $(sent $N-a dropped) -ge 100 ] && echo refused
                    "$CTR" destroy --force $N-a >/dev/null
                    """)
            #expect(run.lines == ["same", "refused"], "\(run.both)")
        }
    }

    /// The first VPS on ctr's bridge makes the filter anew, while others run.
    @Test func othersComeAndGo() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --net routed --ip 192.0.2.50 --ip 2001:db8::50 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    talk $N-a 1000
                    "$CTR" create $N-b --template minimal --net nat --init 'sleep 600' >/dev/null && "$CTR" start $N-b >/dev/null || exit 1
                    near $(sent $N-a ipv4) 128000 before; talk $N-a 2000; near $(sent $N-a ipv4) 384000 after
                    # Nobody looks in between.
                    talk $N-a 1000; "$CTR" destroy --force $N-b >/dev/null; ip link del $(bridge)
                    "$CTR" create $N-b --template minimal --net nat --init 'sleep 600' >/dev/null && "$CTR" start $N-b >/dev/null || exit 1
                    talk $N-a 3000; "$CTR" stop --timeout 0 $N-a >/dev/null; near $(sent $N-a ipv4) 896000 again
                    "$CTR" destroy --force $N-a $N-b >/dev/null
                    """)
            #expect(run.lines == ["before", "after", "again"], "\(run.both)")
        }
    }

    /// What waits too long for its rate is dropped at an interface that goes with the VPS.
    @Test(arguments: ["stop --timeout 0", "restart --timeout 0"]) func dropsAreKept(verb: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --net routed --ip 192.0.2.50 --rate-in 1M --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    # It is known where it is: else most wait for that, and are dropped there.
                    C bash -c 'until ip neigh show 192.0.2.50 | grep -q lladdr; do echo x > /dev/udp/192.0.2.50/9; sleep 0.1; done'
                    # One socket waits until what it has sent is gone: the rate is not enough for many.
                    C python3 -c 'import socket; ss = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]; [s.sendto(b"x" * 1000, ("192.0.2.50", 9)) for _ in range(20) for s in ss]'
                    "$CTR" \(verb) $N-a >/dev/null
                    "$CTR" --json show $N-a | python3 -c 'import json,sys; n = json.load(sys.stdin)["network"]["received"]; print("dropped" if n["dropped"] > 100 and n["packets"] >= 2000 else n)'
                    "$CTR" destroy --force $N-a >/dev/null
                    """)
            #expect(run.lines == ["dropped"], "\(run.both)")
        }
    }

    /// Wherever a rename is killed, addresses and totals are the VPS's under the name that it has, and nobody else's.
    @Test func renameIsKilledAnywhere() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --net routed --ip 192.0.2.50 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    V $N-a python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); [s.sendto(b"x" * 100, ("192.0.2.2", 9)) for _ in range(1000)]'
                    "$CTR" stop --timeout 0 $N-a >/dev/null
                    is=$N-a to=$N-b
                    for call in symlinkat renameat2 unlinkat; do
                        for number in $(seq 40); do
                            strace -f -qq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$number "$CTR" rename $is $to >/dev/null 2>&1; status=$?
                            if [ -d root/vps/$to ]; then is=$to; [ $is = $N-a ] && to=$N-b || to=$N-a; fi
                            # A stranger of the other name.
                            "$CTR" create $to --template minimal --net routed --ip 192.0.2.60 --init 'sleep 600' >/dev/null || exit 1
                            "$CTR" start $to >/dev/null && near $(sent $to ipv4) 0 stranger
                            "$CTR" start $is >/dev/null && "$CTR" stop --timeout 0 $is >/dev/null; near $(sent $is ipv4) 128000 own
                            # Each has what is its own, also when both have come.
                            [ "$(readlink root/network/192.0.2.60) $(readlink root/network/192.0.2.50)" = "$to $is" ] || echo "after $call $number: $(ls -l root/network)"
                            "$CTR" destroy --force $to >/dev/null
                            ls root/network | grep -E 'from-|into-|to-'
                            [ $status = 0 ] && break
                        done
                        echo $call; [ $number -gt 1 ] || echo never
                    done | uniq
                    "$CTR" destroy --force $N-a $N-b >/dev/null 2>&1; ls root/network
                    """, timeout: 300)
            let calls = run.lines.filter { !["own", "stranger"].contains($0) }
            #expect(calls == ["symlinkat", "renameat2", "unlinkat", "plan"], "\(run.both)")
        }
    }

    /// Its totals can't be written: it ends all the same, and says so; its interface and its part of the filter go.
    @Test func endsOnAFullDisk() throws {
        try Fixture.with { (f) throws in
            try f.sh(
                """
                truncate -s 300M pool.img && mkfs.ext4 -q -m 0 -N 4096 pool.img && mkdir pool && mount -o loop pool.img pool
                mkdir -m 700 pool/root && cp -a root/templates pool/root/
                """
            ).succeeds()
            f.atEnd { _ = try? f.sh("umount -l pool") }
            let run = try f.host(
                Self.tools + """
                    export CTR_ROOT=$PWD/pool/root
                    "$CTR" create $N-a --template minimal --disk none --net routed --ip 192.0.2.50 --ip 2001:db8::50 --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    talk $N-a 1000; near $(sent $N-a ipv4) 128000 counted; talk $N-a 1000
                    mkdir pool/full; seq -f pool/full/%.0f $(($(stat -f -c %d pool) + 10)) | xargs touch 2>/dev/null
                    stat -f -c %d pool; near $(sent $N-a ipv4) 256000 full
                    "$CTR" stop --timeout 0 $N-a >/dev/null; echo $?; "$CTR" list | grep -o stopped
                    ip -o link show type veth | grep -c ctr; nft list ruleset | grep -c 'counter ctr'; rm -r pool/full
                    "$CTR" start $N-a >/dev/null; talk $N-a 1000; sent $N-a ipv4 | grep -cE '^(25[67]|38[45])...$'
                    "$CTR" destroy --force $N-a >/dev/null; ls pool/root/network
                    """)
            #expect(
                run.lines == ["counted", "0", "full", "0", "stopped", "0", "0", "1", "plan"], "\(run.both)")
            #expect(until(15) { (try? f.sh("umount pool").status) == 0 })
        }
    }

    /// Whoever makes the filter anew is killed: the next verb, of any VPS, has it know all of them again.
    @Test func filterIsKilledAnywhere() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    for i in a b; do
                        ip=192.0.2.5$([ $i = a ] && echo 1 || echo 2)
                        "$CTR" create $N-$i --template minimal --net routed --ip $ip --init 'sleep 600' >/dev/null && "$CTR" start $N-$i >/dev/null || exit 1
                    done
                    "$CTR" create $N-c --template minimal --net routed --ip 192.0.2.53 --init 'sleep 600' >/dev/null
                    for call in sendto symlinkat unlinkat; do
                        for number in $(seq 1 2 99); do
                            nft flush ruleset
                            strace -D -f -qq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$number "$CTR" start $N-c >/dev/null 2>&1; status=$?
                            touched=$(nft list ruleset | grep -c table)
                            "$CTR" show $N-a >/dev/null
                            # Killed before it began, nothing has changed; else all is there.
                            [ $touched = 0 ] || for ip in 192.0.2.51 192.0.2.52; do
                                nft list ruleset | grep -q "$ip" || echo "after $call $number: $ip is not known"
                            done
                            "$CTR" stop --timeout 0 $N-c >/dev/null; [ $status = 0 ] && break
                        done
                        echo $call; [ $number -gt 1 ] || echo never
                    done
                    "$CTR" destroy --force $N-a $N-b $N-c >/dev/null 2>&1; ls root/network
                    """, timeout: 300)
            #expect(run.lines == ["sendto", "symlinkat", "unlinkat", "plan"], "\(run.both)")
        }
    }

    /// A reboot inside, a snapshot gone back to and a hibernation change nothing of it; what is imported begins at zero.
    @Test(
        .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
        .enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? ""))) func overItsLife() throws
    {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --disk 256M --net nat >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    talk $N-a 1000; p=$(pid $N-a); "$CTR" exec $N-a reboot; gone kill -0 $p
                    until [ "$("$CTR" list -q --state running)" = $N-a ] && [ $(pid $N-a) != $p ]; do sleep 0.1; done
                    near $(sent $N-a ipv4) 128000 rebooted
                    talk $N-a 1000; "$CTR" snapshot create $N-a one >/dev/null; talk $N-a 1000; near $(sent $N-a ipv4) 384000 snapshot
                    "$CTR" stop --timeout 0 $N-a >/dev/null; "$CTR" snapshot revert $N-a one >/dev/null
                    near $(sent $N-a ipv4) 384000 reverted
                    "$CTR" start $N-a >/dev/null; talk $N-a 1000; "$CTR" hibernate $N-a >/dev/null; near $(sent $N-a ipv4) 512000 hibernated
                    "$CTR" start $N-a >/dev/null; talk $N-a 1000; near $(sent $N-a ipv4) 640000 resumed
                    "$CTR" stop --timeout 0 $N-a >/dev/null; "$CTR" export $N-a a.tar >/dev/null; near $(sent $N-a ipv4) 640000 exported
                    "$CTR" import a.tar --name $N-b >/dev/null; "$CTR" start $N-b >/dev/null; near $(sent $N-b ipv4) 0 imported
                    "$CTR" destroy --force $N-a $N-b >/dev/null; ls root/network
                    """)
            #expect(
                run.lines == [
                    "rebooted", "snapshot", "reverted", "hibernated", "resumed", "exported", "imported", "plan",
                ], "\(run.both)")
        }
    }

    /// As a whole: suspend takes the interface away, resume makes another.
    @Test(.enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? ""))) func overASuspend() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    "$CTR" create $N-a --template minimal --disk none --net nat >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                    talk $N-a 1000; "$CTR" suspend $N-a >/dev/null; near $(sent $N-a ipv4) 128000 suspended
                    "$CTR" resume $N-a >/dev/null; talk $N-a 1000; near $(sent $N-a ipv4) 256000 resumed
                    "$CTR" destroy --force $N-a >/dev/null; ls root/network
                    """)
            #expect(run.lines == ["suspended", "resumed", "plan"], "\(run.both)")
        }
    }
}

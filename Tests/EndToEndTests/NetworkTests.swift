import Kernel
import Testing

/// `--net nat`: a private network behind the host.
@Suite struct NatTests {
    @Test func addressRouteAndNameServers() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                "$CTR" run --net nat minimal sh -c 'ip -o addr show eth0; ip route; cat /etc/resolv.conf; cat /sys/class/net/lo/operstate'
                """
            ).succeeds()
            #expect(run.out.contains("inet 10."), "\(run.both)")
            #expect(run.out.contains("inet6 fd"), "\(run.both)")
            #expect(run.out.contains("default via 10."), "\(run.both)")
            #expect(run.out.contains("# by ctr"), "\(run.both)")
        }
    }

    /// Without a word of the operator's, in the options or the settings.
    @Test func isTheDefault() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                sed -i 's/, "net": "none"//' config.json
                kind() { "$CTR" --json show $N-a | sed -n 's/.*"network" *: *"\\(.*\\)".*/\\1/p' | head -1; }
                "$CTR" run minimal sh -c 'ip -o addr show eth0 | grep -c "inet 10\\."'
                "$CTR" create $N-a --template minimal >/dev/null; kind
                "$CTR" set $N-a --net none >/dev/null; kind
                "$CTR" set $N-a --unset net >/dev/null; kind
                echo '{"net": "bridges", ' $(tail -c +2 config.json) > wrong.json; CTR_CONFIG=wrong.json "$CTR" run minimal true
                echo "status $?"
                sysctl -qw net.ipv4.ip_forward=0; "$CTR" run minimal true; echo "status $?"
                "$CTR" destroy $N-a >/dev/null
                """)
            #expect(run.lines == ["1", "nat", "none", "nat", "status 125", "status 125"], "\(run.both)")
            #expect(run.err.contains("bridges") && run.err.contains("--net none"), "\(run.both)")
        }
    }

    @Test func nothingIsLeft() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                "$CTR" run --net nat minimal true || exit 1
                gone bash -c 'ip -o link | grep -q "$(bridge)p"'
                ip -o link show type veth | grep -v 'up0' ; ls root/network
                """)
            #expect(run.out == "plan\n", "\(run.both)")
        }
    }

    @Test func masquerade() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                C ip route | grep -q 10. && echo "the client knows a way back"
                nsenter -n -t $client python3 - <<'P' & others="$others $!"
                import socket, threading
                def serve(family, address):
                    s = socket.socket(family); s.bind((address, 7000)); s.listen()
                    while True:
                        c, a = s.accept(); c.sendall((a[0] + "\\n").encode()); c.close()
                threading.Thread(target=serve, args=(socket.AF_INET6, "2001:db8::2")).start()
                serve(socket.AF_INET, "192.0.2.2")
                P
                until C python3 -c 'import socket; socket.create_connection(("192.0.2.2", 7000)); socket.create_connection(("2001:db8::2", 7000))' 2>/dev/null; do sleep 0.05; done
                "$CTR" run --net nat minimal sh -c 'nc 192.0.2.2 7000; nc 2001:db8::2 7000; ping -c1 -W2 192.0.2.2 >/dev/null && echo ping; ping -c1 -W2 2001:db8::2 >/dev/null && echo ping6' </dev/null
                """)
            #expect(run.lines == ["192.0.2.1", "2001:db8::1", "ping", "ping6"], "\(run.both)")
        }
    }

    @Test func withoutForwardingNothingIsMade() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                "\"$CTR\" run --net nat minimal true; s=$?; ip -br link >&1; ls root/network; exit $s",
                forwarding: false)
            run.fails(125, words: "ip_forward", "passes no packets on")
            #expect(!run.out.contains("ctr"), "\(run.both)")
            #expect(!run.out.contains("at-"), "\(run.both)")
        }
    }

    @Test func aForeignBridgeOfTheNameIsLeftAlone() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                "$CTR" run --net nat minimal true; b=$(bridge); ip link del $b; ip link add $b type bridge; ip link set $b up
                "$CTR" run --net nat minimal true; s=$?; ip -br link show $b; ls root/network; exit $s
                """)
            run.fails(125, words: "not of this ctr root")
            #expect(run.out.contains("UNKNOWN") || run.out.contains("DOWN") || run.out.contains("UP"), "\(run.both)")
            #expect(!run.out.contains("at-"), "\(run.both)")
        }
    }

    @Test func theBridgeComesBackAfterABoot() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                "$CTR" run --net nat minimal true; ip link del $(bridge); nft flush ruleset
                "$CTR" run --net nat minimal ping -c1 -W2 192.0.2.2 >/dev/null && echo again
                nft flush ruleset
                "$CTR" run --net nat minimal ping -c1 -W2 192.0.2.2 >/dev/null && echo filter
                """)
            #expect(run.lines == ["again", "filter"], "\(run.both)")
        }
    }

    @Test func twoRootsDoNotCollide() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                mkdir -m 700 other; cp -al root/templates other/
                "$CTR" run -d --name $N-a --net nat minimal sleep 60 >/dev/null || exit 1
                "$CTR" --root "$PWD/other" --state "$PWD/ostate" run -d --name $N-b --net nat minimal sleep 60 >/dev/null || exit 2
                bridge | wc -l; nft list tables | grep -c ctr
                "$CTR" exec $N-a ping -c1 -W2 192.0.2.2 >/dev/null && echo a
                "$CTR" --root "$PWD/other" --state "$PWD/ostate" exec $N-b ping -c1 -W2 192.0.2.2 >/dev/null && echo b
                "$CTR" destroy --force $N-a >/dev/null; "$CTR" --root "$PWD/other" --state "$PWD/ostate" destroy --force $N-b >/dev/null; "$CTR" --root "$PWD/other" --state "$PWD/ostate" host recover >/dev/null
                """)
            #expect(run.lines == ["2", "4", "a", "b"], "\(run.both)")
        }
    }
}

/// What a VPS may not do on its network.
@Suite struct WallTests {
    @Test func vpssAndTheHostAreWalledOff() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                who 0.0.0.0 7000 ready
                "$CTR" run -d --name $N-a --net nat minimal sleep 60 >/dev/null; "$CTR" run -d --name $N-b --net nat minimal sleep 60 >/dev/null
                b=$("$CTR" exec $N-b ip -o -4 addr show eth0 | sed -E 's/.* ([0-9.]+)\\/.*/\\1/')
                g=$("$CTR" exec $N-a ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')
                "$CTR" exec $N-a ping -c1 -W1 $b >/dev/null && echo "a reaches b"
                "$CTR" exec $N-a ping -c1 -W2 $g >/dev/null && echo "the gateway answers"
                "$CTR" exec $N-a nc -w 1 $g 7000 </dev/null; "$CTR" exec $N-a nc -w 1 192.0.2.1 7000 </dev/null
                C ip route add ${b%.*.*}.0.0/16 via 192.0.2.1; C busybox ping -c1 -W1 $b >/dev/null && echo "from outside"
                "$CTR" destroy --force $N-a $N-b >/dev/null
                """)
            #expect(run.lines == ["the gateway answers"], "\(run.both)")
        }
    }

    /// Where they may talk to each other, they know each other's names; where not, none learns of another.
    @Test func namesOfOthers() throws {
        try Fixture.with { (f) throws in
            try f.sh("cp config.json closed.json; sed -i 's/}$/, \"network\": {\"open\": true}}/' config.json")
            let run = try f.host(
                """
                "$CTR" create $N-b --template minimal --net nat >/dev/null; "$CTR" start $N-b >/dev/null
                "$CTR" create $N-a --template minimal --net nat >/dev/null; "$CTR" start $N-a >/dev/null
                "$CTR" exec $N-a sh -c 'echo "10.9.9.9 mine" >> /etc/hosts'
                "$CTR" exec $N-a ping -c1 -W2 $N-b >/dev/null && echo reached
                "$CTR" exec $N-b grep -c $N-a /etc/hosts
                "$CTR" restart $N-b >/dev/null; "$CTR" restart $N-a >/dev/null
                "$CTR" exec $N-b grep -c "$N-a" /etc/hosts
                "$CTR" exec $N-a sh -c 'grep -c "by ctr" /etc/hosts; grep mine /etc/hosts'
                "$CTR" stop $N-a >/dev/null; export CTR_CONFIG=closed.json; "$CTR" start $N-a >/dev/null
                "$CTR" exec $N-a sh -c "grep -c $N-b /etc/hosts; grep mine /etc/hosts"
                "$CTR" destroy --force $N-a $N-b >/dev/null
                """)
            #expect(run.lines == ["reached", "0", "2", "1", "10.9.9.9 mine", "0", "10.9.9.9 mine"], "\(run.both)")
        }
    }

    @Test func openNetworksLetVPSsTalk() throws {
        try Fixture.with { (f) throws in
            try f.sh("sed -i 's/}$/, \"network\": {\"open\": true, \"subnet\": \"10.77.0.0\\/24\"}}/' config.json")
                .succeeds()
            let run = try f.host(
                """
                "$CTR" run -d --name $N-a --net nat minimal sleep 60 >/dev/null; "$CTR" run -d --name $N-b --net nat minimal sleep 60 >/dev/null
                b=$("$CTR" exec $N-b ip -o -4 addr show eth0 | sed -E 's/.* ([0-9.]+)\\/.*/\\1/')
                "$CTR" exec $N-a ping -c1 -W2 $b >/dev/null && echo "a reaches b"; echo ${b%.*}
                "$CTR" destroy --force $N-a $N-b >/dev/null
                """)
            #expect(run.lines == ["a reaches b", "10.77.0"], "\(run.both)")
        }
    }

    /// Frames with what belongs to another VPS, and as a proof that the listener hears one that is true.
    @Test func aVPSCanNotTakeWhatIsNotItsOwn() throws {
        try Fixture.with { (f) throws in
            try f.write("spoof.py", Self.spoof)
            let run = try f.host(
                """
                "$CTR" run -d --name $N-a --net nat minimal sleep 60 >/dev/null || exit 1
                python3 spoof.py listen $(bridge) & l=$!; others="$others $l"
                until [ -e listening ]; do sleep 0.02; done
                V $N-a python3 spoof.py send eth0
                wait $l
                "$CTR" destroy --force $N-a >/dev/null
                """)
            #expect(run.lines == ["true4", "truearp", "true6", "truena"], "\(run.both)")
        }
    }

    /// Frames that a bridge keeps for itself, by which a VPS would come past the filter: to the host's services, to the place
    /// of another in the bridge's table, and to be the host's router.
    @Test(arguments: ["nat", "bridge=lan0"]) func nothingIsForTheBridgeItself(net: String) throws {
        try Fixture.with { (f) throws in
            try f.write(
                "past.py",
                """
                import socket, struct, sys, re, subprocess
                text = subprocess.run(["ip", "addr", "show", "eth0"], capture_output=True, text=True).stdout
                mac = bytes.fromhex(re.search(r"ether ([0-9a-f:]+)", text)[1].replace(":", "")); four = socket.inet_aton(re.search(r"inet ([0-9.]+)", text)[1])
                to, other = socket.inet_aton(sys.argv[1]), bytes.fromhex(sys.argv[2].replace(":", ""))
                def folded(t):
                    while t > 65535: t = (t & 65535) + (t >> 16)
                    return t ^ 65535
                def ip4(src, word):
                    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(word), 1, 0, 64, 17, 0, src, to)
                    return b"\\x08\\0" + head[:10] + struct.pack("!H", folded(sum(struct.unpack("!10H", head)))) + head[12:] + struct.pack("!HHHH", 9, 5300, 8 + len(word), 0) + word
                def ra():
                    src, dst = socket.inet_pton(10, "fe80::bad"), socket.inet_pton(10, "ff02::1")
                    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 3600, 3600, 0) + socket.inet_pton(10, "2001:db8:e::")
                    s = src + dst + struct.pack("!II", len(body), 58) + body; body = body[:2] + struct.pack("!H", folded(sum(struct.unpack("!%dH" % (len(s) // 2), s)))) + body[4:]
                    return b"\\x86\\xdd" + struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + src + dst + body
                s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
                for last in range(16):
                    dst = b"\\x01\\x80\\xc2\\0\\0" + bytes([last])
                    for frame in [mac + ip4(four, b"own%d" % last), other + ip4(socket.inet_aton("8.8.8.8"), b"spoofed%d" % last), mac + ra(),
                                  mac + b"\\0\\x26\\x42\\x42\\3" + struct.pack("!HBBB8sI8sHHHHH", 0, 0, 0, 0, b"\\0\\0" + mac, 0, b"\\0\\0" + mac, 0x8001, 0, 0x1400, 0x200, 0xf00)]:
                        s.send(dst + frame)
                """)
            let run = try f.host(
                """
                sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.default.accept_ra=1
                ip link add lan0 type bridge stp_state 1 forward_delay 200; ip link set lan0 up; ip addr add 10.5.0.1/24 dev lan0; net=\(net); bridge=lan0; to=10.5.0.1
                [ $net = nat ] || { one="--ip 10.5.0.11/24"; two="--ip 10.5.0.12/24"; }
                "$CTR" run -d --name $N-a --net $net $one minimal sleep 600 >/dev/null && "$CTR" run -d --name $N-b --net $net $two minimal sleep 600 >/dev/null || exit 1
                if [ $net = nat ]; then bridge=$(bridge); to=$(ip -o -4 addr show $bridge | sed -E 's/.*inet ([0-9.]+).*/\\1/'); fi
                until [ $(command bridge link show | grep -c forwarding) = 2 ]; do sleep 0.1; done
                python3 -c '
                import socket
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 5300)); open("serving", "w").close()
                while True: print(s.recv(99), flush=True)' > heard & others="$others $!"; until [ -e serving ]; do sleep 0.02; done
                b=$("$CTR" exec $N-b cat /sys/class/net/eth0/address)
                V $N-a python3 past.py $to $b; sleep 0.5; cat heard; ip -6 route | grep "proto ra"; ip -6 addr | grep 2001:db8:e
                command bridge fdb show | grep "^$b" | sort -u | sed 's/.*dev \\([^ ]*\\).*/\\1/' | while read p; do ip -o link show $p | grep -o "ctr [^ ]* of" ; done | sort -u
                [ $net = nat ] || ip -d link show lan0 | grep -o "root_port [0-9]*"
                "$CTR" --json show $N-a | python3 -c 'import json, sys; print(json.load(sys.stdin)["network"]["sent"]["dropped"] >= 48)'
                "$CTR" destroy --force $N-a $N-b >/dev/null
                """)
            let place = "ctr \(f.name("b")) of"
            #expect(
                run.lines.filter { $0 != place } == (net == "nat" ? ["True"] : ["root_port 0", "True"]), "\(run.both)")
        }
    }

    /// `spoof.py`: `listen BRIDGE`, `send eth0`.
    static let spoof = """
        import socket, struct, sys, time, subprocess, re
        def own():
            text = subprocess.run(["ip", "addr", "show", "eth0"], capture_output=True, text=True).stdout
            mac = bytes.fromhex(re.search(r"ether ([0-9a-f:]+)", text)[1].replace(":", ""))
            four = socket.inet_aton(re.search(r"inet ([0-9.]+)", text)[1])
            six = socket.inet_pton(socket.AF_INET6, re.search(r"inet6 (fd[0-9a-f:]+)", text)[1])
            return mac, four, six
        BROAD = b"\\xff" * 6
        OTHER = b"\\x02\\x11\\x22\\x33\\x44\\x55"
        def ip4(mac, src, word, nxt=17, port=9):
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(word), 1, 0, 64, nxt, 0, src, b"\\xff" * 4)
            total = sum(struct.unpack("!10H", head)); total = (total & 0xffff) + (total >> 16); total = (total & 0xffff) + (total >> 16)
            return BROAD + mac + b"\\x08\\x00" + head[:10] + struct.pack("!H", total ^ 0xffff) + head[12:] + udp(word, port)
        def arp(mac, inner, src, word):
            return BROAD + mac + b"\\x08\\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + inner + src + b"\\0" * 6 + b"\\x0a\\0\\0\\x01" + word
        def ip6(mac, src, nxt, body, dst=bytes.fromhex("ff02" + "00" * 13 + "01")):
            return b"\\x33\\x33\\0\\0\\0\\x01" + mac + b"\\x86\\xdd" + struct.pack("!IHBB", 6 << 28, len(body), nxt, 255) + src + dst + body
        def udp(word, port=9): return struct.pack("!HHHH", port, 9, 8 + len(word), 0) + word
        def tag(frame, number=0): return frame[:12] + b"\\x81\\0" + struct.pack("!H", number) + frame[12:]
        def na(target, word): return struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + word
        if sys.argv[1] == "listen":
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind((sys.argv[2], 0)); s.settimeout(60)
            open("listening", "w").close()
            heard = []
            try:
                while "END" not in heard:
                    m = re.search(rb"<(\\w+)>", s.recv(2000))
                    if m and m[1].decode() not in heard: heard.append(m[1].decode())
            except TimeoutError: pass
            print("\\n".join(w for w in heard if w != "END"))
        else:
            mac, four, six = own()
            b4 = four[:3] + bytes([four[3] ^ 1]); b6 = six[:15] + bytes([six[15] ^ 1])
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
            for frame in [
                ip4(mac, b4, b"<ip4>"), ip4(OTHER, four, b"<mac4>"), ip4(mac, four, b"<true4>"),
                arp(mac, mac, b4, b"<arpip>"), arp(mac, OTHER, four, b"<arpmac>"), arp(OTHER, OTHER, four, b"<mac>"), arp(mac, mac, four, b"<truearp>"),
                ip6(mac, b6, 17, udp(b"<ip6>")), ip6(OTHER, six, 17, udp(b"<mac6>")), ip6(mac, six, 17, udp(b"<true6>")),
                ip4(mac, b4, b"<tcp4>", nxt=6), ip6(mac, b6, 6, udp(b"<tcp6>")), ip6(OTHER, six, 6, udp(b"<tcpmac6>")),
                ip4(mac, four, b"<dhcp>", port=67), ip6(mac, six, 17, udp(b"<dhcp6>", 547)),
                ip6(mac, six, 58, na(b6, b"<na>")), ip6(mac, six, 58, struct.pack("!BBHIQ", 134, 0, 0, 0, 0) + b"<ra>"), ip6(mac, six, 58, na(six, b"<truena>")),
                tag(ip4(mac, b4, b"<vlan>"), 1), tag(ip4(mac, four, b"<vlan1>"), 1), tag(ip4(mac, four, b"<tagged>")), tag(tag(ip4(mac, four, b"<two>"))),
                tag(ip6(mac, six, 17, udp(b"<tagged6>"))), tag(ip6(mac, six, 58, na(six, b"<taggedna>"))), tag(arp(mac, mac, four, b"<taggedarp>")),
                BROAD + mac + b"\\x88\\xcc" + b"<lldp>", ip4(mac, four, b"<END>"),
            ]: s.send(frame); time.sleep(0.01)
        """
}

/// `--publish`, `--net bridge=`, `--net routed`.
@Suite struct ReachTests {
    @Test func publishedPortsLeadToTheVPS() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                cat > serve.py <<'P'
                import socket, threading
                s = socket.socket(socket.AF_INET6); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("::", 80)); s.listen()
                u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 5353))
                def udp():
                    while True: d, a = u.recvfrom(99); u.sendto(b"udp\\n", a)
                threading.Thread(target=udp).start(); open("serving", "w").close()
                while True: c, _ = s.accept(); c.sendall(b"tcp\\n"); c.close()
                P
                "$CTR" run -d --name $N-a --net nat --publish 8080:80 --publish 192.0.2.1:53:5353/udp minimal sleep 60 >/dev/null || exit 1
                p=$(pid $N-a); nsenter -n -t $p python3 serve.py & others="$others $!"
                until [ -e serving ]; do sleep 0.05; done
                C busybox nc -w 2 192.0.2.1 8080 </dev/null
                C busybox nc -w 2 2001:db8::1 8080 </dev/null
                busybox nc -w 2 192.0.2.1 8080 </dev/null
                C python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3); s.sendto(b"x", ("192.0.2.1", 53)); print(s.recv(99).decode(), end="")'
                # Another VPS reaches it by the host's address.
                "$CTR" run --net nat minimal nc -w 2 192.0.2.1 8080 </dev/null
                "$CTR" run --net nat --publish 8080:1 minimal true; echo "status $?"
                "$CTR" destroy --force $N-a >/dev/null
                C busybox nc -w 1 192.0.2.1 8080 </dev/null || echo closed
                "$CTR" run --net nat --publish 8080:1 minimal true; echo "status $?"; ls root/network
                """)
            #expect(
                run.lines == ["tcp", "tcp", "tcp", "udp", "tcp", "status 125", "closed", "status 0", "plan"],
                "\(run.both)")
            #expect(run.err.contains("VPS \(f.name("a")) has tcp-8080"), "\(run.both)")
        }
    }

    @Test func aPortOfAnOperatorsBridge() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                ip link add lan0 type bridge; ip addr add 10.5.0.1/24 dev lan0; ip link set lan0 up
                "$CTR" run --net bridge=lan0 --ip 10.5.0.7/24 --gateway 10.5.0.1 --mac 02:00:5e:00:00:07 minimal sh -c 'ping -c1 -W2 10.5.0.1 >/dev/null && echo reached; ip link show eth0; ip route'
                gone bash -c 'ip -o link | grep -q "master lan0"'; ip -o link | grep -c 'lan0:'; ls root/network
                """
            ).succeeds()
            #expect(run.out.hasPrefix("reached\n"), "\(run.both)")
            #expect(run.out.contains("02:00:5e:00:00:07") && run.out.contains("default via 10.5.0.1"), "\(run.both)")
            #expect(run.out.hasSuffix("1\nplan\n"), "\(run.both)")
            let missing = try f.host("\"$CTR\" run --net bridge=lan9 minimal true")
            missing.fails(125, words: "bridge=lan9", "no interface of this name")
            let other = try f.host("\"$CTR\" run --net bridge=up0 minimal true; s=$?; ip -br link; exit $s")
            other.fails(125, words: "bridge=up0", "not a bridge")
            #expect(!other.out.contains("ctr"), "\(other.both)")
        }
    }

    /// Whoever knew an address elsewhere learns the new place at once: ARP and neighbour advertisements, seen on the wire.
    @Test(arguments: ["routed", "bridge=lan0"]) func announcesItsAddresses(net: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                cat > hear.py <<'P'
                import socket, struct, sys, time
                s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind((sys.argv[1], 0))
                open(sys.argv[2], "w").close(); s.settimeout(600); wanted = set(sys.argv[3:]); end = time.time() + 600
                def whole(b):
                    t = 0
                    for i in range(0, len(b), 2): t += b[i] << 8 | b[i + 1]
                    while t > 65535: t = (t & 65535) + (t >> 16)
                    return t == 65535
                while wanted and time.time() < end:
                    try: p = s.recv(2000)
                    except TimeoutError: break
                    if p[12:14] == b"\\x08\\x06" and p[28:32] == p[38:42] and p[0:6] == b"\\xff" * 6 and p[6:12] == p[22:28]:
                        a = socket.inet_ntop(socket.AF_INET, p[28:32])
                    elif p[12:14] == b"\\x86\\xdd" and p[20] == 58 and p[54] == 136 and p[21] == 255 and p[58] & 0x20 and p[80:86] == p[6:12]:
                        n = struct.unpack(">H", p[18:20])[0]
                        if not whole(p[22:54] + struct.pack(">II", n, 58) + p[54:54 + n]): print("bad sum"); continue
                        a = socket.inet_ntop(socket.AF_INET6, p[62:78])
                    else: continue
                    if a in wanted: print(a); wanted.remove(a)
                P
                ip link add lan0 type bridge; ip link set lan0 up; net='\(net)'
                if [ $net != routed ]; then ip addr flush dev up0; ip link set up0 master lan0; bits=/24; six=/64; fi
                C python3 hear.py up1 ready 192.0.2.50 2001:db8::50 > heard & h=$!
                until [ -e ready ]; do sleep 0.05; done
                "$CTR" run -d --name $N-a --net $net --ip 192.0.2.50$bits --ip 2001:db8::50$six minimal sleep 1000 >/dev/null
                wait $h; sort heard; "$CTR" destroy --force $N-a >/dev/null
                """)
            #expect(run.lines == ["192.0.2.50", "2001:db8::50"], "\(run.both)")
        }
    }

    @Test func addressesOfTheHostsOwnNetwork() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                "$CTR" run -d --name $N-a --net routed --ip 192.0.2.50 --ip 192.0.2.51 --ip 2001:db8::50 minimal sleep 60 >/dev/null || exit 1
                for a in 192.0.2.50 192.0.2.51 2001:db8::50; do C busybox ping -c1 -W2 $a >/dev/null && echo "client to $a"; done
                "$CTR" exec $N-a ping -c1 -W2 192.0.2.2 >/dev/null && echo "to the client"
                "$CTR" exec $N-a ping -c1 -W2 2001:db8::2 >/dev/null && echo "to the client"
                # An address that is not its own goes nowhere.
                V $N-a ip addr add 192.0.2.77/32 dev eth0; V $N-a busybox ping -c1 -W1 -I 192.0.2.77 192.0.2.2 >/dev/null && echo spoofed
                "$CTR" run --net routed --ip 192.0.2.1 minimal true; echo "status $?"
                "$CTR" run --net routed --ip 192.0.2.50 minimal true; echo "status $?"
                "$CTR" destroy --force $N-a >/dev/null; ip neigh show proxy; ip -6 neigh show proxy; ip route | grep 192.0.2.5; ls root/network
                """)
            #expect(
                run.lines == [
                    "client to 192.0.2.50", "client to 192.0.2.51", "client to 2001:db8::50", "to the client",
                    "to the client",
                    "status 125", "status 125", "plan",
                ], "\(run.both)")
            #expect(run.err.contains("the host itself has this address"), "\(run.both)")
        }
    }
}

/// VPSs that are kept: their addresses are theirs until they are destroyed.
@Suite struct ServerNetworkTests {
    @Test func addressesStayAndGoWithTheVPS() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                addr() { "$CTR" exec $1 ip -o -4 addr show eth0 | sed -E 's/.* inet ([0-9.]+).*/\\1/'; }
                "$CTR" create $N-a --template minimal --net nat --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                one=$(addr $N-a); "$CTR" stop --timeout 0 $N-a >/dev/null; "$CTR" start $N-a >/dev/null; [ "$(addr $N-a)" = "$one" ] && echo same
                "$CTR" stop --timeout 0 $N-a >/dev/null; "$CTR" rename $N-a $N-b >/dev/null; "$CTR" start $N-b >/dev/null; [ "$(addr $N-b)" = "$one" ] && echo renamed
                "$CTR" exec $N-b ping -c1 -W2 192.0.2.2 >/dev/null && echo reached
                "$CTR" clone $N-b $N-c >/dev/null; "$CTR" start $N-c >/dev/null; [ "$(addr $N-c)" != "$one" ] && echo cloned
                "$CTR" exec $N-c ping -c1 -W2 192.0.2.2 >/dev/null && echo reached
                "$CTR" stop --timeout 0 $N-c >/dev/null; "$CTR" set $N-c --net none; "$CTR" start $N-c >/dev/null; "$CTR" exec $N-c ip -o link | wc -l
                "$CTR" destroy --force $N-b $N-c >/dev/null; ls root/network
                """)
            #expect(run.lines == ["same", "renamed", "reached", "cloned", "reached", "1", "plan"], "\(run.both)")
        }
    }

    @Test func portsAndRatesChangeWhileItRuns() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                "$CTR" create $N-a --template minimal --net nat --publish 8080:80 --rate-out 20M --init 'sleep 600' >/dev/null && "$CTR" start $N-a >/dev/null || exit 1
                "$CTR" run -d --name $N-b --net nat --publish 9090:90 minimal sleep 600 >/dev/null || exit 2
                look() { nft list ruleset | grep -oE 'tcp . [0-9]+ ' | sort -u; nft list ruleset | grep -o 'rate over.*second'; tc qdisc show | grep tbf | grep -o 'rate [^ ]*'; }
                look | head -3
                "$CTR" set $N-a --publish 8081:80 --rate-in 30M --rate-out 40M; echo "status $?"; look
                "$CTR" set $N-a --publish 9090:80; echo "status $?"
                "$CTR" set $N-a --unset publish --unset rate-in --unset rate-out; echo "status $?"; look
                "$CTR" exec $N-a ping -c3 -i 0.2 -W2 192.0.2.2 >/dev/null
                "$CTR" --json stats $N-a | grep -A12 '"received"' | grep -q '"packets" *: *[3-9]' && echo counted
                "$CTR" stats --net $N-a | grep -c "$N-a *10[.]"
                "$CTR" destroy --force $N-a $N-b >/dev/null; ls root/network
                """)
            #expect(
                run.lines.map { $0.filter { $0 != " " } } == [
                    "tcp.8080", "tcp.9090", "rateover2500000bytes/second", "status0", "tcp.8080", "tcp.8081",
                    "tcp.9090",
                    "rateover5000000bytes/second", "rate30280Kbit", "status73", "status0", "tcp.9090", "counted", "1",
                    "plan",
                ], "\(run.both)")
            #expect(run.err.contains("VPS \(f.name("b")) has tcp-9090"), "\(run.both)")
        }
    }

    @Test func whatAKilledSupervisorLeftIsMended() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                """
                "$CTR" run -d --name $N-a --net nat --publish 8080:80 minimal sleep 600 >/dev/null || exit 1
                s=$("$CTR" --json show $N-a | sed -n 's/.*"supervisor" *: *\\([0-9]*\\).*/\\1/p' | head -1)
                kill -9 $s; gone kill -0 $s
                "$CTR" host recover >/dev/null; ls root/network; nft list ruleset | grep -c 8080
                gone bash -c 'ip -o link | grep -q "$(bridge)p"'
                """)
            #expect(run.lines == ["plan", "0"], "\(run.both)")
        }
    }
}

import Testing

/// Real programs serve, and are asked from afar, while VPSs come and go.
@Suite struct NetworkServiceTests {
    /// The client is a router here, and `F` runs a command on who is behind it: 198.51.100.2, 2001:db8:1::2. `far` is its process.
    private static let far = """
        unshare -n sleep 600 & far=$!; others="$others $far"; export far
        until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
        F() { nsenter -n -t $far "$@"; }
        C ip link add down0 type veth peer name down1 netns $far
        C sysctl -qw net.ipv6.conf.down0.accept_dad=0; F sysctl -qw net.ipv6.conf.down1.accept_dad=0
        C ip addr add 198.51.100.1/24 dev down0; C ip -6 addr add 2001:db8:1::1/64 dev down0 nodad; C ip link set down0 up
        F ip link set lo up; F ip addr add 198.51.100.2/24 dev down1; F ip -6 addr add 2001:db8:1::2/64 dev down1 nodad; F ip link set down1 up
        F ip route add default via 198.51.100.1; F ip -6 route add default via 2001:db8:1::1
        C sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
        ip route add 198.51.100.0/24 via 192.0.2.2; ip -6 route add 2001:db8:1::/64 via 2001:db8::2
        cat > echo.py <<'P'
        import selectors, socket, sys
        all = selectors.DefaultSelector()
        for family, address in (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"):
            s = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((address, int(sys.argv[1]))); all.register(s, selectors.EVENT_READ)
        open(sys.argv[2], "w").close()
        while True:
            for key, _ in all.select():
                d, a = key.fileobj.recvfrom(2000); key.fileobj.sendto(b"%s " % sys.argv[2].encode() + d, a)
        P
        # Asks from one port, a few times each second, until an answer begins with this word, or for so many seconds.
        cat > ask.py <<'P'
        import socket, sys, time
        s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.2)
        s.bind(("", int(sys.argv[3])))
        end = time.time() + float(sys.argv[5])
        while time.time() < end:
            try:
                s.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
                if s.recv(99).decode().split()[0] == sys.argv[4]: print("answered by", sys.argv[4]); break
            except OSError: time.sleep(0.05)
        else: print("no answer of", sys.argv[4])
        P
        ready() { until [ -e $1 ]; do sleep 0.02; done; }

        """

    /// A server of the template's own httpd, with the address of who asks; UDP.
    @Test func behindARouter() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.far + """
                    head -c 3000000 /dev/urandom > big
                    "$CTR" run -d --name $N-a --net nat --publish 8080:80 --publish 5300:7/udp minimal httpd -f -p 80 -h /srv >/dev/null || exit 1
                    "$CTR" exec $N-a sh -c 'mkdir -p /srv/cgi-bin; printf "#!/bin/sh\\necho; echo \\$REMOTE_ADDR\\n" > /srv/cgi-bin/who; chmod +x /srv/cgi-bin/who; cat > /srv/big' < big
                    nsenter -n -t $(pid $N-a) python3 echo.py 7 first & others="$others $!"; ready first
                    for h in 192.0.2.1 '[2001:db8::1]'; do
                      F busybox wget -qO- "http://$h:8080/cgi-bin/who" | sed 's/::ffff://' | tr -d []
                      F busybox wget -qO- "http://$h:8080/big" | cmp - big && echo whole
                    done
                    for h in 192.0.2.1 2001:db8::1; do F python3 ask.py $h 5300 4000 first 30; done
                    "$CTR" destroy --force $N-a >/dev/null
                    """)
            #expect(
                run.lines == [
                    "198.51.100.2", "whole", "2001:db8:1::2", "whole", "answered by first", "answered by first",
                ], "\(run.both)")
        }
    }

    /// By a server of names on the network, and by one in a VPS.
    @Test func namesByDnsmasq() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.far + """
                    serve() { nsenter -n -t $1 dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root --bind-dynamic \\
                        --host-record=www.test,$2,$3 --host-record=four.test,$2 --host-record=six.test,$3 --cname=other.test,four.test 2>/dev/null & others="$others $!"
                      until nsenter -n -t $1 busybox netstat -lnu | grep -q ':53 '; do sleep 0.02; done; }
                    serve $client 192.0.2.2 2001:db8::2
                    mkdir www; echo served > www/index.html; nsenter -n -t $client busybox httpd -f -p 80 -h "$PWD/www" & others="$others $!"
                    "$CTR" run -d --name $N-dns --net nat --publish 53:53 --publish 53:53/udp minimal sleep 600 >/dev/null || exit 1
                    serve $(pid $N-dns) 192.0.2.2 2001:db8::2
                    for dns in 192.0.2.2 2001:db8::2 192.0.2.1; do
                      "$CTR" run --net nat --dns $dns minimal sh -c '
                        for n in www.test four.test six.test other.test; do echo "$n $(timeout 5 wget -qO- http://$n/)"; done; ping -c1 -W2 four.test >/dev/null && echo ping
                        timeout 5 wget -qO- http://none.test/ 2>/dev/null; echo "status $?"'
                    done
                    F python3 - <<'P'
                    import socket
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
                    s.sendto(b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4four\\4test\\0\\0\\1\\0\\1", ("192.0.2.1", 53)); print(socket.inet_ntoa(s.recv(999)[-4:]))
                    P
                    "$CTR" destroy --force $N-dns >/dev/null
                    """)
            let answers = [
                "www.test served", "four.test served", "six.test served", "other.test served", "ping", "status 1",
            ]
            #expect(run.lines == answers + answers + answers + ["192.0.2.2"], "\(run.both)")
        }
    }

    /// A host that asks itself alone: nobody may ask it, or VPSs may where the settings say so.
    @Test func namesByTheHostItself() throws {
        try Fixture.with { (f) throws in
            try f.sh(
                "cp config.json open.json; sed -i 's/}$/, \"network\": {\"hostServices\": [\"53\", \"53\\/udp\"]}}/' open.json; sed 's/53.udp/53\\/sctp/' open.json > wrong.json"
            ).succeeds()
            let run = try f.host(
                """
                echo nameserver 127.0.0.1 > resolv; mount --bind resolv $(readlink -f /etc/resolv.conf)
                mkdir -p empty; [ ! -d /run/systemd/resolve ] || mount --bind empty /run/systemd/resolve
                dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root --bind-dynamic --host-record=www.test,192.0.2.2 2>/dev/null & others="$others $!"
                until busybox netstat -lnu | grep -q ':53 '; do sleep 0.02; done
                row() { "$CTR" --json host check | python3 -c 'import json, sys; f = [f for f in json.load(sys.stdin)["features"] if f["name"] == "name servers"][0]; print(f["status"], f["why"], "--dns" in f.get("cost", "") and "hostServices" in f["cost"])'; }
                ask() { "$CTR" run "$@" minimal sh -c 'grep -c nameserver /etc/resolv.conf; timeout 4 ping -c1 -W2 www.test >/dev/null 2>&1 && echo reached'; }
                row; ask --net nat; ask --net nat --dns 192.0.2.1; echo nameserver 192.0.2.1 > resolv; row; ask --net nat
                CTR_CONFIG=wrong.json "$CTR" run --net nat minimal true; echo "status $?"
                # Read when the filter is made.
                ip link del $(bridge); nft flush ruleset; export CTR_CONFIG=open.json
                row; ask --net nat; ask --net routed --ip 192.0.2.50; echo nameserver 127.0.0.1 > resolv; row; ask --net nat; ask --net routed --ip 192.0.2.50 --ip 2001:db8::50
                who 0.0.0.0 7000 ready; "$CTR" run --net nat minimal nc -w 1 192.0.2.1 7000 </dev/null
                echo nameserver 192.0.2.2 > resolv; row; echo nameserver 192.0.2.1 >> resolv; row; export CTR_CONFIG=config.json; row
                """, private: true)
            #expect(
                run.lines == [
                    "no VPSs can't reach the host's resolver on its own loopback True", "1",
                    "no VPSs can't reach the host's resolver at 192.0.2.1 True", "1", "status 125",
                    "yes 192.0.2.1 False", "1", "reached", "1", "reached",
                    "yes the host itself False", "2", "reached", "2", "reached", "yes 192.0.2.2 False",
                    "yes 192.0.2.2, 192.0.2.1 False",
                    "partly VPSs can reach 192.0.2.2, and not the host's resolver at 192.0.2.1 True",
                ], "\(run.both)")
            #expect(run.err.contains("'53/sctp' is no port of the host"), "\(run.both)")
        }
    }

    /// Starts, stops, changes and ends of others, for as long as a stream and questions by UDP take.
    @Test func othersComeAndGo() throws {
        try Fixture.with { (f) throws in
            try f.write(
                "talk.py",
                """
                import os, socket, sys, threading, time
                if sys.argv[1] == "serve":
                    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 7))
                    def echo():
                        while True: d, a = u.recvfrom(99); u.sendto(d, a)
                    threading.Thread(target=echo, daemon=True).start()
                    s = socket.create_server(("0.0.0.0", 7)); open("serving", "w").close(); c, _ = s.accept()
                    while d := c.recv(1 << 16): c.sendall(d)
                    os._exit(0)
                s = socket.create_connection(("192.0.2.1", 7000)); data = os.urandom(1 << 14); heard = bytearray(); rounds = 0; lost = 0
                s.settimeout(30)
                u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10)
                while not os.path.exists("enough"):
                    s.sendall(data); n = 0
                    while n < len(data):
                        d = s.recv(len(data) - n); assert d and d == data[n:n + len(d)]; n += len(d)
                    u.sendto(b"%d" % rounds, ("192.0.2.1", 7000))
                    try: assert u.recv(99) == b"%d" % rounds
                    except TimeoutError: lost += 1
                    rounds += 1; open("talking", "w").close(); time.sleep(0.005)
                print("lost", lost, "went on" if rounds > 50 else rounds)
                """)
            let run = try f.host(
                """
                "$CTR" run -d --name $N-a --net nat --publish 7000:7 --publish 7000:7/udp minimal sleep 600 >/dev/null || exit 1
                nsenter -n -t $(pid $N-a) python3 talk.py serve & others="$others $!"; until [ -e serving ]; do sleep 0.02; done
                nsenter -n -t $client python3 talk.py ask & t=$!; others="$others $t"; until [ -e talking ]; do sleep 0.02; done
                "$CTR" create $N-b --template minimal --net nat --rate-out 10M --publish 7001:7 --init 'sleep 600' >/dev/null
                for n in 1 2 3 4; do
                  "$CTR" start $N-b >/dev/null; "$CTR" run -d --name $N-c --net nat --publish 7002:7 minimal sleep 600 >/dev/null
                  "$CTR" run --net routed --ip 192.0.2.50 minimal true
                  "$CTR" set $N-b --publish 700$((n + 2)):8 >/dev/null 2>&1; "$CTR" stop --timeout 0 $N-b >/dev/null; "$CTR" destroy --force $N-c >/dev/null
                  "$CTR" run --net nat minimal true && echo ran
                done
                touch enough; wait $t; echo "status $?"
                "$CTR" destroy --force $N-a $N-b >/dev/null; ls root/network
                """)
            #expect(run.lines == ["ran", "ran", "ran", "ran", "lost 0 went on", "status 0", "plan"], "\(run.both)")
        }
    }

    /// Its clients find it again, also one that asked from the same port all the time, and find another that has its port then.
    @Test(arguments: ["192.0.2.1", "2001:db8::1"]) func theServerGoesAndComesBack(host: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.far + """
                    serve() { nsenter -n -t $(pid $1) python3 echo.py 7 $2 & e=$!; others="$others $e"; ready $2; }
                    "$CTR" create $N-a --template minimal --net nat --publish 8080:80 --publish 5300:7/udp --init 'httpd -f -p 80 -h /' >/dev/null || exit 1
                    F bash -c 'until [ -e enough ]; do timeout 5 busybox wget -qO- "http://$1:8080/etc/hostname" >/dev/null 2>&1 && echo got >> got; done' - \(host.contains(":") ? "[\(host)]" : host) & w=$!; others="$others $w"
                    # Nothing is there yet; it asks for as long as this takes.
                    for n in 1 2 3; do
                      F python3 ask.py \(host) 5300 400$n round$n 120 & asks=$!; others="$others $asks"
                      sleep 0.5; "$CTR" start $N-a >/dev/null; serve $N-a round$n; wait $asks
                      before=$(wc -l < got 2>/dev/null || echo 0); for _ in $(seq 200); do [ "$(wc -l < got 2>/dev/null || echo 0)" -gt "$before" ] && { echo "served"; break; }; sleep 0.05; done
                      kill $e; "$CTR" stop --timeout 0 $N-a >/dev/null
                    done
                    # The port becomes another's, which still has the old one's clients.
                    "$CTR" start $N-a >/dev/null; serve $N-a old; old=$e; F python3 ask.py \(host) 5300 4005 old 30
                    F python3 ask.py \(host) 5300 4005 new 120 & asks=$!; others="$others $asks"
                    "$CTR" set $N-a --unset publish; "$CTR" run -d --name $N-b --net nat --publish 5300:7/udp minimal sleep 600 >/dev/null; serve $N-b new; wait $asks
                    "$CTR" set $N-a --publish 5301:7/udp
                    F python3 ask.py \(host) 5301 4006 old 30
                    touch enough; wait $w; kill $old $e; "$CTR" destroy --force $N-a $N-b >/dev/null; ls root/network
                    gone bash -c 'ip -o link | grep -q "master $(bridge)"'; nft list ruleset | grep -cE 'udp [.] 530|tcp [.] 8080'
                    """)
            let round = { (n: Int) in ["answered by round\(n)", "served"] }
            #expect(
                run.lines == round(1) + round(2) + round(3) + [
                    "answered by old", "answered by new", "answered by old", "plan", "0",
                ], "\(run.both)")
        }
    }
}

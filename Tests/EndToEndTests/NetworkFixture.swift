import Testing

/// A host of a test's own, in a network namespace that ends with the test: nothing of the machine's network is touched.
///
///     client 192.0.2.2, 2001:db8::2  ----  192.0.2.1, 2001:db8::1 "host"  ----  VPSs
extension Fixture {
    /// Runs a script there, as on a host. `$CTR` is the program, `$N` the prefix of names; `C` runs a command on the client,
    /// `V NAME` one in a VPS's network with the host's programs; `bridge` prints the names of ctr's bridges.
    ///
    /// The script's VPSs are its own to end.
    /// - Parameter mounts: what it mounts is nobody else's.
    @discardableResult
    func host(
        _ script: String, forwarding: Bool = true, private mounts: Bool = false, timeout: Int = 60,
        at location: SourceLocation = #_sourceLocation
    ) throws -> Outcome {
        try write("host.sh", prelude(forwarding: forwarding) + script)
        return try sh(
            "exec unshare -n\(mounts ? "m" : "") bash '\(path)/host.sh'",
            timeout: Distribution.isLab ? 10 * timeout : timeout, at: location
        )
    }

    private func prelude(forwarding: Bool) -> String {
        """
        cd '\(path)'
        ip link set lo up
        unshare -n sleep 600 & client=$!
        trap 'kill $client $others 2>/dev/null' EXIT
        while [ "$(readlink /proc/$client/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
        C() { nsenter -n -t $client "$@"; }
        pid() { "$CTR" --json show "$1" | sed -n 's/.*"pid" *: *\\([0-9]*\\).*/\\1/p' | head -1; }
        V() ( p=$(pid "$1"); shift; exec nsenter -n -t "$p" "$@"; )
        ip link add up0 type veth peer name up1 netns $client
        # A router asks for no neighbour while it looks whether its link-local address is free, for two seconds or more.
        # Whom it answers for, it answers for after a random delay of up to 0.8 s.
        sysctl -qw net.ipv4.neigh.up0.proxy_delay=0 net.ipv6.neigh.up0.proxy_delay=0
        sysctl -qw net.ipv6.conf.up0.accept_dad=0; C sysctl -qw net.ipv6.conf.up1.accept_dad=0
        ip addr add 192.0.2.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad; ip link set up0 up
        C ip addr add 192.0.2.2/24 dev up1; C ip -6 addr add 2001:db8::2/64 dev up1 nodad
        C ip link set lo up; C ip link set up1 up
        # A new namespace has the host's setting.
        sysctl -qw net.ipv4.ip_forward=\(forwarding ? 1 : 0) net.ipv6.conf.all.forwarding=\(forwarding ? 1 : 0)
        # Answers each connection with the peer's address.
        who() { python3 -c '
        import socket, sys, threading
        s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(); open(sys.argv[3], "w").close()
        while True:
            c, a = s.accept(); c.sendall((a[0] + "\\n").encode()); c.close()
        ' "$1" "$2" "$3" & others="$others $!"; until [ -e "$3" ]; do sleep 0.02; done; }
        gone() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 || return 0; sleep 0.02; done; echo "still: $*"; return 1; }
        bridge() { ip -o link show type bridge | sed -E 's/^[0-9]+: ([^:@]+).*/\\1/' | grep '^ctr'; }
        export -f C V pid bridge; export client

        """
    }
}

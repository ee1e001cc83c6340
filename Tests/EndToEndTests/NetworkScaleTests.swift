import Glibc
import Testing

/// Many VPSs of one bridge: 60 beside other tests, for the kernel's table of neighbours is everybody's; scripts/test.sh has 200
/// alone.
@Suite struct NetworkScaleTests {
    /// As many as one wants (`CTR_TEST_NETWORK_SCALE`), eight at a time.
    private static let number = getenv("CTR_TEST_NETWORK_SCALE").flatMap { Int(String(cString: $0)) } ?? 60

    @Test func eachHasAPlaceOfItsOwn() throws {
        let number = Self.number
        try Fixture.with { (f) throws in
            try f.sh("sed -i 's/}$/, \"network\": {\"open\": true}}/' config.json").succeeds()
            try f.write("spoof.py", WallTests.spoof)
            let run = try f.host(
                """
                each() { seq $1 | xargs -P 8 -I{} bash -c "$2"; }
                export gateway4 gateway6
                each \(number - 1) '"$CTR" run -d --name $N-{} --net nat --rate-out 100M --publish $((20000 + {})):80 minimal sleep 600' >/dev/null
                "$CTR" run -d --name $N-\(number) --net nat minimal sleep 600 >/dev/null
                gateway4=$("$CTR" exec $N-1 ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')
                gateway6=$("$CTR" exec $N-1 ip -6 route | sed -n 's/default via \\([0-9a-f:]*\\).*/\\1/p')
                # Twice: the kernel may forget a neighbour whose MAC it asks for, to make room for others.
                each \(number) '"$CTR" exec $N-{} sh -c "ip -o addr show eth0 scope global; for g in $gateway4 $gateway6; do (ping -c1 -W2 \\$g || ping -c1 -W5 \\$g) >/dev/null && echo gateway; done"' > seen
                echo "IPv4 $(grep -oE 'inet 10[.][0-9.]+' seen | sort -u | wc -l) IPv6 $(grep -oE 'inet6 fd[0-9a-f:]+' seen | sort -u | wc -l) gateway $(grep -cx gateway seen)"
                echo "links $(ip -o link | grep -c "master $(bridge)") addresses $(ls root/network | grep -c '^10[.]')"
                # The last one knows all others by name, and reaches them by it.
                echo "names $("$CTR" exec $N-\(number) cat /etc/hosts | grep "$N-" | sort -u | grep -cv '^127')"
                "$CTR" exec $N-\(number) ping -c1 -W5 $N-1 >/dev/null && echo "by name"
                for n in 1 \(number / 2) \(number); do
                  rm -f listening; python3 spoof.py listen $(bridge) & l=$!; others="$others $l"
                  until [ -e listening ]; do sleep 0.02; done
                  V $N-$n python3 spoof.py send eth0; wait $l
                done | sort | uniq -c | sed 's/^ *//'
                # Neither may one take an address of a neighbour that is there.
                other=$("$CTR" exec $N-2 ip -o -4 addr show eth0 | sed -E 's/.* inet ([0-9.]+).*/\\1/')
                V $N-3 ip addr add $other/32 dev eth0; V $N-3 busybox ping -c1 -W1 -I $other $gateway4 >/dev/null && echo "spoofed"
                "$CTR" exec $N-2 ping -c1 -W2 $gateway4 >/dev/null && echo "still its own"
                each \(number) '"$CTR" destroy --force $N-{}' >/dev/null
                ls root/network; gone bash -c 'ip -o link | grep -q "master $(bridge)"'
                table=$(nft list tables inet | sed -n 's/table inet //p'); for m in publish4 publish6; do nft list map inet $table $m | grep -c elements; done
                nft list ruleset | grep -c 'limit ctr'
                """, timeout: 240)
            #expect(
                run.lines == [
                    "IPv4 \(number) IPv6 \(number) gateway \(2 * number)", "links \(number) addresses \(number)",
                    "names \(2 * (number - 1))", "by name", "3 true4", "3 true6", "3 truearp", "3 truena",
                    "still its own", "plan", "0", "0", "0",
                ], "\(run.both)")
        }
    }
}

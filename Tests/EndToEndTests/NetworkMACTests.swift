import Testing

/// `--mac`: one MAC, one VPS.
@Suite struct NetworkMACTests {
    private static let tools = """
        ip link add lan0 type bridge; ip link set lan0 up
        mac=02:00:5e:00:00:07; own="--net bridge=lan0 --mac $mac"
        has() { readlink root/network/mac-$mac || echo nobody; }
        new() { "$CTR" create "$@" --template minimal --init 'sleep 600' >/dev/null; }
        mac() { "$CTR" --json show $1 | grep -o '"mac" *: *"[0-9a-f:]*"' | tail -1 | tr -d ' "' | cut -d: -f2-; }

        """

    @Test func thatOfAnotherIsRefused() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    new $N-a $own || exit 1; has
                    new $N-b $own; echo "create $?"; "$CTR" run --net nat --mac $mac minimal true; echo "run $?"
                    new $N-b --net nat && "$CTR" set $N-b --mac $mac; echo "set $?"; "$CTR" set $N-b --interface eth1:bridge=lan0,mac=$mac; echo "set $?"
                    # Of one that runs it would be so from its next start on.
                    "$CTR" start $N-b >/dev/null; "$CTR" set $N-b --mac $mac; echo "set $?"; "$CTR" set $N-b --interface eth1:bridge=lan0,mac=$mac; echo "set $?"
                    "$CTR" show --json $N-b | grep -c $mac; "$CTR" restart --timeout 0 $N-b >/dev/null; echo "restart $?"
                    "$CTR" rename $N-a $N-c >/dev/null; has; "$CTR" set $N-b --mac $mac; echo "set $?"
                    # The copy is another VPS.
                    "$CTR" clone $N-c $N-d >/dev/null; echo "clone $?"; mac $N-d | grep -c $mac; "$CTR" clone $N-c $N-e --mac $mac; echo "clone $?"
                    "$CTR" export $N-c c.tar >/dev/null; "$CTR" import --trust c.tar --name $N-f >/dev/null; echo "import $?"; mac $N-f | grep -c $mac; "$CTR" destroy $N-f >/dev/null
                    # And one that comes back finds it taken.
                    "$CTR" destroy $N-c >/dev/null; has; "$CTR" set $N-d --mac $mac; echo "set $?"; has; "$CTR" import --trust c.tar >/dev/null; echo "import $?"
                    "$CTR" set $N-d --unset mac; has; "$CTR" import --trust c.tar >/dev/null; echo "import $?"; has
                    "$CTR" destroy --force $N-b $N-c $N-d >/dev/null; ls root/network
                    """)
            let (c, d) = (f.name("c"), f.name("d"))
            #expect(
                run.lines == [
                    f.name("a"), "create 73", "run 125", "set 73", "set 73", "set 73", "set 73", "0", "restart 0",
                    c, "set 73", "clone 0", "0", "clone 73", "import 0", "0", "nobody", "set 0", d, "import 73",
                    "nobody", "import 0", c, "plan",
                ], "\(run.both)")
            #expect(run.err.contains("VPS \(f.name("a")) has MAC 02:00:5e:00:00:07"), "\(run.both)")
        }
    }

    @Test func aTemplateLeavesItBehind() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    new $N-a $own && "$CTR" template create $N-t --from $N-a >/dev/null || exit 1; has
                    "$CTR" create $N-b --template $N-t --net bridge=lan0 >/dev/null; echo "create $?"; mac $N-b | grep -c $mac
                    "$CTR" template unseal $N-t --to $N-c >/dev/null; echo "unseal $?"; mac $N-c | grep -c $mac
                    "$CTR" destroy $N-b $N-c >/dev/null; "$CTR" template unseal $N-t --to $N-a >/dev/null; has; "$CTR" destroy --force $N-a >/dev/null; ls root/network
                    """)
            #expect(
                run.lines == [f.name("a"), "create 0", "0", "unseal 0", "0", f.name("a"), "plan"], "\(run.both)")
        }
    }

    /// What ctr has made up for one VPS can't be given to another, and what was given is not made up again.
    @Test func thoseThatAreMadeUp() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    new $N-a --net nat && new $N-b --net nat || exit 1; mac=$(mac $N-a); has
                    "$CTR" set $N-b --mac $mac; echo "set $?"; "$CTR" set $N-a --mac $mac; echo "set $?"; has | grep -c $N-a
                    # The addresses that it follows from are free, and it is not.
                    "$CTR" start $N-a >/dev/null; slot=$(ls root/network | grep -E '^(10[.]|fd)' | while read x; do [ "$(readlink root/network/$x)" = $N-a ] && echo $x; done)
                    "$CTR" destroy --force $N-a >/dev/null; "$CTR" set $N-b --mac $mac; echo "set $?"; has | grep -c $N-b
                    new $N-a --net nat; [ "$(mac $N-a)" != $mac ] && echo another
                    "$CTR" create $N-c --template minimal --net nat $(printf -- '--ip %s ' $slot) >/dev/null; [ "$(mac $N-c)" != $mac ] && echo another
                    "$CTR" destroy --force $N-a $N-b $N-c >/dev/null 2>&1; ls root/network
                    """)
            #expect(
                run.lines == ["nobody", "set 73", "set 0", "1", "set 0", "1", "another", "another", "plan"],
                "\(run.both)")
        }
    }

    /// While it runs a VPS keeps the MAC of the addresses that it has left: whoever gets those gets another.
    @Test func ofAddressesThatWereLeft() throws {
        try Fixture.with { (f) throws in
            try f.sh("sed -i 's/}$/, \"network\": {\"subnet\": \"10.77.0.0\\/29\"}}/' config.json").succeeds()
            let run = try f.host(
                Self.tools + """
                    for n in a b c d; do new $N-$n --net nat || exit 1; done
                    "$CTR" start $N-a >/dev/null; mac=$(mac $N-a); free=$(for n in 2 3 4 5 6; do [ -L root/network/10.77.0.$n ] || echo 10.77.0.$n; done)
                    "$CTR" set $N-a --ip $free; echo "status $?"; [ "$(mac $N-a)" = $mac ] && has | grep -c $N-a
                    "$CTR" create $N-e --template minimal --net nat 2>/dev/null; echo "status $?"
                    "$CTR" restart --timeout 0 $N-a >/dev/null; has; new $N-e --net nat; echo "status $?"; [ "$(mac $N-e)" = $mac ] && echo free
                    "$CTR" destroy --force $N-a $N-b $N-c $N-d $N-e >/dev/null; ls root/network
                    """)
            #expect(run.lines == ["status 0", "1", "status 69", "nobody", "status 0", "free", "plan"], "\(run.both)")
        }
    }

    /// From one interface of a VPS to another.
    @Test func withinAVPS() throws {
        try Fixture.with { (f) throws in
            let run = try f.host(
                Self.tools + """
                    new $N-a $own --interface eth1:bridge=lan0 || exit 1; has
                    "$CTR" set $N-a --unset mac --interface eth1:bridge=lan0,mac=$mac; echo "status $?"; has
                    "$CTR" set $N-a --mac $mac --interface eth1:bridge=lan0; echo "status $?"; has
                    "$CTR" start $N-a >/dev/null; "$CTR" set $N-a --unset mac --interface eth1:bridge=lan0,mac=$mac >/dev/null; echo "status $?"; has
                    "$CTR" restart --timeout 0 $N-a >/dev/null; has
                    "$CTR" destroy --force $N-a >/dev/null; ls root/network
                    """)
            let (a, b) = (f.name("a"), f.name("a") + "@eth1")
            #expect(run.lines == [a, "status 0", b, "status 0", a, "status 0", a, b, "plan"], "\(run.both)")
        }
    }
}

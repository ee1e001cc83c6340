import Testing

/// Real servers that are at work when they are suspended: nginx, postgresql, sshd with a session.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: Distribution.lack == nil, Comment(rawValue: Distribution.lack ?? "")))
struct SuspendLoadTests {
    @Test(
        .enabled(if: Distribution.canReachMirror, "Debian's mirror can't be reached"),
        .enabled(if: !Distribution.isLab, "needs no other kernel than the host's"))
    func serversAtWorkLoseNothing() throws {
        try Fixture.withServers { (f) throws in
            try Distribution.add(to: f)
            let packages = "nginx-light postgresql apache2-utils"
            let distribution = DistributionTests()
            let vps = try BootedVPS(f, options: distribution.fetch(packages, f))
            try distribution.install(packages, vps)
            try f.write("load.sh", SuspendLoadTests.load)
            try f.ctr("cp", "\(f.path)/load.sh", "\(vps.name):/root/load.sh").succeeds()
            try vps.sh("bash /root/load.sh").succeeds()

            func done() throws -> Int { try Int(vps.sh("cat /tmp/pg.*.out | grep -c done").line) ?? 0 }
            func pages() throws -> Int { try Int(vps.sh("grep -c Complete /tmp/ab.out").line) ?? 0 }
            for _ in 1...2 {
                let (rows, requests) = (try done(), try pages())
                try f.ctr("suspend", vps.name, timeout: 120).succeeds()
                try f.ctr("resume", vps.name, timeout: 120).succeeds()
                #expect(try until(60) { try done() > rows + 20 && pages() > requests })
            }
            // No request has failed, and no row that was said to be committed is missing, or there twice.
            #expect(
                try vps.sh("grep Failed /tmp/ab.out | sort -u").lines.map { $0.split(separator: " ") } == [
                    ["Failed", "requests:", "0"]
                ])
            try vps.sh("systemctl stop pg1 pg2").succeeds()
            for worker in 1...2 {
                let said = try #require(try Int(vps.sh("grep -c done /tmp/pg.\(worker).out").line))
                let found = try vps.sh(
                    "su postgres -c 'psql -At -F \" \" -c \"select count(*), count(distinct v), max(v) from t where w=\(worker)\"'"
                )
                .succeeds().line.split(separator: " ").compactMap { Int($0) }
                // One may be committed whose word has not arrived.
                #expect(
                    found.count == 3 && Set(found).count == 1 && found[0] >= said && found[0] <= said + 1,
                    "\(said) \(found)")
            }
            // A transaction that was open all the time.
            #expect(try vps.sh("su postgres -c 'psql -Atc \"select count(*) from t where w=-1\"'").line == "0")
            try vps.sh("echo > /tmp/commit").succeeds()
            #expect(
                try until(20) {
                    try vps.sh("su postgres -c 'psql -Atc \"select count(*) from t where w=-1\"'").line == "1"
                })
            // A session with a terminal and a job.
            try vps.sh("echo asked > /tmp/ask").succeeds()
            #expect(try until(20) { try vps.sh("cat /tmp/session.out").out.contains("session ends") })
            let session = try vps.sh("cat /tmp/session.out").out
            for word in ["the answer: asked", "/dev/pts/", "sleep 5000"] {
                #expect(session.contains(word), "\(session)")
            }
            #expect(try vps.sh("systemctl is-active nginx postgresql ssh").succeeds().lines.count == 3)
            #expect(try vps.sh("systemctl restart nginx postgresql && systemctl is-system-running").line == "running")
        }
    }

    private static let load = #"""
        set -e
        cd /tmp
        mkfifo -m 666 commit ask
        cat > /tmp/pg.sh <<'END'
        i=0
        while :; do i=$((i+1)); echo "begin; insert into t values ($1, $i); select pg_sleep(0.002); commit; \\echo done"; done |
            psql -q -At -v ON_ERROR_STOP=1 >> /tmp/pg.$1.out 2>&1
        END
        cat > /tmp/open.sh <<'END'
        { echo "begin; insert into t values (-1, 0);"; read word < /tmp/commit; echo "commit;"; } | psql -q
        END
        su postgres -c "psql -qc 'create table t(w int, v int)'"
        for i in 1 2; do systemd-run -q --unit pg$i -p User=postgres bash /tmp/pg.sh $i; done
        systemd-run -q --unit open -p User=postgres bash /tmp/open.sh
        cat > /tmp/ab.sh <<'END'
        while :; do ab -q -k -c 10 -n 2000 http://127.0.0.1/ | grep -E 'Failed|Complete'; done > /tmp/ab.out 2>&1
        END
        systemd-run -q --unit load bash /tmp/ab.sh
        mkdir -p -m 700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
        cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
        cat > /tmp/session.sh <<'END'
        ssh -tt -o StrictHostKeyChecking=accept-new root@127.0.0.1 > /tmp/session.out 2>&1 <<'INPUT'
        sleep 5000 &
        read word < /tmp/ask; echo "the answer: $word"; tty; jobs; kill %1; echo session "ends"; exit
        INPUT
        END
        systemd-run -q --unit session bash /tmp/session.sh
        for i in $(seq 1000); do
            [ -s /tmp/ab.out ] && [ -s /tmp/pg.1.out ] && [ -s /tmp/pg.2.out ] && [ -s /tmp/session.out ] && pgrep -f 'sleep 5000' && exit 0
            sleep 0.1
        done
        exit 1
        """#
}

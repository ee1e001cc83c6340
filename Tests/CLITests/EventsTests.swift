import Testing

/// `ctr events`: what a script or a person sees of the log.
@Suite struct EventsTests {
    /// Waits until a file has so many lines, at most 20 seconds.
    private static let waiting = """
        lines() {
            for _ in $(seq 400); do [ "$(wc -l < "$1")" -ge "$2" ] && return; sleep 0.05; done
            echo "only $(wc -l < "$1") lines in $1" >&2; exit 1
        }
        cd "${CTR_ROOT%/root}"; log="$CTR_ROOT/log/events.jsonl"

        """

    @Test func linesForPeopleAndPrograms() throws {
        try Program.with { (p) throws in
            #expect(try p.ctr("events").out == "")
            let run = try p.sh(
                Self.waiting + """
                    "$PROBE" "$CTR_ROOT" web 2 $'a\\e[2Jb'; "$PROBE" "$CTR_ROOT" db 1
                    echo garbage >> "$log"
                    "$CTR" events | sed 's/^[^ ]*Z//'; "$CTR" events --json db | sed 's/"time":"[^"]*",//'
                    "$CTR" events --since 1h -q web none | wc -l; "$CTR" events --since 2100-01-01
                    "$CTR" events --since 2020-01-01T00:00:00+01:00 db | wc -l
                    """)
            run.expectSuccess()
            #expect(
                run.out == """
                      web               changed         number=0  text=a\\u{1b}[2Jb
                      web               changed         number=1  text=a\\u{1b}[2Jb
                      db                changed         number=0  text=
                    {"detail":{"number":0,"text":""},"event":"changed","vps":"db"}
                    2
                    1

                    """)
        }
    }

    /// Follows over two rotations, in an environment that a script makes.
    private func follow(_ p: Program, under: String, inotify: Int) throws {
        let run = try p.sh(
            Self.waiting + """
                set -m
                \(under) "$CTR" events -f --json > out & pid=$!
                for _ in $(seq 400); do [ -d "$CTR_ROOT/log" ] && break; sleep 0.05; done
                "$PROBE" "$CTR_ROOT" one 3; lines out 3
                ls -l /proc/$pid/fd | grep -c inotify
                yes x | head -c 4194304 >> "$log"; "$PROBE" "$CTR_ROOT" two 2; lines out 5
                printf '{"half' >> "$log"; "$PROBE" "$CTR_ROOT" three 1; lines out 6
                yes x | head -c 4194304 >> "$log"; "$PROBE" "$CTR_ROOT" four 1; lines out 7
                kill -INT $pid; wait $pid; echo $?
                sed 's/.*"vps":"\\([^"]*\\)".*/\\1/' out | tr '\\n' ' '
                """)
        #expect(run.out == "\(inotify)\n130\none one one two two three four ", "\(run.err)")
    }

    @Test(.timeLimit(.minutes(2))) func follows() throws {
        try Program.with { (p) throws in try follow(p, under: "", inotify: 1) }
    }

    @Test(.timeLimit(.minutes(2))) func followsWithoutInotify() throws {
        try Program.with { (p) throws in
            let limit = "/proc/sys/user/max_inotify_instances"
            try follow(p, under: "unshare -Ur sh -c 'echo 0 > \(limit) && exec \"$@\"' sh", inotify: 0)
        }
    }

    @Test(.timeLimit(.minutes(2))) func endsWhenNobodyReads() throws {
        try Program.with { (p) throws in
            // No event comes any more after the reader has gone.
            let run = try p.sh(
                """
                "$PROBE" "$CTR_ROOT" web 1
                timeout 60 "$CTR" events -f | head -n 1 | wc -l; echo "${PIPESTATUS[0]}"
                """)
            #expect(run.out == "1\n141\n")
            #expect(run.err == "")
        }
    }
}

import Testing

/// Profiles on VPSs that run.
@Suite struct ProfileTests {
    @Test func optionsOfAProfileAct() throws {
        try Fixture.with { (f) throws in
            try f.sh(
                """
                mkdir -p usr/bin usr/share/ctr/profiles && cp "$CTR" usr/bin/ctr
                printf 'hostname = shipped\\nenv = A=1\\nenv = B=1\\n' > usr/share/ctr/profiles/p.profile
                printf 'userns = host\\nhostname = open\\n' > usr/share/ctr/profiles/host.profile
                """
            ).succeeds()
            let show = "minimal sh -c 'hostname; echo $A$B'"
            #expect(try f.sh("usr/bin/ctr run --profile p \(show)").succeeds().lines == ["shipped", "11"])
            let own = try f.sh("usr/bin/ctr run --profile p --hostname mine -e B=2 \(show)").succeeds()
            #expect(own.lines == ["mine", "12"])
            // In the host's user namespace ctr runs from a copy in memory, and knows all the same where it came from.
            #expect(try f.sh("usr/bin/ctr run --profile host minimal hostname").succeeds().line == "open")
            #expect(
                try f.sh("PATH=$PWD/usr/bin:$PATH; ctr run --profile host minimal hostname").succeeds().line == "open")
        }
    }
}

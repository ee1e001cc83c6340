import Kernel
import Testing

/// The completion scripts: their shells accept them, and they ask for names.
@Suite struct CompletionTests {
    @Test(arguments: ["bash", "zsh", "fish"]) func script(_ shell: String) throws {
        try Program.with { (p) throws in
            let run = try p.ctr("completion", shell)
            #expect(run.status == 0)
            for verb in ["run", "template", "destroy", "completion"] { #expect(run.out.contains(verb)) }
            #expect(!run.out.contains("supervise"))
        }
    }

    /// Holds the script against the shell itself.
    private func expectValid(_ shell: String) throws {
        try Program.with { (p) throws in
            let checked = try p.sh(
                "\"$CTR\" completion \(shell) > '\(p.path)/script' && \(shell) -n '\(p.path)/script'")
            #expect(checked.status == 0, "\(checked.err)")
        }
    }

    @Test func bashTakesIt() throws { try expectValid("bash") }

    @Test(.enabled(if: ToolProcess.find("zsh") != nil, "no zsh on this host"))
    func zshTakesIt() throws { try expectValid("zsh") }

    @Test(.enabled(if: ToolProcess.find("fish") != nil, "no fish on this host"))
    func fishTakesIt() throws { try expectValid("fish") }

    /// What bash offers for a line, with the cursor at its end.
    private func offers(_ p: Program, _ words: String...) throws -> [String] {
        let quoted = words.map { "'\($0)'" }.joined(separator: " ")
        let run = try p.sh(
            """
            set +u
            ctr() { "$CTR" "$@"; }
            source <("$CTR" completion bash)
            COMP_WORDS=(\(quoted)); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
            function=$(complete -p ctr | sed 's/.*-F \\([^ ]*\\).*/\\1/')
            "$function" ctr "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """)
        return run.out.split(separator: "\n").map { String($0.filter { $0 != " " }) }
    }

    @Test func bashOffersVerbsAndOptions() throws {
        try Program.with { (p) throws in
            let verb = try offers(p, "ctr", "templ")
            #expect(verb == ["template"])
            let option = try offers(p, "ctr", "run", "--memory-h")
            #expect(option == ["--memory-high"])
            let nested = try offers(p, "ctr", "template", "imp")
            #expect(nested == ["import"])
        }
    }

    @Test func bashOffersNames() throws {
        try Program.with { (p) throws in
            // A name is a directory; completion looks at no more than that.
            let made = try p.sh(#""$CTR" list && mkdir "$CTR_ROOT/vps/web-1" "$CTR_ROOT/vps/web-2" "$CTR_ROOT/vps/db""#)
            #expect(made.status == 0)
            let two = try offers(p, "ctr", "show", "web")
            #expect(two.sorted() == ["web-1", "web-2"])
            let one = try offers(p, "ctr", "stop", "d")
            #expect(one == ["db"])
        }
    }

    @Test func bashOffersProfiles() throws {
        try Program.with { (p) throws in
            try p.write("none.json", "{\"profiles\": \"\(p.path)\"}")
            try p.write("big.profile", "malformed")
            let show = try offers(p, "ctr", "profile", "show", "b")
            #expect(show == ["big"])
            let create = try offers(p, "ctr", "create", "--profile", "b")
            #expect(create == ["big"])
        }
    }
}

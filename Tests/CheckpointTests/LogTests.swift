import Testing

@testable import Checkpoint

/// criu's log becomes one sentence: what, at which process, and what to do.
@Suite struct LogTests {
    private func log(_ text: String) -> CRIULog { CRIULog(Array(text.utf8)) }

    @Test func `the first error and the process that was being dumped`() {
        let found = log(
            """
            (00.001) Dumping task (pid: 4711 comm: nginx)
            (00.002) Dumping task (pid: 4712 comm: uring app)
            (00.003) Error (criu/files.c:12): Can't dump file 5 of that type [20000] (unknown io_uring)
            (00.004) Error (criu/cr-dump.c:1): Dumping FAILED.
            """)
        #expect(found.reason == "Can't dump file 5 of that type [20000] (unknown io_uring)")
        #expect(found.process == "4712 (uring app)")
        #expect(found.meaning?.contains("io_uring") == true)
    }

    @Test func `what harms nothing is passed over`() {
        let found = log(
            """
            (00.001) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
            (00.002)     17: Error (criu/files-reg.c:9): File var/log/a has bad size 5 (expect 7)
            (00.003) Error (criu/cgroup.c:2055): cg: cgroupd: recv req error: No such file or directory
            """)
        #expect(found.reason == "File var/log/a has bad size 5 (expect 7)")
        #expect(found.process == "17 of the VPS")
        #expect(found.meaning != nil)
    }

    @Test func `that it could not keep up is said where nothing else is`() {
        let outrun = "(00.078) Collected (-1 attempts, 4 in_progress)\n"
        let failed = "(00.085) Error (criu/cr-dump.c:1975): Dumping FAILED.\n"
        #expect(log(outrun + failed).meaning?.contains("faster than they can be caught") == true)
        #expect(log(failed).meaning == nil)
        #expect(log(outrun + "(00.08) Error (a.c:1): something else\n" + failed).meaning == nil)
    }

    @Test(arguments: ["", "\n\n", "Error (", "no colon\u{0}\u{1b}[31m", "(00.1) Error (x): "])
    func `a log without sense is no crash`(text: String) {
        #expect(log(text).process == nil)
    }

    @Test func `what a guest writes into a log is harmless on a terminal`() {
        let found = log(
            "(0.1) Dumping task (pid: 3 comm: a\u{1b}[31mb)\n(0.2) Error (a.c:1): File \u{1b}]0;x\u{7} is odd")
        #expect(found.reason?.contains("\u{1b}") == false)
        #expect(found.process?.contains("\u{1b}") == false)
    }

    @Test(arguments: [("4.2", true), ("4.2.1", true), ("5.0", true), ("4.1.1", false), ("3.17.1", false), ("", false)])
    func `which versions will do`(version: String, good: Bool) {
        #expect(CRIU.isNew(version) == good)
    }
}

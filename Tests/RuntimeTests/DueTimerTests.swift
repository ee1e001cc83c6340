import Testing

@testable import Runtime

/// Which timers a resume has to set going again.
@Suite struct DueTimerTests {
    private func info(_ ticks: Int, _ value: String, _ interval: String) -> String {
        "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1\nclockid: 1\nticks: \(ticks)\nsettime flags: 00\n"
            + "it_value: \(value)\nit_interval: \(interval)\n"
    }

    @Test func `one that was due and not read`() throws {
        let timer = try #require(DueTimer(info(3, "(0, 0)", "(2, 500000000)")))
        #expect(timer.ticks == 3 && timer.period == (2, 500_000_000))
    }

    @Test func `not one that is off, that runs, or that is due once`() {
        #expect(DueTimer(info(0, "(0, 0)", "(1, 0)")) == nil)
        #expect(DueTimer(info(1, "(0, 7)", "(1, 0)")) == nil)
        #expect(DueTimer(info(1, "(0, 0)", "(0, 0)")) == nil)
        #expect(DueTimer("") == nil)
    }
}

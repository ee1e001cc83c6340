import Kernel
import Testing

@testable import Model

@Suite struct TimeTextTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", Int64(0)), ("2026-11-23T05:14:52Z", 1_795_410_892_000),
        ("2000-02-29T12:00:00.5Z", 951_825_600_500), ("2024-03-01t00:00:00z", 1_709_251_200_000),
        ("2026-11-23T05:14:52.123456+01:00", 1_795_407_292_123), ("1969-12-31 23:59:59-00:30", 1_799_000),
    ])
    func times(_ text: String, _ milliseconds: Int64) {
        #expect(TimeText.milliseconds(rfc3339: text) == milliseconds)
    }

    @Test func agreesWithWhatCtrWrites() {
        for seconds in [Int64(0), 1, 951_782_400, 1_078_012_799, 1_795_410_892, 4_107_542_399] {
            #expect(TimeText.milliseconds(rfc3339: Timestamp.text(seconds: seconds)) == seconds * 1000)
        }
    }

    @Test(arguments: [
        "", "2026-11-23", "2026-11-23T05:14:52", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-31T00:00:00Z",
        "2026-11-23T24:00:00Z", "2026-11-23T05:60:00Z", "2026-11-23T05:14:52.Z", "2026-11-23T05:14:52Zx",
        "2026-1-1T0:0:0Z",
        "2026-11-23T05:14:52+1:00", "٢٠٢٦-11-23T05:14:52Z",
    ])
    func noTimes(_ text: String) { #expect(TimeText.milliseconds(rfc3339: text) == nil) }

    @Test func since() throws {
        let now: Int64 = 1_795_410_892_000
        func since(_ text: String) throws -> Int64 { try TimeText.since(text, option: "--since", now: now) }
        #expect(try since("2026-11-23T05:14:52Z") == now)
        #expect(try since("2026-11-23") == 1_795_392_000_000)
        #expect(try since("90s") == now - 90_000)
        #expect(try since("1d2h3m4s") == now - 93_784_000)
        #expect(try since("0s") == now)
        for wrong in ["", "90", "s", "1m1h", "1h1h", "-5s", "1.5h", "99999999999s", "200000d", "yesterday", "1h\u{1b}"]
        {
            let error = #expect(throws: CtrError.self) { try since(wrong) }
            #expect(error?.code == .usage && error?.message.hasPrefix("--since '") == true)
            #expect(error?.message.contains("\u{1b}") == false)
        }
    }

    @Test(arguments: [
        (Int64(0), "0s"), (59, "59s"), (60, "1m"), (310, "5m 10s"), (3600, "1h"), (93_784, "1d 2h"), (86_405, "1d"),
    ])
    func durations(_ seconds: Int64, _ text: String) { #expect(TimeText.format(seconds: seconds) == text) }
}

import Model
import Testing

@Suite struct SignalNameTests {
    @Test(arguments: [
        ("TERM", 15), ("SIGTERM", 15), ("term", 15), ("15", 15), ("1", 1), ("64", 64), ("SIGRTMIN", 34),
        ("SIGRTMIN+3", 37), ("rtmin+3", 37), ("RTMAX-1", 63), ("SIGRTMAX", 64), ("RTMIN+30", 64), ("RTMAX-30", 34),
        ("CLD", 17), ("POLL", 29), ("WINCH", 28), ("PWR", 30),
    ])
    func parses(text: String, number: Int) throws {
        #expect(try SignalName.parse(text, option: "--stop-signal") == Int32(number))
    }

    @Test(arguments: [
        "", "0", "65", "-1", "+15", " 15", "15 ", "TERMX", "SIG", "SIGSIGTERM", "RTMIN-1", "RTMAX+1", "RTMIN+31",
        "RTMIN+", "RTMIN+-1", "RTMIN+999", "32x", "999999999999",
    ])
    func refuses(text: String) {
        #expect(throws: CtrError.self) { try SignalName.parse(text, option: "--stop-signal") }
    }

    @Test func refusalNamesTheOptionAndIsUsage() {
        do throws(CtrError) {
            _ = try SignalName.parse("a\u{1b}b", option: "--stop-signal")
            Issue.record("accepted")
        } catch {
            #expect(error.code == .usage)
            #expect(error.message.hasPrefix("--stop-signal 'a\\u{1b}b': "))
        }
    }

    @Test func everyNumberHasANameThatParsesBack() throws {
        for number in Int32(1)...64 where number != 32 && number != 33 {
            let name = SignalName.name(of: number)
            #expect(name.hasPrefix("SIG"))
            #expect(try SignalName.parse(name, option: "") == number)
        }
        #expect(SignalName.name(of: 6) == "SIGABRT")
        #expect(SignalName.name(of: 37) == "SIGRTMIN+3")
        #expect(SignalName.name(of: 32) == "32")
    }
}

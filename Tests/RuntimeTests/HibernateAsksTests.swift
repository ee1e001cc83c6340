import Glibc
import Kernel
import Model
import Testing

@testable import Runtime

/// What a guest writes into /run/host/hibernate, hostile words included.
@Suite struct HibernateAsksTests {
    private func isAsked(_ pieces: String...) -> Bool {
        var scanner = AskScanner()
        return pieces.reduce(false) { scanner.feed(Array($1.utf8)) || $0 }
    }

    @Test func oneLineOfOneWord() {
        #expect(isAsked("hibernate\n"))
        #expect(isAsked("hibernate\nhibernate\n"))
        #expect(isAsked("x\n\nhibernate\nx"))
        #expect(isAsked("hiber", "nate", "\n"))
        #expect(isAsked(String(repeating: "x", count: 100_000), "\nhibernate\n"))
    }

    @Test(arguments: [
        "", "\n", "hibernate", "hibernate \n", " hibernate\n", "hibernate\r\n", "hibernate\0\n", "Hibernate\n",
        "hibernat\n", "hibernatee\n", "xhibernate\n", "hibernatehibernate\n", "hibernate now\n",
    ]) func isSomethingElse(_ text: String) {
        #expect(!isAsked(text))
    }

    /// However long a line is, little of it is kept.
    @Test func longLinesAreNotKept() {
        var scanner = AskScanner()
        for _ in 0..<100 { _ = scanner.feed([UInt8](repeating: UInt8(ascii: "h"), count: 4096)) }
        #expect(scanner.kept <= AskScanner.word.count + 1)
    }

    // MARK: the fifo

    private func withFIFO(_ body: (SharedFD, borrowing FD) throws -> Void) throws {
        let path = "/tmp/ctr-asks-test-\(UInt32.random(in: .min ... .max))"
        try open("/tmp", [.directory]).makeDirectory(path, mode: 0o700)
        defer { try? open("/tmp", [.directory]).removeTree(String(path.dropFirst(5))) }
        let directory = try open(path, [.path, .directory])
        try directory.makeNode("hibernate", .fifo, permissions: 0o600)
        let host = SharedFD(try directory.open("hibernate", [.readWrite, .nonBlocking, .noFollow]))
        try body(host, directory.open("hibernate", [.writeOnly, .nonBlocking]))
    }

    private func turn(_ asks: inout HibernateAsks, _ fifo: SharedFD?) throws -> HibernateAsks.Happened {
        var poll = Poll()
        asks.add(to: &poll, fifo)
        return asks.handle(try poll.wait(milliseconds: 0), fifo)
    }

    private func expect(
        _ wanted: HibernateAsks.Happened, _ asks: inout HibernateAsks, _ fifo: SharedFD?,
        at location: SourceLocation = #_sourceLocation
    ) throws {
        let happened = try turn(&asks, fifo)
        #expect(happened == wanted, sourceLocation: location)
    }

    @Test func isHeardOnceAndThenNotForAWhile() throws {
        try withFIFO { (fifo, guest) throws in
            var asks = HibernateAsks()
            try expect(.nothing, &asks, fifo)
            #expect(asks.pause == nil)
            try guest.writeAll(Array("hibernate\nhibernate\n".utf8))
            try expect(.asked, &asks, fifo)
            try expect(.nothing, &asks, fifo)
            try guest.writeAll(Array("something else\n".utf8))
            try expect(.nothing, &asks, fifo)
            #expect(asks.pause != nil)
            try guest.writeAll(Array("hibernate\n".utf8))
            try expect(.nothing, &asks, fifo)
            let isHeard = try until(10) { try turn(&asks, fifo) == .asked }
            #expect(isHeard)
        }
    }

    /// One that fills it is not read to an end that does not come, nor looked at all the time.
    @Test func aFloodIsReadInTurns() throws {
        try withFIFO { (fifo, guest) throws in
            var asks = HibernateAsks()
            let flood = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
            while (try? guest.write(flood)) != nil {}
            try expect(.nothing, &asks, fifo)
            #expect(asks.pause != nil)
            try guest.writeAll(flood)
            var poll = Poll()
            asks.add(to: &poll, fifo)
            // Not even polled.
            #expect(try poll.wait(milliseconds: 0).isEmpty)
        }
    }

    /// The pause of one that has gone does not keep a supervisor awake.
    @Test func aPauseEndsWithoutAFIFOToo() throws {
        try withFIFO { (fifo, guest) throws in
            var asks = HibernateAsks()
            try guest.writeAll(Array("x".utf8))
            try expect(.nothing, &asks, fifo)
            #expect(asks.pause != nil)
            let isOver = try until(10) {
                _ = try turn(&asks, nil)
                return asks.pause == nil
            }
            #expect(isOver)
        }
    }

    private func until(_ seconds: Int, _ condition: () throws -> Bool) rethrows -> Bool {
        let deadline = Deadline(milliseconds: seconds * 1000)
        while !deadline.hasPassed {
            if try condition() { return true }
            usleep(20_000)
        }
        return false
    }

    /// What keeps the host busy is no quiet time, however long it takes.
    @Test func longWorkIsFollowedByALongPause() {
        var pauses = AskPauses()
        let second: UInt64 = 1_000_000_000
        #expect(pauses.next(quiet: 0, work: 0) == 1000)
        #expect(pauses.next(quiet: second, work: 90 * second) == 90_000)
        #expect(pauses.next(quiet: second, work: 0) == 4000)
        #expect(pauses.next(quiet: 100 * second, work: 0) == 1000)
    }

    // MARK: the answer

    @Test func ofTheHostAGuestHearsLittle() {
        func reason(_ code: CtrError.Code, _ text: String) -> String {
            AskedHibernation.reason(CtrError(code, text), of: "web")
        }
        #expect(reason(.failed, "hibernate web: in rescue mode") == "in rescue mode")
        #expect(reason(.failed, "hibernate web: process 7 ('x') has an io_uring") == "process 7 ('x') has an io_uring")
        for (code, text) in [
            (CtrError.Code.failed, "hibernate web: criu: Can't open /var/lib/ctr/vps/web/log"),
            (.cannotCreate, "hibernate web: its memory: takes 1G, 7G are free of /var/lib/ctr"),
            (.busy, "VPS web: 'ctr suspend web' (process 7) is at work on it"), (.io, "/var/lib/ctr/vps/web: EIO"),
            (.config, "settings /etc/ctr/ctr.json: unknown key"), (.unavailable, "criu: /opt/criu is not there"),
        ] {
            let told = reason(code, text)
            #expect(!told.isEmpty && !told.contains("/") && !told.contains("7"), "\(told)")
        }
    }

    @Test func processesHaveTheNumbersOfTheGuest() {
        func told(_ text: String) -> String { AskedHibernation.withoutHostNumbers(text) { $0 == 31_000 ? 17 : nil } }
        #expect(
            told("process 31000 ('x process 31000') has an io_uring")
                == "process 17 ('x process 31000') has an io_uring")
        #expect(told("process 4 ('x') has an io_uring") == "process ? ('x') has an io_uring")
        #expect(!told("process 31000 ('x') is traced by process 4 (a debugger)").contains("4"))
        #expect(told("in rescue mode") == "in rescue mode")
        let own = AskedHibernation.reason(
            CtrError(.failed, "hibernate web: checkpoint of VPS web: rename: no space"), of: "web")
        #expect(own.contains("ctr events") && !own.contains("rename"))
    }
}

import Testing

@testable import Network

@Suite struct TrafficTests {
    private func counts(_ received4: UInt64, _ refused: UInt64 = 0) -> [UInt64] {
        [received4, received4 / 10] + [UInt64](repeating: 0, count: 6) + [refused, refused]
    }

    @Test func onlyWhatIsNewIsAdded() {
        var totals = TrafficTotals(port: "a", now: counts(1000))
        #expect(totals[.received4] == (0, 0))
        totals.add(counts(1500, 2), of: "a")
        totals.add(counts(1500, 2), of: "a")
        #expect(totals[.received4] == (500, 50) && totals[.refused] == (2, 2) && totals[.sent6] == (0, 0))
    }

    @Test func aFilterThatWasMadeAnewBeginsAtZero() {
        var totals = TrafficTotals(port: "a", now: counts(1000))
        totals.add(counts(300), of: "a")
        #expect(totals[.received4] == (300, 30))
        totals.add(nil, of: "a")
        totals.add(counts(400), of: "a")
        #expect(totals[.received4] == (400, 40))
    }

    @Test func countsOfAnotherPortAreNotItsOwn() {
        var totals = TrafficTotals(port: "a", now: counts(0))
        totals.add(counts(700), of: "a")
        totals.add(counts(90000), of: "b")
        #expect(totals[.received4] == (700, 70))
        totals.add(counts(90100), of: "b")
        #expect(totals[.received4] == (800, 80))
    }

    @Test func isWrittenAndRead() {
        var totals = TrafficTotals(port: "ctr0p1", now: counts(10))
        totals.add(counts(UInt64.max), of: "ctr0p1")
        #expect(TrafficTotals(text: totals.text) == totals)
        for wrong in ["", "ctr0p1", totals.text + " 1", totals.text.replacing(" 0", with: " x"), "a " + totals.text] {
            #expect(TrafficTotals(text: wrong) == nil)
        }
    }
}

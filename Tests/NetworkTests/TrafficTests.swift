import Testing

@testable import Network

@Suite struct TrafficTests {
    private func counts(_ received4: UInt64, _ refused: UInt64 = 0, dropped: UInt64? = 0) -> TrafficTotals.Counts {
        [received4, received4 / 10] + [UInt64](repeating: 0, count: 6) + [refused, refused, dropped]
    }
    private let nothing = TrafficTotals.Counts(repeating: nil, count: 11)

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
        totals.add(nothing, of: "a")
        totals.add(counts(400), of: "a")
        #expect(totals[.received4] == (700, 70))
        totals.filterBeginsAnew()
        totals.add(counts(500), of: "a")
        #expect(totals[.received4] == (1200, 120))
    }

    @Test func theInterfaceGoesAndTheFilterStays() {
        var totals = TrafficTotals(port: "a", now: counts(0))
        totals.add(counts(100, dropped: 7), of: "a")
        totals.add(counts(100, dropped: nil), of: "a")
        totals.add(counts(100, dropped: 9), of: "a")
        totals.filterBeginsAnew()
        totals.add(counts(100, dropped: 9), of: "a")
        #expect(totals.dropped == 16 && totals[.received4] == (200, 20))
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

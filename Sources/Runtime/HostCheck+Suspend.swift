internal import Checkpoint
internal import Model

extension HostCheck {
    /// What suspends and resumes VPSs.
    static func suspending() -> CheckSection {
        var section = CheckSection("suspend")
        section.add("criu", criu(), cost: "VPSs can't be suspended or resumed")
        return section
    }

    private static func criu() -> Finding {
        do throws(CtrError) {
            let found = try CRIU.find((try? Settings.load())?.criu)
            return .yes("\(found.path), version \(found.version)")
        } catch { return .no(error.message) }
    }
}

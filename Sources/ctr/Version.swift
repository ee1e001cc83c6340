/// The version of this program, in the one place that has it.
enum Version {
    /// What `ctr --version` prints: constant text, so that printing it touches few pages.
    static let line: StaticString = "0.1.0\n"

    static var number: String { String(line.description.dropLast()) }
}

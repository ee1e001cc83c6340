internal import Model

/// Facts in aligned columns for people. What comes from outside can't drive the terminal.
struct Table {
    enum Alignment {
        case left, right
    }

    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []

    init(_ columns: [(title: String, alignment: Alignment)]) { self.columns = columns }

    init(_ titles: String...) { self.init(titles.map { ($0, .left) }) }

    /// As many cells as there are columns; an empty one shows as `-`.
    mutating func add(_ cells: [String]) {
        precondition(cells.count == columns.count)
        rows.append(cells.map { $0.isEmpty ? "-" : $0.escaped })
    }

    /// The lines, without an end of line after the last.
    var text: String {
        let all = [columns.map(\.title)] + rows
        let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { line(of: $0, widths) }.joined(separator: "\n")
    }

    private func line(of cells: [String], _ widths: [Int]) -> String {
        var line = ""
        for (index, cell) in cells.enumerated() {
            let blanks = String(repeating: " ", count: widths[index] - cell.count)
            switch columns[index].alignment {
            case .right: line += blanks + cell
            case .left: line += cell + (index == cells.count - 1 ? "" : blanks)
            }
            if index < cells.count - 1 { line += "  " }
        }
        return line
    }

    /// `key: value` lines with the values aligned; those without a value are left out.
    static func facts(_ facts: [(String, String?)]) -> String {
        let present = facts.compactMap { key, value in value.map { (key, $0) } }
        let width = present.map(\.0.count).max() ?? 0
        return present.map { key, value in
            "\(key):\(String(repeating: " ", count: width - key.count + 1))\(value.escaped)"
        }.joined(separator: "\n")
    }
}

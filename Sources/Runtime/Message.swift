internal import Kernel

/// Words to the operator beside a verb's result.
public enum Message {
    /// A line `ctr: ...` on standard error.
    public static func warn(_ text: String) {
        // Where standard error is closed there is nobody to tell.
        guard let output = try? FD.standard(2) else { return }
        try? output.writeAll(Array("ctr: \(text)\n".utf8))
    }
}

internal import Kernel
public import Model

/// `ctr logs`: what a detached VPS printed.
public struct Logs: Sendable {
    public var name: String
    /// Goes on until the VPS ends.
    public var follow: Bool

    public init(name: String, follow: Bool) {
        self.name = name
        self.follow = follow
    }

    /// - Parameter output: gets the bytes as they come; false ends it.
    public func run(on host: Host, output: ([UInt8]) -> Bool) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        guard try files.config() != nil, let directory = try files.directory() else { throw VPSFiles.unknown(name) }
        guard let log = try self.log(directory) else {
            throw CtrError(.failed, "VPS \(name): has no log (it runs in the foreground, or has printed nothing)")
        }
        do throws(SysError) {
            if let old = try? log.fd.open(ConsoleLog.name + ".1", [.readOnly, .noFollow]) {
                if try !copy(old, output) { return }
            }
            var file = try log.fd.open(ConsoleLog.name, [.readOnly, .noFollow])
            while try copy(file, output), follow {
                if (try? RunningInit.find(files)) == nil {
                    _ = try copy(file, output)
                    return
                }
                CurrentProcess.sleep(milliseconds: 100)
                // Rotated: the new file is another one.
                let current = try log.fd.status(of: ConsoleLog.name)
                if try file.status().inode != current.inode {
                    guard try copy(file, output) else { return }
                    file = try log.fd.open(ConsoleLog.name, [.readOnly, .noFollow])
                }
            }
        } catch {
            throw CtrError(.io, "log of VPS \(name)", cause: error)
        }
    }

    private func log(_ directory: SharedFD) throws(CtrError) -> SharedFD? {
        do throws(SysError) {
            let log = SharedFD(try directory.fd.open("log", [.directory, .noFollow]))
            _ = try log.fd.status(of: ConsoleLog.name)
            return log
        } catch {
            if error.errno == Errno.noEntry { return nil }
            throw CtrError(.io, "log of VPS \(name)", cause: error)
        }
    }

    /// Everything up to the present end; false if the reader has had enough.
    private func copy(_ file: borrowing FD, _ output: ([UInt8]) -> Bool) throws(SysError) -> Bool {
        while true {
            let bytes = try file.read(upTo: 65536)
            if bytes.isEmpty { return true }
            if !output(bytes) { return false }
        }
    }
}

internal import Kernel

/// Periodic timers of timerfd_create(2) that were due, and not read yet, when their process was stopped.
///
/// The kernel sets such a timer anew when it is read, and says until then that nothing of its time is left; criu takes it
/// for one that is off and makes it so, with its count. That state no program can bring about, since turning a timer off
/// forgets the count.
enum RestoredTimers {
    /// As far as it can be done: criu has done without.
    /// - Parameter pids: processes that are all there and have not gone on.
    static func repair(in pids: [Int32]) {
        for pid in pids {
            guard let process = try? ProcessHandle(pid: pid),
                let table = try? open("/proc/\(pid)/fd", [.readOnly, .directory]), let entries = try? table.entries()
            else { continue }
            for entry in entries where (try? table.readLink(entry.name).description) == "anon_inode:[timerfd]" {
                guard let number = Int32(entry.name.description),
                    let bytes = try? open("/proc/\(pid)/fdinfo/\(number)", [.readOnly]).read(upTo: 4096),
                    let timer = DueTimer(String(decoding: bytes, as: UTF8.self))
                else { continue }
                try? process.repeatTimer(descriptor: number, period: timer.period, ticks: timer.ticks)
            }
        }
    }
}

/// What /proc/PID/fdinfo tells of a timer that stands still in spite of its period: see proc_pid_fdinfo(5).
struct DueTimer {
    let period: (seconds: Int64, nanoseconds: Int64)
    let ticks: UInt64

    /// nil for all others.
    init?(_ info: String) {
        var values: [Substring: [Int64]] = [:]
        for line in info.split(separator: "\n") {
            // it_interval: (1, 0)
            guard let colon = line.firstIndex(of: ":") else { continue }
            let numbers = line[line.index(after: colon)...].split { !$0.isNumber }.compactMap { Int64($0) }
            values[line[..<colon]] = numbers
        }
        guard let ticks = values["ticks"]?.first, ticks > 0, values["it_value"] == [0, 0],
            let interval = values["it_interval"], interval.count == 2, interval != [0, 0]
        else { return nil }
        self.ticks = UInt64(ticks)
        period = (interval[0], interval[1])
    }
}

/// How the first process of a VPS says that the system is up: the key `ready` of a recipe and of `template.json`.
public enum ReadySignal: String, Codable, Sendable, CaseIterable {
    /// By sd_notify(3): `READY=1` on the socket that NOTIFY_SOCKET names, as systemd does as process 1.
    case notify
    /// By making the file `/run/host/ready`.
    case marker
    /// Not at all: it is ready when its program is executed.
    case started
}

extension Template {
    /// How a process with this command line says that it is up: only the template's own init does as the template says.
    public func readySignal(of args: [String]) -> ReadySignal {
        args == initCommand ? ready ?? .started : .started
    }
}

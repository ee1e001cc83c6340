internal import CLinux
internal import Glibc

/// A window's size in characters and pixels. See ioctl_tty(2).
public struct WindowSize: Equatable, Sendable {
    public var rows, columns, xPixels, yPixels: UInt16
    public init(rows: UInt16, columns: UInt16, xPixels: UInt16 = 0, yPixels: UInt16 = 0) {
        self.rows = rows
        self.columns = columns
        self.xPixels = xPixels
        self.yPixels = yPixels
    }
}

/// The settings of a terminal, to be put back later. See termios(3).
public struct TerminalSettings: @unchecked Sendable {
    fileprivate var value: termios
}

extension FD {
    public var isTerminal: Bool { isatty(rawValue) == 1 }

    public borrowing func terminalSettings() throws(SysError) -> TerminalSettings {
        var value = termios()
        try check(ctr_ret(Int(tcgetattr(rawValue, &value))), "tcgetattr")
        return TerminalSettings(value: value)
    }

    public borrowing func setTerminalSettings(_ settings: TerminalSettings) throws(SysError) {
        var value = settings.value
        try check(ctr_ret(Int(tcsetattr(rawValue, TCSADRAIN, &value))), "tcsetattr")
    }

    /// Bytes pass as they are, no echo, no signals from keys. See cfmakeraw in termios(3).
    public borrowing func makeRaw() throws(SysError) {
        var settings = try terminalSettings()
        cfmakeraw(&settings.value)
        try setTerminalSettings(settings)
    }

    public borrowing func windowSize() throws(SysError) -> WindowSize {
        var size = winsize()
        try check(ctr_ioctl_ptr(rawValue, UInt(CTR_TIOCGWINSZ), &size), "ioctl", "TIOCGWINSZ")
        return WindowSize(rows: size.ws_row, columns: size.ws_col, xPixels: size.ws_xpixel, yPixels: size.ws_ypixel)
    }

    public borrowing func setWindowSize(_ new: WindowSize) throws(SysError) {
        var size = winsize(
            ws_row: new.rows, ws_col: new.columns, ws_xpixel: new.xPixels, ws_ypixel: new.yPixels)
        try check(ctr_ioctl_ptr(rawValue, UInt(CTR_TIOCSWINSZ), &size), "ioctl", "TIOCSWINSZ")
    }

    /// The terminal that belongs to this pseudoterminal master, opened without a path: a symbolic link in the guest's
    /// /dev/pts can't divert it. The corresponding call is `ioctl(2)` with TIOCGPTPEER.
    public borrowing func openTerminalPeer() throws(SysError) -> FD {
        var unlock: Int32 = 0
        try check(ctr_ioctl_ptr(rawValue, UInt(CTR_TIOCSPTLCK), &unlock), "ioctl", "TIOCSPTLCK")
        let flags = Int(O_RDWR | O_NOCTTY) | Int(CTR_O_CLOEXEC)
        return FD(
            owning: Int32(try check(ctr_ioctl(rawValue, UInt(CTR_TIOCGPTPEER), UInt(flags)), "ioctl", "TIOCGPTPEER")))
    }

    /// This terminal becomes the controlling terminal of the calling session leader. See TIOCSCTTY in ioctl_tty(2).
    public borrowing func makeControllingTerminal() throws(SysError) {
        try check(ctr_ioctl(rawValue, UInt(CTR_TIOCSCTTY), 0), "ioctl", "TIOCSCTTY")
    }
}

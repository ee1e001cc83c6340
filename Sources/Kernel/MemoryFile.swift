internal import CLinux
internal import Glibc

/// Files without a name, for libraries and tools that write to a descriptor.
package enum MemoryFile {
    /// The corresponding call is `memfd_create(2)`.
    package static func make() throws(SysError) -> FD {
        FD(owning: Int32(try check(ctr_memfd_create("ctr", UInt32(CTR_MFD_CLOEXEC)), "memfd_create")))
    }

    /// Reads begin at its start again.
    package static func rewind(_ file: borrowing FD) throws(SysError) {
        try check(ctr_ret(lseek(file.rawValue, 0, SEEK_SET)), "lseek")
    }

    /// What lies in a file from its start on, at most `limit` bytes.
    package static func contents(of file: borrowing FD, limit: Int) throws(SysError) -> [UInt8] {
        try check(ctr_ret(lseek(file.rawValue, 0, SEEK_SET)), "lseek")
        return try file.readAll(limit: limit)
    }
}

internal import CLinux
internal import Glibc

/// One instruction of the BPF machine, as the kernel's instruction set document lays it out.
public struct BPFInstruction: Equatable, Sendable {
    public var opcode: UInt8
    /// The register that is written or compared, 0 to 10.
    public var destination: UInt8
    public var source: UInt8
    /// Bytes for memory, instructions for jumps.
    public var offset: Int16
    public var immediate: Int32

    public init(_ opcode: UInt8, _ destination: UInt8 = 0, _ source: UInt8 = 0, offset: Int16 = 0, immediate: Int32 = 0)
    {
        self.opcode = opcode
        self.destination = destination
        self.source = source
        self.offset = offset
        self.immediate = immediate
    }

    /// The eight bytes in memory order of a little-endian machine.
    public var encoded: UInt64 {
        let registers = UInt64(source & 15) << 4 | UInt64(destination & 15)
        let jump = UInt64(UInt16(bitPattern: offset))
        let value = UInt64(UInt32(bitPattern: immediate))
        #if _endian(little)
        return UInt64(opcode) | registers << 8 | jump << 16 | value << 32
        #else
        #error("the instruction layout of big-endian machines is not written yet")
        #endif
    }
}

/// A loaded BPF program that decides about device access in a cgroup (BPF_PROG_TYPE_CGROUP_DEVICE, see bpf(2)).
/// It stays loaded while this value lives or a cgroup has it attached.
public struct DeviceProgram: ~Copyable {
    let fd: FD

    /// Loads a program. EPERM without CAP_BPF and CAP_NET_ADMIN, EINVAL where the kernel knows no such type or its
    /// verifier refuses the program, ENOSYS without bpf(2).
    public init(_ instructions: [BPFInstruction]) throws(SysError) {
        let code = instructions.map(\.encoded)
        fd = FD(
            owning: Int32(
                try check(
                    ctr_bpf_prog_load(UInt32(CTR_BPF_PROG_TYPE_CGROUP_DEVICE), code, UInt32(code.count), "ctr_devices"),
                    "bpf", "BPF_PROG_LOAD")))
    }

    init(fd: consuming FD) { self.fd = fd }
}

extension FD {
    /// Attaches a program to this cgroup v2 directory, beside those of the cgroups above (BPF_F_ALLOW_MULTI): what any
    /// of them denies is denied. With `old` the new one takes its place in one step (BPF_F_REPLACE, Linux 5.6).
    public borrowing func attach(_ program: borrowing DeviceProgram) throws(SysError) {
        try check(
            ctr_bpf_prog_attach(rawValue, program.fd.rawValue, UInt32(CTR_BPF_CGROUP_DEVICE), -1),
            "bpf", "BPF_PROG_ATTACH")
    }

    /// As ``attach(_:)``, in the place of a program that is attached here.
    public borrowing func attach(
        _ program: borrowing DeviceProgram, replacing old: borrowing DeviceProgram
    ) throws(SysError) {
        try check(
            ctr_bpf_prog_attach(rawValue, program.fd.rawValue, UInt32(CTR_BPF_CGROUP_DEVICE), old.fd.rawValue),
            "bpf", "BPF_PROG_ATTACH")
    }

    /// Takes a program off this cgroup v2 directory.
    public borrowing func detach(_ program: borrowing DeviceProgram) throws(SysError) {
        try check(
            ctr_bpf_prog_detach(rawValue, program.fd.rawValue, UInt32(CTR_BPF_CGROUP_DEVICE)), "bpf", "BPF_PROG_DETACH")
    }

    /// The ids of the device programs attached to this cgroup v2 directory itself, at most 64.
    public borrowing func devicePrograms() throws(SysError) -> [UInt32] {
        var ids = [UInt32](repeating: 0, count: 64)
        let count = try check(
            ctr_bpf_prog_query(rawValue, UInt32(CTR_BPF_CGROUP_DEVICE), &ids, UInt32(ids.count)), "bpf",
            "BPF_PROG_QUERY")
        return Array(ids.prefix(count))
    }
}

extension DeviceProgram {
    /// Opens a loaded program by its id. ENOENT where it has gone.
    public init(id: UInt32) throws(SysError) {
        self.init(
            fd: FD(owning: Int32(try check(ctr_bpf_prog_get_fd_by_id(id), "bpf", "BPF_PROG_GET_FD_BY_ID"))))
    }
}

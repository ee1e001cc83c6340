internal import Kernel
public import Model

extension Cgroup {
    /// Removes it with all cgroups that the guest made in it. Processes that are just ending are waited for, so long;
    /// where one stays, `busy` names it. Nothing there is fine. It kills nobody.
    public func remove(milliseconds: Int = 5_000) throws(CtrError) {
        let deadline = Deadline(milliseconds: milliseconds)
        var failure: CtrError?
        // Each hierarchy in its turn, also after an error: as little as possible is left.
        for directory in directories {
            do throws(CtrError) { try remove(directory, deadline) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    /// As ``remove(milliseconds:)``, of what is left of a cgroup made earlier.
    public static func remove(_ record: CgroupRecord, milliseconds: Int = 5_000) throws(CtrError) {
        try openWhatIsThere(record).remove(milliseconds: milliseconds)
    }

    private func remove(_ directory: CgroupDirectory, _ deadline: Deadline) throws(CtrError) {
        // Mostly there is nothing below it; then this saves reading directories.
        if directory.isUnified {
            try? directory.parent.fd.unlink("\(directory.name)/\(Cgroup.payload)", directory: true)
        }
        do throws(SysError) {
            let gone = try poll(deadline) { () throws(SysError) in
                do throws(SysError) { try directory.removeEmpty() } catch  where error.errno == Errno.busy {
                    return false
                }
                return true
            }
            if gone { return }
        } catch { throw CtrError(cgroup: directory.path, cause: error) }
        let left = (try? directory.processes()) ?? []
        throw CtrError(
            .busy, "cgroup \(directory.path): can't be removed, \(describe(left)) still in it", errno: Errno.busy)
    }

    /// Removes the directories above cgroups, `ctr` of `ctr/NAME`, in every hierarchy where they are empty; others
    /// stay. For clearing up: they cost nothing and the next VPS wants them again.
    public static func prune(host: CgroupHost, path: String, parent: String = "") throws(CtrError) {
        let place = try CgroupPath(parent: parent, path: path)
        for mount in Set([host.v2].compactMap { $0 } + host.v1.values).sorted() {
            let above = place.above(mount)
            do throws(SysError) {
                try Kernel.open(above, [.path, .directory]).unlink(place.name, directory: true)
            } catch {
                let stays = [Errno.noEntry, Errno.busy, Errno.notEmpty].contains(error.errno)
                if !stays { throw CtrError(cgroup: "\(above)/\(place.name)", cause: error) }
            }
        }
    }
}

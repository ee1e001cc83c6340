internal import Kernel
internal import Model

extension Cgroup {
    /// Repeats the processor quota in the guest's own root cgroup, so that the guest can see it and lxcfs(1) can tell it: that
    /// looks for a quota only where the guest's first process is, unlike for memory. The file is the host's, so it is no more the
    /// guest's to change than the limit above, which is what holds.
    ///
    /// Nothing is done where there is no quota and was none, nor on cgroup v1, which has one level.
    func showQuota(_ plan: LimitPlan) throws(CtrError) {
        guard let unified, let setting = plan.settings.first(where: { $0.file == "cpu.max" }) else { return }
        let payload = unified.child(Cgroup.payload)
        do throws(SysError) {
            if try payload.readText(setting.file) == nil {
                if setting.isReset { return }
                try unified.write("cgroup.subtree_control", "+cpu")
            }
            try payload.write(setting.file, setting.value)
        } catch { throw CtrError(cgroup: payload.path, cause: error) }
    }
}

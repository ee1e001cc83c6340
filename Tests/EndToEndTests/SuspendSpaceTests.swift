import Glibc
import Kernel
import Testing

/// A suspend, and the host's disk that is full, or would be: see docs/suspend.md.
@Suite(.serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")))
struct SuspendSpaceTests {
    /// The file system of $CTR_ROOT has no inodes left while criu writes: the same ENOSPC, at a moment that is sure.
    @Test func fullHalfwayItRunsOn() throws {
        try Fixture.with { (f) throws in
            let ctr = "export CTR_ROOT=$PWD/pool/root; "
            try f.sh(
                """
                truncate -s 300M pool.img && mkfs.ext4 -q -m 0 -N 4096 pool.img && mkdir pool && mount -o loop pool.img pool
                mkdir -m 700 pool/root && cp -a root/templates pool/root/
                """
            ).succeeds()
            f.atEnd { _ = try? f.sh("umount -l pool") }
            try f.sh(
                ctr + """
                    $CTR create $N-a --template minimal && $CTR start $N-a && mkdir pool/full &&
                    seq -f pool/full/%.0f $(($(stat -f -c %d pool) - 12)) | xargs touch
                    """
            ).succeeds()
            let files = "ls pool/root/vps/$N-a"
            let failed = try f.sh(ctr + "$CTR suspend $N-a")
            failed.fails(1, words: "full", "runs on")
            #expect(try !f.sh(files).succeeds().out.contains("checkpoint"))
            try f.sh(ctr + "$CTR exec $N-a true && rm -r pool/full && $CTR suspend $N-a && $CTR resume $N-a").succeeds()
            try f.sh(ctr + "$CTR destroy --force $N-a").succeeds()
            #expect(until(15) { (try? f.sh("umount pool").status) == 0 })
        }
    }
}

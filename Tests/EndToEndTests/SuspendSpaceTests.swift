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

    /// There is room when it begins; another takes all of it, to the last block, while criu stands still.
    @Test(.enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu"), arguments: ["suspend", "hibernate"])
    func anotherTakesTheLastBlock(verb: String) throws {
        if verb == "hibernate", let lack = Disks.lack { try Test.cancel(Comment(rawValue: lack)) }
        try Fixture.with { (f) throws in
            let ctr = "export CTR_ROOT=$PWD/pool/root; "
            try f.sh(
                """
                truncate -s 700M pool.img && mkfs.ext4 -q -m 0 pool.img && mkdir pool && mount -o loop pool.img pool
                mkdir -m 700 pool/root && cp -a root/templates pool/root/
                """
            ).succeeds()
            f.atEnd { _ = try? f.sh("umount -l pool") }
            let disk = verb == "suspend" ? "none" : "400M"
            try f.sh(
                ctr + """
                    $CTR create $N-a --template minimal --disk \(disk) && $CTR start $N-a &&
                    $CTR exec $N-a -- dd if=/dev/urandom of=/dev/shm/much bs=1M count=150
                    """, timeout: 60
            ).succeeds()
            let config = try f.text("config.json")
            try f.wrapCRIU(before: "echo $$ > \(f.path)/begins; kill -STOP $$", atTheEnd: ":")
            let failed = try f.sh(
                ctr + """
                    $CTR \(verb) $N-a & verb=$!
                    until [ -s begins ] && grep -q '^State:.T' /proc/$(cat begins)/status; do sleep 0.02; done
                    criu=$(cat begins)
                    dd if=/dev/zero of=pool/full bs=1M 2>/dev/null; dd if=/dev/zero of=pool/rest bs=4k 2>/dev/null; sync -f pool
                    echo "free $(stat -f -c %a pool)"; ls pool/root/vps/$N-a
                    kill -CONT $criu; wait $verb
                    """, timeout: 60)
            try f.write("config.json", config)
            #expect(failed.out.contains("free 0"), "\(failed.both)")
            failed.fails(1, words: "runs on")
            #expect(try !f.sh("ls pool/root/vps/$N-a").succeeds().out.contains("checkpoint"))
            try f.sh("rm pool/full pool/rest").succeeds()
            // The guard may have made it stand still since.
            #expect(until(15) { (try? f.sh(ctr + "$CTR list -q --state running").line) == f.name("a") })
            // Nothing of its memory or disk is lost.
            try f.sh(
                ctr + """
                    s=$($CTR exec $N-a -- md5sum /dev/shm/much) && $CTR exec $N-a -- sh -c 'echo written >/root/file && sync' &&
                    $CTR \(verb) $N-a && $CTR start $N-a && [ "$($CTR exec $N-a -- md5sum /dev/shm/much)" = "$s" ] &&
                    [ "$($CTR exec $N-a -- cat /root/file)" = written ]
                    """, timeout: 60
            ).succeeds()
            try f.sh(ctr + "$CTR destroy --force $N-a").succeeds()
            #expect(until(15) { (try? f.sh("umount pool").status) == 0 })
        }
    }
}

import Foundation
import Kernel
import Model
import NamespaceProbeRequest
import Testing

/// `/run/host`, through which an init says that it is up. As root.
@Suite(.requiresRoot) struct ReadyTests {
    private let look = "cd /run/host; stat -c '%n %u:%g %a %F' . *; cat container-manager; echo; echo $NOTIFY_SOCKET"

    @Test func nothingIsThereUnlessAskedFor() throws {
        try Fixture.with { (fixture) throws in
            let reply = try fixture.launch(fixture.request("ls -A /run; env | grep -c NOTIFY"))
            #expect(reply.ending?.output == "0\n")
            #expect(reply.notified == nil)
        }
    }

    /// With a user namespace and without: it belongs to the guest's root.
    @Test(arguments: [Fixture.all, Fixture.standard]) func marker(_ namespaces: NamespaceFlags) throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request(look, namespaces)
            request.ready = .marker
            #expect(
                try fixture.output(request)
                    == ". 0:0 755 directory\ncontainer-manager 0:0 644 regular file\nctr\n\n")
        }
    }

    @Test(arguments: [Fixture.all, Fixture.standard]) func notify(_ namespaces: NamespaceFlags) throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request(
                "umask 0; \(look); ls /proc/self/fd | wc -l; echo done; read line", namespaces)
            request.ready = .notify
            request.awaiting = "done"
            let send = """
                python3 -c 'import socket, sys
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                for word in ["READY=1", "x" * 65]: s.sendto(word.encode(), "/proc/PID/root/run/host/notify")'
                """
            request.hostWhileRunning = [send]
            let reply = try fixture.launch(request)
            #expect(
                reply.ending?.output == """
                    . 0:0 755 directory
                    container-manager 0:0 644 regular file
                    notify 0:0 600 socket
                    ctr
                    /run/host/notify
                    4
                    done

                    """)
            #expect(reply.host.first?.exited == 0, "\(reply.host)")
            // One that is too long comes as empty.
            #expect(reply.notified == ["READY=1", ""])
            fixture.expectUnchanged(reply)
        }
    }

    /// A template's own /run/host lies beneath the new /run.
    @Test func theTemplatesOwnDirectoryIsOutOfTheWay() throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("mkdir -p template/run; ln -s ../../outside template/run/host")
            var request = fixture.request(look)
            request.ready = .notify
            #expect(try fixture.output(request).hasPrefix(". 0:0 755 directory\n"))
        }
    }
}

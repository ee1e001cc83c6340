import Kernel
import Testing

/// Names as bytes, directories, and the removal of trees.
@Suite struct PathTests {
    @Test func noNameIsCutAtNUL() throws {
        let directory = try open("/", [.directory])
        let names: [any PathConvertible] = ["/dev/null\0/x", "\0", Path("/dev/null\0"), Path(bytes: [0])]
        for name in names {
            func attempt(_ name: some PathConvertible) {
                #expect(thrown { _ = try open(name, .readOnly) } == Errno.invalid)
                #expect(thrown { _ = try directory.open(name, .readOnly, resolve: [.inRoot]) } == Errno.invalid)
                #expect(thrown { try directory.makeDirectory(name, mode: 0o700) } == Errno.invalid)
                #expect(thrown { try directory.unlink(name) } == Errno.invalid)
                #expect(thrown { try directory.symlink("x", to: name) } == Errno.invalid)
                #expect(thrown { _ = try directory.readLink(name) } == Errno.invalid)
                #expect(thrown { try directory.rename("x", to: directory, name) } == Errno.invalid)
                #expect(thrown { _ = try directory.status(of: name) } == Errno.invalid)
                #expect(thrown { try directory.removeTree(name) } == Errno.invalid)
            }
            attempt(name)
        }
    }

    /// The kernel would end them there.
    @Test func noArgumentIsCutAtNUL() throws {
        #expect(try floor("execute", "/bin/echo", "a\\0b") == "execve 22\n")
        #expect(try floor("execute", "/bin/echo", "a") == "a\n")
    }

    @Test func errorsSayWhatTheyAreAbout() {
        #expect { _ = try open("/no/such", .readOnly) } throws: { error in
            let error = error as? SysError
            return error == SysError("open", Errno.noEntry, "/no/such")
                && error?.description == "open /no/such: No such file or directory"
        }
        #expect(SysError("clone3", Errno.invalid).description == "clone3: Invalid argument")
    }

    @Test func namesThatAreNotUTF8() throws {
        try Place.with { (place, directory) throws in
            let names: [[UInt8]] = [[0xFF], [0xC3], [0x61, 0xCC, 0x81], [0xE2, 0x82], [10], Array("normal".utf8)]
            for name in names { _ = try directory.open(Path(bytes: name), [.create, .exclusive, .writeOnly]) }
            let found = try directory.entries()
            #expect(Set(found.map(\.name.bytes)) == Set(names))
            #expect(found.allSatisfy { $0.type == .regular })
            // A second look begins at the beginning.
            #expect(try directory.entries().count == names.count)
            for entry in found { try directory.unlink(entry.name) }
            #expect(try directory.entries() == [])
        }
    }

    @Test func moreNamesThanOneCallReturns() throws {
        try Place.with { (place, directory) throws in
            let long = String(repeating: "n", count: 200)
            try place.sh("for i in $(seq 1 600); do : > \(long)$i; done")
            #expect(Set(try directory.entries().map(\.name.description)) == Set((1...600).map { "\(long)\($0)" }))
        }
    }

    @Test func everyType() throws {
        try Place.with { (place, directory) throws in
            try place.sh("mkdir d; : > f; ln -s f l; mkfifo p")
            let types = Dictionary(uniqueKeysWithValues: try directory.entries().map { ($0.name.description, $0.type) })
            #expect(types == ["d": .directory, "f": .regular, "l": .symlink, "p": .fifo])
            #expect(try directory.readLink("l").description == "f")
            #expect(thrown { _ = try directory.readLink("f") } == Errno.invalid)
            #expect(thrown { _ = try directory.ensureDirectory("l", mode: 0o700) } == Errno.notDirectory)
            #expect(thrown { try directory.rename("f", to: directory, "d", replace: false) } == Errno.exists)
        }
    }

    // MARK: removal

    @Test func aTreeGoesAndWhatItsLinksPointAtStays() throws {
        try Place.with { (place, directory) throws in
            try place.sh("mkdir -p tree/a/b keep/d; : > keep/d/f; ln -s ../keep tree/l; ln -s ../../../keep/d tree/a/b/l; mkfifo tree/a/p; chmod 0 tree/a/b; ln -s keep link; : > file")
            try directory.removeTree("tree")
            // A link in the tree's place goes itself, and so does a file.
            try directory.removeTree("link")
            try directory.removeTree("file")
            try directory.removeTree("nothing")
            #expect(try place.sh("find . -mindepth 1 | sort") == "./keep\n./keep/d\n./keep/d/f\n")
            try directory.removeContents()
            #expect(try directory.entries() == [])
        }
    }

    @Test func neverAbove() throws {
        try Place.with { (place, directory) throws in
            try place.sh("mkdir -p a/b; : > f")
            let inner = try directory.open("a", [.directory])
            #expect(thrown { try inner.removeTree("..") } != nil)
            #expect(thrown { try inner.removeTree("../f") } != nil)
            #expect(try place.sh("ls") == "a\nf\n")
        }
    }

    @Test(.requiresRoot) func aMountStopsIt() throws {
        try Place.with { (place, _) throws in
            let output = try floor("remove-mount", place.path)
            #expect(output == "true [\"kept\"]\n")
        }
    }

    /// A guest can make its tree deeper than anybody has descriptors, and must not be able to make it stay.
    @Test func aTreeDeeperThanTheLimitOfDescriptors() throws {
        try Place.with { (place, directory) throws in
            try place.sh(
                """
                mkdir tree; cd tree; : > .lifted-1; mkdir .lifted-2 side; : > side/f
                i=0; while [ $i -lt 3000 ]; do mkdir d; : > f; cd -P d; i=$((i + 1)); done
                """)
            try directory.removeTree("tree")
            #expect(try directory.entries() == [])
        }
    }
}

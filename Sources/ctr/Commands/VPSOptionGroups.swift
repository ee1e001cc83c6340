internal import ArgumentParser
internal import Model

// The options of `run`, `create` and `set` as ArgumentParser reads them. They are text here: `VPSOptions.set` gives them
// a meaning and checks them, for these three, the fast path and profiles alike.

/// One option that was given: its long name and its value.
typealias GivenOption = (option: String, value: String)

func option(_ option: String, _ value: String?) -> [GivenOption] { value.map { [(option, $0)] } ?? [] }

func option(_ option: String, _ values: [String]) -> [GivenOption] { values.map { (option, $0) } }

func option(_ option: String, _ flag: Bool) -> [GivenOption] { flag ? [(option, "")] : [] }

/// A flag with an opposite: `--onboot` and `--no-onboot`.
func option(_ option: String, _ flag: Bool?) -> [GivenOption] {
    flag.map { [($0 ? option : "--no-\(option.dropFirst(2))", "")] } ?? []
}

/// What it is called inside, and what it finds in its environment.
struct IdentityOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Its host name; else the name.", valueName: "name"))
    var hostname: String?
    @Option(help: ArgumentHelp("Its domain name.", valueName: "name"))
    var domain: String?
    @Option(help: ArgumentHelp("Root's password as a hash of crypt(5): mkpasswd makes one.", valueName: "hash"))
    var passwordHash: String?
    @Option(
        help: ArgumentHelp("A file of public keys that may log in as root by ssh (repeat).", valueName: "file"),
        completion: .file())
    var sshKey: [String] = []
    @Option(help: ArgumentHelp("A name server (repeat).", valueName: "ip"))
    var dns: [String] = []
    @Option(help: ArgumentHelp("Its time zone: Europe/Vienna.", valueName: "zone"))
    var timezone: String?
    @Option(help: ArgumentHelp("A label to find it by (repeat).", valueName: "k=v"))
    var label: [String] = []
    @Option(name: .shortAndLong, help: ArgumentHelp("A variable of its environment (repeat).", valueName: "k=v"))
    var env: [String] = []

    var given: [GivenOption] {
        option("--hostname", hostname) + option("--domain", domain) + option("--password-hash", passwordHash)
            + option("--ssh-key", sshKey) + option("--dns", dns) + option("--timezone", timezone)
            + option("--label", label) + option("--env", env)
    }
}

/// What ctr knows of it beside all that it is.
struct GeneralOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Take the options of this profile first; those given here win.", valueName: "name"),
        completion: Completions.profiles)
    var profile: String?
    @Flag(inversion: .prefixedNo, exclusivity: .chooseLast, help: "Refuse to destroy it.")
    var protect: Bool?
    @Option(help: ArgumentHelp("What it is for.", valueName: "text"))
    var description: String?

    var given: [GivenOption] {
        option("--profile", profile) + option("--protect", protect) + option("--description", description)
    }
}

/// What starts in it, and when.
struct BootOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The init to start instead of the template's, words apart by blanks.", valueName: "cmd"))
    var `init`: String?
    @Option(
        help: ArgumentHelp("Start it again when it has ended.", valueName: "no|on-failure|always"),
        completion: .list(["no", "on-failure", "always"]))
    var restart: String?
    @Flag(inversion: .prefixedNo, exclusivity: .chooseLast, help: "Start it when the host boots.")
    var onboot: Bool?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Of those started on boot the highest are first: -1000 to 1000; 0.", valueName: "number"))
    var bootPriority: String?

    var given: [GivenOption] {
        option("--init", `init`) + option("--restart", restart) + option("--onboot", onboot)
            + option("--boot-priority", bootPriority)
    }
}

/// What it may use.
struct ResourceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Processors' worth of time: 1.5.", valueName: "number"))
    var cpus: String?
    @Option(help: ArgumentHelp("Share of contended time, 1 to 10000; 100 is usual.", valueName: "weight"))
    var cpuWeight: String?
    @Option(help: ArgumentHelp("Processors that it may run on: 0-3,5.", valueName: "list"))
    var cpuset: String?
    @Option(
        name: [.long, .customShort("m")],
        help: ArgumentHelp("Memory that it may use at most.", valueName: "size"))
    var memory: String?
    @Option(help: ArgumentHelp("Memory above which it is slowed and reclaimed from.", valueName: "size"))
    var memoryHigh: String?
    @Option(help: ArgumentHelp("Swap beside its memory; 0 is none.", valueName: "size"))
    var swap: String?
    @Option(help: ArgumentHelp("Processes and threads.", valueName: "number"))
    var pids: String?
    @Option(help: ArgumentHelp("Bytes a second from its disk, or a device (repeat).", valueName: "[maj:min:]rate"))
    var ioReadBps: [String] = []
    @Option(help: ArgumentHelp("Bytes a second to its disk, or a device (repeat).", valueName: "[maj:min:]rate"))
    var ioWriteBps: [String] = []
    @Option(help: ArgumentHelp("Reads a second from its disk, or a device (repeat).", valueName: "[maj:min:]rate"))
    var ioReadIops: [String] = []
    @Option(help: ArgumentHelp("Writes a second to its disk, or a device (repeat).", valueName: "[maj:min:]rate"))
    var ioWriteIops: [String] = []
    @Option(help: ArgumentHelp("A limit of setrlimit(2): nofile=1024:4096 (repeat).", valueName: "name=soft[:hard]"))
    var ulimit: [String] = []

    var given: [GivenOption] {
        option("--cpus", cpus) + option("--cpu-weight", cpuWeight)
            + option("--cpuset", cpuset)
            + option("--memory", memory) + option("--memory-high", memoryHigh) + option("--swap", swap)
            + option("--pids", pids) + option("--io-read-bps", ioReadBps)
            + option("--io-write-bps", ioWriteBps) + option("--io-read-iops", ioReadIops)
            + option("--io-write-iops", ioWriteIops) + option("--ulimit", ulimit)
    }
}

/// Where what it writes lies.
struct DiskOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Its disk: the size of an image of its own, or none: a directory of the host's file system.",
            valueName: "size|none"),
        completion: .list(["none", "10G"]))
    var disk: String?
    @Flag(inversion: .prefixedNo, help: "Take all of the image's space from the host at once.")
    var thick: Bool?

    var given: [GivenOption] { option("--disk", disk) + option("--thick", thick) }
}

/// How it is joined to the network.
struct NetworkOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "No network, the host's own, a private one behind it (nat, the default), addresses routed to it, or a bridge.",
            valueName: "none|host|nat|routed|bridge=name"),
        completion: .list(["none", "host", "nat", "routed", "bridge="]))
    var net: String?
    @Option(
        help: ArgumentHelp(
            "An address of its own (repeat); nat has a pool for those without.", valueName: "address[/bits]"))
    var ip: [String] = []
    @Option(help: ArgumentHelp("Its way out of a bridge's network, one for IPv4 and IPv6 each.", valueName: "address"))
    var gateway: [String] = []
    @Option(help: ArgumentHelp("The MAC of its interface; else one that follows from its name.", valueName: "mac"))
    var mac: String?
    @Option(
        help: ArgumentHelp("A port of the host that leads to one of it (repeat).", valueName: "[ip:]port:port[/udp]"))
    var publish: [String] = []
    @Option(help: ArgumentHelp("Bits a second that it may get: 100M.", valueName: "rate"))
    var rateIn: String?
    @Option(help: ArgumentHelp("Bits a second that it may send: 100M.", valueName: "rate"))
    var rateOut: String?
    @Option(
        help: ArgumentHelp(
            "An interface beside eth0, eth1 to eth15 (repeat): eth1:bridge=NAME[,ip=ADDRESS/BITS][,gateway=ADDRESS][,mac=MAC]"
                + "[,rate-in=RATE][,rate-out=RATE], or eth1:none to take it away.", valueName: "ethn:bridge=name[,...]"),
        completion: .list(["eth1:bridge=", "eth1:none"]))
    var interface: [String] = []

    var given: [GivenOption] {
        option("--interface", interface) + option("--net", net) + option("--ip", ip) + option("--gateway", gateway)
            + option("--mac", mac)
            + option("--publish", publish) + option("--rate-in", rateIn) + option("--rate-out", rateOut)
    }
}

/// What it sees of the host, and what it may do.
struct SystemOptions: ParsableArguments {
    @Option(
        name: [.long, .customShort("v")],
        help: ArgumentHelp("A file or directory of the host, absolute paths (repeat).", valueName: "src:dst[:ro]"))
    var mount: [String] = []
    @Option(help: ArgumentHelp("A device of the host, below /dev (repeat).", valueName: "path"), completion: .file())
    var device: [String] = []
    @Option(help: ArgumentHelp("Capabilities to add to its set (repeat).", valueName: "name,..."))
    var capAdd: [String] = []
    @Option(help: ArgumentHelp("Capabilities to take from its set (repeat).", valueName: "name,..."))
    var capDrop: [String] = []
    @Option(
        help: ArgumentHelp("System calls that it may make.", valueName: "default|unconfined|file"),
        completion: .file())
    var seccomp: String?
    @Option(
        help: ArgumentHelp("Ids of its own, or the host's.", valueName: "auto|host"),
        completion: .list(["auto", "host"]))
    var userns: String?
    @Flag(inversion: .prefixedNo, exclusivity: .chooseLast, help: "Let containers run inside.")
    var nesting: Bool?
    @Option(help: ArgumentHelp("What asks it to halt: TERM, SIGRTMIN+3.", valueName: "signal"))
    var stopSignal: String?

    var given: [GivenOption] {
        option("--mount", mount) + option("--device", device) + option("--cap-add", capAdd)
            + option("--cap-drop", capDrop) + option("--seccomp", seccomp) + option("--userns", userns)
            + option("--nesting", nesting) + option("--stop-signal", stopSignal)
    }
}

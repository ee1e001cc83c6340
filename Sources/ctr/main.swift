internal import Runtime

// The order matters for speed: `--version` needs nothing, `run` and `exec` are tried by the fast path before
// ArgumentParser builds its tables. See Program.swift.
Caller.exit(Program.main())

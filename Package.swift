// swift-tools-version: 6.1
import PackageDescription

// The arrows of docs/architecture.md run only downwards; scripts/lint-imports.sh holds the sources against them.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func probe(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: "Tests/Probes/\(name)", swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
    name: "ctr",
    products: [
        .library(name: "Kernel", targets: ["Kernel"]),
        .library(name: "Model", targets: ["Model"]),
        .library(name: "Namespaces", targets: ["Namespaces"]),
        .library(name: "Cgroups", targets: ["Cgroups"]),
        .library(name: "Network", targets: ["Network"]),
        .library(name: "Storage", targets: ["Storage"]),
        .library(name: "Checkpoint", targets: ["Checkpoint"]),
        .library(name: "Runtime", targets: ["Runtime"]),
        .executable(name: "ctr", targets: ["ctr"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: [
        .target(name: "CLinux"),
        .systemLibrary(name: "CSeccomp", providers: [.apt(["libseccomp-dev"])]),
        .systemLibrary(name: "CCap", providers: [.apt(["libcap-dev"])]),
        .systemLibrary(name: "CMnl", providers: [.apt(["libmnl-dev"])]),
        module("Kernel", ["CLinux"]),
        module("Model", ["Kernel"]),
        module("Namespaces", ["Kernel", "Model", "CSeccomp", "CCap"]),
        module("Cgroups", ["Kernel", "Model"]),
        module("Network", ["Kernel", "Model", "CMnl"]),
        module("Storage", ["Kernel", "Model"]),
        module("Checkpoint", ["Kernel", "Model"]),
        module("Runtime", ["Kernel", "Model", "Namespaces", "Cgroups", "Network", "Storage", "Checkpoint"]),
        .executableTarget(
            name: "ctr",
            dependencies: [
                "Cgroups", "Model", "Runtime", "Storage",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        // Programs that tests start: a test runner has threads and must not clone or bind itself.
        .target(name: "CSecurityProbe", path: "Tests/Probes/CSecurityProbe"),
        probe("storage-probe", ["Kernel", "Model", "Storage"]),
        probe("cgroup-probe", ["Cgroups", "Kernel", "Model"]),
        probe("security-probe", ["Kernel", "Model", "Namespaces", "CSecurityProbe"]),
        .target(
            name: "NamespaceProbeRequest", dependencies: ["Kernel", "Model"],
            path: "Tests/Probes/NamespaceProbeRequest",
            swiftSettings: strict),
        probe("namespace-probe", ["CLinux", "Kernel", "Model", "Namespaces", "NamespaceProbeRequest"]),
        probe("check-probe", ["Kernel", "Model", "Runtime"]),
        probe("event-probe", ["Model", "Runtime"]),
        .executableTarget(name: "fault-probe", path: "Tests/Probes/fault-probe"),
        tests("KernelTests", ["Kernel", "namespace-probe"]),
        tests("ModelTests", ["Kernel", "Model"]),
        tests(
            "NamespacesTests",
            [
                "Kernel", "Model", "Namespaces", "CSeccomp", "NamespaceProbeRequest", "namespace-probe",
                "security-probe",
            ]),
        tests("CgroupsTests", ["Cgroups", "Kernel", "Model", "cgroup-probe"]),
        tests("NetworkTests", ["Kernel", "Model", "Network"]),
        tests("CheckpointTests", ["Checkpoint", "Kernel", "Model"]),
        tests("StorageTests", ["Kernel", "Model", "Storage", "storage-probe"]),
        tests("RuntimeTests", ["Kernel", "Model", "Runtime", "check-probe", "event-probe", "ctr"]),
        tests(
            "CLITests",
            [
                "Kernel", "Model", "Runtime", "ctr", "event-probe",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        tests("EndToEndTests", ["Checkpoint", "Kernel", "fault-probe"]),
    ],
    swiftLanguageModes: [.v6]
)

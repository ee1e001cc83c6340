import Testing

@testable import Runtime

/// What a guest has written into its packet filter must not have nft, run by the host's root, read files of the host.
@Suite struct GuestRulesTests {
    @Test(arguments: [
        "include \"/etc/shadow\"\n", "table inet a {\n\tcomment \"x\"\ninclude \"/root/*\"\n", "\ninclude'/x'",
        "1include \"/x\"",
        "x;include\t\"/x\"", "include", "inincludeclude",
    ])
    func `rules that could read a file are refused`(text: String) {
        #expect(GuestRules.includesFile(Array(text.utf8)))
    }

    @Test(arguments: [
        "", "includ", "table inet mine {\n\tchain input {\n\t\ttype filter hook input priority 0;\n\t}\n}\n",
    ])
    func `others are not`(text: String) { #expect(!GuestRules.includesFile(Array(text.utf8))) }
}

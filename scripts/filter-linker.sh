#!/bin/sh
# Passes the output of `swift build` on, without the linker's warnings about glibc's name service functions: they are
# in FoundationEssentials, which a static program links whole and ctr does not call.
exec awk '
    /Using .(getgr|getpw|getaddrinfo|gethostby|getserv|getgrouplist|initgroups|dlopen)[a-z_]*. in statically linked/ { next }
    /: in function .*(FoundationEssentials|CommandLine|ProcessInfo|FileManager|Platform)/ { next }
    /libFoundationEssentials.a.*: warning: the use of .mktemp. is dangerous/ { next }
    { print; fflush() }'

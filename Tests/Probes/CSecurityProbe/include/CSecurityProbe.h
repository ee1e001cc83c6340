// What the security probe needs and Swift cannot express: raw system calls, also of the 32-bit table.
#ifndef CSECURITYPROBE_H
#define CSECURITYPROBE_H
#include <stdint.h>
// The result or -errno, of the machine's own table.
long probe_syscall(long number, const uint64_t *arguments);
// The same of the i386 table through int 0x80; the arguments are cut to 32 bits. -ENOEXEC on other machines.
long probe_syscall_i386(long number, const uint32_t *arguments);
// This process enters a new user namespace whose ids 0 to 65535 are base and following. 0 or -errno.
long probe_enter_user_namespace(uint32_t base);
#endif

// SwiftPM wants one C file in a C target; every shim is a static inline in the header.
#include "CLinux.h"

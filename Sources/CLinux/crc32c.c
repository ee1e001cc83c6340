// CRC-32C by the processor's own instruction: crc32 of SSE4.2 in Intel's Software Developer's Manual, volume 2.
#include "CLinux.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <nmmintrin.h>

static int has_instruction(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_2;
}

__attribute__((target("sse4.2")))
static uint32_t mix(uint32_t crc, const uint8_t *data, size_t size) {
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; size--, data++) crc = _mm_crc32_u8(crc, *data);
    return crc;
}

int ctr_crc32c(uint32_t *crc, const void *data, size_t size) {
    static int has = -1;
    if (has < 0) has = has_instruction();
    if (has) *crc = mix(*crc, data, size);
    return has;
}
#else
int ctr_crc32c(uint32_t *crc, const void *data, size_t size) {
    (void)crc, (void)data, (void)size;
    return 0;
}
#endif

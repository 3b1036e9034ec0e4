/* crc32.c: the checksum of zip, PNG and Ethernet, eight bytes at a time, because a dump has many.
 *
 * Table[0] is the usual one: a byte after eight shifts. Table[n] is the same byte with n zero bytes behind it: since
 * the sum is linear, the eight tables' answers for eight bytes are simply put together. */
#include <dump.h>
#include <rtl.h>

#define POLYNOMIAL 0xEDB88320u /* of IEEE 802.3, lowest bit first */

static ULONG Table[8][256];

static VOID MakeTables(VOID) {
    for (ULONG Byte = 0; Byte < 256; Byte++) {
        ULONG Sum = Byte;
        for (ULONG Bit = 0; Bit < 8; Bit++) {
            Sum = Sum & 1 ? Sum >> 1 ^ POLYNOMIAL : Sum >> 1;
        }
        Table[0][Byte] = Sum;
    }
    for (ULONG Byte = 0; Byte < 256; Byte++) {
        for (ULONG Behind = 1; Behind < 8; Behind++) {
            ULONG Sum = Table[Behind - 1][Byte];
            Table[Behind][Byte] = Sum >> 8 ^ Table[0][Sum & 0xFF];
        }
    }
}

static ULONG ExtendByEight(ULONG Sum, ULONG64 Bytes) {
    Bytes ^= Sum;
    return Table[7][Bytes & 0xFF] ^ Table[6][Bytes >> 8 & 0xFF] ^ Table[5][Bytes >> 16 & 0xFF] ^
           Table[4][Bytes >> 24 & 0xFF] ^ Table[3][Bytes >> 32 & 0xFF] ^ Table[2][Bytes >> 40 & 0xFF] ^
           Table[1][Bytes >> 48 & 0xFF] ^ Table[0][Bytes >> 56];
}

/* Extends Crc (0: of nothing) by Data, which is resident. One CPU at a time; any IRQL. */
ULONG KdExtendCrc(ULONG Crc, const void *Data, SIZE_T Bytes) {
    const UCHAR *Next = Data;
    ULONG Sum = ~Crc;
    if (Table[0][1] == 0) {
        MakeTables();
    }
    for (; Bytes >= 8; Bytes -= 8, Next += 8) {
        ULONG64 Word;
        memcpy(&Word, Next, sizeof(Word));
        Sum = ExtendByEight(Sum, Word);
    }
    for (; Bytes > 0; Bytes--, Next++) {
        Sum = Sum >> 8 ^ Table[0][(Sum ^ *Next) & 0xFF];
    }
    return ~Sum;
}

/* string.c: memory and byte strings. Eight bytes at a time and unrolled: string instructions are slow on emulators, and
 * start slowly on hardware. */
#include <ntddk.h>

/* The compiler would turn the loops of memset and memcpy into calls of memset and memcpy. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

/* Eight bytes at any address, of any type. */
typedef ULONG64 __attribute__((may_alias, aligned(1))) WORD64;

#define BLOCK_BYTES 64

static void CopyForward(PUCHAR To, const UCHAR *From, size_t Length) {
    for (; Length >= BLOCK_BYTES; Length -= BLOCK_BYTES, To += BLOCK_BYTES, From += BLOCK_BYTES) {
        WORD64 *T = (WORD64 *)To;
        const WORD64 *F = (const WORD64 *)From;
        ULONG64 A = F[0], B = F[1], C = F[2], D = F[3];
        T[0] = A, T[1] = B, T[2] = C, T[3] = D;
        A = F[4], B = F[5], C = F[6], D = F[7];
        T[4] = A, T[5] = B, T[6] = C, T[7] = D;
    }
    for (; Length >= 8; Length -= 8, To += 8, From += 8) {
        *(WORD64 *)To = *(const WORD64 *)From;
    }
    while (Length-- != 0) {
        *To++ = *From++;
    }
}

static void CopyBackward(PUCHAR To, const UCHAR *From, size_t Length) {
    To += Length;
    From += Length;
    for (; Length >= 8; Length -= 8) {
        To -= 8;
        From -= 8;
        *(WORD64 *)To = *(const WORD64 *)From;
    }
    while (Length-- != 0) {
        *--To = *--From;
    }
}

/* Any IRQL; faults where the buffers do, which may overlap. */
void *memmove(void *Destination, const void *Source, size_t Length) {
    if ((ULONG_PTR)Destination - (ULONG_PTR)Source >= Length) {
        /* Not into the source, or downwards: each byte is read before it is overwritten. */
        CopyForward(Destination, Source, Length);
    } else {
        CopyBackward(Destination, Source, Length);
    }
    return Destination;
}

/* The same: NT's kernel for this machine has one routine for both, and drivers have come to rely on it. */
void *memcpy(void *Destination, const void *Source, size_t Length) {
    return memmove(Destination, Source, Length);
}

/* Any IRQL. */
void *memset(void *Destination, int Value, size_t Length) {
    PUCHAR To = Destination;
    ULONG64 Pattern = (UCHAR)Value * 0x0101010101010101ULL;
    for (; Length >= BLOCK_BYTES; Length -= BLOCK_BYTES, To += BLOCK_BYTES) {
        WORD64 *T = (WORD64 *)To;
        T[0] = Pattern, T[1] = Pattern, T[2] = Pattern, T[3] = Pattern;
        T[4] = Pattern, T[5] = Pattern, T[6] = Pattern, T[7] = Pattern;
    }
    for (; Length >= 8; Length -= 8, To += 8) {
        *(WORD64 *)To = Pattern;
    }
    while (Length-- != 0) {
        *To++ = (UCHAR)Value;
    }
    return Destination;
}

/* Any IRQL. */
int memcmp(const void *A, const void *B, size_t Length) {
    const UCHAR *Left = A, *Right = B;
    for (; Length >= 8 && *(const WORD64 *)Left == *(const WORD64 *)Right; Length -= 8) {
        Left += 8;
        Right += 8;
    }
    for (; Length != 0; Length--, Left++, Right++) {
        if (*Left != *Right) {
            return *Left - *Right;
        }
    }
    return 0;
}

/* Any IRQL. */
size_t strlen(const char *String) {
    size_t Length = 0;
    while (String[Length] != 0) {
        Length++;
    }
    return Length;
}

/* Any IRQL. The length, but at most Maximum: for text that may lack its end. */
size_t strnlen(const char *String, size_t Maximum) {
    size_t Length = 0;
    while (Length < Maximum && String[Length] != 0) {
        Length++;
    }
    return Length;
}

/* Any IRQL. */
int strcmp(const char *A, const char *B) {
    while (*A != 0 && *A == *B) {
        A++;
        B++;
    }
    return (UCHAR)*A - (UCHAR)*B;
}

/* Any IRQL. */
int strncmp(const char *A, const char *B, size_t Count) {
    for (; Count != 0; Count--, A++, B++) {
        if (*A != *B || *A == 0) {
            return (UCHAR)*A - (UCHAR)*B;
        }
    }
    return 0;
}

static UCHAR LowerCase(char Character) {
    return (UCHAR)(Character >= 'A' && Character <= 'Z' ? Character + ('a' - 'A') : Character);
}

/* Any IRQL. The case of ASCII letters does not count. */
int _stricmp(const char *A, const char *B) {
    while (*A != 0 && LowerCase(*A) == LowerCase(*B)) {
        A++;
        B++;
    }
    return LowerCase(*A) - LowerCase(*B);
}

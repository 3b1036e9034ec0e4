/* bitmap.c: a bitmap in the caller's array of ULONGs: bit n is bit n % 32 of word n / 32. Any IRQL at which the words
 * are resident; the caller keeps others out. */
#include <ntddk.h>

#define NOT_FOUND 0xFFFFFFFFu

VOID RtlInitializeBitMap(PRTL_BITMAP BitMapHeader, PULONG BitMapBuffer, ULONG SizeOfBitMap) {
    BitMapHeader->SizeOfBitMap = SizeOfBitMap;
    BitMapHeader->Buffer = BitMapBuffer;
}

BOOLEAN RtlTestBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber) {
    return BitMapHeader->Buffer[BitNumber / 32] >> BitNumber % 32 & 1;
}

VOID RtlSetBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber) {
    BitMapHeader->Buffer[BitNumber / 32] |= 1U << BitNumber % 32;
}

VOID RtlClearBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber) {
    BitMapHeader->Buffer[BitNumber / 32] &= ~(1U << BitNumber % 32);
}

/* A run that leaves the bitmap is cut at its end. */
static VOID WriteBits(PRTL_BITMAP Map, ULONG Start, ULONG Count, BOOLEAN Value) {
    for (ULONG Bit = Start; Count-- != 0 && Bit < Map->SizeOfBitMap; Bit++) {
        if (Bit % 32 == 0 && Count >= 31 && Map->SizeOfBitMap - Bit >= 32) {
            Map->Buffer[Bit / 32] = Value ? MAXULONG : 0;
            Bit += 31;
            Count -= 31;
        } else if (Value) {
            RtlSetBit(Map, Bit);
        } else {
            RtlClearBit(Map, Bit);
        }
    }
}

VOID RtlSetBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToSet) {
    WriteBits(BitMapHeader, StartingIndex, NumberToSet, TRUE);
}

VOID RtlClearBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToClear) {
    WriteBits(BitMapHeader, StartingIndex, NumberToClear, FALSE);
}

VOID RtlSetAllBits(PRTL_BITMAP BitMapHeader) {
    memset(BitMapHeader->Buffer, 0xFF, (BitMapHeader->SizeOfBitMap + 31ULL) / 32 * sizeof(ULONG));
}

VOID RtlClearAllBits(PRTL_BITMAP BitMapHeader) {
    memset(BitMapHeader->Buffer, 0, (BitMapHeader->SizeOfBitMap + 31ULL) / 32 * sizeof(ULONG));
}

/* The number of bits from Start on that have the value, at most Limit. */
static ULONG RunLength(PRTL_BITMAP Map, ULONG Start, ULONG Limit, BOOLEAN Value) {
    ULONG Length = 0;
    while (Length < Limit && Start + Length < Map->SizeOfBitMap && RtlTestBit(Map, Start + Length) == Value) {
        Length++;
    }
    return Length;
}

/* FALSE for a run of no bits, or one that leaves the bitmap. */
static BOOLEAN AreBits(PRTL_BITMAP Map, ULONG Start, ULONG Length, BOOLEAN Value) {
    return Length != 0 && Start < Map->SizeOfBitMap && Length <= Map->SizeOfBitMap - Start &&
           RunLength(Map, Start, Length, Value) == Length;
}

BOOLEAN RtlAreBitsSet(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length) {
    return AreBits(BitMapHeader, StartingIndex, Length, TRUE);
}

BOOLEAN RtlAreBitsClear(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length) {
    return AreBits(BitMapHeader, StartingIndex, Length, FALSE);
}

ULONG RtlNumberOfSetBits(PRTL_BITMAP BitMapHeader) {
    ULONG Count = 0;
    for (ULONG Bit = 0; Bit < BitMapHeader->SizeOfBitMap; Bit++) {
        Count += RtlTestBit(BitMapHeader, Bit);
    }
    return Count;
}

ULONG RtlNumberOfClearBits(PRTL_BITMAP BitMapHeader) {
    return BitMapHeader->SizeOfBitMap - RtlNumberOfSetBits(BitMapHeader);
}

/* The first run of Count bits in [From, To), wholly inside. */
static ULONG FindRun(PRTL_BITMAP Map, ULONG From, ULONG To, ULONG Count, BOOLEAN Value) {
    while (From < To && To - From >= Count) {
        ULONG Length = RunLength(Map, From, Count, Value);
        if (Length == Count) {
            return From;
        }
        From += Length + 1;
    }
    return NOT_FOUND;
}

/* From the hint on (rounded down to a byte, as NT does), then from the beginning. 0xFFFFFFFF: none. */
static ULONG FindBits(PRTL_BITMAP Map, ULONG Count, ULONG Hint, BOOLEAN Value) {
    ULONG Size = Map->SizeOfBitMap, Start = Hint < Size ? Hint & ~7U : 0;
    if (Count == 0) {
        return Start;
    }
    if (Count > Size) {
        return NOT_FOUND;
    }
    ULONG Found = FindRun(Map, Start, Size, Count, Value);
    if (Found == NOT_FOUND && Start != 0) {
        ULONG End = Size - Start > Count ? Start + Count - 1 : Size;
        Found = FindRun(Map, 0, End, Count, Value);
    }
    return Found;
}

ULONG RtlFindSetBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex) {
    return FindBits(BitMapHeader, NumberToFind, HintIndex, TRUE);
}

ULONG RtlFindClearBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex) {
    return FindBits(BitMapHeader, NumberToFind, HintIndex, FALSE);
}

ULONG RtlFindSetBitsAndClear(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex) {
    ULONG Found = RtlFindSetBits(BitMapHeader, NumberToFind, HintIndex);
    if (Found != NOT_FOUND) {
        RtlClearBits(BitMapHeader, Found, NumberToFind);
    }
    return Found;
}

ULONG RtlFindClearBitsAndSet(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex) {
    ULONG Found = RtlFindClearBits(BitMapHeader, NumberToFind, HintIndex);
    if (Found != NOT_FOUND) {
        RtlSetBits(BitMapHeader, Found, NumberToFind);
    }
    return Found;
}

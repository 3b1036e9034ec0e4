/* sort.c: qsort, a heap sort that needs neither a stack nor luck; and bsearch. Any IRQL. */
#include <ntddk.h>

static void Swap(PUCHAR A, PUCHAR B, size_t Bytes) {
    while (Bytes-- != 0) {
        UCHAR Byte = *A;
        *A++ = *B;
        *B++ = Byte;
    }
}

/* Lets the element at Root sink until none of its children is greater. */
static void SiftDown(PUCHAR Base, size_t Root, size_t Count, size_t Bytes, int (*Compare)(const void *, const void *)) {
    for (size_t Child; (Child = 2 * Root + 1) < Count; Root = Child) {
        if (Child + 1 < Count && Compare(Base + Child * Bytes, Base + (Child + 1) * Bytes) < 0) {
            Child++;
        }
        if (Compare(Base + Root * Bytes, Base + Child * Bytes) >= 0) {
            return;
        }
        Swap(Base + Root * Bytes, Base + Child * Bytes, Bytes);
    }
}

/* Equal elements may change places. */
void qsort(void *Base, size_t Count, size_t Bytes, int (*Compare)(const void *A, const void *B)) {
    PUCHAR First = Base;
    for (size_t Root = Count / 2; Root-- > 0;) {
        SiftDown(First, Root, Count, Bytes, Compare);
    }
    for (size_t End = Count; End-- > 1;) {
        Swap(First, First + End * Bytes, Bytes);
        SiftDown(First, 0, End, Bytes, Compare);
    }
}

/* NULL: no element is equal to the key. */
void *bsearch(const void *Key, const void *Base, size_t Count, size_t Bytes,
              int (*Compare)(const void *Key, const void *Element)) {
    const UCHAR *First = Base;
    while (Count != 0) {
        const UCHAR *Middle = First + Count / 2 * Bytes;
        int Order = Compare(Key, Middle);
        if (Order == 0) {
            return (void *)Middle;
        }
        if (Order > 0) {
            First = Middle + Bytes;
            Count -= Count / 2 + 1;
        } else {
            Count /= 2;
        }
    }
    return NULL;
}

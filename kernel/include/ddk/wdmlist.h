/* wdmlist.h: the part of wdm.h about doubly linked lists. */
#ifndef _WDMLIST_H_
#define _WDMLIST_H_

#include <intrincpu.h>

/* ---- Doubly linked lists; a list whose neighbours disagree stops the machine (0x139, 3) ---- */
static FORCEINLINE VOID InitializeListHead(PLIST_ENTRY Head) {
    Head->Flink = Head->Blink = Head;
}

static FORCEINLINE BOOLEAN IsListEmpty(const LIST_ENTRY *Head) {
    return Head->Flink == Head;
}

static FORCEINLINE BOOLEAN RemoveEntryList(PLIST_ENTRY Entry) {
    PLIST_ENTRY Next = Entry->Flink, Previous = Entry->Blink;
    if (Next->Blink != Entry || Previous->Flink != Entry) {
        __fastfail(FAST_FAIL_CORRUPT_LIST_ENTRY);
    }
    Previous->Flink = Next;
    Next->Blink = Previous;
    return Next == Previous;
}

static FORCEINLINE VOID InsertHeadList(PLIST_ENTRY Head, PLIST_ENTRY Entry) {
    PLIST_ENTRY First = Head->Flink;
    if (First->Blink != Head) {
        __fastfail(FAST_FAIL_CORRUPT_LIST_ENTRY);
    }
    Entry->Flink = First;
    Entry->Blink = Head;
    First->Blink = Entry;
    Head->Flink = Entry;
}

static FORCEINLINE VOID InsertTailList(PLIST_ENTRY Head, PLIST_ENTRY Entry) {
    PLIST_ENTRY Last = Head->Blink;
    if (Last->Flink != Head) {
        __fastfail(FAST_FAIL_CORRUPT_LIST_ENTRY);
    }
    Entry->Flink = Head;
    Entry->Blink = Last;
    Last->Flink = Entry;
    Head->Blink = Entry;
}

static FORCEINLINE PLIST_ENTRY RemoveHeadList(PLIST_ENTRY Head) {
    PLIST_ENTRY Entry = Head->Flink;
    RemoveEntryList(Entry);
    return Entry;
}

static FORCEINLINE PLIST_ENTRY RemoveTailList(PLIST_ENTRY Head) {
    PLIST_ENTRY Entry = Head->Blink;
    RemoveEntryList(Entry);
    return Entry;
}

#endif
